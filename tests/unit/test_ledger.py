"""The ledger: what it says is true or it is rebuilt, whatever happened to its files."""

import random
import shutil
from collections.abc import Callable
from pathlib import Path

import lmdb
import pytest

from spoolsink.errors import SpoolError
from spoolsink.intent import Mark
from spoolsink.ledger import Ledger, LocalCut
from spoolsink.segment import SealedSegment, SegmentWriter, encode_label, find_sealed
from tests.unit.spools import (
    OTHER,
    TP,
    cut_of,
    files_limited_to,
    key_of,
    label_of,
    restarted,
    sealed_cut,
    spool_of,
)

PAGE_BYTES = 4096


def segments_of(directory: Path, count: int, start: int = 0) -> list[SealedSegment]:
    """Sealed segments of one cut, a record each."""
    found = []
    for number in range(start, start + count):
        key = key_of(number)
        writer = SegmentWriter(directory / f"{number}.open")
        writer.append([number], b"x")
        label = label_of(key, start, start + count, count)
        writer.seal(directory / f"{number}.sealed", encode_label(key, label))
        found.append(find_sealed(directory / f"{number}.sealed"))
    return found


def by_number(*cuts: LocalCut) -> dict[int, SealedSegment]:
    return {s.number: s for cut in cuts for s in cut.segments}


def note_many(ledger: Ledger) -> None:
    for number in range(100):
        ledger.note_upload(("k" * 900, f"{number}"))


def truncate(size_bytes: int) -> Callable[[Path], None]:
    def harm(ledger: Path) -> None:
        data = (ledger / "data.mdb").read_bytes()
        (ledger / "data.mdb").write_bytes(data[:size_bytes])

    return harm


def garbage(ledger: Path) -> None:
    size = (ledger / "data.mdb").stat().st_size
    (ledger / "data.mdb").write_bytes(random.Random(5).randbytes(size))


def garbage_behind_the_meta_pages(ledger: Path) -> None:
    data = bytearray((ledger / "data.mdb").read_bytes())
    data[2 * PAGE_BYTES :] = random.Random(5).randbytes(len(data) - 2 * PAGE_BYTES)
    (ledger / "data.mdb").write_bytes(data)


def flip_a_bit_in_a_value(ledger: Path) -> None:
    data = bytearray((ledger / "data.mdb").read_bytes())
    places = [i for i in range(len(data)) if data.startswith(b'["orders",', i)]
    assert places
    for place in places:
        data[place + 4] ^= 1
    (ledger / "data.mdb").write_bytes(data)


def an_unknown_version_of_a_value(ledger: Path) -> None:
    with lmdb.open(str(ledger), lib_version=0) as env, env.begin(write=True) as transaction:
        [(key, value)] = list(transaction.cursor())[:1]
        transaction.put(key, b"\x02" + value[1:])


def scribble_on_flags(place: int) -> Callable[[Path], None]:
    """Of a tree, in both meta pages: the engine would abort the process over it."""

    def harm(ledger: Path) -> None:
        data = bytearray((ledger / "data.mdb").read_bytes())
        data[place] = data[PAGE_BYTES + place] = 0xFF
        (ledger / "data.mdb").write_bytes(data)

    return harm


def another_engine(ledger: Path) -> None:
    shutil.rmtree(ledger)
    lmdb.open(str(ledger), lib_version=1).close()


def a_file_in_its_place(ledger: Path) -> None:
    shutil.rmtree(ledger)
    ledger.write_text("not a directory")


def a_link_in_its_place(ledger: Path) -> None:
    ledger.rename(ledger.parent.parent / "moved")
    ledger.symlink_to(ledger.parent.parent / "moved")


def a_directory_for_data(ledger: Path) -> None:
    (ledger / "data.mdb").unlink()
    (ledger / "data.mdb").mkdir()


@pytest.mark.parametrize(
    "harm",
    [
        *map(truncate, (0, 100, PAGE_BYTES, 2 * PAGE_BYTES, 3 * PAGE_BYTES + 7)),
        garbage,
        garbage_behind_the_meta_pages,
        flip_a_bit_in_a_value,
        an_unknown_version_of_a_value,
        *map(scribble_on_flags, (44, 92)),
        another_engine,
        a_file_in_its_place,
        a_link_in_its_place,
        a_directory_for_data,
    ],
)
async def test_a_damaged_ledger_is_moved_aside_and_gives_the_same_cuts(
    tmp_path: Path, harm: Callable[[Path], None]
) -> None:
    spool = spool_of(tmp_path)
    cuts = [await sealed_cut(spool, TP, 0, "abc"), await sealed_cut(spool, OTHER, 5, "ab")]
    for cut in cuts:
        await spool.remember(cut)
    spool.close()
    harm(spool.directory / "ledger")
    after, offered = restarted(spool)
    assert offered == cuts
    assert [p.name for p in spool.directory.glob("ledger.damaged-*")] == ["ledger.damaged-1"]
    # Rebuilt for good: the next start finds it sound, and what is forgotten stays so.
    await after.forget(cuts[:1])
    assert restarted(after)[1] == cuts[1:]
    assert not list(spool.directory.glob("ledger.damaged-2"))


async def test_cuts_never_remembered_are_found_only_when_the_ledger_was_lost(
    tmp_path: Path,
) -> None:
    spool = spool_of(tmp_path)
    cut = await sealed_cut(spool, TP, 0, "abc")
    spool.close()
    shutil.rmtree(spool.directory / "ledger")
    after, offered = restarted(spool)
    assert offered == [cut]
    assert not list(spool.directory.glob("ledger.damaged-*"))
    await sealed_cut(after, TP, 5, "abc")
    assert restarted(after)[1] == [cut]


async def test_of_damaged_ledgers_the_newest_is_kept(tmp_path: Path) -> None:
    spool = spool_of(tmp_path)
    for _ in range(3):
        spool.close()
        garbage(spool.directory / "ledger")
        spool, _ = restarted(spool)
    assert [p.name for p in spool.directory.glob("ledger.damaged-*")] == ["ledger.damaged-3"]


async def test_segments_of_two_attempts_at_a_cut_are_not_mixed(tmp_path: Path) -> None:
    spool = spool_of(tmp_path)
    await sealed_cut(spool, TP, 0, "abc")
    await sealed_cut(spool, TP, 0, "abcd")
    await sealed_cut(spool, OTHER, 0, "ab")
    await sealed_cut(spool, OTHER, 0, "ab")
    spool.close()
    garbage(spool.directory / "ledger")
    assert restarted(spool)[1] == []


async def test_no_scribble_on_the_ledger_crashes_or_invents(tmp_path: Path) -> None:
    spool = spool_of(tmp_path)
    cuts = [await sealed_cut(spool, TP, 10 * n, "abc") for n in range(4)]
    for cut in cuts:
        await spool.remember(cut)
    await spool.note_upload("k" * 900, "u" * 300)
    spool.close()
    dice = random.Random(11)
    whole = (spool.directory / "ledger" / "data.mdb").read_bytes()
    for _ in range(150):
        data = bytearray(whole)
        for _ in range(dice.choice([1, 1, 4])):
            at = dice.randrange(len(data))
            data[at : at + dice.choice([1, 8])] = dice.randbytes(dice.choice([1, 8]))
        (spool.directory / "ledger" / "data.mdb").write_bytes(data[: len(whole)])
        ledger = Ledger(spool.directory)
        assert ledger.start(by_number(*cuts)) == cuts
        assert ledger.uploads <= {("k" * 900, "u" * 300)}
        ledger.close()


def test_the_map_grows_with_the_rows(tmp_path: Path) -> None:
    cuts = [cut_of(segments_of(tmp_path, 20, start), start, start + 20) for start in (0, 20)]
    ledger = Ledger(tmp_path, map_bytes=8 * PAGE_BYTES)
    ledger.start({})
    note_many(ledger)
    for cut in cuts:
        ledger.remember(cut)
    assert ledger.file_bytes > 8 * PAGE_BYTES
    ledger.close()
    again = Ledger(tmp_path, map_bytes=8 * PAGE_BYTES)
    assert again.start(by_number(*cuts)) == cuts
    assert len(again.uploads) == 100


def test_a_map_that_may_not_grow_on_is_an_error_and_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("spoolsink.ledger._MAX_MAP_BYTES", 8 * PAGE_BYTES)
    ledger = Ledger(tmp_path, map_bytes=8 * PAGE_BYTES)
    ledger.start({})
    ledger.note_upload(("a", "1"))
    with pytest.raises(SpoolError, match="MAP_FULL"):
        note_many(ledger)
    known = set(ledger.uploads)
    ledger.close()
    again = Ledger(tmp_path)
    assert again.start({}) == []
    assert again.uploads == known
    assert ("a", "1") in known


def test_a_full_disk_is_an_error_and_loses_nothing(tmp_path: Path) -> None:
    cut = cut_of(segments_of(tmp_path, 3), 0, 3)
    ledger = Ledger(tmp_path)
    ledger.start({})
    ledger.remember(cut)
    data = tmp_path / "ledger" / "data.mdb"
    with files_limited_to(data.stat().st_size), pytest.raises(SpoolError, match="ledger"):
        note_many(ledger)
    known = set(ledger.uploads)
    ledger.note_upload(("after", "1"))
    files = (tmp_path / "ledger").iterdir()
    assert ledger.file_bytes == sum(path.stat().st_size for path in files)
    ledger.close()
    again = Ledger(tmp_path)
    assert again.start(by_number(cut)) == [cut]
    assert again.uploads == known | {("after", "1")}


def test_a_full_disk_at_the_start_moves_nothing_aside(tmp_path: Path) -> None:
    cut = cut_of(segments_of(tmp_path, 3), 0, 3)
    ledger = Ledger(tmp_path)
    ledger.start({})
    ledger.remember(cut)
    ledger.close()
    (tmp_path / "ledger" / "lock.mdb").unlink()
    with files_limited_to(0), pytest.raises(SpoolError, match="ledger"):
        Ledger(tmp_path).start(by_number(cut))
    assert Ledger(tmp_path).start(by_number(cut)) == [cut]
    assert not list(tmp_path.glob("ledger.damaged-*"))


def test_a_cut_that_took_the_place_of_another_is_not_forgotten_with_it(tmp_path: Path) -> None:
    segments = segments_of(tmp_path, 3)
    former, cut = cut_of(segments[:2], 0, 3), cut_of(segments, 0, 3)
    ledger = Ledger(tmp_path)
    ledger.start({})
    ledger.remember(former)
    ledger.remember(cut)
    ledger.forget([former])
    ledger.close()
    assert Ledger(tmp_path).start(by_number(cut)) == [cut]


def test_a_cut_without_segments_is_remembered(tmp_path: Path) -> None:
    cut = LocalCut(TP, 3, Mark(9, 0, "e3b0c44298fc1c14", 5), ())
    ledger = Ledger(tmp_path)
    ledger.start({})
    ledger.remember(cut)
    ledger.close()
    assert Ledger(tmp_path).start({}) == [cut]


@pytest.mark.parametrize("mark", [Mark(3, 4, "", 17), Mark(3, 3, "0" * 16, 17), Mark(4, 3, "", 17)])
def test_a_cut_whose_segments_do_not_give_its_mark_is_not_offered(
    tmp_path: Path, mark: Mark
) -> None:
    cut = cut_of(segments_of(tmp_path, 3), 0, 3)
    mark = mark._replace(digest=mark.digest or cut.mark.digest)
    ledger = Ledger(tmp_path)
    ledger.start({})
    ledger.remember(cut._replace(mark=mark))
    ledger.close()
    assert Ledger(tmp_path).start(by_number(cut)) == []


def test_an_empty_directory_is_a_beginning(tmp_path: Path) -> None:
    (tmp_path / "ledger").mkdir()
    assert Ledger(tmp_path).start({}) == []
    assert not list(tmp_path.glob("ledger.damaged-*"))
