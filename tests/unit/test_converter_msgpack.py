"""MessagePack: typed values, and what is refused."""

from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spoolsink.converters import make_converter
from spoolsink.errors import ConversionError

CONVERT = make_converter("msgpack", {})


def convert(data: bytes) -> object:
    return CONVERT(data, "t", ())


# Timestamps of the specification: 32, 64 and 96 bits.
TYPED: list[tuple[str, object]] = [
    ("d6ff 5f000000", datetime(2020, 7, 4, 4, 5, 20, tzinfo=UTC)),
    ("d7ff 7735940000000001", datetime(1970, 1, 1, 0, 0, 1, 500000, tzinfo=UTC)),
    ("c70cff 00000000 ffffffffffffffff", datetime(1969, 12, 31, 23, 59, 59, tzinfo=UTC)),
    ("c4 02 00ff", b"\x00\xff"),
    ("cf ffffffffffffffff", 2**64 - 1),
    ("d3 8000000000000000", -(2**63)),
    ("ca 3f800000", 1.0),
    ("82 a161 c0 a162 92 c3 a0", {"a": None, "b": [True, ""]}),
]


@pytest.mark.parametrize(("text", "value"), TYPED)
def test_a_type_becomes_plain_data(text: str, value: object) -> None:
    got = convert(bytes.fromhex(text))
    assert got == value
    assert type(got) is type(value)


def test_null_values_are_not_converted() -> None:
    assert CONVERT(None, "t", ()) is None


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "truncated"),
        ("92 01", "truncated"),
        ("dd ffffffff 01", "truncated"),
        ("c6 ffffffff 01", "truncated"),
        ("01 01", "trailing"),
        ("c1", "malformed"),
        ("81 01 02", "key that is no text: '1'"),
        ("81 c4 01 61 02", "key that is no text"),
        ("91 81 c0 c0", "key that is no text"),
        ("a1 ff", "utf-8"),
        ("d4 01 aa", "extension type 1 is not known"),
        ("d4 ff aa", "not MessagePack"),
        ("c70cff 00000000 7fffffffffffffff", "not MessagePack"),
    ],
)
def test_what_is_no_plain_data_is_an_error_of_the_record(text: str, reason: str) -> None:
    with pytest.raises(ConversionError, match=reason):
        convert(bytes.fromhex(text))


def test_a_hundred_thousand_levels_are_an_error_of_the_record() -> None:
    with pytest.raises(ConversionError, match=r"nested too deeply"):
        convert(b"\x91" * 100_000 + b"\xc0")


PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary()
    | st.datetimes(timezones=st.just(UTC)),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(PLAIN)
def test_what_was_written_is_read(value: object) -> None:
    assert convert(msgspec.msgpack.encode(value)) == value
