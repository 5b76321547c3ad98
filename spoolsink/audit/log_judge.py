"""What Kafka still has of offsets that no object holds: which of its records ought to be in S3.

Records are converted, placed and encoded as the sink does it, by the same configuration; markers,
aborted, compacted and skipped records and null values that write nothing are owed to nobody.
"""

from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from typing import Protocol

from spoolsink.encoder import Encoded, Encoder
from spoolsink.errors import OffsetsGoneError, RegistryAwayError, SchemaNeeded
from spoolsink.naming import Naming
from spoolsink.records import Batch, OffsetRange, TopicPartition

Covered = Callable[[str, int], bool]
"""Whether an object holds the offset, in the directory that it belongs to."""

_DIRECTORIES = 100
"""Told one by one; more of them are told as one."""

_SCHEMAS_OF_A_BATCH = 1_000


class Reader(Protocol):
    """What is used of `LogReader`."""

    def read(self, tp: TopicPartition, start: int, end: int) -> AsyncIterator[Batch]: ...


@dataclass(slots=True)
class Run:
    """Offsets from `first` to `last`, `records` of them."""

    first: int
    last: int
    records: int = 1

    def extend(self, offset: int) -> None:
        """By one that is behind the last."""
        self.last = offset
        self.records += 1


@dataclass(slots=True)
class Judgement:
    """`missing` by directory (None: all those beyond the first hundred); what stayed open.

    `unread` is the part that Kafka no longer has, `doubtful` are records that this configuration
    could not have passed, with the reason of the first.
    """

    missing: dict[str | None, Run] = field(default_factory=dict)
    unread: list[OffsetRange] = field(default_factory=list)
    doubtful: Run | None = None
    reason: str = ""

    def miss(self, directory: str, offset: int) -> None:
        """One record that ought to be in S3 and is not."""
        where = directory if directory in self.missing or len(self.missing) < _DIRECTORIES else None
        if where in self.missing:
            self.missing[where].extend(offset)
        else:
            self.missing[where] = Run(offset, offset)

    def doubt(self, offset: int, reason: str) -> None:
        """One record that would have stopped the topic partition."""
        if self.doubtful is None:
            self.doubtful, self.reason = Run(offset, offset), reason
        else:
            self.doubtful.extend(offset)


class LogJudge:
    """For one audit; `logs` are the ranges that Kafka has, absent where it has not the topic."""

    def __init__(
        self,
        reader: Reader,
        *,
        encoder: Encoder,
        naming: Naming,
        logs: dict[TopicPartition, OffsetRange],
        stops: bool,
        on_read: Callable[[int], None] = lambda _: None,
    ) -> None:
        """`stops`: `records.on_error` is `stop`; `on_read` is told of every batch's records."""
        self.logs = logs
        self._reader = reader
        self._encoder = encoder
        self._naming = naming
        self._stops = stops
        self._on_read = on_read

    async def judge(
        self, tp: TopicPartition, start: int, end: int, covered: Covered = lambda *_: False
    ) -> Judgement:
        """Raises ConsumerError, and RegistryAwayError where a schema cannot be had."""
        found = Judgement()
        log = self.logs.get(tp, OffsetRange(0, 0))
        low, high = max(start, log.start), min(end, log.end)
        if low >= high:
            found.unread.append(OffsetRange(start, end))
            return found
        if start < low:
            found.unread.append(OffsetRange(start, low))
        position = low
        try:
            async for batch in self._reader.read(tp, low, high):
                self._on_read(len(batch))
                await self._take(batch, found, covered)
                position = batch.next_offset
        except OffsetsGoneError:
            pass  # retention: what was read counts, the rest is as if it had never been there
        if position < end:
            found.unread.append(OffsetRange(position, end))
        return found

    async def _take(self, batch: Batch, found: Judgement, covered: Covered) -> None:
        if batch.refusal is not None:
            if self._stops or batch.next_offset == batch.start:
                found.doubt(batch.start, batch.refusal.message)
            return
        encoded = await self._encoded(batch)
        for directory, offset in self._owed(encoded):
            if not covered(directory, offset):
                found.miss(directory, offset)
        for rejected in encoded.rejected:
            if self._stops or rejected.must_stop:
                found.doubt(rejected.offset, str(rejected.error))

    def _owed(self, encoded: Encoded) -> Iterator[tuple[str, int]]:
        tp, directories = encoded.batch.tp, dict[str, str]()
        for offset, place, size in zip(encoded.offsets, encoded.places, encoded.sizes, strict=True):
            if not size:
                continue  # a null value of text, bytes or csv
            if place not in directories:
                key = self._naming.key(tp, place, offset, offset)
                directories[place] = key.rpartition("/")[0]
            yield directories[place], offset

    async def _encoded(self, batch: Batch) -> Encoded:
        for _ in range(_SCHEMAS_OF_A_BATCH):
            try:
                return self._encoder.encode(batch, 0)
            except SchemaNeeded as needed:
                await needed.fetch()
        raise RegistryAwayError(f"a batch needs more than {_SCHEMAS_OF_A_BATCH} schemas")
