"""Rows of `format.columns` for the containers: Avro datums, made a column at a time (pure).

The same bytes as `avro_rows.DatumWriter` makes by `schema_of_columns` (a test compares them; of
decimals as few as hold the number), in half of the time: nothing is looked up or validated for each
cell, since columns are fitted already. Source: the Avro specification 1.12, "Binary Encoding".
"""

import struct
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import repeat

from spoolsink.errors import FormatError
from spoolsink.formats.columns import ColumnReader, Fields, precision_and_scale
from spoolsink.formats.line_rows import Rows
from spoolsink.records import Batch

_LENGTH = struct.Struct("<I")
_DOUBLE, _FLOAT = struct.Struct("<d").pack, struct.Struct("<f").pack
_NULL, _PRESENT = b"\x00", b"\x02"
"""The branch of `["null", type]`, zigzag: 0 and 1."""

_ONE_BYTE = [bytes([number]) for number in range(0x80)]
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH_DAYS = date(1970, 1, 1).toordinal()
_MICROSECOND = timedelta(microseconds=1)
_SIGN_BITS = 63

Cell = Callable[..., bytes]


def long(number: int) -> bytes:
    """Zigzag, then seven bits a byte, the lowest first."""
    number = (number << 1) ^ (number >> _SIGN_BITS)
    if number < 0x80:  # noqa: PLR2004 (seven bits)
        return _ONE_BYTE[number]
    written = bytearray()
    while number > 0x7F:  # noqa: PLR2004 (seven bits)
        written.append((number & 0x7F) | 0x80)
        number >>= 7
    written.append(number)
    return bytes(written)


def _bytes(data: bytes) -> bytes:
    return long(len(data)) + data


def _string(text: str) -> bytes:
    return _bytes(text.encode())


def _boolean(truth: bool) -> bytes:  # noqa: FBT001 (a cell)
    return b"\x01" if truth else b"\x00"


def _date(day: date) -> bytes:
    return long(day.toordinal() - _EPOCH_DAYS)


def _timestamp(moment: datetime) -> bytes:
    return long((moment - _EPOCH) // _MICROSECOND)


def _decimal(scale: int) -> Cell:
    def cell(number: Decimal) -> bytes:
        # Fitted to the scale already, so these are all its digits.
        sign, digits, exponent = number.as_tuple()
        assert exponent == -scale
        unscaled = int("".join(map(str, digits)))
        unscaled = -unscaled if sign else unscaled
        # As few bytes as hold it with its sign.
        size = ((unscaled if unscaled >= 0 else ~unscaled).bit_length() + 8) // 8
        return _bytes(unscaled.to_bytes(size, signed=True))

    return cell


_CELLS: dict[str, Cell] = {
    "string": _string,
    "int": long,
    "long": long,
    "float": _FLOAT,
    "double": _DOUBLE,
    "boolean": _boolean,
    "bytes": _bytes,
    "date": _date,
    "timestamp": _timestamp,
}


class ColumnRows:
    """One configuration's rows, each a datum behind its length."""

    def __init__(self, reader: ColumnReader) -> None:
        self._reader = reader
        self._cells = [
            _CELLS.get(column.type) or _decimal(precision_and_scale(column.type)[1])
            for column in reader.columns
        ]

    def rows(self, batch: Batch, keys: Fields, values: Fields) -> Rows:
        """Datums; a record with a cell that does not fit is that cell's error."""
        fitted = self._reader.fitted(batch, keys, values)
        written = [_column(cell, found) for cell, found in zip(self._cells, fitted, strict=True)]
        try:
            joined: list[bytes] = list(map(b"".join, zip(*written, strict=True)))
        except TypeError:
            return [_row(cells) for cells in zip(*written, strict=True)]
        return [_LENGTH.pack(len(datum)) + datum for datum in joined]


def _column(cell: Cell, found: Sequence[object]) -> Sequence[bytes | FormatError]:
    if set(map(type, found)) == {type(None)}:
        return list(repeat(_NULL, len(found)))
    return [
        _NULL if value is None else value if isinstance(value, FormatError)
        else _PRESENT + cell(value)
        for value in found
    ]  # fmt: skip


def _row(cells: Sequence[bytes | FormatError]) -> bytes | FormatError:
    datum = bytearray()
    for cell in cells:
        if isinstance(cell, FormatError):
            return cell
        datum += cell
    return _LENGTH.pack(len(datum)) + bytes(datum)
