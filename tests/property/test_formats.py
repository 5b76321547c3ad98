"""Value → file → value for each format, and by what else its rows could have been made."""

import csv
import io
import json
from base64 import b64decode
from collections.abc import Sequence
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any

import fastavro
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spoolsink.converters.schema import WriterSchema
from spoolsink.errors import FormatError
from spoolsink.formats import Format, make_format
from spoolsink.formats.avro_rows import DatumWriter, schema_of_columns
from spoolsink.formats.columns import SCHEMAS, make_column
from spoolsink.layout_template import WHOLE
from spoolsink.records import Batch, TimestampType, TopicPartition

TEXT = st.text(st.characters(codec="utf-8"), max_size=20)
MOMENT = st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30), timezones=st.just(UTC))  # noqa: DTZ001
DAY = st.dates()
BIG = st.integers(-(2**63), 2**63 - 1)
SMALL = st.integers(-(2**31), 2**31 - 1)
REAL = st.floats(allow_nan=False)
SINGLE = st.floats(allow_nan=False, width=32)
PRICE = st.decimals(-999_999, 999_999, places=3)

COLUMNS: dict[str, st.SearchStrategy[Any]] = {
    "string": TEXT,
    "int": SMALL,
    "long": BIG,
    "float": SINGLE,
    "double": REAL,
    "boolean": st.booleans(),
    "bytes": st.binary(max_size=20),
    "date": DAY,
    "timestamp": MOMENT,
    "decimal(9,3)": PRICE,
    "decimal(38,10)": st.decimals(-(10**27), 10**27, places=10),
}
NAMES = [f"c{index}" for index in range(len(COLUMNS))]
ROW = st.tuples(*(st.none() | strategy for strategy in COLUMNS.values()))


def batch_of(count: int) -> Batch:
    return Batch(
        TopicPartition("t", 0), 0, count, range(count), [1] * count, TimestampType.CREATE,
        [None] * count, [b"x"] * count, None,
    )  # fmt: skip


def columnar(kind: str) -> Format:
    columns = [
        make_column(name, type_, f"value.{name}")
        for name, type_ in zip(NAMES, COLUMNS, strict=True)
    ]
    return make_format(kind, value="json", columns=columns)


def fields_of(rows: Sequence[Sequence[object]]) -> Any:
    return {(name,): [row[index] for row in rows] for index, name in enumerate(NAMES)}


def rows_of(form: Format, rows: Sequence[Sequence[object]]) -> list[bytes]:
    found = form.rows(batch_of(len(rows)), {}, fields_of(rows))
    assert not [row for row in found if isinstance(row, FormatError)]
    return found  # type: ignore[return-value]


def body_of(form: Format, rows: Sequence[bytes], tag: str = "") -> bytes:
    # As two chunks: an object is the same wherever its blocks ended.
    half = len(rows) // 2
    chunks = iter([b"".join(rows[:half]), b"".join(rows[half:])])
    return b"".join(form.body(chunks, form.schema_text(tag), "seed"))


def read(kind: str, body: bytes) -> list[Any]:
    if kind == "avro":
        return list(fastavro.reader(io.BytesIO(body)))
    return pq.ParquetFile(io.BytesIO(body)).read().to_pylist()  # type: ignore[no-any-return]


@pytest.mark.parametrize("kind", ["avro", "parquet"])
@given(rows=st.lists(ROW, min_size=1, max_size=8))
@settings(max_examples=60, deadline=None)
def test_columns_come_back_from_containers(kind: str, rows: list[tuple[object, ...]]) -> None:
    form = columnar(kind)
    found = read(kind, body_of(form, rows_of(form, rows)))
    assert [tuple(row[name] for name in NAMES) for row in found] == rows


@given(row=ROW)
@settings(max_examples=150, deadline=None)
def test_datums_made_by_column_are_those_that_the_library_writes(row: tuple[object, ...]) -> None:
    reader = [make_column(n, t, f"value.{n}") for n, t in zip(NAMES, COLUMNS, strict=True)]
    [datum] = rows_of(columnar("avro"), [row])
    named: Any = dict(zip(NAMES, row, strict=True))
    schema: Any = fastavro.parse_schema(json.loads(schema_of_columns(reader)))
    assert fastavro.schemaless_reader(io.BytesIO(datum[4:]), schema, None) == named
    # Of decimals the library writes a byte more than is needed at powers of two.
    if row[9] is None and row[10] is None:
        assert datum == DatumWriter(schema_of_columns(reader)).row(named)


@given(rows=st.lists(ROW, min_size=1, max_size=8))
@settings(max_examples=60, deadline=None)
def test_texts_and_numbers_come_back_from_csv(rows: list[tuple[object, ...]]) -> None:
    form = columnar("csv")
    text = body_of(form, rows_of(form, rows)).decode()
    found = list(csv.reader(io.StringIO(text, newline=""), strict=True))
    assert [len(cells) for cells in found] == [len(NAMES)] * len(rows)
    for cells, row in zip(found, rows, strict=True):
        for cell, value in zip(cells, row, strict=True):
            assert _from_csv(cell, value) == value


def _from_csv(cell: str, value: object) -> object:
    """The cell read as the value's type."""
    if value is None:
        return None if cell == "" else cell
    if isinstance(value, bool):
        return {"true": True, "false": False}[cell]
    if isinstance(value, bytes):
        return b64decode(cell, validate=True)
    if isinstance(value, datetime | date):
        return type(value).fromisoformat(cell)
    assert isinstance(value, str | int | float | Decimal)
    return type(value)(cell)


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**80), 2**80) | TEXT
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=20,
)  # fmt: skip


@given(values=st.lists(PLAIN, min_size=1, max_size=5), as_it_came=st.booleans())
@settings(max_examples=100, deadline=None)
def test_documents_come_back_from_json_lines(values: list[object], *, as_it_came: bool) -> None:
    form = make_format("jsonl", value="json" if as_it_came else "cbor")
    count = len(values)
    # Indented, so that a document has line ends of its own.
    documents = [json.dumps(value, indent=1).encode() for value in values]
    batch = Batch(
        TopicPartition("t", 0), 0, count, range(count), [1] * count, TimestampType.CREATE,
        [None] * count, documents, None,
    )  # fmt: skip
    rows: Any = form.rows(batch, {}, {WHOLE: values})
    lines = b"".join(form.body(iter(rows), "", "")).split(b"\n")
    assert lines.pop() == b""
    assert [json.loads(line) for line in lines] == values


ITEM = {"type": "record", "name": "Item", "fields": [
    {"name": "x", "type": "int"},
    {"name": "at", "type": ["null", {"type": "long", "logicalType": "timestamp-millis"}]},
]}  # fmt: skip
FIRST: dict[str, Any] = {"type": "record", "name": "Order", "fields": [
    {"name": "id", "type": "long"},
    {"name": "items", "type": {"type": "array", "items": ITEM}},
    {"name": "names", "type": {"type": "map", "values": ["null", "string"]}},
    {"name": "first", "type": ["null", "Item"]},
    {"name": "day", "type": {"type": "int", "logicalType": "date"}},
    {"name": "clock", "type": {"type": "long", "logicalType": "time-micros"}},
    {"name": "kind", "type": {"type": "enum", "name": "Kind", "symbols": ["A", "B"]}},
    {"name": "mark", "type": {"type": "fixed", "name": "Mark", "size": 3}},
    {"name": "price", "type": {
        "type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 3}},
]}  # fmt: skip
SECOND = {**FIRST, "fields": [*FIRST["fields"], {"name": "more", "type": ["null", "double"]}]}
MILLIS = MOMENT.map(lambda t: t.replace(microsecond=t.microsecond // 1000 * 1000))
ITEMS = st.fixed_dictionaries({"x": SMALL, "at": st.none() | MILLIS})
ORDER = {
    "id": BIG, "items": st.lists(ITEMS, max_size=3),
    "names": st.dictionaries(TEXT, st.none() | TEXT, max_size=3), "first": st.none() | ITEMS,
    "day": DAY, "clock": st.times().map(lambda t: time(t.hour, t.minute, t.second, t.microsecond)),
    "kind": st.sampled_from("AB"), "mark": st.binary(min_size=3, max_size=3), "price": PRICE,
}  # fmt: skip
EITHER = st.fixed_dictionaries(ORDER) | st.fixed_dictionaries({**ORDER, "more": st.none() | REAL})


def by_schema(form: Format, values: Sequence[dict[str, Any]]) -> dict[str, list[bytes]]:
    """Rows by the tag of their schema, in order, as an S3 partition's segments get them."""
    first, second = WriterSchema.of(FIRST), WriterSchema.of(SECOND)
    schemas = [second if "more" in value else first for value in values]
    fields: Any = {WHOLE: list(values), SCHEMAS: schemas}
    rows = form.rows(batch_of(len(values)), {}, fields)
    assert form.tags is not None
    found: dict[str, list[bytes]] = {}
    for tag, row in zip(form.tags(fields, len(values)), rows, strict=True):
        assert isinstance(row, bytes)
        found.setdefault(tag, []).append(row)
    return found


@pytest.mark.parametrize("kind", ["avro", "parquet"])
@given(values=st.lists(EITHER, min_size=1, max_size=6))
@settings(max_examples=50, deadline=None)
def test_a_topic_whose_schema_grew_comes_back_by_schema(
    kind: str, values: list[dict[str, Any]]
) -> None:
    form = make_format(kind, value="avro")
    found = {
        tag: read(kind, body_of(form, rows, tag)) for tag, rows in by_schema(form, values).items()
    }
    first, second = (WriterSchema.of(schema).fingerprint for schema in (FIRST, SECOND))
    shown = [_as_parquet(value) if kind == "parquet" else value for value in values]
    assert found.get(first, []) == [value for value in shown if "more" not in value]
    assert found.get(second, []) == [value for value in shown if "more" in value]


def _as_parquet(value: dict[str, Any]) -> dict[str, Any]:
    return {**value, "names": list(value["names"].items())}


@pytest.mark.parametrize("kind", ["avro", "parquet"])
def test_ten_thousand_records_of_alternating_schemas_are_two_objects(kind: str) -> None:
    form = make_format(kind, value="avro")
    order = {
        "id": 0, "items": [], "names": {}, "first": None, "day": date(2026, 1, 31),
        "clock": time(1), "kind": "A", "mark": b"abc", "price": Decimal("1.000"),
    }  # fmt: skip
    more = {"more": 0.5}
    values = [{**order, "id": n, **(more if n % 2 else {})} for n in range(10_000)]
    found = by_schema(form, values)
    assert [len(rows) for rows in found.values()] == [5_000, 5_000]
    ids = [
        [row["id"] for row in read(kind, body_of(form, rows, tag))] for tag, rows in found.items()
    ]
    assert ids == [list(range(0, 10_000, 2)), list(range(1, 10_000, 2))]
