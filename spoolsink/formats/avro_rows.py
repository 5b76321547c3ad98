"""Rows of the container formats on disk: Avro datums, each behind its length (u32, little-endian).

Avro and Parquet share this form: it is compact, typed, and read back without the records' bytes.
The schema is an Avro schema as `converters/schema.py` tells, or one made of `format.columns`.
"""

import json
import math
import struct
from collections.abc import Iterator, Sequence
from io import BytesIO
from uuid import UUID

import fastavro
from fastavro.types import Schema

from spoolsink.errors import FormatError
from spoolsink.formats import avro_trees
from spoolsink.formats.columns import Column, precision_and_scale
from spoolsink.formats.json_text import encode as json_text

_LENGTH = struct.Struct("<I")
_INT_LIMIT = 1 << 31
_FLOAT = struct.Struct("<f")
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


def _checked_int(value: object, _: object) -> object:
    if isinstance(value, int) and not -_INT_LIMIT <= value < _INT_LIMIT:
        raise ValueError(f"{value} is no int of 32 bits")
    return value


def _checked_float(value: object, _: object) -> object:
    value = _checked_double(value, _)
    if isinstance(value, int | float):
        _FLOAT.pack(value)
    return value


def _checked_double(value: object, _: object) -> object:
    if isinstance(value, float) or value is None:
        return value
    if isinstance(value, bool):
        raise TypeError("a truth value is no number")
    # Decimals are numbers of JSON that no double has.
    number = float(value)  # type: ignore[arg-type]
    if math.isinf(number):
        raise ValueError("out of a double's range")
    return number


def _checked_uuid(value: object, _: object) -> object:
    if isinstance(value, str):
        UUID(value)
    return value


# fastavro looks here for what to do with a value before it is written. Derived schemas mark fields
# of any shape with `json` (converters/schema.py); the others are marks of `avro_trees.guarded`.
fastavro.write.LOGICAL_WRITERS.update(
    {
        "string-json": _write_json,
        f"int-{avro_trees.INT}": _checked_int,
        f"float-{avro_trees.FLOAT}": _checked_float,
        f"double-{avro_trees.DOUBLE}": _checked_double,
        f"string-{avro_trees.UUID}": _checked_uuid,
    }
)


class DatumWriter:
    """Values of one schema to rows."""

    def __init__(self, schema_text: str, *, are_ids_checked: bool = True) -> None:
        compiled(schema_text)
        tree = json.loads(schema_text)
        guarded = avro_trees.guarded(tree, are_ids_checked=are_ids_checked)
        self._schema = compiled(json.dumps(guarded))

    def row(self, value: object) -> bytes:
        """One row; raises FormatError where the value is none of the schema's."""
        buffer = BytesIO()
        try:
            fastavro.schemaless_writer(buffer, self._schema, value, strict_allow_default=True)
        except (ValueError, TypeError, KeyError, OverflowError, ArithmeticError) as error:
            raise FormatError(f"is no value of its schema: {str(error)[:200]}") from error
        datum = buffer.getvalue()
        return _LENGTH.pack(len(datum)) + datum


def datums(rows: bytes, most_bytes: int) -> Iterator[list[bytes]]:
    """The datums of whole rows, in lists of at most `most_bytes`, or of one that is larger."""
    position, end, size = 0, len(rows), 0
    found: list[bytes] = []
    while position < end:
        (length,) = _LENGTH.unpack_from(rows, position)
        position += _LENGTH.size
        if found and size + length > most_bytes:
            yield found
            found, size = [], 0
        found.append(rows[position : position + length])
        size += length
        position += length
    if found:
        yield found


def compiled(schema_text: str) -> Schema:
    """For fastavro; raises FormatError for what is no schema."""
    try:
        return fastavro.parse_schema(json.loads(schema_text))
    except (ValueError, TypeError, KeyError, fastavro.schema.SchemaParseException) as error:
        raise FormatError(f"no Avro schema: {str(error)[:200]}") from error


def make_writer(schema_text: str) -> tuple[DatumWriter, str]:
    """For rows of Avro objects, and the schema in them; raises FormatError for what is none."""
    return DatumWriter(schema_text), schema_text


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
