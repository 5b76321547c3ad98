"""The directory of segments: open ones with their buffers, sealed ones, and the bytes of all.

1. The directory belongs to one process: `flock` before anything in it is looked at.
2. Rows that are not on disk yet never take more than `write_buffer` bytes, whatever the number of
   open segments; a single chunk larger than that is written through.
3. `used_bytes` counts every file of the directory, those found at the start included.
4. Names are numbers: nothing of a record ever becomes part of a local path. 0700 and 0600.

Kafka is the log. What a former process left behind is deleted at the start and read again.
"""

import asyncio
import fcntl
import os
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from spoolsink.errors import SpoolError, SpoolLockedError
from spoolsink.records import TopicPartition
from spoolsink.segment import FOOTER_BYTES, SegmentSummary, SegmentWriter

_DIRECTORY_MODE = 0o700


class SegmentKey(NamedTuple):
    """What an open segment is for; `split` counts the objects of an S3 partition in a cut."""

    tp: TopicPartition
    s3_partition: str
    split: int


class SealedSegment(NamedTuple):
    """A file that is ready to become an object."""

    key: SegmentKey
    path: Path
    file_bytes: int
    summary: SegmentSummary


@dataclass(eq=False, slots=True)
class _OpenSegment:
    writer: SegmentWriter
    file_bytes: int = 0
    buffered_bytes: int = 0
    is_broken: bool = False
    rows: list[bytes] = field(default_factory=list)
    offsets: list[int] = field(default_factory=list)

    def take(self) -> tuple[list[int], bytes]:
        taken = self.offsets, b"".join(self.rows)
        self.rows, self.offsets, self.buffered_bytes = [], [], 0
        return taken


class Spool:
    """One process's segments. Disk is touched in worker threads, one flush or seal at a time."""

    def __init__(
        self,
        directory: Path,
        *,
        max_bytes: int,
        min_free_bytes: int,
        write_buffer_bytes: int,
        pause_at: float,
        resume_at: float,
    ) -> None:
        self.directory = directory
        self.max_bytes = max_bytes
        self.used_bytes = 0
        self.buffered_bytes = 0
        self._min_free_bytes = min_free_bytes
        self._write_buffer_bytes = write_buffer_bytes
        self._pause_at, self._resume_at = pause_at, resume_at
        self._open: dict[SegmentKey, _OpenSegment] = {}
        self._next_number = 0
        self._lock_fd = -1
        self._disk = asyncio.Lock()

    def start(self) -> int:
        """Lock the directory and empty it; returns how many old segments were deleted.

        Raises:
            SpoolLockedError: another process has it.
            SpoolError: it cannot be made, or not written to.
        """
        try:
            self.directory.mkdir(mode=_DIRECTORY_MODE, parents=True, exist_ok=True)
            self.directory.chmod(_DIRECTORY_MODE)
            self._lock()
            segments = self.directory / "segments"
            segments.mkdir(mode=_DIRECTORY_MODE, exist_ok=True)
            old = [path for path in segments.iterdir() if path.suffix in {".open", ".sealed"}]
            for path in old:
                path.unlink()
        except OSError as error:
            raise SpoolError(f"{self.directory}: {error.strerror}") from error
        files = (path for path in self.directory.rglob("*") if path.is_file())
        self.used_bytes = sum(path.stat().st_size for path in files)
        return len(old)

    def close(self) -> None:
        """Give the directory back; open segments are of no use to anybody."""
        if self._lock_fd >= 0:
            os.close(self._lock_fd)
            self._lock_fd = -1

    @property
    def open_count(self) -> int:
        """Open segments of all topic partitions."""
        return len(self._open)

    @property
    def must_pause(self) -> bool:
        """`pause_at` is reached, or the file system is short of room: stop polling."""
        return self._filled >= self._pause_at or self._free_bytes() < self._min_free_bytes

    @property
    def may_resume(self) -> bool:
        """Enough has been uploaded and deleted to poll again."""
        return self._filled <= self._resume_at and self._free_bytes() >= self._min_free_bytes

    async def append(self, key: SegmentKey, offsets: Sequence[int], rows: Sequence[bytes]) -> int:
        """Add rows to an open segment, opening it when new; returns their bytes.

        Raises SpoolError when rows had to be written and could not be: the segments of `key`'s
        topic partition are to be dropped and read again.
        """
        size = sum(map(len, rows))
        if self.buffered_bytes + size > self._write_buffer_bytes:
            await self._relieve(size)
        segment = self._open.get(key)
        if segment is None:
            segment = self._open[key] = _OpenSegment(SegmentWriter(self._path(".open")))
        segment.rows += rows
        segment.offsets += offsets
        segment.buffered_bytes += size
        self.buffered_bytes += size
        if size > self._write_buffer_bytes:
            await self._flush([segment])
        return size

    async def seal(self, keys: Iterable[SegmentKey]) -> list[SealedSegment]:
        """End these segments: flushed, with footers, renamed.

        Raises SpoolError when one of them lost rows to a failed write, now or before.
        """
        found = [(key, self._open[key]) for key in keys]
        await self._flush([segment for _, segment in found])
        for key, segment in found:
            if segment.is_broken:
                raise SpoolError(f"{segment.writer.path}: rows of {key.tp} could not be written")
        async with self._disk:
            paths = [self._path_of(segment) for _, segment in found]
            summaries = await asyncio.to_thread(_seal_all, [s for _, s in found], paths)
        sealed = []
        for (key, segment), path, summary in zip(found, paths, summaries, strict=True):
            del self._open[key]
            self.used_bytes += FOOTER_BYTES
            file_bytes = segment.file_bytes + FOOTER_BYTES
            sealed.append(SealedSegment(key, path, file_bytes, summary))
        return sealed

    async def drop_open(self, tp: TopicPartition) -> int:
        """Forget the open segments of a topic partition; returns how many there were."""
        keys = [key for key in self._open if key.tp == tp]
        gone = [self._open.pop(key) for key in keys]
        async with self._disk:
            # Behind the lock: a flush that was under way has told what it wrote.
            self.buffered_bytes -= sum(segment.buffered_bytes for segment in gone)
            self.used_bytes -= sum(segment.file_bytes for segment in gone)
            await asyncio.to_thread(_unlink_all, [segment.writer.path for segment in gone])
        return len(gone)

    async def drop(self, sealed: Sequence[SealedSegment]) -> None:
        """Delete sealed segments: confirmed, or of no use any more."""
        await asyncio.to_thread(_unlink_all, [segment.path for segment in sealed])
        self.used_bytes -= sum(segment.file_bytes for segment in sealed)

    async def _relieve(self, size: int) -> None:
        """Write the largest buffers until half of the room is free: few, large writes."""
        target = min(self._write_buffer_bytes // 2, self._write_buffer_bytes - size)
        chosen, left = [], self.buffered_bytes
        for segment in sorted(self._open.values(), key=lambda s: -s.buffered_bytes):
            if left <= target or not segment.buffered_bytes:
                break
            chosen.append(segment)
            left -= segment.buffered_bytes
        await self._flush(chosen)

    async def _flush(self, segments: Sequence[_OpenSegment]) -> None:
        async with self._disk:
            work = [(segment, *segment.take()) for segment in segments if segment.rows]
            try:
                grown = await asyncio.to_thread(_write_all, work)
            except OSError as error:
                # Rows of any of them may be lost, also of others than the caller's: none of
                # them is ever sealed.
                for segment, _, _ in work:
                    segment.is_broken = True
                raise SpoolError(f"{self.directory}: {error.strerror}") from error
            finally:
                self.buffered_bytes -= sum(len(rows) for _, _, rows in work)
            self.used_bytes += grown

    def _lock(self) -> None:
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        self._lock_fd = os.open(self.directory / "lock", flags, 0o600)
        try:
            fcntl.flock(self._lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.close()
            raise SpoolLockedError(f"{self.directory}: owned by another process") from None

    def _path(self, suffix: str) -> Path:
        self._next_number += 1
        return self.directory / "segments" / f"{self._next_number}{suffix}"

    def _path_of(self, segment: _OpenSegment) -> Path:
        return segment.writer.path.with_suffix(".sealed")

    @property
    def _filled(self) -> float:
        return (self.used_bytes + self.buffered_bytes) / self.max_bytes

    def _free_bytes(self) -> int:
        return shutil.disk_usage(self.directory).free


def _write_all(work: Sequence[tuple[_OpenSegment, list[int], bytes]]) -> int:
    total = 0
    for segment, offsets, rows in work:
        grown = segment.writer.append(offsets, rows)
        segment.file_bytes += grown
        total += grown
    return total


def _seal_all(segments: Sequence[_OpenSegment], paths: Sequence[Path]) -> list[SegmentSummary]:
    return [s.writer.seal(path) for s, path in zip(segments, paths, strict=True)]


def _unlink_all(paths: Sequence[Path]) -> None:
    for path in paths:
        path.unlink(missing_ok=True)
