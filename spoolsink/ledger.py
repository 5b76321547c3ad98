"""The ledger: which sealed cuts are on disk, and which multipart uploads are under way.

    key of a cut       "c" topic NUL partition:u32 start:u64             (big-endian)
    key of an upload   "u" SHA-256(object key NUL upload id), the first 16 bytes
    value              version:u8 | JSON | crc:u32    (little-endian CRC32 over key, version, JSON)
    JSON of a cut      [topic, partition, start, [end, records, digest, instant_ms], [number, ...]]
    JSON of an upload  [object key, upload id]

1. It is a cache: what it says of cuts is derivable from the segments' labels. Any anomaly moves it
   aside as a whole (`ledger.damaged-N`, the newest is kept), and it is written anew from them.
2. The file is walked from outside before LMDB maps it: a truncated or scribbled `data.mdb` would
   be a SIGBUS, not an exception. LMDB has no checksums, so every value carries its own.
3. No WRITEMAP (a full disk would be a SIGBUS) and no NOSYNC (a crash could corrupt the tree); the
   meta page may lag by one transaction, which costs a repeat at worst. The engine's version is
   fixed, because the two that exist cannot read each other's files.
4. A cut is offered only when its segments are all there and give its mark.

Blocking; all calls of one `Ledger` come from one thread.
"""

import json
import logging
import os
import shutil
import struct
import zlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

import lmdb
from lmdb.verify import VerifyError, verify

from spoolsink.errors import SpoolError
from spoolsink.intent import Mark, digest_of
from spoolsink.records import TopicPartition
from spoolsink.segment import SealedSegment

_log = logging.getLogger(__name__)

MAP_BYTES = 64 * 1024 * 1024
_MAX_MAP_BYTES = 32 * MAP_BYTES
"""2 GiB, far more than a spool of segments can need."""

_META = struct.Struct("=40xIH46xH")
_META_FLAGS = (0x08, 0)
"""Of a meta page (mdb.c, MDB_meta): page size, flags of the free tree and of ours."""

_LOCK_BYTES = 8192
"""Of a lock table for LMDB's default of 126 readers."""

_DAMAGED = ".damaged-"
_VERSION = b"\x01"
_CRC = struct.Struct("<I")
_PLACE = struct.Struct(">IQ")
_UPLOAD_DIGEST_BYTES = 16

_UNREADABLE = (
    lmdb.InvalidError,  # no LMDB file, or another engine's
    lmdb.VersionMismatchError,  # written by another version of the engine
    lmdb.CorruptedError,  # a page of the wrong kind
    lmdb.PageNotFoundError,  # a page beyond the end
    lmdb.IncompatibleError,  # flags of the database changed
)
"""What the engine raises for damage at the start; its other errors are the disk's or ours."""

Upload = tuple[str, str]
"""Object key and upload id."""


class LocalCut(NamedTuple):
    """A sealed cut `[start, mark.offset)` with its segments on this disk."""

    tp: TopicPartition
    start: int
    mark: Mark
    segments: tuple[SealedSegment, ...]

    @property
    def is_whole(self) -> bool:
        """Whether these segments are what the mark tells of, as far as their footers say."""
        labels = [segment.label for segment in self.segments]
        return (
            sum(s.summary.records for s in self.segments) == self.mark.records
            and _digest(self.segments) == self.mark.digest
            and all(s.key.tp == self.tp for s in self.segments)
            and all(label.cut_start == self.start for label in labels)
            and all(label.cut_end in {None, self.mark.offset} for label in labels)
        )


class Ledger:
    """One LMDB environment in `<spool>/ledger`; owned by the spool, whose lock protects it."""

    def __init__(self, spool_directory: Path, map_bytes: int = MAP_BYTES) -> None:
        self.file_bytes = 0
        self.uploads: set[Upload] = set()
        self._directory = spool_directory / "ledger"
        self._map_bytes = map_bytes
        self._environment: lmdb.Environment | None = None

    def start(self, segments: Mapping[int, SealedSegment]) -> list[LocalCut]:
        """Open it, or rebuild it; returns the whole cuts, by topic partition and start.

        `segments` are all sealed ones by number. Rows of cuts that are not whole are removed.

        Raises:
            SpoolError: the directory cannot be used (a full disk, no right).
        """
        with _as_spool_errors(self._directory):
            rows = self._rows()
            if rows is None:
                self._move_aside()
                self._open()
                cuts = _cuts_of_labels(segments.values())
                self._change({_key_of(cut): _value_of(cut) for cut in cuts}, ())
                return cuts
            cuts, stale = self._understand(rows, segments)
            if stale:
                self._change({}, stale)
            return cuts

    def close(self) -> None:
        """Let go of the files; everything is durable already."""
        if self._environment is not None:
            self._environment.close()
            self._environment = None

    def remember(self, cut: LocalCut) -> None:
        """Durable on return; one of the same topic partition and start is replaced."""
        self._change({_key_of(cut): _value_of(cut)}, ())

    def forget(self, cuts: Sequence[LocalCut]) -> None:
        """Remove the rows of exactly these cuts, not of others that took their place."""
        values = {_key_of(cut): _value_of(cut) for cut in cuts}
        with _as_spool_errors(self._directory), self._env.begin() as transaction:
            gone = [key for key, value in values.items() if transaction.get(key) == value]
        if gone:
            self._change({}, gone)

    def note_upload(self, upload: Upload) -> None:
        """A multipart upload has begun."""
        key = _upload_key(upload)
        self._change({key: _sign(key, list(upload))}, ())
        self.uploads.add(upload)

    def clear_upload(self, upload: Upload) -> None:
        """It was completed or aborted."""
        self._change({}, [_upload_key(upload)])
        self.uploads.discard(upload)

    @property
    def _env(self) -> lmdb.Environment:
        if self._environment is None:
            raise RuntimeError("the ledger is not open")
        return self._environment

    def _open(self) -> None:
        self._directory.mkdir(mode=0o700, exist_ok=True)
        self._reserve_locks()
        self._environment = lmdb.open(
            str(self._directory),
            map_size=self._map_bytes,
            metasync=False,
            mode=0o600,
            lib_version=0,
        )
        # A file that has grown before is mapped whole, whatever was asked for.
        self._map_bytes = self._environment.info()["map_size"]
        # Readers of a process that died would keep pages from being used again.
        self._environment.reader_check()
        self._measure()

    def _reserve_locks(self) -> None:
        """The engine writes its lock table through a mapping of a file with holes.

        Measured: on a full disk that is a SIGBUS, and the end of the process.
        """
        lock = os.open(self._directory / "lock.mdb", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.posix_fallocate(lock, 0, _LOCK_BYTES)
        finally:
            os.close(lock)

    def _rows(self) -> dict[bytes, bytes] | None:
        """All rows, each as it was written; None when there is no ledger that can be trusted."""
        if not self._is_sound():
            return None
        try:
            self._open()
            with self._env.begin() as transaction:
                rows = dict(transaction.cursor())
        except _UNREADABLE:
            return None
        return rows if all(_is_ours(key, value) for key, value in rows.items()) else None

    def _is_sound(self) -> bool:
        """The structure of `data.mdb`, read as plain bytes: nothing in it can hurt us so."""
        data = self._directory / "data.mdb"
        if self._directory.is_symlink() or data.is_symlink() or not data.is_file():
            return False
        try:
            # The library's stub leaves this module out.
            findings = verify(str(self._directory))  # type: ignore[no-untyped-call]
            return not findings and _are_flags_ours(data)
        except (VerifyError, OSError):
            return False

    def _move_aside(self) -> None:
        self.close()
        try:
            # Empty: a start that ended between two steps, or none before this one.
            self._directory.rmdir()
        except FileNotFoundError:
            return
        except OSError:
            former = {int(path.suffix[len(_DAMAGED) :]): path for path in self._damaged()}
        else:
            return
        aside = self._directory.with_suffix(f"{_DAMAGED}{max(former, default=0) + 1}")
        self._directory.rename(aside)
        for path in former.values():
            # One is enough to find out what happened; more would eat the quota.
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
        _log.warning("the ledger cannot be read: moved to %s, rebuilt from the segments", aside)

    def _damaged(self) -> Iterator[Path]:
        for path in self._directory.parent.glob(f"ledger{_DAMAGED}*"):
            if path.suffix[len(_DAMAGED) :].isdecimal():
                yield path

    def _understand(
        self, rows: Mapping[bytes, bytes], segments: Mapping[int, SealedSegment]
    ) -> tuple[list[LocalCut], list[bytes]]:
        """Whole cuts, and the keys of the others; takes the uploads in."""
        cuts: list[LocalCut] = []
        stale: list[bytes] = []
        for key, value in rows.items():
            fields = json.loads(value[len(_VERSION) : -_CRC.size])
            if key.startswith(b"u"):
                self.uploads.add((fields[0], fields[1]))
                continue
            cut = _cut_of(fields, segments)
            if cut is not None and cut.is_whole:
                cuts.append(cut)
            else:
                stale.append(key)
        return sorted(cuts, key=lambda cut: cut[:2]), stale

    def _change(self, puts: Mapping[bytes, bytes], deletes: Sequence[bytes]) -> None:
        """One transaction, durable on return; the map grows as needed."""
        try:
            with _as_spool_errors(self._directory):
                while not self._commit(puts, deletes):
                    self._map_bytes *= 2
                    self._env.set_mapsize(self._map_bytes)
        finally:
            # Also a transaction that failed may have lengthened the file.
            self._measure()

    def _commit(self, puts: Mapping[bytes, bytes], deletes: Sequence[bytes]) -> bool:
        """False when the map is full and may grow."""
        try:
            with self._env.begin(write=True) as transaction:
                for key in deletes:
                    transaction.delete(key)
                for key, value in puts.items():
                    transaction.put(key, value)
        except lmdb.MapFullError:
            if self._map_bytes >= _MAX_MAP_BYTES:
                raise
            return False
        return True

    def _measure(self) -> None:
        files = [path for path in self._directory.iterdir() if path.is_file()]
        self.file_bytes = sum(path.stat().st_size for path in files)


def _are_flags_ours(data: Path) -> bool:
    """The flags of both trees in both meta pages, which `verify` takes as they are.

    Measured: with a scribbled one the engine takes the tree for another kind, and aborts.
    """
    with data.open("rb") as file:
        page = file.read(_META.size)
        page_bytes, *_ = _META.unpack(page)
        file.seek(page_bytes)
        pages = page, file.read(_META.size)
    return all(_META.unpack(page)[1:] == _META_FLAGS for page in pages)


@contextmanager
def _as_spool_errors(directory: Path) -> Iterator[None]:
    """The door: LMDB tells of a full disk as a plain `lmdb.Error` with EIO."""
    try:
        yield
    except (lmdb.Error, OSError) as error:
        raise SpoolError(f"{directory}: {error}") from error


def _sign(key: bytes, fields: Sequence[Any]) -> bytes:
    body = _VERSION + json.dumps(fields, ensure_ascii=False, separators=(",", ":")).encode()
    return body + _CRC.pack(zlib.crc32(key + body))


def _is_ours(key: bytes, value: bytes) -> bool:
    """Whether we could have written the row: a checksum alone is no signature."""
    try:
        fields = json.loads(value[len(_VERSION) : -_CRC.size])
        if _sign(key, fields) != value:
            return False
        return key == (_upload_key_by(fields) if key.startswith(b"u") else _cut_key_by(fields))
    except (ValueError, RecursionError, TypeError, struct.error):
        return False


def _upload_key_by(fields: Sequence[Any]) -> bytes:
    """Raises ValueError or TypeError for what is no upload."""
    object_key, upload_id = fields
    return _upload_key((object_key, upload_id))


def _cut_key_by(fields: Sequence[Any]) -> bytes:
    """Raises ValueError, TypeError or struct.error for what is no cut."""
    topic, partition, start, (end, records, digest, instant_ms), numbers = fields
    counts = (partition, start, end, records, instant_ms, *numbers)
    if not isinstance(digest, str) or not all(type(count) is int for count in counts):
        raise TypeError("a field of another type")
    return b"c" + str.encode(topic) + b"\0" + _PLACE.pack(partition, start)


def _key_of(cut: LocalCut) -> bytes:
    return b"c" + cut.tp.topic.encode() + b"\0" + _PLACE.pack(cut.tp.partition, cut.start)


def _value_of(cut: LocalCut) -> bytes:
    numbers = [segment.number for segment in cut.segments]
    return _sign(_key_of(cut), [*cut.tp, cut.start, cut.mark, numbers])


def _upload_key(upload: Upload) -> bytes:
    return b"u" + sha256("\0".join(upload).encode()).digest()[:_UPLOAD_DIGEST_BYTES]


def _cut_of(fields: Sequence[Any], segments: Mapping[int, SealedSegment]) -> LocalCut | None:
    topic, partition, start, mark, numbers = fields
    if any(number not in segments for number in numbers):
        return None
    found = tuple(segments[number] for number in numbers)
    return LocalCut(TopicPartition(topic, partition), start, Mark(*mark), found)


def _cuts_of_labels(segments: Iterable[SealedSegment]) -> list[LocalCut]:
    """Cuts whose labels agree about the end; nothing is offered where two attempts mix."""
    groups: dict[tuple[TopicPartition, int], list[SealedSegment]] = defaultdict(list)
    for segment in sorted(segments, key=lambda segment: segment.number):
        groups[segment.key.tp, segment.label.cut_start].append(segment)
    cuts = []
    for (tp, start), members in sorted(groups.items()):
        labels = [s.label for s in members]
        ends = {(label.cut_end, label.cut_records, label.instant_ms) for label in labels}
        ends = {end for end in ends if end[0] is not None}
        if len(ends) != 1:
            continue
        [(end, records, instant_ms)] = ends
        mark = Mark(end or 0, records or 0, _digest(members), instant_ms)
        cut = LocalCut(tp, start, mark, tuple(members))
        if cut.is_whole:
            cuts.append(cut)
    return cuts


def _digest(segments: Iterable[SealedSegment]) -> str:
    return digest_of((s.label.object_key, s.summary.digest) for s in segments)
