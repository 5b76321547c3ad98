"""Parquet: rows are decoded a chunk at a time, gathered into row groups, written as they fill.

Readable by duckdb, pyarrow, Spark and Athena: format 2.6, three-level lists, INT64 microseconds
with the UTC flag, decimals as FIXED_LEN_BYTE_ARRAY, statistics and page index, no legacy names.
At most one row group is in memory, and the chunk that is being decoded.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from io import BytesIO

import fastavro
import pyarrow as pa
import pyarrow.parquet as pq

from spoolsink.errors import FormatError
from spoolsink.formats.avro_rows import compiled, datums

ROW_GROUP_BYTES = 16 * 1024 * 1024
"""Of Arrow's buffers: what a row group takes in memory before it is written."""

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
    "timestamp-millis": pa.timestamp("us", tz="UTC"),
    "timestamp-micros": pa.timestamp("us", tz="UTC"),
    "local-timestamp-millis": pa.timestamp("us"),
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


def check(schema_text: str) -> None:
    """Raises FormatError for a schema that Parquet cannot hold."""
    arrow_schema(schema_text)


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
        return pa.decimal128(_number(tree["precision"]), _number(tree.get("scale", 0)))
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


def body(
    compression: str, level: int | None, chunks: Iterator[bytes], schema_text: str, _seed: str
) -> Iterator[bytes]:
    """The file's bytes, a row group at a time, the footer last; `chunks` are whole rows."""
    schema, datum_schema = arrow_schema(schema_text), compiled(schema_text)
    tree = json.loads(schema_text)
    is_record = isinstance(tree, Mapping) and tree.get("type") == "record"
    pieces = _Pieces()
    with pq.ParquetWriter(
        pieces,
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
    ) as writer:
        group: list[pa.RecordBatch] = []
        size = 0
        for chunk in chunks:
            batch = _batch(chunk, schema, datum_schema, is_record=is_record)
            group.append(batch)
            size += batch.nbytes
            if size >= ROW_GROUP_BYTES:
                _write_group(writer, group, schema)
                group, size = [], 0
                yield pieces.take()
        if group:
            _write_group(writer, group, schema)
    yield pieces.take()


def _batch(
    chunk: bytes, schema: pa.Schema, datum_schema: object, *, is_record: bool
) -> pa.RecordBatch:
    values = [
        fastavro.schemaless_reader(BytesIO(datum), datum_schema, None)  # type: ignore[arg-type]
        for datum in datums(chunk)
    ]
    rows = values if is_record else [{_VALUE: value} for value in values]
    return pa.RecordBatch.from_pylist(rows, schema=schema)


def _write_group(
    writer: pq.ParquetWriter, group: Sequence[pa.RecordBatch], schema: pa.Schema
) -> None:
    table = pa.Table.from_batches(group, schema)
    writer.write_table(table, row_group_size=max(1, table.num_rows))
