"""Parquet: rows are decoded a chunk at a time, gathered into row groups, written as they fill.

Readable by duckdb, pyarrow, Spark and Athena: format 2.6, three-level lists, INT64 microseconds
with the UTC flag, decimals as FIXED_LEN_BYTE_ARRAY, statistics and page index, no legacy names.

1. At most one row group is in memory for all objects of a format that are being made, and the
   slice that is being decoded: whoever gathers a row group holds `turn`. Beside that an object
   keeps the pages of its last row group, until they are taken.
2. Decoding holds the interpreter's lock. So one thread decodes at a time (more would gain nothing,
   and the event loop would wait for each of them), and a slice, which is decoded in one call, is
   small. Pages are made and compressed without that lock.
3. Every row that was written can be read: what would not do is refused with its schema, or while
   the row is made. An object that cannot be made would stop its topic partition for ever.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from io import BytesIO
from itertools import chain
from threading import Lock

import fastavro
import pyarrow as pa
import pyarrow.parquet as pq

from spoolsink.errors import FormatError
from spoolsink.formats.avro_rows import DatumWriter, compiled, datums
from spoolsink.formats.avro_trees import without_calendar, without_empty_records

ROW_GROUP_BYTES = 16 * 1024 * 1024
"""Of Arrow's buffers: what a row group takes in memory before it is written."""

SLICE_BYTES = 64 * 1024
"""Of datums that are decoded in one call: some 200 rows of 50 columns, a few ms."""

_MAX_DIGITS = 38
"""Of decimals, for most readers."""

_PRIMITIVES: dict[str, pa.DataType] = {
    "null": pa.string(),  # a column without a type; readers disagree about Parquet's null
    "string": pa.string(),
    "bytes": pa.binary(),
    "int": pa.int32(),
    "long": pa.int64(),
    "float": pa.float32(),
    "double": pa.float64(),
    "boolean": pa.bool_(),
}
_LOGICAL: dict[str, pa.DataType] = {
    "date": pa.date32(),
    "time-millis": pa.time32("ms"),
    "time-micros": pa.time64("us"),
    "timestamp-millis": pa.timestamp("ms", tz="UTC"),  # written as microseconds, as all are
    "timestamp-micros": pa.timestamp("us", tz="UTC"),
    "local-timestamp-millis": pa.timestamp("ms"),
    "local-timestamp-micros": pa.timestamp("us"),
    "uuid": pa.string(),
    "json": pa.string(),
}
_VALUE = "value"
"""The one column of values that are no records."""


def arrow_schema(schema_text: str) -> pa.Schema:
    """Columns of an Avro schema; raises FormatError for what Parquet cannot hold."""
    tree = json.loads(schema_text)
    if isinstance(tree, Mapping) and tree.get("type") == "record":
        return pa.schema(_fields(tree, {}))
    kind, is_nullable = _type_of(tree, {})
    return pa.schema([pa.field(_VALUE, kind, nullable=is_nullable or tree == "null")])


def make_writer(schema_text: str) -> tuple[DatumWriter, str]:
    """For rows of Parquet objects, and their schema; raises FormatError for what it cannot hold."""
    compiled(schema_text)
    text = json.dumps(without_empty_records(json.loads(schema_text)))
    schema = arrow_schema(text)
    try:
        with _writer(BytesIO(), schema, "none", None) as trial:
            trial.write_table(schema.empty_table())
    except (pa.ArrowException, OSError) as error:
        raise FormatError(f"no schema for Parquet: {error}") from error
    return DatumWriter(text, are_ids_checked=False), text


def _fields(record: Mapping[str, object], named: dict[str, pa.DataType | None]) -> list[pa.Field]:
    fields = record["fields"]
    assert isinstance(fields, list)
    found = []
    for field in fields:
        kind, is_nullable = _type_of(field["type"], named)
        found.append(pa.field(field["name"], kind, nullable=is_nullable))
    return found


def _type_of(tree: object, named: dict[str, pa.DataType | None]) -> tuple[pa.DataType, bool]:
    """The type, and whether null is one of its values."""
    if isinstance(tree, list):
        branches = [branch for branch in tree if branch != "null"]
        if len(branches) != 1:
            raise FormatError("a union of several types has no Parquet type")
        return _type_of(branches[0], named)[0], len(branches) < len(tree)
    if isinstance(tree, str):
        if tree in _PRIMITIVES:
            return _PRIMITIVES[tree], tree == "null"
        found = named.get(tree)
        if found is None:
            raise FormatError(f"the type {tree} contains itself: Parquet has no such type")
        return found, False
    assert isinstance(tree, Mapping)
    return _complex(tree, named), False


def _complex(tree: Mapping[str, object], named: dict[str, pa.DataType | None]) -> pa.DataType:
    kind, logical = tree["type"], tree.get("logicalType")
    if logical == "decimal":
        return _decimal(_number(tree["precision"]), _number(tree.get("scale", 0)))
    if logical in _LOGICAL:
        return _LOGICAL[str(logical)]
    if kind == "array":
        item, is_nullable = _type_of(tree["items"], named)
        return pa.list_(pa.field("element", item, nullable=is_nullable))
    if kind == "map":
        value, is_nullable = _type_of(tree["values"], named)
        return pa.map_(pa.string(), pa.field("value", value, nullable=is_nullable))
    if kind in {"record", "enum", "fixed"}:
        return _named(tree, named)
    return _type_of(kind, named)[0]


def _decimal(precision: int, scale: int) -> pa.DataType:
    if precision > _MAX_DIGITS:
        raise FormatError(f"a decimal of {precision} digits: Parquet's readers know {_MAX_DIGITS}")
    return pa.decimal128(precision, scale)


def _named(tree: Mapping[str, object], named: dict[str, pa.DataType | None]) -> pa.DataType:
    name = str(tree["name"])
    full = name if "." in name or "namespace" not in tree else f"{tree['namespace']}.{name}"
    named[name] = named[full] = None  # while it is being read it contains itself
    found: pa.DataType
    if tree["type"] == "record":
        found = pa.struct(_fields(tree, named))
    elif tree["type"] == "fixed":
        found = pa.binary(_number(tree["size"]))
    else:
        found = pa.string()
    named[name] = named[full] = found
    return found


def _number(found: object) -> int:
    assert isinstance(found, int)
    return found


class _Pieces:
    """Where ParquetWriter writes; what it wrote is taken away as it comes."""

    closed = False

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._position = 0

    def write(self, data: object) -> int:
        piece = bytes(memoryview(data))  # type: ignore[arg-type]
        self._pieces.append(piece)
        self._position += len(piece)
        return len(piece)

    def tell(self) -> int:
        return self._position

    def flush(self) -> None:
        """Nothing is held back."""

    def close(self) -> None:
        self.closed = True

    def take(self) -> bytes:
        taken, self._pieces = b"".join(self._pieces), []
        return taken


class ParquetBodies:
    """The bodies of one format; shared by the worker threads of all uploads."""

    def __init__(self, compression: str, level: int | None) -> None:
        self._codec = (compression, level)
        self._turn = Lock()

    def __call__(self, chunks: Iterator[bytes], schema_text: str, _seed: str) -> Iterator[bytes]:
        """The file's bytes, a row group at a time, the footer last; `chunks` are whole rows."""
        schema, decode = arrow_schema(schema_text), _decoder(schema_text)
        pieces = _Pieces()
        slices = chain.from_iterable(datums(chunk, SLICE_BYTES) for chunk in chunks)
        with _writer(pieces, schema, *self._codec) as writer:
            # Never handed out in the middle: who waits for the rest must not hold the turn.
            while self._write_group(writer, map(decode, slices), schema):
                yield pieces.take()
        yield pieces.take()

    def _write_group(
        self, writer: pq.ParquetWriter, batches: Iterator[pa.RecordBatch], schema: pa.Schema
    ) -> bool:
        """Write one row group; False when no row is left."""
        group: list[pa.RecordBatch] = []
        size = 0
        with self._turn:
            for batch in batches:
                group.append(batch)
                size += batch.nbytes
                if size >= ROW_GROUP_BYTES:
                    break
            if group:
                table = pa.Table.from_batches(group, schema)
                writer.write_table(table, row_group_size=max(1, table.num_rows))
        return bool(group)


def make_body(compression: str, level: int | None) -> ParquetBodies:
    """What makes the bodies of one format."""
    return ParquetBodies(compression, level)


def _writer(
    sink: object, schema: pa.Schema, compression: str, level: int | None
) -> pq.ParquetWriter:
    return pq.ParquetWriter(
        sink,
        schema,
        version="2.6",
        compression=compression,
        compression_level=level,
        write_statistics=True,
        write_page_index=True,
        coerce_timestamps="us",
        use_compliant_nested_type=True,
        store_decimal_as_integer=False,
        store_schema=False,
    )


def _decoder(schema_text: str) -> Callable[[Sequence[bytes]], pa.RecordBatch]:
    """From the datums of a slice to a batch of Arrow."""
    tree, schema = json.loads(schema_text), arrow_schema(schema_text)
    datum_schema = compiled(json.dumps(without_calendar(tree)))
    is_record = isinstance(tree, Mapping) and tree.get("type") == "record"

    def decode(found: Sequence[bytes]) -> pa.RecordBatch:
        values = [fastavro.schemaless_reader(BytesIO(datum), datum_schema, None) for datum in found]
        rows = values if is_record else [{_VALUE: value} for value in values]
        return pa.RecordBatch.from_pylist(rows, schema=schema)

    return decode
