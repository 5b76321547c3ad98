"""JSON in a frame or an envelope: the producer's bytes, and the shape that a schema gives."""

import json
from typing import Any

import pytest

from spoolsink.converters import make_converter
from spoolsink.converters.json import JsonConverter
from spoolsink.converters.json_schema import FramedJsonConverter, JsonEnvelopeConverter
from spoolsink.converters.json_shape import derive
from spoolsink.converters.schema import SchemaConverter
from spoolsink.errors import ConversionError, SchemaNeeded
from tests.unit.schema_registries import DictRegistry, converted, framed, registered

DOCUMENT = b'{"a": 1.10,\n "b": "\\ud800"}'
SCHEMA = '{"type": "object", "properties": {"a": {"type": "number"}, "b": {"type": "string"}}}'


async def test_the_document_in_a_frame_keeps_its_bytes() -> None:
    convert = FramedJsonConverter(DictRegistry({3: registered("JSON", SCHEMA)}))
    with pytest.raises(SchemaNeeded):
        convert.document(framed(3, DOCUMENT))
    assert await converted(convert, framed(3, DOCUMENT)) == {"a": 1.1, "b": "\ud800"}
    assert convert.document(framed(3, DOCUMENT)) == DOCUMENT
    _, schema = convert.convert_with_schema(framed(3, DOCUMENT), "t", ())
    assert schema == derive(SCHEMA)


def test_with_a_registry_json_without_a_frame_is_read_too() -> None:
    registry = DictRegistry({})
    convert = FramedJsonConverter(registry)
    assert isinstance(convert, SchemaConverter)
    assert convert(b" [1]", "t", ()) == [1]
    assert convert.convert_with_schema(b"1", "t", ()) == (1, None)
    assert convert(None, "t", ()) is None
    assert registry.asked == []


def test_without_a_registry_the_id_is_passed_over_but_must_be_there() -> None:
    convert: Any = make_converter("json", {"framed": True})
    assert convert(framed(3, b"[1]"), "t", ()) == [1]
    with pytest.raises(ConversionError, match=r"not with the 0 before a schema id"):
        convert(b"[1, 2]", "t", ())


def test_what_make_converter_makes_of_json() -> None:
    registry = DictRegistry({})
    assert type(make_converter("json", {})) is JsonConverter
    assert type(make_converter("json", {"framed": False}, registry)) is JsonConverter
    assert type(make_converter("json", {}, registry)) is FramedJsonConverter
    envelope = make_converter("json", {"schemas_enable": True}, registry)
    assert type(envelope) is JsonEnvelopeConverter
    with pytest.raises(ValueError, match=r"exclude each other"):
        make_converter("json", {"schemas_enable": True, "framed": True})


async def test_a_frame_without_json_in_it_is_an_error_of_the_record() -> None:
    convert = FramedJsonConverter(DictRegistry({3: registered("JSON", SCHEMA)}))
    with pytest.raises(ConversionError, match=r"not JSON"):
        await converted(convert, framed(3, b"{"))


@pytest.mark.parametrize(
    ("kind", "text", "reason"),
    [
        ("AVRO", "{}", "schema id 3 is AVRO, not JSON"),
        ("JSON", "{", "schema id 3: no JSON Schema"),
    ],
)
async def test_a_schema_that_cannot_be_used_costs_its_records(
    kind: str, text: str, reason: str
) -> None:
    convert = FramedJsonConverter(DictRegistry({3: registered(kind, text)}))
    with pytest.raises(ConversionError, match=reason):
        await converted(convert, framed(3, b"{}"))


def test_the_payload_of_an_envelope_keeps_its_bytes() -> None:
    convert = JsonEnvelopeConverter()
    data = b'{"schema": {"type": "struct"}, "payload": {"b": 1.10, "a": 2}}'
    assert convert.document(data) == b'{"b": 1.10, "a": 2}'
    assert convert(data, "t", ()) == {"b": 1.1, "a": 2}
    assert convert(b'{"payload":null,"schema":null}', "t", ()) is None
    assert convert(None, "t", ()) is None


def test_an_envelope_with_lone_surrogates_is_read_as_any_other() -> None:
    data = b'{"schema": null, "payload": {"a": "\\ud800", "n": 12345678901234567890123}}'
    convert = JsonEnvelopeConverter()
    assert convert(data, "t", ()) == {"a": "\ud800", "n": 12345678901234567890123}
    assert json.loads(convert.document(data)) == convert(data, "t", ())


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"{}", "'schema' and 'payload'"),
        (b"[1]", "'schema' and 'payload'"),
        (b'{"payload": 1}', "'schema' and 'payload'"),
        (b'{"schema": null, "payload": 1, "more": 2}', "'schema' and 'payload'"),
        (b"{", "not JSON"),
        (b'{"schema": null, "payload": NaN}', "not JSON"),
        (b'{"schema": null, "payload": "\xff"}', "not UTF-8"),
        (b'{"schema": null, "payload": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "deeply"),
    ],
    ids=lambda v: repr(v[:40]),
)
def test_what_is_no_envelope_is_an_error_of_the_record(data: bytes, reason: str) -> None:
    with pytest.raises(ConversionError, match=reason):
        JsonEnvelopeConverter()(data, "t", ())


def shape(schema: object, **references: object) -> Any:
    texts = [(f"{name}.json", json.dumps(inner)) for name, inner in references.items()]
    return json.loads(derive(json.dumps(schema), texts).text)


JSON = {"type": "string", "logicalType": "json"}


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({"type": "string", "format": "date-time"}, "string"),
        ({"type": "integer"}, "long"),
        ({"type": "number"}, "double"),
        ({"type": "boolean"}, "boolean"),
        ({"type": ["null", "integer"]}, ["null", "long"]),
        ({"oneOf": [{"type": "null"}, {"type": "string"}]}, ["null", "string"]),
        ({"anyOf": [{"type": "string"}, {"type": "integer"}]}, JSON),
        ({"anyOf": [{"type": "null"}, {"type": "string"}, {"type": "integer"}]}, JSON),
        ({"type": ["string", "integer", "null"]}, JSON),
        ({"type": "array", "items": {"type": "integer"}}, {"type": "array", "items": "long"}),
        ({"type": "array", "items": [{"type": "integer"}]}, JSON),
        ({"type": "array"}, JSON),
        (
            {"type": "object", "additionalProperties": {"type": "integer"}},
            {"type": "map", "values": "long"},
        ),
        ({"type": "object"}, JSON),
        ({}, JSON),
        (True, JSON),
        (5, JSON),
        ({"$ref": "#/definitions/absent"}, JSON),
    ],
    ids=str,
)
def test_a_shape_follows_from_a_schema(schema: object, expected: object) -> None:
    assert shape(schema) == expected


def test_properties_are_fields_and_those_not_required_are_nullable() -> None:
    found = shape(
        {
            "type": "object",
            "required": ["first-name"],
            "properties": {
                "first-name": {"type": "string"},
                "age": {"type": "integer"},
                "home": {"type": "object", "properties": {"city": {"type": "string"}}},
            },
        }
    )
    city = {"name": "city", "type": ["null", "string"], "default": None}
    home = {"type": "record", "name": "Record_home", "fields": [city]}
    assert found == {
        "type": "record",
        "name": "Record",
        "fields": [
            {"name": "first-name", "type": "string"},
            {"name": "age", "type": ["null", "long"], "default": None},
            {"name": "home", "type": ["null", home], "default": None},
        ],
    }


def test_references_are_followed_also_into_themselves_and_other_documents() -> None:
    node = {
        "type": "object",
        "required": ["next", "at"],
        "properties": {"next": {"$ref": "#/$defs/a~1b"}, "at": {"$ref": "place.json#/$defs/P"}},
    }
    place = {"$defs": {"P": {"type": "object", "properties": {"x": {"type": "integer"}}}}}
    found = shape({"$ref": "#/$defs/a~1b", "$defs": {"a/b": node}}, place=place)
    assert found["name"] == "a~1b"
    assert found["fields"][0] == {"name": "next", "type": "a~1b"}
    assert found["fields"][1]["type"]["name"] == "P"


def test_a_nullable_record_that_nests_in_itself_is_named_once() -> None:
    node = {"type": ["null", "object"], "properties": {"next": {"$ref": "#"}}}
    assert shape(node) == [
        "null",
        {
            "type": "record",
            "name": "Record",
            "fields": [{"name": "next", "type": ["null", "Record"], "default": None}],
        },
    ]


def test_two_records_never_share_a_name() -> None:
    one = {"type": "object", "properties": {"x": {"type": "integer"}}}
    two = {"type": "object", "properties": {"y": {"type": "integer"}}}
    found = shape(
        {
            "type": "object",
            "required": ["a", "b"],
            "properties": {"a": {"$ref": "#/p/T"}, "b": {"$ref": "#/q/T"}},
            "p": {"T": one},
            "q": {"T": two},
        }
    )
    assert [field["type"]["name"] for field in found["fields"]] == ["T", "T_2"]


def test_a_reference_in_a_circle_ends() -> None:
    found = shape({"$ref": "#/a", "a": {"type": "array", "items": {"$ref": "#/a"}}})
    assert found["type"] == "array"
    assert shape({"$ref": "#"}) == JSON
