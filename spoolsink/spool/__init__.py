"""The directory of segments: open ones with their buffers, sealed ones, and the bytes of all.

1. The directory belongs to one process: `flock` before anything in it is looked at.
2. Rows that are not on disk yet never take more than `write_buffer` bytes, whatever the number of
   open segments; a single chunk larger than that is written through.
3. `used_bytes` counts every file of the directory: those found at the start, and the ledger's.
4. Names are numbers: nothing of a record ever becomes part of a local path. 0700 and 0600.
5. Where `has_room` was asked before each append, `used_bytes` never passes `max_bytes`.

Kafka is the log. Of what a former process left behind only whole sealed cuts are kept.
"""

import asyncio
import os
import time
from collections import defaultdict
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain
from operator import attrgetter
from pathlib import Path
from typing import Any, Literal, TypeVar

from spoolsink.errors import SpoolError, SpoolFullError, SpoolLockedError
from spoolsink.fault_points import reach
from spoolsink.ledger import Ledger, LocalCut
from spoolsink.records import TopicPartition
from spoolsink.segment import (
    BLOCK_BYTES,
    FOOTER_BYTES,
    HEADER_BYTES,
    Compress,
    SealedSegment,
    SegmentKey,
    SegmentLabel,
    SegmentWriter,
    zstd_blocks,
)
from spoolsink.spool import files
from spoolsink.spool.any_spool import AnySpool
from spoolsink.spool.files import CHUNK_BYTES, OFFSET_BYTES, OpenSegment

__all__ = ["AnySpool", "LocalCut", "Quota", "SealedSegment", "SegmentKey", "SegmentLabel", "Spool"]

T = TypeVar("T")

_SEAL_BYTES = HEADER_BYTES + BLOCK_BYTES + FOOTER_BYTES + 1_024 + 249 + 200
"""What an open segment may grow by beside rows: its label has an object key (S3's limit), a topic
(Kafka's limit), numbers, and the S3 partition, which is counted by itself."""

_FLUSH_BYTES = (128 * 1024, 1024 * 1024)
"""A segment with so much in memory is written: with few of them the larger (fewer hand-overs to the
disk's thread), with many the smaller, so that the write buffer stays far below what it may take."""

_FLUSH_SHARE = 16
"""Of the write buffer, over all open segments."""

_LEDGER_ROOM_BYTES = 1024 * 1024
_LEDGER_ROOM_SHARE = 16
"""Kept free for the ledger: a transaction of a cut with 10,000 segments writes 200 KiB."""


@dataclass(frozen=True, slots=True)
class Quota:
    """`pause_at` and `resume_at` are shares of `max_bytes`."""

    max_bytes: int
    pause_at: float
    resume_at: float

    def must_pause(self, held_bytes: int) -> bool:
        return held_bytes >= self.pause_at * self.max_bytes

    def may_resume(self, held_bytes: int) -> bool:
        return held_bytes <= self.resume_at * self.max_bytes


class Spool:
    """One process's segments. Disk is touched in one worker thread, the ledger in another.

    A cancelled call leaves its disk work running to the end, so that the counts stay true.
    """

    def __init__(
        self,
        directory: Path,
        *,
        max_bytes: int,
        min_free_bytes: int,
        write_buffer_bytes: int,
        pause_at: float,
        resume_at: float,
        compression: Literal["none", "zstd"] = "none",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.directory = directory
        self.max_bytes = max_bytes
        self.buffered_bytes = 0
        self._quota = Quota(max_bytes, pause_at, resume_at)
        self._free_space = files.FreeSpace(directory, min_free_bytes, clock)
        self._write_buffer_bytes = write_buffer_bytes
        self._least_flush = min(write_buffer_bytes, _FLUSH_BYTES[0])
        self._compress: Compress | None = zstd_blocks() if compression == "zstd" else None
        self._open: dict[TopicPartition, dict[SegmentKey, OpenSegment]] = {}
        self._open_bytes: dict[TopicPartition, int] = defaultdict(int)
        self._sealed: dict[int, int] = {}
        self._file_bytes = 0
        self._room_bytes = 0
        self._next_number = 1
        self._lock_fd = -1
        self._ledger = Ledger(directory)
        self._disk = asyncio.Lock()
        self._running: set[asyncio.Task[Any]] = set()
        self._threads: list[ThreadPoolExecutor] = []

    def start(self) -> list[LocalCut]:
        """Lock the directory; returns the whole sealed cuts in it, all else of ours is deleted.

        Blocking. Segments are found whole by their footers; their rows are checked when read.

        Raises:
            SpoolLockedError: another process has it.
            SpoolFullError: the disk is full, or read-only.
            SpoolError: it cannot be made or written to, is a symbolic link or somebody else's.
        """
        try:
            self._lock_fd = files.claim(self.directory)
            self._threads = [ThreadPoolExecutor(1, f"spool-{name}") for name in ("disk", "ledger")]
            segments, self._next_number = files.scan(files.segments_of(self.directory))
            cuts = self._threads[1].submit(self._ledger.start, segments).result()
            self._sealed = {s.number: s.file_bytes for cut in cuts for s in cut.segments}
            files.unlink_all(_files_of(s for n, s in segments.items() if n not in self._sealed))
            self._file_bytes = files.bytes_in(self.directory) - self._ledger.file_bytes
        except OSError as error:
            self.close()
            raise files.start_error(self.directory, error) from error
        except SpoolError as error:
            self.close()
            # LMDB does not say that a disk is full or read-only.
            if files.is_full(self.directory) and not isinstance(error, SpoolLockedError):
                raise SpoolFullError(str(error)) from error
            raise
        return cuts

    def close(self) -> None:
        """Give the directory back; open segments are of no use to anybody."""
        if self._threads:
            # Waited for: a late write must not meet the next owner's files.
            self._threads.pop(0).shutdown()
            self._threads[0].submit(self._ledger.close).result()
            self._threads.pop().shutdown()
        if self._lock_fd >= 0:
            os.close(self._lock_fd)
            self._lock_fd = -1

    @property
    def used_bytes(self) -> int:
        """Bytes of all files in the directory."""
        return self._file_bytes + self._ledger.file_bytes

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
        """`pause_at` is reached, or the file system is short of room: stop polling."""
        held = self.used_bytes + self.buffered_bytes
        return self._quota.must_pause(held) or self._free_space.is_short()

    @property
    def may_resume(self) -> bool:
        """Enough has been uploaded and deleted to poll again."""
        held = self.used_bytes + self.buffered_bytes
        return self._quota.may_resume(held) and not self._free_space.is_short()

    @property
    def shortage(self) -> str:
        """What keeps the file system from taking more; empty when nothing does."""
        return self._free_space.reason()

    def open_bytes(self, tp: TopicPartition) -> int:
        """Encoded bytes of a topic partition's open segments."""
        return self._open_bytes.get(tp, 0)

    def has_room(self, extra_bytes: int, new_segments: int = 1) -> bool:
        """Whether so many bytes of rows for at most so many new segments fit, sealed at last."""
        ledger = min(_LEDGER_ROOM_BYTES, self.max_bytes // _LEDGER_ROOM_SHARE)
        more = extra_bytes + new_segments * (_SEAL_BYTES + 1_024)
        held = self.used_bytes + self.buffered_bytes + self._room_bytes
        return held + more + ledger <= self.max_bytes

    def snapshot(self) -> dict[str, int]:
        """Number of segments by state."""
        return {"open": self.open_count, "sealed": self.sealed_count}

    def noted_uploads(self) -> list[tuple[str, str]]:
        """Multipart uploads under way, (object key, upload id), also of former processes."""
        return sorted(self._ledger.uploads)

    async def append(
        self, key: SegmentKey, offsets: Sequence[int], rows: bytes, schema_bytes: int = 0
    ) -> None:
        """Add rows to an open segment, opening it when new; `offsets` are their records'.

        `schema_bytes`: what a schema will add to its label.
        Raises SpoolError when rows had to be written and could not be: the segments of `key`'s
        topic partition are to be dropped and read again.
        """
        if not offsets:
            raise RuntimeError(f"{key}: rows of no records")
        cost = len(rows) + OFFSET_BYTES * len(offsets) + CHUNK_BYTES
        while self.buffered_bytes and self.buffered_bytes + cost > self._write_buffer_bytes:
            await self._relieve(cost)
        segment = self._open.get(key.tp, {}).get(key) or self._opened(key, schema_bytes)
        segment.add(offsets, rows, cost)
        self._open_bytes[key.tp] += len(rows)
        self.buffered_bytes += cost
        # The second question counts open segments: asked only where it may be answered by yes.
        if segment.buffered_bytes >= self._least_flush and (
            segment.buffered_bytes >= self._flush_bytes()
        ):
            await self._undisturbed(self._flush([segment]))

    async def seal(self, labels: Mapping[SegmentKey, SegmentLabel]) -> list[SealedSegment]:
        """End these segments, in this order: flushed, with footers, renamed.

        They are not open any more when this first waits: rows appended meanwhile start others.
        Raises SpoolError when one of them lost rows to a failed write, now or before; the files
        of all of them are gone then.
        """
        segments = [self._open[key.tp][key] for key in labels]
        for key, segment in zip(labels, segments, strict=True):
            self._forget_open(key, segment)
        return await self._undisturbed(self._seal(labels, segments)) if segments else []

    async def drop_open(self, tp: TopicPartition) -> int:
        """Forget the open segments of a topic partition; returns how many there were."""
        gone = self._open.pop(tp, {}).values()
        self._open_bytes.pop(tp, None)
        self._room_bytes -= sum(segment.room_bytes for segment in gone)
        if gone:
            await self._undisturbed(self._drop_open(list(gone)))
        return len(gone)

    async def drop(self, segments: Sequence[SealedSegment]) -> None:
        """Delete sealed segments: confirmed, or of no use any more. Twice is as good as once."""
        known = [s for s in segments if self._sealed.pop(s.number, None) is not None]
        await self._undisturbed(self._drop(known))

    async def remember(self, cut: LocalCut) -> None:
        """Enter a sealed cut in the ledger: a restart will offer it. Durable on return."""
        await self._in_ledger(self._ledger.remember, cut)

    async def forget(self, cuts: Sequence[LocalCut]) -> None:
        """Committed, or of no use: out of the ledger, then off the disk."""
        segments = [segment for cut in cuts for segment in cut.segments]
        try:
            await self._in_ledger(self._ledger.forget, cuts)
        except SpoolError:
            # A full disk refuses this too. Rows without files are no cut at the next start, and
            # with the files gone there is room.
            await self.drop(segments)
            await self._in_ledger(self._ledger.forget, cuts)
        reach("forget.after")
        await self.drop(segments)

    async def note_upload(self, object_key: str, upload_id: str) -> None:
        """A multipart upload has begun; known over restarts until it is cleared."""
        await self._in_ledger(self._ledger.note_upload, (object_key, upload_id))

    async def clear_upload(self, object_key: str, upload_id: str) -> None:
        """It was completed or aborted."""
        await self._in_ledger(self._ledger.clear_upload, (object_key, upload_id))

    def _flush_bytes(self) -> int:
        least, most = _FLUSH_BYTES
        share = self._write_buffer_bytes // _FLUSH_SHARE // max(1, self.open_count)
        return min(self._write_buffer_bytes, max(least, min(most, share)))

    def _opened(self, key: SegmentKey, schema_bytes: int) -> OpenSegment:
        path = f"{files.segments_of(self.directory)}/{self._next_number}.open"
        self._next_number += 1
        # JSON in JSON: each quote of a schema takes a backslash more.
        room = _SEAL_BYTES + len(key.s3_partition.encode()) + 2 * schema_bytes
        segment = OpenSegment(SegmentWriter(path, self._compress), room)
        self._open.setdefault(key.tp, {})[key] = segment
        self._room_bytes += room
        return segment

    def _forget_open(self, key: SegmentKey, segment: OpenSegment) -> None:
        del self._open[key.tp][key]
        self._open_bytes[key.tp] -= segment.encoded_bytes
        self._room_bytes -= segment.room_bytes

    async def _relieve(self, cost: int) -> None:
        """Write the largest buffers until half of the room is free: few, large writes."""
        target = min(self._write_buffer_bytes // 2, self._write_buffer_bytes - cost)
        chosen, left = [], self.buffered_bytes
        everything = chain.from_iterable(s.values() for s in self._open.values())
        for segment in sorted(everything, key=attrgetter("buffered_bytes"), reverse=True):
            if left <= target or not segment.buffered_bytes:
                break
            chosen.append(segment)
            left -= segment.buffered_bytes
        await self._undisturbed(self._flush(chosen))

    async def _flush(self, segments: Sequence[OpenSegment]) -> None:
        async with self._disk:
            # Behind the lock: those sealed or dropped meanwhile have nothing left.
            chosen = [segment for segment in segments if segment.chunks]
            cost = sum(segment.buffered_bytes for segment in chosen)
            before = _written(chosen)
            work = [(segment, *segment.take()) for segment in chosen]
            try:
                await self._on_disk(files.write_all, work)
            except SpoolError:
                # Rows of any of them may be lost, also of others than the caller's: none of
                # them is ever sealed.
                for segment in chosen:
                    segment.is_broken = True
                raise
            finally:
                self.buffered_bytes -= cost
                self._file_bytes += _written(chosen) - before

    async def _seal(
        self, labels: Mapping[SegmentKey, SegmentLabel], segments: Sequence[OpenSegment]
    ) -> list[SealedSegment]:
        async with self._disk:
            broken = [key.tp for key, s in zip(labels, segments, strict=True) if s.is_broken]
            if broken:
                await self._discard(segments)
                raise SpoolError(f"{self.directory}: rows of {broken[0]} could not be written")
            cost = sum(segment.buffered_bytes for segment in segments)
            self._file_bytes -= _written(segments)
            try:
                sealed = await self._on_disk(files.seal_all, labels, segments)
            finally:
                self.buffered_bytes -= cost
            self._sealed |= {segment.number: segment.file_bytes for segment in sealed}
            self._file_bytes += _written(segments)
            return sealed

    async def _drop_open(self, segments: Sequence[OpenSegment]) -> None:
        async with self._disk:
            await self._discard(segments)

    async def _discard(self, segments: Sequence[OpenSegment]) -> None:
        self.buffered_bytes -= sum(segment.buffered_bytes for segment in segments)
        for segment in segments:
            segment.take()
        await self._on_disk(files.discard_all, segments)
        self._file_bytes -= _written(segments)

    async def _drop(self, segments: Sequence[SealedSegment]) -> None:
        await self._on_disk(files.unlink_all, _files_of(segments))
        self._file_bytes -= sum(segment.file_bytes for segment in segments)

    async def _undisturbed(self, work: Coroutine[Any, Any, T]) -> T:
        task = asyncio.create_task(work)
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        # Shielded: a thread cannot be called back, and the counts must follow what it does.
        return await asyncio.shield(task)

    async def _on_disk(self, work: Callable[..., T], *arguments: object) -> T:
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._threads[0], work, *arguments)
        except OSError as error:
            raise SpoolError(f"{self.directory}: {error.strerror}") from error

    async def _in_ledger(self, work: Callable[..., None], *arguments: object) -> None:
        await asyncio.get_running_loop().run_in_executor(self._threads[1], work, *arguments)


def _written(segments: Iterable[OpenSegment]) -> int:
    return sum(segment.writer.file_bytes for segment in segments)


def _files_of(segments: Iterable[SealedSegment]) -> list[Path]:
    return [segment.source for segment in segments if isinstance(segment.source, Path)]
