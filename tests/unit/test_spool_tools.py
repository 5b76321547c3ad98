"""`spool ls` and `spool verify`: what they tell of a directory, also while a sink works in it."""

import json
import os
from io import StringIO
from pathlib import Path

import pytest

from spoolsink.config import load
from spoolsink.segment import BLOCK_BYTES, HEADER_BYTES, SegmentWriter, encode_label, zstd_blocks
from spoolsink.spool import Spool
from spoolsink.spool_tools import SpoolReport, inspect_file, inspect_spool, run_spool
from tests.unit.bad_configurations import BASE
from tests.unit.spools import OTHER, TP, bytes_on_disk, key_of, label_of, sealed_cut, spool_of

LIMIT = 1024 * 1024


def report_of(spool: Spool, *, verifies: bool = False) -> SpoolReport:
    return inspect_spool(spool.directory, LIMIT, verifies=verifies)


def run(spool_directory: Path, action: str, *, as_json: bool = False) -> tuple[int, str, str]:
    """Status, standard output and standard error of the command."""
    path = spool_directory.parent / "sink.yaml"
    path.write_text(f"{BASE}spool: {{directory: '{spool_directory}'}}\n")
    out, err = StringIO(), StringIO()
    status = run_spool(action, load(path, {}), as_json=as_json, out=out, err=err)  # type: ignore[arg-type]
    return status, out.getvalue(), err.getvalue()


def damage(path: Path, position: int) -> None:
    data = bytearray(path.read_bytes())
    data[position] ^= 1
    path.write_bytes(data)


def segment_files(spool: Spool, suffix: str = ".sealed") -> list[Path]:
    return sorted((spool.directory / "segments").glob(f"*{suffix}"))


async def test_sealed_segments_tell_topic_partition_offsets_cut_and_bytes(tmp_path: Path) -> None:
    spool = spool_of(tmp_path)
    cut = await sealed_cut(spool, OTHER, 7, "ab")
    report = report_of(spool)
    assert [(s.state, s.topic, s.partition) for s in report.segments] == [("sealed", *OTHER)] * 2
    assert [(s.s3_partition, s.first, s.last) for s in report.segments] == [
        ("dt=a", 7, 7),
        ("dt=b", 8, 8),
    ]
    assert [(s.cut_start, s.cut_end) for s in report.segments] == [(7, None), (7, 9)]
    assert [s.object_key for s in report.segments] == [s.label.object_key for s in cut.segments]
    assert [s.file_bytes for s in report.segments] == [s.file_bytes for s in cut.segments]
    assert report.used_bytes == bytes_on_disk(spool)
    spool.close()


async def test_a_running_sink_is_not_disturbed_and_its_open_segments_are_shown(
    tmp_path: Path,
) -> None:
    spool = spool_of(tmp_path)
    # More than the write buffer, so it is on disk.
    for offset in (3, 4):
        await spool.append(key_of("a", TP), [offset], b"x" * 5000)
    before = sorted(path.stat().st_mtime_ns for path in spool.directory.rglob("*"))
    report = report_of(spool, verifies=True)
    (found,) = report.segments
    assert (found.state, found.topic, found.first, found.last) == ("open", None, 3, 4)
    assert (found.records, found.size_bytes) == (2, 10_000)
    assert report.problems == []
    assert sorted(path.stat().st_mtime_ns for path in spool.directory.rglob("*")) == before
    spool.close()


def test_a_block_that_is_being_written_is_no_finding(tmp_path: Path) -> None:
    segments = tmp_path / "spool" / "segments"
    segments.mkdir(parents=True)
    path = segments / "1.open"
    writer = SegmentWriter(path, zstd_blocks())
    writer.append([5], b"first\n" * 100)
    whole = path.read_bytes()
    writer.append([6, 7], b"second\n" * 100)
    torn = path.read_bytes()
    for size in range(len(torn) + 1):
        path.write_bytes(torn[:size])
        report = inspect_spool(tmp_path / "spool", LIMIT, verifies=True)
        records = 0 if size < len(whole) else 1 if size < len(torn) else 3
        assert (report.problems, report.segments[0].records) == ([], records)


async def test_verify_finds_every_flipped_byte_of_a_sealed_segment(tmp_path: Path) -> None:
    spool = spool_of(tmp_path)
    await sealed_cut(spool, TP, 0, "a")
    spool.close()
    (path,) = segment_files(spool)
    whole = path.read_bytes()
    assert run(spool.directory, "verify")[0] == 0
    for position in range(len(whole)):
        damage(path, position)
        status, text, _ = run(spool.directory, "verify")
        assert status == 3, position
        assert f"FOUND {path.name}: at byte " in text
        path.write_bytes(whole)


async def test_ls_does_not_read_the_rows_and_always_ends_with_0(tmp_path: Path) -> None:
    spool = spool_of(tmp_path)
    await sealed_cut(spool, TP, 0, "a")
    spool.close()
    (path,) = segment_files(spool)
    damage(path, HEADER_BYTES + BLOCK_BYTES)
    status, text, _ = run(spool.directory, "ls")
    assert (status, "1 sealed" in text) == (0, True)
    damage(path, -1)
    status, text, _ = run(spool.directory, "ls")
    assert (status, "1 damaged" in text) == (0, True)


def test_verify_finds_damage_inside_an_open_segment(tmp_path: Path) -> None:
    segments = tmp_path / "spool" / "segments"
    segments.mkdir(parents=True)
    writer = SegmentWriter(segments / "1.open")
    writer.append([1], b"row\n")
    damage(segments / "1.open", HEADER_BYTES + BLOCK_BYTES)
    assert run(tmp_path / "spool", "verify")[:2][0] == 3


def test_a_file_that_is_not_ours_is_shown_and_found_by_verify(tmp_path: Path) -> None:
    segments = tmp_path / "spool" / "segments"
    segments.mkdir(parents=True)
    (segments / "notes\x1b.txt").write_text("mine")
    status, text, _ = run(tmp_path / "spool", "verify")
    assert status == 3
    assert "FOUND notes\\x1b.txt: is not a file of spoolsink" in text
    assert run(tmp_path / "spool", "ls")[0] == 0


@pytest.mark.parametrize("action", ["ls", "verify"])
def test_links_pipes_and_directories_are_neither_followed_nor_waited_for(
    tmp_path: Path, action: str
) -> None:
    segments = tmp_path / "spool" / "segments"
    segments.mkdir(parents=True)
    (segments / "1.sealed").symlink_to("/etc/passwd")
    os.mkfifo(segments / "2.sealed")
    os.mkfifo(segments / "3.open")
    (segments / "4.open").mkdir()
    status, text, err = run(tmp_path / "spool", action)
    assert (status, err) == (3 if action == "verify" else 0, "")
    assert "4 foreign" in text
    assert "FOUND 3.open: is not a file of spoolsink" in text


@pytest.mark.parametrize("name", ["1.sealed", "2.open"])
def test_a_segment_that_is_uploaded_meanwhile_is_no_finding(name: str, tmp_path: Path) -> None:
    assert inspect_file(tmp_path / name, verifies=True) is None


def test_a_segment_that_is_sealed_meanwhile_is_shown_as_sealed(tmp_path: Path) -> None:
    writer = SegmentWriter(tmp_path / "2.open")
    writer.append([1], b"row\n")
    key = key_of("a")
    writer.seal(tmp_path / "2.sealed", encode_label(key, label_of(key)))
    found = inspect_file(tmp_path / "2.open", verifies=True)
    assert found is not None
    assert (found.file, found.state) == ("2.sealed", "sealed")


@pytest.mark.parametrize("action", ["ls", "verify"])
def test_a_spool_that_was_never_used_is_empty(action: str, tmp_path: Path) -> None:
    status, text, err = run(tmp_path / "nowhere", action)
    assert (status, err) == (0, "")
    assert "no segments; uses 0 B of 10.0 GiB (0.0 %)" in text


def test_a_directory_that_cannot_be_read_is_a_fault(tmp_path: Path) -> None:
    (tmp_path / "spool").mkdir()
    (tmp_path / "spool" / "segments").write_text("a file")
    status, text, err = run(tmp_path / "spool", "ls")
    assert (status, text) == (1, "")
    assert err == f"{tmp_path / 'spool'}: cannot be read: Not a directory\n"


async def test_json_is_one_document_with_everything(tmp_path: Path) -> None:
    spool = spool_of(tmp_path)
    await sealed_cut(spool, TP, 0, "ab")
    spool.close()
    damage(segment_files(spool)[0], -1)
    status, text, _ = run(spool.directory, "verify", as_json=True)
    found = json.loads(text)
    assert (status, len(found["segments"]), len(found["problems"])) == (3, 2, 1)
    assert found["segments"][1]["s3_partition"] == "dt=b"
    assert found["used_bytes"] == bytes_on_disk(spool)
