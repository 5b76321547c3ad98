"""The registry's client and the converters against a real registry (Apicurio, Confluent's API)."""

import json
from collections.abc import AsyncIterator
from io import BytesIO
from typing import Any

import aiohttp
import fastavro
import pytest

from spoolsink.converters import make_converter
from spoolsink.converters.registry import SchemaRegistry
from spoolsink.errors import RegistryAwayError
from tests.servers.processes import RegistryServer
from tests.unit.schema_registries import converted, framed

UNKNOWN_ID = 2_000_000_000


@pytest.fixture
async def client(registry: RegistryServer) -> AsyncIterator[SchemaRegistry]:
    made = SchemaRegistry(registry.url)
    yield made
    await made.close()


async def register(
    registry: RegistryServer, subject: str, kind: str, text: str, *references: str
) -> int:
    """The schema's id; each reference is a subject of the same name, version 1."""
    body = {
        "schema": text,
        "schemaType": kind,
        "references": [{"name": r, "subject": r, "version": 1} for r in references],
    }
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{registry.url}/subjects/{subject}/versions", json=body) as response,
    ):
        answer = await response.json()
        assert response.status == 200, answer
        return int(answer["id"])


CITY = {"type": "record", "name": "City", "namespace": "geo", "fields": [
    {"name": "name", "type": "string"}]}  # fmt: skip
HOME = {"type": "record", "name": "Home", "namespace": "geo", "fields": [
    {"name": "city", "type": "geo.City"}]}  # fmt: skip
PERSON = {"type": "record", "name": "Person", "fields": [
    {"name": "home", "type": "geo.Home"}, {"name": "born", "type": "geo.City"}]}  # fmt: skip


async def test_avro_with_references_of_references(
    registry: RegistryServer, client: SchemaRegistry
) -> None:
    await register(registry, "geo.City", "AVRO", json.dumps(CITY))
    await register(registry, "geo.Home", "AVRO", json.dumps(HOME), "geo.City")
    number = await register(
        registry, "person-value", "AVRO", json.dumps(PERSON), "geo.Home", "geo.City"
    )
    value = {"home": {"city": {"name": "Ulm"}}, "born": {"name": "Bonn"}}
    convert: Any = make_converter("avro", {}, client)
    found = await converted(convert, framed(number, b"\x06Ulm\x08Bonn"))
    assert found == value
    _, schema = convert.convert_with_schema(framed(number, b"\x06Ulm\x08Bonn"), "t", ())
    out = BytesIO()
    fastavro.schemaless_writer(out, fastavro.parse_schema(json.loads(schema.text)), value)
    assert out.getvalue() == b"\x06Ulm\x08Bonn"


async def test_protobuf_with_an_import_and_nested_messages(
    registry: RegistryServer, client: SchemaRegistry
) -> None:
    city = 'syntax = "proto3"; package geo; message City { string name = 1; }'
    text = """
    syntax = "proto3";
    package people;
    import "geo/city.proto";
    import "google/protobuf/timestamp.proto";
    message First { int32 number = 1; }
    message Person {
      message Pet { string name = 1; }
      geo.City home = 1;
      google.protobuf.Timestamp born = 2;
    }
    """
    await register(registry, "geo%2Fcity.proto", "PROTOBUF", city)
    number = await register(registry, "people-value", "PROTOBUF", text, "geo/city.proto")
    convert: Any = make_converter("protobuf", {}, client)
    person = await converted(convert, framed(number, b"\x0a\x05\x0a\x03Ulm", b"\x02\x02"))
    assert person == {"home": {"name": "Ulm"}, "born": None}
    assert await converted(convert, framed(number, b"\x08\x05", b"\x00")) == {"number": 5}
    pet = await converted(convert, framed(number, b"\x0a\x03Rex", b"\x04\x02\x00"))
    assert pet == {"name": "Rex"}


async def test_json_with_a_schema(registry: RegistryServer, client: SchemaRegistry) -> None:
    text = '{"type": "object", "required": ["a"], "properties": {"a": {"type": "integer"}}}'
    number = await register(registry, "json-value", "JSON", text)
    convert: Any = make_converter("json", {}, client)
    assert await converted(convert, framed(number, b'{"a": 1}')) == {"a": 1}
    _, schema = convert.convert_with_schema(framed(number, b'{"a": 1}'), "t", ())
    assert json.loads(schema.text)["fields"] == [{"name": "a", "type": "long"}]


async def test_the_registrys_no_is_told_from_every_other_404(
    registry: RegistryServer, client: SchemaRegistry
) -> None:
    with pytest.raises(RegistryAwayError, match=r"schema id 2000000000 is not there \(yet\)"):
        await client.fetch(UNKNOWN_ID)
    elsewhere = SchemaRegistry(registry.url + "/no-such-path")
    with pytest.raises(RegistryAwayError, match=r"answers 404"):
        await elsewhere.fetch(UNKNOWN_ID)
    await elsewhere.close()


async def test_a_registry_that_hangs_is_away_until_it_goes_on(registry: RegistryServer) -> None:
    number = await register(registry, "hang-value", "AVRO", '"string"')
    impatient = SchemaRegistry(registry.url, request_seconds=0.3)
    registry.suspend()
    try:
        with pytest.raises(RegistryAwayError, match=r"TimeoutError"):
            await impatient.fetch(number)
    finally:
        registry.resume()
        await impatient.close()
    patient = SchemaRegistry(registry.url)
    found = await patient.fetch(number)
    assert found is not None
    assert found.text == '"string"'
    await patient.close()
