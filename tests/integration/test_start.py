"""Where a sink begins that its group knows nothing of."""

from tests.integration.harness import Bench, all_of
from tests.integration.oracle import Expected, Oracle
from tests.integration.producing import documents, produce


async def test_latest_begins_behind_what_is_there(bench: Bench) -> None:
    topic, servers = await bench.topic(), bench.kafka.bootstrap_servers
    await produce(servers, topic, documents(7))
    sink, oracle = bench.sink({"kafka": {"start_from": "latest"}}), Oracle(bench)
    sink.start()
    # The start is committed at once: a crash right behind it moves nothing.
    await oracle.until_committed(sink)
    sink.kill()
    await produce(servers, topic, documents(5, start=7))
    objects = await Oracle(bench, Expected(starts={0: 7})).run(sink, 5)
    assert [(o.first, o.last) for o in objects] == [(7, 11)]


async def test_a_group_that_is_gone_holds_where_objects_lie_already(bench: Bench) -> None:
    """And `fail` holds wherever the group knows nothing; an operator's word moves both on."""
    topic, oracle = await bench.topic(), Oracle(bench)
    await produce(bench.kafka.bootstrap_servers, topic, documents(10))
    sink = bench.sink({"kafka": {"start_from": "fail"}, "rotate": {"records": 5}})
    sink.start()
    await sink.until_failed(f"{topic}-0", "start_from is fail")
    assert oracle.object_keys() == []
    sink.reconfigure({"kafka": {"start_from": None}})
    await oracle.until_committed(sink)
    await sink.stopped()
    await oracle.verify()
    sink.reconfigure({"kafka": {"group_id": f"other-{bench.name}"}})
    sink.start()
    await sink.until_failed(f"{topic}-0", "set kafka.start_from")
    await sink.not_ready(f"{topic}-0")
    sink.reconfigure({"kafka": {"start_from": "earliest"}})
    # Every object is there already, with the same records.
    await sink.until_metric("uploads_total", 2, outcome="existed")
    await sink.stopped()
    await oracle.verify()


async def test_topics_that_are_made_later_are_found(bench: Bench) -> None:
    """With the next list of topics, which is at most 30 s old."""

    async def by_pattern(own: Bench) -> None:
        servers = own.kafka.bootstrap_servers
        first = await own.topic(name=f"{own.name}.a")
        # The whole name must match: this one is nobody's.
        await produce(servers, await own.topic(name=f"{own.name}.ab"), documents(5))
        await produce(servers, first, documents(5))
        pattern, oracle = f"{own.name}\\.(a|b)", Oracle(own)
        sink = own.sink({"kafka": {"topics_pattern": pattern}, "rotate": {"max_age": "500ms"}})
        sink.start()
        await oracle.until_committed(sink, topic=first)
        second = await own.topic(partitions=2, name=f"{own.name}.b")
        await produce(servers, second, documents(6, partitions=2))
        await oracle.until_committed(sink, topic=second)
        await sink.stopped()
        await oracle.verify(first, second)

    async def by_name(own: Bench) -> None:
        """One that does not exist yet holds back only itself."""
        servers, later = own.kafka.bootstrap_servers, f"{own.name}.later"
        topic, oracle = await own.topic(), Oracle(own)
        await produce(servers, topic, documents(5))
        sink = own.sink({"kafka": {"topics": [topic, later]}, "rotate": {"max_age": "500ms"}})
        sink.start()
        await oracle.until_committed(sink)
        await produce(servers, await own.topic(name=later), documents(5))
        await oracle.until_committed(sink, topic=later)
        await sink.stopped()
        await oracle.verify(topic, later)

    await all_of(pattern=by_pattern(bench.sibling()), name=by_name(bench.sibling()))
