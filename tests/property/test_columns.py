"""The compiled decoder and aiokafka's say the same of the same bytes, hostile ones included."""

import struct
from collections.abc import Sequence
from typing import Any

import pytest
from aiokafka.codec import lz4_encode
from aiokafka.record.default_records import DefaultRecordBatch, DefaultRecordBatchBuilder
from hypothesis import example, given, settings
from hypothesis import strategies as st

from spoolsink.batch_tap import columns as door
from spoolsink.batch_tap.bounds import DAMAGE
from spoolsink.batch_tap.columns import Columns, columns_by_record, columns_of
from tests.unit.test_batch_bounds import LZ4, batch_of

LOG_APPEND = 8

TEXTS = st.sampled_from([b"{}", b'{"a":1}', b"\n", b"a\rb", b"\xc3\xa9", b"", b"x" * 300])
DATA = st.none() | TEXTS | st.binary(max_size=40)
HEADERS = st.lists(st.tuples(st.text(max_size=5), st.none() | st.binary(max_size=5)), max_size=3)
RECORDS = st.lists(
    st.tuples(st.integers(0, 1 << 40), DATA, DATA, st.just([]) | HEADERS), min_size=1, max_size=20
)


def payload_of(records: Sequence[tuple[int, Any, Any, Any]], offsets: Sequence[int]) -> bytes:
    builder = DefaultRecordBatchBuilder(2, 0, 0, -1, -1, -1, 1 << 30)
    for offset, (timestamp, key, value, headers) in zip(offsets, records, strict=True):
        builder.append(offset, timestamp, key, value, headers)
    return bytes(builder.build()[61:])


def both(batch: bytes) -> tuple[Columns | str, Columns | str]:
    """By the compiled decoder, and by aiokafka's; a word where one refuses it."""
    found: list[Columns | str] = []
    for read in (columns_of, columns_by_record):
        try:
            offsets, timestamps, keys, values, headers, facts, times = read(
                DefaultRecordBatch(batch), memoryview(batch)
            )
        except DAMAGE:
            found.append("damage")
        else:
            pairs = headers and [list(some) for some in headers]
            found.append(Columns(list(offsets), timestamps, keys, values, pairs, facts, times))
    first, second = found
    return first, second


def test_the_compiled_decoder_is_there() -> None:
    """Otherwise nothing here compares anything: `make install` needs a C compiler."""
    assert door.IS_COMPILED


@settings(deadline=None)
@given(RECORDS, st.booleans(), st.integers(1, 3), st.sampled_from([0, LZ4]), st.booleans())
def test_both_read_the_same_columns(
    records: list[tuple[int, Any, Any, Any]],
    is_log_append: bool,  # noqa: FBT001
    step: int,
    codec: int,
    is_ranged: bool,  # noqa: FBT001
) -> None:
    plain = payload_of(records, range(0, step * len(records), step))
    batch = batch_of(
        lz4_encode(plain) if codec else plain,
        codec | (LOG_APPEND if is_log_append else 0),
        base=7,
        count=len(records),
        span=len(records) if is_ranged else step * len(records) + 1,
    )
    compiled, by_record = both(batch)
    assert compiled == by_record
    if not is_ranged or step == 1:
        assert isinstance(compiled, Columns)
        assert compiled.offsets == [7 + step * index for index in range(len(records))]
        assert compiled.values == [value for _, _, value, _ in records]
        assert compiled.facts.value_bytes == sum(len(v or b"") for _, _, v, _ in records)


PLAIN = payload_of(
    [(0, b"k", b"v" * 70, []), (5, None, None, [("n", b"h"), ("m", None)]), (9, b"", b"w", [])],
    [0, 1, 2],
)


@settings(deadline=None, max_examples=500)
@given(
    st.lists(st.tuples(st.integers(0, len(PLAIN) - 1), st.integers(0, 255)), max_size=4),
    st.integers(0, len(PLAIN)),
    st.binary(max_size=12),
    st.integers(-1, 5),
    st.integers(1, 5),
)
@example([], len(PLAIN), b"", 2, 2)
@example([], len(PLAIN), b"", 1 << 30, 1 << 30)
@example([(0, 0xFF), (1, 0xFF), (2, 0xFF)], len(PLAIN), b"", 3, 3)
def test_both_refuse_the_same_damage(
    changes: list[tuple[int, int]], cut: int, behind: bytes, count: int, span: int
) -> None:
    data = bytearray(PLAIN)
    for at, byte in changes:
        data[at] = byte
    # In a buffer of its own: aiokafka looks at a few bytes behind the end.
    compiled, by_record = both(batch_of(bytes(data[:cut]) + behind, count=count, span=span))
    assert compiled == by_record


@settings(deadline=None, max_examples=300)
@given(st.binary(max_size=80), st.integers(0, 8))
def test_both_say_the_same_of_any_bytes(data: bytes, count: int) -> None:
    compiled, by_record = both(batch_of(data, count=count))
    assert compiled == by_record


@pytest.mark.parametrize("length", [b"\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01", b"\xff" * 11])
@pytest.mark.parametrize("field", ["length", "key", "value", "headers", "name"])
def test_a_length_that_no_memory_has_is_damage_to_both(length: bytes, field: str) -> None:
    head = b"\x00\x00\x00"
    data = {
        "length": length + head + b"\x01\x01\x00",
        "key": b"\x30" + head + length + b"\x01\x00",
        "value": b"\x30" + head + b"\x01" + length + b"\x00",
        "headers": b"\x30" + head + b"\x01\x01" + length,
        "name": b"\x30" + head + b"\x01\x01\x02" + length,
    }[field]
    assert both(batch_of(data + bytes(20), count=1)) == ("damage", "damage")


def test_times_of_the_log_and_of_the_producer_wrap_round_alike() -> None:
    batch = bytearray(batch_of(payload_of([(1 << 40, None, b"v", [])], [0])))
    batch[27:35] = struct.pack(">q", (1 << 63) - 1)
    compiled, by_record = both(bytes(batch))
    assert compiled == by_record
