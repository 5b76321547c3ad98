"""Avro and Parquet objects, read back with libraries that did not write them."""

import io
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, time
from decimal import Decimal
from pathlib import Path

import duckdb
import fastavro
import pyarrow.parquet as pq
import pytest

from spoolsink.converters.schema import WriterSchema
from spoolsink.errors import FormatError
from spoolsink.formats import Format, make_format
from spoolsink.formats import parquet_file as parquet
from spoolsink.formats.columns import SCHEMAS, Column, make_column
from spoolsink.layout_template import WHOLE
from spoolsink.records import Batch, Headers, TimestampType, TopicPartition

NOON = datetime(2026, 1, 31, 12, 0, 0, 123456, tzinfo=UTC)
COLUMNS = {
    "id": "long",
    "name": "string",
    "day": "date",
    "at": "timestamp",
    "price": "decimal(9,2)",
    "is_new": "boolean",
    "ratio": "double",
    "raw": "bytes",
}
FULL_ROW = {
    "id": 2**40,
    "name": "é",
    "day": date(2026, 1, 31),
    "at": NOON,
    "price": Decimal("12.30"),
    "is_new": True,
    "ratio": 0.5,
    "raw": b"\xff",
}
NULL_ROW = dict.fromkeys(COLUMNS)

SCHEMA = {
    "type": "record",
    "name": "Order",
    "fields": [
        {"name": "id", "type": "long"},
        {"name": "user", "type": {"type": "record", "name": "User", "fields": [
            {"name": "name", "type": ["null", "string"]},
            {"name": "first-name", "type": "string"},
        ]}},
        {"name": "tags", "type": {"type": "array", "items": "string"}},
        {"name": "counts", "type": {"type": "map", "values": "int"}},
        {"name": "state", "type": {"type": "enum", "name": "State", "symbols": ["A", "B"]}},
        {"name": "time", "type": {"type": "long", "logicalType": "time-micros"}},
        {"name": "any", "type": {"type": "string", "logicalType": "json"}},
    ],
}  # fmt: skip
VALUE = {
    "id": 1,
    "user": {"name": None, "first-name": "A"},
    "tags": ["x", "y"],
    "counts": {"a": 1},
    "state": "B",
    "time": time(1, 2, 3),
    "any": {"deep": [1, None]},
}
READ_BACK = {**VALUE, "any": '{"deep": [1, null]}'}


def columns_of(specs: dict[str, str]) -> list[Column]:
    return [make_column(name, kind, f"value.{name}") for name, kind in specs.items()]


def batch_of(
    count: int, *, nulls: Sequence[int] = (), headers: list[Headers] | None = None
) -> Batch:
    return Batch(
        tp=TopicPartition("orders", 3),
        start=7,
        next_offset=7 + count,
        offsets=range(7, 7 + count),
        timestamps=[1_000] * count,
        timestamp_type=TimestampType.CREATE,
        keys=[b"k"] * count,
        values=[None if i in nulls else b"x" for i in range(count)],
        headers=headers,
    )


def rows_of(
    form: Format, batch: Batch, values: dict[object, object], **keys: object
) -> list[bytes]:
    rows = form.rows(batch, {WHOLE: ["k"] * len(batch)}, values)  # type: ignore[arg-type]
    assert not [row for row in rows if isinstance(row, FormatError)]
    return rows  # type: ignore[return-value]


def packed(form: Format, chunks: Iterator[bytes], tag: str = "") -> bytes:
    return b"".join(form.body(chunks, form.schema_text(tag), "xxh128:00"))


def by_columns(kind: str, codec: str = "none") -> tuple[Format, list[bytes]]:
    form = make_format(kind, value="json", compression=codec, columns=columns_of(COLUMNS))
    fields = {(name,): [FULL_ROW[name], None] for name in COLUMNS}
    return form, rows_of(form, batch_of(2), fields)  # type: ignore[arg-type]


@pytest.mark.parametrize("codec", ["none", "deflate", "snappy", "zstd"])
def test_avro_by_columns_is_read_by_fastavro(codec: str) -> None:
    form, rows = by_columns("avro", codec)
    file = packed(form, iter([rows[0], rows[1] + rows[0]]))
    assert list(fastavro.reader(io.BytesIO(file))) == [FULL_ROW, NULL_ROW, FULL_ROW]


@pytest.mark.parametrize("codec", ["none", "snappy", "gzip", "zstd"])
def test_parquet_by_columns_is_read_by_pyarrow_and_duckdb(codec: str, tmp_path: Path) -> None:
    form, rows = by_columns("parquet", codec)
    path = tmp_path / "o.parquet"
    path.write_bytes(packed(form, iter([rows[0], rows[1] + rows[0]])))
    assert pq.read_table(path).to_pylist() == [FULL_ROW, NULL_ROW, FULL_ROW]
    found = duckdb.connect().execute(f"select id, name, day, price, ratio from '{path}'").fetchall()
    assert found[0] == (2**40, "é", date(2026, 1, 31), Decimal("12.30"), 0.5)
    assert found[1] == (None,) * 5


def test_parquet_has_the_types_that_every_reader_knows(tmp_path: Path) -> None:
    form, rows = by_columns("parquet")
    path = tmp_path / "o.parquet"
    path.write_bytes(packed(form, iter(rows)))
    schema = pq.ParquetFile(path).schema
    physical = {schema.column(i).name: schema.column(i).physical_type for i in range(8)}
    assert physical["price"] == "FIXED_LEN_BYTE_ARRAY"
    assert physical["at"] == "INT64"
    assert "isAdjustedToUTC=true, timeUnit=microseconds" in str(schema.column(3).logical_type)
    column = pq.ParquetFile(path).metadata.row_group(0).column(0)
    assert column.statistics.max == 2**40
    assert column.has_offset_index


@pytest.mark.parametrize("kind", ["avro", "parquet"])
def test_each_schema_of_a_topic_has_segments_of_its_own(kind: str, tmp_path: Path) -> None:
    other = {"type": "record", "name": "Other", "fields": [{"name": "x", "type": "int"}]}
    first, second = WriterSchema.of(SCHEMA), WriterSchema.of(other)
    form = make_format(kind, value="avro")
    values = {WHOLE: [VALUE, {"x": 1}, None, VALUE], SCHEMAS: [first, second, None, first]}
    batch = batch_of(4, nulls=[2])
    rows = rows_of(form, batch, values)  # type: ignore[arg-type]
    assert form.tags is not None
    tags = list(form.tags(values, 4))  # type: ignore[arg-type]
    assert tags == [first.fingerprint, second.fingerprint, "null", first.fingerprint]
    file = packed(form, iter([rows[0] + rows[3]]), first.fingerprint)
    assert read(kind, file, tmp_path) == [named(kind, READ_BACK)] * 2
    nulls = packed(form, iter([rows[2]]), "null")
    assert read(kind, nulls, tmp_path) == [{"value": None} if kind == "parquet" else None]


def named(kind: str, value: dict[str, object]) -> dict[str, object]:
    """Avro does not allow every name; Parquet does."""
    if kind == "parquet":
        return {**value, "counts": [("a", 1)]}
    return {**value, "user": {"name": None, "first_name": "A"}}


def read(kind: str, file: bytes, directory: Path) -> list[object]:
    if kind == "avro":
        return list(fastavro.reader(io.BytesIO(file)))
    path = directory / "o.parquet"
    path.write_bytes(file)
    return pq.read_table(path).to_pylist()  # type: ignore[no-any-return]


@pytest.mark.parametrize("kind", ["avro", "parquet"])
def test_the_full_form_has_everything(kind: str, tmp_path: Path) -> None:
    headers: list[Headers] = [[("h", b"x"), ("h", None)], []]
    form = make_format(
        kind, value="json", key="string", form="full", columns=columns_of({"a": "int"})
    )
    rows = rows_of(form, batch_of(2, nulls=[1], headers=headers), {("a",): [5, None]})
    found = read(kind, packed(form, iter(rows)), tmp_path)
    at = datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC)
    common = {"topic": "orders", "partition": 3, "timestamp": at, "timestamp_type": "create"}
    assert found == [
        {**common, "offset": 7, "key": "k", "value": {"a": 5}, "tombstone": False,
         "headers": [{"key": "h", "value": b"x"}, {"key": "h", "value": None}]},
        {**common, "offset": 8, "key": "k", "value": None, "tombstone": True, "headers": []},
    ]  # fmt: skip


def test_a_row_group_is_written_as_it_fills(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet, "ROW_GROUP_BYTES", 10_000)
    form = make_format("parquet", value="json", columns=columns_of({"a": "string"}))
    fields = {("a",): [f"{i:0100}" for i in range(1_000)]}
    rows = rows_of(form, batch_of(1_000), fields)  # type: ignore[arg-type]
    chunks = iter([b"".join(rows[i : i + 50]) for i in range(0, 1_000, 50)])
    pieces = list(form.body(chunks, form.schema_text(""), "s"))
    assert len(pieces) > 5
    table = pq.ParquetFile(io.BytesIO(b"".join(pieces)))
    assert table.num_row_groups > 5
    assert table.read().column("a").to_pylist() == fields["a",]


RECURSIVE = {"type": "record", "name": "N", "fields": [{"name": "next", "type": ["null", "N"]}]}


@pytest.mark.parametrize(
    ("schema", "why"),
    [
        (RECURSIVE, "contains itself"),
        (
            {"type": "record", "name": "U", "fields": [{"name": "u", "type": ["int", "string"]}]},
            "union",
        ),
    ],
)
def test_what_parquet_cannot_hold_is_an_error_of_each_record(schema: object, why: str) -> None:
    form = make_format("parquet", value="avro")
    values: dict[tuple[str, ...], list[object]] = {
        WHOLE: [{}],
        SCHEMAS: [WriterSchema.of(schema)],
    }
    [row] = form.rows(batch_of(1), {}, values)
    assert isinstance(row, FormatError)
    assert why in row.message


@pytest.mark.parametrize("kind", ["avro", "parquet"])
def test_a_value_without_a_schema_is_an_error_of_its_record(kind: str) -> None:
    form = make_format(kind, value="json")
    [row] = form.rows(batch_of(1), {}, {WHOLE: [{"a": 1}], SCHEMAS: [None]})
    assert isinstance(row, FormatError)
    assert row.message == "the value came without a schema: set format.columns"


def test_a_value_that_is_none_of_its_schema_is_an_error_of_its_record() -> None:
    form = make_format("avro", value="avro")
    schema = WriterSchema.of(SCHEMA)
    bad, good = form.rows(batch_of(2), {}, {WHOLE: [{"id": "x"}, VALUE], SCHEMAS: [schema, schema]})
    assert isinstance(bad, FormatError)
    assert isinstance(good, bytes)


def test_csv_has_its_header_once_and_nothing_for_null_values() -> None:
    form = make_format(
        "csv", value="json", header=True, columns=columns_of({"a": "int", "b": "string"})
    )
    rows = rows_of(form, batch_of(2, nulls=[1]), {("a",): [1, None], ("b",): ["x,y", None]})
    assert b"".join(form.body(iter(rows), "", "")) == b'a,b\n1,"x,y"\n'
