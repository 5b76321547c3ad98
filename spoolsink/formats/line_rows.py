"""Rows of JSON lines, text and bytes: a batch of checked records to encoded rows (pure).

A row carries its line end, so an object's body is its rows in a row.
"""

from collections.abc import Callable, Sequence
from typing import TypeVar

from spoolsink.converters.json import lines
from spoolsink.errors import FormatError, RecordError
from spoolsink.formats.columns import Fields
from spoolsink.formats.json_text import base64_of, encode
from spoolsink.layout_template import WHOLE
from spoolsink.records import Batch, TimestampType
from spoolsink.rows import RowColumn

Rows = list[bytes | FormatError]
"""Or a `RowColumn`, where no row can be an error."""

T = TypeVar("T")

_TIMESTAMP_TYPES = {TimestampType.CREATE: b"create", TimestampType.LOG_APPEND: b"log_append"}


def json_as_it_came(batch: Batch, keys: Fields, values: Fields) -> RowColumn | Rows:  # noqa: ARG001
    """JSON documents, the producer's own bytes."""
    facts, texts = batch.about_values, batch.values
    if facts.has_nulls:
        texts = [b"null" if value is None else value for value in texts]
    if facts.has_line_ends:
        texts = lines(texts)  # type: ignore[arg-type]
    # As long as they were: a space stands for each line end.
    text_bytes = None if facts.has_nulls else facts.value_bytes
    return RowColumn(texts, b"\n", text_bytes)  # type: ignore[arg-type]


def json_values(batch: Batch, keys: Fields, values: Fields) -> RowColumn | Rows:  # noqa: ARG001
    """Converted values as JSON documents."""
    return [_guarded(_json_row, value) for value in values[WHOLE]]


def _json_row(value: object) -> bytes:
    return encode(value) + b"\n"


def raw_rows(end: bytes) -> Callable[[Batch, Fields, Fields], RowColumn | Rows]:
    """Values as they came, with `end` behind each; nothing for a null value."""

    def rows(batch: Batch, keys: Fields, values: Fields) -> RowColumn | Rows:  # noqa: ARG001
        if not batch.about_values.has_nulls:
            return RowColumn(batch.values, end, batch.value_bytes)  # type: ignore[arg-type]
        return [b"" if value is None else value + end for value in batch.values]

    return rows


def full_rows(
    is_key_json: bool,  # noqa: FBT001
    is_value_json: bool,  # noqa: FBT001
) -> Callable[[Batch, Fields, Fields], RowColumn | Rows]:
    """The envelope: topic, partition, offset, timestamp, timestamp_type, key, headers, value."""

    def rows(batch: Batch, keys: Fields, values: Fields) -> RowColumn | Rows:
        key_texts = _key_texts(batch.keys, keys, is_json=is_key_json)
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


def dead_letter_row(batch: Batch, index: int, error: RecordError) -> bytes:
    """The full form of a record as it came, and what was wrong with it."""
    key, value = batch.keys[index], batch.values[index]
    letter = {
        "topic": batch.tp.topic,
        "partition": batch.tp.partition,
        "offset": batch.offsets[index],
        "timestamp": batch.timestamps[index],
        "timestamp_type": _TIMESTAMP_TYPES[batch.timestamp_type].decode(),
        "key": None if key is None else _text_or_base64(key),
        "headers": [
            {"key": name, "value": None if data is None else _text_or_base64(data)}
            for name, data in batch.headers_at(index)
        ],
        "value": None if value is None else _text_or_base64(value),
        **({"tombstone": True} if value is None else {}),
        "error": {
            "stage": error.stage,
            "class": type(error).__name__,
            # Of a message that quotes the record, with what JSON cannot say in it.
            "message": error.message.encode(errors="backslashreplace").decode(),
        },
    }
    return encode(letter) + b"\n"


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


def _texts(raw: Sequence[bytes | None], column: Fields, *, is_json: bool) -> RowColumn | Rows:
    if is_json:
        return list(lines([b"null" if data is None else data for data in raw]))
    return [
        b"null" if data is None else _guarded(encode, value)
        for data, value in zip(raw, column[WHOLE], strict=True)
    ]


def _key_texts(raw: Sequence[bytes | None], column: Fields, *, is_json: bool) -> RowColumn | Rows:
    """Nothing beside a key says that there is none: the document `null` gets a space in front."""
    if not is_json:
        return _texts(raw, column, is_json=False)
    marked = [b" null" if data is not None and data.strip() == b"null" else data for data in raw]
    return _texts(marked, column, is_json=True)


def _text_or_base64(data: bytes) -> object:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return base64_of(data)


def _guarded(write: Callable[[T], bytes], value: T) -> bytes | FormatError:
    try:
        return write(value)
    except RecordError as error:
        return FormatError(error.message)
