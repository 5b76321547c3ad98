"""Every row that was written can be read, and making an object of rows stays within its bounds."""

import io
import threading
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from itertools import groupby
from pathlib import Path
from typing import Any

import duckdb
import fastavro
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from spoolsink.converters.schema import WriterSchema
from spoolsink.errors import FormatError
from spoolsink.formats import Format, avro_container, make_format, parquet_file
from spoolsink.formats.avro_rows import datums
from spoolsink.formats.columns import SCHEMAS, make_column
from spoolsink.layout_template import WHOLE
from spoolsink.records import Batch, TimestampType, TopicPartition
from tests.unit.spools import key_of, labels_of, spool_of

KINDS = ["avro", "parquet"]


def batch_of(count: int, timestamp_ms: int = 0) -> Batch:
    return Batch(
        TopicPartition("t", 0), 0, count, range(count), [timestamp_ms] * count,
        TimestampType.CREATE, [None] * count, [b"x"] * count, None,
    )  # fmt: skip


def record(**fields: object) -> dict[str, Any]:
    named = [{"name": name, "type": kind} for name, kind in fields.items()]
    return {"type": "record", "name": "R", "fields": named}


def rows_of(form: Format, schema: object, values: Sequence[object]) -> list[Any]:
    writer = WriterSchema.of(schema)
    fields: Any = {WHOLE: values, SCHEMAS: [writer] * len(values)}
    return list(form.rows(batch_of(len(values)), {}, fields))


def object_of(form: Format, schema: object, rows: Sequence[bytes]) -> bytes:
    text = form.schema_text(WriterSchema.of(schema).fingerprint)
    return b"".join(form.body(iter([b"".join(rows)]), text, "seed"))


def read_back(kind: str, schema: object, value: object) -> Any:
    """What a reader finds in the object, or the record's error."""
    form = make_format(kind, value="avro")
    [row] = rows_of(form, schema, [value])
    if isinstance(row, FormatError):
        return row.message
    data = object_of(form, schema, [row])
    if kind == "avro":
        return next(fastavro.reader(io.BytesIO(data)))
    return pq.ParquetFile(io.BytesIO(data)).read().to_pylist()[0]


def logical(kind: str, name: str, **more: object) -> dict[str, object]:
    return {"type": kind, "logicalType": name, **more}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("type_", "value", "why"),
    [
        ("int", 2**40, "no int of 32 bits"),
        (["null", "int"], -(2**31) - 1, "no int of 32 bits"),
        ({"type": "array", "items": "int"}, [1, 2**31], "no int of 32 bits"),
        ("float", 1e300, "too large"),
        ("double", Decimal("1e400"), "out of a double's range"),
        (["null", "double"], Decimal("-1e400"), "out of a double's range"),
        ("double", True, "truth value"),
        ("long", 2**70, "too large"),
        ("string", "\ud800", "surrogates"),
        (logical("bytes", "decimal", precision=4, scale=2), Decimal("12345.00"), "precision"),
    ],
)
def test_what_readers_would_refuse_is_an_error_of_its_record(
    kind: str, type_: object, value: object, why: str
) -> None:
    assert why in read_back(kind, record(a=type_), {"a": value})


def test_an_id_that_is_none_is_text_in_parquet_and_an_error_in_avro() -> None:
    schema = record(a=logical("string", "uuid"))
    number = "0f8fad5b-d9cb-469f-a165-70867728950e"
    assert str(read_back("avro", schema, {"a": number})["a"]) == number
    assert read_back("parquet", schema, {"a": number}) == {"a": number}
    assert "is no value of its schema" in read_back("avro", schema, {"a": "x"})
    assert read_back("parquet", schema, {"a": "x"}) == {"a": "x"}


def test_a_union_of_several_types_takes_what_one_of_them_is() -> None:
    schema = record(a=["null", "int", "long", "double", "string"])
    for value in (None, 1, 2**40, 1.5, "x"):
        assert read_back("avro", schema, {"a": value}) == {"a": value}


@pytest.mark.parametrize(
    ("type_", "why"),
    [
        (logical("bytes", "decimal", precision=50), "38"),
        ({"type": "fixed", "name": "F", "size": 0}, "no schema for Parquet"),
        (["null", "int", "string"], "union"),
    ],
)
def test_a_schema_that_parquet_cannot_hold_is_an_error_of_each_record(
    type_: object, why: str
) -> None:
    assert why in read_back("parquet", record(a=type_), {"a": None})


def test_records_without_fields_are_json_text_in_parquet() -> None:
    empty = {"type": "record", "name": "Empty", "fields": []}
    schema = record(a=empty, b=["null", "Empty"], c={"type": "array", "items": "Empty"})
    value: dict[str, object] = {"a": {}, "b": None, "c": [{}]}
    assert read_back("parquet", schema, value) == {"a": "{}", "b": None, "c": ["{}"]}
    assert read_back("parquet", empty, {}) == {"value": "{}"}
    assert read_back("avro", schema, value) == value


def test_names_that_avro_does_not_allow_stay_apart() -> None:
    inner = {"type": "record", "name": "R_a-b", "fields": [{"name": "1", "type": "int"}]}
    schema = record(**{"a-b": inner, "a_b": "int", "a.b": ["null", "R_a-b"]})
    value = {"a-b": {"1": 1}, "a_b": 2, "a.b": {"1": 3}}
    found = read_back("avro", schema, value)
    assert found == {"a_b_2": {"_1": 1}, "a_b": 2, "a_b_3": {"_1": 3}}


@pytest.mark.parametrize("kind", KINDS)
def test_a_time_outside_the_years_of_readers_is_an_error_of_its_record(kind: str) -> None:
    column = make_column("a", "timestamp", "value.a")
    form = make_format(kind, value="cbor", columns=[column])
    east = datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=14)))
    west = datetime(9999, 12, 31, 23, tzinfo=timezone(timedelta(hours=-14)))
    rows = form.rows(batch_of(3), {}, {("a",): [east, west, datetime(1, 1, 1, tzinfo=UTC)]})
    assert [isinstance(row, FormatError) for row in rows] == [True, True, False]
    full = make_format(kind, value="cbor", form="full", columns=[column])
    [row] = full.rows(batch_of(1, timestamp_ms=2**62), {WHOLE: [None]}, {("a",): [None]})
    assert isinstance(row, FormatError)


@pytest.mark.parametrize("kind", KINDS)
def test_a_tombstone_beside_a_union_is_written_in_full_form(kind: str) -> None:
    form = make_format(kind, value="avro", form="full")
    schema = WriterSchema.of(["int"])
    batch = batch_of(1)
    values: Any = {WHOLE: [5], SCHEMAS: [schema]}
    [row] = form.rows(batch, {WHOLE: [None]}, values)
    assert isinstance(row, bytes)


# -- bounds ----------------------------------------------------------------------------------------


def wide(count: int) -> tuple[Format, list[bytes]]:
    kinds = ["long", "string", "double", "timestamp", "boolean"]
    columns = [make_column(f"c{i}", kinds[i % 5], f"value.c{i}") for i in range(50)]
    form = make_format("parquet", value="json", columns=columns)
    examples = [7, "some text", 0.5, 1_700_000_000_000, True]
    fields: Any = {(f"c{i}",): [examples[i % 5]] * count for i in range(50)}
    return form, form.rows(batch_of(count), {}, fields)  # type: ignore[return-value]


def test_a_slice_that_holds_the_interpreter_is_small_whatever_the_chunk(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    form, rows = wide(2_000)
    decoded: list[int] = []
    from_pylist = pa.RecordBatch.from_pylist

    class Watched:
        @staticmethod
        def from_pylist(values: list[object], schema: object) -> object:
            decoded.append(len(values))
            return from_pylist(values, schema=schema)

    monkeypatch.setattr(pa, "RecordBatch", Watched)
    body = b"".join(form.body(iter([b"".join(rows)]), form.schema_text(""), ""))
    assert pq.ParquetFile(io.BytesIO(body)).metadata.num_rows == sum(decoded) == 2_000
    assert max(decoded) <= parquet_file.SLICE_BYTES // (len(rows[0]) - 4)


def test_blocks_of_avro_are_small_whatever_the_chunk() -> None:
    columns = [make_column("a", "string", "value.a")]
    form = make_format("avro", value="json", columns=columns)
    rows: Any = form.rows(batch_of(4_000), {}, {("a",): ["x" * 1_000] * 4_000})
    pieces = list(form.body(iter([b"".join(rows)]), form.schema_text(""), ""))
    assert len(pieces) == 1 + 4
    assert max(map(len, pieces)) <= avro_container.BLOCK_BYTES + 64
    assert sum(1 for _ in fastavro.reader(io.BytesIO(b"".join(pieces)))) == 4_000


def test_datums_are_sliced_whole_and_in_order() -> None:
    rows = b"".join(len(d).to_bytes(4, "little") + d for d in (b"ab", b"", b"c" * 9, b"d"))
    assert list(datums(rows, 3)) == [[b"ab", b""], [b"c" * 9], [b"d"]]
    assert list(datums(b"", 3)) == []


def test_one_row_group_at_a_time_is_gathered_for_all_objects(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(parquet_file, "ROW_GROUP_BYTES", 100_000)
    form, rows = wide(1_000)
    pulled: list[str] = []
    row_groups: list[int] = []

    def chunks(name: str) -> Iterator[bytes]:
        for start in range(0, 1_000, 100):
            pulled.append(name)
            yield b"".join(rows[start : start + 100])

    def convert(name: str) -> None:
        body = b"".join(form.body(chunks(name), form.schema_text(""), ""))
        row_groups.append(pq.read_metadata(io.BytesIO(body)).num_row_groups)

    threads = [threading.Thread(target=convert, args=(str(n),)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(pulled) == 40
    # One that goes on while another has begun would be pulled from in more pieces than it has.
    assert len(list(groupby(pulled))) <= sum(row_groups) < 40


def test_an_object_that_is_given_up_keeps_no_other_from_being_made(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(parquet_file, "ROW_GROUP_BYTES", 10_000)
    form, rows = wide(300)
    given_up = form.body(iter(rows), form.schema_text(""), "")
    next(given_up)

    def damaged() -> Iterator[bytes]:
        yield rows[0]
        raise OSError("torn")

    with pytest.raises(OSError, match="torn"):
        list(form.body(damaged(), form.schema_text(""), ""))
    body = b"".join(form.body(iter(rows), form.schema_text(""), ""))
    assert pq.ParquetFile(io.BytesIO(body)).metadata.num_rows == 300


def test_every_column_has_statistics_an_index_and_no_legacy_name(tmp_path: Path) -> None:
    item = record(x="int", at=logical("long", "timestamp-millis"))
    item["name"] = "Item"
    price = logical("bytes", "decimal", precision=20, scale=3)
    schema = record(
        id="long", price=price, at=logical("long", "timestamp-micros"),
        items={"type": "array", "items": item}, names={"type": "map", "values": "string"},
    )  # fmt: skip
    at = datetime(2026, 1, 31, 12, tzinfo=UTC)
    value = {
        "id": 1, "price": Decimal("1.250"), "at": at,
        "items": [{"x": 1, "at": at}], "names": {"a": "b"},
    }  # fmt: skip
    form = make_format("parquet", value="avro", compression="zstd")
    path = tmp_path / "o.parquet"
    path.write_bytes(object_of(form, schema, rows_of(form, schema, [value, value])))
    file = pq.ParquetFile(path)
    group = file.metadata.row_group(0)
    for index in range(group.num_columns):
        column, leaf = group.column(index), file.schema.column(index)
        assert column.is_stats_set, leaf.path
        assert column.has_offset_index, leaf.path
        assert column.has_column_index, leaf.path
    told = {file.schema.column(i).path: file.schema.column(i) for i in range(group.num_columns)}
    assert set(told) == {
        "id", "price", "at", "items.list.element.x", "items.list.element.at",
        "names.key_value.key", "names.key_value.value",
    }  # fmt: skip
    assert told["price"].physical_type == "FIXED_LEN_BYTE_ARRAY"
    for path_of_time in ("at", "items.list.element.at"):
        text = str(told[path_of_time].logical_type)
        assert told[path_of_time].physical_type == "INT64"
        assert "isAdjustedToUTC=true, timeUnit=microseconds" in text
    assert file.metadata.metadata is None
    found = duckdb.connect().execute(f"select items[1].x, names['a'], price from '{path}'")
    assert found.fetchall() == [(1, "b", Decimal("1.250"))] * 2


async def test_a_thousand_open_s3_partitions_of_fifty_columns_stay_in_the_write_buffer(
    tmp_path: Path,
) -> None:
    write_buffer_bytes = 256 * 1024
    spool = spool_of(tmp_path, write_buffer_bytes=write_buffer_bytes, max_bytes=64 * 1024 * 1024)
    form, rows = wide(1_000)
    peak = 0
    for turn in range(3):
        for number, row in enumerate(rows):
            await spool.append(key_of(number), [turn * 1_000 + number], row)
            peak = max(peak, spool.buffered_bytes)
    assert spool.open_count == 1_000
    assert peak <= write_buffer_bytes < 3 * len(b"".join(rows))
    sealed = await spool.seal(labels_of(map(key_of, range(1_000))))
    # What a segment becomes is made one row group at a time, whenever it is uploaded.
    counts = [
        pq.ParquetFile(
            io.BytesIO(b"".join(form.body(segment.read(), form.schema_text(""), "")))
        ).metadata.num_rows
        for segment in sealed[:20]
    ]
    assert counts == [3] * 20
