"""Rows of the container formats on disk: Avro datums, each behind its length (u32, little-endian).

Avro and Parquet share this form: it is compact, typed, and read back without the records' bytes.
The schema is an Avro schema as `converters/schema.py` tells, or one made of `format.columns`.
"""

import json
import re
import struct
from collections.abc import Iterator, Mapping, Sequence
from io import BytesIO
from typing import Any

import fastavro
from fastavro.types import Schema

from spoolsink.errors import FormatError
from spoolsink.formats.columns import Column, precision_and_scale
from spoolsink.formats.json_text import encode as json_text

_LENGTH = struct.Struct("<I")
_AVRO_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_PRIMITIVES = {
    "string": "string",
    "int": "int",
    "long": "long",
    "float": "float",
    "double": "double",
    "boolean": "boolean",
    "bytes": "bytes",
}
NULL_SCHEMA = '"null"'
"""Of rows of null values where a value brings its own schema: they have none of their own."""


def _write_json(value: object, _: object) -> str:
    return json_text(value).decode()


# Derived schemas mark fields of any shape so (converters/schema.py); fastavro looks here for it.
fastavro.write.LOGICAL_WRITERS["string-json"] = _write_json


class DatumWriter:
    """Values of one schema to rows."""

    def __init__(self, schema_text: str) -> None:
        self._schema = compiled(schema_text)

    def row(self, value: object) -> bytes:
        """One row; raises FormatError where the value is none of the schema's."""
        buffer = BytesIO()
        try:
            fastavro.schemaless_writer(buffer, self._schema, value, strict_allow_default=True)
        except (ValueError, TypeError, KeyError, OverflowError, ArithmeticError) as error:
            raise FormatError(f"is no value of its schema: {str(error)[:200]}") from error
        datum = buffer.getvalue()
        return _LENGTH.pack(len(datum)) + datum


def datums(rows: bytes) -> Iterator[bytes]:
    """The datums of whole rows in a row."""
    position, end = 0, len(rows)
    while position < end:
        (length,) = _LENGTH.unpack_from(rows, position)
        position += _LENGTH.size
        yield rows[position : position + length]
        position += length


def compiled(schema_text: str) -> Schema:
    """For fastavro; raises FormatError for what is no schema."""
    try:
        return fastavro.parse_schema(json.loads(schema_text))
    except (ValueError, TypeError, KeyError, fastavro.schema.SchemaParseException) as error:
        raise FormatError(f"no Avro schema: {str(error)[:200]}") from error


def check(schema_text: str) -> None:
    """Raises FormatError for what is no schema."""
    compiled(schema_text)


def schema_of_columns(columns: Sequence[Column]) -> str:
    """A record of nullable fields, in their order."""
    fields = [
        {"name": column.name, "type": ["null", _type_of(column.type)], "default": None}
        for column in columns
    ]
    return json.dumps({"type": "record", "name": "Record", "fields": fields})


def _type_of(kind: str) -> object:
    if kind in _PRIMITIVES:
        return _PRIMITIVES[kind]
    if kind == "date":
        return {"type": "int", "logicalType": "date"}
    if kind == "timestamp":
        return {"type": "long", "logicalType": "timestamp-micros"}
    precision, scale = precision_and_scale(kind)
    return {"type": "bytes", "logicalType": "decimal", "precision": precision, "scale": scale}


def with_avro_names(schema: object) -> object:
    """The same with names that Avro allows: what a datum's bytes are does not depend on them."""
    if isinstance(schema, list):
        return [with_avro_names(branch) for branch in schema]
    if not isinstance(schema, Mapping):
        return schema
    found = {key: value for key, value in schema.items() if not key.startswith("__")}
    for nested in ("type", "items", "values"):
        if nested in found:
            found[nested] = with_avro_names(found[nested])
    if "fields" in found:
        found["fields"] = [
            {**with_field_type(field), "name": _allowed(field["name"])} for field in found["fields"]
        ]
    return found


def with_field_type(field: Mapping[str, Any]) -> dict[str, object]:
    """A record's field with the names of its type allowed."""
    return {**field, "type": with_avro_names(field["type"])}


def _allowed(name: str) -> str:
    if _AVRO_NAME.fullmatch(name):
        return name
    cleaned = re.sub(r"[^A-Za-z0-9_]", "_", name)
    return cleaned if not cleaned[:1].isdigit() else f"_{cleaned}"
