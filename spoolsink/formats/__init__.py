"""Formats: a batch of checked records to encoded rows, and rows to the bytes of an object.

Rows are what a segment holds, what `rotate` counts and what digests cover; containers and codecs
are applied on the way up. `rows` answers with a column; a record that cannot be written is a
`FormatError` in it. The libraries of avro and parquet are imported only when they are configured.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from typing import Any

from spoolsink.formats.columns import Column, ColumnReader, Fields
from spoolsink.formats.compression import CONTENT_TYPES, EXTENSIONS, make_compressor
from spoolsink.formats.csv_text import csv_row
from spoolsink.formats.line_rows import Rows, full_rows, json_as_it_came, json_values, raw_rows
from spoolsink.layout_template import WHOLE, Path
from spoolsink.records import Batch
from spoolsink.rows import RowColumn

_TYPES = {
    "jsonl": (".json", "application/x-ndjson"),
    "text": (".txt", "text/plain; charset=utf-8"),
    "bytes": (".bin", "application/octet-stream"),
    "csv": (".csv", "text/csv"),
    "avro": (".avro", "application/avro"),
    "parquet": (".parquet", "application/vnd.apache.parquet"),
}
CONTAINERS = ("avro", "parquet")
"""Their codec is inside, and named by neither extension nor content type."""


@dataclass(frozen=True, slots=True)
class Format:
    """One configured format.

    `rows(batch, keys, values)`: fields by path, those of `key_paths` and `value_paths` (the empty
    path is the whole). A row of `b""` writes nothing. `body(chunks, schema text, seed)` makes an
    object of chunks of whole rows, in a worker thread. `tags` tells rows of different schemas
    apart, None where there is one schema; `schema_text` is the schema behind a tag.
    """

    rows: Callable[[Batch, Fields, Fields], RowColumn | Rows]
    body: Callable[[Iterator[bytes], str, str], Iterator[bytes]]
    extension: str
    content_type: str
    key_paths: tuple[Path, ...] = ()
    value_paths: tuple[Path, ...] = ()
    needs_schemas: bool = False
    tags: Callable[[Fields, int], Sequence[str]] | None = None
    schema_text: Callable[[str], str] = lambda _: ""


def make_format(
    kind: str,
    *,
    value: str,
    key: str = "bytes",
    form: str = "value",
    compression: str = "none",
    level: int | None = None,
    separator: bytes = b"\n",
    extension: str | None = None,
    header: bool = False,
    columns: Sequence[Column] = (),
    whole: str | None = None,
) -> Format:
    """`value` and `key` are the converters' names, `json` for plain JSON text only.

    `whole` is `value` where the full form in a container holds values as they came.

    Raises ValueError where a library is not installed.
    """
    if kind in CONTAINERS:
        full_key = key if form == "full" else None
        codec = (compression, level)
        return _container(kind, (full_key, whole), codec, extension, columns)
    suffix, content_type = _TYPES[kind]
    extension = suffix + EXTENSIONS[compression] if extension is None else extension
    content_type = CONTENT_TYPES.get(compression, content_type)
    first_line = csv_row([column.name for column in columns]) if kind == "csv" and header else b""
    body = partial(_compressed, compression=compression, level=level, first_line=first_line)
    if kind == "csv":
        reader = ColumnReader(columns)
        keys, values = reader.paths("key"), reader.paths("value")
        return Format(_csv_rows(reader), body, extension, content_type, keys, values)
    if kind != "jsonl":
        end = b"\n" if kind == "text" else separator
        return Format(raw_rows(end), body, extension, content_type)
    render = json_as_it_came if value == "json" else json_values
    rows = full_rows(key == "json", value == "json") if form == "full" else render
    keys = (WHOLE,) if form == "full" and key != "json" else ()
    values = (WHOLE,) if value != "json" else ()
    return Format(rows, body, extension, content_type, keys, values)


def _csv_rows(reader: ColumnReader) -> Callable[[Batch, Fields, Fields], RowColumn | Rows]:
    def rows(batch: Batch, keys: Fields, values: Fields) -> RowColumn | Rows:
        found = reader.rows(batch, keys, values)
        return [
            b"" if value is None else csv_row(cells) if isinstance(cells, list) else cells
            for value, cells in zip(batch.values, found, strict=True)
        ]

    return rows


def _compressed(
    chunks: Iterator[bytes],
    _schema: str,
    _seed: str,
    *,
    compression: str,
    level: int | None,
    first_line: bytes,
) -> Iterator[bytes]:
    compressor = make_compressor(compression, level)
    if first_line:
        yield compressor.compress(first_line)
    for chunk in chunks:
        compressed = compressor.compress(chunk)
        if compressed:
            yield compressed
    rest = compressor.flush()
    if rest:
        yield rest


def _container(
    kind: str,
    kinds: tuple[str | None, str | None],
    codec: tuple[str, int | None],
    extension: str | None,
    columns: Sequence[Column],
) -> Format:
    compression, level = codec
    full_key, whole = kinds
    schema_rows, make_writer, body = _libraries(kind, compression, level)
    reader = ColumnReader(columns) if columns else None
    rows = schema_rows.SchemaRows(
        columns=reader, make_writer=make_writer, full_key=full_key, whole=whole
    )
    has_one_schema = reader is not None or whole is not None
    whole_values = () if whole is not None else (WHOLE,)
    keys = reader.paths("key") if reader else ()
    suffix, content_type = _TYPES[kind]
    return Format(
        rows=rows.rows,
        body=body,
        extension=suffix if extension is None else extension,
        content_type=content_type,
        key_paths=keys if full_key in {None, "json"} else (*keys, WHOLE),
        value_paths=reader.paths("value") if reader else whole_values,
        needs_schemas=not has_one_schema,
        tags=None if has_one_schema else rows.tags,
        schema_text=rows.schema_text,
    )


def _libraries(kind: str, compression: str, level: int | None) -> tuple[Any, Any, Any]:
    """The module of the rows, what makes a schema's writer, and the body."""
    try:
        schema_rows = import_module("spoolsink.formats.schema_rows")
        if kind == "avro":
            container = import_module("spoolsink.formats.avro_container")
            writers = import_module("spoolsink.formats.avro_rows")
        else:
            writers = container = import_module("spoolsink.formats.parquet_file")
    except ImportError as error:
        raise ValueError(f"needs a library: pip install 'spoolsink[{kind}]' ({error})") from error
    return schema_rows, writers.make_writer, container.make_body(compression, level)
