"""JSON values: checked against RFC 8259, kept as the producer wrote them.

msgspec checks and decodes at C speed. Where it is stricter than the RFC (lone surrogates in
escapes, floats out of range) the standard library decides, so that it only ever costs time.
"""

import json
import math
import re
from collections.abc import Callable, Sequence
from decimal import Decimal, InvalidOperation
from operator import attrgetter
from typing import Self

import msgspec

from spoolsink.errors import ConversionError
from spoolsink.layout_template import Path
from spoolsink.records import Headers

_SKIM = msgspec.json.Decoder(msgspec.Raw)
_DECODE = msgspec.json.Decoder()
_LINE_ENDS = re.compile(rb"[\r\n]")
_NOT_IN_STRUCTS = re.compile(r"""[\x00-\x1f"\\]""")
"""Names with such characters msgspec refuses for a struct's fields."""

_SPARE_FRAMES = 32
"""Checked this much deeper in the stack than where fields are read: nesting counts frames, and
what passes the check must not fail there."""

_INT_DIGITS = 4300
"""Python reads no longer texts as an int, since that takes time by the square of their length."""


class WrittenFloat(float):
    """A number of a document that also knows its text: a double has 16 digits of it."""

    __slots__ = ("text",)
    text: str

    def __new__(cls, text: str) -> Self:
        """Of JSON's grammar; raises msgspec.DecodeError for what no double can hold."""
        found = super().__new__(cls, text)
        if math.isinf(found):
            raise msgspec.DecodeError("out of range")
        found.text = text
        return found


_DECODE_WRITTEN = msgspec.json.Decoder(float_hook=WrittenFloat)


def decode(data: bytes, *, keeps_digits: bool = False) -> object:
    """One document as plain data; raises ConversionError.

    `keeps_digits`: its numbers with a point or an exponent are `WrittenFloat`s.
    """
    try:
        return (_DECODE_WRITTEN if keeps_digits else _DECODE).decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _decode_slowly(data, _written_number if keeps_digits else _number)


def check(values: Sequence[bytes], *, is_ascii: bool = False) -> None:
    """All values are JSON documents; raises ConversionError without saying which is not.

    `is_ascii`: they are known to be, and not looked at as UTF-8.
    """
    _check(values, _SPARE_FRAMES, is_ascii=is_ascii)


def _check(values: Sequence[bytes], frames: int, *, is_ascii: bool = False) -> None:
    if frames:
        _check(values, frames - 1, is_ascii=is_ascii)
        return
    try:
        for _ in map(_SKIM.decode, values):
            pass
    except (msgspec.DecodeError, RecursionError):
        for value in values:
            # Numbers of any size are JSON, also those that nothing here could hold.
            _decode_slowly(value, number=float)
    if is_ascii:
        return
    # A document begins and ends with ASCII, so no UTF-8 sequence can run over a boundary.
    try:
        b"".join(values).decode()
    except UnicodeDecodeError as error:
        raise ConversionError(f"not UTF-8: {error.reason}") from error


def find_bad(values: Sequence[bytes | None]) -> list[tuple[int, ConversionError]]:
    """Index and error of every value that is no JSON document (None is a tombstone, and fine)."""
    found = []
    for index, value in enumerate(values):
        try:
            if value is not None:
                # Not by way of `check`: a frame more or less, and the answers would differ.
                _check([value], _SPARE_FRAMES)
        except ConversionError as error:
            found.append((index, error))
    return found


def lines(values: Sequence[bytes]) -> list[bytes]:
    """Checked documents, each on one line: raw line ends can only stand between tokens."""
    joined = b"".join(values)
    if b"\n" not in joined and b"\r" not in joined:
        return list(values)
    return [_LINE_ENDS.sub(b" ", value) for value in values]


class FieldDecoder:
    """A column for each of a few fields, decoding nothing else of the documents."""

    def __init__(self, paths: Sequence[Path], *, keeps_digits: bool = False) -> None:
        """`keeps_digits` as in `decode`."""
        self._paths = paths
        self._keeps_digits = keeps_digits
        names = list(dict.fromkeys(path[0] for path in paths))
        attributes = {name: f"f{index}" for index, name in enumerate(names)}
        self._is_whole = any(map(_NOT_IN_STRUCTS.search, names))
        renamed = {attribute: name for name, attribute in attributes.items()}
        self._struct = msgspec.defstruct(
            "Fields",
            [(attribute, object, None) for attribute in attributes.values()],
            rename=None if self._is_whole else renamed,
        )
        hook = WrittenFloat if keeps_digits else None
        self._decoder = msgspec.json.Decoder(self._struct, float_hook=hook)
        self._tops: dict[str, Callable[[object], object]] = {
            name: attrgetter(attribute) for name, attribute in attributes.items()
        }

    def columns(
        self, values: Sequence[bytes | None], walk: Callable[[object, Path], object]
    ) -> dict[Path, list[object]]:
        """Each field of each document; None where it is absent. Documents are checked before."""
        structs = self._decoded(values)
        columns: dict[Path, list[object]] = {}
        for path in self._paths:
            column = list(map(self._tops[path[0]], structs))
            columns[path] = [walk(top, path[1:]) for top in column] if path[1:] else column
        return columns

    def _decoded(self, values: Sequence[bytes | None]) -> list[object]:
        if self._is_whole:
            return list(map(self._decoded_slowly, values))
        try:
            return list(map(self._decoder.decode, values))  # type: ignore[arg-type]
        except (TypeError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return [self._decoded_one(value) for value in values]

    def _decoded_one(self, value: bytes | None) -> object:
        """Read as alone, so that no answer depends on what stands beside it."""
        try:
            return self._decoder.decode(value)  # type: ignore[arg-type]
        except (TypeError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return self._decoded_slowly(value)

    def _decoded_slowly(self, value: bytes | None) -> object:
        tree = None if value is None else decode(value, keeps_digits=self._keeps_digits)
        if isinstance(tree, list):
            # Items are reached by number, as names of an object would be.
            tree = {str(index): item for index, item in enumerate(tree)}
        found = tree if isinstance(tree, dict) else {}
        fields = zip(self._struct.__struct_fields__, self._tops, strict=True)
        return self._struct(**{attribute: found.get(name) for attribute, name in fields})


class JsonConverter:
    """`value: json` and `key: json`."""

    def __call__(self, data: bytes | None, topic: str, headers: Headers) -> object:  # noqa: ARG002
        """The document as plain data."""
        return None if data is None else decode(data)


def _refuse_constant(name: str) -> object:
    raise ValueError(f"{name} is not JSON")


def _integer(text: str) -> int | Decimal:
    """All digits in either case; a Decimal is read in time by their number."""
    return int(text) if len(text) <= _INT_DIGITS else Decimal(text)


def _number(text: str) -> float | Decimal:
    """What no double can hold keeps its digits, so that nobody takes it for infinite."""
    number = float(text)
    return Decimal(text) if math.isinf(number) else number


def _written_number(text: str) -> WrittenFloat | Decimal:
    number = _number(text)
    return number if isinstance(number, Decimal) else WrittenFloat(text)


def _decode_slowly(data: bytes, number: Callable[[str], object]) -> object:
    try:
        return json.loads(
            data.decode(),
            parse_constant=_refuse_constant,
            parse_int=_integer,
            parse_float=number,
        )
    except UnicodeDecodeError as error:
        raise ConversionError(f"not UTF-8: {error.reason}") from error
    except RecursionError as error:
        raise ConversionError("nested too deeply") from error
    except InvalidOperation as error:
        raise ConversionError("a number with an exponent of more than 18 digits") from error
    except ValueError as error:
        raise ConversionError(f"not JSON: {error}") from error
