"""The spool: what is appended is sealed whole, within its bounds, by one owner."""

import random
from collections import defaultdict
from pathlib import Path

import pytest

from spoolsink.errors import SpoolError, SpoolLockedError
from spoolsink.records import TopicPartition
from spoolsink.segment import read_rows
from spoolsink.spool import SegmentKey, Spool

TP = TopicPartition("orders", 0)
KIB = 1024


def spool_of(directory: Path, **changes: float) -> Spool:
    settings = {"max_bytes": 1024 * KIB, "min_free_bytes": 0, "write_buffer_bytes": 4 * KIB}
    limits = {"pause_at": 0.9, "resume_at": 0.7}
    return Spool(directory / "spool", **{**settings, **limits, **changes})  # type: ignore[arg-type]


def key_of(name: object, tp: TopicPartition = TP) -> SegmentKey:
    return SegmentKey(tp, f"dt={name}", 0)


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def bytes_on_disk(spool: Spool) -> int:
    return sum(path.stat().st_size for path in spool.directory.rglob("*") if path.is_file())


async def test_what_is_appended_is_sealed_whole_whatever_the_order(tmp_path: Path) -> None:
    dice = random.Random(7)
    spool = spool_of(tmp_path)
    spool.start()
    wanted: dict[SegmentKey, bytes] = defaultdict(bytes)
    offset = 0
    for _ in range(600):
        key = key_of(dice.randrange(20))
        rows = [b"%d\n" % dice.randrange(10**9) for _ in range(dice.randint(1, 30))]
        await spool.append(key, range(offset, offset + len(rows)), rows)
        assert spool.buffered_bytes <= 4 * KIB
        wanted[key] += b"".join(rows)
        offset += len(rows)
    sealed = await spool.seal(list(wanted))
    assert {s.key: b"".join(read_rows(s.path)) for s in sealed} == wanted
    assert spool.used_bytes == bytes_on_disk(spool)
    assert (spool.buffered_bytes, spool.open_count) == (0, 0)
    await spool.drop(sealed)
    assert spool.used_bytes == bytes_on_disk(spool) == 0


async def test_two_thousand_open_segments_stay_within_the_write_buffer(tmp_path: Path) -> None:
    spool = spool_of(tmp_path, write_buffer_bytes=64 * KIB)
    spool.start()
    descriptors = open_descriptors()
    for turn in range(3):
        for number in range(2_000):
            offset = turn * 2_000 + number
            await spool.append(key_of(number), [offset], [b"x" * 100])
            assert spool.buffered_bytes <= 64 * KIB
    assert spool.open_count == 2_000
    assert open_descriptors() <= descriptors + 2
    assert len(await spool.seal([key_of(number) for number in range(2_000)])) == 2_000


async def test_a_chunk_larger_than_the_buffer_is_written_through(tmp_path: Path) -> None:
    spool = spool_of(tmp_path)
    spool.start()
    await spool.append(key_of(1), [0], [b"x" * 9 * KIB])
    assert spool.buffered_bytes == 0
    assert spool.used_bytes == bytes_on_disk(spool)


async def test_a_segment_that_lost_rows_to_a_failed_write_is_never_sealed(tmp_path: Path) -> None:
    """Also where the write was made for another topic partition's sake."""
    spool = spool_of(tmp_path)
    spool.start()
    await spool.append(key_of(1), [0], [b"a" * 3 * KIB])
    (spool.directory / "segments" / "1.open").mkdir()
    other = TopicPartition("orders", 1)
    with pytest.raises(SpoolError, match="Is a directory"):
        await spool.append(key_of(2, other), [0], [b"b" * 3 * KIB])
    (spool.directory / "segments" / "1.open").rmdir()
    await spool.append(key_of(1), [1], [b"a"])
    with pytest.raises(SpoolError, match="rows of orders-0 could not be written"):
        await spool.seal([key_of(1)])


async def test_dropping_a_topic_partition_leaves_the_others(tmp_path: Path) -> None:
    spool = spool_of(tmp_path)
    spool.start()
    other = TopicPartition("orders", 1)
    await spool.append(key_of(1), [0], [b"a" * 3 * KIB])
    await spool.append(key_of(1, other), [0], [b"b" * 3 * KIB])
    await spool.append(key_of(2), [1], [b"a"])
    assert await spool.drop_open(TP) == 2
    [sealed] = await spool.seal([key_of(1, other)])
    assert b"".join(read_rows(sealed.path)) == b"b" * 3 * KIB
    assert (spool.used_bytes, spool.buffered_bytes) == (bytes_on_disk(spool), 0)


async def test_it_pauses_and_resumes_at_its_marks(tmp_path: Path) -> None:
    spool = spool_of(tmp_path, max_bytes=100 * KIB)
    spool.start()
    assert (spool.must_pause, spool.may_resume) == (False, True)
    await spool.append(key_of(1), [0], [b"x" * 89 * KIB])
    assert (spool.must_pause, spool.may_resume) == (False, False)
    await spool.append(key_of(2), [1], [b"x" * 2 * KIB])
    assert spool.must_pause
    await spool.drop(await spool.seal([key_of(1)]))
    assert (spool.must_pause, spool.may_resume) == (False, True)


async def test_a_file_system_without_room_pauses(tmp_path: Path) -> None:
    spool = spool_of(tmp_path, min_free_bytes=2**60)
    spool.start()
    assert (spool.must_pause, spool.may_resume) == (True, False)


async def test_what_a_former_process_left_is_deleted(tmp_path: Path) -> None:
    first = spool_of(tmp_path)
    first.start()
    await first.append(key_of(1), [0], [b"x" * 9 * KIB])
    await first.seal([key_of(1)])
    await first.append(key_of(1), [1], [b"x" * 9 * KIB])
    first.close()
    second = spool_of(tmp_path)
    assert second.start() == 2
    assert second.used_bytes == bytes_on_disk(second) == 0


def test_a_directory_has_one_owner(tmp_path: Path) -> None:
    first, second = spool_of(tmp_path), spool_of(tmp_path)
    first.start()
    with pytest.raises(SpoolLockedError, match="owned by another process"):
        second.start()
    first.close()
    second.start()


def test_a_directory_that_cannot_be_made_is_told_with_its_name(tmp_path: Path) -> None:
    (tmp_path / "spool").write_text("a file")
    with pytest.raises(SpoolError, match=r"spool: File exists"):
        spool_of(tmp_path).start()


def test_nobody_else_may_look_inside(tmp_path: Path) -> None:
    spool = spool_of(tmp_path)
    spool.start()
    assert spool.directory.stat().st_mode & 0o777 == 0o700
    assert (spool.directory / "segments").stat().st_mode & 0o777 == 0o700
