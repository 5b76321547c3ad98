"""Batches merged: the same records, and never across what must stay apart."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from spoolsink.records import Batch, Refusal, TimestampType, TopicPartition, facts_of, merged
from tests.unit.builders import batch_of

VALUES = st.lists(st.sampled_from([b"{}", b"\n", b"\xc3\xa9", None]), max_size=4)


def run_of(columns: list[list[bytes | None]]) -> list[Batch]:
    found, position = list[Batch](), 0
    for values in columns:
        found.append(batch_of(values, position, next_offset=position + len(values) + 1))
        position = found[-1].next_offset
    return found


@given(st.lists(VALUES, max_size=6), st.integers(0, 12))
def test_what_is_merged_is_what_there_was(columns: list[list[bytes | None]], most: int) -> None:
    batches = run_of(columns)
    together = merged(batches, most)
    for name in ("offsets", "timestamps", "keys", "values"):
        before = [cell for batch in batches for cell in getattr(batch, name)]
        assert [cell for batch in together for cell in getattr(batch, name)] == before
    ranges = [(batch.start, batch.next_offset) for batch in together]
    assert [start for start, _ in ranges[1:]] == [end for _, end in ranges[:-1]]
    assert all(batch.about_values == facts_of(batch.values) for batch in together)
    assert all(batch in batches or batch.value_bytes <= most for batch in together), (
        "one that is larger stays by itself"
    )


def test_a_refused_batch_stays_by_itself() -> None:
    first, second, third = run_of([[b"a"], [], [b"c"]])
    refused = replace(second, refusal=Refusal("corrupt", "x", 1))
    assert merged([first, refused, third], 1 << 20) == [first, refused, third]


def test_batches_that_do_not_follow_each_other_stay_apart() -> None:
    first, second, third = run_of([[b"a"], [b"b"], [b"c"]])
    assert merged([first, third], 1 << 20) == [first, third]
    logged = replace(second, timestamp_type=TimestampType.LOG_APPEND)
    assert merged([first, logged, third], 1 << 20) == [first, logged, third]
    foreign = replace(second, tp=TopicPartition("other", 0))
    assert merged([first, foreign], 1 << 20) == [first, foreign]


def test_headers_and_ranges_of_offsets_are_merged_too() -> None:
    first = replace(batch_of([b"a"], 0), offsets=range(1))
    second = replace(batch_of([b"b"], 1), offsets=range(1, 2), headers=[[("h", b"x")]])
    [one] = merged([first, second], 1 << 20)
    assert one.offsets == range(2)
    assert [list(one.headers_at(index)) for index in range(2)] == [[], [("h", b"x")]]
