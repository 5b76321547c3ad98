"""Small TCP servers of the tests' own, and a relay before a server that counts what passes."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Self

_CHUNK_BYTES = 65_536

Passing = Callable[[int], Awaitable[None]]
"""Called with the number of bytes that are about to pass."""


class LoopbackServer:
    """Listens on `port` of loopback while it is `serving`; `_answer` is a connection's life."""

    def __init__(self, port: int) -> None:
        self.port = port
        self._tasks: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[Self]:
        """Until the block ends; every connection is cut then."""
        server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)
        try:
            yield self
        finally:
            server.close()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            await self._answer(reader, writer)
        except (asyncio.CancelledError, OSError, asyncio.IncompleteReadError):
            return  # a task of the stream server's own, which would report it as a fault
        finally:
            self._tasks.discard(task)
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        raise NotImplementedError


class Relay(LoopbackServer):
    """`received_bytes` is what the server has said through it; away like the server is away."""

    def __init__(self, port: int, server_port: int) -> None:
        super().__init__(port)
        self.received_bytes = 0
        self._server_port = server_port

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", self._server_port)
        try:
            async with asyncio.TaskGroup() as pumps:
                pumps.create_task(pump(reader, back, self._asked))
                pumps.create_task(pump(there, writer, self._told))
        finally:
            back.close()

    async def _asked(self, count: int) -> None:
        """So many bytes are about to go to the server."""

    async def _told(self, count: int) -> None:
        self.received_bytes += count


async def pump(
    source: asyncio.StreamReader, target: asyncio.StreamWriter, passing: Passing | None = None
) -> None:
    """Bytes from here to there, until either end is over."""
    with suppress(OSError):
        while data := await source.read(_CHUNK_BYTES):
            if passing is not None:
                await passing(len(data))
            target.write(data)
            await target.drain()
    target.close()
