"""The largest, the oddest and the most, through the real command line and real servers."""

import json
from collections.abc import Sequence
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, RecordsToDelete

from tests.integration.harness import Bench, all_of
from tests.integration.oracle import Expected, Oracle
from tests.integration.producing import Sent, documents, produce

MIB = 1024 * 1024
LARGEST = 16 * MIB
LIMIT = str(LARGEST + MIB)

ODD = {
    "as large as may be": Sent(b'{"place":"large","x":"' + b"x" * (LARGEST - 100) + b'"}'),
    "ten thousand headers": Sent(b'{"place":"h"}', None, [(f"h{n}", b"v") for n in range(10_000)]),
    "beyond every float": Sent(b'{"place":"n","n":1e400}'),
    "NUL": Sent(b'{"place":"\\u0000"}'),
    "a path": Sent(b'{"place":"../../etc/passwd"}'),
    "a dot": Sent(b'{"place":".."}'),
    "a name twice": Sent(b'{"place":"a","place":"b"}'),
    "no object": Sent(b"[1]"),
}
PLACES = (
    "large",
    "h",
    "n",
    "%00",
    "..%2F..%2Fetc%2Fpasswd",
    "%2E%2E",
    "b",
    "__HIVE_DEFAULT_PARTITION__",
)
POISON = {
    "deep": Sent(b"[" * 100_000 + b"]" * 100_000),
    "half a character": Sent(b'{"place":"\\ud800"}'),
    "no UTF-8": Sent(b"\xff"),
    "nothing": Sent(b""),
    "no number": Sent(b"NaN"),
    "longer than a key": Sent(b'{"place":"' + b"x" * 2000 + b'"}'),
}

CONVERTER = """
import json
import os

class Boom(BaseException):
    '''None of those that a record may cause.'''

class Converter:
    def __init__(self, options):
        pass

    def __call__(self, data, topic, headers):
        if os.environ.get("BOOM") and b'"n":12,' in data.replace(b" ", b""):
            raise Boom
        return json.loads(data)
"""


async def admin_of(bench: Bench) -> AIOKafkaAdminClient:
    admin = AIOKafkaAdminClient(bootstrap_servers=bench.kafka.bootstrap_servers)
    await admin.start()
    return admin


async def test_records_that_nobody_should_send_arrive_or_are_counted(bench: Bench) -> None:
    """Also one that is larger than a fetch, a write buffer and a part."""
    topic = await bench.topic(max_message_bytes=LIMIT)
    places = {record.value: place for record, place in zip(ODD.values(), PLACES, strict=True)}
    good = {r.value for r in ODD.values()}

    def row(record: Any) -> bytes | None:
        return record.value + b"\n" if record.value in good else None

    oracle = Oracle(bench, Expected(lambda record: f"p={places[record.value]}", row))
    mixed = [*list(ODD.values())[:4], *POISON.values(), *list(ODD.values())[4:]]
    await produce(
        bench.kafka.bootstrap_servers, topic, mixed, max_request_size=int(LIMIT), max_batch_size=1
    )
    sink = bench.sink(
        {
            "kafka": {"fetch_partition_max_bytes": "64KiB", "fetch_max_bytes": "1MiB"},
            "records": {"on_error": "skip"},
            "layout": {"partition": "p={value.place}"},
            "s3": {"part_size": "5MiB"},
        }
    )
    sink.start()
    await sink.until_metric("records_total", len(ODD))
    await sink.until_metric("records_skipped_total", len(POISON))
    await sink.flushed()
    resident_bytes = sink.resident_bytes()
    await oracle.until_committed(sink)
    await sink.stopped()
    await oracle.verify()
    # A batch, its text, its rows: some copies of 16 MiB at a time, and none that stays.
    assert resident_bytes < 256 * MIB


@pytest.mark.timeout(300)  # the broker makes a thousand logs, where others leave little room
async def test_a_topic_of_a_thousand_topic_partitions_is_committed_whole(bench: Bench) -> None:
    """Most of them without a record; memory is that of any other run."""
    count, records = 1000, documents(200, partitions=100)
    topic, oracle = await bench.topic(partitions=count), Oracle(bench)
    sink = bench.sink({"kafka": {"session_timeout": "20s"}, "rotate": {"records": 2}})
    sink.start()

    async def are_committed() -> bool:
        return len(await oracle.committed(topic)) == count

    await sink.until("every start is committed", are_committed, seconds=_LONG_SECONDS)
    await produce(bench.kafka.bootstrap_servers, topic, records)

    async def are_written() -> bool:
        return sum(offset for offset, _ in (await oracle.committed(topic)).values()) == len(records)

    await sink.until("every record is committed", are_written, seconds=_LONG_SECONDS)
    resident_bytes = sink.resident_bytes()
    await sink.stopped()
    assert len(oracle.object_keys()) == 100
    assert resident_bytes < 200 * MIB


_LONG_SECONDS = 120.0


async def test_topics_without_records_and_logs_that_begin_late_reach_no_lag(bench: Bench) -> None:
    async def empty() -> None:
        own = bench.sibling()
        await own.topic(partitions=3)
        sink = own.sink()
        sink.start()
        await sink.ready()
        await Oracle(own).until_committed(sink)
        await sink.until_metric("lag_records", 0)
        await sink.stopped()
        assert await Oracle(own).verify() == []

    async def late() -> None:
        """Retention took the beginning before the group ever came."""
        own = bench.sibling()
        topic = await own.topic()
        await produce(own.kafka.bootstrap_servers, topic, documents(20))
        admin = await admin_of(own)
        try:
            await admin.delete_records({TopicPartition(topic, 0): RecordsToDelete(15)})
        finally:
            await admin.close()
        found = await Oracle(own, Expected(starts={0: 15})).run(own.sink(), 5)
        assert [(o.first, o.last) for o in found] == [(15, 19)]

    await all_of(empty=empty(), late=late())


async def test_partitions_that_are_added_are_read_from_their_start(bench: Bench) -> None:
    """Though the group would begin at the end of a topic that it does not know."""
    topic, oracle = await bench.topic(), Oracle(bench)
    sink = bench.sink({"kafka": {"start_from": "latest"}, "rotate": {"records": 5}})
    sink.start()
    await sink.ready()
    await oracle.until_committed(sink)
    await produce(bench.kafka.bootstrap_servers, topic, documents(10))
    await oracle.until_committed(sink)
    await sink.stopped()
    admin = await admin_of(bench)
    try:
        await admin.create_partitions({topic: NewPartitions(2)})
    finally:
        await admin.close()
    bench.partition_counts[topic] = 2
    added = [record._replace(partition=1) for record in documents(10)]
    await produce(bench.kafka.bootstrap_servers, topic, added)
    sink.start()
    await oracle.until_committed(sink)
    await sink.stopped()
    assert {(o.tp[1], o.first) for o in await oracle.verify()} == {(0, 0), (0, 5), (1, 0), (1, 5)}


async def test_a_topic_that_is_deleted_holds_no_other(bench: Bench) -> None:
    other = f"{bench.name}-other"
    topic, oracle = await bench.topic(), Oracle(bench)
    await bench.topic(name=other)
    servers = bench.kafka.bootstrap_servers
    sink = bench.sink({"kafka": {"topics": [topic, other]}, "rotate": {"records": 5}})
    sink.start()
    await sink.ready()
    await produce(servers, topic, documents(10))
    await produce(servers, other, documents(10))
    await oracle.until_committed(sink)
    await oracle.until_committed(sink, topic=other)
    admin = await admin_of(bench)
    try:
        await admin.delete_topics([other])
    finally:
        await admin.close()
    await produce(servers, topic, documents(10, start=10))
    await oracle.until_committed(sink)
    assert (await sink.ask("/healthz"))[0] == 200
    await sink.stopped()
    ours = [key for key in oracle.object_keys() if f"/{topic}/" in key]
    assert len(ours) == 4
    assert len(oracle.object_keys()) == 6


async def test_a_fault_in_one_task_ends_the_process_and_loses_nothing(bench: Bench) -> None:
    """A class of the user raises what is no Exception: nobody could have expected it."""
    bench.expects_faults = True
    (bench.directory / "odd_converter.py").write_text(CONVERTER)
    topic, oracle = await bench.topic(), Oracle(bench)
    path = {"PYTHONPATH": str(bench.directory)}
    # A batch for each record, so that some are cut before.
    for number in range(20):
        await produce(bench.kafka.bootstrap_servers, topic, [_plain(number)])
    sink = bench.sink({"records": {"value": "odd_converter:Converter"}, "rotate": {"records": 5}})
    sink.start({**path, "BOOM": "1"})
    assert await sink.ended() == 1
    assert "odd_converter.Boom" in sink.text()
    sink.start(path)
    await oracle.until_committed(sink)
    await sink.stopped()
    assert [o.first for o in await oracle.verify()] == [0, 5, 10, 15]


def _plain(number: int) -> Sent:
    return Sent(json.dumps({"n": number, "x": 1}).encode())


async def test_two_members_of_one_name_lose_and_double_nothing(bench: Bench) -> None:
    """The later one takes the name; whoever had it may write and commit nothing more."""
    topic, oracle = await bench.topic(partitions=2), Oracle(bench)
    servers = bench.kafka.bootstrap_servers
    overrides = {"kafka": {"group_instance_id": "the-same"}, "rotate": {"records": 5}}
    first, second = bench.sink(overrides), bench.sink(overrides)
    first.start()
    await first.ready()
    await produce(servers, topic, documents(20, partitions=2))
    await oracle.until_committed(first)
    second.start()
    await second.until_metric("rebalances_total", 1)
    await produce(servers, topic, documents(20, start=20, partitions=2))
    await oracle.until_committed(first, second)
    first.kill()
    second.kill()
    third = bench.sink(overrides)
    third.start()
    await produce(servers, topic, documents(20, start=40, partitions=2))
    await oracle.until_committed(third)
    await third.stopped()
    await oracle.verify()


def test_every_odd_record_has_its_place() -> None:
    values: Sequence[bytes | None] = [record.value for record in (*ODD.values(), *POISON.values())]
    assert len(set(values)) == len(values)
    assert len(PLACES) == len(ODD)
