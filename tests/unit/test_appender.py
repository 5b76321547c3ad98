"""From batches to sealed cuts: bad records, nulls, gaps, promises, no room, failed writes."""

from collections.abc import Mapping

import pytest

from spoolsink.config_model import MIB
from spoolsink.cut import RepeatLoss
from spoolsink.errors import SpoolError
from spoolsink.intent import CommitMetadata, Mark, encode
from spoolsink.records import Batch
from spoolsink.rotation import RotationReason
from spoolsink.segment import SealedSegment, SegmentKey, SegmentLabel
from spoolsink.spool.files import CHUNK_BYTES
from spoolsink.spool_memory import MemorySpool
from tests.unit.builders import (
    NEXT,
    NOON,
    Bench,
    Clock,
    FailingSpool,
    batch_of,
    body_of,
    docs,
    memory_spool,
    names_of,
)

HOUR_SECONDS = 3600.0
HOURLY = {"partition": "h={time:%H}", "time": "wallclock"}


def promised(*ends: tuple[int, int], floor: Mark | None = None) -> tuple[int, str]:
    """At offset 0, cuts that are promised to end so with so many records, of unknown digest."""
    marks = tuple(Mark(end, records, "0" * 16, NOON) for end, records in ends)
    return 0, encode(CommitMetadata(NEXT, marks, floor))


async def first_run(*batches: Batch, **sections: object) -> tuple[Bench, tuple[int, str]]:
    """A process that sealed all, and what its last commit would leave to the next one."""
    bench = Bench(**sections)  # type: ignore[arg-type]
    assert await bench.append(*batches)
    if bench.appender.is_open:
        await bench.appender.seal(RotationReason.MAX_AGE)
    sent = bench.cuts.next_commit()
    assert sent is not None
    return bench, sent


# -- appending ------------------------------------------------------------------------------------


async def test_records_become_an_object_for_each_s3_partition_of_the_cut() -> None:
    bench = Bench(rotate={"records": 3})
    await bench.append(batch_of(docs("abab")))
    [cut] = bench.cuts.sealed
    assert names_of(cut) == [
        "p=a/orders+0+0000000000+0000000002.json",
        "p=b/orders+0+0000000001+0000000001.json",
    ]
    assert [body_of(o) for o in cut.objects] == [
        b'{"p":"a","x":""}\n{"p":"a","x":""}\n',
        b'{"p":"b","x":""}\n',
    ]


async def test_gaps_before_between_and_behind_records_are_covered() -> None:
    bench = Bench()
    await bench.append(batch_of(docs("ab"), 0, offsets=[3, 7], next_offset=12))
    await bench.append(batch_of(docs("a"), 12, offsets=[14]))
    await bench.appender.seal(RotationReason.FLUSH)
    assert bench.ranges == [(0, 15)]
    assert [(o.first, o.last) for o in bench.objects] == [(3, 14), (7, 7)]


async def test_a_batch_that_does_not_begin_at_the_position_is_left_alone() -> None:
    bench = Bench()
    await bench.append(batch_of(docs("aa")))
    assert await bench.append(batch_of(docs("a"), 1), batch_of(docs("a"), 9))
    assert (bench.cuts.open.position, bench.cuts.open.records) == (2, 2)


async def test_an_empty_batch_moves_the_position_and_opens_nothing() -> None:
    bench = Bench()
    await bench.append(batch_of([], 0, next_offset=4))
    await bench.appender.tick()
    assert bench.cuts.open.position == 4
    assert not bench.appender.is_open
    assert bench.spool.used_bytes == 0


async def test_several_cuts_may_end_inside_one_batch() -> None:
    bench = Bench(rotate={"records": 2})
    await bench.append(batch_of(docs("aaaaa")))
    assert bench.ranges == [(0, 2), (2, 4)]
    assert bench.cuts.open.records == 1
    assert bench.counted("cuts", "records") == 2


async def test_records_and_the_bytes_of_their_values_are_counted() -> None:
    bench = Bench(rotate={"records": 2}, layout={"partition": ""})
    await bench.append(batch_of([b"1", b"22", None, b"333"]))
    assert bench.counted("records", "orders") == 4
    assert bench.counted("record_bytes", "orders") == 6


# -- promises -------------------------------------------------------------------------------------


async def test_a_repeat_ends_at_the_promised_offsets_whatever_its_own_limits_say() -> None:
    first, at = await first_run(batch_of(docs("abcab")), rotate={"records": 3})
    second = Bench(at=at, rotate={"records": 1, "bytes": "1B", "max_open": 1})
    await second.append(batch_of(docs("ab")), batch_of(docs("cabaa"), 2))
    assert second.ranges[:2] == first.ranges
    assert [o.key for o in second.objects][: len(first.objects)] == [o.key for o in first.objects]
    assert second.cuts.lost_repeats == []


async def test_markers_alone_cross_a_promised_end() -> None:
    first, at = await first_run(batch_of(docs("aa"), next_offset=5))
    second = Bench(at=at)
    await second.append(batch_of(docs("aa")), batch_of([], 2, next_offset=9))
    assert second.ranges == first.ranges == [(0, 5)]
    assert (second.cuts.open.start, second.cuts.open.position) == (5, 9)


async def test_a_repeat_of_other_records_is_told() -> None:
    _, at = await first_run(batch_of(docs("aa")))
    second = Bench(at=at)
    await second.append(batch_of(docs("ab")))
    assert second.cuts.lost_repeats == [RepeatLoss.OTHER_RECORDS]


async def test_limits_count_again_from_the_floor_on() -> None:
    first = Bench(rotate={"object_records": 2})
    await first.append(batch_of(docs("abcaa")))
    sent = first.cuts.next_commit()
    assert sent is not None
    second = Bench(at=sent, rotate={"object_records": 2, "records": 2, "max_open": 1})
    await second.append(batch_of(docs("abcaaa")))
    # At the floor the cut is over both limits, and ends.
    assert second.ranges == [(0, 4), (4, 6)]
    assert [o.key for o in second.objects][:1] == [o.key for o in first.objects]
    assert second.cuts.lost_repeats == []


# -- room and failures ----------------------------------------------------------------------------


async def test_without_room_nothing_of_a_piece_is_taken_and_the_rest_can_be_appended_again() -> (
    None
):
    size = len(docs("a")[0]) + 1
    # Room for the first cut and for one record of the second.
    spool = memory_spool(2 * CHUNK_BYTES + 3 * size)
    bench = Bench(spool=spool, rotate={"records": 2})
    batch = batch_of(docs("aaaa"))
    assert not await bench.append(batch)
    assert (bench.cuts.open.position, bench.cuts.open.records) == (2, 0)

    [cut] = bench.cuts.sealed
    await spool.drop([o.segment for o in cut.objects])  # type: ignore[misc]
    assert await bench.append(batch.since(bench.cuts.open.position))

    plenty = Bench(rotate={"records": 2})
    await plenty.append(batch)
    assert bench.ranges == plenty.ranges == [(0, 2), (2, 4)]
    assert [o.digest for o in bench.objects] == [o.digest for o in plenty.objects]


async def test_what_is_skipped_is_counted_once_also_when_the_rest_of_its_batch_has_no_room() -> (
    None
):
    size = len(docs("a")[0]) + 1
    spool = memory_spool(CHUNK_BYTES + size)
    bench = Bench(spool=spool, rotate={"records": 1}, records={"on_error": "skip"})
    batch = batch_of([b"{bad", *docs("a"), b"{bad", *docs("a"), b"{bad"])
    assert not await bench.append(batch)
    await spool.drop([o.segment for o in bench.objects])  # type: ignore[misc]
    assert await bench.append(batch.since(bench.cuts.open.position))
    assert bench.counted("records_skipped", "orders", "convert") == 3


@pytest.mark.parametrize("call", ["append", "seal"])
async def test_after_a_failed_write_the_records_can_be_read_again(call: str) -> None:
    spool = FailingSpool()
    bench = Bench(spool=spool, rotate={"records": 2})
    spool.failures[call] = 1
    with pytest.raises(SpoolError):
        await bench.append(batch_of(docs("ab")))
    assert bench.ranges == []

    await spool.drop_open(bench.appender.tp)
    again = Bench(spool=spool, rotate={"records": 2})
    await again.append(batch_of(docs("ab")))
    assert again.ranges == [(0, 2)]
    assert [o.records for o in again.objects] == [1, 1]


# -- time -----------------------------------------------------------------------------------------


async def test_a_cut_ends_at_its_age_without_new_records() -> None:
    bench = Bench(rotate={"max_age": "10s"})
    await bench.append(batch_of(docs("a")))
    bench.clock.advance(9)
    await bench.appender.tick()
    assert bench.ranges == []
    bench.clock.advance(1)
    await bench.appender.tick()
    assert bench.ranges == [(0, 1)]
    assert bench.counted("cuts", "max_age") == 1


async def test_age_does_not_end_a_cut_below_its_promise() -> None:
    bench = Bench(at=promised((2, 2)), rotate={"max_age": "1s"})
    await bench.append(batch_of(docs("a")))
    bench.clock.advance(5)
    await bench.appender.tick()
    assert bench.ranges == []


async def test_a_flush_ends_what_is_open_at_the_next_tick_and_nothing_later() -> None:
    bench = Bench()
    await bench.append(batch_of(docs("a")))
    bench.appender.flush()
    await bench.append(batch_of(docs("a"), 1))
    await bench.appender.tick()
    await bench.append(batch_of(docs("a"), 2))
    await bench.appender.tick()
    assert bench.ranges == [(0, 2)]


async def test_a_flush_below_the_floor_waits_for_it() -> None:
    first = Bench(rotate={"object_records": 2})
    await first.append(batch_of(docs("aa")))
    sent = first.cuts.next_commit()
    assert sent is not None
    second = Bench(at=sent, rotate={"object_records": 2})
    await second.append(batch_of(docs("a")))
    second.appender.flush()
    await second.appender.tick()
    assert second.ranges == []
    await second.append(batch_of(docs("a"), 1))
    await second.appender.tick()
    assert second.ranges == [(0, 2)]


async def test_a_wallclock_cut_has_one_instant_for_all_its_keys() -> None:
    """Found by the properties: keys of 12 o'clock in a cut that remembered 13 o'clock."""
    clock = Clock(step_ms=40 * 60 * 1000)
    bench = Bench(clock=clock, layout=HOURLY)
    await bench.append(batch_of(docs("a")), batch_of(docs("a"), 1))
    await bench.appender.seal(RotationReason.FLUSH)
    [cut] = bench.cuts.sealed
    hour = 12 + (cut.mark.instant_ms - NOON) // 3_600_000
    assert names_of(cut) == [f"h={hour}/orders+0+0000000000+0000000001.json"]


async def test_a_wallclock_cut_ends_when_the_present_would_be_rendered_otherwise() -> None:
    bench = Bench(layout=HOURLY)
    await bench.append(batch_of(docs("a")))
    bench.clock.advance(HOUR_SECONDS - 1)
    await bench.appender.tick()
    assert bench.ranges == []
    bench.clock.advance(1)
    await bench.appender.tick()
    assert bench.ranges == [(0, 1)]
    assert bench.counted("cuts", "wallclock") == 1


async def test_a_cut_that_begins_inside_a_batch_has_the_instant_of_its_own_beginning() -> None:
    first, at = await first_run(batch_of(docs("aa")), layout=HOURLY)
    second = Bench(at=at, layout=HOURLY, clock=Clock(NOON + 5 * 3_600_000))
    await second.append(batch_of(docs("aaa")))
    await second.appender.seal(RotationReason.FLUSH)
    assert [o.key for o in second.objects][:1] == [o.key for o in first.objects]
    assert names_of(second.cuts.sealed[1]) == ["h=17/orders+0+0000000002+0000000002.json"]


async def test_a_wall_clock_that_is_set_back_does_not_move_a_topic_partition_back() -> None:
    bench = Bench(layout=HOURLY, rotate={"records": 1})
    await bench.append(batch_of(docs("a")))
    bench.clock.now_ms -= 5 * 3_600_000
    await bench.append(batch_of(docs("a"), 1))
    assert [o.key.split("/")[2] for o in bench.objects] == ["h=12", "h=12"]


async def test_the_oldest_record_is_the_first_of_the_oldest_cut_that_is_not_committed() -> None:
    bench = Bench(rotate={"records": 1})
    assert bench.appender.oldest_arrival() is None
    await bench.append(batch_of(docs("a")))
    bench.clock.advance(5)
    await bench.append(batch_of(docs("a"), 1))
    assert bench.appender.oldest_arrival() == 1000.0
    bench.appender.finished([bench.cuts.sealed.popleft()])
    assert bench.appender.oldest_arrival() == 1005.0


class CommittingSpool(MemorySpool):
    """While a segment is sealed the loop goes on: an idle offset may be committed."""

    bench: Bench

    async def seal(self, labels: Mapping[SegmentKey, SegmentLabel]) -> list[SealedSegment]:
        self.bench.commit(is_idle=True)
        return await super().seal(labels)


async def test_a_cut_whose_first_records_are_being_written_keeps_its_start() -> None:
    spool = CommittingSpool(max_bytes=64 * MIB, pause_at=0.9, resume_at=0.7)
    bench = spool.bench = Bench(spool=spool, rotate={"object_records": 2})
    bench.commit()
    await bench.append(batch_of([], 0, next_offset=5))
    await bench.append(batch_of(docs("aaa"), 5))
    [split] = bench.cuts.open.splits
    assert isinstance(split.segment, SealedSegment)
    assert split.segment.label.cut_start == bench.cuts.open.start
