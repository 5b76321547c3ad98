"""What travels through the sink: topic partitions, offset ranges and batches of records.

A `Batch` holds the records of one Kafka batch (or a slice of one) of one topic partition as
columns, because everything on the hot path works on whole columns: `map`, `join`, one parse.
"""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Literal, NamedTuple

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

    def __len__(self) -> int:
        return len(self.offsets)

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
