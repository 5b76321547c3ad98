"""Protobuf: fields, well-known types, message indexes; from descriptors and from `.proto` text."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from io import BytesIO
from pathlib import Path
from typing import Any

import fastavro
import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet
from google.protobuf.json_format import ParseDict

from spoolsink.converters import make_converter
from spoolsink.converters.protobuf import ProtobufConverter, split_indexes
from spoolsink.converters.protobuf_types import MessageTypes, compile_proto, read_descriptors
from spoolsink.converters.protobuf_values import Values, schema_of
from spoolsink.converters.schema import SchemaConverter
from spoolsink.errors import ConversionError, RegistryAwayError
from tests.unit.schema_registries import DictRegistry, converted, framed, registered

PROTO = """
syntax = "proto3";
package shop.v1;
import "google/protobuf/any.proto";
import "google/protobuf/duration.proto";
import "google/protobuf/struct.proto";
import "google/protobuf/timestamp.proto";
import "google/protobuf/wrappers.proto";

message Order {
  enum State { UNKNOWN = 0; PAID = 1; }
  message Line { string sku = 1; optional int32 count = 2; message Part { bool ok = 1; } }
  int64 order_id = 1;
  uint64 hash = 2;
  string customerName = 3;
  bytes raw = 4;
  double price = 5;
  State state = 6;
  repeated State states = 7;
  repeated Line lines = 8;
  map<string, Line> by_sku = 9;
  map<int32, string> by_number = 10;
  map<bool, int64> by_flag = 11;
  oneof paid_by { string card = 12; int32 voucher = 13; }
  optional string note = 14;
  Order parent = 15;
  google.protobuf.Timestamp at = 16;
  google.protobuf.Duration took = 17;
  google.protobuf.Int64Value maybe_count = 18;
  google.protobuf.UInt64Value maybe_hash = 19;
  google.protobuf.Struct extra = 20;
  google.protobuf.Value anything = 21;
  google.protobuf.ListValue things = 22;
  google.protobuf.Any detail = 23;
  repeated google.protobuf.Timestamp times = 24;
}
message Second { int32 number = 1; }
"""

EMPTY: dict[str, object] = {
    "order_id": 0,
    "hash": Decimal(0),
    "customerName": "",
    "raw": b"",
    "price": 0.0,
    "state": "UNKNOWN",
    "states": [],
    "lines": [],
    "by_sku": {},
    "by_number": {},
    "by_flag": {},
    "card": None,
    "voucher": None,
    "note": None,
    "parent": None,
    "at": None,
    "took": None,
    "maybe_count": None,
    "maybe_hash": None,
    "extra": None,
    "anything": None,
    "things": None,
    "detail": None,
    "times": [],
}


@pytest.fixture(scope="module")
def types() -> MessageTypes:
    return compile_proto(PROTO, [])[0]


@pytest.fixture(scope="module")
def plain(types: MessageTypes) -> Callable[..., dict[str, Any]]:
    """From proto's JSON of an Order to its plain data, through the bytes."""
    values, order = Values(types), types.message_class("shop.v1.Order")

    def convert(**fields: object) -> dict[str, Any]:
        data = ParseDict(fields, order()).SerializeToString()
        found = values.plain(order.FromString(data))
        assert isinstance(found, dict)
        return found

    return convert


def test_every_field_is_there_also_when_nothing_was_sent(plain: Callable[..., Any]) -> None:
    assert plain() == EMPTY


@pytest.mark.parametrize(
    ("name", "sent", "value"),
    [
        ("order_id", "-9223372036854775808", -(2**63)),
        ("hash", "18446744073709551615", Decimal(2**64 - 1)),
        ("raw", "AP8=", b"\x00\xff"),
        ("price", 1.5, 1.5),
        ("state", "PAID", "PAID"),
        ("state", 7, "7"),
        ("states", ["PAID", 0], ["PAID", "UNKNOWN"]),
        ("lines", [{"sku": "a"}], [{"sku": "a", "count": None}]),
        ("by_sku", {"b": {"count": 0}}, {"b": {"sku": "", "count": 0}}),
        ("by_number", {"10": "x", "9": "y"}, {"9": "y", "10": "x"}),
        ("by_flag", {"true": 1, "false": 2}, {"false": 2, "true": 1}),
        ("voucher", 0, 0),
        ("note", "", ""),
        (
            "at",
            "2026-07-04T12:00:00.123456789Z",
            datetime(2026, 7, 4, 12, 0, 0, 123456, UTC),
        ),
        ("at", "1969-12-31T23:59:59.5Z", datetime(1969, 12, 31, 23, 59, 59, 500000, UTC)),
        ("took", "1.500s", Decimal("1.5")),
        ("took", "-0.000000001s", Decimal("-1E-9")),
        ("took", "100s", Decimal(100)),
        ("maybe_count", "0", 0),
        ("maybe_hash", "5", Decimal(5)),
        ("extra", {"b": [1, None], "a": {"x": True}}, {"a": {"x": True}, "b": [1.0, None]}),
        ("anything", "text", "text"),
        ("anything", None, None),
        ("things", [1, "a"], [1.0, "a"]),
        ("times", ["1970-01-01T00:00:00Z"], [datetime(1970, 1, 1, tzinfo=UTC)]),
    ],
)
def test_a_field_becomes_plain_data(
    plain: Callable[..., Any], name: str, sent: object, value: object
) -> None:
    got = plain(**{name: sent})
    assert got == {**EMPTY, name: value}
    assert type(got[name]) is type(value)
    if isinstance(value, dict):
        assert list(got[name]) == list(value), "maps are sorted, whatever the order in memory"


def test_a_whole_duration_has_no_exponent(plain: Callable[..., Any]) -> None:
    assert str(plain(took="100s")["took"]) == "100"


@pytest.mark.parametrize(
    ("name", "data", "fields"),
    [
        ("shop.v1.Second", b"\x08\x03", {"number": 3}),
        (
            "google.protobuf.Timestamp",
            b"\x08\x01",
            {"value": datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC)},
        ),
    ],
)
def test_any_of_a_known_type_is_its_fields(
    types: MessageTypes, name: str, data: bytes, fields: dict[str, object]
) -> None:
    order = _order(types)
    order.detail.type_url = f"type.googleapis.com/{name}"
    order.detail.value = data
    found: Any = Values(types).plain(order)
    assert found["detail"] == {"@type": f"type.googleapis.com/{name}", **fields}
    order.detail.value = b"\xff"
    with pytest.raises(ConversionError, match=r"Any of '.*' is no such message"):
        Values(types).plain(order)


def _order(types: MessageTypes) -> Any:
    return types.message_class("shop.v1.Order")()


def test_any_of_an_unknown_type_keeps_its_bytes(types: MessageTypes) -> None:
    order = _order(types)
    order.detail.type_url = "example.com/absent.Type"
    order.detail.value = b"\x01"
    found: Any = Values(types).plain(order)
    assert found["detail"] == {"@type": "example.com/absent.Type", "value": b"\x01"}


@pytest.mark.parametrize("seconds", [2**62, -(2**62)])
@pytest.mark.parametrize("field", ["at", "took"])
def test_a_time_out_of_range_is_an_error_of_the_record(
    types: MessageTypes, field: str, seconds: int
) -> None:
    order = _order(types)
    getattr(order, field).seconds = seconds
    with pytest.raises(ConversionError, match=r"out of range"):
        Values(types).plain(order)


def test_messages_nest_in_themselves(plain: Callable[..., Any]) -> None:
    found = plain(parent={"parent": {"order_id": 3}})
    assert found["parent"]["parent"]["order_id"] == 3
    assert found["parent"]["parent"]["parent"] is None


@pytest.fixture(scope="module")
def descriptor_file(tmp_path_factory: pytest.TempPathFactory, types: MessageTypes) -> Path:
    path = tmp_path_factory.mktemp("descriptors") / "shop.desc"
    path.write_bytes(FileDescriptorSet(file=types._files.values()).SerializeToString())
    return path


def of_file(path: Path, **options: object) -> Any:
    given = {"descriptor_file": str(path), "message": "shop.v1.Second", **options}
    return make_converter("protobuf", given)


def test_a_descriptor_file_and_a_message_need_no_registry(descriptor_file: Path) -> None:
    convert = of_file(descriptor_file)
    assert isinstance(convert, SchemaConverter)
    assert convert(b"\x08\x05", "t", ()) == {"number": 5}
    assert convert(None, "t", ()) is None
    value, schema = convert.convert_with_schema(b"", "t", ())
    assert value == {"number": 0}
    assert schema is not None
    assert json.loads(schema.text) == {
        "type": "record",
        "name": "shop.v1.Second",
        "fields": [{"name": "number", "type": "int"}],
    }


def test_the_frame_is_passed_over_when_a_file_says_the_message(descriptor_file: Path) -> None:
    convert = of_file(descriptor_file, framed=True)
    assert convert(framed(3, b"\x08\x05", b"\x00"), "t", ()) == {"number": 5}
    assert convert(framed(3, b"\x08\x05", b"\x04\x02\x00"), "t", ()) == {"number": 5}
    with pytest.raises(ConversionError, match=r"not with the 0 before a schema id"):
        convert(b"\x08\x05\x08\x05\x08\x05", "t", ())


@pytest.mark.parametrize("data", [b"\x08", b"\xff\xff", b"\x0a\x05a"])
def test_what_is_no_message_is_an_error_of_the_record(descriptor_file: Path, data: bytes) -> None:
    with pytest.raises(ConversionError, match=r"not a message shop\.v1\.Second"):
        of_file(descriptor_file)(data, "t", ())


def test_a_thousand_levels_are_an_error_of_the_record(descriptor_file: Path) -> None:
    convert = of_file(descriptor_file, message="shop.v1.Order")
    data = b""
    for _ in range(1000):
        size, rest = len(data), b""
        while size > 0x7F:
            rest, size = rest + bytes([size & 0x7F | 0x80]), size >> 7
        data = b"\x7a" + rest + bytes([size]) + data
    with pytest.raises(ConversionError, match=r"not a message"):
        convert(data, "t", ())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"message": "shop.v1.Secnd"},
            r"no message 'shop.v1.Secnd'; did you mean 'shop.v1.Second'",
        ),
        ({"descriptor_file": "absent.desc"}, r"descriptor_file absent\.desc: No such file"),
    ],
)
def test_a_missing_file_or_message_is_refused(
    descriptor_file: Path, options: dict[str, object], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        of_file(descriptor_file, **options)


@pytest.mark.parametrize(
    ("data", "message"),
    [(b"\xff", "not a FileDescriptorSet"), (b"", "without files")],
)
def test_a_file_of_something_else_is_refused(tmp_path: Path, data: bytes, message: str) -> None:
    path = tmp_path / "x.desc"
    path.write_bytes(data)
    with pytest.raises(ValueError, match=message):
        of_file(path)


def test_googles_own_files_may_be_left_out_of_a_descriptor_set_but_no_others() -> None:
    file = FileDescriptorProto(name="a.proto", syntax="proto3")
    file.dependency.append("google/protobuf/timestamp.proto")
    message = file.message_type.add(name="M")
    message.field.add(name="at", number=1, label=1, type=11, type_name=".google.protobuf.Timestamp")
    types = read_descriptors(FileDescriptorSet(file=[file]).SerializeToString())
    assert types.names() == ["M"]
    file.dependency.append("other.proto")
    with pytest.raises(ConversionError, match=r"'other.proto' is missing \(protoc --include_im"):
        read_descriptors(FileDescriptorSet(file=[file]).SerializeToString())


INDEXES = [
    (b"\x00", (0,)),
    (b"\x02\x02", (1,)),
    (b"\x06\x00\x00\x00", (0, 0, 0)),
    (b"\x04\x80\x01\x00", (64, 0)),
]


@pytest.mark.parametrize(("data", "indexes"), INDEXES, ids=str)
def test_message_indexes_are_read_as_confluent_writes_them(
    data: bytes, indexes: tuple[int, ...]
) -> None:
    assert split_indexes(data + b"rest") == (indexes, b"rest")


@pytest.mark.parametrize(
    "data", [b"", b"\x80", b"\x04\x00", b"\x01", b"\xfe\xff\x03", b"\xff" * 20]
)
def test_broken_message_indexes_are_an_error_of_the_record(data: bytes) -> None:
    with pytest.raises(ConversionError, match=r"message indexes"):
        split_indexes(data)


async def test_the_registrys_text_is_compiled_and_its_indexes_name_the_message() -> None:
    registry = DictRegistry({4: registered("PROTOBUF", PROTO)})
    convert = ProtobufConverter.of_registry(registry)
    assert await converted(convert, framed(4, b"\x08\x05", b"\x02\x02")) == {"number": 5}
    order = await converted(convert, framed(4, b"\x08\x05", b"\x00"))
    assert order == {**EMPTY, "order_id": 5}
    part = await converted(convert, framed(4, b"\x08\x01", b"\x06\x00\x00\x00"))
    assert part == {"ok": True}
    assert registry.asked == [4]
    for indexes in (b"\x02\x04", b"\x02\x01", b"\x04\x00\x05"):
        with pytest.raises(ConversionError, match=r"its schema has no message \["):
            convert(framed(4, b"", indexes), "t", ())


async def test_a_text_imports_references_googles_types_and_confluents() -> None:
    text = """
    syntax = "proto3";
    import "other/place.proto";
    import "google/type/date.proto";
    import "confluent/meta.proto";
    import "confluent/type/decimal.proto";
    message M {
      other.Place place = 1;
      google.type.Date day = 2;
      confluent.type.Decimal price = 3 [(confluent.field_meta).doc = "of all"];
    }
    """
    place = 'syntax = "proto3"; package other; message Place { string name = 1; }'
    schema = registered("PROTOBUF", text, **{"other/place.proto": place})
    convert = ProtobufConverter.of_registry(DictRegistry({1: schema}))
    found = await converted(convert, framed(1, b"\x0a\x03\x0a\x01x\x12\x02\x08\x01", b"\x00"))
    assert found == {
        "place": {"name": "x"},
        "day": {"year": 1, "month": 0, "day": 0},
        "price": None,
    }


async def test_fields_of_proto2_have_presence_and_defaults() -> None:
    text = 'syntax = "proto2"; message M { required int32 a = 1; optional int32 b = 2; }'
    convert = ProtobufConverter.of_registry(DictRegistry({1: registered("PROTOBUF", text)}))
    assert await converted(convert, framed(1, b"\x08\x01", b"\x00")) == {"a": 1, "b": None}
    with pytest.raises(ConversionError, match=r"a required field of M is missing"):
        convert(framed(1, b"\x10\x01", b"\x00"), "t", ())


@pytest.mark.parametrize(
    ("kind", "text", "references", "reason"),
    [
        ("AVRO", "{}", {}, "schema id 9 is AVRO, not PROTOBUF"),
        ("PROTOBUF", "message {", {}, "schema id 9: protoc refuses it: .*Expected"),
        ("PROTOBUF", 'import "absent.proto";', {}, "absent.proto: File not found"),
        ("PROTOBUF", "", {"../out.proto": ""}, r"'\.\./out\.proto' leads out of its directory"),
        ("PROTOBUF", "", {"a\0b": ""}, r"cannot be written: embedded null"),
        ("PROTOBUF", "\ud800", {}, r"cannot be written: .*surrogates"),
    ],
    ids=lambda text: str(text)[:20],
)
async def test_a_schema_that_cannot_be_used_costs_its_records(
    kind: str, text: str, references: dict[str, str], reason: str
) -> None:
    registry = DictRegistry({9: registered(kind, text, **references)})
    convert = ProtobufConverter.of_registry(registry)
    for _ in range(2):
        with pytest.raises(ConversionError, match=reason):
            await converted(convert, framed(9, b"", b"\x00"))
    assert registry.asked == [9]


@pytest.mark.parametrize(
    ("script", "reason"),
    [(None, "protoc cannot be run"), ("#!/bin/sh\nkill -9 $$", "protoc was ended by signal 9")],
)
async def test_a_compiler_that_cannot_run_now_holds_and_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str | None, reason: str
) -> None:
    compiler = tmp_path / "python"
    if script is not None:
        compiler.write_text(script)
        compiler.chmod(0o700)
    convert = ProtobufConverter.of_registry(DictRegistry({1: registered("PROTOBUF", PROTO)}))
    data = framed(1, b"\x08\x05", b"\x02\x02")
    with monkeypatch.context() as broken:
        broken.setattr("sys.executable", str(compiler))
        with pytest.raises(RegistryAwayError, match=reason):
            await converted(convert, data)
    assert await converted(convert, data) == {"number": 5}


def test_the_derived_schema_says_what_the_value_is(types: MessageTypes) -> None:
    tree = json.loads(schema_of(types.descriptor("shop.v1.Order")).text)
    shapes = {field["name"]: field["type"] for field in tree["fields"]}
    assert shapes["order_id"] == "long"
    assert shapes["state"] == "string"
    assert shapes["parent"] == ["null", "shop.v1.Order"]
    assert shapes["by_flag"] == {"type": "map", "values": "long"}
    assert shapes["at"] == ["null", {"type": "long", "logicalType": "timestamp-micros"}]
    assert shapes["extra"] == ["null", {"type": "string", "logicalType": "json"}]
    assert shapes["maybe_count"] == ["null", "long"]
    assert shapes["lines"]["items"]["name"] == "shop.v1.Order.Line"


def test_values_can_be_written_by_their_derived_schema(
    types: MessageTypes, plain: Callable[..., Any]
) -> None:
    tree = json.loads(schema_of(types.descriptor("shop.v1.Order")).text)
    schema, out = fastavro.parse_schema(tree), BytesIO()
    value = plain(
        hash="18446744073709551615",
        by_number={"1": "x"},
        lines=[{"sku": "a", "count": 2}],
        parent={"card": "c"},
        at="2026-07-04T12:00:00.5Z",
        took="1.5s",
        maybe_hash="3",
        times=["1970-01-01T00:00:00Z"],
    )
    fastavro.schemaless_writer(out, schema, value)
    out.seek(0)
    assert fastavro.schemaless_reader(out, schema, None) == value
