"""From sealed to committed: objects that may go up are uploaded, commits that are due are sent.

No rule about offsets stands here: `cuts` is asked what may be uploaded and committed, and told how
it went.

1. One OffsetCommit is in flight at a time, with the membership under which its topic partitions
   were assigned, and at most 512 KiB of it.
2. After a commit without an answer nothing more is committed until it was read back; where it
   does not show, the group is joined anew, so that a late one is fenced.
3. Nothing is uploaded while the last heartbeat is too old, or before it is known whether the
   store honours conditional writes.
4. Files are deleted only after the commit that finished their cut; full splits earlier, when the
   spool is short of room.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping
from contextlib import suppress
from typing import Protocol

from spoolsink.appender import Appender
from spoolsink.consumer import Membership
from spoolsink.cut import Commit, Cut, CutObject, ObjectState
from spoolsink.encoder import DEAD_LETTERS
from spoolsink.errors import (
    ConsumerError,
    ObjectConflictError,
    OperatorStoreError,
    SegmentCorruptError,
    SpoolError,
)
from spoolsink.fault_points import is_armed, reach
from spoolsink.health import Health
from spoolsink.intent import decode
from spoolsink.kafka_causes import commit_refusal
from spoolsink.metrics import Metrics
from spoolsink.naming import Naming
from spoolsink.records import TopicPartition
from spoolsink.spool import AnySpool, LocalCut, SealedSegment
from spoolsink.status import ConfirmedObject
from spoolsink.uploader import Outcome, Upload, Uploader

log = logging.getLogger(__name__)

MAX_COMMIT_BYTES = 512 * 1024
TICK_SECONDS = 0.5
_IDLE_SECONDS = 2.0
"""How often the offset may follow a position with nothing pending (the contract allows 5 s)."""
_READ_BACKS = 3
_CONFLICT_SECONDS = 15.0
_COMMIT_OVERHEAD_BYTES = 64
_LAST_OBJECTS = 20
_LETTERS_TYPE = "application/x-ndjson"
"""Of dead letters, whatever the format of the rest is."""

# Kafka's error codes of OffsetCommit, by what they mean for us (KIP-848's table of group errors).
_REFUSED = {22, 25, 27, 82}  # illegal generation, unknown member, rebalance, fenced instance
_NOT_COORDINATOR = {14, 15, 16}  # loading, not available, not the coordinator: look for it
_REQUEST_TIMED_OUT = 7
_OUTCOMES = {0: "done", _REQUEST_TIMED_OUT: "unknown", **dict.fromkeys(_REFUSED, "refused")}


class Group(Protocol):
    """What is used of `GroupConsumer`."""

    @property
    def membership(self) -> Membership | None: ...
    @property
    def is_lease_fresh(self) -> bool: ...
    @property
    def has_coordinator(self) -> bool: ...
    def forget_coordinator(self) -> None: ...
    async def rejoin(self) -> None: ...
    async def committed(
        self, tps: Collection[TopicPartition]
    ) -> Mapping[TopicPartition, Commit | None]: ...
    async def send_commit(
        self, membership: Membership, commits: Mapping[TopicPartition, Commit]
    ) -> Mapping[TopicPartition, int]: ...


class Delivery:
    """The uploads and commits of one process; shares `appenders` with the pipeline."""

    def __init__(
        self,
        *,
        appenders: dict[TopicPartition, Appender],
        spool: AnySpool,
        uploader: Uploader,
        naming: Naming,
        content_type: str,
        body: Callable[[Iterator[bytes], str, str], Iterator[bytes]],
        metrics: Metrics,
        health: Health,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.group: Group | None = None
        self.create_only: bool | None = None
        self.wake = asyncio.Event()
        self.damaged: dict[TopicPartition, str] = {}
        self.last_objects: deque[ConfirmedObject] = deque(maxlen=_LAST_OBJECTS)
        self.objects_total = 0
        self._appenders = appenders
        self._spool = spool
        self._uploader = uploader
        self._naming = naming
        self._content_type = content_type
        self._make_body = body
        self._metrics = metrics
        self._health = health
        self._monotonic, self._sleep = monotonic, sleep
        self._queue: asyncio.Queue[tuple[Appender, CutObject]] = asyncio.Queue()
        self._resting: set[asyncio.Task[None]] = set()
        self._idle_at = 0.0
        self._is_quiet = asyncio.Event()
        self._is_quiet.set()

    async def commit_settled(self) -> None:
        """Wait until no commit is in flight."""
        await self._is_quiet.wait()

    @property
    def waiting_uploads(self) -> int:
        """Objects that are queued and not begun."""
        return self._queue.qsize()

    # -- uploads -------------------------------------------------------------------------------

    def collect(self) -> None:
        """Queue what may be uploaded now; bounded by the segments that the spool holds."""
        if self.create_only is None or self.group is None or not self.group.is_lease_fresh:
            return
        for appender in list(self._appenders.values()):
            for target in appender.cuts.uploads():
                target.state = ObjectState.UPLOADING
                self._queue.put_nowait((appender, target))

    async def upload_worker(self) -> None:
        """One of `s3.uploads` tasks that write objects one after the other."""
        while True:
            appender, target = await self._queue.get()
            try:
                await self._upload(appender, target)
            except BaseException:
                target.state = ObjectState.WAITING
                raise

    def _may_upload(self, appender: Appender) -> bool:
        group = self.group
        return (
            group is not None
            and group.is_lease_fresh
            and appender.cuts.is_upload_allowed()
            and self._appenders.get(appender.tp) is appender
            and appender.tp not in self.damaged
        )

    async def _upload(self, appender: Appender, target: CutObject) -> None:
        segment = target.segment
        assert isinstance(segment, SealedSegment)
        assert self.create_only is not None
        if not self._may_upload(appender):
            target.state = ObjectState.WAITING
            return
        upload = Upload(
            keys=self._naming.keys(segment.label, segment.summary),
            body=lambda: self._body(segment),
            size_bytes=segment.summary.size_bytes,
            metadata=self._naming.metadata(segment.label, segment.summary),
            content_type=_LETTERS_TYPE if _is_letters(segment) else self._content_type,
        )
        started = self._monotonic()
        reach("upload.before")
        try:
            outcome, key = await self._uploader.upload(
                upload, lambda: self._may_upload(appender), create_only=self.create_only
            )
        except SegmentCorruptError as error:
            self._damaged(appender, target, str(error))
        except FileNotFoundError:
            self._damaged(appender, target, f"segment {segment.number} is gone")
        except (ObjectConflictError, OperatorStoreError) as error:
            self._not_taken(appender, target, str(error))
        else:
            await self._ended(appender, target, outcome, key, self._monotonic() - started)

    async def _ended(
        self, appender: Appender, target: CutObject, outcome: Outcome, key: str, seconds: float
    ) -> None:
        if outcome is Outcome.STOPPED:
            target.state = ObjectState.WAITING
            return
        if outcome is Outcome.REFUSED:  # of which the uploader has told
            self._not_taken(appender, target, "")
            return
        self._metrics.counters["uploads"].labels(outcome.value).inc()
        self._metrics.histograms["upload_seconds"].observe(seconds)
        if key != target.key:
            self._metrics.counters["key_conflicts"].labels(appender.tp.topic).inc()
            log.warning("%s: %s was taken by other content: wrote %s", appender.tp, target.key, key)
        reach("complete.after")
        target.state = ObjectState.CONFIRMED
        self._health.clear(f"{appender.tp} key")
        self.objects_total += 1
        self.last_objects.append(ConfirmedObject(self._health.now_ms(), key))
        log.debug("%s: %s %s", appender.tp, outcome.value, key)
        if target.is_split and self._spool.must_pause:
            assert isinstance(target.segment, SealedSegment)
            with suppress(SpoolError):  # its file stays until the next start
                await self._spool.drop([target.segment])
        if appender.cuts.sealed and appender.cuts.sealed[0].is_confirmed:
            self.wake.set()

    def _damaged(self, appender: Appender, target: CutObject, reason: str) -> None:
        target.state = ObjectState.WAITING
        if self._appenders.get(appender.tp) is not appender:
            return  # dropped meanwhile, with its files
        self._metrics.counters["segments_dropped"].labels("damaged").inc()
        log.error("%s: dropped, to be read again from Kafka: %s", appender.tp, reason)
        self.damaged[appender.tp] = reason

    def _not_taken(self, appender: Appender, target: CutObject, reason: str) -> None:
        if reason and self._health.fail(f"{appender.tp} key", reason, is_operator=True):
            log.error("%s: an object cannot be written under its key: %s", appender.tp, reason)
        # Tried again later, and by no worker until then: others' objects go up meanwhile.
        task = asyncio.create_task(self._rest(target), name=f"{appender.tp} key")
        self._resting.add(task)
        task.add_done_callback(self._resting.discard)

    async def _rest(self, target: CutObject) -> None:
        await self._sleep(_CONFLICT_SECONDS)
        target.state = ObjectState.WAITING

    def _body(self, segment: SealedSegment) -> Iterator[bytes]:
        sent = self._metrics.counters["upload_bytes"]
        schema, seed = segment.label.schema, segment.summary.digest
        rows = segment.read()
        chunks = rows if _is_letters(segment) else self._make_body(rows, schema, seed)
        for chunk in chunks:
            sent.inc(len(chunk))
            yield chunk

    # -- commits -------------------------------------------------------------------------------

    async def run(self) -> None:
        """Upload and commit until cancelled."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(TICK_SECONDS):
                    await self.wake.wait()
            self.wake.clear()
            self.collect()
            while await self._commit_once():
                self.collect()

    async def _commit_once(self) -> bool:
        """Send one request with what is due; False when nothing was."""
        group = self.group
        if group is None or group.membership is None or not group.has_coordinator:
            return False
        membership = group.membership
        due = self._due()
        if not due:
            return False
        self._is_quiet.clear()
        try:
            await self._send(group, membership, due)
        finally:
            self._is_quiet.set()
        return True

    def _due(self) -> dict[Appender, Commit]:
        now = self._monotonic()
        is_idle = now - self._idle_at >= _IDLE_SECONDS
        if is_idle:
            self._idle_at = now
        due: dict[Appender, Commit] = {}
        size = 0
        for appender in list(self._appenders.values()):
            if size > MAX_COMMIT_BYTES // 2:
                self.wake.set()
                break
            commit = appender.cuts.next_commit(is_idle=is_idle)
            if commit is not None:
                due[appender] = commit
                size += len(commit.metadata) + len(appender.tp.topic) + _COMMIT_OVERHEAD_BYTES
        return due

    async def _send(
        self, group: Group, membership: Membership, due: Mapping[Appender, Commit]
    ) -> None:
        by_tp = {appender.tp: appender for appender in due}
        if any(commit.offset > appender.cuts.committed for appender, commit in due.items()):
            reach("advance.before")
        try:
            codes = await group.send_commit(
                membership, {appender.tp: commit for appender, commit in due.items()}
            )
        except ConsumerError as error:
            log.warning("a commit had no answer, it is read back: %s", error)
            codes = dict.fromkeys(by_tp, _REQUEST_TIMED_OUT)
        unknown: list[Appender] = []
        for appender, commit in due.items():
            if not appender.cuts.is_commit_in_flight:
                continue  # a new assignment has settled it
            code = codes.get(appender.tp, _REQUEST_TIMED_OUT)
            if code == _REQUEST_TIMED_OUT:
                appender.cuts.commit_unknown()
                unknown.append(appender)
            else:
                await self._answered(group, appender, commit, code)
        self._count(codes)
        if unknown:
            await self._read_back(group, unknown)
        elif any(codes.values()):
            await self._sleep(TICK_SECONDS)

    async def _answered(self, group: Group, appender: Appender, commit: Commit, code: int) -> None:
        if code == 0:
            reach_commit(commit, moved=commit.offset > appender.cuts.committed)
            await self._finish(appender, appender.cuts.commit_done())
            self._health.clear(f"{appender.tp} commit")
        elif code in _REFUSED:
            log.warning("%s: commit of %d refused: not ours now", appender.tp, commit.offset)
            appender.cuts.commit_refused()
        else:
            appender.cuts.commit_failed()
            if code in _NOT_COORDINATOR:
                group.forget_coordinator()
                return
            reason = commit_refusal(code, len(commit.metadata))
            if self._health.fail(f"{appender.tp} commit", reason, is_operator=True):
                log.error("%s: commit failed: %s", appender.tp, reason)

    def _count(self, codes: Mapping[TopicPartition, int]) -> None:
        for code in codes.values():
            outcome = _OUTCOMES.get(code, "failed")
            self._metrics.counters["commits"].labels(outcome).inc()

    async def _read_back(self, group: Group, unknown: list[Appender]) -> None:
        """Whether the lost commits took effect; where that does not show, join anew."""
        for attempt in range(_READ_BACKS):
            waiting = [a for a in unknown if a.cuts.is_commit_unknown]
            if not waiting:
                return
            if attempt:
                await self._sleep(TICK_SECONDS)
            try:
                found = await group.committed([appender.tp for appender in waiting])
            except ConsumerError as error:
                log.warning("offsets could not be read back: %s", error)
                continue
            for appender in waiting:
                commit = found.get(appender.tp)
                done = None if commit is None else appender.cuts.read_back(*commit)
                if done is not None:
                    await self._finish(appender, done)
        if any(a.cuts.is_commit_unknown for a in unknown):
            log.warning("joining the group anew, so that a commit still under way is fenced")
            await group.rejoin()

    async def _finish(self, appender: Appender, done: list[Cut]) -> None:
        if not done:
            return
        appender.finished(done)
        try:
            await self._spool.forget([local_cut(appender.tp, cut) for cut in done])
        except SpoolError as error:
            # Committed all the same; what is left of it is deleted at the next start.
            log.warning("%s: files of a committed cut stay: %s", appender.tp, error)
        reach("delete.after")
        self.wake.set()


def _is_letters(segment: SealedSegment) -> bool:
    return segment.label.schema == DEAD_LETTERS


def local_cut(tp: TopicPartition, cut: Cut) -> LocalCut:
    """A sealed cut as the spool knows it."""
    segments = [o.segment for o in cut.objects if isinstance(o.segment, SealedSegment)]
    return LocalCut(tp, cut.start, cut.mark, tuple(segments))


def reach_commit(commit: Commit, *, moved: bool) -> None:
    """The fault points behind a commit's reply."""
    found = decode(commit.metadata) if is_armed() else None
    if found is None:
        return
    if found.cuts:
        reach("intent.after")
    if found.floor:
        reach("floor.after")
    if moved or not (found.cuts or found.floor):
        reach("advance.after" if moved else "start.after")
