"""Every alert on real servers: provoked, looked at as the runbook says, and mended by its remedy.

The rules are those of deploy/ with seconds for minutes, and smaller numbers where a count takes
long (`HURRIED`); with their own times promtool tests them. Two sinks: S3 is away for `Away`, and
Kafka's side goes wrong for `Astray`.
"""

import asyncio
import re
import shlex
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
from aiokafka import TopicPartition
from aiokafka.admin import RecordsToDelete

from tests.integration.group import Group
from tests.integration.harness import ROOT, Bench, SinkProcess, all_of, eventually
from tests.integration.producing import Sent, documents, produce, producer_on, send
from tests.integration.s3_faults import Refusal, S3Faults
from tests.servers.processes import free_port
from tests.servers.prometheus import Prometheus, PrometheusServer, scraping

RULES = ROOT / "deploy" / "prometheus" / "spoolsink.rules.yaml"
RUNBOOK = ROOT / "docs" / "runbook.md"

HURRIED = {
    r"for: \d+m\b": "for: 1s",
    r"\[5m\]": "[10s]",
    r"\[(15m|30m|1h)\]": "[12s]",
    r"offset (15m|1h)\b": "offset 12s",
    r"seconds:max > 1800\b": "seconds:max > 3",
    r"sum > 100000\b": "sum > 100",
    r"\) > 5$": ") > 2",
    r"\) > 10$": ") > 2",
}
"""What is otherwise than in deploy/; each is found there."""

SESSION = "3s"
"""Long enough to keep on a machine with other work, and over soon where the sink is suspended."""


BOUND_SECONDS = 120.0
"""For an alert to fire or end: many of its windows, for a machine with other work."""


def hurried(rules: str) -> str:
    for pattern, instead in HURRIED.items():
        rules, count = re.subn(pattern, instead, rules, flags=re.MULTILINE)
        assert count, pattern
    return rules


def first_looks() -> dict[str, str]:
    """The command that each alert's section of the runbook begins with."""
    return dict(re.findall(r"^### (\w+)\n\nFirst: `([^`]+)`$", RUNBOOK.read_text(), re.MULTILINE))


@dataclass
class Watched:
    """A sink at a fixed address, and what Prometheus says of it."""

    sink: SinkProcess
    topic: str
    address: str
    prometheus: Prometheus
    provoked: set[str] = field(default_factory=set)

    async def fires(self, alert: str, *told: str, **labels: str) -> None:
        """Firing, and its description names these."""
        found: list[dict[str, Any]] = []

        async def is_firing() -> bool:
            found[:] = await self.prometheus.alerts(alert, "firing", **labels)
            return bool(found)

        await self._until(f"{alert} fires {labels}", is_firing)
        description = found[0]["annotations"]["description"]
        assert all(word in description for word in told), (alert, description)
        self.provoked.add(alert)

    async def looks(self, alert: str, *words: str) -> None:
        """The runbook's first command, as it stands there but for names, answers with these.

        Not at once: a hold is found anew at each assignment, a count may be a scrape ahead.
        """
        command = first_looks()[alert].replace("localhost:8083", self.address)
        command = command.replace("CONFIG.yaml", shlex.quote(str(self.sink.config)))
        command = re.sub(r"^spoolsink\b", f"{shlex.quote(sys.executable)} -m spoolsink", command)
        told = [""]

        async def answers() -> bool:
            told[0] = await output_of("sh", "-c", command)
            return all(word in told[0] for word in words)

        claim = f"{alert}: {command} answers with {words}"
        await self._until(claim, answers, lambda: told[0])

    async def is_over(self, *alerts: str, **labels: str) -> None:
        """Resolved, each of them."""
        left = list(alerts)

        async def are_over() -> bool:
            left[:] = [a for a in left if await self.prometheus.alerts(a, "firing", **labels)]
            return not left

        await self._until(f"over {labels}", are_over, lambda: str(left))

    async def _until(
        self, claim: str, ask: Callable[[], Awaitable[bool]], more: Callable[[], str] = str
    ) -> None:
        def said() -> str:
            return f"{more()}\n{self.sink.tail()}"

        await eventually(claim, ask, seconds=BOUND_SECONDS, more=said)

    async def operated(self, call: str) -> None:
        """PUT or POST of Connect's REST, accepted."""
        method, operation = call.split(" ")
        status, body = await self.sink.ask(f"/connectors/{self.topic}/{operation}", method)
        assert status in {202, 204}, (call, status, body)


async def output_of(*command: str) -> str:
    """Both streams; the status is the command's own way of telling."""
    process = await asyncio.create_subprocess_exec(
        *command, cwd=ROOT, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    told, _ = await asyncio.wait_for(process.communicate(), 60)
    return told.decode()


@asynccontextmanager
async def work(bench: Bench, topic: str, partitions: int = 1) -> AsyncIterator[None]:
    """Records come in for as long as the block runs."""
    is_over = asyncio.Event()

    async def run() -> None:
        start = 1000
        async with producer_on(bench.kafka.bootstrap_servers) as producer:
            while not is_over.is_set():
                await send(producer, topic, documents(10, start=start, partitions=partitions))
                start += 10
                with suppress(TimeoutError):
                    await asyncio.wait_for(is_over.wait(), 0.1)

    working = asyncio.create_task(run())
    try:
        yield
    finally:
        is_over.set()
        await working


# -- S3 is away -----------------------------------------------------------------------------------

AWAY_FROM_S3 = (
    *("SpoolsinkHolds", "SpoolsinkUploadsFail", "SpoolsinkDataNotInS3"),
    *("SpoolsinkLagGrows", "SpoolsinkSpoolFull"),
)


async def away(bench: Bench, prometheus: Prometheus, address: str, s3: S3Faults) -> set[str]:
    """The bucket answers 503 from the start until the end; the other half is damaged meanwhile."""
    topic, servers = await bench.topic(), bench.kafka.bootstrap_servers
    settings: dict[str, Any] = {
        "kafka": {"start_from": "earliest"},
        "rotate": {"records": 20},
        "records": {"on_error": "dead_letter", "dead_letter": {"prefix": "dead"}},
        "spool": {"max_bytes": "4MiB"},
        "s3": {"endpoint_url": s3.endpoint_url},
        "admin": {"listen": address},
    }
    one = Watched(bench.sink(settings), topic, address, prometheus)
    s3.fault = Refusal(503, "ServiceUnavailable")
    one.sink.start()
    await produce(servers, topic, [Sent(b"{bad"), *documents(100, padding=60_000)])
    async with work(bench, topic):
        await one.fires("SpoolsinkRecordsPassedBy", topic, "became dead letters", topic=topic)
        await one.fires("SpoolsinkHolds", address, "kind s3", instance=address, kind="s3")
        await one.looks("SpoolsinkHolds", "s3: ", "ServiceUnavailable")
        await one.fires("SpoolsinkUploadsFail", address, instance=address)
        await one.looks("SpoolsinkUploadsFail", 'code="ServiceUnavailable"')
        await one.fires("SpoolsinkDataNotInS3", topic, topic=topic)
        await one.looks("SpoolsinkDataNotInS3", "s3: ")
        await one.fires("SpoolsinkSpoolFull", address, instance=address)
        await one.looks(
            "SpoolsinkSpoolFull", "spoolsink_spool_limit_bytes 4.194304e+06", "s3_errors"
        )
        await one.fires("SpoolsinkLagGrows", topic, topic=topic)
        await one.looks("SpoolsinkLagGrows", 'spoolsink_paused{reason="spool"} 1.0')
    await changed_and_damaged(one)
    s3.mend()
    await one.operated("POST restart")
    await one.fires("SpoolsinkSegmentsDamaged", address, instance=address)
    await one.looks("SpoolsinkSegmentsDamaged", f"{one.sink.spool}: ")
    await one.is_over(*AWAY_FROM_S3, topic=topic)
    await one.is_over(*AWAY_FROM_S3, instance=address)
    await one.is_over("SpoolsinkRepeats", "SpoolsinkSegmentsDamaged", instance=address)
    await one.sink.stopped()
    return one.provoked


async def changed_and_damaged(one: Watched) -> None:
    """Sealed cuts are repeated under another configuration; then one lies damaged on disk."""
    one.sink.kill()
    one.sink.reconfigure({"format": {"compression": "gzip"}})
    one.sink.start()
    labels = {"instance": one.address, "reason": "other_configuration"}
    await one.fires("SpoolsinkRepeats", one.address, "other_configuration", **labels)
    await one.looks("SpoolsinkRepeats", 'reason="other_configuration"')
    damaged = one.sink.spool / "segments"

    async def is_damaged() -> bool:
        for path in sorted(damaged.glob("*.sealed"))[:1]:
            body = bytearray(path.read_bytes())
            body[len(body) // 2] ^= 0xFF
            path.write_bytes(body)
            return True
        return False

    await eventually("a sealed segment is there to be damaged", is_damaged, more=one.sink.tail)
    await one.looks("SpoolsinkSegmentsDamaged", "damaged")


# -- Kafka's side ---------------------------------------------------------------------------------

FINE, SHORT, ABOVE, TAKEN = range(4)
"""Kafka partitions: bad records; a log that was cut short; an offset above the end; a taken key."""


async def astray(bench: Bench, prometheus: Prometheus, address: str) -> set[str]:
    topic = await bench.topic(4)
    await prepared(bench, topic)
    settings: dict[str, Any] = {
        "kafka": {"on_offset_lost": "continue", "session_timeout": SESSION},
        "rotate": {"records": 5},
        "records": {"on_error": "skip"},
        "admin": {"listen": address},
    }
    one = Watched(bench.sink(settings), topic, address, prometheus)
    one.sink.start()
    await one.fires("SpoolsinkRecordsPassedBy", topic, "convert", topic=topic, reason="convert")
    await one.looks("SpoolsinkRecordsPassedBy", 'reason="convert"')
    told = f"a bad record, skipped (others within a minute are not told): {topic}-{FINE} offset 5:"
    assert one.sink.text().count(told) == 1
    await one.fires("SpoolsinkOffsetsLost", f"{topic}-{SHORT}", "5 offsets", topic=topic)
    await one.looks("SpoolsinkOffsetsLost", f'partition="{SHORT}",topic="{topic}"}} 5.0')
    await one.fires("SpoolsinkKeyConflicts", topic, topic=topic)
    await one.looks("SpoolsinkKeyConflicts", "unknown", f"{topic}+{TAKEN}+0000000000+0000000004")
    await removed_again_and_again(bench, one)
    await one.fires("SpoolsinkHolds", address, "kind topic", instance=address, kind="topic")
    await one.looks("SpoolsinkHolds", f"{topic}-{ABOVE}: the committed offset 1000000 is above")
    await one.fires("SpoolsinkLagUnknown", address, "lag of 1 topic partitions", topic=topic)
    await one.looks(
        "SpoolsinkLagUnknown", f"{topic}-{ABOVE}: the committed offset 1000000 is above"
    )
    await one.operated("PUT stop")

    async def has_left() -> bool:
        return bool((await one.sink.status())["connector"]["state"] == "STOPPED")

    await one.sink.until("it has left the group", has_left)
    await one.fires("SpoolsinkLeftPaused", address, instance=address)
    await one.looks("SpoolsinkLeftPaused", '"STOPPED"', "stopped by an operator since 20")
    async with Group(bench) as group:
        await group.reset({TopicPartition(topic, ABOVE): 0})
    await one.operated("PUT resume")
    mended = ("SpoolsinkLeftPaused", "SpoolsinkHolds", "SpoolsinkLagUnknown")
    await one.is_over(*mended, instance=address)
    await suspended_again_and_again(bench, one)
    one.sink.kill()
    await one.fires("SpoolsinkGone", address, instance=address)
    await one.looks("SpoolsinkGone", "Failed to connect")
    one.sink.start()
    await one.is_over("SpoolsinkGone", instance=address)
    counted = ("SpoolsinkRecordsPassedBy", "SpoolsinkOffsetsLost", "SpoolsinkKeyConflicts")
    await one.is_over(*counted, topic=topic)
    lost = ("SpoolsinkCommitsRefused", "SpoolsinkRebalancesOften", "SpoolsinkLoopStalls")
    await one.is_over(*lost, instance=address)
    await one.sink.ready()
    await one.sink.stopped()
    return one.provoked


async def prepared(bench: Bench, topic: str) -> None:
    """What is wrong before the sink starts."""
    records = documents(40, partitions=4)
    records[20] = Sent(b"{bad", partition=FINE)
    await produce(bench.kafka.bootstrap_servers, topic, records)
    async with Group(bench) as group:
        await group.admin.delete_records({TopicPartition(topic, SHORT): RecordsToDelete(5)})
        lost, above = TopicPartition(topic, SHORT), TopicPartition(topic, ABOVE)
        await group.reset({lost: 0, above: 1_000_000})
    name = f"{topic}+{TAKEN}+0000000000+0000000004.json"
    key = f"topics/{topic}/partition={TAKEN}/{name}"
    bench.store.put_object(Bucket=bench.bucket, Key=key, Body=b"a copy by hand")


async def removed_again_and_again(bench: Bench, one: Watched) -> None:
    """By Kafka's own means for operators, between two heartbeats, with commits on their way."""
    is_told = asyncio.Event()

    async def remove() -> None:
        async with Group(bench) as group:
            while not is_told.is_set():
                done = await one.sink.metric("commits_total", outcome="done")
                await one.sink.until_metric("commits_total", done + 1, outcome="done")
                seen = await one.sink.metric("rebalances_total")
                await group.remove_members()
                # Removed while it joins, it would wait 40 s: the broker drops its SyncGroup.
                await one.sink.until_metric("rebalances_total", seen + 1)

    async with work(bench, one.topic, partitions=4):
        removing = asyncio.create_task(remove())
        try:
            told = (one.address, "were refused")
            await one.fires("SpoolsinkCommitsRefused", *told, instance=one.address)
            await one.fires("SpoolsinkRebalancesOften", one.address, instance=one.address)
        finally:
            is_told.set()
            await removing
    await one.looks("SpoolsinkCommitsRefused", 'outcome="refused"')
    await one.looks("SpoolsinkRebalancesOften", "spoolsink_rebalances_total")


async def suspended_again_and_again(bench: Bench, one: Watched) -> None:
    """A host that gives no CPU for longer than a session."""
    is_told = asyncio.Event()

    async def suspend() -> None:
        async with Group(bench) as group:
            while not is_told.is_set():
                one.sink.suspend()
                try:
                    await eventually("its session is over", group.is_empty)
                finally:
                    one.sink.resume()
                await one.sink.ready()

    suspending = asyncio.create_task(suspend())
    try:
        await one.fires("SpoolsinkLoopStalls", one.address, instance=one.address)
    finally:
        is_told.set()
        await suspending
    await one.looks("SpoolsinkLoopStalls", 'le="2.5"')


# -- all of them ----------------------------------------------------------------------------------


async def test_every_alert_fires_names_what_is_wrong_and_ends_with_its_remedy(
    bench: Bench, tmp_path: Path
) -> None:
    directory = tmp_path / "prometheus"
    directory.mkdir()
    rules = directory / "rules.yaml"
    rules.write_text(hurried(RULES.read_text()))
    addresses = [f"127.0.0.1:{free_port()}" for _ in range(2)]
    server = PrometheusServer(directory, scraping(addresses, rules))
    server.start()
    provoked: list[set[str]] = []
    try:
        async with aiohttp.ClientSession() as client, S3Faults(bench.s3).serving() as s3:
            prometheus = Prometheus(server.url, client)
            await eventually("Prometheus is ready", prometheus.is_ready)

            async def of_away() -> None:
                provoked.append(await away(bench.sibling(), prometheus, addresses[0], s3))

            async def of_astray() -> None:
                provoked.append(await astray(bench.sibling(), prometheus, addresses[1]))

            await all_of(away=of_away(), astray=of_astray())
    finally:
        server.stop()
    alerts = re.findall(r"- alert: (\w+)", RULES.read_text())
    assert set.union(*provoked) == set(alerts) == set(first_looks())
