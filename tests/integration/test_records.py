"""Bad records, null values, aborted transactions: what is passed by, and what stops."""

import json
from typing import Any

from tests.integration.harness import Bench, all_of
from tests.integration.oracle import Expected, Oracle, json_row
from tests.integration.producing import Sent, document, documents, produce, produce_transactions

POISON = Sent(b'{"n": 1, "n" 2}', b'"k"')
NULL = Sent(None, b'"k"')


def good_row(record: Any) -> bytes | None:
    """None for what is no JSON document."""
    try:
        json.loads(record.value or b"null")
    except ValueError:
        return None
    return json_row(record)


def not_null_row(record: Any) -> bytes | None:
    return None if record.value is None else json_row(record)


async def test_a_bad_record_stops_its_topic_partition_and_the_last_one_ends_the_process(
    bench: Bench,
) -> None:
    topic, servers = await bench.topic(partitions=2), bench.kafka.bootstrap_servers
    await produce(servers, topic, [*documents(20), POISON, *documents(9, start=20)])
    sink, oracle = (
        bench.sink({"rotate": {"records": 8}}),
        Oracle(bench, Expected(ends={0: 20, 1: 10})),
    )
    sink.start()
    trace = await sink.until_failed(f"{topic}-0", "offset 20")
    assert "n" in trace
    await sink.not_ready(f"{topic}-0")
    assert (await sink.ask("/healthz"))[0] == 200
    # The other one goes on, until it has a bad record too.
    await produce(servers, topic, [Sent(document(n), partition=1) for n in range(10)])
    await sink.until_metric("records_total", 30)
    await sink.flushed()
    await produce(servers, topic, [Sent(POISON.value, partition=1)])
    assert await sink.ended() == 1
    await oracle.verify()
    assert f"{topic}-1" in sink.text()
    await _mended(bench, Oracle(bench, Expected(row=good_row)))


async def _mended(bench: Bench, oracle: Oracle) -> None:
    """The same with `skip`: goes on where it stopped; the sink's name and group are the same."""
    sink = bench.sink({"rotate": {"records": 8}, "records": {"on_error": "skip"}})
    sink.start()
    await sink.until_metric("records_skipped_total", 2)
    await sink.until_metric("records_total", 9)
    await sink.flushed()
    await oracle.until_committed(sink)
    await sink.stopped()
    await oracle.verify()


async def test_lag_reaches_zero_behind_what_is_never_delivered(bench: Bench) -> None:
    async def skipped() -> None:
        own = bench.sibling()
        topic, oracle = await own.topic(), Oracle(own, Expected(row=good_row))
        records = [POISON, *documents(5), POISON, *documents(5, start=5), POISON, POISON]
        await produce(own.kafka.bootstrap_servers, topic, records)
        sink = own.sink({"records": {"on_error": "skip"}, "rotate": {"records": 4}})
        await oracle.run(sink, 10)
        assert sink.text().count("ERROR") == 0

    async def nulls() -> None:
        own = bench.sibling()
        topic, oracle = await own.topic(), Oracle(own, Expected(row=not_null_row))
        await produce(own.kafka.bootstrap_servers, topic, [NULL, *documents(3), NULL, NULL])
        await oracle.run(own.sink({"records": {"on_null_value": "skip"}}), 3)

    async def aborted() -> None:
        own = bench.sibling()
        topic, oracle = await own.topic(), Oracle(own)
        await produce_transactions(
            own.kafka.bootstrap_servers, topic, documents(10), aborted=documents(5, start=90)
        )
        objects = await oracle.run(own.sink({"rotate": {"records": 10}}), 10)
        assert [(o.first, o.last) for o in objects] == [(0, 9)]

    async def only_aborted() -> None:
        own = bench.sibling()
        topic, oracle = await own.topic(), Oracle(own)
        await produce_transactions(
            own.kafka.bootstrap_servers, topic, documents(0), aborted=documents(5)
        )
        sink = own.sink()
        sink.start()
        await oracle.until_committed(sink)
        await sink.until_metric("lag_records", 0)
        await sink.stopped()
        assert await oracle.verify() == []

    await all_of(skipped=skipped(), nulls=nulls(), aborted=aborted(), only_aborted=only_aborted())


async def test_a_null_value_stops_where_that_is_asked_for(bench: Bench) -> None:
    topic, oracle = await bench.topic(), Oracle(bench, Expected(ends={0: 3}))
    await produce(bench.kafka.bootstrap_servers, topic, [*documents(3), NULL, *documents(3)])
    sink = bench.sink({"records": {"on_null_value": "stop"}})
    sink.start()
    assert await sink.ended() == 1
    await oracle.verify()
    assert "offset 3" in sink.text()
