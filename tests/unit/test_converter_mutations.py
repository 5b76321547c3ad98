"""Ten thousand damaged inputs for each converter: plain data or an error of the record."""

import asyncio
import json
import math
import random
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, time
from decimal import Decimal
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import cbor2
import fastavro
import msgspec
import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorSet

from spoolsink.converters import Converter, make_converter
from spoolsink.converters.avro import AvroConverter
from spoolsink.converters.json_schema import FramedJsonConverter
from spoolsink.converters.protobuf import ProtobufConverter
from spoolsink.errors import ConversionError, SchemaNeeded
from tests.unit.schema_registries import DictRegistry, framed, registered

INPUTS = 10_000
MOMENT = datetime(2026, 7, 4, 12, tzinfo=UTC)

AVRO: Any = {
    "type": "record",
    "name": "R",
    "fields": [
        {"name": "a", "type": ["null", "string", "double"]},
        {"name": "b", "type": {"type": "array", "items": "bytes"}},
        {"name": "c", "type": {"type": "map", "values": "boolean"}},
        {"name": "d", "type": {"type": "bytes", "logicalType": "decimal", "precision": 9}},
        {"name": "e", "type": {"type": "long", "logicalType": "timestamp-micros"}},
        {"name": "f", "type": {"type": "int", "logicalType": "date"}},
        {"name": "g", "type": {"type": "int", "logicalType": "time-millis"}},
        {"name": "h", "type": {"type": "enum", "name": "E", "symbols": ["A", "B"]}},
        {"name": "i", "type": {"type": "fixed", "name": "F", "size": 2}},
        {"name": "j", "type": {"type": "string", "logicalType": "uuid"}},
    ],
}
AVRO_VALUE = {
    "a": "text",
    "b": [b"12", b""],
    "c": {"x": True},
    "d": Decimal(12),
    "e": MOMENT,
    "f": MOMENT.date(),
    "g": time(1, 2, 3),
    "h": "B",
    "i": b"12",
    "j": "0f8fad5b-d9cb-469f-a165-70867728950e",
}
NESTED: Any = {
    "type": "record",
    "name": "N",
    "fields": [{"name": "next", "type": ["null", "N"]}, {"name": "x", "type": "double"}],
}
NESTED_VALUE = {"next": {"next": None, "x": 1.5}, "x": 2.5}
PROTO = """
syntax = "proto3";
import "google/protobuf/any.proto";
import "google/protobuf/duration.proto";
import "google/protobuf/struct.proto";
import "google/protobuf/timestamp.proto";
message M {
  int64 a = 1; string b = 2; map<string, M> c = 3; repeated double d = 4;
  google.protobuf.Timestamp e = 5; google.protobuf.Duration f = 6;
  google.protobuf.Struct g = 7; google.protobuf.Any h = 8;
}
"""
MESSAGE = (
    b"\x08\x96\x01\x12\x04text\x1a\x07\x0a\x01k\x12\x02\x08\x01"
    b"\x22\x08\x00\x00\x00\x00\x00\x00\xf8\x3f\x2a\x04\x08\x05\x10\x06\x32\x04\x08\x05\x10\x06"
    b"\x3a\x0b\x0a\x09\x0a\x01k\x12\x04\x1a\x02ab\x42\x09\x0a\x03x/M\x12\x02\x08\x07"
)
PLAIN = {"a": [1, -(2**40), 1.5, None, True], "b": {"c": "text", "d": b"bytes"}, "e": MOMENT}
CBOR = {**PLAIN, "f": Decimal("1.25"), "g": 2**70, "h": date(2026, 7, 4)}

JSON = b'{"a": [1, -2.5e3, "\\u00e9\\ud83d\\ude00", null, true], "b": {"c": 123456789012345678901}}'
PLAIN_MESSAGE = (
    b"\x08\x96\x01\x12\x04text\x1a\x02\x00\xff\x21" + bytes(8) + b"\x2a\x02\x01\x00\x30\x05"
)

Case = tuple[Converter, bytes]


def _avro(schema: Any, value: object) -> Case:
    registry = DictRegistry({1: registered("AVRO", json.dumps(schema))})
    out = BytesIO()
    fastavro.schemaless_writer(out, fastavro.parse_schema(schema), value)
    return AvroConverter.of_registry(registry), framed(1, out.getvalue())


def _protobuf() -> Case:
    registry = DictRegistry({1: registered("PROTOBUF", PROTO)})
    return ProtobufConverter.of_registry(registry), framed(1, MESSAGE, b"\x00")


def _by_file(name: str) -> Case:
    """Without a registry, and without a frame: the bytes are the value."""
    with TemporaryDirectory() as directory:
        if name == "avro":
            path = Path(directory, "schema.avsc")
            path.write_text(json.dumps(AVRO))
            return make_converter("avro", {"schema_file": str(path)}), _avro(AVRO, AVRO_VALUE)[1][
                5:
            ]
        path = Path(directory, "types.desc")
        types = FileDescriptorSet()
        file = types.file.add(name="m.proto", package="p", syntax="proto3")
        message = file.message_type.add(name="M")
        for number, kind in enumerate((3, 9, 12, 1, 8, 18), 1):
            message.field.add(name=f"f{number}", number=number, label=1 + number % 2 * 2, type=kind)
        path.write_bytes(types.SerializeToString())
        options = {"descriptor_file": str(path), "message": "p.M"}
        return make_converter("protobuf", options), PLAIN_MESSAGE


def _json() -> Case:
    registry = DictRegistry({1: registered("JSON", '{"type": "object"}')})
    return FramedJsonConverter(registry), framed(1, b'{"a": [1, 2.5, "\\u00e9", null], "b": {}}')


CASES: dict[str, Callable[[], Case]] = {
    "avro": lambda: _avro(AVRO, AVRO_VALUE),
    "avro that nests": lambda: _avro(NESTED, NESTED_VALUE),
    "protobuf": _protobuf,
    "avro by a file": lambda: _by_file("avro"),
    "protobuf by a file": lambda: _by_file("protobuf"),
    "json": lambda: (make_converter("json", {}), JSON),
    "string": lambda: (make_converter("string", {}), "text é ☃ \U0001f600".encode()),
    "json in a frame": _json,
    "json in an envelope": lambda: (
        make_converter("json", {"schemas_enable": True}),
        b'{"schema": {"type": "struct", "fields": []}, "payload": {"a": [1, 2.5, "x"]}}',
    ),
    "cbor": lambda: (make_converter("cbor", {}), cbor2.dumps(CBOR)),
    "msgpack": lambda: (make_converter("msgpack", {}), msgspec.msgpack.encode(PLAIN)),
}


def damaged(data: bytes, chance: random.Random) -> bytes:
    """One to four of: a byte changed, a bit turned, bytes put in, taken out, doubled, cut off."""
    found = bytearray(data)
    for _ in range(chance.randint(1, 4)):
        place = chance.randrange(len(found) + 1)
        end = place + chance.randint(1, 6)
        kind = chance.randrange(6)
        if kind == 0 and place < len(found):
            found[place] = chance.choice((0, 1, 0x7F, 0x80, 0xFF, chance.randrange(256)))
        elif kind == 1 and place < len(found):
            found[place] ^= 1 << chance.randrange(8)
        elif kind == 2:
            found[place:place] = chance.randbytes(end - place)
        elif kind == 3:
            del found[place:end]
        elif kind == 4:
            found[place:place] = found[place:end] * chance.randint(1, 3)
        elif kind == 5:
            del found[place + chance.randrange(len(found) - place + 1) :]
    return bytes(found)


def _parts(value: object) -> Iterator[object]:
    yield value
    if isinstance(value, dict):
        for key, inner in value.items():
            yield key
            yield from _parts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _parts(inner)


PLAIN_TYPES = {dict, list, str, int, float, bool, type(None), bytes, datetime, date, time, Decimal}


def _outcome(converter: Converter, data: bytes) -> object:
    """The value, or the error's text; fetches as a pipeline would."""
    try:
        return converter(data, "t", ())
    except ConversionError as error:
        return f"error: {error}"
    except SchemaNeeded as needed:
        asyncio.run(needed.fetch())  # type: ignore[arg-type]
    return _outcome(converter, data)


@pytest.mark.parametrize("name", CASES)
def test_damaged_input_is_plain_data_or_an_error_of_the_record(name: str) -> None:
    converter, data = CASES[name]()
    good = _outcome(converter, data)
    assert not str(good).startswith("error")
    chance = random.Random(name)
    errors = 0
    for _ in range(INPUTS):
        found = _outcome(converter, damaged(data, chance))
        if isinstance(found, str) and found.startswith("error: "):
            errors += 1
            continue
        assert {type(part) for part in _parts(found)} <= PLAIN_TYPES
        for part in _parts(found):
            if isinstance(part, Decimal) and part.is_finite():
                assert math.isfinite(part.adjusted())
                assert abs(part.adjusted()) < 10_000
    # Damage shows in most codings, and in none is everything an error.
    assert INPUTS // 10 < errors < INPUTS
