"""What is not written: bad records, nulls, batches that were refused."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from spoolsink.bad_records import BadRecordPolicy, BadRecords
from spoolsink.cut import RepeatLoss
from spoolsink.encoder import Rejected
from spoolsink.errors import DeadLetterAwayError
from spoolsink.metrics import Metrics
from spoolsink.records import Batch, Refusal
from spoolsink.rotation import RotationReason
from spoolsink.spool.files import CHUNK_BYTES
from tests.unit.builders import Bench, Clock, batch_of, body_of, docs, memory_spool, policies_of
from tests.unit.test_appender import first_run, promised

TOO_LARGE = Refusal("too_large", "decompresses to more than 64 MiB", 5)
CORRUPT = Refusal("corrupt", "checksum", 0)


def refused(start: int, next_offset: int, refusal: Refusal) -> Batch:
    return batch_of([], start, next_offset=next_offset, refusal=refusal)


def text_bench(**rotate: object) -> Bench:
    """A format that writes nothing for nulls."""
    return Bench(
        records={"value": "bytes"},
        layout={"partition": ""},
        format={"type": "text"},
        rotate=rotate,
    )


# -- bad records ----------------------------------------------------------------------------------


async def test_a_bad_record_stops_and_everything_before_it_is_sealed() -> None:
    bench = Bench()
    await bench.append(batch_of([*docs("ab"), b"{bad", *docs("a")]))
    assert bench.ranges == [(0, 2)]
    assert str(bench.appender.stopped).startswith("orders-0 offset 2: convert: not JSON")
    assert await bench.append(batch_of(docs("a"), 2))
    assert bench.cuts.open.position == 2


async def test_a_bad_record_right_behind_a_cuts_end_seals_no_second_cut() -> None:
    bench = Bench(rotate={"records": 2})
    await bench.append(batch_of([*docs("aa"), b"{bad"]))
    assert bench.ranges == [(0, 2)]
    assert bench.appender.stopped is not None


async def test_a_bad_record_at_the_very_start_seals_nothing() -> None:
    bench = Bench()
    await bench.append(batch_of([b"{bad", *docs("a")]))
    assert bench.ranges == []
    assert bench.appender.stopped is not None


async def test_bad_records_are_skipped_and_counted_by_their_stage() -> None:
    bench = Bench(
        records={"on_error": "skip"}, layout={"partition": "p={value.p}", "missing": "error"}
    )
    await bench.append(batch_of([b"{bad", *docs("a"), b"{}"]))
    await bench.appender.seal(RotationReason.FLUSH)
    assert bench.ranges == [(0, 3)]
    assert [(o.first, o.records) for o in bench.objects] == [(1, 1)]
    assert bench.counted("records_skipped", "orders", "convert") == 1
    assert bench.counted("records_skipped", "orders", "layout") == 1


async def test_skipped_records_count_for_no_limit() -> None:
    bench = Bench(records={"on_error": "skip"}, rotate={"records": 2})
    await bench.append(batch_of([b"{bad", *docs("a"), b"{bad", *docs("a")]))
    assert bench.ranges == [(0, 4)]


async def test_a_bad_record_inside_a_promised_cut_stops_there_aloud() -> None:
    bench = Bench(at=promised((4, 4)))
    await bench.append(batch_of([*docs("aa"), b"{bad", *docs("a")]))
    assert bench.ranges == [(0, 2)]
    assert bench.cuts.lost_repeats == [RepeatLoss.STOPPED_INSIDE]
    assert bench.counted("cuts", "stopped") == 1


async def test_a_bad_record_behind_a_promised_cut_breaks_nothing() -> None:
    first, at = await first_run(batch_of(docs("aa")))
    second = Bench(at=at)
    await second.append(batch_of([*docs("aa"), b"{bad"]))
    assert second.ranges == first.ranges
    assert second.cuts.lost_repeats == []


# -- nulls ----------------------------------------------------------------------------------------


async def test_nulls_are_written_as_json_null() -> None:
    bench = Bench(layout={"partition": ""})
    await bench.append(batch_of([b"1", None]))
    await bench.appender.seal(RotationReason.FLUSH)
    assert [body_of(o) for o in bench.objects] == [b"1\nnull\n"]


async def test_nulls_are_skipped_and_counted() -> None:
    bench = Bench(records={"on_null_value": "skip"}, layout={"partition": ""})
    await bench.append(batch_of([b"1", None]))
    await bench.appender.seal(RotationReason.FLUSH)
    assert bench.ranges == [(0, 2)]
    assert bench.objects[0].records == 1
    assert bench.counted("records_skipped", "orders", "null") == 1


async def test_a_null_stops_where_the_configuration_says_so() -> None:
    bench = Bench(records={"on_null_value": "stop"}, layout={"partition": ""})
    await bench.append(batch_of([b"1", None, b"2"]))
    assert bench.ranges == [(0, 1)]
    assert str(bench.appender.stopped) == "orders-0 offset 1: format: null value"


async def test_nulls_alone_make_no_object_in_a_format_that_writes_nothing_for_them() -> None:
    bench = text_bench()
    await bench.append(batch_of([None, None]))
    await bench.appender.seal(RotationReason.FLUSH)
    [cut] = bench.cuts.sealed
    assert (cut.objects, cut.mark.records) == ([], 2)
    assert bench.spool.used_bytes == 0


@pytest.mark.parametrize(("separator", "bodies"), [("", []), (";", [b";;"])])
async def test_values_of_no_bytes_alone_make_an_object_of_their_separators(
    separator: str, bodies: list[bytes]
) -> None:
    """Where there are none nothing is written, as for nulls (docs/formats.md)."""
    bench = Bench(
        records={"value": "bytes"},
        layout={"partition": ""},
        format={"type": "bytes", "separator": separator},
    )
    await bench.append(batch_of([b"", b""]))
    await bench.appender.seal(RotationReason.FLUSH)
    [cut] = bench.cuts.sealed
    assert cut.mark.records == 2
    assert [body_of(thing) for thing in bench.objects] == bodies


async def test_a_split_of_nulls_alone_makes_no_object_either() -> None:
    bench = text_bench(object_records=2)
    await bench.append(batch_of([None, None, b"x"]))
    await bench.appender.seal(RotationReason.FLUSH)
    assert [(o.first, o.last) for o in bench.objects] == [(2, 2)]


async def test_nulls_beside_others_count_in_the_objects_range() -> None:
    bench = text_bench()
    await bench.append(batch_of([None, b"x", None]))
    await bench.appender.seal(RotationReason.FLUSH)
    [thing] = bench.objects
    assert (thing.first, thing.last, thing.records, body_of(thing)) == (0, 2, 3, b"x\n")


# -- what is told of them ------------------------------------------------------------------------


async def test_the_first_bad_record_of_a_minute_is_told_with_its_place_stage_and_error(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Found in review: the runbook sent its reader to a line that nobody wrote."""
    clock = Clock()
    bad = BadRecords(BadRecordPolicy(stops=False), Metrics(), clock.monotonic)
    for seconds, offset in ((0, 1), (59, 2), (1, 3)):
        clock.advance(seconds)
        assert not bad.stops_at(refused(offset, offset + 1, TOO_LARGE))
    told = "a bad record, skipped (others within a minute are not told): orders-0 offset %d: %s"
    what = "record: decompresses to more than 64 MiB"
    assert caplog.messages == [told % (1, what), told % (3, what)]


async def test_a_skipped_record_is_told_of_as_it_is_counted(
    caplog: pytest.LogCaptureFixture,
) -> None:
    bench = Bench(records={"on_error": "skip"}, rotate={"records": 2})
    await bench.append(batch_of([b"{bad", b"{bad", *docs("a")]))
    (line,) = caplog.messages
    assert "skipped (others within a minute are not told): orders-0 offset 0: convert: " in line


# -- refused batches ------------------------------------------------------------------------------


async def test_a_batch_that_is_too_large_stops() -> None:
    bench = Bench()
    await bench.append(batch_of(docs("a")), refused(1, 6, TOO_LARGE))
    assert bench.ranges == [(0, 1)]
    assert str(bench.appender.stopped) == (
        "orders-0 offset 1: record: decompresses to more than 64 MiB"
    )


async def test_a_batch_that_is_too_large_is_passed_by_with_its_records_counted() -> None:
    bench = Bench(records={"on_error": "skip"})
    await bench.append(batch_of(docs("a")), refused(1, 6, TOO_LARGE), batch_of(docs("a"), 6))
    assert bench.appender.stopped is None
    assert bench.cuts.open.position == 7
    assert bench.counted("records_skipped", "orders", "too_large") == 5


async def test_a_refused_batch_is_passed_by_through_a_promised_end() -> None:
    first, at = await first_run(
        batch_of(docs("a")), refused(1, 6, TOO_LARGE), records={"on_error": "skip"}
    )
    second = Bench(at=at, records={"on_error": "skip"})
    await second.append(batch_of(docs("a")), refused(1, 9, TOO_LARGE))
    assert second.ranges == first.ranges == [(0, 6)]
    assert second.cuts.open.position == 9
    assert second.cuts.lost_repeats == []


async def test_a_damaged_batch_is_fetched_again_before_it_is_a_bad_record() -> None:
    bench = Bench()
    damaged = refused(0, 6, CORRUPT)
    await bench.append(damaged, damaged, damaged)
    assert bench.appender.must_reread
    assert bench.appender.stopped is None
    await bench.append(damaged)
    assert bench.appender.stopped is not None


async def test_damage_that_does_not_say_where_it_ends_is_never_skipped() -> None:
    bench = Bench(records={"on_error": "skip"})
    await bench.append(*[refused(0, 0, CORRUPT)] * 4)
    assert bench.appender.stopped is not None


# -- dead letters, and too many bad records in a row ----------------------------------------------


LETTERS = {"on_error": "dead_letter", "dead_letter": {"prefix": "dead"}}


async def test_dead_letters_under_a_prefix_are_objects_of_the_cut() -> None:
    bench = Bench(records=LETTERS)
    await bench.append(batch_of([*docs("a"), b"{bad", *docs("a"), b"\xff"]))
    await bench.appender.seal(RotationReason.FLUSH)
    assert bench.ranges == [(0, 4)]
    assert sorted((o.key, o.records) for o in bench.objects) == [
        ("dead/orders/partition=0/orders+0+0000000001+0000000003.json", 2),
        ("topics/orders/p=a/orders+0+0000000000+0000000002.json", 2),
    ]
    assert bench.counted("dead_letters", "orders") == 2


async def test_dead_letters_under_a_prefix_count_for_the_limit_of_records() -> None:
    bench = Bench(records=LETTERS)
    limited = Bench(records=LETTERS, rotate={"records": 2})
    batch = batch_of([b"{bad", *docs("a"), b"{bad", *docs("a")])
    await limited.append(batch)
    assert limited.ranges == [(0, 2), (2, 4)]
    await bench.append(batch)
    assert bench.ranges == []


async def test_so_many_bad_records_in_a_row_stop_the_topic_partition() -> None:
    bench = Bench(records={"on_error": "skip", "max_errors_in_a_row": 3})
    await bench.append(batch_of([b"{", b"{", *docs("a"), b"{"]))
    assert bench.appender.stopped is None
    await bench.append(batch_of([b"{", b"{", *docs("a")], 4))
    assert bench.appender.stopped is not None
    assert bench.appender.stopped.offset == 5
    assert bench.ranges == [(0, 5)]


class LettersAway:
    """A dead letter topic that does not answer until it is told to."""

    is_away = True

    async def send(self, _batch: Batch, _rejected: Sequence[Rejected]) -> None:
        if self.is_away:
            raise DeadLetterAwayError("no answer")


async def test_bad_records_that_are_read_again_count_once_in_a_row() -> None:
    letters, clock = LettersAway(), Clock()
    policy = BadRecordPolicy(stops=False, are_letters=True, max_in_a_row=3, topic=letters)
    policies = replace(policies_of(clock), bad_records=policy)
    bench = Bench(clock=clock, policies=policies)
    batch = batch_of([b"{bad", b"{bad"])
    for _ in range(3):
        with pytest.raises(DeadLetterAwayError):
            await bench.append(batch)
    letters.is_away = False
    await bench.append(batch)
    assert bench.appender.stopped is None
    await bench.append(batch_of([b"{bad"], 2))
    assert bench.appender.stopped is not None


async def test_bad_records_before_one_that_had_no_room_count_once_in_a_row() -> None:
    spool = memory_spool(max_bytes=CHUNK_BYTES)
    bench = Bench(spool=spool, records={"on_error": "skip", "max_errors_in_a_row": 4})
    batch = batch_of([b"{", b"{", *docs("a", 100), b"{", b"{"])
    for _ in range(3):
        assert not await bench.append(batch)
    assert bench.appender.stopped is None


async def test_nulls_that_were_passed_are_counted_though_the_rest_had_no_room() -> None:
    bench = Bench(
        spool=memory_spool(max_bytes=CHUNK_BYTES + 100),
        records={"on_null_value": "skip"},
        rotate={"records": 1},
    )
    batch = batch_of([None, *docs("a"), None, *docs("a", 100), None])
    assert not await bench.append(batch)
    assert bench.cuts.open.position == 2
    assert bench.counted("records_skipped", "orders", "null") == 1


async def test_a_good_record_between_begins_the_count_anew() -> None:
    bench = Bench(records={"on_error": "skip", "max_errors_in_a_row": 2})
    for start in range(0, 12, 3):
        await bench.append(batch_of([*docs("a"), b"{", *docs("a")], start))
    assert bench.appender.stopped is None


async def test_a_null_that_must_stop_stops_also_where_errors_are_skipped() -> None:
    bench = Bench(records={"on_error": "skip", "on_null_value": "stop"})
    await bench.append(batch_of([*docs("a"), b"{bad", None, *docs("a")]))
    assert bench.appender.stopped is not None
    assert bench.appender.stopped.offset == 2
    assert bench.ranges == [(0, 2)]
