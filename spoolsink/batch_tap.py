"""The tap: records leave aiokafka's fetcher a Kafka batch at a time, as columns.

aiokafka wraps each fetched set of batches in `aiokafka.consumer.fetcher.PartitionRecords`, which
makes an object of every record. `install` puts a factory in that place: a consumer that was given
a `Tap` as its key deserializer gets `BatchRecords`, which yields our `Batch`es; every other
consumer of the process gets what it always got.

1. The order is Kafka's: checksum, aborted transactions, control batches, decoding.
2. Every offset is accounted for: a batch without deliverable records is yielded empty, so that
   the position behind markers and aborted records can be committed.
3. A damaged batch raises before anything of it is seen; those before it are kept.
"""

from collections import deque
from collections.abc import Iterator
from operator import attrgetter
from typing import Any

from aiokafka.consumer import fetcher
from aiokafka.consumer.fetcher import READ_COMMITTED
from aiokafka.errors import CorruptRecordException
from aiokafka.record.control_record import ABORT_MARKER, ControlRecord

from spoolsink.records import Batch, TimestampType, TopicPartition

_COLUMNS = tuple(map(attrgetter, ("offset", "timestamp", "key", "value", "headers")))
_ORIGINAL = fetcher.PartitionRecords


class Tap:
    """Marks a consumer: pass one as `key_deserializer`, which the tap never calls."""

    def __call__(self, _: bytes) -> bytes:
        """Called only where `install` was not."""
        raise RuntimeError("the tap is not installed")


def install() -> None:
    """Idempotent; consumers without a `Tap` are not affected."""
    fetcher.PartitionRecords = _make_records


def _make_records(*arguments: Any) -> Any:
    tp, records, aborted, fetch_offset, key_deserializer, _, check_crcs, isolation = arguments
    if not isinstance(key_deserializer, Tap):
        return _ORIGINAL(*arguments)
    is_committed_only = isolation == READ_COMMITTED
    return BatchRecords(
        TopicPartition(*tp),
        records,
        _Aborted(aborted if is_committed_only else None),
        fetch_offset,
        check_crcs=check_crcs,
    )


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
        while self._coming and self._coming[0][1] <= batch.base_offset:
            self._producers.add(self._coming.popleft()[0])
        if batch.is_control_batch:
            if _is_abort_marker(batch):
                self._producers.discard(batch.producer_id)
            return False
        return bool(batch.is_transactional) and batch.producer_id in self._producers


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
    ) -> None:
        self.next_fetch_offset = fetch_offset
        self._tp = tp
        self._records = records
        self._aborted = aborted
        self._check_crcs = check_crcs

    def __iter__(self) -> Iterator[Batch]:
        """Aiokafka iterates it where it lies."""
        return self

    def __next__(self) -> Batch:
        """One Kafka batch; raises CorruptRecordException for one that is damaged."""
        if not self._records.has_next():
            raise StopIteration
        raw = self._records.next_batch()
        if self._check_crcs and not raw.validate_crc():
            raise CorruptRecordException(f"{self._tp}: checksum of the batch at {raw.base_offset}")
        is_left_out = self._aborted.covers(raw) or raw.is_control_batch
        start = self.next_fetch_offset
        batch = self._batch(raw, start, [] if is_left_out else list(raw))
        self.next_fetch_offset = batch.next_offset
        return batch

    def _batch(self, raw: Any, start: int, records: list[Any]) -> Batch:
        # The broker returns whole batches: the first may begin before what was asked for.
        if records and records[0].offset < start:
            records = [record for record in records if record.offset >= start]
        offsets, timestamps, keys, values, headers = (list(map(get, records)) for get in _COLUMNS)
        return Batch(
            tp=self._tp,
            start=start,
            next_offset=max(raw.next_offset, start),
            offsets=offsets,
            timestamps=timestamps,
            timestamp_type=TimestampType(raw.timestamp_type or 0),
            keys=keys,
            values=values,
            headers=headers if any(headers) else None,
        )


def _is_abort_marker(batch: Any) -> bool:
    return bool(ControlRecord.parse(next(batch).key) == ABORT_MARKER)
