"""A broker over a socket that answers what a test lets it, and is silent about the rest."""

import asyncio
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from aiokafka.protocol.metadata import MetadataResponse_v0
from aiokafka.protocol.transaction import InitProducerIdResponse_v0

NET_SECONDS = 20.0
PRODUCE, METADATA, API_VERSIONS, INIT_PRODUCER_ID = 0, 3, 18, 22
_VERSIONS = {PRODUCE: 3, METADATA: 0, API_VERSIONS: 0, INIT_PRODUCER_ID: 0}
"""The highest of each; the lowest is 0."""


class SilentBroker:
    """Of one topic `dead`; `silent` is the request that it never answers."""

    def __init__(self, silent: int) -> None:
        self.address = ""
        self.open = 0
        self._silent = silent
        self._changed = asyncio.Condition()
        self._asked = False

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        """Until the block ends."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        yield
        server.close()
        await server.wait_closed()

    async def asked(self) -> None:
        """Returns when the request that is never answered is there."""
        await self._until(lambda: self._asked)

    async def left(self) -> None:
        """Returns when every connection has been closed from the other side."""
        await self._until(lambda: not self.open)

    async def _until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(NET_SECONDS), self._changed:
            await self._changed.wait_for(holds)

    async def _note(self, *, opened: int = 0, asked: bool = False) -> None:
        async with self._changed:
            self.open += opened
            self._asked |= asked
            self._changed.notify_all()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._note(opened=1)
        while header := await reader.read(4):
            request = await reader.readexactly(*struct.unpack(">i", header))
            api, _, correlation = struct.unpack(">hhi", request[:8])
            if api == self._silent:
                await self._note(asked=True)
                continue
            answer = struct.pack(">i", correlation) + self._answer(api)
            writer.write(struct.pack(">i", len(answer)) + answer)
        writer.close()
        await self._note(opened=-1)

    def _answer(self, api: int) -> bytes:
        if api == API_VERSIONS:
            rows = b"".join(struct.pack(">hhh", key, 0, high) for key, high in _VERSIONS.items())
            return struct.pack(">hi", 0, len(_VERSIONS)) + rows
        if api == METADATA:
            host, _, port = self.address.partition(":")
            partitions = [(0, 0, 0, [0], [0])]
            found: bytes = MetadataResponse_v0(
                brokers=[(0, host, int(port))], topics=[(0, "dead", partitions)]
            ).encode()
            return found
        pid: bytes = InitProducerIdResponse_v0(
            throttle_time_ms=0, error_code=0, producer_id=1, producer_epoch=0
        ).encode()
        return pid
