"""Limits that plain data must keep, whatever a self-describing format may say."""

from datetime import date, datetime
from decimal import Context, Decimal

from spoolsink.errors import ConversionError

SCALARS = frozenset({str, int, float, bool, type(None), bytes, datetime, date})

MAX_INTEGER_BYTES = 1024
"""Of integers that may be of any size. Python refuses to write out much larger ones, and work on
them grows with the square of their size: half a megabyte takes most of a minute."""

EXACT = Context(prec=4 * MAX_INTEGER_BYTES)
"""Shifts decimals without rounding; the default context keeps 28 digits."""

_MAX_EXPONENT = 6144
"""Of IEEE's decimal128. A larger one would be a short record and an endless number."""


def check_key(key: object) -> None:
    """Keys are text: everything behind a converter names fields by text."""
    if type(key) is not str:
        raise ConversionError(f"a map has a key that is no text: {str(key)[:40]!r}")


def big_integer(data: bytes, *, signed: bool = False) -> int:
    """From big-endian bytes; raises ValueError."""
    if len(data) > MAX_INTEGER_BYTES:
        raise ValueError(f"an integer of {len(data)} bytes is out of range")
    return int.from_bytes(data, signed=signed)


def check_decimal(value: Decimal) -> None:
    """Raises ConversionError for what no format could write out."""
    if value.is_finite() and abs(value.adjusted()) > _MAX_EXPONENT:
        raise ConversionError("a decimal is out of range")
