"""CBOR: typed values, and what is refused because it is no plain data or could be endless."""

from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from uuid import UUID

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spoolsink.converters import make_converter
from spoolsink.errors import ConversionError

CONVERT = make_converter("cbor", {})


def convert(data: bytes) -> object:
    return CONVERT(data, "t", ())


def of_hex(text: str) -> bytes:
    return bytes.fromhex(text.replace(" ", ""))


MOMENT = datetime(2013, 3, 21, 20, 4, tzinfo=UTC)
ID = UUID("0f8fad5b-d9cb-469f-a165-70867728950e")

# Examples with a source are of RFC 8949, appendix A.
TYPED: list[tuple[str, object]] = [
    ("c0 74 323031332d30332d32315432303a30343a30305a", MOMENT),
    ("c1 1a 514b67b0", MOMENT),
    ("c1 fb 41d452d9ec200000", MOMENT + timedelta(milliseconds=500)),
    ("d864 19 3dd8", date(2013, 5, 7)),
    ("d903ec 6a 323031332d30332d3231", date(2013, 3, 21)),
    ("c2 49 010000000000000000", 2**64),
    ("c3 49 010000000000000000", -(2**64) - 1),
    ("1b ffffffffffffffff", 2**64 - 1),
    ("c4 82 21 19 6ab3", Decimal("273.15")),
    ("c5 82 20 03", Decimal("1.5")),
    ("c5 82 02 03", Decimal(12)),
    ("c5 82 38 63 01", Decimal(f"{5**100}E-100")),
    ("44 01020304", b"\x01\x02\x03\x04"),
    ("f7", None),
    ("f6", None),
    ("82 f7 a1 61 61 f7", [None, {"a": None}]),
    ("9f 01 82 02 03 ff", [1, [2, 3]]),
    ("bf 61 61 01 ff", {"a": 1}),
    ("d90102 83 01 03 02", [1, 3, 2]),
    ("d9 d9f7 01", 1),
]


@pytest.mark.parametrize(("text", "value"), TYPED)
def test_a_tag_becomes_what_it_says(text: str, value: object) -> None:
    got = convert(of_hex(text))
    assert got == value
    assert type(got) is type(value)


def test_ids_and_addresses_are_text() -> None:
    assert convert(cbor2.dumps(ID)) == str(ID)
    assert convert(of_hex("d834 44 c0a80001")) == "192.168.0.1"


def test_a_time_keeps_its_zone() -> None:
    local = datetime(2026, 7, 4, 12, tzinfo=timezone(timedelta(hours=9)))
    assert convert(cbor2.dumps(local)) == local


def test_null_values_are_not_converted() -> None:
    assert CONVERT(None, "t", ()) is None


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "premature end"),
        ("82 01", "premature end"),
        ("01 02", "something follows the first item"),
        ("a1 01 02", "map key must be a text string"),
        ("a1 41 61 02", "key that is no text"),
        ("e5", "CBORSimpleValue is no plain data"),
        ("d81e 82 01 02", "Fraction is no plain data"),
        ("d83f 01", "tag 63 is no plain data"),
        ("61 ff", "not CBOR"),
        ("1c", "not CBOR"),
        ("c0 63 616263", "not CBOR"),
        ("c1 1b ffffffffffffffff", "not CBOR"),
        ("c4 82 1a 7fffff00 01", "decimal is out of range"),
        ("c5 82 1b 0fffffffffffffff 01", "bigfloat is out of range"),
        ("c5 82 61 61 01", "not CBOR"),
        ("c5 01", "not CBOR"),
        ("c2 01", "not CBOR"),
        ("c2 59 0401" + "01" * 1025, "integer of 1025 bytes is out of range"),
        ("c4 82 20 c2 59 0401" + "01" * 1025, "integer of 1025 bytes is out of range"),
        ("9b 0fffffffffffffff 01", "premature end"),
        ("5b 0fffffffffffffff 01", "premature end"),
        ("d81c 81 d81d 00", "references .* are refused"),
        ("d90100 82 63 616263 d819 00", "references .* are refused"),
    ],
)
def test_what_is_no_plain_data_is_an_error_of_the_record(text: str, reason: str) -> None:
    with pytest.raises(ConversionError, match=reason):
        convert(of_hex(text))


def test_a_hundred_thousand_levels_are_an_error_of_the_record() -> None:
    with pytest.raises(ConversionError, match=r"nesting depth"):
        convert(b"\x81" * 100_000 + b"\x00")


PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**80), 2**80)
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary()
    | st.decimals(-(10**9), 10**9, places=3)
    | st.datetimes(timezones=st.just(UTC)),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(PLAIN)
def test_what_was_written_is_read(value: object) -> None:
    assert convert(cbor2.dumps(value)) == value
