"""How much of a batch goes in before something ends: promises, limits, splits."""

from collections.abc import Mapping
from datetime import UTC

import pytest

from spoolsink.boundaries import Boundaries, OpenObject, Piece, Promise, grouped
from spoolsink.encoder import Encoded
from spoolsink.rotation import CutProgress, Rotation, RotationReason, SplitRule
from tests.unit.builders import batch_of, docs

ROW_BYTES = 10


def encoded_of(places: str, start: int = 0, next_offset: int | None = None) -> Encoded:
    batch = batch_of(docs(places), start, next_offset=next_offset)
    return Encoded(
        batch=batch,
        next_offset=batch.next_offset,
        offsets=batch.offsets,
        rows=[b"x" * ROW_BYTES] * len(places),
        places=list(places),
        sizes=[ROW_BYTES] * len(places),
        times_ms=None,
    )


def boundaries_of(
    records: int | None = None,
    max_open: int | None = None,
    object_records: int | None = None,
    object_bytes: int | None = None,
) -> Boundaries:
    rotation = Rotation(zone=UTC, records=records)
    return Boundaries(rotation, SplitRule(object_records, object_bytes), max_open)


def piece_of(
    boundaries: Boundaries,
    encoded: Encoded,
    *,
    end: int | None = None,
    promise: Promise | None = None,
    progress: CutProgress | None = None,
    held: Mapping[str, OpenObject] | None = None,
) -> Piece:
    bounds = encoded.batch.start, encoded.next_offset if end is None else end
    return boundaries.next_piece(
        encoded, bounds, promise=promise, progress=progress or CutProgress(), held=held or {}
    )


def test_without_limits_the_whole_batch_is_taken_with_the_gap_behind_it() -> None:
    assert piece_of(boundaries_of(), encoded_of("aab", next_offset=9)) == Piece(3, 9)


def test_the_cut_ends_behind_the_record_that_reaches_the_limit() -> None:
    piece = piece_of(boundaries_of(records=2), encoded_of("aaa", start=5))
    assert piece == Piece(2, 7, reason=RotationReason.RECORDS)


def test_a_forced_end_inside_the_batch_ends_the_cut_there() -> None:
    piece = piece_of(boundaries_of(), encoded_of("aaaa"), promise=Promise(3, is_end=True))
    assert piece == Piece(3, 3, reason=RotationReason.REPEAT)


def test_a_forced_end_beats_every_limit_of_ours() -> None:
    strict = boundaries_of(records=1, max_open=1)
    piece = piece_of(strict, encoded_of("abcd"), promise=Promise(4, is_end=True))
    assert piece == Piece(4, 4, reason=RotationReason.REPEAT)


def test_a_floor_ends_nothing_and_lets_no_limit_end_the_cut_below_it() -> None:
    piece = piece_of(boundaries_of(records=1), encoded_of("abcd"), promise=Promise(3, is_end=False))
    assert piece == Piece(3, 3)


def test_a_forced_end_in_a_gap_takes_the_records_below_it() -> None:
    encoded = encoded_of("aa", next_offset=9)
    piece = piece_of(boundaries_of(), encoded, promise=Promise(5, is_end=True))
    assert piece == Piece(2, 5, reason=RotationReason.REPEAT)


def test_a_batch_without_records_reaches_a_forced_end() -> None:
    piece = piece_of(
        boundaries_of(), encoded_of("", start=3, next_offset=9), promise=Promise(6, is_end=True)
    )
    assert piece == Piece(0, 6, reason=RotationReason.REPEAT)


def test_nothing_is_taken_at_or_above_the_end_that_a_bad_record_sets() -> None:
    assert piece_of(boundaries_of(), encoded_of("aaaa"), end=2) == Piece(2, 2)


def test_the_cut_ends_before_a_record_that_would_open_one_segment_more() -> None:
    piece = piece_of(boundaries_of(max_open=2), encoded_of("abac"))
    assert piece == Piece(3, 3, reason=RotationReason.MAX_OPEN)


def test_a_full_cut_ends_before_the_first_record_of_another_batch() -> None:
    held = {"a": OpenObject(0, 0)}
    piece = piece_of(boundaries_of(max_open=1), encoded_of("b", start=4), held=held)
    assert piece == Piece(0, 4, reason=RotationReason.MAX_OPEN)


def test_more_segments_than_the_limit_may_stay_open_while_no_new_one_is_needed() -> None:
    """Behind a floor of an owner with a higher limit."""
    held = {"a": OpenObject(0, 0), "b": OpenObject(0, 1)}
    piece = piece_of(boundaries_of(max_open=1), encoded_of("abab", start=4), held=held)
    assert piece == Piece(4, 8)


def test_a_split_ends_with_the_record_that_fills_it() -> None:
    piece = piece_of(boundaries_of(object_records=2), encoded_of("ababb"))
    assert piece == Piece(3, 3, full="a")


def test_a_split_counts_what_its_segment_holds_already() -> None:
    held = {"a": OpenObject(0, 0, records=3, encoded_bytes=3 * ROW_BYTES)}
    piece = piece_of(boundaries_of(object_bytes=4 * ROW_BYTES), encoded_of("ba", 7), held=held)
    assert piece == Piece(2, 9, full="a")


def test_a_record_may_fill_its_split_and_the_cut_at_once() -> None:
    piece = piece_of(boundaries_of(records=2, object_records=2), encoded_of("aab"))
    assert piece == Piece(2, 2, full="a", reason=RotationReason.RECORDS)


def test_a_split_that_makes_room_keeps_the_cut_open() -> None:
    """Found by the properties: in two batches the cut went on, in one it did not."""
    piece = piece_of(boundaries_of(max_open=1, object_records=2), encoded_of("aab"))
    assert piece == Piece(2, 2, full="a")


def test_splits_are_cut_inside_a_promise_at_the_same_places() -> None:
    piece = piece_of(
        boundaries_of(object_records=2), encoded_of("aaaa"), promise=Promise(4, is_end=True)
    )
    assert piece == Piece(2, 2, full="a")


@pytest.mark.parametrize(
    ("places", "groups"),
    [
        ("", []),
        ("aaa", [("a", [0, 1, 2])]),
        ("abac", [("a", [0, 2]), ("b", [1]), ("c", [3])]),
    ],
)
def test_rows_are_grouped_by_s3_partition_in_their_order(
    places: str, groups: list[tuple[str, list[int]]]
) -> None:
    assert [(place, list(rows)) for place, rows in grouped(places)] == groups
