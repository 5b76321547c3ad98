"""A backed-up record, and the line of the full form that it comes from (pure).

The sink writes one grammar, in one order of fields; it is read as such, because the bytes of keys
and values between the fields must stay what the producer wrote. Anything else is no line of ours.
"""

import json
from base64 import b64decode
from collections.abc import Callable, Mapping
from typing import NamedTuple

from spoolsink.errors import BackupError
from spoolsink.records import Headers

Unpack = Callable[[str], bytes]
"""From the text of a field in JSON to the bytes of the record."""

_NULL = "null"
"""No key; a key that is the document `null` has white space in front."""
_TOMBSTONE = 'null,"tombstone":true'
_SCAN = json.JSONDecoder().raw_decode


class Restored(NamedTuple):
    """One record as it was; `timestamp` in ms, `NO_TIMESTAMP` where it had none.

    `is_log_append`: the log had set the time, not the producer.
    """

    offset: int
    timestamp: int
    is_log_append: bool
    key: bytes | None
    headers: Headers
    value: bytes | None

    @property
    def size_bytes(self) -> int:
        """About what it takes on the wire."""
        headers = sum(len(name) + len(value or b"") for name, value in self.headers)
        return len(self.key or b"") + len(self.value or b"") + headers


def unpacker(converter: str) -> Unpack:
    """How keys or values of a converter (`bytes`, `string`, `json`) are read back."""
    return {"bytes": _of_bytes, "string": _of_string, "json": _of_json}[converter]


def parse_line(line: bytes, unpack_key: Unpack, unpack_value: Unpack) -> Restored:
    """One line without its end; raises BackupError where it is no line of the full form."""
    try:
        text = line.decode()
        at = text.index('"offset":') + len('"offset":')
        offset, at = _number(text, at)
        timestamp, at = _number(text, _after(text, at, ',"timestamp":'))
        kind, at = _SCAN(text, _after(text, at, ',"timestamp_type":'))
        start = _after(text, at, ',"key":')
        _, at = _SCAN(text, _first_token(text, start))
        key = text[start:at]
        headers, at = _SCAN(text, _after(text, at, ',"headers":'))
        value = text[_after(text, at, ',"value":') : -1]
        return Restored(
            offset=offset,
            timestamp=timestamp,
            is_log_append=kind == "log_append",
            key=None if key == _NULL else unpack_key(key),
            headers=[(header["key"], _header(header["value"])) for header in headers],
            value=None if value == _TOMBSTONE else unpack_value(value),
        )
    except (ValueError, LookupError, TypeError, RecursionError) as error:
        raise BackupError(f"no line of the full form: {str(error)[:200]}") from error


def _first_token(text: str, at: int) -> int:
    # A document of a key may begin with white space; the scanner wants its first character.
    while text[at] in " \t":
        at += 1
    return at


def _after(text: str, at: int, field: str) -> int:
    while text[at] in " \t":  # white space behind a key's document
        at += 1
    if not text.startswith(field, at):
        raise ValueError(f"{field} is not where it should be")
    return at + len(field)


def _number(text: str, at: int) -> tuple[int, int]:
    number, end = _SCAN(text, at)
    if type(number) is not int:
        raise ValueError(f"{number!r} is no whole number")
    return number, end


def _of_json(text: str) -> bytes:
    return text.encode()


def _of_string(text: str) -> bytes:
    value = json.loads(text)
    if not isinstance(value, str):
        raise TypeError("no text")
    return value.encode()


def _of_bytes(text: str) -> bytes:
    return _base64(json.loads(text))


def _header(value: object) -> bytes | None:
    if value is None or isinstance(value, str):
        return None if value is None else value.encode()
    if not isinstance(value, Mapping):
        raise TypeError("no header of the full form")
    return _base64(value)


def _base64(value: Mapping[str, str]) -> bytes:
    return b64decode(value["base64"], validate=True)
