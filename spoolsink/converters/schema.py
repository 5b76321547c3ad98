"""The schema that came with a value, in the one form that formats read: Avro's JSON.

Avro schemas are kept (references written in place, docs and defaults too); those of Protobuf and
JSON Schema are derived. Two things go beyond Avro, both only in derived schemas:

1. `{"type": "string", "logicalType": "json"}` stands for plain data of any shape (Struct, Any,
   `oneOf`): a format writes it as JSON text.
2. Names of JSON fields are kept although Avro may not allow them (`first-name`).
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Protocol, runtime_checkable

from spoolsink.records import Headers

JSON_TEXT: dict[str, object] = {"type": "string", "logicalType": "json"}
"""Plain data of any shape."""

_FINGERPRINT_DIGITS = 16


@dataclass(slots=True, frozen=True)
class WriterSchema:
    """`text` is canonical JSON: equal schemas have equal texts in every process and version.

    `fingerprint` is 16 hex digits of the text's SHA-256.
    """

    text: str
    fingerprint: str

    @classmethod
    def of(cls, tree: object) -> "WriterSchema":
        """From the parsed schema: sorted keys, no white space, ASCII."""
        text = json.dumps(tree, sort_keys=True, separators=(",", ":"))
        return cls(text, sha256(text.encode()).hexdigest()[:_FINGERPRINT_DIGITS])


@runtime_checkable
class SchemaConverter(Protocol):
    """A converter whose values may have a schema; `avro`, `protobuf` and framed `json` are.

    Calls raise ConversionError for a bad record and SchemaNeeded for a schema to fetch.
    """

    def __call__(self, data: bytes | None, topic: str, headers: Headers) -> object: ...

    def convert_with_schema(
        self, data: bytes | None, topic: str, headers: Headers
    ) -> tuple[object, WriterSchema | None]:
        """The value and its schema; None for a null value, and for JSON that came without."""
        ...

    async def fetch(self, schema_id: int) -> None:
        """Makes a schema ready for the calls; raises RegistryAwayError."""
        ...


def derived_decimal(precision: int, scale: int) -> Mapping[str, object]:
    """A decimal of a derived schema."""
    return {"type": "bytes", "logicalType": "decimal", "precision": precision, "scale": scale}
