"""The loop from Kafka into the spool: take over, poll, append, tick; one step after the other.

Everything that moves an open cut happens in this loop, so nothing of it needs a lock: appending,
sealing by time, taking over after a rebalance, dropping what was lost. What `delivery` does beside
it touches sealed cuts only.

1. At `pause_at` nothing is polled (membership goes on); where nothing sealed is left to upload,
   the largest open cuts are ended, and repeats that do not fit beside each other wait.
2. A failed write or a damaged segment drops what the topic partition has here, and reads it again.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from contextlib import suppress

from spoolsink.appender import Appender
from spoolsink.assignment import Assignment
from spoolsink.consumer import GroupConsumer, Polled
from spoolsink.cut import ObjectState
from spoolsink.delivery import Delivery
from spoolsink.errors import ConsumerError, DeadLetterAwayError, RegistryAwayError, SpoolError
from spoolsink.fault_points import reach
from spoolsink.health import Health
from spoolsink.metrics import Metrics
from spoolsink.records import TopicPartition, merged
from spoolsink.rotation import RotationReason
from spoolsink.spool import AnySpool

log = logging.getLogger(__name__)

POLL_SECONDS = 0.2
_BATCHES = 16
"""Kafka batches of one poll: enough to spread its cost, few enough to stay responsive."""

_MERGE_BYTES = 512 * 1024
"""Of values that are encoded together: small Kafka batches cost more by the batch than by the
record, and of larger ones less stays in the processor's cache."""

_MERGE_SHARE = 64
"""Of the spool: what is merged is appended whole, and must find room in a small one."""

_TICK_SECONDS = 0.1
_RETRY_SECONDS = 1.0
_FAILED_SECONDS = 5.0
"""How long a disk that refused a write is left alone."""
_FLUSHES = 100
"""Requests for a flush that are waited for; older ones run into their own time limit."""


class Pipeline:
    """Reads for all topic partitions of the process."""

    def __init__(
        self,
        *,
        assignment: Assignment,
        spool: AnySpool,
        delivery: Delivery,
        max_open: int,
        metrics: Metrics,
        health: Health,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.is_paused = False
        self.has_paused = False
        self._max_open = max_open
        self._merge_bytes = min(_MERGE_BYTES, spool.max_bytes // _MERGE_SHARE)
        self._assignment = assignment
        self._appenders = assignment.appenders
        self._spool = spool
        self._delivery = delivery
        self._metrics = metrics
        self._health = health
        self._monotonic = monotonic
        self._waiting: set[TopicPartition] = set()
        self._is_full = False
        self._refused_bytes: int | None = None
        self._is_draining = False
        self._failed_at = -_FAILED_SECONDS
        self._flushes: list[tuple[asyncio.Event, dict[TopicPartition, int]]] = []
        self._ticked_at = 0.0

    # -- the loop --------------------------------------------------------------------------------

    async def run(self, consumer: GroupConsumer, stopping: asyncio.Event) -> None:
        """Until `stopping`; raises ConsumerError where only a new consumer helps."""
        while not stopping.is_set():
            await self._turn(consumer)

    async def drain(self, consumer: GroupConsumer, seconds: float) -> None:
        """Finish sealed cuts, promised ones, and those that have a floor; the rest is Kafka's.

        Returns when all of that is committed, when it cannot be any more (the topic partitions
        went to others), or when the time is over.
        """
        self._is_draining = True
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while not await self._is_drained():
                    await self._turn(consumer)
        left = sum(len(a.cuts.sealed) for a in self._appenders.values())
        if left:
            log.warning("%d sealed cuts are left to a repeat", left)

    async def _is_drained(self) -> bool:
        owned = self._appenders.values()
        for appender in self._sound():
            if appender.cuts.open.splits and appender.may_seal:
                await self._seal(appender, RotationReason.DRAIN)
        # What has not begun yet, or waits for room, may have promises of an earlier owner.
        return not self._unbegun() and not any(map(_has_to_finish, owned))

    def _unbegun(self) -> set[TopicPartition]:
        """Ours, and not read from yet: just assigned, to be read again, or waiting for room."""
        return self._assignment.due | self._waiting

    async def _turn(self, consumer: GroupConsumer) -> None:
        """Once around: each step finds what the one before it left."""
        await self._assignment.take_over_due(consumer)
        await self._regulate(consumer)
        try:
            polled = await consumer.poll(POLL_SECONDS, _BATCHES)
        except ConsumerError as error:
            if not consumer.is_coordinating:
                raise
            self._assignment.failing("kafka", error)
            await asyncio.sleep(_RETRY_SECONDS)
            return
        self._health.clear("kafka")
        if polled.batches:
            reach("poll.after")
        await self._append(consumer, polled)
        for tp in polled.out_of_range:
            self._assignment.out_of_range(consumer, tp)
        await self._tick()

    async def _append(self, consumer: GroupConsumer, polled: Polled) -> None:
        for tp, batches in polled.batches.items():
            appender = self._appenders.get(tp)
            if appender is None or tp in self._assignment.due:
                continue
            before = appender.sealed_count
            try:
                for batch in appender.portions(merged(batches, self._merge_bytes)):
                    if not await appender.append(batch):
                        self._is_full, self._refused_bytes = True, self._spool.used_bytes
                    elif not appender.must_reread:
                        await asyncio.sleep(0)  # heartbeats and answers come between
                        continue
                    appender.must_reread = False
                    consumer.seek(tp, appender.cuts.open.position)
                    break
            except SpoolError as error:
                self._lost(appender, error)
            except (RegistryAwayError, DeadLetterAwayError) as error:
                # Asked again when the hold is over; the position stands before the batch.
                self._assignment.hold(tp, str(error))
            # At once: a commit could take the promise off, and a kill then leave no word of it.
            self._assignment.tell_losses(appender)
            if appender.stopped is not None:
                self._say_stopped(appender)
            if appender.sealed_count != before:
                self._delivery.wake.set()

    async def _tick(self) -> None:
        now = self._monotonic()
        if now - self._ticked_at < _TICK_SECONDS:
            return
        self._ticked_at = now
        for appender in self._sound():
            before = appender.sealed_count
            try:
                await appender.tick()
            except SpoolError as error:
                self._lost(appender, error)
            if appender.sealed_count != before:
                self._delivery.wake.set()
            self._assignment.tell_losses(appender)
        for tp in list(self._delivery.damaged):
            await self._assignment.read_again(tp)
        if self._spool.open_count > self._max_open:
            await self._end_widest()
        self._look_at_flushes()

    async def _end_widest(self) -> None:
        """More open segments than the process may have: the cut with the most is ended."""
        able = [a for a in self._sound() if a.may_seal]
        if able:
            widest = max(able, key=lambda a: a.open_segments)
            await self._seal(widest, RotationReason.MAX_OPEN)

    def _sound(self) -> list[Appender]:
        """Those that lost nothing: what is damaged is dropped once no commit is under way."""
        return [a for tp, a in self._appenders.items() if tp not in self._delivery.damaged]

    async def _seal(self, appender: Appender, reason: RotationReason) -> None:
        try:
            await appender.seal(reason)
        except SpoolError as error:
            self._lost(appender, error)
        self._assignment.tell_losses(appender)
        self._delivery.wake.set()

    def flush(self) -> asyncio.Event:
        """End all that is open; the event is set once it is committed."""
        done, targets = asyncio.Event(), {}
        for tp, appender in self._appenders.items():
            appender.flush()
            if appender.is_open or appender.cuts.sealed:
                targets[tp] = appender.cuts.open.position
        self._flushes.append((done, targets))
        self._look_at_flushes()
        return done

    def _look_at_flushes(self) -> None:
        for done, targets in self._flushes:
            if all(self._is_flushed(tp, offset) for tp, offset in targets.items()):
                done.set()
        self._flushes = [flush for flush in self._flushes if not flush[0].is_set()][-_FLUSHES:]

    def _is_flushed(self, tp: TopicPartition, offset: int) -> bool:
        appender = self._appenders.get(tp)
        if appender is None:
            # What was dropped to be read again is still ours; what went to others is theirs.
            return tp not in self._unbegun()
        if appender.cuts.open.position >= offset:
            # Of an appender that was dropped meanwhile the new one knows nothing of the flush.
            appender.flush_below = max(appender.flush_below, offset)
        return appender.cuts.committed >= offset

    def _say_stopped(self, appender: Appender) -> None:
        if self._health.fail(str(appender.tp), str(appender.stopped), is_operator=True):
            log.error("stopped at a bad record: %s", appender.stopped)

    def _lost(self, appender: Appender, error: SpoolError) -> None:
        """Rows could not be written: what is open is read again once the disk takes it."""
        dropped = self._metrics.counters["segments_dropped"].labels("write_failed")
        dropped.inc(appender.open_segments)
        if self._health.fail("spool", str(error), is_operator=True):
            log.error("%s: %s", appender.tp, error)
        self._delivery.damaged[appender.tp] = str(error)
        self._is_full = True
        self._failed_at = self._monotonic()

    # -- room ------------------------------------------------------------------------------------

    async def _regulate(self, consumer: GroupConsumer) -> None:
        """Stop polling at `pause_at`, go on at `resume_at`, and make room in between."""
        self._is_full = self._is_full or self._spool.must_pause
        if consumer.membership is not None:
            self._waiting &= consumer.assigned
        if self._may_go_on():
            self._is_full, self._refused_bytes = False, None
            if self._health.clear("spool"):
                log.info("the spool has room again")
            self._assignment.due |= self._waiting
            self._waiting.clear()
        self._metrics.gauges["paused"].labels("spool").set(int(self._is_full))
        may_read = not self._is_full and (self._is_draining or not self.is_paused)
        readable = {
            tp
            for tp, appender in self._appenders.items()
            if may_read
            and self._assignment.is_readable(tp)
            and (appender.cuts.is_repeating or not self._is_draining)
        }
        consumer.resume(readable)
        consumer.pause(self._appenders.keys() - readable)
        self.has_paused = self.is_paused
        if self._is_full and not any(map(_has_work, self._appenders.values())):
            await self._make_room()

    def _may_go_on(self) -> bool:
        is_tried = self._monotonic() >= self._failed_at + _FAILED_SECONDS
        # Where a batch found no room below the mark, as much as before would not do.
        refused = self._refused_bytes
        is_less = refused is None or self._spool.used_bytes < refused
        may_resume = self._spool.may_resume and is_less
        return self._is_full and is_tried and may_resume and not self._delivery.damaged

    async def _make_room(self) -> None:
        """Nothing sealed is left to upload: end the largest open cut, or let repeats wait."""
        if await self._drop_splits():
            return
        filled = [a for a in self._sound() if a.is_open and a.cuts.is_gate_open]
        filled.sort(key=lambda a: self._spool.open_bytes(a.tp), reverse=True)
        for appender in filled:
            if appender.may_seal:
                await self._seal(appender, RotationReason.SPOOL_FULL)
                return
        if len(filled) > 1:
            await self._let_wait(filled[-1])
        elif filled:
            self._say_too_small(filled[0])
        elif self._refused_bytes is not None:
            self._say_no_room()
        elif self._spool.shortage and self._health.fail(
            "spool", self._spool.shortage, is_operator=True
        ):
            log.error("%s", self._spool.shortage)

    async def _drop_splits(self) -> bool:
        """A split that S3 has needs no room here; False when there is none."""
        cuts = [appender.cuts.open for appender in self._appenders.values()]
        before = self._spool.used_bytes
        with suppress(SpoolError):  # their files stay until the next start
            await self._spool.drop([o.segment for cut in cuts for o in cut.splits])  # type: ignore[misc]
        return self._spool.used_bytes < before

    async def _let_wait(self, appender: Appender) -> None:
        if appender.cuts.is_commit_in_flight:
            return  # it must not arrive behind what is read at the next takeover
        log.info("%s: its repeat waits for room", appender.tp)
        await self._assignment.drop(appender.tp)
        self._waiting.add(appender.tp)

    def _say_no_room(self) -> None:
        """Nothing is held, and yet a batch has no room: looked at again after a while."""
        self._failed_at, self._refused_bytes = self._monotonic(), None
        reason = f"a batch has no room in {self._spool.max_bytes} bytes: raise spool.max_bytes"
        if self._health.fail("spool", reason, is_operator=True):
            log.error("%s", reason)

    def _say_too_small(self, appender: Appender) -> None:
        cut = appender.cuts.open
        reason = (
            f"the cut from {cut.start} must be repeated to {appender.cuts.append_limit} and fills "
            f"{self._spool.max_bytes} bytes at {cut.position}: raise spool.max_bytes"
        )
        if self._health.fail("spool", reason, is_operator=True):
            log.error("%s: %s", appender.tp, reason)


def _has_to_finish(appender: Appender) -> bool:
    """Whether a stop now would leave something of ours, or that we took over, to a successor."""
    cuts = appender.cuts
    # Promises that could not be kept stay in the metadata until a commit takes them off.
    is_bound = cuts.is_gate_open and cuts.is_promised
    return bool(cuts.sealed) or cuts.is_repeating or cuts.is_commit_in_flight or is_bound


def _has_work(appender: Appender) -> bool:
    """Whether an upload of its own will make room."""
    splits = appender.cuts.open.splits
    return bool(appender.cuts.sealed) or any(
        split.state is not ObjectState.CONFIRMED for split in splits
    )
