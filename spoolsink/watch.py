"""What is looked at beside the work: lag, topic ids, lease, gauges, stalls of the event loop."""

import asyncio
import logging
import time
from collections.abc import Collection
from functools import partial
from typing import TYPE_CHECKING

from spoolsink.appender import Appender
from spoolsink.assignment import Assignment
from spoolsink.consumer import GroupConsumer
from spoolsink.errors import (
    AllStoppedError,
    BrokerRefusedError,
    ConsumerError,
    ObjectStoreError,
    OperatorStoreError,
)
from spoolsink.health import HOLD_KINDS
from spoolsink.records import TopicPartition
from spoolsink.status import TopicPartitionStatus
from spoolsink.store_probe import probe_conditional_writes, probe_key

if TYPE_CHECKING:
    from spoolsink.engine import Engine

log = logging.getLogger(__name__)

_TICK_SECONDS = 0.1
_GAUGE_TICKS = 10
_LAG_SECONDS = 10.0
"""The contract allows a lag of 30 s of age, also while paused."""
_TOPIC_SECONDS = 60.0
_MISSING_SECONDS = 10.0
"""How often a topic is looked for that does not exist yet; the contract allows 15 s."""
_STORE_SECONDS = 15.0
_MEMBER_SOURCE = "kafka group"
_TOPICS_SOURCE = "kafka topics"
_NO_TOPIC = "the topic does not exist; it is read once it does"
_KEPT_ENDS = 100
"""Of a log: a quarter of an hour of one that grows, before ages become coarser."""


class LogEnds:
    """Since when records are in Kafka that were not read: paused, held, or behind (pure).

    What stands below an end was there when the end was seen, so ages are too low by at most the
    time between two looks. Of very many ends every other one goes, never the oldest.
    """

    def __init__(self) -> None:
        self._seen: dict[TopicPartition, list[tuple[int, float]]] = {}

    def saw(self, tp: TopicPartition, end: int, committed: int, now_seconds: float) -> None:
        """The log ends there now; what is committed waits no longer. Monotonic seconds."""
        seen = [one for one in self._seen.get(tp, ()) if committed < one[0] <= end]
        if end > (seen[-1][0] if seen else committed):
            seen.append((end, now_seconds))
        if len(seen) > _KEPT_ENDS:
            del seen[1::2]
        self._seen[tp] = seen

    def waiting_since(self, tp: TopicPartition, committed: int) -> float | None:
        """When the record at `committed` was first known to be there; None where none is."""
        return next((at for end, at in self._seen.get(tp, ()) if end > committed), None)

    def forget_others(self, tps: Collection[TopicPartition]) -> None:
        """Others tell of those now."""
        self._seen = {tp: seen for tp, seen in self._seen.items() if tp in tps}


class Watch:
    """Reads the engine's state and writes metrics and health; moves nothing itself."""

    def __init__(self, engine: "Engine") -> None:
        self._engine = engine
        self._lag_at = 0.0
        self._store_at = time.monotonic() - _STORE_SECONDS
        self._topics_at = time.monotonic() - _TOPIC_SECONDS
        self._missing: set[str] = set()
        self.ends = LogEnds()
        self.beat = time.monotonic()
        for kind in HOLD_KINDS:
            # Asked at each scrape, also before and between runs: what holds a start is shown too.
            engine.metrics.gauges["holds"].labels(kind).set_function(
                partial(engine.health.count_of, kind)
            )

    async def run(self) -> None:
        """Until cancelled; raises AllStoppedError when nothing is left to do."""
        tick = 0
        asking: asyncio.Task[None] | None = None
        asking_store: asyncio.Task[None] | None = None
        try:
            while True:
                before = time.monotonic()
                await asyncio.sleep(_TICK_SECONDS)
                self.beat = time.monotonic()
                late = self.beat - before - _TICK_SECONDS
                self._engine.metrics.histograms["loop_stall_seconds"].observe(max(0.0, late))
                tick += 1
                if tick % _GAUGE_TICKS:
                    continue
                self._look_at_ends()
                self._gauges()
                self._membership()
                self._all_stopped()
                if asking is None or asking.done():
                    asking = asyncio.create_task(self._ask())
                if asking_store is None or asking_store.done():
                    asking_store = asyncio.create_task(self._ask_store())
        finally:
            for task in (asking, asking_store):
                if task is not None:
                    task.cancel()
            self._forget_gauges()

    async def _ask(self) -> None:
        """Questions to Kafka: a broker that is away must not stop the gauges."""
        engine, now = self._engine, time.monotonic()
        consumer, assignment = engine.consumer, engine.assignment
        if consumer is None or assignment is None or consumer.membership is None:
            return
        try:
            if now - self._lag_at >= _LAG_SECONDS and engine.appenders:
                assignment.logs.update(await consumer.log_ranges(list(engine.appenders)))
                self._lag_at = now
            if now - self._topics_at >= (_MISSING_SECONDS if self._missing else _TOPIC_SECONDS):
                self._topics_at = now
                await self._look_for_topics(consumer, assignment)
        except ConsumerError as error:
            log.debug("lag is not known: %s", error)

    async def _look_for_topics(self, consumer: GroupConsumer, assignment: Assignment) -> None:
        """Those that are created anew, that do not exist yet, that we may not see."""
        health, wanted = self._engine.health, set(self._engine.config.kafka.topics or ())
        try:
            if self._engine.appenders:
                await assignment.check_topics(consumer)
            await self._missing_topics(consumer, wanted)
        except BrokerRefusedError as error:
            # Which of them is told one at a time: all are looked for until all are allowed.
            self._missing = wanted
            if health.fail(_TOPICS_SOURCE, str(error), is_operator=True):
                log.error("kafka: %s", error)
        else:
            health.clear(_TOPICS_SOURCE)

    async def _ask_store(self) -> None:
        """Whether S3 is back, where nothing else finds out: what it failed went to others.

        With work at hand the uploads ask themselves.
        """
        engine, now = self._engine, time.monotonic()
        is_failing = any(hold.source == "s3" for hold in engine.health.holds)
        has_work = any(a.cuts.sealed or a.cuts.open.splits for a in engine.appenders.values())
        is_known = engine.delivery.create_only is not None
        if not is_failing or not is_known or has_work or now - self._store_at < _STORE_SECONDS:
            return
        self._store_at = now
        prefix = engine.config.layout.prefix
        try:
            if engine.config.s3.conditional_writes == "off":
                await engine.store.head(probe_key(prefix))
            else:
                await probe_conditional_writes(engine.store, prefix)
        except ObjectStoreError as error:
            is_operator = isinstance(error, OperatorStoreError)
            engine.health.fail("s3", str(error), is_operator=is_operator, kind=error.code)
        else:
            log.info("s3 answers again")
            engine.health.clear("s3")

    async def _missing_topics(self, consumer: GroupConsumer, wanted: set[str]) -> None:
        """A topic that does not exist yet holds back only itself."""
        health = self._engine.health
        missing = wanted - (await consumer.topic_ids(wanted)).ids.keys() if wanted else set()
        for topic in sorted(missing):
            if health.fail(f"topic {topic}", _NO_TOPIC, is_partial=True):
                log.warning("%s: %s", topic, _NO_TOPIC)
        found, self._missing = self._missing - missing, missing
        for topic in sorted(found):
            if health.clear(f"topic {topic}"):
                log.info("%s: the topic exists now", topic)
            # The group's own list of topics may be half a minute old: asked for anew.
            await consumer.all_of(topic)

    def _membership(self) -> None:
        engine = self._engine
        consumer, health = engine.consumer, engine.health
        if consumer is None:
            return
        if consumer.membership is None:
            health.fail(_MEMBER_SOURCE, "the group is being joined", is_usual=True)
        elif not consumer.is_lease_fresh:
            if health.fail(_MEMBER_SOURCE, "no heartbeat was answered for a session's time"):
                log.warning("kafka: no heartbeat was answered for a session's time")
        else:
            health.clear(_MEMBER_SOURCE)

    def _all_stopped(self) -> None:
        appenders, consumer = self._engine.appenders.values(), self._engine.consumer
        if consumer is None or not appenders or len(appenders) < len(consumer.assigned):
            return
        if all(a.stopped is not None and a.cuts.is_finished for a in appenders):
            raise AllStoppedError("every topic partition has stopped at a bad record")

    def _look_at_ends(self) -> None:
        engine = self._engine
        logs = engine.assignment.logs if engine.assignment else {}
        self.ends.forget_others(engine.appenders)
        for tp, appender in engine.appenders.items():
            if tp in logs and appender.cuts.committed >= 0:
                self.ends.saw(tp, logs[tp].end, appender.cuts.committed, time.monotonic())

    def _gauges(self) -> None:
        engine, gauges = self._engine, self._engine.metrics.gauges
        gauges["spool_bytes"].set(engine.spool.used_bytes)
        gauges["spool_limit_bytes"].set(engine.spool.max_bytes)
        gauges["open_partitions"].set(engine.spool.open_count)
        for state, count in engine.spool.snapshot().items():
            gauges["spool_segments"].labels(state).set(count)
        gauges["upload_inflight"].set(engine.store.inflight)
        self._show_only({a.tp.labels for a in engine.appenders.values()})
        for row in rows(engine):
            labels = row.topic, str(row.partition)
            if row.lag is not None:
                gauges["lag_records"].labels(*labels).set(row.lag)
            gauges["unconfirmed_seconds"].labels(*labels).set(row.unconfirmed_seconds)

    def _show_only(self, shown: set[tuple[str, str]]) -> None:
        gauges = self._engine.metrics.gauges
        for name in ("lag_records", "unconfirmed_seconds"):
            for labels in [key for key in gauges[name]._metrics if key not in shown]:  # noqa: SLF001 (no public list)
                gauges[name].remove(*labels)

    def _forget_gauges(self) -> None:
        """Stopped, it owns nothing: another member tells of these topic partitions now."""
        gauges = self._engine.metrics.gauges
        self._show_only(set())
        gauges["open_partitions"].set(0)
        gauges["upload_inflight"].set(0)
        for gauge in (gauges["paused"], gauges["spool_segments"]):
            gauge.clear()


def rows(engine: "Engine") -> list[TopicPartitionStatus]:
    """Every topic partition that is assigned, in order."""
    assignment = engine.assignment
    if assignment is None:
        return []
    return [_row(engine, appender) for _, appender in sorted(engine.appenders.items())]


def _row(engine: "Engine", appender: Appender) -> TopicPartitionStatus:
    assert engine.assignment is not None
    cuts, tp = appender.cuts, appender.tp
    log_range = engine.assignment.logs.get(tp)
    end = None if log_range is None else max(log_range.end, cuts.open.position)
    committed = cuts.committed if cuts.committed >= 0 else None
    # A record that was not read waits too.
    waits = [appender.oldest_arrival(), engine.watch.ends.waiting_since(tp, cuts.committed)]
    oldest = min((since for since in waits if since is not None), default=None)
    state = (
        "stopped"
        if appender.stopped is not None
        else "held"
        if tp in engine.assignment.held
        else "repeating"
        if cuts.is_repeating
        else "running"
    )
    return TopicPartitionStatus(
        topic=tp.topic,
        partition=tp.partition,
        committed=committed,
        position=cuts.open.position,
        log_end=end,
        lag=None if end is None or committed is None else max(0, end - committed),
        open_records=cuts.open.records,
        open_segments=appender.open_segments,
        sealed_cuts=len(cuts.sealed),
        unconfirmed_seconds=0.0 if oldest is None else time.monotonic() - oldest,
        state=state,
    )
