"""Batches, policies and appenders for tests: real ones, with small limits and a clock by hand."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from spoolsink import wiring
from spoolsink.appender import Appender, Policies
from spoolsink.config_model import Config
from spoolsink.cut import Cut, CutObject
from spoolsink.cuts import PartitionCuts
from spoolsink.errors import SpoolError
from spoolsink.intent import CommitMetadata, Identity, decode
from spoolsink.metrics import Metrics
from spoolsink.records import Batch, Headers, Refusal, TimestampType, TopicPartition
from spoolsink.segment import SealedSegment, SegmentKey, SegmentLabel
from spoolsink.spool import LocalCut
from spoolsink.spool_memory import MemorySpool

TP = TopicPartition("orders", 0)
CLUSTER, TOPIC_ID, FINGERPRINT = "cluster", "topic-id", "f00dcafe"
ME = Identity(CLUSTER, TOPIC_ID, FINGERPRINT, "me")
NEXT = Identity(CLUSTER, TOPIC_ID, FINGERPRINT, "next")
NOON = int(datetime(2026, 7, 4, 12, 0, 0, 0, UTC).timestamp() * 1000)
MIB = 1024 * 1024

NO_LIMITS: dict[str, object] = {
    "bytes": None,
    "max_age": None,
    "object_bytes": None,
    "max_open": None,
}


class Clock:
    """The monotonic and the wall clock, which move when the test says so.

    `step_ms` moves the wall clock at each look, as a real one does.
    """

    def __init__(self, wall_ms: int = NOON, step_ms: int = 0) -> None:
        self.seconds = 1000.0
        self.now_ms = wall_ms
        self.step_ms = step_ms

    def monotonic(self) -> float:
        return self.seconds

    def wall_ms(self) -> int:
        self.now_ms += self.step_ms
        return self.now_ms

    def advance(self, seconds: float) -> None:
        self.seconds += seconds
        self.now_ms += int(seconds * 1000)


class FailingSpool(MemorySpool):
    """A spool in memory whose next calls of a name fail, as on a full disk."""

    def __init__(self, max_bytes: int = 64 * MIB) -> None:
        super().__init__(max_bytes=max_bytes, pause_at=0.9, resume_at=0.7)
        self.failures: dict[str, int] = {}

    def _fails(self, name: str) -> bool:
        left = self.failures.get(name, 0)
        self.failures[name] = max(0, left - 1)
        return left > 0

    async def append(
        self, key: SegmentKey, offsets: Sequence[int], rows: bytes, schema_bytes: int = 0
    ) -> None:
        if self._fails("append"):
            raise SpoolError("no space left on device")
        await super().append(key, offsets, rows, schema_bytes)

    async def seal(self, labels: Mapping[SegmentKey, SegmentLabel]) -> list[SealedSegment]:
        sealed = await super().seal(labels)
        if self._fails("seal"):
            await self.drop(sealed)
            raise SpoolError("no space left on device")
        return sealed

    async def drop_open(self, tp: TopicPartition) -> int:
        count = await super().drop_open(tp)
        if self._fails("drop_open"):
            raise SpoolError("read-only file system")
        return count

    async def drop(self, segments: Sequence[SealedSegment]) -> None:
        await super().drop(segments)
        if self._fails("drop"):
            raise SpoolError("read-only file system")

    async def forget(self, cuts: Sequence[LocalCut]) -> None:
        await super().forget(cuts)
        if self._fails("forget"):
            raise SpoolError("read-only file system")


def memory_spool(max_bytes: int = 64 * MIB) -> MemorySpool:
    return MemorySpool(max_bytes=max_bytes, pause_at=0.9, resume_at=0.7)


def config_of(**sections: object) -> Config:
    """S3 partitions by the field `p`; no limit but those that are named."""
    data: dict[str, object] = {
        "name": "sink",
        "kafka": {"bootstrap_servers": ["localhost:9092"], "topics": [TP.topic]},
        "layout": {"partition": "p={value.p}"},
        "s3": {"bucket": "demo-bucket"},
        **sections,
    }
    rotate = data.get("rotate", {})
    assert isinstance(rotate, dict)
    return Config.model_validate({**data, "rotate": {**NO_LIMITS, **rotate}})


def policies_of(clock: Clock | None = None, **sections: object) -> Policies:
    clock = clock or Clock()
    config = config_of(**sections)
    made = wiring.make_policies(config, wiring.make_form(config))
    return replace(made, monotonic=clock.monotonic, wall_ms=clock.wall_ms)


def docs(places: str, size: int = 0) -> list[bytes]:
    """A document for each letter, which is its S3 partition; `size` bytes more in each."""
    return [b'{"p":"%s","x":"%s"}' % (place.encode(), b"x" * size) for place in places]


def batch_of(
    values: Sequence[bytes | None],
    start: int = 0,
    *,
    offsets: Sequence[int] | None = None,
    next_offset: int | None = None,
    times: Sequence[int] | None = None,
    keys: Sequence[bytes | None] | None = None,
    headers: Sequence[Headers] | None = None,
    tp: TopicPartition = TP,
    refusal: Refusal | None = None,
) -> Batch:
    """Records one after the other from `start`, or at the offsets that are given."""
    found = range(start, start + len(values)) if offsets is None else offsets
    end = found[-1] + 1 if found else start
    return Batch(
        tp=tp,
        start=start,
        next_offset=end if next_offset is None else next_offset,
        offsets=found,
        timestamps=[NOON] * len(values) if times is None else times,
        timestamp_type=TimestampType.CREATE,
        keys=[None] * len(values) if keys is None else keys,
        values=values,
        headers=headers,
        refusal=refusal,
    )


class Bench:
    """One appender with its spool and metrics, taken over at `(offset, metadata)`."""

    def __init__(
        self,
        *,
        at: tuple[int, str] = (0, ""),
        who: Identity = ME,
        spool: MemorySpool | None = None,
        clock: Clock | None = None,
        policies: Policies | None = None,
        **sections: object,
    ) -> None:
        self.clock = clock or Clock()
        self.spool = spool or memory_spool()
        self.metrics = Metrics()
        self.cuts = PartitionCuts(TP, who)
        self.takeover = self.cuts.assigned(*at)
        self.appender = Appender(
            TP,
            cuts=self.cuts,
            spool=self.spool,
            policies=policies or policies_of(self.clock, **sections),
            metrics=self.metrics,
        )

    async def append(self, *batches: Batch) -> bool:
        return all([await self.appender.append(batch) for batch in batches])

    def commit(self, *, is_idle: bool = False) -> CommitMetadata | None:
        """What is due is sent and accepted; what was promised by it, None when nothing was due."""
        sent = self.cuts.next_commit(is_idle=is_idle)
        if sent is None:
            return None
        self.cuts.commit_done()
        return decode(sent.metadata)

    @property
    def ranges(self) -> list[tuple[int, int]]:
        return [(cut.start, cut.mark.offset) for cut in self.cuts.sealed]

    @property
    def objects(self) -> list[CutObject]:
        sealed = [o for cut in self.cuts.sealed for o in cut.objects]
        return [*sealed, *self.cuts.open.splits]

    def counted(self, name: str, *labels: str) -> float:
        return counted(self.metrics, name, *labels)


def counted(metrics: Metrics, name: str, *labels: str) -> float:
    """A counter's value."""
    counter = metrics.counters[name]
    return float((counter.labels(*labels) if labels else counter)._value.get())


def names_of(cut: Cut) -> list[str]:
    """File names of a cut's objects behind their S3 partitions, sorted."""
    return sorted("/".join(o.key.split("/")[2:]) for o in cut.objects)


def body_of(thing: CutObject) -> bytes:
    """The rows of an object."""
    assert isinstance(thing.segment, SealedSegment)
    return b"".join(thing.segment.read())
