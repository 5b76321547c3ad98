"""What travels through the sink: topic partitions, offset ranges and batches of records.

A `Batch` holds the records of one Kafka batch (or a slice of one) of one topic partition as
columns, because everything on the hot path works on whole columns: `map`, `join`, one parse.
"""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from enum import IntEnum
from typing import Literal, NamedTuple, TypeVar

Headers = Sequence[tuple[str, bytes | None]]
"""Of one record, in order; names may repeat, values may be null."""


def last_header(headers: Headers, name: str) -> bytes | None:
    """The value of the last header of the name; None where it is null or there is none."""
    return next((value for found, value in reversed(headers) if found == name), None)


NO_TIMESTAMP = -1
"""What Kafka stores for a record without a timestamp."""


class TopicPartition(NamedTuple):
    """Kafka's partition of a topic; never an S3 partition."""

    topic: str
    partition: int

    def __str__(self) -> str:
        return f"{self.topic}-{self.partition}"

    @property
    def labels(self) -> tuple[str, str]:
        """Of a metric."""
        return self.topic, str(self.partition)


class TimestampType(IntEnum):
    """Who set the timestamps of a batch (Kafka's attribute bit 3)."""

    CREATE = 0
    LOG_APPEND = 1


class OffsetRange(NamedTuple):
    """Offsets `[start, end)`."""

    start: int
    end: int


class Refusal(NamedTuple):
    """Why a Kafka batch comes without its records.

    `records` is the count that the batch's header gives; 0 where the header itself is damaged.
    """

    reason: Literal["too_large", "corrupt"]
    message: str
    records: int


class TimeBounds(NamedTuple):
    """The least and the greatest timestamp of a batch, in ms since the epoch."""

    earliest_ms: int
    latest_ms: int


class ValueFacts(NamedTuple):
    """Of all values of a batch; a null has no bytes.

    Where they are ASCII they need not be looked at as UTF-8; line ends are CR and LF.
    """

    value_bytes: int
    has_nulls: bool
    is_ascii: bool
    has_line_ends: bool


@dataclass(slots=True, frozen=True)
class Batch:
    """Delivered records of one topic partition, as columns of equal length.

    `[start, next_offset)` is the range of offsets that the batch accounts for; it may be wider
    than its records (compaction, transaction markers, aborted records), and the batch may have
    no record at all. `headers` is None when no record has any. Timestamps are ms since the
    epoch, `NO_TIMESTAMP` when absent.

    A `refusal` makes the batch one whose records could not be had: the topic partition stops at
    `start`, or passes on to `next_offset`. Where the two are equal nothing behind it can be had
    either: it is passed by nobody.
    """

    tp: TopicPartition
    start: int
    next_offset: int
    offsets: Sequence[int]
    timestamps: Sequence[int]
    timestamp_type: TimestampType
    keys: Sequence[bytes | None]
    values: Sequence[bytes | None]
    headers: Sequence[Headers] | None
    refusal: Refusal | None = None
    facts: "ValueFacts | None" = field(default=None, compare=False, repr=False)
    times: "TimeBounds | None" = field(default=None, compare=False, repr=False)

    def __len__(self) -> int:
        return len(self.offsets)

    @property
    def about_values(self) -> "ValueFacts":
        """What is known of its values, or found out now."""
        return facts_of(self.values) if self.facts is None else self.facts

    @property
    def time_bounds(self) -> "TimeBounds":
        """Of its timestamps, known or found out now; there must be a record."""
        return bounds_of(self.timestamps) if self.times is None else self.times

    @property
    def value_bytes(self) -> int:
        """Of all values; a null has none."""
        return _bytes_of(self.values) if self.facts is None else self.facts.value_bytes

    def headers_at(self, index: int) -> Headers:
        """Headers of one record, empty when it has none."""
        return () if self.headers is None else self.headers[index]

    def before(self, offset: int) -> "Batch":
        """The part of the batch below `offset`; shares nothing that is written to."""
        part = self._slice(0, self._index_of(offset), self.start, min(offset, self.next_offset))
        return part if offset > self.start else replace(part, refusal=None)

    def since(self, offset: int) -> "Batch":
        """The part of the batch at and above `offset`."""
        start = max(offset, self.start)
        part = self._slice(self._index_of(offset), len(self.offsets), start, self.next_offset)
        is_behind = offset > self.start and offset >= self.next_offset
        return replace(part, refusal=None) if is_behind else part

    def part(self, low: int, high: int) -> "Batch":
        """Some of its records; it accounts for the same offsets."""
        return self._slice(low, high, self.start, self.next_offset)

    def _index_of(self, offset: int) -> int:
        return bisect_left(self.offsets, offset)

    def _slice(self, low: int, high: int, start: int, next_offset: int) -> "Batch":
        return Batch(
            tp=self.tp,
            start=start,
            next_offset=next_offset,
            offsets=self.offsets[low:high],
            timestamps=self.timestamps[low:high],
            timestamp_type=self.timestamp_type,
            keys=self.keys[low:high],
            values=self.values[low:high],
            headers=None if self.headers is None else self.headers[low:high],
            refusal=self.refusal,
        )


T = TypeVar("T")


def facts_of(values: Sequence[bytes | None]) -> ValueFacts:
    """By passes over all of them, at C speed."""
    has_nulls = None in values
    joined = b"".join([value for value in values if value is not None] if has_nulls else values)  # type: ignore[arg-type]
    has_line_ends = b"\n" in joined or b"\r" in joined
    return ValueFacts(len(joined), has_nulls, joined.isascii(), has_line_ends)


def bounds_of(timestamps: Sequence[int]) -> TimeBounds:
    """By two passes at C speed; there must be one at least."""
    return TimeBounds(min(timestamps), max(timestamps))


def _bytes_of(values: Sequence[bytes | None]) -> int:
    try:
        return sum(map(len, values))  # type: ignore[arg-type]
    except TypeError:  # null values, which are rare
        return sum(len(value) for value in values if value is not None)


def _summed(facts: Sequence[ValueFacts]) -> ValueFacts:
    sizes, nulls, ascii_only, line_ends = zip(*facts, strict=True)
    return ValueFacts(sum(sizes), any(nulls), all(ascii_only), any(line_ends))


def _widest(bounds: Sequence[TimeBounds]) -> TimeBounds | None:
    """None where no batch has a record."""
    if not bounds:
        return None
    earliest, latest = zip(*bounds, strict=True)
    return TimeBounds(min(earliest), max(latest))


def merged(batches: Iterable[Batch], most_bytes: int) -> list[Batch]:
    """The same records in fewer batches, of at most about so many bytes of values each.

    What is done once for a batch costs most where producers send small ones. A refused batch, one
    with other timestamps, and one that does not follow the one before it stay by themselves.
    """
    runs: list[list[Batch]] = []
    room = 0
    for batch in batches:
        size = batch.value_bytes
        room -= size
        if runs and room >= 0 and _follows(batch, runs[-1][-1]):
            runs[-1].append(batch)
        else:
            runs.append([batch])
            room = most_bytes - size
    return [run[0] if len(run) == 1 else _joined(run) for run in runs]


def _follows(batch: Batch, last: Batch) -> bool:
    return (
        batch.start == last.next_offset
        and batch.timestamp_type == last.timestamp_type
        and batch.refusal is None
        and last.refusal is None
        and batch.tp == last.tp
    )


def _joined(run: Sequence[Batch]) -> Batch:
    first, last = run[0], run[-1]
    has_headers = any(batch.headers is not None for batch in run)
    headers = [batch.headers or [()] * len(batch) for batch in run] if has_headers else None
    return Batch(
        tp=first.tp,
        start=first.start,
        next_offset=last.next_offset,
        offsets=_joined_offsets([batch.offsets for batch in run if batch.offsets]),
        timestamps=_chained([batch.timestamps for batch in run]),
        timestamp_type=first.timestamp_type,
        keys=_chained([batch.keys for batch in run]),
        values=_chained([batch.values for batch in run]),
        headers=None if headers is None else _chained(headers),
        facts=_summed([batch.about_values for batch in run]),
        times=_widest([batch.time_bounds for batch in run if batch.timestamps]),
    )


def _joined_offsets(columns: Sequence[Sequence[int]]) -> Sequence[int]:
    """A range where they are ranges without a gap, as they are but for compacted topics."""
    if columns and all(isinstance(column, range) for column in columns):
        start, end = columns[0][0], columns[-1][-1] + 1
        if end - start == sum(map(len, columns)):
            return range(start, end)
    return _chained(columns)


def _chained(columns: Sequence[Sequence[T]]) -> list[T]:
    found: list[T] = []
    for column in columns:
        found += column  # half the cost of `chain`
    return found
