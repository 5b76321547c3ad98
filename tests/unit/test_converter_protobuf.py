"""Protobuf: message indexes, descriptor files, and a registry's `.proto` text."""

import json
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet

from spoolsink.converters import make_converter
from spoolsink.converters.protobuf import ProtobufConverter, split_indexes
from spoolsink.converters.protobuf_types import MessageTypes, compile_proto, read_descriptors
from spoolsink.converters.schema import SchemaConverter
from spoolsink.errors import ConversionError, RegistryAwayError
from tests.unit.schema_registries import DictRegistry, converted, framed, registered
from tests.unit.shop_proto import EMPTY, PROTO


@pytest.fixture(scope="module")
def types() -> MessageTypes:
    return compile_proto(PROTO, [])[0]


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
