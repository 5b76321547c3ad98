"""JSON inside something: a schema registry's framing, or JsonConverter's schema and payload.

The document within keeps the producer's bytes (`document`), as JSON without a frame does. A frame
begins with byte 0, which no JSON document does: with a registry both kinds are told apart by it.
Values are not validated against their schema; what the registry does not know is a bad record.
"""

import json
from collections.abc import Mapping

import msgspec

from spoolsink.converters.framing import CompiledSchemas, split_frame
from spoolsink.converters.json import decode
from spoolsink.converters.json_shape import derive
from spoolsink.converters.registry import RegisteredSchema, SchemaRegistry
from spoolsink.converters.schema import WriterSchema
from spoolsink.errors import ConversionError
from spoolsink.records import Headers


def make(
    options: Mapping[str, object], registry: SchemaRegistry | None
) -> "FramedJsonConverter | JsonEnvelopeConverter":
    """By `schemas_enable`, else framed; raises ValueError for both."""
    if not options.get("schemas_enable"):
        return FramedJsonConverter(registry)
    if options.get("framed"):
        raise ValueError("json: schemas_enable and framed exclude each other")
    return JsonEnvelopeConverter()


class FramedJsonConverter:
    """JSON behind a schema id, and with a registry also JSON without one."""

    def __init__(self, registry: SchemaRegistry | None) -> None:
        """Without a registry every value must be framed, and its id is passed over."""
        self._schemas = None if registry is None else CompiledSchemas(registry, "JSON", _compile)

    def document(self, data: bytes) -> bytes:
        """The bytes of the JSON within, not checked; raises ConversionError and SchemaNeeded."""
        return self._split(data)[1]

    def __call__(self, data: bytes | None, topic: str, headers: Headers) -> object:
        """Plain data; raises ConversionError and SchemaNeeded."""
        return self.convert_with_schema(data, topic, headers)[0]

    def convert_with_schema(
        self,
        data: bytes | None,
        topic: str,  # noqa: ARG002 (the contract of converters)
        headers: Headers,  # noqa: ARG002 (the contract of converters)
    ) -> tuple[object, WriterSchema | None]:
        """Plain data and the derived schema; None for a value that came without one."""
        if data is None:
            return None, None
        schema, document = self._split(data)
        return decode(document), schema

    async def fetch(self, schema_id: int) -> None:
        """A schema of the registry; raises RegistryAwayError."""
        if self._schemas is not None:
            await self._schemas.fetch(schema_id)

    def _split(self, data: bytes) -> tuple[WriterSchema | None, bytes]:
        if self._schemas is None:
            return None, split_frame(data)[1]
        if data[:1] != b"\x00":
            return None, data
        schema_id, document = split_frame(data)
        return self._schemas.of(schema_id), document


async def _compile(registered: RegisteredSchema) -> WriterSchema:
    references = [(reference.name, reference.text) for reference in registered.references]
    return derive(registered.text, references)


class _Envelope(msgspec.Struct, forbid_unknown_fields=True):
    schema: msgspec.Raw
    payload: msgspec.Raw


_ENVELOPE = msgspec.json.Decoder(_Envelope)


class JsonEnvelopeConverter:
    """`schemas_enable: true`: what Kafka Connect's JsonConverter writes; takes the `payload`."""

    def document(self, data: bytes) -> bytes:
        """The bytes of the payload; raises ConversionError."""
        try:
            # A copy, so that the schema beside it (often larger) is let go.
            return bytes(_ENVELOPE.decode(data).payload)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return _payload_slowly(data)

    def __call__(self, data: bytes | None, topic: str, headers: Headers) -> object:  # noqa: ARG002
        """The payload as plain data; raises ConversionError."""
        return None if data is None else decode(self.document(data))


def _payload_slowly(data: bytes) -> bytes:
    """Says what is wrong, and reads the few documents that msgspec refuses (lone surrogates)."""
    tree = decode(data)
    if not isinstance(tree, dict) or tree.keys() != {"schema", "payload"}:
        raise ConversionError("not an object of 'schema' and 'payload' (schemas_enable)")
    try:
        return json.dumps(tree["payload"], allow_nan=False).encode()
    except ValueError as error:
        raise ConversionError(f"not JSON: {error}") from error
