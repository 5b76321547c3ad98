"""Avro: logical types, unions, references and recursion, framed and not; what is no datum."""

import json
from collections.abc import Mapping
from datetime import UTC, date, datetime, time
from decimal import Decimal
from io import BytesIO
from pathlib import Path
from typing import Any
from uuid import UUID

import fastavro
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spoolsink.converters import make_converter
from spoolsink.converters.avro import AvroConverter
from spoolsink.converters.avro_schema import compile_avro
from spoolsink.converters.framing import CompiledSchemas
from spoolsink.converters.registry import RegisteredSchema
from spoolsink.converters.schema import SchemaConverter
from spoolsink.errors import ConversionError, SchemaNeeded
from tests.unit.schema_registries import DictRegistry, converted, framed, registered


def datum(schema: object, value: object) -> bytes:
    out = BytesIO()
    fastavro.schemaless_writer(out, fastavro.parse_schema(schema), value)  # type: ignore[arg-type]
    return out.getvalue()


def of_schema(schema: object, tmp_path: Path, **options: object) -> Any:
    path = tmp_path / "value.avsc"
    path.write_text(json.dumps(schema))
    return make_converter("avro", {"schema_file": str(path), **options})


def logical(kind: str, word: str, **more: object) -> dict[str, object]:
    return {"type": kind, "logicalType": word, **more}


MOMENT = datetime(2026, 7, 4, 12, 30, 5, 123000, UTC)

VALUES: list[tuple[object, object, object]] = [
    ("null", None, None),
    ("long", -(2**63), -(2**63)),
    ("bytes", b"\x00\xff", b"\x00\xff"),
    (logical("int", "date"), date(2026, 7, 4), date(2026, 7, 4)),
    (logical("int", "time-millis"), time(1, 2, 3, 4000), time(1, 2, 3, 4000)),
    (logical("long", "time-micros"), time(1, 2, 3, 4), time(1, 2, 3, 4)),
    (logical("long", "timestamp-millis"), MOMENT, MOMENT),
    (logical("long", "timestamp-micros"), MOMENT, MOMENT),
    (
        logical("long", "local-timestamp-millis"),
        MOMENT.replace(tzinfo=None),
        MOMENT.replace(tzinfo=None),
    ),
    (logical("long", "timestamp-nanos"), 1_783_168_205_123_456_789, 1_783_168_205_123_456_789),
    (logical("bytes", "decimal", precision=9, scale=2), Decimal("-12.50"), Decimal("-12.50")),
    (
        logical("fixed", "decimal", precision=9, scale=2, size=4, name="d"),
        Decimal("12.50"),
        Decimal("12.50"),
    ),
    # The specification: a logical type that is not valid is ignored.
    (logical("bytes", "decimal", precision=0), b"\x01", b"\x01"),
    (
        logical("string", "uuid"),
        "0f8fad5b-d9cb-469f-a165-70867728950e",
        "0f8fad5b-d9cb-469f-a165-70867728950e",
    ),
    (logical("string", "uuid"), "no uuid", "no uuid"),
    (
        logical("fixed", "uuid", size=16, name="u"),
        UUID("0f8fad5b-d9cb-469f-a165-70867728950e").bytes,
        "0f8fad5b-d9cb-469f-a165-70867728950e",
    ),
    ({"type": "enum", "name": "E", "symbols": ["A", "B"]}, "B", "B"),
    ({"type": "fixed", "name": "F", "size": 2}, b"\x01\x02", b"\x01\x02"),
    ({"type": "map", "values": ["null", "int"]}, {"a": 1, "b": None}, {"a": 1, "b": None}),
    ({"type": "array", "items": ["string", "double"]}, ["a", 1.5], ["a", 1.5]),
]


@pytest.mark.parametrize(("schema", "value", "expected"), VALUES, ids=lambda v: str(v)[:40])
def test_a_value_comes_out_as_plain_data(
    schema: object, value: object, expected: object, tmp_path: Path
) -> None:
    if isinstance(schema, dict) and schema.get("logicalType") == "uuid" and value == "no uuid":
        encoded = datum("string", value)
    else:
        encoded = datum(schema, value)
    got = of_schema(schema, tmp_path)(encoded, "t", ())
    assert got == expected
    assert type(got) is type(expected)


NODE = {
    "type": "record",
    "name": "Node",
    "namespace": "tree",
    "fields": [{"name": "id", "type": "int"}, {"name": "next", "type": ["null", "Node"]}],
}


def test_records_nest_in_themselves(tmp_path: Path) -> None:
    value = {"id": 1, "next": {"id": 2, "next": None}}
    assert of_schema(NODE, tmp_path)(datum(NODE, value), "t", ()) == value


def test_a_million_levels_are_an_error_of_the_record(tmp_path: Path) -> None:
    convert = of_schema(NODE, tmp_path)
    with pytest.raises(ConversionError, match=r"RecursionError"):
        convert(b"\x02\x02" * 1_000_000 + b"\x02\x00", "t", ())


@pytest.mark.parametrize(
    "items",
    [
        "null",
        {"type": "record", "name": "Nothing", "fields": []},
        {"type": "fixed", "name": "None", "size": 0},
        {
            "type": "record",
            "name": "Outer",
            "fields": [
                {"name": "a", "type": {"type": "record", "name": "Inner", "fields": []}},
                {"name": "b", "type": "Inner"},
            ],
        },
    ],
    ids=lambda items: str(items)[:30],
)
def test_arrays_of_nothing_are_refused_before_they_fill_the_memory(
    items: object, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=r"items that take no bytes"):
        of_schema({"type": "array", "items": items}, tmp_path)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "EOFError"),
        (b"\x02\x00\x00", "1 bytes are left over"),
        (b"\x02\x08", "IndexError"),
    ],
)
def test_what_is_no_datum_is_an_error_of_the_record(
    data: bytes, reason: str, tmp_path: Path
) -> None:
    with pytest.raises(ConversionError, match=f"not a datum of its schema: .*{reason}"):
        of_schema(NODE, tmp_path)(data, "t", ())


def test_a_timestamp_out_of_range_is_an_error_of_the_record(tmp_path: Path) -> None:
    convert = of_schema(logical("long", "timestamp-millis"), tmp_path)
    with pytest.raises(ConversionError, match=r"OverflowError"):
        convert(datum("long", 2**62), "t", ())


def test_a_decimal_keeps_digits_beyond_its_precision(tmp_path: Path) -> None:
    convert = of_schema(logical("bytes", "decimal", precision=3, scale=1), tmp_path)
    number = 1_234_567_890_123_456_789_012_345_678_901_234_567_890
    found = convert(datum("bytes", number.to_bytes(20, "big", signed=True)), "t", ())
    assert found == Decimal("123456789012345678901234567890123456789.0")


def test_an_endless_decimal_is_an_error_of_the_record(tmp_path: Path) -> None:
    convert = of_schema(logical("bytes", "decimal", precision=3, scale=1), tmp_path)
    with pytest.raises(ConversionError, match=r"an integer of 1025 bytes is out of range"):
        convert(datum("bytes", b"\x01" * 1025), "t", ())


def test_null_values_are_not_converted(tmp_path: Path) -> None:
    convert = of_schema(NODE, tmp_path)
    assert convert(None, "t", ()) is None
    assert convert.convert_with_schema(None, "t", ()) == (None, None)


def test_a_schema_id_is_passed_over_when_a_file_says_the_schema(tmp_path: Path) -> None:
    convert = of_schema("string", tmp_path, framed=True)
    assert convert(framed(77, datum("string", "a")), "t", ()) == "a"
    with pytest.raises(ConversionError, match=r"begins with byte 2, not with the 0"):
        convert(datum("string", "a") + b"1234", "t", ())
    with pytest.raises(ConversionError, match=r"4 bytes are too few for a schema id"):
        convert(b"\x00123", "t", ())


ADDRESS = {"type": "record", "name": "geo.Address", "fields": [{"name": "city", "type": "string"}]}
PERSON = {
    "type": "record",
    "name": "Person",
    "namespace": "people",
    "doc": "kept",
    "fields": [
        {"name": "home", "type": "geo.Address"},
        {"name": "work", "type": ["null", "geo.Address"], "default": None},
    ],
}


async def test_the_registry_is_asked_once_for_each_id() -> None:
    registry = DictRegistry(
        {5: registered("AVRO", json.dumps(PERSON), geo_Address=json.dumps(ADDRESS))}
    )
    convert = AvroConverter.of_registry(registry)
    whole = datum([ADDRESS, PERSON], ("people.Person", {"home": {"city": "Ulm"}, "work": None}))
    data = framed(5, whole[1:])  # without the number of the union's branch
    with pytest.raises(SchemaNeeded) as needed:
        convert(data, "t", ())
    assert needed.value.schema_id == 5
    await needed.value.fetch()
    for _ in range(3):
        assert convert(data, "t", ()) == {"home": {"city": "Ulm"}, "work": None}
    assert registry.asked == [5]


async def test_the_writer_schema_stands_for_itself() -> None:
    compiled = compile_avro(json.dumps(PERSON), [json.dumps(ADDRESS)])
    tree = json.loads(compiled.writer.text)
    assert tree["doc"] == "kept"
    assert tree["fields"][0]["type"]["name"] == "geo.Address"
    assert tree["fields"][1] == {"default": None, "name": "work", "type": ["null", "geo.Address"]}
    value = {"home": {"city": "Ulm"}, "work": {"city": "Bonn"}}
    assert compiled.read(BytesIO(datum(tree, value))) == value


def test_binary_ids_are_text_in_values_and_in_the_writer_schema() -> None:
    binary = logical("fixed", "uuid", size=16, name="Id")
    fields = [{"name": "a", "type": binary}, {"name": "b", "type": ["null", "Id"]}]
    compiled = compile_avro(json.dumps({"type": "record", "name": "R", "fields": fields}))
    tree, data = json.loads(compiled.writer.text), bytes(range(16))
    value: Any = compiled.read(BytesIO(data + b"\x02" + data))
    assert value == {"a": str(UUID(bytes=data)), "b": str(UUID(bytes=data))}
    assert datum(tree, value) == datum("string", value["a"]) + b"\x02" + datum("string", value["b"])


def test_equal_schemas_have_equal_fingerprints_whatever_their_spelling() -> None:
    spelled = '{ "fields" : [], "name":"B", "namespace":"a", "type":"record" }'
    other = '{"type":"record","name":"a.B","fields":[]}'
    assert compile_avro(spelled).writer == compile_avro(other).writer
    different = compile_avro('{"type":"record","name":"a.C","fields":[]}').writer
    assert different.fingerprint != compile_avro(other).writer.fingerprint
    assert len(different.fingerprint) == 16


async def test_an_unknown_id_is_an_error_of_the_record() -> None:
    convert = AvroConverter.of_registry(DictRegistry({}))
    with pytest.raises(ConversionError, match=r"schema id 9 is not in the registry"):
        await converted(convert, framed(9, b"x"))


@pytest.mark.parametrize(
    ("kind", "text", "reason"),
    [
        ("JSON", "{}", "schema id 9 is JSON, not AVRO"),
        ("AVRO", "{", "schema id 9: no Avro schema: JSONDecodeError"),
        ("AVRO", '"absent.Type"', "schema id 9: no Avro schema: UnknownType"),
        ("AVRO", "[" * 100_000, "schema id 9: no Avro schema: nested too deeply"),
        ("AVRO", '{"type":"array","items":"null"}', "schema id 9: arrays of items"),
    ],
    ids=lambda text: text[:20],
)
async def test_a_schema_that_cannot_be_used_costs_its_records_and_is_not_asked_again(
    kind: str, text: str, reason: str
) -> None:
    registry = DictRegistry({9: registered(kind, text)})
    convert = AvroConverter.of_registry(registry)
    for _ in range(2):
        with pytest.raises(ConversionError, match=reason):
            await converted(convert, framed(9, b"x"))
    assert registry.asked == [9]


async def test_schemas_in_memory_are_bounded() -> None:
    registry = DictRegistry({number: registered("AVRO", '"int"') for number in range(4)})
    schemas: CompiledSchemas[str] = CompiledSchemas(registry, "AVRO", _text, capacity=2)
    for number in (0, 1, 0, 2, 0, 1):
        try:
            schemas.of(number)
        except SchemaNeeded as needed:
            await needed.fetch()
    assert registry.asked == [0, 1, 2, 1]


async def _text(schema: RegisteredSchema) -> str:
    return schema.text


def test_an_avro_converter_is_a_schema_converter(tmp_path: Path) -> None:
    assert isinstance(of_schema("string", tmp_path), SchemaConverter)


RECORDS = st.fixed_dictionaries(
    {
        "a": st.none() | st.text() | st.integers(-(2**63), 2**63 - 1),
        "b": st.lists(st.binary(max_size=5), max_size=3),
        "c": st.dictionaries(st.text(max_size=3), st.booleans(), max_size=3),
        "d": st.decimals(-999, 999, places=2),
        "e": st.datetimes(datetime(1970, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001 (hypothesis adds the zone)
    }
)
RECORD = {
    "type": "record",
    "name": "R",
    "fields": [
        {"name": "a", "type": ["null", "string", "long"]},
        {"name": "b", "type": {"type": "array", "items": "bytes"}},
        {"name": "c", "type": {"type": "map", "values": "boolean"}},
        {"name": "d", "type": logical("bytes", "decimal", precision=5, scale=2)},
        {"name": "e", "type": logical("long", "timestamp-micros")},
    ],
}
COMPILED = compile_avro(json.dumps(RECORD))


@given(RECORDS)
def test_what_was_written_is_read(value: Mapping[str, object]) -> None:
    assert COMPILED.read(BytesIO(datum(RECORD, value))) == value
