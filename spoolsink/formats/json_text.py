"""Plain data as JSON text: what `jsonl` writes for values that are not JSON already."""

import json
import re
from base64 import b64encode
from datetime import date, datetime, time
from decimal import Decimal
from secrets import token_hex

from spoolsink.errors import FormatError


def base64_of(data: bytes) -> dict[str, str]:
    """What stands for bytes in JSON: `{"base64": "..."}`."""
    return {"base64": b64encode(data).decode()}


def encode(value: object) -> bytes:
    """One document without line ends in it.

    Text as a JSON string, bytes as `{"base64": ...}`, dates and times in ISO 8601, decimals as
    numbers with all their digits. Raises FormatError for what JSON cannot say.
    """
    mark = ""

    def stand_in(other: object) -> object:
        nonlocal mark
        if isinstance(other, Decimal):
            # json has no hook for numbers; no text of a producer can be this one by intent.
            mark = mark or token_hex(8)
            return f"{mark}:{_finite(other)}"
        return _plain(other)

    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False, default=stand_in)
        if mark:
            text = re.sub(rf'"{mark}:([^"]+)"', r"\1", text)
        return text.encode()
    except (ValueError, TypeError, RecursionError) as error:
        raise FormatError(f"cannot be written as JSON: {error}") from error


def _finite(value: Decimal) -> Decimal:
    if not value.is_finite():
        raise ValueError(f"{value} is no number of JSON")
    return value


def _plain(value: object) -> object:
    if isinstance(value, bytes | bytearray | memoryview):
        return base64_of(bytes(value))
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} has no form in JSON")
