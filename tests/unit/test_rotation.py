"""When a cut ends: limits of the records, the clock's grid, and splits."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spoolsink.rotation import CutEnd, CutProgress, Rotation, RotationReason, SplitRule

SEOUL = ZoneInfo("Asia/Seoul")
LOS_ANGELES = ZoneInfo("America/Los_Angeles")


def wall(text: str, zone: ZoneInfo) -> int:
    return round(datetime.fromisoformat(text).replace(tzinfo=zone).timestamp() * 1000)


def local(ms: int | None, zone: ZoneInfo) -> str:
    assert ms is not None
    return datetime.fromtimestamp(ms / 1000, zone).strftime("%m-%d %H:%M")


def test_the_record_that_reaches_the_count_is_the_last_of_the_cut() -> None:
    rotation = Rotation(UTC, records=5)
    assert rotation.end_within(CutProgress(records=2), [1] * 10) == CutEnd(
        3, RotationReason.RECORDS
    )
    assert rotation.end_within(CutProgress(records=2), [1] * 2) is None


def test_the_record_that_reaches_the_bytes_is_the_last_of_the_cut() -> None:
    rotation = Rotation(UTC, max_bytes=10)
    cut = CutProgress(encoded_bytes=4)
    assert rotation.end_within(cut, [3, 3, 3]) == CutEnd(2, RotationReason.BYTES)
    assert rotation.end_within(cut, [3, 2]) is None


def test_the_interval_ends_before_the_record_that_is_too_far_ahead() -> None:
    rotation = Rotation(UTC, interval_seconds=10)
    times = [None, 1_000, 500, 10_999, 11_000, 12_000]
    assert rotation.end_within(CutProgress(), [1] * 6, times) == CutEnd(4, RotationReason.INTERVAL)


def test_times_that_go_backwards_or_are_absent_never_end_a_cut() -> None:
    rotation = Rotation(UTC, interval_seconds=10)
    cut = CutProgress(records=1, first_time_ms=100_000)
    assert rotation.end_within(cut, [1] * 4, [0, None, 50_000, 99_999]) is None


def test_the_earliest_limit_wins() -> None:
    rotation = Rotation(UTC, records=3, max_bytes=100, interval_seconds=1)
    assert rotation.end_within(CutProgress(), [60, 60, 60], [0, 0, 0]) == (2, "bytes")
    assert rotation.end_within(CutProgress(), [1, 1, 1], [0, 5_000, 0]) == (1, "interval")


@pytest.mark.parametrize(
    ("seconds", "now", "due"),
    [
        (3600, "2026-01-31T10:59:59", "01-31 11:00"),
        (3600, "2026-01-31T11:00:00", "01-31 12:00"),
        (7 * 3600, "2026-01-31T06:00:00", "01-31 07:00"),
        (7 * 3600, "2026-01-31T22:00:00", "02-01 00:00"),
        (86_400, "2026-01-31T00:00:00", "02-01 00:00"),
        (90_000, "2026-01-31T12:00:00", "02-01 00:00"),
    ],
)
def test_the_schedule_is_a_grid_from_local_midnight(seconds: int, now: str, due: str) -> None:
    rotation = Rotation(SEOUL, schedule_seconds=seconds)
    assert local(rotation.next_due_ms(wall(now, SEOUL)), SEOUL) == due


@pytest.mark.parametrize(
    ("now", "due"),
    [
        ("2026-03-08T00:30:00", "03-08 07:00"),
        ("2026-03-08T07:00:00", "03-08 13:00"),
        ("2026-03-08T19:00:00", "03-09 00:00"),
        ("2026-11-01T00:30:00", "11-01 05:00"),
        ("2026-11-01T23:30:00", "11-02 00:00"),
    ],
)
def test_the_schedule_counts_elapsed_time_on_days_of_23_and_25_hours(now: str, due: str) -> None:
    rotation = Rotation(LOS_ANGELES, schedule_seconds=6 * 3600)
    assert local(rotation.next_due_ms(wall(now, LOS_ANGELES)), LOS_ANGELES) == due


def test_time_ends_a_cut_only_when_it_has_records() -> None:
    rotation = Rotation(UTC, schedule_seconds=60, max_age_seconds=10)
    cut = rotation.opened(5.0, 1_000)
    assert rotation.due(cut, 100.0, 120_000) is None
    cut.records = 1
    assert rotation.due(cut, 14.9, 59_999) is None
    assert rotation.due(cut, 15.0, 59_999) is RotationReason.MAX_AGE
    assert rotation.due(cut, 5.0, 60_000) is RotationReason.SCHEDULE


def test_a_split_is_full_with_the_record_that_reaches_its_limit() -> None:
    assert SplitRule(records=3).taken(1, 0, [9, 9, 9]) == 2
    assert SplitRule(max_bytes=10).taken(0, 4, [3, 3, 3]) == 2
    assert SplitRule(max_bytes=10).taken(0, 0, [50, 1]) == 1
    assert SplitRule().taken(0, 0, [1, 2]) == 2


ROWS = st.lists(st.tuples(st.integers(1, 20), st.none() | st.integers(0, 5_000)), max_size=60)


def cuts_of(rotation: Rotation, rows: list[tuple[int, int | None]], step: int) -> list[int]:
    """Indexes behind which cuts end, when the rows arrive `step` at a time."""
    ends, cut, position = [], CutProgress(), 0
    while position < len(rows):
        batch = rows[position : position + step]
        sizes, times = [size for size, _ in batch], [time for _, time in batch]
        end = rotation.end_within(cut, sizes, times)
        taken = len(batch) if end is None else end.row
        rotation.take(cut, sizes[:taken], times[:taken])
        position += taken
        if end is not None:
            ends.append(position)
            cut = CutProgress()
    return ends


@given(ROWS, st.integers(1, 9), st.integers(1, 60), st.integers(1, 3))
def test_the_ends_do_not_depend_on_the_batches(
    rows: list[tuple[int, int | None]], records: int, size: int, seconds: int
) -> None:
    rotation = Rotation(UTC, records=records, max_bytes=size, interval_seconds=seconds)
    one_by_one = cuts_of(rotation, rows, 1)
    assert cuts_of(rotation, rows, 7) == one_by_one
    assert cuts_of(rotation, rows, 60) == one_by_one
