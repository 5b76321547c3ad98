"""When a cut ends, and when an object is full, on the real command line."""

import gzip
import json
from typing import Any

import pytest

from tests.integration.harness import Bench, all_of
from tests.integration.oracle import Expected, Oracle, StoredObject
from tests.integration.producing import Sent, documents, produce

BY_USER = {"partition": "user={value.user.id}"}
BY_NUMBER = {"partition": "n={value.n}"}


def user(record: Any) -> str:
    return f"user={json.loads(record.value)['user']['id']}"


def number(record: Any) -> str:
    return f"n={json.loads(record.value)['n']}"


def starts_of(objects: list[StoredObject]) -> list[int]:
    return sorted({o.number("cut") for o in objects})


def starts_by_bytes(records: list[Sent], limit: int) -> list[int]:
    """The record that reaches the limit is the last of its cut."""
    starts, held = [0], 0
    for offset, record in enumerate(records):
        held += len(record.value or b"") + 1
        if held >= limit and offset + 1 < len(records):
            starts.append(offset + 1)
            held = 0
    return starts


RECORDS = documents(100)

BY_RECORDS_ALONE: dict[str, tuple[dict[str, Any], dict[str, Any], Expected, list[int]]] = {
    "records": ({"records": 30}, BY_USER, Expected(user), [0, 30, 60, 90]),
    "bytes": ({"bytes": "2KiB"}, BY_USER, Expected(user), starts_by_bytes(RECORDS, 2048)),
    "interval": ({"interval": "25m"}, BY_USER, Expected(user), [0, 25, 50, 75]),
    "max_open": ({"max_open": 40}, BY_NUMBER, Expected(number), [0, 40, 80]),
}


async def test_cuts_end_where_the_records_say(bench: Bench) -> None:
    async def scenario(name: str) -> None:
        rotate, layout, expected, starts = BY_RECORDS_ALONE[name]
        own = bench.sibling()
        # Two Kafka batches at least, neither of which ends where a cut does.
        topic, servers = await own.topic(), bench.kafka.bootstrap_servers
        await produce(servers, topic, RECORDS[:37])
        await produce(servers, topic, RECORDS[37:])
        objects = await Oracle(own, expected).run(
            own.sink({"rotate": rotate, "layout": layout}), 100
        )
        assert starts_of(objects) == starts, name

    await all_of(**{name: scenario(name) for name in BY_RECORDS_ALONE})


async def test_cuts_end_by_the_clock_without_new_records(bench: Bench) -> None:
    async def scenario(reason: str) -> None:
        own = bench.sibling()
        topic, oracle = await own.topic(), Oracle(own)
        sink = own.sink({"rotate": {reason: "1s"}})
        sink.start()
        await sink.ready()
        for round_number in range(2):
            records = documents(10, start=round_number * 10)
            await produce(bench.kafka.bootstrap_servers, topic, records)
            await sink.until_metric("cuts_total", round_number + 1, reason=reason)
        await oracle.until_committed(sink)
        await sink.stopped()
        assert len(await oracle.verify()) >= 2

    await all_of(max_age=scenario("max_age"), schedule=scenario("schedule"))


async def test_full_splits_go_up_before_their_cut_ends(bench: Bench) -> None:
    """By records: each S3 partition's object ends by itself, and the offset stays behind."""
    topic, oracle = await bench.topic(), Oracle(bench, Expected(user))
    await produce(bench.kafka.bootstrap_servers, topic, RECORDS)
    sink = bench.sink({"rotate": {"object_records": 10}, "layout": BY_USER})
    sink.start()
    await sink.until_metric("uploads_total", 9)
    offset, metadata = (await oracle.committed(topic))[0]
    assert offset == 0
    assert metadata.split(";")[6], "no floor is committed"
    assert all(o.said("cut-end") is None for o in oracle.objects())
    await sink.flushed()
    await oracle.until_committed(sink)
    await sink.stopped()
    objects = await oracle.verify()
    assert sorted(o.number("records") for o in objects) == [3, 3, 4, *[10] * 9]


@pytest.mark.parametrize("compression", ["none", "gzip"])
async def test_large_objects_go_up_in_parts(bench: Bench, compression: str) -> None:
    """Splits of 6 MiB in parts of 5 MiB; compressed they are one Put each."""
    topic = await bench.topic()
    await produce(bench.kafka.bootstrap_servers, topic, documents(150, padding=100_000))
    sink = bench.sink(
        {
            "rotate": {"object_bytes": "6MiB"},
            "s3": {"part_size": "5MiB"},
            "format": {"compression": compression},
        }
    )
    is_gzip = compression == "gzip"
    expected = Expected(
        extension=".json.gz" if is_gzip else ".json", read=gzip.decompress if is_gzip else bytes
    )
    objects = await Oracle(bench, expected).run(sink, 150)
    tags = [bench.store.head_object(Bucket=bench.bucket, Key=o.key)["ETag"] for o in objects]
    assert [tag.strip('"').partition("-")[2] for tag in tags] == ["" if is_gzip else "2"] * 2 + [""]


async def test_a_flush_ends_what_is_open_and_says_when_it_is_committed(bench: Bench) -> None:
    topic, oracle = await bench.topic(), Oracle(bench)
    sink = bench.sink()
    sink.start()
    await sink.ready()
    assert (await sink.ask("/flush?wait=nonsense", "POST"))[0] == 400
    assert (await sink.ask("/flush?wait=5s", "POST"))[0] == 200
    await produce(bench.kafka.bootstrap_servers, topic, documents(5))
    await sink.until_metric("records_total", 5)
    assert (await oracle.committed(topic)).get(0, (0, ""))[0] == 0
    assert (await sink.ask("/flush", "POST"))[0] == 202
    await oracle.until_committed(sink)
    await produce(bench.kafka.bootstrap_servers, topic, documents(5, start=5))
    await sink.until_metric("records_total", 10)
    assert (await sink.ask("/flush?wait=30s", "POST"))[0] == 200
    assert (await oracle.committed(topic))[0][0] == 10
    await sink.stopped()
    assert starts_of(await oracle.verify()) == [0, 5]
