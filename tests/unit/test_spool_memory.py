"""What both spools do alike, on disk and in memory, and what memory does by itself."""

import random
import struct
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest
from xxhash import xxh3_128_digest, xxh3_128_hexdigest

from spoolsink.spool import AnySpool, SegmentKey
from spoolsink.spool_memory import MemorySpool
from tests.unit.spools import (
    KIB,
    OTHER,
    TP,
    bytes_on_disk,
    cut_of,
    key_of,
    label_of,
    labels_of,
    sealed_cut,
    spool_of,
)


@pytest.fixture(params=["disk", "zstd", "memory"])
def spool(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[AnySpool]:
    """For what must hold whatever the mode."""
    if request.param == "memory":
        yield MemorySpool(max_bytes=1024 * KIB, pause_at=0.9, resume_at=0.7)
        return
    on_disk = spool_of(tmp_path, compression="zstd" if request.param == "zstd" else "none")
    yield on_disk
    assert on_disk.used_bytes == bytes_on_disk(on_disk)
    on_disk.close()


async def test_what_is_appended_is_sealed_whole_whatever_the_order(spool: AnySpool) -> None:
    dice = random.Random(7)
    empty_bytes = spool.used_bytes
    wanted: dict[SegmentKey, bytes] = defaultdict(bytes)
    offsets: dict[SegmentKey, list[int]] = defaultdict(list)
    offset = 0
    for _ in range(600):
        key = key_of(dice.randrange(20))
        count = dice.randint(1, 30)
        rows = b"".join(b"%d\n" % dice.randrange(10**9) for _ in range(count))
        await spool.append(key, range(offset, offset + count), rows)
        assert spool.buffered_bytes <= 4 * KIB
        wanted[key] += rows
        offsets[key] += range(offset, offset + count)
        offset += count
    assert spool.open_bytes(TP) == sum(map(len, wanted.values()))
    sealed = await spool.seal(labels_of(wanted))
    assert [s.key for s in sealed] == list(wanted)
    for segment in sealed:
        assert b"".join(segment.read()) == b"".join(segment.read()) == wanted[segment.key]
        assert segment.label == label_of(segment.key)
        mine = offsets[segment.key]
        assert segment.summary[:4] == (len(mine), len(wanted[segment.key]), mine[0], mine[-1])
    assert (spool.buffered_bytes, spool.open_bytes(TP)) == (0, 0)
    assert spool.snapshot() == {"open": 0, "sealed": 20}
    await spool.drop(sealed)
    assert (spool.used_bytes, spool.sealed_count) == (empty_bytes, 0)


async def test_every_mode_gives_the_same_summary(spool: AnySpool) -> None:
    await spool.append(key_of(1), [3, 5], b"a\nb\n" * 100)
    await spool.append(key_of(1), [9], b"")
    [sealed] = await spool.seal(labels_of([key_of(1)]))
    parts = xxh3_128_digest(b"a\nb\n" * 100) + xxh3_128_digest(struct.pack("<QQQ", 3, 5, 9))
    assert sealed.summary == (3, 400, 3, 9, f"xxh128:{xxh3_128_hexdigest(parts)}")


async def test_dropping_a_topic_partition_leaves_the_others(spool: AnySpool) -> None:
    await spool.append(key_of(1), [0], b"a" * 3 * KIB)
    await spool.append(key_of(1, OTHER), [0], b"b" * 3 * KIB)
    await spool.append(key_of(2), [1], b"a")
    assert await spool.drop_open(TP) == 2
    assert await spool.drop_open(TP) == 0
    assert (spool.open_count, spool.open_bytes(TP), spool.open_bytes(OTHER)) == (1, 0, 3 * KIB)
    [sealed] = await spool.seal(labels_of([key_of(1, OTHER)]))
    assert b"".join(sealed.read()) == b"b" * 3 * KIB


async def test_a_segment_dropped_twice_is_counted_once(spool: AnySpool) -> None:
    empty_bytes = spool.used_bytes
    cut = await sealed_cut(spool, TP, 0, "ab")
    await spool.drop(cut.segments)
    await spool.drop(cut.segments)
    await spool.forget([cut])
    assert spool.used_bytes == empty_bytes


async def test_it_pauses_and_resumes_at_its_marks(spool: AnySpool) -> None:
    assert (spool.must_pause, spool.may_resume) == (False, True)
    rows = random.Random(1).randbytes(870 * KIB)
    await spool.append(key_of(1), [0], rows)
    assert (spool.must_pause, spool.may_resume) == (False, False)
    await spool.append(key_of(2), [1], rows[: 60 * KIB])
    assert spool.must_pause
    await spool.drop(await spool.seal(labels_of([key_of(1)])))
    assert (spool.must_pause, spool.may_resume) == (False, True)


async def test_the_limit_is_never_passed_by_one_who_asks(spool: AnySpool) -> None:
    dice = random.Random(3)
    keys: set[SegmentKey] = set()
    offset, size = 0, 700
    while spool.has_room(size):
        key = key_of("x" * 200 + str(dice.randrange(200)))
        await spool.append(key, [offset], dice.randbytes(size))
        assert spool.used_bytes <= spool.max_bytes
        keys.add(key)
        offset, size = offset + 1, dice.randint(1, 3000)
    label = {key: label_of(key)._replace(object_key="k" * 1024) for key in keys}
    cut = cut_of(await spool.seal(label), 0, 10)
    await spool.remember(cut)
    assert spool.max_bytes * 3 / 5 < spool.used_bytes <= spool.max_bytes


async def test_notes_of_uploads_come_and_go(spool: AnySpool) -> None:
    await spool.note_upload("b", "2")
    await spool.note_upload("a", "1")
    await spool.note_upload("a", "3")
    await spool.clear_upload("b", "2")
    await spool.clear_upload("b", "unknown")
    assert spool.noted_uploads() == [("a", "1"), ("a", "3")]


async def test_rows_of_no_records_are_a_bug(spool: AnySpool) -> None:
    with pytest.raises(RuntimeError, match="no records"):
        await spool.append(key_of(1), [], b"x")


async def test_memory_is_given_back_when_a_cut_is_forgotten() -> None:
    spool = MemorySpool(max_bytes=10_000, pause_at=0.5, resume_at=0.2)
    assert spool.start() == []
    cut = await sealed_cut(spool, TP, 0, "abc")
    await spool.remember(cut)
    assert spool.used_bytes > sum(s.summary.size_bytes for s in cut.segments)
    await spool.forget([cut])
    assert (spool.used_bytes, spool.sealed_count) == (0, 0)


async def test_memory_counts_what_small_chunks_take_beside_their_rows() -> None:
    spool = MemorySpool(max_bytes=10_000, pause_at=0.5, resume_at=0.2)
    for offset in range(60):
        await spool.append(key_of(1), [offset], b"x")
    assert spool.must_pause
    assert not spool.has_room(9_000)
    spool.close()
    assert (spool.used_bytes, spool.open_count) == (0, 0)


async def test_rows_for_every_open_segment_stay_within_the_memory_that_was_asked_for() -> None:
    spool = MemorySpool(max_bytes=1_000, pause_at=0.9, resume_at=0.2)
    segments = [key_of(number) for number in range(4)]
    new, offset = len(segments), 0
    while spool.has_room(len(segments), new):
        for key in segments:
            await spool.append(key, [offset], b"x")
        assert spool.used_bytes <= spool.max_bytes
        new, offset = 0, offset + 1
    assert offset
