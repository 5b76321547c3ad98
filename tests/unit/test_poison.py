"""What no producer should send, through every format: an object that reads back, or an error."""

import asyncio
import csv
import io
import json
import random
from collections.abc import Sequence
from typing import Any

import fastavro
import pyarrow.parquet as pq
import pytest

from spoolsink.converters import make_converter
from spoolsink.encoder import Encoded, Encoder, Side
from spoolsink.errors import ConversionError, FormatError, SchemaNeeded
from spoolsink.formats import Format, make_format
from spoolsink.formats.columns import SCHEMAS, make_column
from spoolsink.layout import Layout
from spoolsink.layout_template import WHOLE
from spoolsink.records import Batch, Headers, TimestampType, TopicPartition
from tests.unit.test_converter_mutations import AVRO, AVRO_VALUE, CASES, damaged
from tests.unit.test_converter_mutations import _avro as avro_case

TP = TopicPartition("t", 0)
MIB = 1024 * 1024

POISON: dict[str, bytes] = {
    "empty": b"",
    "not UTF-8": b"\xff\xfe",
    "NUL": b'{"a": "\\u0000", "b": 1}',
    "raw NUL": b"\x00\x00\x00",
    "lone surrogate": b'{"a": "\\ud800"}',
    "path-like": b'{"a": "../../etc/passwd", "b": 2}',
    "1e400": b'{"a": "x", "b": 1e400}',
    "-1e999999999": b'{"a": "x", "b": -1e999999999}',
    "exponent of 30 digits": b'{"b": 1e' + b"9" * 30 + b"}",
    "five thousand digits": b'{"b": ' + b"9" * 5_000 + b"}",
    "deep": b"[" * 100_000 + b"]" * 100_000,
    "deep objects": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "longer than a key": b'{"a": "' + b"x" * 2_000 + b'", "b": 3}',
    "binary": bytes(range(256)) * 256,
    "long list": b'{"a": [' + b",".join([b"1"] * 100_000) + b"]}",
    "many names": json.dumps({f"n{n}": n for n in range(10_000)}).encode(),
    "line ends": b'{"a": "x"\r\n,\n"b": 1}',
    "csv in csv": b'{"a": "x,\\"y\\"\\r\\nz", "b": 1}',
}
COLUMNAR: Any = {
    **AVRO,
    "fields": [
        *AVRO["fields"][1:],
        {"name": "k", "type": ["null", "int"]},
        {"name": "l", "type": "float"},
        {"name": "m", "type": {"type": "long", "logicalType": "timestamp-millis"}},
        {"name": "n", "type": {"type": "long", "logicalType": "time-micros"}},
    ],
}
COLUMNAR_VALUE = {**AVRO_VALUE, "k": -1, "l": 0.5, "m": AVRO_VALUE["e"], "n": AVRO_VALUE["g"]}
GOOD = b'{"a": "good", "b": 4}'
FORMATS = ["jsonl", "text", "bytes", "csv", "avro", "parquet"]
COLUMNS = [make_column("a", "string", "value.a"), make_column("b", "double", "value.b")]


def batch_of(values: Sequence[bytes | None], headers: Sequence[Headers] | None = None) -> Batch:
    count = len(values)
    return Batch(
        TP, 0, count, range(count), [1] * count, TimestampType.CREATE, [b"k"] * count, values,
        headers,
    )  # fmt: skip


def encoded(form: Format, converter: str, batch: Batch) -> Encoded:
    layout = Layout("a={value.a}" if converter == "json" else "")
    encoder = Encoder(
        values=Side(
            converter,
            make_converter(converter, {}),
            paths=(*layout.value_paths, *form.value_paths),
            is_checked=True,
            needs_schemas=form.needs_schemas,
        ),
        keys=Side("bytes", make_converter("bytes", {}), paths=form.key_paths, is_checked=False),
        layout=layout,
        form=form,
        null_values="write",
        needs_times=False,
        key_bytes=lambda _batch, place, _row: len(place.encode()),
    )
    return encoder.encode(batch, 0)


def form_of(kind: str, converter: str, form: str = "value") -> Format:
    columns = COLUMNS if kind in {"csv", "avro", "parquet"} else ()
    return make_format(kind, value=converter, form=form, columns=columns)


def read(kind: str, body: bytes) -> int:
    """Records in the object, each of them read."""
    if kind == "avro":
        return sum(1 for _ in fastavro.reader(io.BytesIO(body)))
    if kind == "parquet":
        return len(pq.ParquetFile(io.BytesIO(body)).read().to_pylist())
    if kind == "csv":
        csv.field_size_limit(64 * MIB)
        return len(list(csv.reader(io.StringIO(body.decode(), newline=""))))
    if kind == "jsonl":
        lines = body.split(b"\n")
        assert lines.pop() == b""
        for line in lines:
            line.decode()
        return len(lines)
    return -1


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("converter", ["json", "string", "bytes", "cbor", "msgpack"])
def test_poison_costs_its_own_record_at_most(kind: str, converter: str) -> None:
    good = GOOD if converter in {"json", "string", "bytes"} else b"\xa0"
    good = b"\x80" if converter == "msgpack" else good
    form = form_of(kind, converter)
    values = [good, *POISON.values(), good]
    found = encoded(form, converter, batch_of(values))
    rejected = {r.offset for r in found.rejected}
    assert {0, len(values) - 1}.isdisjoint(rejected)
    assert set(found.offsets) == set(range(len(values))) - rejected
    body = b"".join(form.body(iter(found.rows), form.schema_text(""), "")) if found.rows else b""
    assert read(kind, body) in {len(found.rows), -1}


def test_what_json_cannot_hold_in_a_column_is_an_error_and_nothing_else_is() -> None:
    found = encoded(form_of("parquet", "json"), "json", batch_of(list(POISON.values())))
    names = list(POISON)
    assert {names[r.offset] for r in found.rejected} == {
        "empty", "not UTF-8", "raw NUL", "lone surrogate", "1e400", "-1e999999999",
        "exponent of 30 digits", "five thousand digits", "deep", "deep objects", "long list",
        "binary", "longer than a key",
    }  # fmt: skip


@pytest.mark.parametrize("kind", ["jsonl", "avro", "parquet"])
def test_ten_thousand_headers_are_written_in_full_form(kind: str) -> None:
    headers: Headers = [(f"h{n}", None if n % 2 else b"\xff") for n in range(10_000)]
    form = form_of(kind, "json", "full")
    found = encoded(form, "json", batch_of([GOOD], [headers]))
    assert not found.rejected
    body = b"".join(form.body(iter(found.rows), form.schema_text(""), ""))
    assert read(kind, body) == 1
    assert b"h9999" in body


@pytest.mark.parametrize("kind", FORMATS)
def test_a_value_of_16_mib_is_written_whole(kind: str) -> None:
    text = b"0123456789abcdef" * MIB
    form = form_of(kind, "json")
    found = encoded(form, "json", batch_of([b'{"big": "' + text + b'", "b": 1}']))
    assert not found.rejected
    body = b"".join(form.body(iter(found.rows), form.schema_text(""), ""))
    assert read(kind, body) in {1, -1}
    assert kind in {"csv", "avro", "parquet"} or text in body


@pytest.mark.parametrize("kind", ["avro", "parquet", "csv"])
def test_a_column_of_16_mib_is_written_whole(kind: str) -> None:
    text = "0123456789abcdef" * MIB
    form = form_of(kind, "json")
    fields: Any = {("a",): [text], ("b",): [None]}
    [row] = form.rows(batch_of([b"x"]), {}, fields)
    assert isinstance(row, bytes)
    body = b"".join(form.body(iter([row]), form.schema_text(""), ""))
    assert text.encode() in body
    assert read(kind, body) == 1


@pytest.mark.parametrize("kind", FORMATS)
def test_an_empty_batch_is_no_row(kind: str) -> None:
    found = encoded(form_of(kind, "json"), "json", batch_of([]))
    assert (list(found.rows), found.rejected) == ([], ())


@pytest.mark.parametrize("kind", ["jsonl", "avro", "parquet"])
@pytest.mark.parametrize(
    "name", ["avro", "avro of columns", "avro that nests", "protobuf", "json in a frame"]
)
def test_what_a_converter_made_of_damaged_bytes_is_written_so_that_it_reads(
    kind: str, name: str
) -> None:
    converter, data = CASES[name]() if name in CASES else avro_case(COLUMNAR, COLUMNAR_VALUE)
    form = make_format(kind, value="in a frame")
    chance = random.Random(name)
    rows: dict[str, list[bytes]] = {}
    for _ in range(1_500):
        found = _converted(converter, damaged(data, chance))
        if found is None:
            continue
        value, schema = found
        fields: Any = {WHOLE: [value], SCHEMAS: [schema]}
        [row] = form.rows(batch_of([b"x"]), {}, fields)
        if not isinstance(row, FormatError):
            tag = form.tags(fields, 1)[0] if form.tags else ""
            rows.setdefault(tag, []).append(row)
    for tag, written in rows.items():
        body = b"".join(form.body(iter([b"".join(written)]), form.schema_text(tag), ""))
        assert read(kind, body) == len(written)
    # Of these two no value has a form in Parquet: one nests in itself, both have unions.
    assert bool(rows) == (kind != "parquet" or name in {"avro of columns", "json in a frame"})


def _converted(converter: Any, data: bytes) -> Any:
    try:
        return converter.convert_with_schema(data, "t", ())
    except ConversionError:
        return None
    except SchemaNeeded as needed:
        asyncio.run(needed.fetch())  # type: ignore[arg-type]
    return _converted(converter, data)
