"""What this process owns: taking topic partitions over, holding them, giving them up.

1. Nothing is read from a topic partition before its beginning is known; what holds it is told in
   `health`, and asked again every 15 s.
2. A topic partition that nobody else touched meanwhile goes on with all that it has here;
   otherwise what is open is dropped, and sealed cuts are kept where they are exactly what was
   promised.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Literal

from spoolsink.appender import Appender, object_of
from spoolsink.consumer import GroupConsumer, Membership
from spoolsink.cut import Cut, CutObject, TakeoverKind
from spoolsink.delivery import Delivery, local_cut
from spoolsink.errors import (
    BrokerRefusedError,
    ConsumerError,
    ObjectStoreError,
    OperatorStoreError,
    SpoolError,
)
from spoolsink.health import Health
from spoolsink.intent import Identity
from spoolsink.kafka_protocol import UNKNOWN_TOPIC_ID
from spoolsink.metrics import Metrics
from spoolsink.records import OffsetRange, TopicPartition
from spoolsink.spool import AnySpool, LocalCut, SealedSegment
from spoolsink.takeover import Beginning, StartPolicy

log = logging.getLogger(__name__)

HOLD_SECONDS = 15.0
_RETRY_SECONDS = 1.0


class Assignment:
    """The appenders by topic partition, shared with `delivery`; moved by the pipeline's loop."""

    def __init__(
        self,
        *,
        appenders: dict[TopicPartition, Appender],
        make_appender: Callable[[TopicPartition, Identity], Appender],
        spool: AnySpool,
        local: Sequence[LocalCut],
        delivery: Delivery,
        start: StartPolicy,
        on_offset_lost: Literal["stop", "continue"],
        metrics: Metrics,
        health: Health,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.appenders = appenders
        self.logs: dict[TopicPartition, OffsetRange] = {}
        self.cluster_id: str | None = None
        self.has_begun = asyncio.Event()
        self.held: dict[TopicPartition, float] = {}
        self.due: set[TopicPartition] = set()
        self._make_appender = make_appender
        self._spool = spool
        self._local = list(local)
        self._delivery = delivery
        self._start = start
        self._on_offset_lost = on_offset_lost
        self._metrics = metrics
        self._health = health
        self._monotonic = monotonic
        self._memberships: dict[TopicPartition, Membership | None] = {}
        self._absent: set[str] = set()
        self._is_assigned = False
        self._retry_at = 0.0

    def is_readable(self, tp: TopicPartition) -> bool:
        """Whether its beginning is known and nothing of its own holds it."""
        appender = self.appenders.get(tp)
        return (
            # Between two assignments aiokafka may hold a position of no meaning for it.
            self._is_assigned
            and appender is not None
            and appender.stopped is None
            and tp not in self.held
            and tp not in self.due
        )

    # -- the group's calls, from aiokafka's task -------------------------------------------------

    async def revoked(self) -> None:
        """Every gate is closed before the group is joined anew; a commit may still come back."""
        for appender in self.appenders.values():
            appender.cuts.revoked()
        self._is_assigned = False
        self.due.clear()
        await self._delivery.commit_settled()

    def assigned(self, tps: frozenset[TopicPartition]) -> None:
        """The loop takes them over before its next poll."""
        self._metrics.counters["rebalances"].inc()
        log.info("assigned: %s", ", ".join(map(str, sorted(tps))) or "nothing")
        self._is_assigned = True
        self.due = set(tps)
        self._retry_at = 0.0
        # What holds one that is ours again stands until it has been looked at.
        for tp in self.held.keys() - tps:
            self.release(tp)

    # -- taking over -----------------------------------------------------------------------------

    async def take_over_due(self, consumer: GroupConsumer) -> None:
        """Whatever was assigned, or held for long enough, and has not begun."""
        now = self._monotonic()
        again = {tp for tp, at in self.held.items() if now >= at}
        await self._drop_unassigned(consumer)
        if consumer.membership is not None:
            self.due &= consumer.assigned
        due = {
            tp for tp in (self.due | again) & consumer.assigned if self._is_settled(tp, consumer)
        }
        membership = consumer.membership
        if not self.due and not again:
            self._health.clear("start")  # what had no answer went to others meanwhile
        if not due or now < self._retry_at or membership is None:
            return
        try:
            found = await self._start.beginnings(consumer, due)
        except (ConsumerError, ObjectStoreError) as error:
            self.failing("start", error)
            self._retry_at = self._monotonic() + _RETRY_SECONDS
            return
        self._health.clear("start")
        for tp, beginning in found.items():
            if consumer.membership != membership:
                return  # revoked meanwhile, and perhaps others' since: the next one asks again
            try:
                await self._take_over(consumer, tp, beginning)
            except SpoolError as error:
                self.failing("spool", error)
                self._delivery.damaged[tp] = str(error)
        if self.appenders and not self.has_begun.is_set():
            self.has_begun.set()
            # What a former process left of topic partitions that are others' now.
            await self._tidy(
                self._spool.forget([c for c in self._local if c.tp not in consumer.assigned])
            )
            self._local = [c for c in self._local if c.tp in consumer.assigned]
        self._delivery.wake.set()

    def _is_settled(self, tp: TopicPartition, consumer: GroupConsumer) -> bool:
        """No commit of this very membership can still arrive late."""
        appender = self.appenders.get(tp)
        if appender is None or not appender.cuts.is_commit_in_flight:
            return True
        return self._memberships.get(tp) != consumer.membership

    async def _take_over(
        self, consumer: GroupConsumer, tp: TopicPartition, beginning: Beginning | str
    ) -> None:
        self.due.discard(tp)
        if isinstance(beginning, str):
            if tp in self.appenders:
                self.appenders[tp].cuts.revoked()
            self.hold(tp, beginning)
            return
        who, commit, log_range = beginning
        self.cluster_id, self.logs[tp] = who.cluster_id, log_range
        self._memberships[tp] = consumer.membership
        appender = self.appenders.get(tp)
        if appender is not None and appender.cuts.identity != who:
            await self.drop(tp)
            self.due.add(tp)  # asked anew: there may have been a rebalance while files went
            return
        if appender is None:
            appender = self.appenders[tp] = self._make_appender(tp, who)
        kind = await self._begin(appender, *commit)
        position = appender.cuts.open.position
        if position < log_range.start and not await self._may_pass(appender, log_range):
            return
        if position > log_range.end:
            self.hold(tp, f"offset {position} is above the log's end {log_range.end}")
            return
        self.release(tp)
        # Not before: a topic partition that is held is looked at every 15 s, and goes nowhere.
        log.info("%s: goes on at %d (%s)", tp, appender.cuts.open.position, kind.value)
        consumer.seek(tp, appender.cuts.open.position)

    async def _begin(self, appender: Appender, offset: int, metadata: str) -> TakeoverKind:
        """Hand over the committed offset; what is held and not kept is dropped."""
        tp, cuts = appender.tp, appender.cuts
        held = list(cuts.sealed) or self._take_local(tp)
        splits = [*cuts.open.splits]
        takeover = cuts.assigned(offset, metadata, held)
        self.tell_losses(appender)
        if takeover.kind is TakeoverKind.CONTINUED:
            appender.finished(takeover.finished)
            await self._tidy(self._spool.forget([local_cut(tp, c) for c in takeover.finished]))
            return takeover.kind
        appender.forget_open()
        if appender.stopped is not None:
            # Whoever had it meanwhile went on from elsewhere: what stopped us may be behind.
            appender.stopped = None
            self._health.clear(str(tp))
        await self._tidy(self._spool.drop_open(tp))
        await self._forget(tp, [cut for cut in held if cut not in cuts.sealed], splits)
        return takeover.kind

    def tell_losses(self, appender: Appender) -> None:
        """Promises of an earlier owner that could not be kept."""
        for loss in appender.cuts.lost_repeats:
            log.warning("%s: a cut cannot be repeated as promised: %s", appender.tp, loss.value)
            self._metrics.counters["repeats"].labels(loss.value).inc()
        appender.cuts.lost_repeats.clear()

    def _take_local(self, tp: TopicPartition) -> list[Cut]:
        """Sealed cuts that a former process left on disk, in offset order."""
        found = sorted((c for c in self._local if c.tp == tp), key=lambda c: c.start)
        self._local = [cut for cut in self._local if cut.tp != tp]
        return [Cut(c.start, c.mark, [object_of(s) for s in c.segments]) for c in found]

    async def _forget(
        self, tp: TopicPartition, cuts: Sequence[Cut], splits: Sequence[CutObject]
    ) -> None:
        split_off = [o.segment for o in splits if isinstance(o.segment, SealedSegment)]
        await self._tidy(self._spool.forget([local_cut(tp, cut) for cut in cuts]))
        await self._tidy(self._spool.drop(split_off))

    async def _tidy(self, work: Awaitable[object]) -> None:
        """Files of no use any more: where the disk refuses, they stay until the next start."""
        try:
            await work
        except SpoolError as error:
            log.warning("files that are of no use any more stay: %s", error)

    async def _may_pass(self, appender: Appender, log_range: OffsetRange) -> bool:
        """The log begins behind the position: stop there, or go on and count."""
        tp, position = appender.tp, appender.cuts.open.position
        lost = log_range.start - position
        reason = f"offsets {position} to {log_range.start - 1} are gone from the log"
        if self._on_offset_lost == "stop":
            self.hold(tp, f"{reason}: see kafka.on_offset_lost")
            return False
        self._metrics.counters["offsets_lost"].labels(*tp.labels).inc(lost)
        log.error("%s: %s: goes on at the log's start", tp, reason)
        await appender.pass_by(log_range.start)
        return True

    async def check_topics(self, consumer: GroupConsumer) -> None:
        """A topic created anew under the same name: aiokafka would go on in it silently."""
        ids = (await consumer.topic_ids({tp.topic for tp in self.appenders})).ids
        absent = {tp.topic for tp in self.appenders} - ids.keys()
        for tp, appender in self.appenders.items():
            ours, found = appender.cuts.identity.topic_id, ids.get(tp.topic)
            is_another = found not in {None, ours} and UNKNOWN_TOPIC_ID not in {found, ours}
            # A broker's cache may lack a topic for a moment: absent counts at the second look.
            if (is_another or tp.topic in absent & self._absent) and tp not in self.held:
                appender.cuts.revoked()
                self.due.add(tp)
        self._absent = absent

    def out_of_range(self, consumer: GroupConsumer, tp: TopicPartition) -> None:
        """The broker (perhaps a lagging replica) has not got the position: ask the leader."""
        appender = self.appenders.get(tp)
        if appender is None or tp in self.due:
            return
        consumer.pause([tp])
        self.due.add(tp)
        log.warning("%s: offset %d is out of range", tp, appender.cuts.open.position)

    async def _drop_unassigned(self, consumer: GroupConsumer) -> None:
        if consumer.membership is None:
            return
        for tp in [tp for tp in self.appenders if tp not in consumer.assigned]:
            log.info("%s: given up", tp)
            await self.drop(tp)
            self.release(tp)

    async def drop(self, tp: TopicPartition) -> None:
        """Forget all that the topic partition has here, and delete its files."""
        appender = self.appenders.pop(tp)
        appender.cuts.revoked()
        splits = [*appender.cuts.open.splits]
        appender.forget_open()
        self._delivery.damaged.pop(tp, None)
        for source in (f"{tp}", f"{tp} key", f"{tp} commit"):
            self._health.clear(source)
        await self._tidy(self._spool.drop_open(tp))
        await self._forget(tp, list(appender.cuts.sealed), splits)

    # -- what holds -------------------------------------------------------------------------

    def hold(self, tp: TopicPartition, reason: str) -> None:
        """Leave it alone, say why, and look again in 15 s."""
        self.held[tp] = self._monotonic() + HOLD_SECONDS
        if self._health.fail(str(tp), reason, is_operator=True):
            log.error("%s: holds: %s", tp, reason)

    def release(self, tp: TopicPartition) -> None:
        """It holds no longer."""
        if self.held.pop(tp, None) is not None and self._health.clear(str(tp)):
            log.info("%s: holds no longer", tp)

    def failing(self, source: str, error: Exception) -> None:
        """Something has no answer; it is asked again."""
        is_operator = isinstance(error, BrokerRefusedError | OperatorStoreError | SpoolError)
        if self._health.fail(source, str(error), is_operator=is_operator):
            log.error("%s: %s", source, error)

    async def read_again(self, tp: TopicPartition) -> None:
        """Drop what the topic partition has here and begin at what the broker has."""
        appender = self.appenders.get(tp)
        if appender is None:
            self._delivery.damaged.pop(tp, None)
        elif not appender.cuts.is_commit_in_flight:
            await self.drop(tp)
            self.due.add(tp)
