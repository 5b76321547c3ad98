"""When an open cut ends, and why; when a split is full. Pure: time comes in.

1. Boundaries that follow from the records alone (`records`, `bytes`, `interval`, `object_*`) do
   not depend on how the records were batched.
2. `records` and `bytes` end the cut behind the record that reaches the limit, `interval` before
   the record whose time is that far past the first record's. Records without a time, or with one
   that goes backwards, never fire it.
3. `schedule` is a grid from local midnight in elapsed time, begun anew each midnight.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from enum import StrEnum
from typing import NamedTuple

from spoolsink.rows import total_of

DAY_SECONDS = 86_400


class RotationReason(StrEnum):
    """Why a cut ended (a closed list: a metric's label)."""

    RECORDS = "records"
    BYTES = "bytes"
    INTERVAL = "interval"
    SCHEDULE = "schedule"
    MAX_AGE = "max_age"
    MAX_OPEN = "max_open"
    WALLCLOCK = "wallclock"
    FLUSH = "flush"
    SPOOL_FULL = "spool_full"
    REPEAT = "repeat"
    STOPPED = "stopped"
    DRAIN = "drain"


class CutEnd(NamedTuple):
    """The open cut takes the batch's records below `row`, and ends there."""

    row: int
    reason: RotationReason


@dataclass(slots=True)
class CutProgress:
    """What the open cut holds so far; `opened_seconds` is monotonic, `due_ms` the grid's next."""

    records: int = 0
    encoded_bytes: int = 0
    first_time_ms: int | None = None
    opened_seconds: float = 0.0
    due_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Rotation:
    """The limits of `rotate` (None: off); durations in seconds."""

    zone: tzinfo
    records: int | None = None
    max_bytes: int | None = None
    interval_seconds: float | None = None
    schedule_seconds: float | None = None
    max_age_seconds: float | None = None

    def end_within(
        self,
        cut: CutProgress,
        row_bytes: Sequence[int],
        times_ms: Sequence[int | None] | None = None,
    ) -> CutEnd | None:
        """Where the cut ends in a batch of rows, None when it takes them all.

        An end at row 0 (`interval` only) takes none of them. Of two limits the earlier row
        wins, and at the same row the one that Kafka Connect asks first: time, then count.
        """
        ends = (
            self._interval_end(cut, times_ms),
            self._records_end(cut, len(row_bytes)),
            self._bytes_end(cut, row_bytes),
        )
        return min((end for end in ends if end), key=lambda end: end.row, default=None)

    def take(
        self, cut: CutProgress, row_bytes: Sequence[int], times_ms: Sequence[int | None] | None
    ) -> None:
        """Add rows that the cut took."""
        cut.records += len(row_bytes)
        cut.encoded_bytes += total_of(row_bytes)
        if cut.first_time_ms is None and times_ms:
            cut.first_time_ms = next((t for t in times_ms if t is not None), None)

    def opened(self, monotonic_seconds: float, wall_ms: int) -> CutProgress:
        """A cut whose first record arrives now."""
        return CutProgress(opened_seconds=monotonic_seconds, due_ms=self.next_due_ms(wall_ms))

    def due(
        self, cut: CutProgress, monotonic_seconds: float, wall_ms: int
    ) -> RotationReason | None:
        """Whether time alone ends a cut that has records."""
        if not cut.records:
            return None
        if cut.due_ms is not None and wall_ms >= cut.due_ms:
            return RotationReason.SCHEDULE
        age = monotonic_seconds - cut.opened_seconds
        if self.max_age_seconds is not None and age >= self.max_age_seconds:
            return RotationReason.MAX_AGE
        return None

    def next_due_ms(self, wall_ms: int) -> int | None:
        """The first instant of the schedule's grid after `wall_ms` (ms since the epoch)."""
        if self.schedule_seconds is None:
            return None
        midnight_ms, next_midnight_ms = self._midnights_ms(wall_ms)
        step_ms = min(round(self.schedule_seconds * 1000), DAY_SECONDS * 1000)
        if self.schedule_seconds >= DAY_SECONDS:
            # Daily is the midnight itself, also on days of 23 and 25 hours.
            return next_midnight_ms
        steps = (wall_ms - midnight_ms) // step_ms + 1
        return min(midnight_ms + steps * step_ms, next_midnight_ms)

    def _midnights_ms(self, wall_ms: int) -> tuple[int, int]:
        local = datetime.fromtimestamp(wall_ms / 1000, self.zone)
        today = local.replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
        # Wall-clock arithmetic: timestamp() puts a midnight that a change of the clock leaves out
        # at the moment of that change.
        tomorrow = (today.replace(tzinfo=None) + timedelta(days=1)).replace(tzinfo=self.zone)
        return _epoch_ms(today), _epoch_ms(tomorrow)

    def _interval_end(
        self, cut: CutProgress, times_ms: Sequence[int | None] | None
    ) -> CutEnd | None:
        if self.interval_seconds is None or not times_ms:
            return None
        first, span_ms = cut.first_time_ms, self.interval_seconds * 1000
        for index, time_ms in enumerate(times_ms):
            if time_ms is None:
                continue
            if first is None:
                first = time_ms
            elif time_ms - first >= span_ms:
                return CutEnd(index, RotationReason.INTERVAL)
        return None

    def _records_end(self, cut: CutProgress, count: int) -> CutEnd | None:
        if self.records is None or cut.records + count < self.records:
            return None
        return CutEnd(max(self.records - cut.records, 0), RotationReason.RECORDS)

    def _bytes_end(self, cut: CutProgress, row_bytes: Sequence[int]) -> CutEnd | None:
        if self.max_bytes is None or cut.encoded_bytes + total_of(row_bytes) < self.max_bytes:
            return None
        total = cut.encoded_bytes
        for index, size in enumerate(row_bytes):
            if total >= self.max_bytes:
                return CutEnd(index, RotationReason.BYTES)
            total += size
        return CutEnd(len(row_bytes), RotationReason.BYTES)


@dataclass(frozen=True, slots=True)
class SplitRule:
    """`rotate.object_bytes` and `object_records`: when one S3 partition's object is full."""

    records: int | None = None
    max_bytes: int | None = None

    def is_full(self, records: int, encoded_bytes: int) -> bool:
        """Asked after each record: the one that reaches a limit is the last of its split."""
        return (self.records is not None and records >= self.records) or (
            self.max_bytes is not None and encoded_bytes >= self.max_bytes
        )

    def taken(self, records: int, encoded_bytes: int, row_bytes: Sequence[int]) -> int:
        """How many of the rows go into a split that holds this much; at least one."""
        if not row_bytes or not self.is_full(
            records + len(row_bytes), encoded_bytes + sum(row_bytes)
        ):
            return len(row_bytes)
        for index, size in enumerate(row_bytes, 1):
            records, encoded_bytes = records + 1, encoded_bytes + size
            if self.is_full(records, encoded_bytes):
                return index
        raise RuntimeError("a split that is full in whole is full at some row")


def _epoch_ms(local: datetime) -> int:
    return round(local.timestamp() * 1000)
