"""What the spool does to its directory and files: blocking, called in its disk thread."""

import errno
import fcntl
import os
import shutil
import stat
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from spoolsink.errors import SegmentCorruptError, SpoolError, SpoolFullError, SpoolLockedError
from spoolsink.segment import (
    SealedSegment,
    SegmentKey,
    SegmentLabel,
    SegmentWriter,
    encode_label,
    find_sealed,
)

OFFSET_BYTES = 8
CHUNK_BYTES = 100
"""What a chunk takes in memory beside its rows: CPython's heads of bytes and tuple, a pointer."""

_DIRECTORY_MODE = 0o700
_BLOCK_ROWS_BYTES = 256 * 1024
"""Blocks are read whole, by several uploads at a time: what is flushed is cut at this size,
though never inside a chunk."""

_FREE_SPACE_SECONDS = 1.0
_START_BYTES = 64 * 1024
"""An empty ledger takes 40 KiB."""

Chunk = tuple[int, bytes]
"""Number of records, and their rows joined."""


class FreeSpace:
    """Of the file system, asked at most once a second."""

    def __init__(self, directory: Path, min_free_bytes: int, clock: Callable[[], float]) -> None:
        self._directory = directory
        self._min_free_bytes = min_free_bytes
        self._clock = clock
        self._asked_at = float("-inf")
        self._is_short = False

    def is_short(self) -> bool:
        """Less than `min_free_bytes` are left, or nobody can tell."""
        now = self._clock()
        if now - self._asked_at >= _FREE_SPACE_SECONDS:
            self._asked_at = now
            self._is_short = self._measure()
        return self._is_short

    def reason(self) -> str:
        """For an operator; empty when there is room."""
        if not self.is_short():
            return ""
        return f"{self._directory}: less than spool.min_free_bytes ({self._min_free_bytes}) left"

    def _measure(self) -> bool:
        try:
            return shutil.disk_usage(self._directory).free < self._min_free_bytes
        except OSError:
            return True


@dataclass(eq=False, slots=True)
class OpenSegment:
    """A writer, and the chunks that it has not been given yet.

    `room_bytes` is what the file may still grow by beside rows, `buffered_bytes` what the chunks
    take in memory.
    """

    writer: SegmentWriter
    room_bytes: int
    buffered_bytes: int = 0
    encoded_bytes: int = 0
    is_broken: bool = False
    chunks: list[Chunk] = field(default_factory=list)
    offsets: "array[int]" = field(default_factory=lambda: array("Q"))

    def add(self, offsets: Sequence[int], rows: bytes, cost_bytes: int) -> None:
        self.offsets.extend(offsets)
        self.chunks.append((len(offsets), rows))
        self.encoded_bytes += len(rows)
        self.buffered_bytes += cost_bytes

    def take(self) -> tuple[list[Chunk], "array[int]"]:
        """What is buffered; it is the caller's now, and rows may be added while it is written."""
        taken = self.chunks, self.offsets
        self.chunks, self.offsets, self.buffered_bytes = [], array("Q"), 0
        return taken

    def write(self, chunks: Sequence[Chunk], offsets: "array[int]") -> None:
        """In blocks; raises OSError."""
        low = 0
        for count, rows in _blocks(chunks):
            self.writer.append(offsets[low : low + count], rows)
            low += count


def _blocks(chunks: Sequence[Chunk]) -> Iterator[Chunk]:
    count, size, parts = 0, 0, list[bytes]()
    for records, rows in chunks:
        if parts and size + len(rows) > _BLOCK_ROWS_BYTES:
            yield count, b"".join(parts)
            count, size, parts = 0, 0, []
        count += records
        size += len(rows)
        parts.append(rows)
    if parts:
        yield count, b"".join(parts)


def claim(directory: Path) -> int:
    """Make the directories and lock them; the descriptor holds the lock.

    Raises OSError, SpoolError for a link or somebody else's directory, SpoolLockedError.
    """
    _make(directory)
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    lock = os.open(directory / "lock", flags, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        _make(segments_of(directory))
    except BlockingIOError:
        os.close(lock)
        raise SpoolLockedError(f"{directory}: owned by another process") from None
    except BaseException:
        os.close(lock)
        raise
    return lock


_WAITED_FOR = {
    # No bytes or no inodes left, for all or for us.
    errno.ENOSPC,
    errno.EDQUOT,
    # Read-only, as the kernel makes a file system that is in trouble; mended without us.
    errno.EROFS,
    errno.EIO,
}


def start_error(directory: Path, error: OSError) -> SpoolError:
    """What an error of the system means for a start."""
    kind = SpoolFullError if error.errno in _WAITED_FOR else SpoolError
    told = "is not a directory" if isinstance(error, FileExistsError) else error.strerror
    return kind(f"{directory}: {told}")


def is_full(directory: Path) -> bool:
    """Whether nothing can be written: no room for so much as a ledger, no inode, or read-only."""
    try:
        found = os.statvfs(directory)
    except OSError:
        return False
    # Some file systems count no inodes: all are zero then.
    has_no_inode = found.f_files > 0 and found.f_favail == 0
    is_read_only = bool(found.f_flag & os.ST_RDONLY)
    return found.f_bavail * found.f_frsize < _START_BYTES or has_no_inode or is_read_only


def segments_of(directory: Path) -> Path:
    """Where a spool's segments are."""
    return directory / "segments"


def _make(directory: Path) -> None:
    directory.mkdir(mode=_DIRECTORY_MODE, parents=True, exist_ok=True)
    found = directory.lstat()
    if not stat.S_ISDIR(found.st_mode):
        # Whoever may change the link could lead us to delete files elsewhere.
        raise SpoolError(f"{directory}: is a symbolic link")
    if found.st_uid != os.geteuid():
        raise SpoolError(f"{directory}: belongs to user {found.st_uid}")
    directory.chmod(_DIRECTORY_MODE)


def scan(segments: Path) -> tuple[dict[int, SealedSegment], int]:
    """Sealed segments by number, and the next number; deletes all others.

    The number lies above every one seen, so that a name never means two segments.
    """
    found: dict[int, SealedSegment] = {}
    numbers = [0]
    for path in list(segments.iterdir()):
        if path.stem.isascii() and path.stem.isdecimal():
            numbers.append(int(path.stem))
        if path.suffix not in {".open", ".sealed"} or (path.is_dir() and not path.is_symlink()):
            continue
        segment = _sealed_at(path)
        if segment is None:
            path.unlink()
        else:
            found[segment.number] = segment
    return found, max(numbers) + 1


def _sealed_at(path: Path) -> SealedSegment | None:
    number = path.stem
    is_ours = number.isascii() and number.isdecimal() and str(int(number)) == number
    if path.suffix != ".sealed" or not is_ours:
        return None
    try:
        return find_sealed(path)
    except SegmentCorruptError:
        return None


def bytes_in(directory: Path) -> int:
    """Sizes of all files below, links not followed."""
    found = (path.lstat() for path in directory.rglob("*"))
    return sum(entry.st_size for entry in found if stat.S_ISREG(entry.st_mode))


def write_all(work: Iterable[tuple[OpenSegment, list[Chunk], "array[int]"]]) -> None:
    """Flush; a segment that lost rows before gets no more."""
    for segment, chunks, offsets in work:
        if not segment.is_broken:
            segment.write(chunks, offsets)


def seal_all(
    labels: Mapping[SegmentKey, SegmentLabel], segments: Sequence[OpenSegment]
) -> list[SealedSegment]:
    """Flush and seal; where that fails the files of all are deleted, and OSError is raised."""
    try:
        return [
            _seal(key, label, segment)
            for (key, label), segment in zip(labels.items(), segments, strict=True)
        ]
    except OSError:
        discard_all(segments)
        raise


def _seal(key: SegmentKey, label: SegmentLabel, segment: OpenSegment) -> SealedSegment:
    segment.write(*segment.take())
    writer = segment.writer
    path = Path(writer.path).with_suffix(".sealed")
    summary = writer.seal(path, encode_label(key, label))
    return SealedSegment(key, label, int(path.stem), writer.file_bytes, summary, path)


def discard_all(segments: Iterable[OpenSegment]) -> None:
    """Delete the files of open segments, and what a failed seal has made of them."""
    for segment in segments:
        if segment.writer.file_bytes:
            path = Path(segment.writer.path)
            unlink_all([path, path.with_suffix(".sealed")])


def unlink_all(paths: Iterable[Path]) -> None:
    """Delete files; one that is gone already is fine."""
    for path in paths:
        path.unlink(missing_ok=True)
