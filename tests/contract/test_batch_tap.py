"""The tap on a real broker, and each private attribute of aiokafka that it stands on."""

import asyncio
import inspect
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import cramjam
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.consumer import fetcher
from aiokafka.record.default_records import DefaultRecordBatch
from aiokafka.record.legacy_records import LegacyRecordBatch

from spoolsink import batch_tap
from spoolsink.batch_tap import Tap, install
from spoolsink.records import Batch, TimestampType
from tests.integration.test_servers import make_topic
from tests.servers.processes import KafkaServer


@asynccontextmanager
async def producer_of(kafka: KafkaServer, **settings: object) -> AsyncIterator[AIOKafkaProducer]:
    async with AIOKafkaProducer(bootstrap_servers=kafka.bootstrap_servers, **settings) as producer:
        yield producer


async def tapped(
    kafka: KafkaServer,
    topic: str,
    end: int,
    start: int = 0,
    batch_max_bytes: int = 1 << 26,
    **settings: object,
) -> list[Batch]:
    """Every batch up to the offset `end`, by way of the tap."""
    install()
    tp = TopicPartition(topic, 0)
    batches: list[Batch] = []
    async with AIOKafkaConsumer(
        bootstrap_servers=kafka.bootstrap_servers,
        key_deserializer=Tap(batch_max_bytes),
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


@pytest.mark.parametrize("codec", ["gzip", "snappy", "lz4", "zstd"])
async def test_a_batch_above_the_limit_is_refused_where_it_lies_and_the_next_ones_come(
    kafka: KafkaServer, codec: str
) -> None:
    topic = await make_topic(kafka)
    async with producer_of(
        kafka, compression_type=codec, max_request_size=1 << 23, max_batch_size=1 << 23
    ) as producer:
        for value in (b"first", bytes(1 << 22), b"third"):
            await producer.send_and_wait(topic, value)
    batches = await tapped(kafka, topic, 3, batch_max_bytes=1 << 20)
    assert delivered(batches) == [(0, b"first"), (2, b"third")]
    assert_every_offset_is_accounted_for(batches, 3)
    (refused,) = (b for b in batches if b.refusal)
    assert (refused.start, refused.next_offset) == (1, 2)
    assert refused.refusal is not None
    assert (refused.refusal.reason, refused.refusal.records) == ("too_large", 1)


async def test_damage_on_the_brokers_disk_is_refused_again_and_again_behind_what_is_good(
    kafka: KafkaServer,
) -> None:
    """The broker sends what lies there; only the consumer looks at the checksum."""
    topic = await make_topic(kafka)
    async with producer_of(kafka) as producer:
        for value in (b"first", b"second", b"third"):
            await producer.send_and_wait(topic, value)
    (log,) = (kafka.directory / "logs" / f"{topic}-0").glob("*.log")
    log.write_bytes(log.read_bytes().replace(b"second", b"SECOND"))
    install()
    tp = TopicPartition(topic, 0)
    async with AIOKafkaConsumer(
        bootstrap_servers=kafka.bootstrap_servers,
        key_deserializer=Tap(1 << 20),
        auto_offset_reset="none",
    ) as consumer:
        consumer.assign([tp])
        consumer.seek(tp, 0)
        batches: list[Batch] = []
        async with asyncio.timeout(30):
            while len(batches) < 3:
                batches += (await consumer.getmany(tp, timeout_ms=1000)).get(tp, [])
        position = await consumer.position(tp)
    assert delivered(batches) == [(0, b"first")]
    assert [(b.start, b.next_offset) for b in batches] == [(0, 1), (1, 1), (1, 1)]
    assert [b.refusal and b.refusal.reason for b in batches] == [None, "corrupt", "corrupt"]
    assert position == 1


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
    assert "records = MemoryRecords(part_data[-1])" in source
    assert "records.has_next()" in source
    assert "records.size_in_bytes()" in source
    for name in ("base_offset", "next_offset", "is_control_batch", "is_transactional"):
        assert hasattr(DefaultRecordBatch, name)
    for name in ("producer_id", "last_offset_delta", "validate_crc"):
        assert hasattr(DefaultRecordBatch, name)
    for name in ("next_offset", "is_control_batch", "is_transactional", "validate_crc"):
        assert hasattr(LegacyRecordBatch(bytes(40), 1), name)
    assert list(inspect.signature(batch_tap._ORIGINAL.__init__).parameters)[1:] == [
        "tp", "records", "aborted_transactions", "fetch_offset", "key_deserializer",
        "value_deserializer", "check_crcs", "isolation_level",
    ]  # fmt: skip
    assert fetcher.READ_COMMITTED == 1


def test_what_is_touched_of_cramjam_is_there() -> None:
    """A full buffer is told from damaged data by the text of the error."""
    for codec in (cramjam.lz4, cramjam.zstd):
        payload = bytes(codec.compress(bytes(100)))
        assert codec.decompress_into(payload, bytearray(100)) == 100
        with pytest.raises(cramjam.DecompressionError, match="write whole buffer"):
            codec.decompress_into(payload, bytearray(99))
    assert cramjam.snappy.decompress_raw_len(b"\x80\x01") == 128
