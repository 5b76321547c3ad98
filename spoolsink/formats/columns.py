"""`format.columns`: typed columns out of schemaless records (pure).

A path that leads nowhere is null. What is there and is no value of the column's type is an error of
the record: nothing is cut off, rounded or guessed. Numbers go where no digit of them is lost
(`int` into `long`, `double` or a decimal, `3.0` into `int`); texts are read as dates, times and
decimals, because JSON has no others.
"""

import math
import re
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Context, Decimal, InvalidOperation

from spoolsink.converters.json import WrittenFloat
from spoolsink.errors import FormatError, shown
from spoolsink.layout_template import Path, parse_path
from spoolsink.layout_time import parse_iso
from spoolsink.records import NO_TIMESTAMP, Batch, last_header

SCHEMAS: Path = ("\0", "schemas")
"""Where the schemas of values stand beside their fields; no path of a template has a NUL."""

Fields = Mapping[Path, Sequence[object]]
"""Columns of converted fields by their path."""

_DECIMAL = re.compile(r"decimal\((\d+),\s*(\d+)\)")
_MAX_PRECISION = 38
"""Of Parquet readers, Athena and Hive alike."""
_EXACT = Context(prec=_MAX_PRECISION)
"""The library's own stops at 28 digits."""

_INT_BITS, _LONG_BITS = 31, 63
_FLOAT = struct.Struct("<f")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SHOWN_CHARACTERS = 60
_MISFIT = (TypeError, ValueError, OverflowError, InvalidOperation)
_METADATA = ("topic", "partition", "offset", "timestamp")


@dataclass(frozen=True, slots=True)
class Column:
    """One column; `fit` returns a value of its type, or raises TypeError or ValueError.

    `root` is `value`, `key`, `header` or one of topic, partition, offset, timestamp.
    """

    name: str
    type: str
    root: str
    path: Path
    fit: Callable[[object], object]


def make_column(name: str, kind: str, path: str) -> Column:
    """A column of the configuration; raises ValueError for a type or a path that is none."""
    root, steps = _parsed(path)
    return Column(name, kind, root, steps, fitting(kind))


def _parsed(path: str) -> tuple[str, Path]:
    if path in _METADATA or path == "key":
        return path, ()
    root, dot, rest = path.partition(".")
    if dot and root == "header" and rest:
        return root, (rest.replace("\\.", "."),)
    if dot and root in {"value", "key"}:
        return root, parse_path(rest)
    allowed = "value.PATH | key | key.PATH | header.NAME | topic | partition | offset | timestamp"
    raise ValueError(f"found '{path}'; allowed: {allowed}")


def fitting(kind: str) -> Callable[[object], object]:
    """How values become values of a type; raises ValueError for an unknown type."""
    found = _FITS.get(kind)
    if found is not None:
        return found
    match = _DECIMAL.fullmatch(kind)
    if match and 0 < int(match[1]) <= _MAX_PRECISION and int(match[2]) <= int(match[1]):
        return _decimal_fit(int(match[1]), int(match[2]))
    raise ValueError(f"found '{kind}'; allowed: {' | '.join(_FITS)} | decimal(p,s)")


def precision_and_scale(kind: str) -> tuple[int, int]:
    """Of the type `decimal(p,s)`."""
    match = _DECIMAL.fullmatch(kind)
    if match is None:
        raise RuntimeError(f"{kind} is no decimal")
    return int(match[1]), int(match[2])


class ColumnReader:
    """All columns of a configuration: which fields they want, and their values by record."""

    def __init__(self, columns: Sequence[Column]) -> None:
        self.columns = tuple(columns)

    def paths(self, root: str) -> tuple[Path, ...]:
        """Fields of `value` or `key` that are wanted as columns; the empty path is all of it."""
        return tuple(dict.fromkeys(c.path for c in self.columns if c.root == root))

    def rows(self, batch: Batch, keys: Fields, values: Fields) -> list[list[object] | FormatError]:
        """The columns' values of each record; None is null."""
        columns = self.fitted(batch, keys, values)
        return [_error_of(cells) or list(cells) for cells in zip(*columns, strict=True)]

    def fitted(self, batch: Batch, keys: Fields, values: Fields) -> list[list[object]]:
        """The same by column; a value that does not fit is a FormatError in its place."""
        return [_fitted(column, _raw(column, batch, keys, values)) for column in self.columns]


def _fitted(column: Column, found: Sequence[object]) -> list[object]:
    fit = column.fit
    try:
        return [None if value is None else fit(value) for value in found]
    except _MISFIT:
        return [_fitted_one(column, value) for value in found]


def _fitted_one(column: Column, found: object) -> object:
    try:
        return None if found is None else column.fit(found)
    except _MISFIT:
        text = shown(found, _SHOWN_CHARACTERS)
        return FormatError(f"column {column.name}: found {text}; allowed: {column.type}")


def _raw(
    column: Column,
    batch: Batch,
    keys: Fields,
    values: Fields,
) -> Sequence[object]:
    count = len(batch)
    if column.root == "value":
        return values[column.path]
    if column.root == "key":
        return keys[column.path]
    if column.root == "header":
        return [_header(batch, row, column.path[0]) for row in range(count)]
    if column.root == "offset":
        return batch.offsets
    if column.root == "timestamp":
        return [None if time == NO_TIMESTAMP else time for time in batch.timestamps]
    return [batch.tp.topic if column.root == "topic" else batch.tp.partition] * count


def _header(batch: Batch, row: int, name: str) -> object:
    data = last_header(batch.headers_at(row), name)
    try:
        return None if data is None else data.decode()
    except UnicodeDecodeError:
        return data


def _error_of(cells: Sequence[object]) -> FormatError | None:
    return next((cell for cell in cells if isinstance(cell, FormatError)), None)


def _string(found: object) -> str:
    if not isinstance(found, str):
        raise TypeError("no text")
    found.encode()  # a lone surrogate is no text that could be written
    return found


def _boolean(found: object) -> bool:
    if not isinstance(found, bool):
        raise TypeError("no truth value")
    return found


def _bytes(found: object) -> bytes:
    if not isinstance(found, bytes | bytearray):
        raise TypeError("no bytes")
    return bytes(found)


def _whole(bits: int) -> Callable[[object], int]:
    limit = 1 << bits

    def fit(found: object) -> int:
        if isinstance(found, bool) or not isinstance(found, int | float | Decimal):
            raise TypeError("no number")
        # Asked first: a decimal of a few characters may have a billion digits before its point.
        if isinstance(found, Decimal) and found.adjusted() > bits:
            raise ValueError("out of range")
        number = int(found)
        if number != found or not -limit <= number < limit:
            raise ValueError("out of range")
        return number

    return fit


def _double(found: object) -> float:
    if isinstance(found, bool) or not isinstance(found, int | float | Decimal):
        raise TypeError("no number")
    number = float(found)
    if math.isinf(number) and isinstance(found, Decimal):
        raise ValueError("out of range")
    return number


def _float(found: object) -> float:
    number = _double(found)
    _FLOAT.pack(number)  # OverflowError for what 32 bits would make infinite
    return number


def _date(found: object) -> date:
    if isinstance(found, datetime):
        raise TypeError("a time, not a date")
    if isinstance(found, date):
        return found
    return date.fromisoformat(_string(found))


def _timestamp(found: object) -> datetime:
    if isinstance(found, str):
        found = parse_iso(found)
    if isinstance(found, datetime):
        # OverflowError for what is another year in UTC than readers know.
        return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)
    return _EPOCH + timedelta(milliseconds=_whole(_LONG_BITS)(found))


def _digits(found: float) -> str:
    """As its producer wrote them, where that is known; else those that it prints."""
    return found.text if isinstance(found, WrittenFloat) else repr(found)


def _decimal_fit(precision: int, scale: int) -> Callable[[object], Decimal]:
    quantum = Decimal(1).scaleb(-scale)

    def fit(found: object) -> Decimal:
        if isinstance(found, bool) or not isinstance(found, int | float | Decimal | str):
            raise TypeError("no number")
        number = Decimal(_digits(found) if isinstance(found, float) else found)
        if not number.is_finite() or (number.adjusted() >= precision - scale and number != 0):
            raise ValueError("out of range")
        exact = number.quantize(quantum, context=_EXACT)
        if exact != number:
            raise ValueError("more digits than the scale has")
        return exact

    return fit


_FITS: dict[str, Callable[[object], object]] = {
    "string": _string,
    "int": _whole(_INT_BITS),
    "long": _whole(_LONG_BITS),
    "float": _float,
    "double": _double,
    "boolean": _boolean,
    "bytes": _bytes,
    "date": _date,
    "timestamp": _timestamp,
}
