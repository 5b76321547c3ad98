"""Cuts that follow each other, and those that do not; told without Kafka."""

from collections.abc import Sequence

from spoolsink.audit.catalog import Catalog
from spoolsink.audit.coverage import Deficit, Hole, Verdict, verdicts
from spoolsink.audit.finding import Finding
from spoolsink.audit.places import Stored
from spoolsink.records import TopicPartition

TP = TopicPartition("orders", 0)


def stored(
    cut: tuple[int, int | None],
    first: int,
    last: int,
    *,
    records: int | None = None,
    of: int | None = None,
    place: str = "a",
    digest: str = "",
) -> Stored:
    """An object of the cut `[start, end)`; as many records as offsets where nothing else is said.

    `of`: how many the cut had.
    """
    start, end = cut
    count = last + 1 - first if records is None else records
    wanted = None if end is None else (count if of is None else of)
    key = f"{place}/orders+0+{first:010}+{last:010}{digest}.json"
    return Stored(key, TP, place, first, last, count, start, end, wanted, digest or key)


def judged(
    objects: Sequence[Stored], *, start: int | None = 0, has_schemas: bool = False
) -> list[Verdict]:
    with Catalog() as catalog:
        for found in reversed(objects):
            catalog.add(found)
        catalog.close_objects()
        return list(verdicts(catalog.by_cut(TP), start=start, has_schemas=has_schemas))


def kinds(found: Sequence[Verdict]) -> list[tuple[object, ...]]:
    return [(v.kind, v.first, v.last) if isinstance(v, Finding) else tuple(v) for v in found]


def test_cuts_that_follow_each_other_are_nothing_to_tell() -> None:
    assert judged([stored((0, 10), 0, 9), stored((10, 25), 10, 24), stored((25, 30), 25, 29)]) == []


def test_interleaved_s3_partitions_of_a_cut_are_nothing_to_tell() -> None:
    objects = [
        stored((0, 10), 0, 8, records=5, of=10, place="a"),
        stored((0, 10), 1, 9, records=5, of=10, place="b"),
    ]
    assert judged(objects) == []


def test_a_hole_between_cuts_is_one_also_before_the_first() -> None:
    assert judged([stored((5, 10), 5, 9), stored((12, 20), 12, 19)]) == [
        Hole(0, 5, is_head=True),
        Hole(10, 12),
    ]
    assert judged([stored((5, 10), 5, 9)], start=None) == []


def test_cuts_that_meet_overlap() -> None:
    found = judged([stored((0, 10), 0, 9), stored((7, 20), 7, 19)])
    assert kinds(found) == [("overlap", 7, 9)]
    within = judged([stored((0, 30), 0, 29), stored((7, 20), 7, 19), stored((30, 40), 30, 39)])
    assert kinds(within) == [("overlap", 7, 19)]


def test_a_cut_with_two_ends_overlaps() -> None:
    found = judged([stored((0, 10), 0, 9, of=10), stored((0, 12), 10, 11, of=12)])
    assert kinds(found) == [("overlap", 0, 11)]


def test_a_double_is_told_once_and_hides_no_missing_object() -> None:
    objects = [
        stored((0, 20), 0, 9, of=20),
        stored((0, 20), 0, 9, of=20, digest="+0a0a0a0a"),
    ]
    found = judged(objects)
    assert kinds(found[:1]) == [("double", 0, 9)]
    assert found[1:] == [Deficit(objects[1], 20, 10, 20)]


def test_objects_of_a_directory_that_share_offsets_overlap() -> None:
    objects = [stored((0, 20), 0, 12, of=20), stored((0, 20), 10, 19, of=20)]
    assert kinds(judged(objects)) == [("overlap", 10, 12)]


def test_schemas_share_a_directory() -> None:
    objects = [
        stored((0, 10), 0, 8, records=5, of=10),
        stored((0, 10), 1, 9, records=5, of=10),
    ]
    assert judged(objects, has_schemas=True) == []


def test_more_records_than_the_cut_had_overlap() -> None:
    objects = [stored((0, 10), 0, 9, of=10), stored((0, 10), 0, 9, of=10, place="b")]
    assert kinds(judged(objects)) == [("overlap", 0, 9)]


def test_full_splits_alone_are_complete_where_every_offset_has_a_record() -> None:
    whole = [stored((0, None), 0, 4), stored((0, None), 5, 9), stored((10, 12), 10, 11)]
    assert judged(whole) == []
    sparse = stored((0, None), 0, 9, records=7)
    assert judged([sparse]) == [Deficit(sparse, 10, 7, None)]


def test_the_catalog_finds_what_covers_an_offset_of_a_directory() -> None:
    with Catalog() as catalog:
        objects = [
            stored((0, 30), n, n + 4, of=15, place=place) for n in (0, 10, 20) for place in "ab"
        ]
        for found in objects:
            catalog.add(found)
        catalog.close_objects()
        sample = objects[0]
        assert catalog.covers(sample, "b", 12) == objects[3]
        assert catalog.covers(sample, "b", 7) is None
        assert catalog.covers(sample, "c", 12) is None
        assert catalog.covers(sample, None, 22) is not None
        assert catalog.topic_partitions() == [TP]
        assert [o.first for o in catalog.by_offset(TP)] == [0, 0, 10, 10, 20, 20]
