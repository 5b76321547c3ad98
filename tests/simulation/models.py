"""What stands around the sink: a log, the group's committed offset, a bucket, disks.

Each does what Kafka and S3 do, no more: OffsetCommit is fenced by the generation only and the last
writer wins, a late request takes effect, a conditional write is atomic.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from spoolsink.cut import Commit
from spoolsink.ledger import LocalCut
from spoolsink.records import OffsetRange, TopicPartition
from spoolsink.segment import SealedSegment
from spoolsink.spool_memory import MemorySpool

TP = TopicPartition("orders", 0)
CLUSTER = "cluster"


class LogRecord(NamedTuple):
    """A record as produced; `identity` names it in all of the world."""

    identity: str
    offset: int
    time_ms: int
    size_bytes: int
    is_skipped: bool

    @property
    def row(self) -> bytes:
        """Its encoded form: the identity, padded to the size."""
        return self.identity.encode().ljust(self.size_bytes - 1) + b"\n"


@dataclass
class Log:
    """One incarnation of the topic; `gone` are offsets that were taken out after the fact.

    Those below `start` by retention, the `compacted` ones singly.
    """

    topic_id: str
    start: int = 0
    end: int = 0
    records: dict[int, LogRecord] = field(default_factory=dict)
    gone: set[int] = field(default_factory=set)
    compacted: set[int] = field(default_factory=set)

    @property
    def range(self) -> OffsetRange:
        """What Kafka answers to ListOffsets."""
        return OffsetRange(self.start, self.end)

    def produce(self, time_ms: int, size_bytes: int, *, is_skipped: bool) -> None:
        identity = f"{self.topic_id}:{self.end}"
        self.records[self.end] = LogRecord(identity, self.end, time_ms, size_bytes, is_skipped)
        self.end += 1

    def skip(self) -> None:
        """An offset without a record: a marker, an aborted record."""
        self.end += 1

    def retain_from(self, offset: int) -> None:
        """Retention: everything below is gone."""
        for gone in range(self.start, min(offset, self.end)):
            self.gone.add(gone)
        self.start = max(self.start, min(offset, self.end))

    def compact(self, offset: int) -> None:
        if offset in self.records:
            self.gone.add(offset)
            self.compacted.add(offset)

    def read(self, start: int, end: int) -> list[LogRecord]:
        """What a fetch of these offsets brings."""
        offsets = range(max(start, self.start), min(end, self.end))
        return [self.records[o] for o in offsets if o in self.records and o not in self.gone]


@dataclass
class Broker:
    """The group coordinator: one committed offset, one generation at a time."""

    committed: Commit | None = None
    generation: int = 0
    is_fenced: bool = True

    def commit(self, generation: int, commit: Commit) -> int:
        """Kafka's error code."""
        if self.is_fenced and generation != self.generation:
            return 22
        self.committed = commit
        return 0


class StoredObject(NamedTuple):
    """An object with its user metadata."""

    body: bytes
    metadata: dict[str, str]


@dataclass
class Bucket:
    """Objects by key; a Put tells whether it took effect."""

    objects: dict[str, StoredObject] = field(default_factory=dict)

    def put(self, key: str, stored: StoredObject, *, create_only: bool) -> bool:
        if create_only and key in self.objects:
            return False
        self.objects[key] = stored
        return True


class ModelSpool(MemorySpool):
    """The real spool of memory, with sealed cuts that outlive the process as files do."""

    def __init__(self) -> None:
        super().__init__(max_bytes=1 << 40, pause_at=0.9, resume_at=0.7)
        self.cuts: dict[int, LocalCut] = {}
        self.damaged: set[int] = set()

    async def remember(self, cut: LocalCut) -> None:
        self.cuts[cut.start] = cut

    async def drop(self, segments: Sequence[SealedSegment]) -> None:
        await super().drop(segments)
        gone = {segment.number for segment in segments}
        self.cuts = {
            start: cut
            for start, cut in self.cuts.items()
            if not gone & {segment.number for segment in cut.segments}
        }

    async def forget(self, cuts: Sequence[LocalCut]) -> None:
        await super().forget(cuts)
        for cut in cuts:
            self.cuts.pop(cut.start, None)

    def restart(self) -> list[LocalCut]:
        """A new process finds the directory: what is open is gone, sealed cuts are offered."""
        self._used_bytes -= sum(
            segment.held_bytes for held in self._open.values() for segment in held.values()
        )
        self._open.clear()
        known = {s.number for cut in self.cuts.values() for s in cut.segments}
        for orphan in [number for number in self._sealed if number not in known]:
            self._used_bytes -= self._sealed.pop(orphan)
        return list(self.cuts.values())

    def damage(self, choice: int) -> None:
        """One sealed segment is no more what was written."""
        if self._sealed:
            numbers = sorted(self._sealed)
            self.damaged.add(numbers[choice % len(numbers)])


class Count:
    """A counter or a histogram: as much of prometheus_client's as the sink touches."""

    def __init__(self) -> None:
        self.values: dict[tuple[str, ...], float] = {}

    def labels(self, *labels: str) -> "_Labelled":
        return _Labelled(self.values, labels)

    def inc(self, amount: float = 1) -> None:
        self.labels().inc(amount)

    def observe(self, amount: float) -> None:
        """Durations tell nothing here."""

    def set(self, amount: float) -> None:
        """Gauges tell nothing here."""


class _Labelled(NamedTuple):
    values: dict[tuple[str, ...], float]
    labels: tuple[str, ...]

    def inc(self, amount: float = 1) -> None:
        self.values[self.labels] = self.values.get(self.labels, 0) + amount


class Counts:
    """The metrics of a whole world: every process counts into the same."""

    def __init__(self, names: Sequence[str]) -> None:
        self.counters = {name: Count() for name in names}
        self.histograms = {"upload_seconds": Count()}
        self.gauges: dict[str, Count] = {}

    def of(self, name: str) -> dict[tuple[str, ...], float]:
        """What was counted, by label values."""
        return self.counters[name].values
