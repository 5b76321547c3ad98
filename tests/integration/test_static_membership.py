"""`kafka.group_instance_id`: a member that restarts is taken for the same one."""

from tests.integration.harness import Bench, SinkProcess
from tests.integration.oracle import Oracle
from tests.integration.producing import documents, produce

SESSION = "20s"
"""Longer than any restart of this test."""


async def owned(sink: SinkProcess) -> set[str]:
    """Numbers of the topic partitions that it shows a lag of."""
    lines = (await sink.ask("/metrics"))[1].splitlines()
    shown = [line for line in lines if line.startswith("spoolsink_lag_records{")]
    return {line.split('partition="')[1].split('"')[0] for line in shown}


async def until_owning(sink: SinkProcess, count: int) -> set[str]:
    async def is_so() -> bool:
        return len(await owned(sink)) == count

    await sink.until(f"it owns {count} topic partitions", is_so)
    return await owned(sink)


async def test_a_member_that_restarts_keeps_its_topic_partitions_and_nobody_else_notices(
    bench: Bench,
) -> None:
    topic, oracle = await bench.topic(partitions=4), Oracle(bench)
    servers = bench.kafka.bootstrap_servers
    await produce(servers, topic, documents(40, partitions=4))
    first, second = (
        bench.sink(
            {
                "kafka": {"group_instance_id": f"{bench.name}-{name}", "session_timeout": SESSION},
                "rotate": {"records": 5},
            }
        )
        for name in ("a", "b")
    )
    first.start()
    await until_owning(first, 4)
    second.start()
    firsts = await until_owning(first, 2)
    seconds = await until_owning(second, 2)
    assert firsts | seconds == {"0", "1", "2", "3"}
    seen = {sink: await sink.metric("rebalances_total") for sink in (first, second)}
    # Of both kinds: the member that joined first leads the group.
    for restarted, other, own in ((first, second, firsts), (second, first, seconds)):
        await restarted.stopped()
        restarted.start()
        assert await until_owning(restarted, 2) == own
        await restarted.ready()
        await produce(servers, topic, documents(20, start=40, partitions=4))
        await oracle.until_committed(first, second, flushes=True)
        assert await other.metric("rebalances_total") == seen[other]
        assert await restarted.metric("rebalances_total") == 1
        seen[restarted] = 1
    for sink in (first, second):
        await sink.stopped()
    await oracle.verify()
