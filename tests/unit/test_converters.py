"""Converters: what counts as JSON, and that the producer's bytes are kept."""

import json
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spoolsink.converters import make_converter
from spoolsink.converters.json import FieldDecoder, check, decode, find_bad, lines
from spoolsink.errors import ConversionError
from spoolsink.layout import walk

GOOD = [
    b"null", b"0", b"-0", b"1e400", b"1" * 400, b'"a\\ud800b"', b'"\x7f"', b' {"a": [1, 2]} ',
    b'{"a":\n1}', "\u00e9".encode().join([b'"', b'"']), b'{"a":1,"a":2}', b"[[[[]]]]",
]  # fmt: skip
BAD = [
    b"", b"NaN", b"Infinity", b"\xef\xbb\xbf1", b'"a\nb"', b'"\x01"', b'"\xff"', b"1,2", b"[1",
    b"2]",     b"01", b"1.", b".5", b"+1", b"[1,]", b'{"a":1,}', b'{"a" 1}',
    b"tru", b"'a'", b"\x0c1", b"1 2",
    b'"\xc3', b"[" * 100_000 + b"]" * 100_000,
]  # fmt: skip


@pytest.mark.parametrize("value", GOOD, ids=lambda v: repr(v[:12]))
def test_every_document_of_the_rfc_is_accepted(value: bytes) -> None:
    check([value])
    decode(value)


@pytest.mark.parametrize("value", BAD, ids=lambda v: repr(v[:12]))
def test_what_is_no_document_is_an_error_of_its_record(value: bytes) -> None:
    with pytest.raises(ConversionError):
        check([b"1", value, b"2"])
    assert [index for index, _ in find_bad([b"1", None, value, b"2"])] == [2]


def test_two_broken_documents_do_not_make_a_good_one() -> None:
    assert [index for index, _ in find_bad([b"[1", b"2]", b"1,2"])] == [0, 1, 2]


@given(st.lists(st.binary(max_size=8) | st.sampled_from(GOOD + BAD[:-1]), max_size=6))
def test_the_batch_check_agrees_with_the_check_of_each(values: list[bytes]) -> None:
    bad = find_bad(values)
    try:
        check(values)
    except ConversionError:
        assert bad
    else:
        assert not bad


@given(st.binary(max_size=12))
def test_msgspec_and_the_library_agree_on_what_is_json(value: bytes) -> None:
    def refuse(name: str) -> object:
        raise ValueError(name)

    try:
        json.loads(value.decode(), parse_constant=refuse)
    except (ValueError, RecursionError):
        assert find_bad([value])
    else:
        assert not find_bad([value])


def test_lines_keep_the_bytes_but_for_raw_line_ends() -> None:
    assert lines([b'{"b":1.0, "a" : 2}']) == [b'{"b":1.0, "a" : 2}']
    assert lines([b'{"a":\r\n 1}', b"2"]) == [b'{"a":   1}', b"2"]


def test_an_integer_of_any_size_keeps_its_digits() -> None:
    digits = b"9" * 5_000
    check([digits])
    decoder = FieldDecoder([("a",)])
    [found] = decoder.columns([b'{"a":%s}' % digits], walk)[("a",)]
    assert str(found) == digits.decode()
    check([b'["\\ud800",%s]' % digits])


@pytest.mark.parametrize("path", [("a",), ("b",), ("a", "0")])
def test_what_passes_the_check_can_be_read_however_deep_it_is_nested(path: tuple[str]) -> None:
    documents = [b'{"a":%s%s}' % (b"[" * depth, b"]" * depth) for depth in range(900, 1_010)]
    bad = {index for index, _ in find_bad([*documents, b"5"])}
    good = [document for index, document in enumerate(documents) if index not in bad]
    assert 0 < len(good) < len(documents)
    assert len(FieldDecoder([path]).columns([*good, b"5"], walk)[path]) == len(good) + 1


def test_a_number_that_no_double_holds_keeps_its_digits() -> None:
    assert decode(b"[1e400, -1e400, 1e308]") == [Decimal("1e400"), Decimal("-1e400"), 1e308]
    beyond = b'{"a": 1, "b": 1e' + b"9" * 30 + b"}"
    check([beyond])
    with pytest.raises(ConversionError, match="exponent"):
        decode(beyond)


def test_what_stands_beside_a_document_does_not_change_its_fields() -> None:
    decoder = FieldDecoder([("a",)])
    beyond = b'{"a": 1, "b": 1e' + b"9" * 30 + b"}"
    assert decoder.columns([beyond], walk)["a",] == [1]
    # A text has no fields, and is read in the slow way.
    assert decoder.columns([b'"text"', beyond, None], walk)["a",] == [None, 1, None]


@pytest.mark.parametrize("name", ['a"b', "a\\b", "a\nb", "\x01"])
def test_a_field_is_found_whatever_stands_in_its_name(name: str) -> None:
    decoder = FieldDecoder([(name, "x"), ("c",)])
    document = json.dumps({name: {"x": 1}, "c": 2}).encode()
    values = [document, b"5", None, b'[{"x": 1}]']
    found = decoder.columns(values, walk)
    assert found == {(name, "x"): [1, None, None, None], ("c",): [2, None, None, None]}


def test_fields_come_as_columns() -> None:
    decoder = FieldDecoder([("user", "id"), ("0",), ("a.b",), ("items", "1", "x")])
    values = [b'{"user":{"id":7},"a.b":"dot","items":[1,{"x":2}]}', b"[5]", b"3", None]
    assert decoder.columns(values, walk) == {
        ("user", "id"): [7, None, None, None],
        ("0",): [None, 5, None, None],
        ("a.b",): ["dot", None, None, None],
        ("items", "1", "x"): [2, None, None, None],
    }


def test_strings_and_bytes() -> None:
    assert make_converter("string", {})("é".encode(), "t", ()) == "é"
    assert make_converter("bytes", {})(b"\xff", "t", ()) == b"\xff"
    assert make_converter("string", {})(None, "t", ()) is None
    with pytest.raises(ConversionError, match=r"not UTF-8: invalid start byte at byte 1"):
        make_converter("string", {})(b"a\xff", "t", ())


class Upper:
    """A converter of a user."""

    def __init__(self, options: dict[str, object]) -> None:
        self.options = options

    def __call__(self, data: bytes, topic: str, headers: object) -> object:
        return {"text": data.decode().upper(), "amount": Decimal("1.10"), **self.options}


def test_a_class_of_the_user_converts_and_its_errors_are_the_records() -> None:
    convert = make_converter(f"{__name__}:Upper", {"x": 1})
    assert convert(b"abc", "t", ()) == {"text": "ABC", "amount": Decimal("1.10"), "x": 1}
    with pytest.raises(ConversionError, match=r"Upper: UnicodeDecodeError"):
        convert(b"\xff", "t", ())


@pytest.mark.parametrize(
    "name", ["nonsense", "no.such.module:Class", f"{__name__}:Absent", f"{__name__}:GOOD"]
)
def test_what_is_no_converter_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"converter|cannot load"):
        make_converter(name, {})
