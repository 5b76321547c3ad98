"""`spoolsink spool ls|verify`: what is on disk, beside a running sink or without one.

No lock is taken and nothing is opened for writing. The ledger is left alone: a sealed segment's
footer says all of it. A sink that runs changes the directory meanwhile: a file that is gone when it
is looked at was uploaded and deleted, and is no finding.
"""

import json
import os
import stat
import struct
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal, TextIO

from spoolsink.config_model import Config
from spoolsink.errors import SegmentCorruptError
from spoolsink.logs import printable
from spoolsink.segment import BLOCK_BYTES, HEADER_BYTES, find_sealed, read_rows
from spoolsink.spool.files import segments_of

EXIT_CLEAN, EXIT_FAULT, EXIT_FOUND = 0, 1, 3

State = Literal["open", "sealed", "damaged", "foreign"]
STATES: tuple[State, ...] = ("open", "sealed", "damaged", "foreign")
"""`foreign` is a file that spoolsink has not made."""

_BLOCK_HEAD = struct.Struct("<cIIIQQ")
"""Of a block: kind, rows, size, stored, first, last; the CRC behind it is `verify`'s business."""

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")
_KIB = 1024
_HEAD = ("file", "state", "topic partition", "offsets", "records", "bytes", "S3 partition")


@dataclass(frozen=True, slots=True)
class SegmentReport:
    """One file. Names and the cut are known of sealed segments only: they stand in the footer.

    `file_bytes` is the file's size, `size_bytes` that of its rows; of an open segment both tell of
    what was flushed.
    """

    file: str
    state: State
    file_bytes: int
    topic: str | None = None
    partition: int | None = None
    s3_partition: str | None = None
    first: int | None = None
    last: int | None = None
    records: int = 0
    size_bytes: int = 0
    cut_start: int | None = None
    cut_end: int | None = None
    object_key: str | None = None
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class SpoolReport:
    """A spool directory at one moment; `used_bytes` counts every file, the ledger included."""

    directory: Path
    used_bytes: int
    limit_bytes: int
    segments: tuple[SegmentReport, ...]

    @property
    def problems(self) -> list[str]:
        """One line each."""
        return [f"{s.file}: {s.problem}" for s in self.segments if s.problem]


def inspect_spool(directory: Path, limit_bytes: int, *, verifies: bool) -> SpoolReport:
    """Blocking; `verifies` reads every byte and checks every checksum. Raises OSError."""
    paths = _files_of(segments_of(directory))
    found = (inspect_file(path, verifies=verifies) for path in paths)
    segments = tuple(segment for segment in found if segment is not None)
    return SpoolReport(directory, _used_bytes(directory), limit_bytes, segments)


def run_spool(
    action: Literal["ls", "verify"], config: Config, *, as_json: bool, out: TextIO, err: TextIO
) -> int:
    """The exit status: 3 when `verify` found something, 1 when the directory cannot be read."""
    directory = Path(config.spool.directory)
    try:
        report = inspect_spool(directory, config.spool.max_bytes, verifies=action == "verify")
    except OSError as error:
        err.write(f"{directory}: cannot be read: {error.strerror}\n")
        return EXIT_FAULT
    lines = [_as_json(report)] if as_json else _as_text(report, is_listed=action == "ls")
    out.writelines(f"{line}\n" for line in lines)
    return EXIT_FOUND if action == "verify" and report.problems else EXIT_CLEAN


def _files_of(segments: Path) -> list[Path]:
    try:
        return sorted(segments.iterdir(), key=lambda path: (len(path.stem), path.name))
    except FileNotFoundError:
        # Before the first run, and with spool.mode memory.
        return []


def inspect_file(path: Path, *, verifies: bool) -> SegmentReport | None:
    """One file of `segments/`; None where it went away since it was listed. Raises OSError."""
    if path.suffix == ".open" and not path.exists():
        # Sealed between the listing and now.
        path = path.with_suffix(".sealed")
    try:
        found = path.lstat()
        file_bytes = found.st_size
        is_named = path.suffix in {".open", ".sealed"} and path.stem.isdecimal()
        # A pipe would be waited for.
        if not is_named or not stat.S_ISREG(found.st_mode):
            what = "is not a file of spoolsink"
            return SegmentReport(path.name, "foreign", file_bytes, problem=what)
        report = _opened(path, file_bytes) if path.suffix == ".open" else _sealed(path)
        return _verified(path, report) if verifies else report
    except FileNotFoundError:
        return None
    except SegmentCorruptError as error:
        if not os.path.lexists(path):
            return None
        what = f"at byte {error.position_bytes}: {error.what}"
        return SegmentReport(path.name, "damaged", file_bytes, problem=what)


def _sealed(path: Path) -> SegmentReport:
    found = find_sealed(path)
    label, summary = found.label, found.summary
    return SegmentReport(
        file=path.name,
        state="sealed",
        file_bytes=found.file_bytes,
        topic=label.topic,
        partition=label.partition,
        s3_partition=found.key.s3_partition,
        first=summary.first,
        last=summary.last,
        records=summary.records,
        size_bytes=summary.size_bytes,
        cut_start=label.cut_start,
        cut_end=label.cut_end,
        object_key=label.object_key,
    )


def _opened(path: Path, file_bytes: int) -> SegmentReport:
    report = SegmentReport(path.name, "open", file_bytes)
    for rows, size, first, last in _block_heads(path, file_bytes):
        report = replace(
            report,
            first=first if report.first is None else report.first,
            last=last,
            records=report.records + rows,
            size_bytes=report.size_bytes + size,
        )
    return report


def _block_heads(path: Path, file_bytes: int) -> Iterator[tuple[int, int, int, int]]:
    """Rows, size, first and last of each block that is whole in the first `file_bytes`."""
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        position = HEADER_BYTES
        while position + BLOCK_BYTES <= file_bytes:
            head = os.pread(fd, _BLOCK_HEAD.size, position)
            kind, rows, size, stored, first, last = _BLOCK_HEAD.unpack(head)
            position += BLOCK_BYTES + stored
            if kind != b"B" or position > file_bytes:
                return
            yield rows, size, first, last
    finally:
        os.close(fd)


def _verified(path: Path, report: SegmentReport) -> SegmentReport:
    """Raises SegmentCorruptError for a checksum that does not hold, or a sealed file's end."""
    try:
        for _ in read_rows(path):
            pass
    except SegmentCorruptError as error:
        # The end of an open segment has no footer, and perhaps half of the block that is being
        # written; nobody reads it after a crash.
        is_end = error.what in {"no whole footer", "torn block", "no segment of this version"}
        if report.state != "open" or not is_end:
            raise
    return report


def _used_bytes(directory: Path) -> int:
    used = 0
    for root, _, names in os.walk(directory):
        for name in names:
            try:
                found = Path(root, name).lstat()
            except FileNotFoundError:
                continue
            used += found.st_size if stat.S_ISREG(found.st_mode) else 0
    return used


def _as_json(report: SpoolReport) -> str:
    segments = [asdict(segment) for segment in report.segments]
    return json.dumps(
        {
            "directory": str(report.directory),
            "used_bytes": report.used_bytes,
            "limit_bytes": report.limit_bytes,
            "segments": segments,
            "problems": report.problems,
        }
    )


def _as_text(report: SpoolReport, *, is_listed: bool) -> Iterable[str]:
    if is_listed and report.segments:
        yield from _table(report.segments)
    for problem in report.problems:
        yield f"FOUND {printable(problem)}"
    counts = [
        f"{len(those)} {state} ({_readable(sum(s.file_bytes for s in those))})"
        for state in STATES
        if (those := [s for s in report.segments if s.state == state])
    ]
    share = 100 * report.used_bytes / report.limit_bytes
    used = f"{_readable(report.used_bytes)} of {_readable(report.limit_bytes)} ({share:.1f} %)"
    yield f"{report.directory}: {', '.join(counts) or 'no segments'}; uses {used}"


def _table(segments: Iterable[SegmentReport]) -> Iterable[str]:
    rows = [_HEAD, *(_row(segment) for segment in segments)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = zip(row, widths, strict=True)
        yield "  ".join(cell.ljust(width) for cell, width in cells).rstrip()


def _row(segment: SegmentReport) -> tuple[str, ...]:
    names = f"{segment.topic}-{segment.partition}" if segment.topic is not None else "-"
    offsets = "-" if segment.first is None else f"{segment.first}..{segment.last}"
    return (
        printable(segment.file),
        segment.state,
        printable(names),
        offsets,
        str(segment.records),
        _readable(segment.file_bytes),
        "-" if segment.s3_partition is None else printable(segment.s3_partition),
    )


def _readable(count: int) -> str:
    amount, unit = float(count), 0
    while amount >= _KIB and unit < len(_UNITS) - 1:
        amount, unit = amount / _KIB, unit + 1
    return f"{amount:.1f} {_UNITS[unit]}" if unit else f"{count} B"
