"""Kafka, S3, the disk and the process itself go away and come back; everything arrives once."""

import shutil
from pathlib import Path
from typing import Any

from tests.integration.harness import Bench, SinkProcess, all_of
from tests.integration.oracle import Oracle
from tests.integration.producing import documents, produce

SMALL_SPOOL = {"max_bytes": "4MiB", "write_buffer": "1MiB", "pause_at": 0.6, "resume_at": 0.4}
MIB = 1 << 20
FROM_THE_START = {"kafka": {"start_from": "earliest"}}
"""Without it a new group asks S3 for objects of its topic before it begins."""


def bytes_below(directory: Path) -> int:
    found = 0
    for path in directory.rglob("*"):
        try:
            found += path.stat().st_size if path.is_file() else 0
        except FileNotFoundError:
            continue
    return found


async def test_a_sleeper_that_wakes_after_its_session_writes_nothing_twice(bench: Bench) -> None:
    topic, servers = await bench.topic(partitions=2), bench.kafka.bootstrap_servers
    oracle = Oracle(bench)
    sleeper, other = bench.sink(), bench.sink()
    sleeper.start()
    await sleeper.ready()
    await produce(servers, topic, documents(40, partitions=2))
    await sleeper.until_metric("records_total", 40)
    sleeper.suspend()
    other.start()
    await produce(servers, topic, documents(40, start=40, partitions=2))
    await other.until_metric("records_total", 80)
    await other.flushed()
    await oracle.until_committed(other)
    sleeper.resume()
    # What it held open is no longer its own, also where it gets the topic partition back.
    await sleeper.until_metric("rebalances_total", 2)
    await sleeper.ready()
    await other.ready()
    await produce(servers, topic, documents(40, start=80, partitions=2))
    await oracle.until_committed(sleeper, other, flushes=True)
    for sink in (sleeper, other):
        await sink.stopped()
    objects = await oracle.verify()
    assert [(o.first, o.last) for o in objects if o.first < 40] == [(0, 39), (0, 39)]


async def test_a_store_that_is_away_fills_the_spool_to_its_limit_and_no_further(
    bench: Bench,
) -> None:
    async def scenario(name: str) -> None:
        own = bench.sibling().own_s3()
        topic, oracle = await own.topic(), Oracle(own)
        sink = own.sink({**FROM_THE_START, "spool": SMALL_SPOOL, "rotate": {"records": 5}})
        sink.start()
        await sink.ready()
        (own.s3.suspend if name == "hangs" else own.s3.stop)()
        await produce(own.kafka.bootstrap_servers, topic, documents(100, padding=100_000))
        await sink.until_metric("paused", 1, reason="spool")
        await sink.not_ready("s3")
        assert (await sink.ask("/healthz"))[0] == 200
        assert bytes_below(sink.spool) <= 4 * MIB
        assert sink.resident_bytes() < 200 * MIB
        assert await sink.metric("records_total") < 50
        (own.s3.resume if name == "hangs" else own.s3.start)()
        await sink.until_metric("records_total", 100)
        await oracle.until_committed(sink)
        # It was a member all the time.
        assert await sink.metric("rebalances_total") == 1
        await sink.ready()
        await sink.stopped()
        await oracle.verify()

    await all_of(hangs=scenario("hangs"), refuses=scenario("refuses"))


async def test_a_spool_full_of_open_cuts_ends_them_early(bench: Bench) -> None:
    topic, oracle = await bench.topic(partitions=2), Oracle(bench)
    records = documents(100, padding=100_000, partitions=2)
    await produce(bench.kafka.bootstrap_servers, topic, records)
    sink = bench.sink({"spool": SMALL_SPOOL})
    objects = await oracle.run(sink, 100)
    assert len(objects) > 2


async def test_a_bucket_that_is_made_later_is_waited_for(bench: Bench) -> None:
    own = bench.sibling(has_bucket=False)
    topic, oracle = await own.topic(), Oracle(own)
    await produce(own.kafka.bootstrap_servers, topic, documents(10))
    sink = own.sink({**FROM_THE_START, "rotate": {"records": 5}})
    sink.start()
    trace = await sink.until_failed("NoSuchBucket")
    assert own.bucket in trace
    await sink.not_ready("NoSuchBucket")
    own.make_bucket()
    # A restart by the operator tries again at once.
    assert (await sink.ask(f"/connectors/{own.name}/restart", "POST"))[0] == 204
    await oracle.until_committed(sink)
    await sink.ready()
    await sink.stopped()
    await oracle.verify()


async def test_a_restart_does_not_wait_for_what_the_file_has_mended(bench: Bench) -> None:
    """The sealed work of the wrong bucket could never be finished within the grace."""
    topic, oracle = await bench.topic(), Oracle(bench)
    await produce(bench.kafka.bootstrap_servers, topic, documents(10))
    overrides = {**FROM_THE_START, "rotate": {"records": 5}, "shutdown_grace": "10m"}
    sink = bench.sink(overrides | {"s3": {"bucket": "nosuch"}})
    sink.start()
    await sink.until_failed("NoSuchBucket")
    await sink.until_metric("cuts_total", 2)
    sink.reconfigure({"s3": {"bucket": bench.bucket}})
    await oracle.until_committed(sink)
    await sink.stopped()
    await oracle.verify()


async def test_a_broker_that_restarts_is_found_again(bench: Bench) -> None:
    topic, oracle = await bench.topic(), Oracle(bench)
    servers = bench.kafka.bootstrap_servers
    sink = bench.sink({"rotate": {"records": 10}})
    sink.start()
    await produce(servers, topic, documents(25))
    await sink.until_metric("records_total", 25)
    bench.kafka.stop()
    try:
        await sink.not_ready("kafka")
        assert (await sink.ask("/healthz"))[0] == 200
    finally:
        bench.kafka.start()
    await produce(servers, topic, documents(25, start=25))
    await oracle.until_committed(sink, flushes=True)
    await sink.ready()
    await sink.stopped()
    await oracle.verify()


async def test_damaged_segments_are_read_again_from_kafka(bench: Bench) -> None:
    own = bench.own_s3()
    topic, oracle = await own.topic(), Oracle(own)
    await produce(own.kafka.bootstrap_servers, topic, documents(50))
    sink = own.sink({**FROM_THE_START, "rotate": {"records": 10}})
    own.s3.suspend()
    sink.start()
    await sink.until_metric("cuts_total", 5)
    await _until_promised(own, oracle, sink)
    sink.kill()
    assert oracle.object_keys() == []
    sealed = sorted(sink.spool.rglob("*.sealed"), key=lambda path: int(path.stem))
    assert len(sealed) == 5
    _flip_a_byte(sealed[1])
    sealed[2].write_bytes(sealed[2].read_bytes()[:-7])
    sealed[3].unlink()
    own.s3.resume()
    sink.start()
    await oracle.until_committed(sink)
    await sink.stopped()
    objects = await oracle.verify()
    assert [o.first for o in objects] == [0, 10, 20, 30, 40]


def _flip_a_byte(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 3] ^= 0x10
    path.write_bytes(data)


async def _until_promised(own: Bench, oracle: Oracle, sink: SinkProcess) -> None:
    """All five intents are in the commit metadata, and nothing is in S3."""

    async def is_so() -> bool:
        found: dict[int, Any] = await oracle.committed(own.name)
        return 0 in found and found[0][1].split(";")[5].count(",") == 4

    await sink.until("five intents are committed", is_so)


async def test_a_spool_that_is_wiped_between_two_runs_costs_nothing(bench: Bench) -> None:
    topic, oracle = await bench.topic(), Oracle(bench)
    await produce(bench.kafka.bootstrap_servers, topic, documents(25))
    sink = bench.sink({"rotate": {"records": 10}})
    sink.start()
    await sink.until_metric("records_total", 25)
    await sink.stopped()
    shutil.rmtree(sink.spool)
    await oracle.run(sink, 5)
