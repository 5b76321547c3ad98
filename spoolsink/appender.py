"""The open cut of one topic partition: where records enter the spool, and where a cut is sealed.

1. Records are appended in offset order, each offset once: a batch that does not begin at the
   position is left alone (it was fetched before a seek).
2. Where a cut or a split ends by `rotate` depends on the records alone; a forced end, or a floor
   that is not reached yet, comes before every limit of ours.
3. A bad record that must stop the topic partition ends the cut before it, and nothing behind it
   is ever appended.

Only the pipeline's loop calls what awaits here, one call at a time.
"""

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from spoolsink.bad_records import BadRecordPolicy, BadRecords
from spoolsink.boundaries import Boundaries, OpenObject, Piece, Promise, grouped
from spoolsink.cut import Cut, CutObject
from spoolsink.cuts import PartitionCuts
from spoolsink.encoder import DEAD_LETTERS, TAG_MARK, Encoded, Encoder
from spoolsink.errors import RecordError, RegistryAwayError, SchemaNeeded, SpoolError
from spoolsink.fault_points import reach
from spoolsink.metrics import Metrics
from spoolsink.naming import Naming
from spoolsink.portions import Portions
from spoolsink.records import Batch, TopicPartition
from spoolsink.rotation import CutProgress, RotationReason
from spoolsink.rows import joined, total_of
from spoolsink.segment import SegmentLabel
from spoolsink.spool import AnySpool, LocalCut, SealedSegment, SegmentKey

log = logging.getLogger(__name__)

_SCHEMAS_OF_A_BATCH = 1_000
"""The registry's cache holds so many: a batch that needs more would be fetched for, for ever."""


@dataclass(frozen=True, slots=True)
class Policies:
    """What every topic partition of the process shares: objects that are called, never changed."""

    encoder: Encoder
    schema_text: Callable[[str], str]
    naming: Naming
    boundaries: Boundaries
    bad_records: BadRecordPolicy
    monotonic: Callable[[], float]
    wall_ms: Callable[[], int]


class Appender:
    """One topic partition's way from batches to sealed cuts; owned by the pipeline."""

    def __init__(
        self,
        tp: TopicPartition,
        *,
        cuts: PartitionCuts,
        spool: AnySpool,
        policies: Policies,
        metrics: Metrics,
    ) -> None:
        self.tp = tp
        self.cuts = cuts
        self.stopped: RecordError | None = None
        self.flush_below = -1
        self.must_reread = False
        self._spool = spool
        self._policies = policies
        self._metrics = metrics
        self._open: dict[str, OpenObject] = {}
        self._splits: dict[str, int] = {}
        self._split_segments: list[SealedSegment] = []
        self._progress: CutProgress | None = None
        self._arrived: dict[int, float] = {}
        self._last_wall_ms = 0
        self._instant_ms = 0
        self._sealed_count = 0
        self._bad = BadRecords(policies.bad_records, metrics, policies.monotonic)
        self._portions = Portions()

    # -- what others may ask -------------------------------------------------------------------

    @property
    def open_segments(self) -> int:
        """Open segments of the open cut."""
        return len(self._open)

    @property
    def sealed_count(self) -> int:
        """Cuts and splits sealed so far: a change is work for the delivery."""
        return self._sealed_count

    @property
    def is_open(self) -> bool:
        """Whether the open cut holds anything that a seal would end."""
        return bool(self.cuts.open.records)

    @property
    def may_seal(self) -> bool:
        """Whether there is something to seal, and no promise keeps the cut open."""
        return self.is_open and self.cuts.may_end_at(self.cuts.open.position)

    def oldest_arrival(self) -> float | None:
        """When the oldest record that is not yet in S3 arrived (monotonic seconds)."""
        waiting = [self._arrived[c.start] for c in self.cuts.sealed if c.start in self._arrived]
        if self._progress is not None:
            waiting.append(self._progress.opened_seconds)
        return min(waiting, default=None)

    # -- appending -----------------------------------------------------------------------------

    def portions(self, batches: Iterable[Batch]) -> Iterator[Batch]:
        """The same records in pieces that do not keep the event loop for long."""
        return self._portions.of(batches)

    async def append(self, batch: Batch) -> bool:
        """Take a batch; False when the spool has no room for all of it.

        The position then stands where the rest begins, and the caller reads it again later.
        Raises SpoolError when rows could not be written: what is open must be read again; and
        RegistryAwayError or DeadLetterAwayError with the position before what has to wait.
        """
        if self.stopped is not None or batch.start != self.cuts.open.position:
            return True
        if batch.refusal is not None:
            await self._refused(batch)
            return True
        encoded = whole = await self._encode(batch)
        stop = self._bad.stop_in(encoded)
        end = encoded.next_offset if stop is None else stop.offset
        await self._bad.send(batch, encoded, end)
        while True:
            piece = self._next_piece(encoded, end)
            groups = grouped(encoded.places[: piece.rows])
            new = sum(place not in self._open for place, _ in groups)
            if groups and not self._spool.has_room(total_of(encoded.sizes[: piece.rows]), new):
                self._bad.count(batch, whole, self.cuts.open.position)
                return False
            await self._take(encoded, piece, groups)
            if piece.reason is not None:
                await self.seal(piece.reason)
            encoded = encoded.since(piece.rows)
            if piece.next_offset >= end:
                break
            if piece.reason and self._policies.encoder.layout.uses_wallclock:
                encoded = await self._encode(batch.since(self.cuts.open.position))
        self._bad.count(batch, whole, self.cuts.open.position)
        if stop is not None:
            await self._stop(stop.error)
        return True

    async def pass_by(self, next_offset: int) -> None:
        """Move the position over offsets that hold nothing for us, through promised ends."""
        while self.cuts.open.position < next_offset:
            limit = self.cuts.append_limit
            self.cuts.appended(next_offset if limit is None else min(next_offset, limit), 0)
            if self.cuts.must_seal:
                await self.seal(RotationReason.REPEAT)

    async def _encode(self, batch: Batch) -> Encoded:
        """Raises RegistryAwayError where a schema is needed and cannot be had now."""
        # The keys carry this instant: the cut that they begin is opened with the same.
        self._instant_ms = self.cuts.instant(self._wall_ms())
        for _ in range(_SCHEMAS_OF_A_BATCH):
            started = self._policies.monotonic()
            try:
                encoded = self._policies.encoder.encode(batch, self._instant_ms)
            except SchemaNeeded as needed:
                await needed.fetch()
            else:
                self._portions.took(len(batch), self._policies.monotonic() - started)
                return encoded
        raise RegistryAwayError(f"a batch needs more than {_SCHEMAS_OF_A_BATCH} schemas")

    def _wall_ms(self) -> int:
        # Never backwards within a topic partition, whatever is done to the clock.
        self._last_wall_ms = max(self._last_wall_ms, self._policies.wall_ms())
        return self._last_wall_ms

    def _next_piece(self, encoded: Encoded, end: int) -> Piece:
        limit = self.cuts.append_limit
        return self._policies.boundaries.next_piece(
            encoded,
            (self.cuts.open.position, end),
            promise=None if limit is None else Promise(limit, self.cuts.must_seal_at(limit)),
            progress=self._progress or CutProgress(),
            held=self._open,
        )

    async def _take(
        self, encoded: Encoded, piece: Piece, groups: Sequence[tuple[str, Sequence[int]]]
    ) -> None:
        """Append the piece's rows to their segments, then move the position."""
        if piece.rows:
            self._begin()
            for place, rows in groups:
                await self._append_rows(encoded, place, rows)
            self._took(encoded, piece)
        if piece.full is not None:
            await self._seal_split(piece.full, self.cuts.open.records + piece.rows)
        self.cuts.appended(piece.next_offset, piece.rows)
        reach("append.after")

    async def _append_rows(self, encoded: Encoded, place: str, rows: Sequence[int]) -> None:
        if len(rows) == len(encoded.offsets):
            offsets, text = encoded.offsets, joined(encoded.rows)
        else:
            offsets = [encoded.offsets[row] for row in rows]
            text = joined(encoded.rows, rows)
        held = self._open.get(place)
        if held is None:
            held = self._open[place] = OpenObject(
                self._splits.get(place, 0),
                offsets[0],
                schema=self._schema_of(place),
            )
        key = SegmentKey(self.tp, place, held.split)
        await self._spool.append(key, offsets, text, len(held.schema))
        held.last = offsets[-1]
        held.records += len(offsets)
        held.encoded_bytes += len(text)

    def _schema_of(self, place: str) -> str:
        if place == DEAD_LETTERS:
            return DEAD_LETTERS
        return self._policies.schema_text(place.partition(TAG_MARK)[2])

    def _begin(self) -> None:
        if self._progress is None:
            self.cuts.begin(self._instant_ms)
            rotation = self._policies.boundaries.rotation
            self._progress = rotation.opened(self._policies.monotonic(), self._wall_ms())

    def _took(self, encoded: Encoded, piece: Piece) -> None:
        assert self._progress is not None
        times = None if encoded.times_ms is None else encoded.times_ms[: piece.rows]
        self._policies.boundaries.rotation.take(self._progress, encoded.sizes[: piece.rows], times)
        # What `since` has cut off lies in front.
        batch, done = encoded.batch, len(encoded.batch) - len(encoded.offsets)
        if done or piece.rows != len(encoded.offsets):
            batch = batch.part(done, done + piece.rows)
        topic = self.tp.topic
        self._metrics.counters["records"].labels(topic).inc(piece.rows)
        self._metrics.counters["record_bytes"].labels(topic).inc(batch.value_bytes)

    # -- ending --------------------------------------------------------------------------------

    async def tick(self) -> None:
        """End the open cut when time alone does; called a few times a second."""
        if not self.is_open:
            if not self.cuts.is_repeating:
                self.cuts.open.instant_ms = None
            return
        reason = self._due()
        if reason is not None and self.may_seal:
            await self.seal(reason)

    def _due(self) -> RotationReason | None:
        assert self._progress is not None
        if self.cuts.open.start < self.flush_below:
            return RotationReason.FLUSH
        now_ms, layout = self._wall_ms(), self._policies.encoder.layout
        opened_ms = self.cuts.open.instant_ms or 0
        if layout.uses_wallclock and layout.now(now_ms) != layout.now(opened_ms):
            return RotationReason.WALLCLOCK
        rotation = self._policies.boundaries.rotation
        return rotation.due(self._progress, self._policies.monotonic(), now_ms)

    def flush(self) -> None:
        """End what is open now at the next tick; below its floor, as soon as it is there."""
        if self.is_open:
            self.flush_below = self.cuts.open.position

    async def seal(self, reason: RotationReason, *, is_stopped: bool = False) -> Cut:
        """End the open cut at its position: the one place where a cut is sealed.

        Raises SpoolError when rows of it were lost: it must be read again.
        """
        reach("seal.before")
        cut = self.cuts.open
        arrived = self._progress.opened_seconds if self._progress else None
        # First the files: a footer says what the object will be called and where its cut ends.
        labels = {
            SegmentKey(self.tp, place, held.split): self._label(place, held, is_split=False)
            for place, held in self._open.items()
        }
        sealed = await self._spool.seal(labels) if labels else []
        # Segments of null values alone have no object: text and bytes write nothing for them.
        empty = [segment for segment in sealed if not segment.summary.size_bytes]
        await self._spool.drop(empty)
        written = [segment for segment in sealed if segment.summary.size_bytes]
        # Then the rules: from here on the cut waits for its intent.
        done = self.cuts.seal([object_of(s) for s in written], stopped=is_stopped)
        self._metrics.counters["cuts"].labels(reason.value).inc()
        self._sealed_count += 1
        if arrived is not None:
            self._arrived[done.start] = arrived
        segments = (*self._split_segments, *written)
        self.forget_open()
        # Last the ledger, so that a restart need not read the cut again.
        try:
            await self._spool.remember(LocalCut(self.tp, cut.start, done.mark, segments))
        except SpoolError as error:
            log.warning("%s: a restart would read the cut again: %s", self.tp, error)
        reach("seal.after")
        return done

    def forget_open(self) -> None:
        """Nothing is open any more: sealed, or dropped by the caller."""
        self._open.clear()
        self._splits.clear()
        self._split_segments.clear()
        self._progress = None

    def finished(self, cuts: Sequence[Cut]) -> None:
        """These cuts are committed."""
        for cut in cuts:
            self._arrived.pop(cut.start, None)

    async def _seal_split(self, place: str, records_below: int) -> None:
        held = self._open.pop(place)
        key = SegmentKey(self.tp, place, held.split)
        label = self._label(place, held, is_split=True)
        [segment] = await self._spool.seal({key: label})
        self._splits[place] = held.split + 1
        if not segment.summary.size_bytes:
            await self._spool.drop([segment])  # null values alone, as in `seal`
            return
        self._split_segments.append(segment)
        self._sealed_count += 1
        self.cuts.split_sealed(object_of(segment), records_below)

    def _label(self, place: str, held: OpenObject, *, is_split: bool) -> SegmentLabel:
        cut = self.cuts.open
        return SegmentLabel(
            topic=self.tp.topic,
            partition=self.tp.partition,
            cut_start=cut.start,
            object_key=self._policies.naming.key(self.tp, place, held.first, held.last),
            is_split=is_split,
            cut_end=None if is_split else cut.position,
            cut_records=None if is_split else cut.records,
            instant_ms=cut.instant_ms or 0,
            schema=held.schema,
        )

    # -- bad records ---------------------------------------------------------------------------

    async def _refused(self, batch: Batch) -> None:
        """A Kafka batch that is too large or damaged: passed by as a whole, or the end."""
        assert batch.refusal is not None
        if self._bad.is_reread(batch):
            self.must_reread = True
        elif self._bad.stops_at(batch):
            await self._stop(RecordError(batch.refusal.message, self.tp, batch.start))
        else:
            await self.pass_by(batch.next_offset)

    async def _stop(self, error: RecordError) -> None:
        self.stopped = error
        if self.is_open or self.cuts.is_repeating:
            await self.seal(RotationReason.STOPPED, is_stopped=True)


def object_of(segment: SealedSegment) -> CutObject:
    """A segment as `cuts` knows it."""
    summary, label = segment.summary, segment.label
    return CutObject(
        segment=segment,
        key=label.object_key,
        digest=summary.digest,
        first=summary.first,
        last=summary.last,
        records=summary.records,
        is_split=label.is_split,
    )
