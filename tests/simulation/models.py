"""What stands around the sink: logs, the group's committed offsets, disks, counters.

Each does what Kafka does, no more: OffsetCommit is fenced by the generation only and the last
writer wins, a late request takes effect. The bucket is in `store`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from spoolsink.cut import Commit
from spoolsink.ledger import LocalCut
from spoolsink.records import OffsetRange, TopicPartition
from spoolsink.segment import SealedSegment, SegmentKey, SegmentLabel
from spoolsink.spool import Quota
from spoolsink.spool_memory import MemorySpool
from tests.simulation.network import DiskWork, ask

TOPIC = "orders"
CLUSTER = "cluster"
LETTERS_PREFIX = "dead"
"""Of the keys of dead letters, where those are objects."""

NO_QUOTA = 1 << 40
PAUSE_AT, RESUME_AT = 0.9, 0.7


class LogRecord(NamedTuple):
    """A record as produced; `identity` names it in all of the world."""

    identity: str
    offset: int
    time_ms: int
    size_bytes: int
    is_bad: bool

    @property
    def row(self) -> bytes:
        """Its encoded form: the identity, padded to the size."""
        return self.identity.encode().ljust(self.size_bytes - 1) + b"\n"


@dataclass
class Log:
    """A topic partition of one incarnation of the topic.

    `gone` are offsets that were taken out after the fact: those below `start` by retention, the
    `compacted` ones singly.
    """

    topic_id: str
    partition: int = 0
    start: int = 0
    end: int = 0
    records: dict[int, LogRecord] = field(default_factory=dict)
    gone: set[int] = field(default_factory=set)
    compacted: set[int] = field(default_factory=set)

    @property
    def name(self) -> str:
        """No other log has it."""
        return f"{self.topic_id}.{self.partition}"

    @property
    def range(self) -> OffsetRange:
        """What Kafka answers to ListOffsets."""
        return OffsetRange(self.start, self.end)

    def produce(self, time_ms: int, size_bytes: int, *, is_bad: bool) -> None:
        identity = f"{self.name}:{self.end}"
        self.records[self.end] = LogRecord(identity, self.end, time_ms, size_bytes, is_bad)
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
    """The group coordinator: committed offsets, one generation at a time."""

    committed: dict[TopicPartition, Commit] = field(default_factory=dict)
    generation: int = 0
    is_fenced: bool = True

    def commit(self, generation: int, commits: Mapping[TopicPartition, Commit]) -> int:
        """Kafka's error code, the same for each: of the topic partitions it asks nothing."""
        if self.is_fenced and generation != self.generation:
            return 22
        self.committed.update(commits)
        return 0


class ModelSpool(MemorySpool):
    """The real spool of memory, with sealed cuts that outlive the process as files do.

    `most_bytes` is what it was ever seen to hold within its quota's lifetime. Every
    `disk_stride`-th call waits for its thread, none where it is None.
    """

    def __init__(self, quota_bytes: int | None = None, disk_stride: int | None = None) -> None:
        super().__init__(max_bytes=quota_bytes or NO_QUOTA, pause_at=PAUSE_AT, resume_at=RESUME_AT)
        self.cuts: dict[tuple[TopicPartition, int], LocalCut] = {}
        self.damaged: set[int] = set()
        self.allowed_bytes = self.max_bytes
        self._disk_stride = disk_stride
        self._calls = 0

    async def _disk(self) -> None:
        self._calls += 1
        if self._disk_stride is not None and self._calls % self._disk_stride == 0:
            await ask(DiskWork())

    async def append(
        self, key: SegmentKey, offsets: Sequence[int], rows: bytes, schema_bytes: int = 0
    ) -> None:
        await self._disk()  # others' rows, to make room in the write buffer
        await super().append(key, offsets, rows, schema_bytes)

    async def seal(self, labels: Mapping[SegmentKey, SegmentLabel]) -> list[SealedSegment]:
        sealed = await super().seal(labels)
        await self._disk()
        return sealed

    async def drop_open(self, tp: TopicPartition) -> int:
        count = await super().drop_open(tp)
        await self._disk()
        return count

    def resize(self, max_bytes: int) -> None:
        """`spool.max_bytes` of the process that starts now; what lies here lies here."""
        self.max_bytes = max_bytes
        self._quota = Quota(max_bytes, PAUSE_AT, RESUME_AT)
        self.allowed_bytes = max(max_bytes, self._used_bytes)

    async def remember(self, cut: LocalCut) -> None:
        self.cuts[cut.tp, cut.start] = cut
        await self._disk()

    async def drop(self, segments: Sequence[SealedSegment]) -> None:
        await super().drop(segments)
        gone = {segment.number for segment in segments}
        self.cuts = {
            which: cut
            for which, cut in self.cuts.items()
            if not gone & {segment.number for segment in cut.segments}
        }
        await self._disk()

    async def forget(self, cuts: Sequence[LocalCut]) -> None:
        await super().forget(cuts)
        for cut in cuts:
            self.cuts.pop((cut.tp, cut.start), None)

    def restart(self, max_bytes: int) -> list[LocalCut]:
        """A new process finds the directory: what is open is gone, sealed cuts are offered."""
        self._used_bytes -= sum(
            segment.held_bytes for held in self._open.values() for segment in held.values()
        )
        self._open.clear()
        self._uploads.clear()
        known = {s.number for cut in self.cuts.values() for s in cut.segments}
        for orphan in [number for number in self._sealed if number not in known]:
            self._used_bytes -= self._sealed.pop(orphan)
        self.resize(max_bytes)
        return list(self.cuts.values())

    def damage(self, choice: int) -> None:
        """One sealed segment is no more what was written."""
        if self._sealed:
            numbers = sorted(self._sealed)
            self.damaged.add(numbers[choice % len(numbers)])


class Count:
    """A counter, a gauge or a histogram: as much of prometheus_client's as the sink touches."""

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

    def set(self, amount: float) -> None:
        """Gauges tell nothing here."""


class Counts:
    """The metrics of a whole world: every process counts into the same."""

    def __init__(self, counters: Sequence[str], gauges: Sequence[str]) -> None:
        self.counters = {name: Count() for name in counters}
        self.histograms = {"upload_seconds": Count()}
        self.gauges = {name: Count() for name in gauges}

    def of(self, name: str) -> dict[tuple[str, ...], float]:
        """What was counted, by label values."""
        return self.counters[name].values
