"""The same records in each coding that a converter reads, and the schemas that two of them need."""

import io
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cbor2
import fastavro
import msgspec
from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pb2 import FileDescriptorSet as DescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass

from benchmarks.data import DataSet

WIDE_COLUMNS = 50

_USER = {"type": "record", "name": "User", "fields": [
    {"name": "id", "type": "long"}, {"name": "vip", "type": "boolean"}]}  # fmt: skip
AVRO_SCHEMA: Any = {"type": "record", "name": "Event", "fields": [
    {"name": "id", "type": "long"}, {"name": "place", "type": "string"},
    {"name": "at_ms", "type": {"type": "long", "logicalType": "timestamp-millis"}},
    {"name": "user", "type": _USER}, {"name": "text", "type": ["null", "string"]},
]}  # fmt: skip
MESSAGE = "bench.Event"


def columns(*, is_wide: bool) -> list[dict[str, str]]:
    """`format.columns` of the records."""
    found = [
        {"name": "id", "type": "long", "path": "value.id"},
        {"name": "place", "type": "string", "path": "value.place"},
        {"name": "at_ms", "type": "timestamp", "path": "value.at_ms"},
        {"name": "user_id", "type": "long", "path": "value.user.id"},
        {"name": "vip", "type": "boolean", "path": "value.user.vip"},
        {"name": "text", "type": "string", "path": "value.text"},
    ]
    for number in range(WIDE_COLUMNS - len(found) if is_wide else 0):
        kind = ("long", "double", "string", "boolean")[number % 4]
        found.append({"name": f"c{number}", "type": kind, "path": f"value.c{number}"})
    return found


def _wide(record: dict[str, Any]) -> bytes:
    number = record["id"]
    for index in range(WIDE_COLUMNS - 6):
        record[f"c{index}"] = (
            number * 31 + index, number / 7, f"text {number % 997}", number % 3 == 0,
        )[index % 4]  # fmt: skip
    return json.dumps(record).encode()


def _descriptors() -> DescriptorSet:
    kinds = FieldDescriptorProto
    file = FileDescriptorProto(name="event.proto", package="bench", syntax="proto3")
    shapes: Mapping[str, tuple[tuple[str, int], ...]] = {
        "User": (("id", kinds.TYPE_INT64), ("vip", kinds.TYPE_BOOL)),
        "Event": (
            ("id", kinds.TYPE_INT64),
            ("place", kinds.TYPE_STRING),
            ("at_ms", kinds.TYPE_INT64),
            ("user", kinds.TYPE_MESSAGE),
            ("text", kinds.TYPE_STRING),
        ),
    }
    for name, fields in shapes.items():
        message = file.message_type.add(name=name)
        for number, (field, kind) in enumerate(fields, 1):
            added: Any = message.field.add(name=field, number=number, label=1)
            added.type = kind
            if kind == kinds.TYPE_MESSAGE:
                added.type_name = ".bench.User"
    return DescriptorSet(file=[file])


def _message_class() -> Callable[..., Any]:
    pool = DescriptorPool()
    for file in _descriptors().file:
        pool.Add(file)
    return GetMessageClass(pool.FindMessageTypeByName(MESSAGE))


_AVRO = fastavro.parse_schema(AVRO_SCHEMA)
_MESSAGE_CLASS = _message_class()


def _avro(record: dict[str, Any]) -> bytes:
    out = io.BytesIO()
    fastavro.schemaless_writer(out, _AVRO, record)
    return out.getvalue()


def _protobuf(record: dict[str, Any]) -> bytes:
    return bytes(_MESSAGE_CLASS(**record).SerializeToString())


_CODINGS: Mapping[str, Callable[[dict[str, Any]], bytes]] = {
    "wide": _wide,
    "avro": _avro,
    "protobuf": _protobuf,
    "cbor": cbor2.dumps,
    "msgpack": msgspec.msgpack.encode,
}


@dataclass(frozen=True, slots=True)
class CodedSet(DataSet):
    """A data set whose values are in another coding than JSON; `size_bytes` is that of JSON."""

    coding: str = "json"

    def _value(self, number: int, place: int, time_ms: int, text: memoryview) -> bytes:
        value = DataSet._value(self, number, place, time_ms, text)  # noqa: SLF001 (slots: no super)
        encode = _CODINGS.get(self.coding)
        return value if encode is None else encode(json.loads(value))


def value_options(coding: str, directory: Path) -> dict[str, str]:
    """Of the converter; the files that they name are written into the directory."""
    if coding == "avro":
        path = directory / "event.avsc"
        path.write_text(json.dumps(AVRO_SCHEMA))
        return {"schema_file": str(path)}
    if coding == "protobuf":
        path = directory / "event.desc"
        path.write_bytes(_descriptors().SerializeToString())
        return {"descriptor_file": str(path), "message": MESSAGE}
    return {}
