"""The schema of values in Avro's form, derived from a JSON Schema.

Objects with `properties` are records (what the schema does not name is not in it), optional
properties nullable, objects with only `additionalProperties` maps; integers are longs, numbers
doubles. What has no one shape (`oneOf`, no type, a list of types) is JSON text.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from spoolsink.converters.schema import JSON_TEXT, WriterSchema
from spoolsink.errors import ConversionError

_SCALARS = {"string": "string", "integer": "long", "number": "double", "boolean": "boolean"}
_MAX_DEPTH = 100
_TOP = "Record"


def derive(text: str, references: Sequence[tuple[str, str]] = ()) -> WriterSchema:
    """From texts (of references with the name that `$ref` has); raises ConversionError."""
    try:
        documents = {name: json.loads(content) for name, content in references}
        shapes = _Shapes({**documents, "": json.loads(text)})
    except (ValueError, RecursionError) as error:
        raise ConversionError(f"no JSON Schema: {error}") from error
    return WriterSchema.of(shapes.of("", shapes.documents[""], _TOP, 0))


class _Shapes:
    """One derivation; `_names` are the records given out, by identity of their `properties`."""

    def __init__(self, documents: Mapping[str, Any]) -> None:
        self.documents = documents
        self._names: dict[int, str] = {}

    def of(self, document: str, schema: Any, name: str, depth: int) -> object:
        """The type of one schema; `document` is where its references point from."""
        if not isinstance(schema, dict) or depth > _MAX_DEPTH:
            return JSON_TEXT
        if "$ref" in schema:
            return self._referred(document, schema["$ref"], depth)
        plain, is_nullable = _without_null(schema)
        if is_nullable:
            inner = self.of(document, plain, name, depth + 1)
            # JSON text can say null itself.
            return inner if inner == JSON_TEXT or isinstance(inner, list) else ["null", inner]
        kind = schema.get("type")
        if kind == "object":
            return self._object(document, schema, name, depth)
        if kind == "array" and isinstance(schema.get("items"), dict):
            items = self.of(document, schema["items"], f"{name}_item", depth + 1)
            return {"type": "array", "items": items}
        return _SCALARS.get(kind, JSON_TEXT) if isinstance(kind, str) else JSON_TEXT

    def _object(self, document: str, schema: dict[str, Any], name: str, depth: int) -> object:
        properties = schema.get("properties")
        # Of the documents' own parts, which stay; a schema without its null branch is a copy.
        known = self._names.get(id(properties))
        if known is not None:
            return known
        if not isinstance(properties, dict) or not properties:
            values = schema.get("additionalProperties")
            if isinstance(values, dict) and not properties:
                return {
                    "type": "map",
                    "values": self.of(document, values, f"{name}_value", depth + 1),
                }
            return JSON_TEXT
        own = self._names[id(properties)] = self._unique(name)
        required = schema.get("required") or ()
        fields = []
        for key, inner in properties.items():
            shape = self.of(document, inner, f"{own}_{key}", depth + 1)
            fields.append(_field(key, shape, is_required=key in required))
        return {"type": "record", "name": own, "fields": fields}

    def _referred(self, document: str, reference: object, depth: int) -> object:
        where, _, pointer = str(reference).partition("#")
        target = where or document
        schema = self.documents.get(target)
        for step in pointer.split("/")[1:]:
            step = step.replace("~1", "/").replace("~0", "~")  # noqa: PLW2901 (RFC 6901 escapes)
            schema = schema.get(step) if isinstance(schema, dict) else None
        name = pointer.rpartition("/")[2] or where.rpartition("/")[2] or _TOP
        return self.of(target, schema, name, depth + 1)

    def _unique(self, name: str) -> str:
        taken, number, unique = set(self._names.values()), 1, name
        while unique in taken:
            number += 1
            unique = f"{name}_{number}"
        return unique


def _field(key: str, shape: object, *, is_required: bool) -> dict[str, object]:
    if is_required or shape == "null":
        return {"name": key, "type": shape}
    if isinstance(shape, list):
        return {"name": key, "type": shape, "default": None}
    return {"name": key, "type": ["null", shape], "default": None}


def _without_null(schema: dict[str, Any]) -> tuple[Any, bool]:
    """The schema without its null branch, and whether it had one."""
    kinds = schema.get("type")
    if isinstance(kinds, list) and "null" in kinds:
        left = [kind for kind in kinds if kind != "null"]
        return {**schema, "type": left[0] if len(left) == 1 else left}, True
    for word in ("oneOf", "anyOf"):
        branches = schema.get(word)
        if isinstance(branches, list) and {"type": "null"} in branches:
            left = [branch for branch in branches if branch != {"type": "null"}]
            return (left[0] if len(left) == 1 else {word: left}), True
    return schema, False
