"""A proxy that knows CONNECT and nothing else: bytes through a tunnel, to where it was asked."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from tests.servers.processes import free_port

_CHUNK_BYTES = 65_536


class ConnectProxy:
    """Whatever host is asked for is reached at loopback; `asked` keeps each head, line by line.

    `authorization`: the header without which it answers 407.
    """

    def __init__(self, authorization: str | None = None) -> None:
        self.asked: list[list[str]] = []
        self.port = free_port()
        self._authorization = authorization
        self._tasks: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def serving(self) -> AsyncIterator["ConnectProxy"]:
        """Until the block ends."""
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
            await self._tunnel(reader, writer)
        except (asyncio.CancelledError, OSError, asyncio.IncompleteReadError):
            return  # the stream server would report it as a fault
        finally:
            self._tasks.discard(task)
            writer.close()

    async def _tunnel(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().strip().splitlines()
        self.asked.append(head)
        method, target, _ = head[0].split(" ")
        wanted = f"Proxy-Authorization: {self._authorization}"
        if method != "CONNECT" or (self._authorization and wanted not in head):
            writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
            await writer.drain()
            return
        port = int(target.rpartition(":")[2])
        there, back = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        try:
            await asyncio.gather(_pump(reader, back), _pump(there, writer))
        finally:
            back.close()


async def _pump(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await source.read(_CHUNK_BYTES):
            target.write(data)
            await target.drain()
    target.close()
