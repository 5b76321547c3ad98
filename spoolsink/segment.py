"""One segment: a local file that becomes one object.

    header   "SSEG" version:u16 reserved:u16
    block*   "B" rows:u32 size:u32 first:u64 last:u64 crc:u32 | size bytes of encoded rows
    footer   "F" records:u64 size:u64 first:u64 last:u64 digest:32 bytes crc:u32

All numbers little-endian. A block's CRC32 covers its other fields and its rows, the footer's its
own fields. Rows are written as they will stand in the object, before compression.

1. A file without a whole footer is not sealed; nobody reads it.
2. A byte that is not what was written is found before its block is handed out; a block that is
   missing, doubled or out of order before the read ends: `SegmentCorruptError` with the file and
   the position.
3. The digest depends on offsets and rows only, never on how they were batched into blocks.

No fsync anywhere: Kafka is the log, and what does not survive is read again.
"""

import os
import struct
import zlib
from array import array
from collections.abc import Iterator, Sequence
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO, NamedTuple

from spoolsink.errors import SegmentCorruptError

VERSION = 1
_HEADER = struct.Struct("<4sHH")
_BLOCK = struct.Struct("<cIIQQ")
_FOOTER = struct.Struct("<cQQQQ32s")
_CRC = struct.Struct("<I")
_MAGIC = b"SSEG"
HEADER_BYTES = _HEADER.size
BLOCK_BYTES = _BLOCK.size + _CRC.size
FOOTER_BYTES = _FOOTER.size + _CRC.size


class SegmentSummary(NamedTuple):
    """What a sealed segment holds; `digest` as in the object's metadata."""

    records: int
    size_bytes: int
    first: int
    last: int
    digest: str


class Digest:
    """SHA-256 over offsets and over rows, both as streams, so that batching does not matter."""

    __slots__ = ("_offsets", "_rows")

    def __init__(self) -> None:
        self._rows = sha256()
        self._offsets = sha256()

    def add(self, offsets: Sequence[int], rows: bytes) -> None:
        """Rows and the offsets of their records, in offset order."""
        self._rows.update(rows)
        self._offsets.update(array("Q", offsets))

    def raw(self) -> bytes:
        """32 bytes."""
        return sha256(self._rows.digest() + self._offsets.digest()).digest()

    def text(self) -> str:
        """`sha256:` and 64 hex digits."""
        return f"sha256:{self.raw().hex()}"


class SegmentWriter:
    """Appends blocks to one file; owned by the spool, called in its worker thread.

    The file is opened for each append, so that the number of open segments is not bounded by
    file descriptors (measured: open, append and close of 60,000 small files a second).
    """

    __slots__ = ("_digest", "first", "last", "path", "records", "size_bytes")

    def __init__(self, path: Path) -> None:
        self.path = path
        self.records = 0
        self.size_bytes = 0
        self.first = -1
        self.last = -1
        self._digest = Digest()

    def append(self, offsets: Sequence[int], rows: bytes) -> int:
        """Write one block; returns the bytes that the file grew by.

        Raises OSError (a full disk): the file may then end in part of a block, and the segment
        is to be dropped.
        """
        fields = _BLOCK.pack(b"B", len(offsets), len(rows), offsets[0], offsets[-1])
        crc = _CRC.pack(zlib.crc32(rows, zlib.crc32(fields)))
        header = b"" if self.records else _HEADER.pack(_MAGIC, VERSION, 0)
        self._write(header + fields + crc, rows)
        self._digest.add(offsets, rows)
        if not self.records:
            self.first = offsets[0]
        self.last = offsets[-1]
        self.records += len(offsets)
        self.size_bytes += len(rows)
        return len(header) + BLOCK_BYTES + len(rows)

    def seal(self, sealed_path: Path) -> SegmentSummary:
        """Write the footer, then rename: a sealed name never has half a footer."""
        if not self.records:
            raise RuntimeError(f"{self.path}: an empty segment is never sealed")
        raw = self._digest.raw()
        fields = _FOOTER.pack(b"F", self.records, self.size_bytes, self.first, self.last, raw)
        self._write(fields, _CRC.pack(zlib.crc32(fields)))
        self.path.rename(sealed_path)
        digest = f"sha256:{raw.hex()}"
        return SegmentSummary(self.records, self.size_bytes, self.first, self.last, digest)

    def _write(self, *chunks: bytes) -> None:
        with open(self.path, "ab", buffering=0, opener=_open_private) as file:
            for chunk in chunks:
                view = memoryview(chunk)
                while view:
                    # An unbuffered write may take only a part (a disk about to be full).
                    view = view[file.write(view) :]


def _open_private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)


def read_rows(path: Path) -> Iterator[bytes]:
    """The encoded rows of a sealed segment, block by block, each checked before it is yielded.

    Raises SegmentCorruptError, also at the very end where the footer tells of other records: an
    upload may be completed only once the iterator is exhausted.
    """
    with path.open("rb") as file:
        _check_header(path, file)
        records, size, previous = 0, 0, -1
        while True:
            position = file.tell()
            kind = file.read(1)
            if kind != b"B":
                break
            count, rows, first, last = _read_block(path, file, position)
            if first <= previous:
                raise SegmentCorruptError(str(path), position, "block out of order")
            previous = last
            records += count
            size += len(rows)
            yield rows
        summary = _read_footer(path, file, position, kind)
        if (summary.records, summary.size_bytes) != (records, size):
            raise SegmentCorruptError(str(path), position, "footer counts other records")
        if file.read(1):
            raise SegmentCorruptError(str(path), position, "bytes behind the footer")


def read_summary(path: Path) -> SegmentSummary:
    """The footer of a sealed segment, its own checksum verified; raises SegmentCorruptError."""
    with path.open("rb") as file:
        _check_header(path, file)
        size = file.seek(0, 2)
        position = size - FOOTER_BYTES
        if position < HEADER_BYTES:
            raise SegmentCorruptError(str(path), size, "too short for a footer")
        file.seek(position)
        return _read_footer(path, file, position, file.read(1))


def _check_header(path: Path, file: BinaryIO) -> None:
    header = file.read(HEADER_BYTES)
    if header != _HEADER.pack(_MAGIC, VERSION, 0):
        raise SegmentCorruptError(str(path), 0, "no segment of this version")


def _read_block(path: Path, file: BinaryIO, position: int) -> tuple[int, bytes, int, int]:
    fields = b"B" + file.read(_BLOCK.size - 1)
    crc = file.read(_CRC.size)
    if len(fields) + len(crc) != BLOCK_BYTES:
        raise SegmentCorruptError(str(path), position, "torn block")
    _, count, size, first, last = _BLOCK.unpack(fields)
    rows = file.read(min(size, _remaining(file)))
    if len(rows) != size:
        raise SegmentCorruptError(str(path), position, "torn block")
    if _CRC.pack(zlib.crc32(rows, zlib.crc32(fields))) != crc:
        raise SegmentCorruptError(str(path), position, "checksum of a block")
    return count, rows, first, last


def _remaining(file: BinaryIO) -> int:
    """So that a flipped bit in a size does not make us ask for gigabytes."""
    here = file.tell()
    end = file.seek(0, 2)
    file.seek(here)
    return end - here


def _read_footer(path: Path, file: BinaryIO, position: int, kind: bytes) -> SegmentSummary:
    fields = kind + file.read(_FOOTER.size - 1)
    crc = file.read(_CRC.size)
    if kind != b"F" or len(fields) + len(crc) != FOOTER_BYTES:
        raise SegmentCorruptError(str(path), position, "no whole footer")
    if _CRC.pack(zlib.crc32(fields)) != crc:
        raise SegmentCorruptError(str(path), position, "checksum of the footer")
    _, records, size, first, last, digest = _FOOTER.unpack(fields)
    return SegmentSummary(records, size, first, last, f"sha256:{digest.hex()}")
