"""Rows of CSV (RFC 4180): null is an empty cell, an empty string is quoted (pure)."""

from base64 import b64encode
from collections.abc import Callable, Sequence
from datetime import date, datetime
from decimal import Decimal
from types import NoneType


def csv_row(cells: Sequence[object]) -> bytes:
    """One line with its end; cells are values of the columns' types."""
    return ",".join([_CELLS[type(cell)](cell) for cell in cells]).encode() + b"\n"


def _quoted(text: str) -> str:
    if text and not any(mark in text for mark in ',"\r\n'):
        return text
    doubled = text.replace('"', '""')
    return f'"{doubled}"'


_CELLS: dict[type, Callable[..., str]] = {
    NoneType: lambda _: "",
    str: _quoted,
    bool: lambda truth: "true" if truth else "false",
    int: str,
    float: repr,
    Decimal: lambda number: f"{number:f}",
    bytes: lambda data: b64encode(data).decode(),
    date: date.isoformat,
    datetime: datetime.isoformat,
}
