"""Columns to rows and places: one bad record costs that record only."""

import json
from dataclasses import replace

import pytest

from spoolsink import encoder
from spoolsink.converters.json import JsonConverter
from spoolsink.encoder import Encoded, Encoder, Side
from spoolsink.errors import ConversionError, FormatError, LayoutError
from spoolsink.records import Batch, TimeBounds
from tests.unit.builders import NOON, TP, batch_of, docs, policies_of

BY_TIME = {"partition": "h={time:%H}", "time": "value.t"}


def encoder_of(**sections: object) -> Encoder:
    return policies_of(None, **sections).encoder


def encode(batch: Batch, **sections: object) -> Encoded:
    return encoder_of(**sections).encode(batch, NOON)


def reasons(encoded: Encoded) -> list[str]:
    return [str(rejected.error) for rejected in encoded.rejected]


def test_every_record_has_a_row_a_place_and_a_size() -> None:
    encoded = encode(batch_of(docs("ab"), 5, next_offset=9))
    assert list(encoded.offsets) == [5, 6]
    assert list(encoded.places) == ["p=a", "p=b"]
    assert list(encoded.rows) == [value + b"\n" for value in docs("ab")]
    assert list(encoded.sizes) == [len(row) for row in encoded.rows]
    assert encoded.next_offset == 9
    assert encoded.times_ms is None


def test_a_batch_without_records_is_encoded_to_nothing() -> None:
    encoded = encode(batch_of([], 5, next_offset=9))
    assert (list(encoded.rows), encoded.rejected, encoded.next_offset) == ([], (), 9)


def test_bad_records_are_taken_out_with_their_place_and_stage() -> None:
    values = [b"{bad", b'{"p":[1]}', *docs("a"), b'{"p":"b"} x']
    encoded = encode(batch_of(values, 10))
    assert list(encoded.offsets) == [12]
    assert [(r.offset, type(r.error)) for r in encoded.rejected] == [
        (10, ConversionError),
        (11, LayoutError),
        (13, ConversionError),
    ]
    assert (
        reasons(encoded)[1] == "orders-0 offset 11: layout: value.p: list cannot be used in a path"
    )


def test_the_bounds_of_times_are_those_of_the_records_that_are_left() -> None:
    first, second = docs("ab")
    batch = replace(batch_of([b"{bad", first, second, b"}"]), times=TimeBounds(0, NOON))
    kept = encode(batch).batch
    assert kept.time_bounds == (kept.timestamps[0], kept.timestamps[1])


def test_a_batch_of_bad_records_alone_leaves_nothing() -> None:
    encoded = encode(batch_of([b"{", b"}"]))
    assert list(encoded.rows) == []
    assert len(encoded.rejected) == 2


def test_errors_that_records_share_have_each_its_own_offset() -> None:
    """The layout remembers errors by the field's value."""
    value = b'{"p":"\\ud800"}'
    encoded = encode(batch_of([value, value]))
    assert [r.error.offset for r in encoded.rejected] == [0, 1]
    assert {r.error.topic_partition for r in encoded.rejected} == {TP}


def test_a_bad_key_is_an_error_only_where_keys_are_written_or_placed() -> None:
    batch = batch_of(docs("a"), keys=[b"\xff"])
    assert encode(batch).rejected == ()
    [full] = reasons(encode(batch, records={"form": "full"}))
    assert full.startswith("orders-0 offset 0: convert: key: not UTF-8")
    [placed] = reasons(encode(batch, layout={"partition": "k={key}"}))
    assert placed.startswith("orders-0 offset 0: convert: key: not UTF-8")


def test_fields_of_key_value_header_and_time_are_placed_together() -> None:
    layout = {"partition": "{key.k}/{value.v.0}/{header.h}/{time:%H}"}
    batch = batch_of([b'{"v":[7]}'], keys=[b'{"k":"x"}'], headers=[[("h", b"y")]])
    assert list(encode(batch, layout=layout, records={"key": "json"}).places) == ["x/7/y/12"]


@pytest.mark.parametrize("path", ["value.d", "value.in.d", "key"])
def test_a_decimal_column_has_every_digit_that_its_producer_wrote(path: str) -> None:
    columns = [{"name": "d", "type": "decimal(38,2)", "path": path}]
    numbers = (b"12345678901234567.89", b"99999999999999.995", b"1e400", b"1e-400", b"1.5", b"7")
    batch = batch_of(
        [b'{"d":%s,"in":{"d":%s}}' % (number, number) for number in numbers], keys=numbers
    )
    encoded = encode(
        batch,
        records={"key": "json"},
        format={"type": "csv", "columns": columns},
        layout={"partition": ""},
    )
    assert list(encoded.rows) == [b"12345678901234567.89\n", b"1.50\n", b"7.00\n"]
    assert [rejected.offset for rejected in encoded.rejected] == [1, 2, 3]


def test_a_key_that_would_be_too_long_is_an_error_of_its_record() -> None:
    batch = batch_of([*docs("a"), b'{"p":"%s"}' % (b"x" * 1100), *docs("b")])
    encoded = encode(batch)
    assert list(encoded.offsets) == [0, 2]
    assert reasons(encoded) == [
        "orders-0 offset 1: layout: the object's key would be longer than 1024 bytes"
    ]


def test_a_key_of_exactly_1024_bytes_is_written() -> None:
    fixed = len("topics/orders/p=/orders+0+0000000000+0000000000.json")
    values = [b'{"p":"%s"}' % (b"x" * (1024 - fixed + more)) for more in (0, 1)]
    assert list(encode(batch_of(values)).offsets) == [0]


@pytest.mark.parametrize(
    ("policy", "offsets", "rejected", "skipped"),
    [("write", [0, 1, 2], 0, 0), ("skip", [0, 2], 0, 1), ("stop", [0, 2], 1, 0)],
)
def test_null_values_are_written_skipped_or_rejected(
    policy: str, offsets: list[int], rejected: int, skipped: int
) -> None:
    encoded = encode(
        batch_of([b"1", None, b"2"]),
        records={"on_null_value": policy},
        layout={"partition": "partition={partition}"},
    )
    assert list(encoded.offsets) == offsets
    assert (len(encoded.rejected), encoded.nulls_skipped) == (rejected, skipped)
    assert all(isinstance(r.error, FormatError) for r in encoded.rejected)


def test_headers_stay_with_their_records_when_others_are_taken_out() -> None:
    headers = [[("h", b"1")], [("h", b"2")], [("h", b"3")]]
    batch = batch_of([b"1", b"{", b"3"], headers=headers)
    encoded = encode(batch, layout={"partition": "{header.h}"})
    assert list(encoded.places) == ["1", "3"]


def test_times_are_told_where_a_rotation_asks_for_them() -> None:
    values = [b'{"t":0}', b'{"t":"soon"}', b'{"u":1}', b'{"t":86400000}']
    encoded = encode(
        batch_of(values),
        layout={"partition": "", "time": "value.t"},
        rotate={"interval": "1h"},
    )
    assert encoded.times_ms == [0, None, None, 86_400_000]


def test_a_time_that_cannot_be_read_is_an_error_only_where_the_layout_needs_it() -> None:
    batch = batch_of([b'{"t":"soon"}'])
    assert len(encode(batch, layout=BY_TIME).rejected) == 1
    assert encode(batch, layout={"partition": "", "time": "value.t"}).rejected == ()


def test_wallclock_places_have_the_instant_that_they_are_given() -> None:
    encoder = encoder_of(layout={"partition": "h={time:%H}", "time": "wallclock"})
    batch = batch_of(docs("a"))
    assert encoder.encode(batch, NOON).places == ["h=12"]
    assert encoder.encode(batch, NOON + 3_600_000).places == ["h=13"]


def test_the_full_form_tells_all_of_a_record() -> None:
    encoded = encode(
        batch_of(docs("a"), 7, keys=[b"k"], headers=[[("h", b"\xff")]]), records={"form": "full"}
    )
    assert json.loads(encoded.rows[0]) == {
        "topic": "orders",
        "partition": 0,
        "offset": 7,
        "timestamp": NOON,
        "timestamp_type": "create",
        "key": "k",
        "headers": [{"key": "h", "value": {"base64": "/w=="}}],
        "value": {"p": "a", "x": ""},
    }


class Doubling:
    """A user's converter."""

    def __init__(self, options: object) -> None:
        assert options == {}

    def __call__(self, data: bytes, topic: str, headers: object) -> object:
        if data == b"bad":
            raise KeyError("no")
        return {"p": data.decode() * 2}


def test_a_users_converter_fails_for_its_record_only_and_is_not_called_for_nulls() -> None:
    encoded = encode(
        batch_of([b"a", b"bad", None]), records={"value": "tests.unit.test_encoder:Doubling"}
    )
    assert list(encoded.places) == ["p=aa", "p=__HIVE_DEFAULT_PARTITION__"]
    assert reasons(encoded) == [
        "orders-0 offset 1: convert: tests.unit.test_encoder:Doubling: KeyError: 'no'"
    ]


def test_a_slice_keeps_rows_places_sizes_and_times_together() -> None:
    encoded = encode(batch_of(docs("abc"), 5), rotate={"interval": "1h"})
    rest = encoded.since(encoded.row_of(6))
    assert list(rest.offsets) == [6, 7]
    assert list(rest.places) == ["p=b", "p=c"]
    assert len(rest.rows) == len(rest.sizes) == len(rest.times_ms or ()) == 2
    assert encoded.row_of(99) == 3


def test_what_the_check_accepts_and_the_reader_does_not_is_that_records_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """No such document is known; the process must live through the first one."""

    def picky(data: bytes, **_: bool) -> object:
        if b"odd" in data:
            raise ConversionError("cannot be read")
        return json.loads(data)

    monkeypatch.setattr(encoder, "decode", picky)
    side = Side("json", JsonConverter(), paths=[()], is_checked=True)
    columns, bad = side.read([b'{"a":1}', b'"odd"', None], batch_of([b'{"a":1}', b'"odd"', None]))
    assert columns == {}
    assert {index: error.message for index, error in bad.items()} == {1: "cannot be read"}
