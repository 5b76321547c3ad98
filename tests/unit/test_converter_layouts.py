"""Layouts on typed values: their fields place records as fields of JSON do."""

import json
from datetime import UTC, date, datetime, time
from decimal import Decimal
from io import BytesIO
from pathlib import Path
from typing import Any

import cbor2
import fastavro
import msgspec
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from spoolsink.converters import Converter, make_converter
from spoolsink.converters.protobuf import ProtobufConverter
from spoolsink.errors import LayoutError
from spoolsink.layout import Layout, walk
from spoolsink.records import Batch, TimestampType, TopicPartition
from tests.unit.schema_registries import DictRegistry, converted, framed, registered

MOMENT = datetime(2026, 7, 4, 23, 30, 5, 250000, UTC)
LOCAL = MOMENT.replace(tzinfo=None)
ID = "0f8fad5b-d9cb-469f-a165-70867728950e"


def placed(value: object, template: str, **settings: Any) -> str | LayoutError:
    layout = Layout(template, **settings)
    columns = {path: [walk(value, path)] for path in layout.value_paths}
    batch = Batch(TopicPartition("t", 0), 0, 1, [0], [0], TimestampType.CREATE, [None], [b""], None)
    return layout.place(batch, columns, {}, 0)[0]


def logical(kind: str, word: str, **more: object) -> dict[str, object]:
    return {"type": kind, "logicalType": word, **more}


AVRO: dict[str, tuple[object, object]] = {
    "id": ("long", 2**53 + 1),
    "uuid": (logical("string", "uuid"), ID),
    "state": ({"type": "enum", "name": "State", "symbols": ["NEW", "OLD"]}, "OLD"),
    "price": (logical("bytes", "decimal", precision=9, scale=2), Decimal("12.50")),
    "flag": ("boolean", True),
    "maybe": (["null", "int"], None),
    "day": (logical("int", "date"), date(2026, 7, 4)),
    "clock": (logical("int", "time-millis"), time(1, 2)),
    "at": (logical("long", "timestamp-millis"), MOMENT),
    "at_micros": (logical("long", "timestamp-micros"), MOMENT),
    "at_local": (logical("long", "local-timestamp-micros"), LOCAL),
    "at_number": ("long", int(MOMENT.timestamp() * 1000)),
    "at_text": ("string", "2026-07-04T23:30:05.250Z"),
    "raw": ("bytes", b"1"),
    "user": (
        {"type": "record", "name": "User", "fields": [{"name": "land", "type": "string"}]},
        {"land": "DE"},
    ),
    "tags": ({"type": "array", "items": "string"}, ["a", "b"]),
    "map": ({"type": "map", "values": "int"}, {"k": 1}),
}


@pytest.fixture(scope="module")
def avro(tmp_path_factory: pytest.TempPathFactory) -> object:
    fields = [{"name": name, "type": kind} for name, (kind, _) in AVRO.items()]
    schema = {"type": "record", "name": "Event", "fields": fields}
    path: Path = tmp_path_factory.mktemp("avro") / "event.avsc"
    path.write_text(json.dumps(schema))
    out = BytesIO()
    values = {name: value for name, (_, value) in AVRO.items()}
    fastavro.schemaless_writer(out, fastavro.parse_schema(schema), values)
    return make_converter("avro", {"schema_file": str(path)})(out.getvalue(), "t", ())


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("id={value.id}", "id=9007199254740993"),
        ("u={value.uuid}", f"u={ID}"),
        ("s={value.state}", "s=OLD"),
        ("p={value.price}", "p=12.50"),
        ("f={value.flag}", "f=true"),
        ("m={value.maybe}", "m=__HIVE_DEFAULT_PARTITION__"),
        ("d={value.day}", "d=2026-07-04"),
        ("a={value.at}", "a=2026-07-04T23%3A30%3A05.250000+00%3A00"),
        ("l={value.user.land}/t={value.tags.1}/k={value.map.k}", "l=DE/t=b/k=1"),
        ("x={value.user.absent}", "x=__HIVE_DEFAULT_PARTITION__"),
    ],
)
def test_fields_of_avro_place_records(avro: object, template: str, expected: str) -> None:
    assert placed(avro, template) == expected


@pytest.mark.parametrize("template", ["{value.raw}", "{value.user}", "{value.tags}"])
def test_what_has_no_text_is_an_error_of_the_record(avro: object, template: str) -> None:
    assert isinstance(placed(avro, template), LayoutError)


@pytest.mark.parametrize(
    ("field", "timezone", "expected"),
    [
        ("at", "UTC", "2026-07-04 23:30:05.250"),
        ("at", "+09:00", "2026-07-05 08:30:05.250"),
        ("at_micros", "UTC", "2026-07-04 23:30:05.250"),
        ("at_number", "UTC", "2026-07-04 23:30:05.250"),
        ("at_text", "UTC", "2026-07-04 23:30:05.250"),
        # Without a zone of its own it is read in the layout's.
        ("at_local", "+09:00", "2026-07-04 23:30:05.250"),
        ("day", "+09:00", "2026-07-04 00:00:00.000"),
    ],
)
def test_times_of_avro_place_records(
    avro: object, field: str, timezone: str, expected: str
) -> None:
    template = "{time:%Y-%m-%d %H:%M:%S.%L}"
    assert placed(avro, template, time=f"value.{field}", timezone=timezone) == expected


PROTO = """
syntax = "proto3";
import "google/protobuf/timestamp.proto";
import "google/protobuf/wrappers.proto";
import "google/protobuf/struct.proto";
message Event {
  enum State { NEW = 0; OLD = 1; }
  message User { string land = 1; }
  State state = 1;
  User user = 2;
  google.protobuf.Timestamp at = 3;
  google.protobuf.Int64Value count = 4;
  uint64 hash = 5;
  map<string, int32> map = 6;
  google.protobuf.Struct extra = 7;
}
"""


@pytest.fixture
async def protobuf() -> object:
    convert = ProtobufConverter.of_registry(
        DictRegistry({1: registered("PROTOBUF", PROTO)}),
    )
    at = Timestamp(seconds=int(MOMENT.timestamp()), nanos=250_000_000).SerializeToString()
    message = (
        b"\x08\x01\x12\x04\x0a\x02DE"
        + (b"\x1a" + bytes([len(at)]) + at)
        + b"\x22\x02\x08\x07\x28\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"
        + b"\x32\x05\x0a\x01k\x10\x01\x3a\x0a\x0a\x08\x0a\x01s\x12\x03\x1a\x01x"
    )
    return await converted(convert, framed(1, message, b"\x00"))


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("{value.state}/{value.user.land}", "OLD/DE"),
        ("{value.count}/{value.hash}", "7/18446744073709551615"),
        ("{value.map.k}/{value.extra.s}", "1/x"),
        ("{time:%Y-%m-%d %H:%M:%S.%L}", "2026-07-04 23:30:05.250"),
    ],
)
def test_fields_of_protobuf_place_records(protobuf: object, template: str, expected: str) -> None:
    assert placed(protobuf, template, time="value.at") == expected


CBOR = {
    "id": 2**70,
    "price": Decimal("12.50"),
    "at": MOMENT,
    "day": date(2026, 7, 4),
    "user": {"land": "DE"},
}
MSGPACK = {"id": 2**63, "at": MOMENT, "user": {"land": "DE"}}


@pytest.mark.parametrize(
    ("converter", "data", "template", "expected"),
    [
        (
            make_converter("cbor", {}),
            cbor2.dumps(CBOR, date_as_datetime=False),
            "{value.id}/{value.price}/{value.day}/{value.user.land}/{time:%Y-%m-%d %H}",
            "1180591620717411303424/12.50/2026-07-04/DE/2026-07-04 23",
        ),
        (
            make_converter("msgpack", {}),
            msgspec.msgpack.encode(MSGPACK),
            "{value.id}/{value.user.land}/{time:%Y-%m-%d %H}",
            "9223372036854775808/DE/2026-07-04 23",
        ),
    ],
    ids=["cbor", "msgpack"],
)
def test_fields_of_cbor_and_msgpack_place_records(
    converter: Converter, data: bytes, template: str, expected: str
) -> None:
    assert placed(converter(data, "t", ()), template, time="value.at") == expected
