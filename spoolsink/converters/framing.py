"""The framing of Confluent's serializers, and the schemas of it that are ready for use.

```text
0        1            5
| 0      | schema id  | (protobuf: message indexes) datum ...
| magic  | big-endian |
```
"""

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Generic, TypeVar

from spoolsink.converters.registry import RegisteredSchema, SchemaRegistry
from spoolsink.converters.single_flight import SingleFlight
from spoolsink.errors import ConversionError, SchemaNeeded

FRAME_BYTES = 5
COMPILED_SCHEMAS = 1000
"""Schemas of one converter in memory; the least recently used one goes."""

Schema = TypeVar("Schema")


def split_frame(data: bytes) -> tuple[int, bytes]:
    """Schema id, and what follows it; raises ConversionError."""
    if len(data) < FRAME_BYTES:
        raise ConversionError(f"{len(data)} bytes are too few for a schema id in front")
    if data[0]:
        raise ConversionError(f"begins with byte {data[0]}, not with the 0 before a schema id")
    return int.from_bytes(data[1:FRAME_BYTES]), data[FRAME_BYTES:]


def registry_for(
    converter: str, files: str, options: Mapping[str, object], registry: SchemaRegistry | None
) -> SchemaRegistry:
    """The registry of a converter whose options name no file; raises ValueError without one."""
    if registry is None:
        raise ValueError(f"{converter} needs {files}, or records.schema_registry.url")
    if options.get("framed") is False:
        raise ValueError(f"{converter}: what is not framed needs {files}")
    return registry


class CompiledSchemas(Generic[Schema]):
    """Schemas by id, compiled once; of one converter.

    What cannot be compiled is remembered too: every record with that id is a bad record.
    """

    def __init__(
        self,
        registry: SchemaRegistry,
        schema_type: str,
        compile_schema: Callable[[RegisteredSchema], Awaitable[Schema]],
        *,
        capacity: int = COMPILED_SCHEMAS,
    ) -> None:
        self._registry = registry
        self._schema_type = schema_type
        self._compile = compile_schema
        self._capacity = capacity
        self._ready: OrderedDict[int, Schema | ConversionError] = OrderedDict()
        self._flights = SingleFlight()

    def of(self, schema_id: int) -> Schema:
        """Raises SchemaNeeded when it is not here, ConversionError when it cannot be used."""
        found = self._ready.get(schema_id)
        if found is None:
            raise SchemaNeeded(schema_id, partial(self.fetch, schema_id))
        self._ready.move_to_end(schema_id)
        if isinstance(found, ConversionError):
            raise ConversionError(found.message)
        return found

    async def fetch(self, schema_id: int) -> None:
        """Afterwards `of` answers; raises RegistryAwayError."""
        await self._flights.run(
            schema_id, lambda: schema_id in self._ready, partial(self._fetch, schema_id)
        )

    async def _fetch(self, schema_id: int) -> None:
        registered = await self._registry.fetch(schema_id)
        self._ready[schema_id] = await self._compiled(schema_id, registered)
        while len(self._ready) > self._capacity:
            self._ready.popitem(last=False)

    async def _compiled(
        self, schema_id: int, registered: RegisteredSchema | None
    ) -> Schema | ConversionError:
        if registered is None:
            return ConversionError(f"schema id {schema_id} is not in the registry")
        found = registered.schema_type
        if found != self._schema_type:
            return ConversionError(f"schema id {schema_id} is {found}, not {self._schema_type}")
        try:
            return await self._compile(registered)
        except ConversionError as error:
            return ConversionError(f"schema id {schema_id}: {error.message}")
