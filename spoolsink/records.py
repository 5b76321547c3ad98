"""What travels through the sink: topic partitions, offset ranges and batches of records.

A `Batch` holds the records of one Kafka batch (or a slice of one) of one topic partition as
columns, because everything on the hot path works on whole columns: `map`, `join`, one parse.
"""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

Headers = Sequence[tuple[str, bytes | None]]
"""Of one record, in order; names may repeat, values may be null."""

NO_TIMESTAMP = -1
"""What Kafka stores for a record without a timestamp."""


class TopicPartition(NamedTuple):
    """Kafka's partition of a topic; never an S3 partition."""

    topic: str
    partition: int

    def __str__(self) -> str:
        return f"{self.topic}-{self.partition}"


class TimestampType(IntEnum):
    """Who set the timestamps of a batch (Kafka's attribute bit 3)."""

    CREATE = 0
    LOG_APPEND = 1


class OffsetRange(NamedTuple):
    """Offsets `[start, end)`."""

    start: int
    end: int


@dataclass(slots=True, frozen=True)
class Batch:
    """Delivered records of one topic partition, as columns of equal length.

    `[start, next_offset)` is the range of offsets that the batch accounts for; it may be wider
    than its records (compaction, transaction markers, aborted records), and the batch may have
    no record at all. `headers` is None when no record has any. Timestamps are ms since the
    epoch, `NO_TIMESTAMP` when absent.
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

    def __len__(self) -> int:
        return len(self.offsets)

    def headers_at(self, index: int) -> Headers:
        """Headers of one record, empty when it has none."""
        return () if self.headers is None else self.headers[index]

    def before(self, offset: int) -> "Batch":
        """The part of the batch below `offset`; shares nothing that is written to."""
        return self._slice(0, self._index_of(offset), self.start, min(offset, self.next_offset))

    def since(self, offset: int) -> "Batch":
        """The part of the batch at and above `offset`."""
        start = max(offset, self.start)
        return self._slice(self._index_of(offset), len(self.offsets), start, self.next_offset)

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
        )
