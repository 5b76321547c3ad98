"""Protobuf values: by the registry's schemas (framed), or by one message of a descriptor file."""

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path

from google.protobuf.message import DecodeError, Message

from spoolsink.converters.framing import CompiledSchemas, registry_for, split_frame
from spoolsink.converters.options import near_miss
from spoolsink.converters.protobuf_types import MessageTypes, compile_proto, read_descriptors
from spoolsink.converters.protobuf_values import Values, schema_of
from spoolsink.converters.registry import RegisteredSchema, SchemaRegistry
from spoolsink.converters.schema import WriterSchema
from spoolsink.errors import ConversionError
from spoolsink.records import Headers

_MAX_VARINT_BYTES = 10


def make(options: Mapping[str, object], registry: SchemaRegistry | None) -> "ProtobufConverter":
    """By `descriptor_file`, `message` and `framed`, else by the registry; raises ValueError."""
    path, message = options.get("descriptor_file"), options.get("message")
    if path is not None and message is not None:
        framed = bool(options.get("framed"))
        return ProtobufConverter.of_file(str(path), str(message), framed=framed)
    if path is not None or message is not None:
        raise ValueError("protobuf: descriptor_file and message go together")
    files = "descriptor_file and message"
    return ProtobufConverter.of_registry(registry_for("protobuf", files, options, registry))


class MessageReader:
    """Reads one type of message."""

    def __init__(self, types: MessageTypes, full_name: str, values: Values) -> None:
        """Raises KeyError for a name that is not there."""
        self._parse: Callable[[bytes], Message] = types.message_class(full_name).FromString
        self._full_name = full_name
        self._values = values
        self.writer = schema_of(types.descriptor(full_name))

    def read(self, data: bytes) -> object:
        """Plain data; raises ConversionError."""
        try:
            message = self._parse(data)
            # The parser of proto2 lets them pass.
            if not message.IsInitialized():
                raise ConversionError(f"a required field of {self._full_name} is missing")
            return self._values.plain(message)
        except DecodeError as error:
            raise ConversionError(f"not a message {self._full_name}: {error}") from error
        except RecursionError as error:
            raise ConversionError("nested too deeply") from error


class ProtobufSchema:
    """A schema of the registry: the readers of its messages, made when they are met."""

    def __init__(self, types: MessageTypes, file: str) -> None:
        self._types = types
        self._file = file
        self._values = Values(types)
        self._readers: dict[tuple[int, ...], MessageReader] = {}

    def at(self, indexes: tuple[int, ...]) -> MessageReader:
        """By the message indexes of the framing; raises ConversionError."""
        found = self._readers.get(indexes)
        if found is None:
            try:
                name = self._types.name_at(self._file, indexes)
            except IndexError as error:
                raise ConversionError(f"its schema has no message {list(indexes)}") from error
            found = self._readers[indexes] = MessageReader(self._types, name, self._values)
        return found


class ProtobufConverter:
    """`value: protobuf` and `key: protobuf`; `find` takes reader and message off the data."""

    def __init__(
        self,
        find: Callable[[bytes], tuple[MessageReader, bytes]],
        schemas: CompiledSchemas[ProtobufSchema] | None = None,
    ) -> None:
        self._find = find
        self._schemas = schemas

    @classmethod
    def of_registry(cls, registry: SchemaRegistry) -> "ProtobufConverter":
        """Every value is framed, names its schema, and a message in it."""
        schemas = CompiledSchemas(registry, "PROTOBUF", _compile)

        def find(data: bytes) -> tuple[MessageReader, bytes]:
            schema_id, rest = split_frame(data)
            schema = schemas.of(schema_id)
            indexes, message = split_indexes(rest)
            return schema.at(indexes), message

        return cls(find, schemas)

    @classmethod
    def of_file(cls, path: str, message: str, *, framed: bool = False) -> "ProtobufConverter":
        """All values are that message; with `framed` their id and indexes are passed over.

        Raises ValueError when the file or the message in it is missing.
        """
        try:
            types = read_descriptors(Path(path).read_bytes())
            reader = MessageReader(types, message, Values(types))
        except OSError as error:
            raise ValueError(f"descriptor_file {path}: {error.strerror}") from error
        except ConversionError as error:
            raise ValueError(f"descriptor_file {path}: {error.message}") from error
        except KeyError as error:
            hint = near_miss(message, types.names())
            raise ValueError(f"descriptor_file {path} has no message '{message}'{hint}") from error
        if framed:
            return cls(lambda data: (reader, split_indexes(split_frame(data)[1])[1]))
        return cls(lambda data: (reader, data))

    def __call__(self, data: bytes | None, topic: str, headers: Headers) -> object:  # noqa: ARG002
        """Plain data; raises ConversionError and SchemaNeeded."""
        if data is None:
            return None
        reader, message = self._find(data)
        return reader.read(message)

    def convert_with_schema(
        self,
        data: bytes | None,
        topic: str,  # noqa: ARG002 (the contract of converters)
        headers: Headers,  # noqa: ARG002 (the contract of converters)
    ) -> tuple[object, WriterSchema | None]:
        """Plain data and the schema derived from its message type."""
        if data is None:
            return None, None
        reader, message = self._find(data)
        return reader.read(message), reader.writer

    async def fetch(self, schema_id: int) -> None:
        """A schema of the registry; raises RegistryAwayError."""
        if self._schemas is not None:
            await self._schemas.fetch(schema_id)


def split_indexes(data: bytes) -> tuple[tuple[int, ...], bytes]:
    """Message indexes and message; a single 0 stands for the first message (Confluent's format)."""
    count, position = _zigzag(data, 0)
    if not count:
        return (0,), data[position:]
    if not 0 < count <= len(data):
        raise ConversionError(f"{count} message indexes")
    indexes = []
    for _ in range(count):
        index, position = _zigzag(data, position)
        indexes.append(index)
    return tuple(indexes), data[position:]


def _zigzag(data: bytes, position: int) -> tuple[int, int]:
    number = 0
    for shift, byte in enumerate(data[position : position + _MAX_VARINT_BYTES]):
        number |= (byte & 0x7F) << (7 * shift)
        if byte < 0x80:  # noqa: PLR2004 (the bit that says: more follows)
            return (number >> 1) ^ -(number & 1), position + shift + 1
    raise ConversionError("message indexes that do not end")


async def _compile(registered: RegisteredSchema) -> ProtobufSchema:
    imports = [(reference.name, reference.text) for reference in registered.references]
    types, file = await asyncio.to_thread(compile_proto, registered.text, imports)
    return ProtobufSchema(types, file)
