"""`spoolsink restore` on real servers: what the sink has backed up, back as it was, each once."""

import asyncio
import re
import signal
import sys
import time
from collections import defaultdict
from io import StringIO
from pathlib import Path
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from spoolsink.config import load
from spoolsink.progress import Progress
from spoolsink.restore import run_restore
from spoolsink.restore.selection import Selection
from tests.integration.harness import ROOT, Bench, all_of, eventually
from tests.integration.oracle import Oracle
from tests.integration.producing import START_MS

TIME = START_MS
KEYS = (None, b"", b"k1", b"\xff\x00 binary", "schlüssel".encode())
HEADERS: tuple[list[tuple[str, bytes | None]], ...] = (
    [],
    [("h", b"1"), ("h", b"2"), ("a", None), ("h", b"1")],
    [("binär", b"\xfe\xff"), ("empty", b"")],
)


def record(number: int, value: bytes | None, key: bytes | None) -> dict[str, Any]:
    """Times go back and forth, headers repeat."""
    return {
        "timestamp": TIME + (number * 7919) % 86_400_000,
        "key": key,
        "value": value,
        "headers": HEADERS[number % 3],
    }


def records_of(kind: str, count: int) -> list[dict[str, Any]]:
    """Every fifth a tombstone, some with neither key nor value."""
    values = {
        "bytes": [b"\x00\xff\n\r", b"", b"plain"],
        "string": ['"quoted"\n\u2028 text \U0001f600'.encode(), b"", b'{"base64":"eA=="}'],
        "json": [b'{"a": 1.50, "a": 12345678901234567890123}', b"null", b'[1,\t"\\ud800"]'],
    }[kind]
    keys = KEYS if kind != "string" else (None, b"", b"k1")
    if kind == "json":
        keys = (None, b'{"k":1.0}', b'"text"')
    return [
        record(n, None if n % 5 == 4 else values[n % 3], keys[n % len(keys)]) for n in range(count)
    ]


async def produce(servers: str, topic: str, partition: int, records: list[dict[str, Any]]) -> None:
    """In batches of our own making: `send` takes no record without key and value."""
    async with AIOKafkaProducer(bootstrap_servers=servers) as producer:
        while records:
            batch = producer.create_batch()
            taken = 0
            while taken < len(records) and batch.append(**records[taken]) is not None:
                taken += 1
            await (await producer.send_batch(batch, topic, partition=partition))
            records = records[taken:]


async def contents(servers: str, topic: str, partitions: int) -> dict[int, list[tuple[Any, ...]]]:
    """Every committed record, with all that it has but its offset."""
    found: dict[int, list[tuple[Any, ...]]] = defaultdict(list)
    async with AIOKafkaConsumer(
        bootstrap_servers=servers, isolation_level="read_committed", enable_auto_commit=False
    ) as consumer:
        tps = [TopicPartition(topic, number) for number in range(partitions)]
        consumer.assign(tps)
        await consumer.seek_to_beginning(*tps)
        ends = await consumer.end_offsets(tps)
        while [tp for tp in tps if await consumer.position(tp) < ends[tp]]:
            for tp, batch in (await consumer.getmany(timeout_ms=100)).items():
                found[tp.partition] += [
                    (r.timestamp, r.timestamp_type, r.key, r.value, tuple(r.headers)) for r in batch
                ]
    return found


async def backed_up(
    bench: Bench, overrides: dict[str, Any], kind: str, count: int = 60
) -> tuple[str, dict[int, list[tuple[Any, ...]]]]:
    """Three partitions in S3, the sink ended: the configuration's path, and the topic's records."""
    servers = bench.kafka.bootstrap_servers
    topic = await bench.topic(3)
    records = records_of(kind, 3 * count)
    for number in range(3):
        await produce(servers, topic, number, records[number::3])
    kinds = {"key": kind, "value": kind, "form": "full"}
    sink = bench.sink({"records": kinds, "rotate": {"records": 25}, **overrides})
    sink.start()
    await sink.ready()
    await sink.flushed()
    await Oracle(bench).until_committed(sink, flushes=True)
    await sink.stopped()
    return str(sink.config), await contents(servers, topic, 3)


async def restored(config: str, selection: Selection) -> str:
    """What a run that ends well says; in this process, for a new one costs more than it does."""
    out, quiet = StringIO(), Progress(StringIO(), monotonic=time.monotonic, width=None)
    settings = load(Path(config), {})
    status = await asyncio.to_thread(
        run_restore, settings, selection, rate=None, out=out, progress=quiet
    )
    assert status == 0
    return out.getvalue()


async def spoolsink(*arguments: str) -> tuple[int, str, str]:
    """Exit status, standard output and standard error."""
    done = await started(*arguments)
    try:
        out, err = await asyncio.wait_for(done.communicate(), 60)
    finally:
        if done.returncode is None:
            done.kill()
            await done.communicate()
    assert done.returncode is not None
    return done.returncode, out.decode(), err.decode()


async def started(*arguments: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-W", "always::ResourceWarning", "-m", "spoolsink", *arguments),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def _round_trip(bench: Bench, overrides: dict[str, Any], kind: str) -> None:
    config, before = await backed_up(bench, overrides, kind)
    target = await bench.topic(3, name=f"{bench.name}-again")
    told = await restored(config, Selection(bench.name, target))
    assert told.startswith(f"180 records of {bench.name} sent to {target}")
    assert await contents(bench.kafka.bootstrap_servers, target, 3) == before
    told = await restored(config, Selection(bench.name, target))
    assert told.startswith(f"0 records of {bench.name} sent")
    assert await contents(bench.kafka.bootstrap_servers, target, 3) == before


async def _killed(bench: Bench) -> None:
    """SIGKILL in the middle, twice, and the end: every record once, in order."""
    by_time = {"partition": "at={time:%H}"}
    config, before = await backed_up(bench, {"layout": by_time}, "bytes", 400)
    servers, target = bench.kafka.bootstrap_servers, await bench.topic(4, name=f"{bench.name}-k")
    for wanted in (100, 500):
        restore = await started("restore", config, "--to-topic", target, "--rate", "300")

        async def has_begun(wanted: int = wanted) -> bool:
            return sum(map(len, (await contents(servers, target, 4)).values())) >= wanted

        await eventually(f"{wanted} records are sent", has_begun)
        restore.send_signal(signal.SIGKILL)
        await restore.communicate()
    assert sum(map(len, (await contents(servers, target, 4)).values())) < 1200
    status, _, err = await spoolsink("restore", config, "--to-topic", target)
    assert (status, err) == (0, "")
    assert await contents(servers, target, 4) == before


async def _chosen(bench: Bench) -> None:
    """By time, by offset, by partition; and what cannot be done."""
    config, before = await backed_up(bench, {}, "bytes")
    servers = bench.kafka.bootstrap_servers
    by_time = await bench.topic(3, name=f"{bench.name}-t")
    times = ("--from", "2021-07-04T12:00:00+02:00", "--until", "2021-07-04T16:00:00Z")
    status, _, err = await spoolsink("restore", config, "--to-topic", by_time, *times)
    assert (status, err) == (0, "")
    low, high = START_MS, START_MS + 6 * 3_600_000
    assert await contents(servers, by_time, 3) == {
        number: chosen
        for number, found in before.items()
        if (chosen := [r for r in found if low <= r[0] < high])
    }
    by_offset = await bench.topic(3, name=f"{bench.name}-o")
    offsets = ("--partition", "2", "--from-offset", "5", "--until-offset", "31")
    status, _, err = await spoolsink("restore", config, "--to-topic", by_offset, *offsets)
    assert await contents(servers, by_offset, 3) == {2: before[2][5:31]}
    few = await bench.topic(2, name=f"{bench.name}-few")
    own_times = await bench.topic(
        3, name=f"{bench.name}-log", message_timestamp_type="LogAppendTime"
    )
    for topic, expected, words in (
        (few, 2, f"--to-topic: {few} has 2 partitions; needed: 3"),
        ("not-there", 2, "--to-topic: the topic not-there does not exist"),
        (own_times, 1, "sets its own timestamps"),
    ):
        status, _, err = await spoolsink("restore", config, "--to-topic", topic)
        assert (status, words in err) == (expected, True), err
        assert not re.search("Traceback|never awaited|Unclosed", err)
    assert await contents(servers, few, 2) == await contents(servers, own_times, 3) == {}


async def test_records_come_back_as_they_were(bench: Bench) -> None:
    gzip, zstd = ({"format": {"compression": name}} for name in ("gzip", "zstd"))
    avro = {"format": {"type": "avro", "compression": "zstd"}}
    parquet = {"format": {"type": "parquet", "compression": "snappy"}}
    await all_of(
        avro=_round_trip(bench.sibling(), avro, "json"),
        parquet=_round_trip(bench.sibling(), parquet, "bytes"),
        json=_round_trip(bench.sibling(), gzip, "json"),
        string=_round_trip(bench.sibling(), zstd, "string"),
        bytes=_round_trip(bench.sibling(), {"layout": {"partition": "at={time:%H}"}}, "bytes"),
    )


async def test_a_restore_that_is_killed_goes_on_and_what_is_chosen_is_sent(bench: Bench) -> None:
    await all_of(killed=_killed(bench.sibling()), chosen=_chosen(bench.sibling()))
