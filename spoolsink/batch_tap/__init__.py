"""The tap: records leave aiokafka's fetcher a Kafka batch at a time, as columns.

aiokafka wraps each fetched set of batches in `aiokafka.consumer.fetcher.PartitionRecords`, which
makes an object of every record. `install` puts a factory in that place: a consumer that was given
a `Tap` as its key deserializer gets `BatchRecords`, which yields our `Batch`es; every other
consumer of the process gets what it always got.

1. The order is Kafka's: checksum, aborted transactions, control batches, decoding.
2. Every offset is accounted for: a batch without deliverable records is yielded empty, so that
   the position behind markers and aborted records can be committed.
3. Nothing raises: what cannot be had is an empty batch with a `Refusal`, where its offsets are. A
   damaged header says nothing about what follows, so the iterator ends with it, at its start.
4. Of a batch that is refused no more than `batch_max_bytes` is ever decompressed, whatever its
   headers say. One that passes takes that much twice for a moment: its bytes and its records.
   Python's objects come on top, about 100 bytes for a small record: a batch of nothing but tiny
   records takes many times its bytes, which the limit does not count.
"""

from collections import deque
from collections.abc import Iterator
from typing import Any

from aiokafka.consumer import fetcher
from aiokafka.consumer.fetcher import READ_COMMITTED
from aiokafka.errors import CorruptRecordException
from aiokafka.record.control_record import ABORT_MARKER, ControlRecord

from spoolsink.batch_tap.bounds import (
    DAMAGE,
    HEADER_BYTES,
    INT32,
    LENGTH_AT,
    MAGIC_AT,
    TooLargeError,
    bounded,
    count_of,
    has_right_checksum,
    timestamp_type_of,
)
from spoolsink.batch_tap.columns import columns_of
from spoolsink.records import Batch, Refusal, TimestampType, TopicPartition

_ORIGINAL = fetcher.PartitionRecords
_ORIGINAL_RECORDS = fetcher.MemoryRecords
_TIMESTAMP_TYPES = tuple(TimestampType)


class Tap:
    """Marks a consumer: pass one as `key_deserializer`, which the tap never calls."""

    def __init__(self, batch_max_bytes: int) -> None:
        self.batch_max_bytes = batch_max_bytes

    def __call__(self, _: bytes) -> bytes:
        """Called only where `install` was not."""
        raise RuntimeError("the tap is not installed")


def install() -> None:
    """Idempotent; consumers without a `Tap` are not affected."""
    fetcher.PartitionRecords = _make_records
    fetcher.MemoryRecords = _MemoryRecords


def _make_records(*arguments: Any) -> Any:
    tp, records, aborted, fetch_offset, key_deserializer, _, check_crcs, isolation = arguments
    if not isinstance(key_deserializer, Tap):
        return _ORIGINAL(tp, records.original, *arguments[2:])
    is_committed_only = isolation == READ_COMMITTED
    return BatchRecords(
        TopicPartition(*tp),
        records,
        _Aborted(aborted if is_committed_only else None),
        fetch_offset,
        check_crcs=check_crcs,
        batch_max_bytes=key_deserializer.batch_max_bytes,
    )


class _MemoryRecords:
    """In the place of aiokafka's MemoryRecords, whose batches do not show their bytes."""

    def __init__(self, data: bytes | None) -> None:
        self.original = _ORIGINAL_RECORDS(data)
        self.has_next = self.original.has_next
        self.size_in_bytes = self.original.size_in_bytes
        self._rest = memoryview(data or b"")

    def next_batch(self) -> tuple[Any, memoryview]:
        """The batch and its bytes; raises CorruptRecordException when its length is impossible."""
        length = LENGTH_AT + INT32.size + INT32.unpack_from(self._rest, LENGTH_AT)[0]
        # aiokafka reads the header without looking whether it is there.
        if length <= MAGIC_AT or (self._rest[MAGIC_AT] > 1 and length < HEADER_BYTES):
            raise CorruptRecordException(f"a batch of {length} bytes")
        view, self._rest = self._rest[:length], self._rest[length:]
        return self.original.next_batch(), view


class _Aborted:
    """Which transactional producers are inside an aborted transaction at the present offset.

    Kafka lists aborted transactions of a fetch as (producer id, first offset); one ends with its
    abort marker (KIP-98).
    """

    def __init__(self, aborted: list[tuple[int, int]] | None) -> None:
        self._coming = deque(sorted(aborted or [], key=lambda pair: pair[1]))
        self._producers: set[int] = set()

    def covers(self, batch: Any) -> bool:
        """Whether the batch is to be left out; called once for each, in order."""
        if not batch.is_transactional:
            return False
        while self._coming and self._coming[0][1] <= batch.base_offset:
            self._producers.add(self._coming.popleft()[0])
        if batch.producer_id not in self._producers:
            return False
        if batch.is_control_batch and _is_abort_marker(batch):
            self._producers.discard(batch.producer_id)
        return True


class BatchRecords:
    """In the place of aiokafka's PartitionRecords: an iterator with `next_fetch_offset`."""

    def __init__(
        self,
        tp: TopicPartition,
        records: Any,
        aborted: _Aborted,
        fetch_offset: int,
        *,
        check_crcs: bool,
        batch_max_bytes: int,
    ) -> None:
        self.next_fetch_offset = fetch_offset
        self._tp = tp
        self._records = records
        self._aborted = aborted
        self._check_crcs = check_crcs
        self._limit = batch_max_bytes
        self._is_broken = False

    def __iter__(self) -> Iterator[Batch]:
        """Aiokafka iterates it where it lies."""
        return self

    def __next__(self) -> Batch:
        """One Kafka batch."""
        if self._is_broken or not self._records.has_next():
            raise StopIteration
        start = self.next_fetch_offset
        try:
            raw, view = self._records.next_batch()
        except CorruptRecordException as error:
            return self._broken(start, _told(error))
        if self._check_crcs and not has_right_checksum(raw, view):
            return self._broken(start, f"checksum of the batch at {raw.base_offset}")
        self.next_fetch_offset = max(raw.next_offset, start)
        return self._delivered(raw, view, start)

    def _delivered(self, raw: Any, view: memoryview, start: int) -> Batch:
        end = self.next_fetch_offset
        try:
            if self._aborted.covers(raw) or raw.is_control_batch:
                return self._empty(start, end)
            batch = _decoded(self._tp, *bounded(raw, view, self._limit), start, end)
        except TooLargeError as error:
            return self._empty(start, end, Refusal("too_large", str(error), count_of(view)))
        except DAMAGE as error:
            return self._empty(start, end, Refusal("corrupt", _told(error), count_of(view)))
        # The broker returns whole batches: the first may begin before what was asked for.
        return batch.since(start) if batch.offsets and batch.offsets[0] < start else batch

    def _broken(self, start: int, message: str) -> Batch:
        self._is_broken = True
        return self._empty(start, start, Refusal("corrupt", message, 0))

    def _empty(self, start: int, end: int, refusal: Refusal | None = None) -> Batch:
        kind = TimestampType.CREATE
        return Batch(self._tp, start, end, (), (), kind, (), (), None, refusal)


def _is_abort_marker(batch: Any) -> bool:
    # The log cleaner keeps a batch whose marker it has removed.
    marker = next(batch, None)
    return marker is not None and bool(ControlRecord.parse(marker.key) == ABORT_MARKER)


def _told(error: Exception) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def _decoded(tp: TopicPartition, raw: Any, view: memoryview, start: int, end: int) -> Batch:
    offsets, timestamps, keys, values, headers, facts, times = columns_of(raw, view)
    kind = _TIMESTAMP_TYPES[timestamp_type_of(view)]
    columns = offsets, timestamps, kind, keys, values, headers
    return Batch(tp, start, end, *columns, facts=facts, times=times)
