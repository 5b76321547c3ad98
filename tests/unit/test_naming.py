"""Keys and user metadata of objects."""

from typing import Literal

import pytest

from spoolsink.naming import Naming
from spoolsink.segment import SegmentLabel, SegmentSummary
from tests.unit.builders import TP, batch_of, docs

SUMMARY = SegmentSummary(3, 60, 7, 12, "xxh128:0123456789abcdef")


def naming_of(
    file_name: Literal["range", "connect"] = "range",
    prefix: str = "topics",
    *,
    topic_directory: bool = True,
) -> Naming:
    return Naming(prefix, topic_directory, ".json", file_name, "sink")


def label_of(naming: Naming, *, is_split: bool = False) -> SegmentLabel:
    key = naming.key(TP, "p=a", SUMMARY.first, SUMMARY.last)
    end, records = (None, None) if is_split else (20, 9)
    return SegmentLabel(TP.topic, TP.partition, 5, key, is_split, end, records, 0)


def test_range_names_carry_both_offsets_and_then_the_digest() -> None:
    naming = naming_of()
    assert naming.keys(label_of(naming), SUMMARY) == [
        "topics/orders/p=a/orders+0+0000000007+0000000012.json",
        "topics/orders/p=a/orders+0+0000000007+0000000012+01234567.json",
    ]


def test_connect_names_carry_the_first_offset_and_fall_back_to_range_names() -> None:
    naming = naming_of("connect")
    assert naming.keys(label_of(naming), SUMMARY) == [
        "topics/orders/p=a/orders+0+0000000007.json",
        "topics/orders/p=a/orders+0+0000000007+0000000012.json",
        "topics/orders/p=a/orders+0+0000000007+0000000012+01234567.json",
    ]


def test_a_name_that_would_be_longer_than_s3_allows_is_not_tried() -> None:
    naming = naming_of(prefix="x" * (1024 - len("/orders/p=a/orders+0+0000000007+0000000012.json")))
    [key] = naming.keys(label_of(naming), SUMMARY)
    assert len(key) == 1024


@pytest.mark.parametrize(
    ("prefix", "topic_directory", "place", "directory"),
    [
        ("topics", True, "", "topics/orders/"),
        ("", True, "p=a", "orders/p=a/"),
        ("a/b", False, "p=a", "a/b/p=a/"),
        ("", False, "", ""),
    ],
)
def test_empty_parts_of_a_key_are_left_out_with_their_slash(
    prefix: str, place: str, directory: str, *, topic_directory: bool
) -> None:
    naming = naming_of(prefix=prefix, topic_directory=topic_directory)
    assert naming.key(TP, place, 1, 2) == f"{directory}orders+0+0000000001+0000000002.json"


def test_keys_directly_in_the_bucket_have_no_directory_in_any_of_their_names() -> None:
    naming = naming_of(prefix="", topic_directory=False)
    key = naming.key(TP, "", 7, 12)
    label = SegmentLabel(TP.topic, TP.partition, 5, key, False, 20, 9, 0)
    assert all("/" not in name for name in naming.keys(label, SUMMARY))


@pytest.mark.parametrize(
    ("prefix", "topic_directory", "expected"),
    [("topics", True, "topics/orders/"), ("", True, "orders/"), ("", False, "")],
)
def test_every_key_of_a_topic_begins_with_its_prefix(
    prefix: str, expected: str, *, topic_directory: bool
) -> None:
    naming = naming_of(prefix=prefix, topic_directory=topic_directory)
    assert naming.topic_prefix("orders") == expected
    assert naming.key(TP, "p=a", 1, 2).startswith(expected)


def test_metadata_tells_range_records_cut_digest_and_sink_in_plain_numbers() -> None:
    naming = naming_of()
    assert naming.metadata(label_of(naming), SUMMARY) == {
        "spoolsink-topic": "orders",
        "spoolsink-partition": "0",
        "spoolsink-first-offset": "7",
        "spoolsink-last-offset": "12",
        "spoolsink-records": "3",
        "spoolsink-cut": "5",
        "spoolsink-cut-end": "20",
        "spoolsink-cut-records": "9",
        "spoolsink-digest": "xxh128:0123456789abcdef",
        "spoolsink-sink": "sink",
    }


def test_a_split_does_not_know_the_end_of_its_cut() -> None:
    naming = naming_of()
    found = naming.metadata(label_of(naming, is_split=True), SUMMARY)
    assert not {"spoolsink-cut-end", "spoolsink-cut-records"} & found.keys()


def test_the_length_of_a_key_is_counted_in_utf8() -> None:
    naming = naming_of()
    batch = batch_of(docs("ab"), 7)
    key = naming.key(TP, "p=ä", 8, 8)
    assert naming.key_bytes(batch, "p=ä", 1) == len(key.encode()) == len(key) + 1
