"""The spool on disk: within its bounds, whole after failures and restarts, by one owner."""

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from spoolsink.errors import SegmentCorruptError, SpoolError, SpoolLockedError
from spoolsink.spool import LocalCut
from tests.unit.spools import (
    KIB,
    OTHER,
    TP,
    bytes_on_disk,
    files_limited_to,
    key_of,
    labels_of,
    names_of,
    restarted,
    sealed_cut,
    spool_of,
    unstarted,
)


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


# -- on disk: bounds -----------------------------------------------------------------------


async def test_two_thousand_open_segments_stay_within_the_write_buffer(tmp_path: Path) -> None:
    spool = spool_of(tmp_path, write_buffer_bytes=64 * KIB)
    descriptors = open_descriptors()
    for turn in range(3):
        for number in range(2_000):
            offset = turn * 2_000 + number
            await spool.append(key_of(number), [offset], b"x" * 100)
            assert spool.buffered_bytes <= 64 * KIB
    assert spool.open_count == 2_000
    assert open_descriptors() <= descriptors + 2
    assert len(await spool.seal(labels_of(map(key_of, range(2_000))))) == 2_000
    assert spool.used_bytes == bytes_on_disk(spool)


async def test_a_chunk_larger_than_the_buffer_is_written_through(tmp_path: Path) -> None:
    spool = spool_of(tmp_path)
    await spool.append(key_of(1), [0], b"x" * 9 * KIB)
    assert spool.buffered_bytes == 0
    assert spool.used_bytes == bytes_on_disk(spool)


async def test_offsets_count_against_the_write_buffer(tmp_path: Path) -> None:
    spool = spool_of(tmp_path)
    await spool.append(key_of(1), range(400), b"x")
    assert spool.buffered_bytes >= 400 * 8


async def test_large_flushes_are_read_in_small_blocks(tmp_path: Path) -> None:
    spool = spool_of(tmp_path, max_bytes=64 * KIB * KIB, write_buffer_bytes=16 * KIB * KIB)
    for offset in range(12):
        await spool.append(key_of(1), [offset], bytes([offset]) * 700 * KIB)
    [sealed] = await spool.seal(labels_of([key_of(1)]))
    blocks = list(sealed.read())
    assert max(map(len, blocks)) <= KIB * KIB
    assert b"".join(blocks) == b"".join(bytes([offset]) * 700 * KIB for offset in range(12))


async def test_a_file_system_without_room_pauses_and_is_asked_once_a_second(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, asked, free = [100.0], [0], [5]

    def usage(path: Path) -> tuple[int, int, int]:
        asked[0] += 1
        return type("Usage", (), {"free": free[0]})()  # type: ignore[no-any-return]

    spool = spool_of(tmp_path, min_free_bytes=10, clock=lambda: now[0])
    monkeypatch.setattr("shutil.disk_usage", usage)
    assert (spool.must_pause, spool.may_resume) == (True, False)
    free[0], now[0] = 10, 100.9
    assert (spool.must_pause, asked[0]) == (True, 1)
    now[0] = 101.0
    assert (spool.must_pause, spool.may_resume, asked[0]) == (False, True, 2)


# -- on disk: failures ---------------------------------------------------------------------


async def test_a_segment_that_lost_rows_to_a_failed_write_is_never_sealed(tmp_path: Path) -> None:
    """Also where the write was made for another topic partition's sake."""
    spool = spool_of(tmp_path)
    await spool.append(key_of(1), [0], b"a" * 3 * KIB)
    (spool.directory / "segments" / "1.open").mkdir()
    with pytest.raises(SpoolError, match="Is a directory"):
        await spool.append(key_of(2, OTHER), [0], b"b" * 3 * KIB)
    (spool.directory / "segments" / "1.open").rmdir()
    await spool.append(key_of(1), [1], b"a")
    with pytest.raises(SpoolError, match="rows of orders-0 could not be written"):
        await spool.seal(labels_of([key_of(1)]))
    assert (spool.used_bytes, spool.buffered_bytes) == (bytes_on_disk(spool), 0)
    assert spool.open_count == 0


async def test_a_disk_that_fills_up_breaks_the_segment_and_is_counted(tmp_path: Path) -> None:
    spool = spool_of(tmp_path)
    await spool.append(key_of(1), [0], b"a" * 5 * KIB)
    with files_limited_to(7 * KIB), pytest.raises(SpoolError, match="File too large"):
        await spool.append(key_of(1), [1], b"a" * 5 * KIB)
    assert (spool.used_bytes, spool.buffered_bytes) == (bytes_on_disk(spool), 0)
    await spool.append(key_of(1), [2], b"a" * 5 * KIB)
    assert (spool.directory / "segments" / "1.open").stat().st_size == 7 * KIB
    assert await spool.drop_open(TP) == 1
    assert (spool.used_bytes, names_of(spool)) == (bytes_on_disk(spool), set())
    await spool.append(key_of(1), [0], b"a" * 5 * KIB)
    assert len(await spool.seal(labels_of([key_of(1)]))) == 1


async def test_a_seal_that_fails_half_way_leaves_no_file(tmp_path: Path) -> None:
    spool = spool_of(tmp_path)
    await spool.append(key_of(1), [0], b"a")
    await spool.append(key_of(2), [1], b"b" * 5 * KIB)
    (spool.directory / "segments" / "2.sealed").mkdir()
    with pytest.raises(SpoolError, match="Is a directory"):
        await spool.seal(labels_of([key_of(1), key_of(2)]))
    (spool.directory / "segments" / "2.sealed").rmdir()
    assert names_of(spool) == set()
    assert (spool.used_bytes, spool.buffered_bytes) == (bytes_on_disk(spool), 0)


async def test_rows_appended_during_a_seal_or_a_drop_are_not_lost(tmp_path: Path) -> None:
    spool = spool_of(tmp_path)
    await spool.append(key_of(1), [0], b"a")
    await spool.append(key_of(1, OTHER), [0], b"b")
    sealing = asyncio.create_task(spool.seal(labels_of([key_of(1)])))
    dropping = asyncio.create_task(spool.drop_open(OTHER))
    await asyncio.sleep(0)
    await spool.append(key_of(1), [1], b"c")
    await spool.append(key_of(1, OTHER), [1], b"d")
    first, _ = await sealing, await dropping
    second = await spool.seal(labels_of([key_of(1), key_of(1, OTHER)]))
    assert [b"".join(s.read()) for s in first + second] == [b"a", b"c", b"d"]
    assert (spool.used_bytes, spool.buffered_bytes) == (bytes_on_disk(spool), 0)


async def test_the_counts_are_true_after_a_cancelled_call(tmp_path: Path) -> None:
    spool = spool_of(tmp_path)
    await spool.append(key_of(1), [0], b"a" * 3 * KIB)
    for work in (spool.append(key_of(2), [1], b"b" * 3 * KIB), spool.drop_open(TP)):
        task = asyncio.ensure_future(work)
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    await spool.drop_open(OTHER)
    await spool.seal({})
    await spool.append(key_of(3), [1], b"b" * 5 * KIB)
    assert (spool.used_bytes, spool.buffered_bytes) == (bytes_on_disk(spool), 0)
    assert names_of(spool) == {"2.open"}


# -- on disk: restart ----------------------------------------------------------------------


async def test_a_restart_offers_exactly_the_remembered_cuts(tmp_path: Path) -> None:
    spool = spool_of(tmp_path, compression="zstd")
    cuts = [await sealed_cut(spool, TP, 0, "abc"), await sealed_cut(spool, OTHER, 5, "ab")]
    forgotten = await sealed_cut(spool, TP, 20, "abc")
    for cut in [*cuts, forgotten]:
        await spool.remember(cut)
    await spool.forget([forgotten])
    await sealed_cut(spool, TP, 30, "abc")
    await spool.append(key_of("open"), [50], b"x" * 9 * KIB)
    after, offered = restarted(spool)
    assert offered == cuts
    assert names_of(after) == {f"{s.number}.sealed" for cut in cuts for s in cut.segments}
    assert [list(s.read()) for s in offered[0].segments]
    assert after.used_bytes == bytes_on_disk(after)
    assert after.snapshot() == {"open": 0, "sealed": 5}
    await after.forget(offered)
    assert restarted(after)[1] == []


async def test_names_go_on_above_what_is_on_disk(tmp_path: Path) -> None:
    spool = spool_of(tmp_path)
    cut = await sealed_cut(spool, TP, 0, "ab")
    await spool.remember(cut)
    after, _ = restarted(spool)
    await after.append(key_of(1), [9], b"x")
    [sealed] = await after.seal(labels_of([key_of(1)]))
    assert sealed.number > max(s.number for s in cut.segments)


@pytest.mark.parametrize("harm", ["missing", "torn", "other", "link"])
async def test_a_cut_that_is_not_whole_is_not_offered(tmp_path: Path, harm: str) -> None:
    spool = spool_of(tmp_path)
    hurt, well = await sealed_cut(spool, TP, 0, "abc"), await sealed_cut(spool, TP, 5, "ab")
    await spool.remember(hurt)
    await spool.remember(well)
    path, same = hurt.segments[1].source, hurt.segments[2].source
    assert isinstance(path, Path)
    assert isinstance(same, Path)
    content = path.read_bytes()
    path.unlink()
    if harm == "torn":
        path.write_bytes(content[:-1])
    elif harm == "other":
        path.write_bytes(same.read_bytes())
    elif harm == "link":
        path.symlink_to(same)
    after, offered = restarted(spool)
    assert offered == [well]
    assert names_of(after) == {f"{s.number}.sealed" for s in well.segments}
    again, offered = restarted(after)
    assert offered == [well]
    assert again.used_bytes == bytes_on_disk(again)


async def test_a_flipped_bit_in_the_rows_is_found_when_they_are_read(tmp_path: Path) -> None:
    spool = spool_of(tmp_path)
    await spool.remember(await sealed_cut(spool, TP, 0, "abc"))
    path = spool.directory / "segments" / "2.sealed"
    data = bytearray(path.read_bytes())
    data[60] ^= 1
    path.write_bytes(data)
    _, [cut] = restarted(spool)
    with pytest.raises(SegmentCorruptError):
        list(cut.segments[1].read())


async def test_notes_of_uploads_survive_a_restart(tmp_path: Path) -> None:
    spool = spool_of(tmp_path)
    await spool.note_upload("b", "2")
    await spool.note_upload("a", "1")
    await spool.clear_upload("b", "2")
    after, _ = restarted(spool)
    assert after.noted_uploads() == [("a", "1")]


async def test_forgetting_frees_the_disk_also_when_the_ledger_refuses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = spool_of(tmp_path)
    cut = await sealed_cut(spool, TP, 0, "abc")
    await spool.remember(cut)

    def refuse(cuts: Sequence[LocalCut]) -> None:
        raise SpoolError("Input/output error")

    monkeypatch.setattr(spool._ledger, "forget", refuse)
    with pytest.raises(SpoolError):
        await spool.forget([cut])
    assert names_of(spool) == set()
    assert spool.used_bytes == bytes_on_disk(spool)
    assert restarted(spool)[1] == []


# -- on disk: ownership --------------------------------------------------------------------


def test_a_directory_has_one_owner(tmp_path: Path) -> None:
    first = spool_of(tmp_path)
    with pytest.raises(SpoolLockedError, match="owned by another process"):
        spool_of(tmp_path)
    first.close()
    spool_of(tmp_path)


def test_a_start_that_failed_leaves_no_lock_behind(tmp_path: Path) -> None:
    (tmp_path / "spool").mkdir()
    (tmp_path / "spool" / "segments").write_text("a file")
    with pytest.raises(SpoolError, match="is not a directory"):
        spool_of(tmp_path)
    (tmp_path / "spool" / "segments").unlink()
    spool_of(tmp_path)


def test_a_directory_that_cannot_be_made_is_told_with_its_name(tmp_path: Path) -> None:
    (tmp_path / "spool").write_text("a file")
    with pytest.raises(SpoolError, match=r"spool: is not a directory"):
        spool_of(tmp_path)


@pytest.mark.parametrize("name", ["spool", "spool/segments"])
def test_a_symbolic_link_is_refused_and_nothing_behind_it_touched(
    tmp_path: Path, name: str
) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "1.open").write_text("somebody's")
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(SpoolError, match="symbolic link"):
        spool_of(tmp_path)
    assert (tmp_path / "elsewhere" / "1.open").read_text() == "somebody's"


def test_a_directory_of_another_user_is_refused(tmp_path: Path) -> None:
    # The root directory belongs to root, everywhere.
    directory = Path("/")
    if os.geteuid() == 0:
        directory = tmp_path / "spool"
        directory.mkdir()
        os.chown(directory, 12345, 12345)
    with pytest.raises(SpoolError, match="belongs to user"):
        unstarted(directory).start()


async def test_nobody_else_may_look_inside(tmp_path: Path) -> None:
    spool = spool_of(tmp_path)
    await spool.remember(await sealed_cut(spool, TP, 0, "ab"))
    paths = [spool.directory, *spool.directory.rglob("*")]
    assert {p.stat().st_mode & 0o777 for p in paths if p.is_dir()} == {0o700}
    assert {p.stat().st_mode & 0o777 for p in paths if p.is_file()} == {0o600}
