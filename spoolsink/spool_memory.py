"""The spool without a disk: segments as chunks in memory that grow with the data.

What the usual connector does, kept for comparison: the same program, with memory that depends on
the data instead of on the configuration. `max_bytes` bounds the memory that is held.

Nothing survives the process: no ledger, nothing to offer at the start.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from spoolsink.digest import Digest
from spoolsink.ledger import LocalCut
from spoolsink.records import TopicPartition
from spoolsink.segment import (
    SealedSegment,
    SegmentKey,
    SegmentLabel,
    SegmentSummary,
)
from spoolsink.spool import Quota
from spoolsink.spool.files import CHUNK_BYTES


@dataclass(eq=False, slots=True)
class _OpenSegment:
    first: int
    last: int = -1
    records: int = 0
    encoded_bytes: int = 0
    digest: Digest = field(default_factory=Digest)
    chunks: list[bytes] = field(default_factory=list)

    @property
    def held_bytes(self) -> int:
        return self.encoded_bytes + CHUNK_BYTES * len(self.chunks)

    @property
    def summary(self) -> SegmentSummary:
        counts = self.records, self.encoded_bytes, self.first, self.last
        return SegmentSummary(*counts, self.digest.text())


class MemorySpool:
    """One process's segments in memory; the surface of `Spool` (`AnySpool`).

    Its calls never wait, and `buffered_bytes` is always 0: what is appended is held at once.
    """

    def __init__(self, *, max_bytes: int, pause_at: float, resume_at: float) -> None:
        self.max_bytes = max_bytes
        self.buffered_bytes = 0
        self._quota = Quota(max_bytes, pause_at, resume_at)
        self._used_bytes = 0
        self._open: dict[TopicPartition, dict[SegmentKey, _OpenSegment]] = {}
        self._sealed: dict[int, int] = {}
        self._uploads: set[tuple[str, str]] = set()
        self._next_number = 1

    def start(self) -> list[LocalCut]:
        """Nothing is ever found."""
        return []

    def close(self) -> None:
        """Let go of everything."""
        self._open.clear()
        self._sealed.clear()
        self._used_bytes = 0

    @property
    def used_bytes(self) -> int:
        """Memory that segments take, open and sealed."""
        return self._used_bytes

    @property
    def open_count(self) -> int:
        """Open segments of all topic partitions."""
        return sum(map(len, self._open.values()))

    @property
    def sealed_count(self) -> int:
        """Sealed segments that are not dropped yet."""
        return len(self._sealed)

    @property
    def must_pause(self) -> bool:
        """`pause_at` is reached."""
        return self._quota.must_pause(self._used_bytes)

    @property
    def shortage(self) -> str:
        """There is no disk."""
        return ""

    @property
    def may_resume(self) -> bool:
        """Enough has been uploaded and dropped."""
        return self._quota.may_resume(self._used_bytes)

    def open_bytes(self, tp: TopicPartition) -> int:
        """Encoded bytes of a topic partition's open segments."""
        return sum(segment.encoded_bytes for segment in self._open.get(tp, {}).values())

    def has_room(self, extra_bytes: int, new_segments: int = 1) -> bool:
        """Whether so many bytes of rows fit, in a chunk for each open segment and each new one."""
        chunks = self.open_count + new_segments
        return self._used_bytes + extra_bytes + chunks * CHUNK_BYTES <= self.max_bytes

    def snapshot(self) -> dict[str, int]:
        """Number of segments by state."""
        return {"open": self.open_count, "sealed": self.sealed_count}

    def noted_uploads(self) -> list[tuple[str, str]]:
        """Multipart uploads under way, of this process only."""
        return sorted(self._uploads)

    async def append(
        self,
        key: SegmentKey,
        offsets: Sequence[int],
        rows: bytes,
        schema_bytes: int = 0,  # noqa: ARG002 (labels take no disk here)
    ) -> None:
        """Add rows to an open segment, opening it when new."""
        if not offsets:
            raise RuntimeError(f"{key}: rows of no records")
        segments = self._open.setdefault(key.tp, {})
        segment = segments.get(key)
        if segment is None:
            segment = segments[key] = _OpenSegment(first=offsets[0])
        segment.digest.add(offsets, rows)
        segment.chunks.append(rows)
        segment.last = offsets[-1]
        segment.records += len(offsets)
        segment.encoded_bytes += len(rows)
        self._used_bytes += len(rows) + CHUNK_BYTES

    async def seal(self, labels: Mapping[SegmentKey, SegmentLabel]) -> list[SealedSegment]:
        """End these segments, in this order."""
        return [self._seal(key, label) for key, label in labels.items()]

    def _seal(self, key: SegmentKey, label: SegmentLabel) -> SealedSegment:
        segment = self._open[key.tp].pop(key)
        number = self._next_number
        self._next_number += 1
        held = self._sealed[number] = segment.held_bytes
        return SealedSegment(key, label, number, held, segment.summary, tuple(segment.chunks))

    async def drop_open(self, tp: TopicPartition) -> int:
        """Forget the open segments of a topic partition; returns how many there were."""
        gone = self._open.pop(tp, {}).values()
        self._used_bytes -= sum(segment.held_bytes for segment in gone)
        return len(gone)

    async def drop(self, segments: Sequence[SealedSegment]) -> None:
        """Sealed segments are not held any more; twice is as good as once."""
        self._used_bytes -= sum(self._sealed.pop(s.number, 0) for s in segments)

    async def remember(self, cut: LocalCut) -> None:
        """Memory remembers by itself, and no longer than it lives."""

    async def forget(self, cuts: Sequence[LocalCut]) -> None:
        """Drop all segments of these cuts."""
        for cut in cuts:
            await self.drop(cut.segments)

    async def note_upload(self, object_key: str, upload_id: str) -> None:
        """A multipart upload has begun."""
        self._uploads.add((object_key, upload_id))

    async def clear_upload(self, object_key: str, upload_id: str) -> None:
        """It was completed or aborted."""
        self._uploads.discard((object_key, upload_id))
