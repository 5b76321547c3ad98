"""One segment: a local file that becomes one object.

    header   "SSEG" version:u16 reserved:u16
    block*   "B" rows:u32 size:u32 stored:u32 first:u64 last:u64 crc:u32 | stored bytes
    footer   "F" records:u64 size:u64 first:u64 last:u64 digest:16 bytes label:u32
             | label bytes | footer_size:u32 crc:u32

All numbers little-endian. A CRC32 covers everything of its block or footer before it (and a
block's stored bytes); `footer_size` is there to find the footer from the end. Rows are written as
they will stand in the object, before its compression; where fewer bytes are stored than `size`
tells they are one zstd frame. The label is JSON: `[s3_partition, split, *SegmentLabel]`.

1. A file without a whole footer is not sealed; nobody reads it.
2. A byte that is not what was written is found before its block is handed out; a block that is
   missing, doubled or out of order before the read ends: `SegmentCorruptError` with the file and
   the position.
3. The digest depends on offsets and rows only, never on how they were batched into blocks.

No fsync anywhere: Kafka is the log, and what does not survive is read again.
"""

import json
import os
import struct
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import NoneType
from typing import BinaryIO, NamedTuple

import zstandard
from zlib_ng.zlib_ng import crc32

from spoolsink.digest import DIGEST_BYTES, Digest, digest_text
from spoolsink.errors import SegmentCorruptError
from spoolsink.fault_points import reach
from spoolsink.records import TopicPartition

VERSION = 1
_HEADER = struct.Struct("<4sHH")
_BLOCK = struct.Struct("<cIIIQQ")
_FOOTER = struct.Struct(f"<cQQQQ{DIGEST_BYTES}sI")
_TAIL = struct.Struct("<II")
_CRC = struct.Struct("<I")
_MAGIC = b"SSEG"
HEADER_BYTES = _HEADER.size
BLOCK_BYTES = _BLOCK.size + _CRC.size
FOOTER_BYTES = _FOOTER.size + _TAIL.size
"""Of a footer with an empty label."""

_APPEND = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
_ZSTD_LEVEL = 1

_LABEL_TYPES: tuple[tuple[type, ...], ...] = (
    *((str,), (int,)),
    *((str,), (int,), (int,), (str,), (bool,), (int, NoneType), (int, NoneType), (int,), (str,)),
)
"""Of S3 partition and split, then of `SegmentLabel`."""
_MAX_NUMBER = 2**63 - 1
_MAX_PARTITION = 2**31 - 1
"""Kafka's offsets and times have 64 bits, numbers of its partitions 32."""

Compress = Callable[[bytes], bytes]


class SegmentKey(NamedTuple):
    """What an open segment is for; `split` counts the objects of an S3 partition in a cut."""

    tp: TopicPartition
    s3_partition: str
    split: int


class SegmentLabel(NamedTuple):
    """What the footer says about the cut, so that the ledger can be rebuilt from segments.

    `cut_end` and `cut_records` are None for a split that was sealed before its cut.
    """

    topic: str
    partition: int
    cut_start: int
    object_key: str
    is_split: bool
    cut_end: int | None
    cut_records: int | None
    instant_ms: int
    schema: str = ""


class SegmentSummary(NamedTuple):
    """What a sealed segment holds; `digest` as in the object's metadata."""

    records: int
    size_bytes: int
    first: int
    last: int
    digest: str


class SegmentFooter(NamedTuple):
    """The end of a sealed file; `label` as bytes, perhaps none."""

    summary: SegmentSummary
    label: bytes
    file_bytes: int


class SealedSegment(NamedTuple):
    """A segment that is ready to become an object; may be shared, nothing changes it.

    `source` is the file, or the rows themselves where the spool is memory.
    """

    key: SegmentKey
    label: SegmentLabel
    number: int
    file_bytes: int
    summary: SegmentSummary
    source: Path | tuple[bytes, ...]

    def read(self) -> Iterator[bytes]:
        """The encoded rows from the start, at each call; a file is checked block by block.

        Blocking. Raises SegmentCorruptError, also at the very end.
        """
        return read_rows(self.source) if isinstance(self.source, Path) else iter(self.source)


def zstd_blocks() -> Compress:
    """The codec of blocks on disk; not to be used by two threads at a time."""
    return zstandard.ZstdCompressor(level=_ZSTD_LEVEL).compress


class SegmentWriter:
    """Appends blocks to one file; owned by the spool, called in its worker thread.

    The file is opened for each append, so that the number of open segments is not bounded by
    file descriptors (measured: open, append and close of 60,000 small files a second).
    `file_bytes` is the file's size, also after a write that failed half-way.
    """

    __slots__ = (
        "_compress",
        "_digest",
        "file_bytes",
        "first",
        "last",
        "path",
        "records",
        "size_bytes",
    )

    def __init__(self, path: Path | str, compress: Compress | None = None) -> None:
        # A string: a Path takes four times the room, and there may be 50,000 open segments.
        self.path = os.fspath(path)
        self.records = 0
        self.size_bytes = 0
        self.file_bytes = 0
        self.first = -1
        self.last = -1
        self._digest = Digest()
        self._compress = compress

    def append(self, offsets: Sequence[int], rows: bytes) -> int:
        """Write one block; returns the bytes that the file grew by.

        Raises OSError (a full disk): the file may then end in part of a block, and the segment
        is to be dropped.
        """
        before = self.file_bytes
        stored = self._stored(rows)
        fields = _BLOCK.pack(b"B", len(offsets), len(rows), len(stored), offsets[0], offsets[-1])
        crc = _CRC.pack(crc32(stored, crc32(fields)))
        header = b"" if self.records else _HEADER.pack(_MAGIC, VERSION, 0)
        self._write(header + fields + crc, stored)
        reach("write.after")
        self._digest.add(offsets, rows)
        if not self.records:
            self.first = offsets[0]
        self.last = offsets[-1]
        self.records += len(offsets)
        self.size_bytes += len(rows)
        return self.file_bytes - before

    def seal(self, sealed_path: Path | str, label: bytes = b"") -> SegmentSummary:
        """Write the footer, then rename: a sealed name never has half a footer.

        `label` is kept as it is; `encode_label` makes one.
        """
        if not self.records:
            raise RuntimeError(f"{self.path}: an empty segment is never sealed")
        raw = self._digest.raw()
        numbers = self.records, self.size_bytes, self.first, self.last
        fields = _FOOTER.pack(b"F", *numbers, raw, len(label)) + label
        footer_size = _CRC.pack(len(fields) + _TAIL.size)
        self._write(fields + footer_size, _CRC.pack(crc32(fields + footer_size)))
        reach("footer.after")
        Path(self.path).rename(sealed_path)
        reach("rename.after")
        return SegmentSummary(*numbers, digest_text(raw))

    def _stored(self, rows: bytes) -> bytes:
        if self._compress is None:
            return rows
        compressed = self._compress(rows)
        # Never more bytes than the rows: the spool's quota counts on it.
        return compressed if len(compressed) < len(rows) else rows

    def _write(self, *chunks: bytes) -> None:
        left = [memoryview(chunk) for chunk in chunks]
        fd = os.open(self.path, _APPEND, 0o600)
        try:
            while left:
                # A write may take only a part (a disk about to be full).
                written = os.writev(fd, left)
                self.file_bytes += written
                while left and written >= len(left[0]):
                    written -= len(left.pop(0))
                if left:
                    left[0] = left[0][written:]
        finally:
            os.close(fd)


def encode_label(key: SegmentKey, label: SegmentLabel) -> bytes:
    """Compact JSON for the footer; at most a few hundred bytes beside the names in it."""
    fields = [key.s3_partition, key.split, *label]
    return json.dumps(fields, ensure_ascii=False, separators=(",", ":")).encode()


def find_sealed(path: Path) -> SealedSegment:
    """A sealed segment by its file, whose name is its number; only the footer is read.

    Raises SegmentCorruptError, also where the footer has no label.
    """
    summary, label, file_bytes = read_footer(path)
    try:
        key, found = _decode_label(label)
    except (ValueError, TypeError, RecursionError) as error:
        raise SegmentCorruptError(str(path), file_bytes, "no label in the footer") from error
    return SealedSegment(key, found, int(path.stem), file_bytes, summary, path)


def _decode_label(text: bytes) -> tuple[SegmentKey, SegmentLabel]:
    """Raises ValueError, TypeError or RecursionError for all that `encode_label` never writes."""
    fields = json.loads(text)
    for value, kinds in zip(fields, _LABEL_TYPES, strict=True):
        # A bool is an int, but not to us.
        if type(value) not in kinds or (isinstance(value, int) and not 0 <= value <= _MAX_NUMBER):
            raise ValueError("no field of a label")
    s3_partition, split, *rest = fields
    found = SegmentLabel(*rest)
    key = SegmentKey(TopicPartition(found.topic, found.partition), s3_partition, split)
    if found.partition > _MAX_PARTITION or encode_label(key, found) != text:
        raise ValueError("spelled otherwise")
    return key, found


def read_rows(path: Path) -> Iterator[bytes]:
    """The encoded rows of a sealed segment, block by block, each checked before it is yielded.

    Raises SegmentCorruptError, also at the very end where the footer tells of other records: an
    upload may be completed only once the iterator is exhausted. A file that cannot be read, or
    is not there, is a corrupt one.
    """
    try:
        with _open(path) as file:
            yield from _checked_rows(_Reader(path, file))
    except OSError as error:
        raise SegmentCorruptError(str(path), 0, str(error.strerror)) from error


def read_footer(path: Path) -> SegmentFooter:
    """The footer of a sealed segment, its own checksum verified; raises SegmentCorruptError."""
    try:
        with _open(path) as file:
            reader = _Reader(path, file)
            reader.check_header()
            reader.seek(max(reader.end - _TAIL.size, HEADER_BYTES))
            footer_size, _ = _TAIL.unpack(reader.take(_TAIL.size, "too short for a footer"))
            reader.seek(max(reader.end - footer_size, HEADER_BYTES))
            return reader.footer(reader.take(1, "no whole footer"))
    except OSError as error:
        raise SegmentCorruptError(str(path), 0, str(error.strerror)) from error


def read_summary(path: Path) -> SegmentSummary:
    """`read_footer` without the label."""
    return read_footer(path).summary


def _open(path: Path) -> BinaryIO:
    # A pipe of that name is no segment, and would be waited for.
    flags = os.O_NOFOLLOW | os.O_NONBLOCK
    return open(path, "rb", opener=lambda p, how: os.open(p, how | flags))


def _checked_rows(reader: "_Reader") -> Iterator[bytes]:
    reader.check_header()
    records, size, previous = 0, 0, -1
    while (kind := reader.take(1, "no whole footer")) == b"B":
        count, rows, first, last = reader.block(kind)
        if first <= previous:
            raise reader.error("block out of order")
        previous = last
        records += count
        size += len(rows)
        yield rows
    summary = reader.footer(kind).summary
    if (summary.records, summary.size_bytes) != (records, size):
        raise reader.error("footer counts other records")


class _Reader:
    """One file from front to back; knows where it is, for the errors."""

    def __init__(self, path: Path, file: BinaryIO) -> None:
        self.end = os.fstat(file.fileno()).st_size
        self._position = 0
        self._path = path
        self._file = file

    def error(self, what: str) -> SegmentCorruptError:
        return SegmentCorruptError(str(self._path), self._position, what)

    def seek(self, position: int) -> None:
        self._position = self._file.seek(position)

    def take(self, size: int, what: str) -> bytes:
        # Asked first, so that a flipped bit in a size does not make us ask for gigabytes.
        data = self._file.read(size) if size <= self.end - self._position else b""
        if len(data) != size:
            raise self.error(what)
        self._position += size
        return data

    def check_header(self) -> None:
        wanted = _HEADER.pack(_MAGIC, VERSION, 0)
        if self.take(HEADER_BYTES, "no segment of this version") != wanted:
            raise self.error("no segment of this version")

    def block(self, kind: bytes) -> tuple[int, bytes, int, int]:
        fields = kind + self.take(_BLOCK.size - 1, "torn block")
        crc = self.take(_CRC.size, "torn block")
        _, count, size, stored_size, first, last = _BLOCK.unpack(fields)
        stored = self.take(stored_size, "torn block")
        if _CRC.pack(crc32(stored, crc32(fields))) != crc:
            raise self.error("checksum of a block")
        rows = stored if stored_size == size else self._decompressed(stored, size)
        return count, rows, first, last

    def footer(self, kind: bytes) -> SegmentFooter:
        start = self._position - 1
        fields = kind + self.take(_FOOTER.size - 1, "no whole footer")
        _, records, size, first, last, digest, label_size = _FOOTER.unpack(fields)
        label = self.take(label_size, "no whole footer")
        tail = self.take(_TAIL.size, "no whole footer")
        footer_size, crc = _TAIL.unpack(tail)
        if kind != b"F" or footer_size != self._position - start:
            raise self.error("no whole footer")
        if crc32(fields + label + tail[: -_CRC.size]) != crc:
            raise self.error("checksum of the footer")
        if self._position != self.end:
            raise self.error("bytes behind the footer")
        summary = SegmentSummary(records, size, first, last, digest_text(digest))
        return SegmentFooter(summary, label, self.end)

    def _decompressed(self, stored: bytes, size: int) -> bytes:
        try:
            # Before the library reserves what a frame says of itself.
            if zstandard.frame_content_size(stored) != size:
                raise self.error("compressed block")
            rows = zstandard.ZstdDecompressor().decompress(stored)
        except zstandard.ZstdError as error:
            raise self.error("compressed block") from error
        if len(rows) != size:
            raise self.error("compressed block")
        return rows
