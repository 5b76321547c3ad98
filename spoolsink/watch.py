"""What is looked at beside the work: lag, topic ids, lease, gauges, stalls of the event loop."""

import asyncio
import logging
import time
from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

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
from spoolsink.records import OffsetRange, TopicPartition
from spoolsink.status import TopicPartitionStatus
from spoolsink.store_probe import probe_conditional_writes, probe_key

if TYPE_CHECKING:
    from spoolsink.engine import Engine

log = logging.getLogger(__name__)

_TICK_SECONDS = 0.1
_GAUGE_TICKS = 10
_LAG_SECONDS = 10.0
_STALE_SECONDS = 30.0
"""The contract allows a lag of this age, also while paused; an older one is not told any more."""
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


class _Look(NamedTuple):
    """What Kafka said of a log, and when that was seen (monotonic seconds)."""

    log: OffsetRange
    at: float


class Watch:
    """Reads the engine's state and writes metrics and health; moves nothing itself."""

    def __init__(self, engine: "Engine", monotonic: Callable[[], float] = time.monotonic) -> None:
        self._engine = engine
        self.monotonic = monotonic
        self._looks: dict[TopicPartition, _Look] = {}
        self._committed: dict[TopicPartition, int] = {}
        self._lag_at = monotonic()  # what is taken over brings its log along
        self._store_at = monotonic() - _STORE_SECONDS
        self._topics_at = monotonic() - _TOPIC_SECONDS
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
        engine, now = self._engine, self.monotonic()
        consumer, assignment = engine.consumer, engine.assignment
        if consumer is None or assignment is None or consumer.membership is None:
            return
        if now - self._lag_at >= _LAG_SECONDS and consumer.assigned:
            self._lag_at = now
            await self._look_at_logs(consumer, assignment)
        try:
            if now - self._topics_at >= (_MISSING_SECONDS if self._missing else _TOPIC_SECONDS):
                self._topics_at = now
                await self._look_for_topics(consumer, assignment)
        except ConsumerError as error:
            log.debug("topics are not known: %s", error)

    async def _look_at_logs(self, consumer: GroupConsumer, assignment: Assignment) -> None:
        """Where each log ends; of what has not begun also what the group has committed."""
        tps = consumer.assigned
        try:
            assignment.logs.update(await consumer.log_ranges(list(tps)))
        except ConsumerError as error:
            log.debug("lag is not known: %s", error)
            await self._look_at_each_topic(consumer, assignment, tps)
        unbegun = tps - self._engine.appenders.keys()
        if not unbegun:
            return
        try:
            found = await consumer.committed(list(unbegun))
        except ConsumerError as error:
            log.debug("committed offsets are not known: %s", error)
        else:
            self._committed = {tp: at.offset for tp, at in found.items() if at is not None}

    async def _look_at_each_topic(
        self, consumer: GroupConsumer, assignment: Assignment, tps: Collection[TopicPartition]
    ) -> None:
        """One that was deleted, or has no leader, leaves the question of all unanswered."""

        async def look(topic: str) -> None:
            try:
                found = await consumer.log_ranges([tp for tp in tps if tp.topic == topic])
            except ConsumerError as error:
                log.debug("lag of %s is not known: %s", topic, error)
            else:
                assignment.logs.update(found)

        topics = {tp.topic for tp in tps}
        if len(topics) > 1:
            await asyncio.gather(*map(look, sorted(topics)))

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
        engine, now = self._engine, self.monotonic()
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
        engine, now = self._engine, self.monotonic()
        logs = engine.assignment.logs if engine.assignment else {}
        shown = topic_partitions(engine)
        self.ends.forget_others(shown)
        for tp in shown & logs.keys():
            if tp not in self._looks or self._looks[tp].log is not logs[tp]:
                self._looks[tp] = _Look(logs[tp], now)
            since = self.waits_from(tp)
            if since is not None:
                self.ends.saw(tp, logs[tp].end, since, now)

    def log_of(self, tp: TopicPartition) -> OffsetRange | None:
        """As Kafka told it at most 30 s ago; None when it has not done so."""
        look = self._looks.get(tp)
        return look.log if look and self.monotonic() - look.at <= _STALE_SECONDS else None

    def committed_of(self, tp: TopicPartition) -> int | None:
        """The group's offset as it is known here."""
        appender = self._engine.appenders.get(tp)
        if appender is None:
            return self._committed.get(tp)
        return appender.cuts.committed if appender.cuts.committed >= 0 else None

    def waits_from(self, tp: TopicPartition) -> int | None:
        """What is there from this offset on is not in S3; None where that is not known.

        Of what has not begun and has no offset that its log knows, everything.
        """
        committed = self.committed_of(tp)
        if tp in self._engine.appenders:
            return committed
        look = self._looks.get(tp)
        if look is None:
            return None
        return committed if committed is not None and committed <= look.log.end else look.log.start

    def _gauges(self) -> None:
        engine, gauges = self._engine, self._engine.metrics.gauges
        gauges["spool_bytes"].set(engine.spool.used_bytes)
        gauges["spool_limit_bytes"].set(engine.spool.max_bytes)
        gauges["open_partitions"].set(engine.spool.open_count)
        for state, count in engine.spool.snapshot().items():
            gauges["spool_segments"].labels(state).set(count)
        gauges["upload_inflight"].set(engine.store.inflight)
        found = rows(engine)
        self._show("lag_records", {row.labels: row.lag for row in found})
        self._show("unconfirmed_seconds", {row.labels: row.unconfirmed_seconds for row in found})

    def _show(self, name: str, found: Mapping[tuple[str, str], float | None]) -> None:
        """These and no others; what is not known has no sample: an old one would be a lie."""
        gauge = self._engine.metrics.gauges[name]
        shown = {labels: value for labels, value in found.items() if value is not None}
        for labels in [key for key in gauge._metrics if key not in shown]:  # noqa: SLF001 (no public list)
            gauge.remove(*labels)
        for labels, value in shown.items():
            gauge.labels(*labels).set(value)

    def _forget_gauges(self) -> None:
        """Stopped, it owns nothing: another member tells of these topic partitions now."""
        gauges = self._engine.metrics.gauges
        self._show("lag_records", {})
        self._show("unconfirmed_seconds", {})
        gauges["open_partitions"].set(0)
        gauges["upload_inflight"].set(0)
        gauges["spool_segments"].clear()
        # The other reason, an operator's wish, outlives the run: the service tells of it.
        gauges["paused"].labels("spool").set(0)


def topic_partitions(engine: "Engine") -> set[TopicPartition]:
    """Those that are assigned, also where nothing has begun yet."""
    assigned = engine.consumer.assigned if engine.consumer else frozenset()
    return engine.appenders.keys() | assigned


def rows(engine: "Engine") -> list[TopicPartitionStatus]:
    """Every topic partition that is assigned, in order."""
    if engine.assignment is None:
        return []
    return [_row(engine, tp) for tp in sorted(topic_partitions(engine))]


def _row(engine: "Engine", tp: TopicPartition) -> TopicPartitionStatus:
    assert engine.assignment is not None
    watch, appender = engine.watch, engine.appenders.get(tp)
    position = None if appender is None else appender.cuts.open.position
    end, committed = _end(engine, tp, position), watch.committed_of(tp)
    # Above the end (the topic was created anew, say) the difference would tell nothing.
    is_lag_known = end is not None and committed is not None and committed <= end
    return TopicPartitionStatus(
        topic=tp.topic,
        partition=tp.partition,
        committed=committed,
        position=position,
        log_end=end,
        lag=end - committed if is_lag_known else None,  # type: ignore[operator]  # both are there
        open_records=appender.cuts.open.records if appender else 0,
        open_segments=appender.open_segments if appender else 0,
        sealed_cuts=len(appender.cuts.sealed) if appender else 0,
        unconfirmed_seconds=_unconfirmed_seconds(watch, tp, appender),
        state=_state(engine.assignment, tp, appender),
    )


def _end(engine: "Engine", tp: TopicPartition, position: int | None) -> int | None:
    assert engine.assignment is not None
    log_range = engine.watch.log_of(tp)
    if log_range is None:
        return None
    # What was read since Kafka was asked; a position that is held may be above what there is.
    is_reading = position is not None and tp not in engine.assignment.held
    return max(log_range.end, position) if is_reading else log_range.end  # type: ignore[type-var]


def _unconfirmed_seconds(
    watch: Watch, tp: TopicPartition, appender: Appender | None
) -> float | None:
    """None where neither a log nor a record has been seen."""
    since = watch.waits_from(tp)
    if appender is None and since is None:
        return None
    # A record that was not read waits too.
    waits = [
        None if appender is None else appender.oldest_arrival(),
        None if since is None else watch.ends.waiting_since(tp, since),
    ]
    oldest = min((at for at in waits if at is not None), default=None)
    return 0.0 if oldest is None else watch.monotonic() - oldest


def _state(assignment: Assignment, tp: TopicPartition, appender: Appender | None) -> str:
    if appender is not None and appender.stopped is not None:
        return "stopped"
    if tp in assignment.held:
        return "held"
    if appender is None:
        return "starting"
    return "repeating" if appender.cuts.is_repeating else "running"
