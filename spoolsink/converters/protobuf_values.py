"""Protobuf messages to plain data, and the schema of that data.

Fields have the names of the `.proto`; every field is there, absent ones as None (scalars without
presence as their default). Enums are names (unknown numbers as text), 64-bit integers integers,
unsigned 64-bit ones decimals (they do not fit Avro's long). Of the well-known types Timestamp is a
datetime, Duration a decimal of seconds, a wrapper its value, Struct, Value and ListValue what they
hold, Any a dict with `@type`.

Maps are sorted by key: their order in memory differs from process to process, and a repeat must
write the same bytes.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import DecodeError

from spoolsink.converters.protobuf_types import MessageTypes
from spoolsink.converters.schema import JSON_TEXT, WriterSchema, derived_decimal
from spoolsink.errors import ConversionError

Plain = Callable[[Any], object]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_UNSIGNED_64 = (FieldDescriptor.TYPE_UINT64, FieldDescriptor.TYPE_FIXED64)
_DURATION_SECONDS = 315_576_000_000
"""Ten thousand years: the limit that duration.proto gives."""

_WRAPPERS = {
    f"google.protobuf.{name}Value"
    for name in (
        *("Double", "Float", "Int64", "UInt64", "Int32", "UInt32"),
        *("Bool", "String", "Bytes"),
    )
}
_ANY_SHAPE = {f"google.protobuf.{name}" for name in ("Struct", "Value", "ListValue", "Any")}
_AVRO_TYPES: dict[int, object] = {
    FieldDescriptor.TYPE_DOUBLE: "double",
    FieldDescriptor.TYPE_FLOAT: "float",
    FieldDescriptor.TYPE_INT64: "long",
    FieldDescriptor.TYPE_SINT64: "long",
    FieldDescriptor.TYPE_SFIXED64: "long",
    FieldDescriptor.TYPE_UINT64: derived_decimal(20, 0),
    FieldDescriptor.TYPE_FIXED64: derived_decimal(20, 0),
    FieldDescriptor.TYPE_INT32: "int",
    FieldDescriptor.TYPE_SINT32: "int",
    FieldDescriptor.TYPE_SFIXED32: "int",
    FieldDescriptor.TYPE_UINT32: "long",
    FieldDescriptor.TYPE_FIXED32: "long",
    FieldDescriptor.TYPE_BOOL: "boolean",
    FieldDescriptor.TYPE_STRING: "string",
    FieldDescriptor.TYPE_BYTES: "bytes",
    FieldDescriptor.TYPE_ENUM: "string",
}


class Values:
    """Reads the messages of one set of types; keeps a plan for each type that it met."""

    def __init__(self, types: MessageTypes) -> None:
        self._types = types
        self._plans: dict[str, list[tuple[str, Plain]]] = {}
        self._special: dict[str, Plain] = {
            "google.protobuf.Timestamp": _timestamp,
            "google.protobuf.Duration": _duration,
            "google.protobuf.Struct": _struct,
            "google.protobuf.Value": _value,
            "google.protobuf.ListValue": _list,
            "google.protobuf.Any": self._any,
        }

    def plain(self, message: Any) -> object:
        """A message as plain data; raises ConversionError and RecursionError."""
        name = message.DESCRIPTOR.full_name
        special = self._special.get(name)
        if special is not None:
            return special(message)
        plan = self._plans.get(name)
        if plan is None:
            fields = message.DESCRIPTOR.fields
            plan = self._plans[name] = [(field.name, self._reader(field)) for field in fields]
            if name in _WRAPPERS:
                self._special[name] = plan[0][1]
                return plan[0][1](message)
        return {field: read(message) for field, read in plan}

    def _reader(self, field: FieldDescriptor) -> Plain:
        """From a message to the plain value of its field."""
        name, plain = field.name, self._converted(field)
        value = _map_value(field)
        if value is not None:
            of_item = self._converted(value)
            return lambda message: _map(getattr(message, name), of_item)
        if field.is_repeated:
            return lambda message: [plain(item) for item in getattr(message, name)]
        if field.has_presence:
            return lambda message: plain(getattr(message, name)) if message.HasField(name) else None
        return lambda message: plain(getattr(message, name))

    def _converted(self, field: FieldDescriptor) -> Plain:
        if field.message_type is not None:
            return self.plain
        if field.enum_type is not None:
            names = {value.number: value.name for value in reversed(field.enum_type.values)}
            return lambda number: names.get(number) or str(number)
        return Decimal if field.type in _UNSIGNED_64 else _as_it_is

    def _any(self, message: Any) -> dict[str, object]:
        url = message.type_url
        try:
            kind = self._types.message_class(url.rpartition("/")[2])
            inner = self.plain(kind.FromString(message.value))
        except KeyError:
            # A type that the schema does not name: kept as it came.
            return {"@type": url, "value": message.value}
        except DecodeError as error:
            raise ConversionError(f"Any of {url!r} is no such message") from error
        fields = inner if isinstance(inner, dict) else {"value": inner}
        return {"@type": url, **fields}


def schema_of(descriptor: Descriptor) -> WriterSchema:
    """The schema of what `Values.plain` makes of such a message."""
    return WriterSchema.of(_message_type(descriptor, set()))


def _message_type(descriptor: Descriptor, defined: set[str]) -> object:
    name = descriptor.full_name
    if name == "google.protobuf.Timestamp":
        return {"type": "long", "logicalType": "timestamp-micros"}
    if name == "google.protobuf.Duration":
        return derived_decimal(21, 9)
    if name in _ANY_SHAPE:
        return JSON_TEXT
    if name in _WRAPPERS:
        return _AVRO_TYPES[descriptor.fields_by_name["value"].type]
    if name in defined:
        return name
    defined.add(name)
    fields = [_field(field, defined) for field in descriptor.fields]
    return {"type": "record", "name": name, "fields": fields}


def _field(field: FieldDescriptor, defined: set[str]) -> dict[str, object]:
    value = _map_value(field)
    if value is not None:
        values = _item_type(value, defined)
        return {"name": field.name, "type": {"type": "map", "values": values}}
    item = _item_type(field, defined)
    if field.is_repeated:
        return {"name": field.name, "type": {"type": "array", "items": item}}
    if field.has_presence:
        return {"name": field.name, "type": ["null", item], "default": None}
    return {"name": field.name, "type": item}


def _item_type(field: FieldDescriptor, defined: set[str]) -> object:
    if field.message_type is not None:
        return _message_type(field.message_type, defined)
    return _AVRO_TYPES[field.type]


def _map_value(field: FieldDescriptor) -> FieldDescriptor | None:
    """What the map's values are; None for a field that is no map."""
    entry = field.message_type
    if entry is None or not entry.GetOptions().map_entry:
        return None
    return entry.fields_by_name["value"]


def _as_it_is(value: object) -> object:
    return value


def _map(items: Any, plain: Plain) -> dict[str, object]:
    return {_key(key): plain(items[key]) for key in sorted(items)}


def _key(key: str | int) -> str:
    if isinstance(key, bool):
        return "true" if key else "false"
    return str(key)


def _timestamp(message: Any) -> datetime:
    try:
        return _EPOCH + timedelta(seconds=message.seconds, microseconds=message.nanos // 1000)
    except OverflowError as error:
        raise ConversionError(f"Timestamp of {message.seconds} s is out of range") from error


def _duration(message: Any) -> Decimal:
    if abs(message.seconds) > _DURATION_SECONDS:
        raise ConversionError(f"Duration of {message.seconds} s is out of range")
    seconds = Decimal(message.seconds) + Decimal(message.nanos).scaleb(-9)
    whole = seconds.to_integral_value()
    # Without an exponent, which normalize() alone would give to 100.
    return whole if whole == seconds else seconds.normalize()


def _struct(message: Any) -> dict[str, object]:
    return {key: _value(message.fields[key]) for key in sorted(message.fields)}


def _list(message: Any) -> list[object]:
    return [_value(item) for item in message.values]


def _value(message: Any) -> object:
    kind = message.WhichOneof("kind")
    if kind is None or kind == "null_value":
        return None
    found = getattr(message, kind)
    if kind == "struct_value":
        return _struct(found)
    return _list(found) if kind == "list_value" else found
