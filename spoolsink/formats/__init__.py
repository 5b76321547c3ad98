"""Formats: a batch of checked records to encoded rows, and what an object of them is called.

A row carries its line end, so an object's body is its rows in a row. `rows` answers with a column;
a record that cannot be written is a `FormatError` in it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from spoolsink.converters.json import lines
from spoolsink.errors import FormatError, RecordError
from spoolsink.formats.compression import CONTENT_TYPES, EXTENSIONS
from spoolsink.formats.json_text import base64_of, encode
from spoolsink.records import Batch, TimestampType

Rows = list[bytes | FormatError]
Column = Sequence[object]

T = TypeVar("T")

_TYPES = {
    "jsonl": (".json", "application/x-ndjson"),
    "text": (".txt", "text/plain; charset=utf-8"),
    "bytes": (".bin", "application/octet-stream"),
}
_TIMESTAMP_TYPES = {TimestampType.CREATE: b"create", TimestampType.LOG_APPEND: b"log_append"}


@dataclass(frozen=True, slots=True)
class Format:
    """One configured format.

    `rows(batch, keys, values)`: converted keys are wanted by the full form only, converted values
    only where `needs_values` says so. A value of `b""` is a row that writes nothing.
    """

    rows: Callable[[Batch, Column | None, Column | None], Rows]
    extension: str
    content_type: str
    needs_keys: bool
    needs_values: bool


def make_format(
    kind: str,
    *,
    value: str,
    key: str = "bytes",
    form: str = "value",
    compression: str = "none",
    separator: bytes = b"\n",
    extension: str | None = None,
) -> Format:
    """`value` and `key` are the converters' names; raises ValueError for what is not built."""
    if kind not in _TYPES:
        raise ValueError(f"format {kind!r} is not built yet")
    suffix, content_type = _TYPES[kind]
    if kind == "jsonl":
        render = _json_as_it_came if value == "json" else _json_values
        rows = _full_rows(key == "json", value == "json") if form == "full" else render
    else:
        rows = _raw_rows(b"\n" if kind == "text" else separator)
    return Format(
        rows=rows,
        extension=suffix + EXTENSIONS[compression] if extension is None else extension,
        content_type=CONTENT_TYPES.get(compression, content_type),
        needs_keys=form == "full" and key != "json",
        needs_values=kind == "jsonl" and value != "json",
    )


def _json_as_it_came(batch: Batch, keys: Column | None, values: Column | None) -> Rows:  # noqa: ARG001
    if None not in batch.values:
        return [line + b"\n" for line in lines(batch.values)]  # type: ignore[arg-type]
    texts = lines([b"null" if value is None else value for value in batch.values])
    return [line + b"\n" for line in texts]


def _json_values(batch: Batch, keys: Column | None, values: Column | None) -> Rows:  # noqa: ARG001
    return [_guarded(_json_row, value) for value in _known(values)]


def _json_row(value: object) -> bytes:
    return encode(value) + b"\n"


def _raw_rows(end: bytes) -> Callable[[Batch, Column | None, Column | None], Rows]:
    def rows(batch: Batch, keys: Column | None, values: Column | None) -> Rows:  # noqa: ARG001
        return [b"" if value is None else value + end for value in batch.values]

    return rows


def _full_rows(
    is_key_json: bool,  # noqa: FBT001
    is_value_json: bool,  # noqa: FBT001
) -> Callable[[Batch, Column | None, Column | None], Rows]:
    """The envelope: topic, partition, offset, timestamp, timestamp_type, key, headers, value."""

    def rows(batch: Batch, keys: Column | None, values: Column | None) -> Rows:
        key_texts = _texts(batch.keys, keys, is_json=is_key_json)
        value_texts = _texts(batch.values, values, is_json=is_value_json)
        start = b'{"topic":%s,"partition":%d,"offset":' % (
            encode(batch.tp.topic),
            batch.tp.partition,
        )
        kind = b',"timestamp_type":"%s","key":' % _TIMESTAMP_TYPES[batch.timestamp_type]
        return [
            _guarded(_envelope, (start, kind, batch, index, key_texts[index], value_texts[index]))
            for index in range(len(batch))
        ]

    return rows


def _envelope(
    parts: tuple[bytes, bytes, Batch, int, bytes | FormatError, bytes | FormatError],
) -> bytes:
    start, kind, batch, index, key, value = parts
    for text in (key, value):
        if isinstance(text, FormatError):
            raise text
    headers = [
        {"key": name, "value": None if data is None else _text_or_base64(data)}
        for name, data in batch.headers_at(index)
    ]
    tombstone = b',"tombstone":true' if batch.values[index] is None else b""
    return b'%s%d,"timestamp":%d%s%s,"headers":%s,"value":%s%s}\n' % (
        start, batch.offsets[index], batch.timestamps[index], kind,
        key, encode(headers), value, tombstone,
    )  # fmt: skip


def _texts(raw: Sequence[bytes | None], column: Column | None, *, is_json: bool) -> Rows:
    if is_json:
        return list(lines([b"null" if data is None else data for data in raw]))
    return [
        b"null" if data is None else _guarded(encode, value)
        for data, value in zip(raw, _known(column), strict=True)
    ]


def _text_or_base64(data: bytes) -> object:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return base64_of(data)


def _known(column: Column | None) -> Column:
    if column is None:
        raise RuntimeError("this format needs converted columns")
    return column


def _guarded(write: Callable[[T], bytes], value: T) -> bytes | FormatError:
    try:
        return write(value)
    except RecordError as error:
        return FormatError(error.message)
