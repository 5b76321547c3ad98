"""Avro values: by the registry's schemas (framed), or by one schema from a file.

Logical types become dates, times, datetimes (`local-timestamp` without a zone) and decimals; `uuid`
stays text, enums are their symbols, fixed and bytes are bytes, unions are the bare value.
"""

import struct
from collections.abc import Callable, Mapping
from io import BytesIO
from pathlib import Path

from spoolsink.converters.avro_schema import AvroSchema, compile_avro
from spoolsink.converters.framing import CompiledSchemas, registry_for, split_frame
from spoolsink.converters.registry import RegisteredSchema, SchemaRegistry
from spoolsink.converters.schema import WriterSchema
from spoolsink.errors import ConversionError
from spoolsink.records import Headers

# What fastavro was seen to raise for damaged bytes (`tests/unit/test_converter_mutations.py`).
_BAD_DATUM = (
    *(ArithmeticError, AssertionError, EOFError, LookupError, MemoryError, RecursionError),
    *(TypeError, ValueError, struct.error),
)


def make(options: Mapping[str, object], registry: SchemaRegistry | None) -> "AvroConverter":
    """By `schema_file` and `framed`, else by the registry; raises ValueError."""
    if "schema_file" in options:
        framed = bool(options.get("framed"))
        return AvroConverter.of_file(str(options["schema_file"]), framed=framed)
    return AvroConverter.of_registry(registry_for("avro", "schema_file", options, registry))


class AvroConverter:
    """`value: avro` and `key: avro`; `find` takes the datum's schema and the datum off the data."""

    def __init__(
        self,
        find: Callable[[bytes], tuple[AvroSchema, bytes]],
        schemas: CompiledSchemas[AvroSchema] | None = None,
    ) -> None:
        self._find = find
        self._schemas = schemas

    @classmethod
    def of_registry(cls, registry: SchemaRegistry) -> "AvroConverter":
        """Every value is framed and names its schema."""
        schemas = CompiledSchemas(registry, "AVRO", _compile)

        def find(data: bytes) -> tuple[AvroSchema, bytes]:
            schema_id, datum = split_frame(data)
            return schemas.of(schema_id), datum

        return cls(find, schemas)

    @classmethod
    def of_file(cls, path: str, *, framed: bool = False) -> "AvroConverter":
        """All values have the file's schema; with `framed` their schema id is passed over.

        Raises ValueError when the file is missing or no schema.
        """
        try:
            schema = compile_avro(Path(path).read_text("utf-8"))
        except OSError as error:
            raise ValueError(f"schema_file {path}: {error.strerror}") from error
        except (ConversionError, UnicodeDecodeError) as error:
            raise ValueError(f"schema_file {path}: {error}") from error
        if framed:
            return cls(lambda data: (schema, split_frame(data)[1]))
        return cls(lambda data: (schema, data))

    def __call__(self, data: bytes | None, topic: str, headers: Headers) -> object:
        """Plain data; raises ConversionError and SchemaNeeded."""
        return self.convert_with_schema(data, topic, headers)[0]

    def convert_with_schema(
        self,
        data: bytes | None,
        topic: str,  # noqa: ARG002 (the contract of converters)
        headers: Headers,  # noqa: ARG002 (the contract of converters)
    ) -> tuple[object, WriterSchema | None]:
        """Plain data and the schema that it was written with."""
        if data is None:
            return None, None
        schema, datum = self._find(data)
        stream = BytesIO(datum)
        try:
            value = schema.read(stream)
        except _BAD_DATUM as error:
            reason = f"{type(error).__name__}: {error}"
            raise ConversionError(f"not a datum of its schema: {reason}") from error
        if stream.tell() != len(datum):
            left = len(datum) - stream.tell()
            raise ConversionError(f"not a datum of its schema: {left} bytes are left over")
        return value, schema.writer

    async def fetch(self, schema_id: int) -> None:
        """A schema of the registry; raises RegistryAwayError."""
        if self._schemas is not None:
            await self._schemas.fetch(schema_id)


async def _compile(registered: RegisteredSchema) -> AvroSchema:
    return compile_avro(registered.text, [reference.text for reference in registered.references])
