"""The tap on a real broker, and each private attribute of aiokafka that it stands on."""

import inspect
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.consumer import fetcher
from aiokafka.record.default_records import DefaultRecordBatch

from spoolsink.batch_tap import Tap, install
from spoolsink.records import Batch, TimestampType
from tests.integration.test_servers import make_topic
from tests.servers.processes import KafkaServer


@asynccontextmanager
async def producer_of(kafka: KafkaServer, **settings: object) -> AsyncIterator[AIOKafkaProducer]:
    async with AIOKafkaProducer(bootstrap_servers=kafka.bootstrap_servers, **settings) as producer:
        yield producer


async def tapped(
    kafka: KafkaServer, topic: str, end: int, start: int = 0, **settings: object
) -> list[Batch]:
    """Every batch up to the offset `end`, by way of the tap."""
    install()
    tp = TopicPartition(topic, 0)
    batches: list[Batch] = []
    async with AIOKafkaConsumer(
        bootstrap_servers=kafka.bootstrap_servers,
        key_deserializer=Tap(),
        auto_offset_reset="none",
        **settings,
    ) as consumer:
        consumer.assign([tp])
        consumer.seek(tp, start)
        while await consumer.position(tp) < end:
            batches += (await consumer.getmany(tp, timeout_ms=1000)).get(tp, [])
    return batches


def delivered(batches: list[Batch]) -> list[tuple[int, bytes | None]]:
    return [pair for b in batches for pair in zip(b.offsets, b.values, strict=True)]


def assert_every_offset_is_accounted_for(batches: list[Batch], end: int, start: int = 0) -> None:
    position = start
    for batch in batches:
        assert batch.start == position
        assert all(batch.start <= offset < batch.next_offset for offset in batch.offsets)
        position = batch.next_offset
    assert position == end


@pytest.mark.parametrize("codec", [None, "gzip", "snappy", "lz4", "zstd"])
async def test_batches_of_every_codec_come_as_columns(
    kafka: KafkaServer, codec: str | None
) -> None:
    topic = await make_topic(kafka)
    async with producer_of(kafka, compression_type=codec, linger_ms=50) as producer:
        futures = [
            await producer.send(topic, b"v%d" % i, b"k%d" % i, timestamp_ms=1_000 + i)
            for i in range(500)
        ]
        for future in futures:
            await future
    batches = await tapped(kafka, topic, 500)
    assert delivered(batches) == [(i, b"v%d" % i) for i in range(500)]
    assert [key for b in batches for key in b.keys] == [b"k%d" % i for i in range(500)]
    assert [t for b in batches for t in b.timestamps] == list(range(1_000, 1_500))
    assert {b.timestamp_type for b in batches} == {TimestampType.CREATE}
    assert {b.headers for b in batches} == {None}
    assert len(batches) < 100
    assert_every_offset_is_accounted_for(batches, 500)


async def test_headers_nulls_and_missing_keys_come_as_they_are(kafka: KafkaServer) -> None:
    topic = await make_topic(kafka)
    headers = [("h", b"x"), ("h", None), ("b", b"\xff")]
    async with producer_of(kafka) as producer:
        await producer.send_and_wait(topic, None, b"k", headers=headers)
        await producer.send_and_wait(topic, b"v")
    batches = await tapped(kafka, topic, 2)
    assert delivered(batches) == [(0, None), (1, b"v")]
    assert [key for b in batches for key in b.keys] == [b"k", None]
    assert list(batches[0].headers_at(0)) == headers
    assert list(batches[-1].headers_at(len(batches[-1]) - 1)) == []


async def test_a_start_inside_a_batch_leaves_out_what_lies_before(kafka: KafkaServer) -> None:
    topic = await make_topic(kafka)
    async with producer_of(kafka, linger_ms=100, compression_type="lz4") as producer:
        futures = [await producer.send(topic, b"%d" % i) for i in range(50)]
        for future in futures:
            await future
    batches = await tapped(kafka, topic, 50, start=33)
    assert delivered(batches) == [(i, b"%d" % i) for i in range(33, 50)]
    assert_every_offset_is_accounted_for(batches, 50, start=33)


@pytest.mark.parametrize("isolation", ["read_committed", "read_uncommitted"])
async def test_aborted_records_and_markers_are_left_out_and_accounted_for(
    kafka: KafkaServer, isolation: str
) -> None:
    topic = await make_topic(kafka)
    async with producer_of(kafka, transactional_id=f"x-{uuid.uuid4().hex}") as producer:
        for number, is_committed in enumerate([True, False, True, False]):
            await producer.begin_transaction()
            await producer.send_and_wait(topic, b"t%d" % number)
            await (producer.commit_transaction() if is_committed else producer.abort_transaction())
    # Each transaction is a record and a marker.
    batches = await tapped(kafka, topic, 8, isolation_level=isolation)
    wanted = [0, 1, 2, 3] if isolation == "read_uncommitted" else [0, 2]
    assert delivered(batches) == [(2 * i, b"t%d" % i) for i in wanted]
    assert_every_offset_is_accounted_for(batches, 8)


async def test_a_consumer_without_a_tap_gets_ordinary_records(kafka: KafkaServer) -> None:
    install()
    topic = await make_topic(kafka)
    async with producer_of(kafka) as producer:
        await producer.send_and_wait(topic, b"v")
    async with AIOKafkaConsumer(
        topic, bootstrap_servers=kafka.bootstrap_servers, auto_offset_reset="earliest"
    ) as consumer:
        assert (await consumer.getone()).value == b"v"


def test_what_is_touched_of_aiokafka_is_there() -> None:
    """A new version that moves one of these fails here, by name, before it loses a record."""
    source = inspect.getsource(fetcher.Fetcher._proc_fetch_request)
    assert "PartitionRecords(\n" in source
    for name in ("base_offset", "next_offset", "is_control_batch", "is_transactional"):
        assert hasattr(DefaultRecordBatch, name)
    for name in ("producer_id", "timestamp_type", "validate_crc"):
        assert hasattr(DefaultRecordBatch, name)
    assert fetcher.READ_COMMITTED == 1
