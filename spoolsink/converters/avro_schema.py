"""Avro schemas made ready: references written in place, one tree to read by and one to show.

1. What is shown (`WriterSchema`) stands for itself: every named type is defined where it is first
   used, with its full name.
2. What is read by differs only where it protects: `uuid` is read as the text that it is, decimals
   exactly (the library rounds to the declared precision, and takes most of a minute for one of half
   a megabyte), schemas that nest in themselves by the library's Python reader (its compiled one
   overflows the C stack at a few thousand levels). Arrays of items without bytes are refused
   (eight bytes of input would say "four billion items").
"""

import copy
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from io import BytesIO
from typing import Any
from uuid import UUID

import fastavro
from fastavro._read_py import schemaless_reader as read_in_python
from fastavro.read import LOGICAL_READERS
from fastavro.schema import SchemaParseException, UnknownType

from spoolsink.converters.plain import EXACT, big_integer
from spoolsink.converters.schema import WriterSchema
from spoolsink.errors import ConversionError

_EXACT_DECIMAL = "spoolsink-decimal"
_BINARY_UUID = "spoolsink-uuid"
_TEXT_ID = {"type": "string", "logicalType": "uuid"}
_NAMED = ("record", "error", "enum", "fixed")


@dataclass(slots=True, frozen=True)
class AvroSchema:
    """`read` takes one datum from a stream; it raises whatever the library does."""

    read: Callable[[BytesIO], object]
    writer: WriterSchema


def compile_avro(text: str, references: Sequence[str] = ()) -> AvroSchema:
    """From JSON texts, each reference after what it needs itself; raises ConversionError."""
    try:
        named: dict[str, dict[str, object]] = {}
        for reference in references:
            fastavro.parse_schema(json.loads(reference), named)
        tree = _in_place(fastavro.parse_schema(json.loads(text), named), named, set())
        _ignore_broken_decimals(tree)
        _refuse_items_without_bytes(tree)
        reading = fastavro.parse_schema(_readable(tree))
    except (SchemaParseException, UnknownType, ValueError, LookupError, TypeError) as error:
        raise ConversionError(f"no Avro schema: {type(error).__name__}: {error}") from error
    except RecursionError as error:
        raise ConversionError("no Avro schema: nested too deeply") from error
    reader = read_in_python if _nests_in_itself(tree, ()) else fastavro.schemaless_reader
    return AvroSchema(lambda stream: reader(stream, reading, None), WriterSchema.of(_shown(tree)))


def _in_place(node: object, named: dict[str, dict[str, object]], defined: set[str]) -> object:
    """A copy with every type defined at its first use; `defined` collects full names."""
    if isinstance(node, str):
        if node not in named or node in defined:
            return node
        node = named[node]
    if isinstance(node, list):
        return [_in_place(branch, named, defined) for branch in node]
    assert isinstance(node, dict)
    if node["type"] in _NAMED:
        if node["name"] in defined:
            return node["name"]
        defined.add(node["name"])
    return _rebuilt(node, lambda inner: _in_place(inner, named, defined))


def _rebuilt(node: dict[str, Any], change: Callable[[object], object]) -> dict[str, object]:
    """A copy in which every inner type is changed."""
    made = {key: value for key, value in node.items() if not key.startswith("__")}
    if "fields" in node:
        made["fields"] = [{**field, "type": change(field["type"])} for field in node["fields"]]
    for key in ("items", "values"):
        if key in node:
            made[key] = change(node[key])
    if not isinstance(node["type"], str):
        made["type"] = change(node["type"])
    return made


def _shown(tree: object) -> object:
    """The schema of the values as they come out: ids of sixteen bytes are text."""
    ids = {node["name"] for node in _nodes(tree) if _is_binary_id(node)}

    def change(node: object) -> object:
        if isinstance(node, list):
            return [change(branch) for branch in node]
        if isinstance(node, dict):
            return _TEXT_ID if node.get("name") in ids else _rebuilt(node, change)
        return _TEXT_ID if node in ids else node

    return change(tree) if ids else tree


def _is_binary_id(node: dict[str, object]) -> bool:
    return (node.get("logicalType"), node["type"], node.get("size")) == ("uuid", "fixed", 16)


def _ignore_broken_decimals(tree: object) -> None:
    """The specification's rule: a logical type that is not valid is ignored."""
    for node in _nodes(tree):
        precision, scale = node.get("precision"), node.get("scale", 0)
        is_valid = isinstance(precision, int) and isinstance(scale, int) and 0 <= scale <= precision
        if node.get("logicalType") == "decimal" and not (is_valid and precision):
            del node["logicalType"]


def _readable(tree: object) -> Any:
    reading = copy.deepcopy(tree)
    for node in _nodes(reading):
        if node.get("logicalType") == "decimal":
            node["logicalType"] = _EXACT_DECIMAL
        if _is_binary_id(node):
            node["logicalType"] = _BINARY_UUID
        elif node.get("logicalType") == "uuid":
            del node["logicalType"]
    return reading


def _exact_decimal(data: bytes, schema: Any, _reader_schema: object = None) -> Decimal:
    return Decimal(big_integer(data, signed=True)).scaleb(-schema.get("scale", 0), EXACT)


def _binary_uuid(data: bytes, _schema: object, _reader_schema: object = None) -> str:
    return str(UUID(bytes=data))


# Names of our own beside the library's: nobody else's reading changes.
LOGICAL_READERS[f"bytes-{_EXACT_DECIMAL}"] = _exact_decimal
LOGICAL_READERS[f"fixed-{_EXACT_DECIMAL}"] = _exact_decimal
LOGICAL_READERS[f"fixed-{_BINARY_UUID}"] = _binary_uuid


def _nodes(node: object) -> Iterator[dict[str, object]]:
    """Every type that is written as an object, once."""
    if isinstance(node, list):
        for branch in node:
            yield from _nodes(branch)
    elif isinstance(node, dict):
        yield node
        for inner in _inner(node):
            yield from _nodes(inner)


def _inner(node: dict[str, object]) -> list[object]:
    fields = node.get("fields")
    inner = [field["type"] for field in fields] if isinstance(fields, list) else []
    inner += [node[key] for key in ("items", "values") if key in node]
    return inner if isinstance(node["type"], str) else [*inner, node["type"]]


def _nests_in_itself(node: object, above: tuple[object, ...]) -> bool:
    if isinstance(node, str):
        return node in above
    if isinstance(node, list):
        return any(_nests_in_itself(branch, above) for branch in node)
    assert isinstance(node, dict)
    above = (*above, node["name"]) if node["type"] in _NAMED else above
    return any(_nests_in_itself(inner, above) for inner in _inner(node))


def _refuse_items_without_bytes(tree: object) -> None:
    named = {node["name"]: node for node in _nodes(tree) if node["type"] in _NAMED}
    for node in _nodes(tree):
        if node["type"] == "array" and _takes_no_bytes(node["items"], named, ()):
            raise ConversionError("arrays of items that take no bytes cannot be read")


def _takes_no_bytes(
    node: object, named: dict[object, dict[str, object]], above: tuple[object, ...]
) -> bool:
    node = named.get(node, node) if isinstance(node, str) else node
    if not isinstance(node, dict):
        return node == "null"
    if node["type"] in {"record", "error"}:
        # One that holds itself directly has no smallest datum: as good as none.
        return node["name"] in above or all(
            _takes_no_bytes(inner, named, (*above, node["name"])) for inner in _inner(node)
        )
    if node["type"] == "fixed":
        return not node["size"]
    return _takes_no_bytes(node["type"], named, above)
