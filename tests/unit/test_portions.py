"""Batches are cut where they would keep the event loop; no record is lost or doubled by it."""

import pytest

from spoolsink.portions import FIRST_RECORDS, MIN_RECORDS, SECONDS, Portions
from spoolsink.records import Batch
from tests.unit.builders import batch_of as batch_with


def offsets(batches: list[Batch]) -> list[int]:
    return [offset for batch in batches for offset in batch.offsets]


def batch_of(records: int, start: int = 0) -> Batch:
    return batch_with([b"%d" % n for n in range(records)], start)


@pytest.mark.parametrize(
    "records", [0, 1, FIRST_RECORDS, FIRST_RECORDS + 1, 10 * FIRST_RECORDS + 3]
)
def test_portions_are_the_batch_and_each_goes_on_where_the_last_ended(records: int) -> None:
    batch = batch_of(records)
    parts = list(Portions().of([batch]))
    assert offsets(parts) == list(batch.offsets)
    assert all(len(part) <= FIRST_RECORDS for part in parts)
    assert [part.start for part in parts] == [batch.start, *(p.next_offset for p in parts[:-1])]
    assert parts[-1].next_offset == batch.next_offset


def test_dear_records_make_small_portions_at_once() -> None:
    portions = Portions()
    portions.took(FIRST_RECORDS, FIRST_RECORDS * SECONDS / 50)
    assert portions.records == 50
    portions.took(1, 10.0)
    assert portions.records == MIN_RECORDS


def test_cheap_records_make_larger_portions_step_by_step() -> None:
    portions = Portions()
    portions.took(FIRST_RECORDS, 0.0)
    assert portions.records == 4 * FIRST_RECORDS


def test_what_is_learnt_holds_within_the_batch() -> None:
    portions, seen = Portions(), []
    for part in portions.of([batch_of(2 * FIRST_RECORDS)]):
        seen.append(len(part))
        portions.took(len(part), len(part) * SECONDS / 32)
    assert seen == [FIRST_RECORDS, 32, 32]
