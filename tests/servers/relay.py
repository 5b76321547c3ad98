"""A relay before a TCP server: counts what the server says through it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

_CHUNK_BYTES = 65_536


class Relay:
    """Listens on `port` of loopback; `received_bytes` is what the server has said through it."""

    def __init__(self, port: int, server_port: int) -> None:
        self.port = port
        self.received_bytes = 0
        self._server_port = server_port
        self._tasks: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        """Until the block ends; every connection is cut then."""
        server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)
        try:
            yield
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
            await self._relay(reader, writer)
        except asyncio.CancelledError:
            return  # a task of the stream server's own, which would report it as a fault
        finally:
            self._tasks.discard(task)
            writer.close()

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there, back = await asyncio.open_connection("127.0.0.1", self._server_port)
        except OSError:
            return  # the server is away: so are we
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._pump(reader, back, is_answer=False))
                tasks.create_task(self._pump(there, writer, is_answer=True))
        finally:
            back.close()

    async def _pump(
        self, source: asyncio.StreamReader, target: asyncio.StreamWriter, *, is_answer: bool
    ) -> None:
        with suppress(OSError):
            while data := await source.read(_CHUNK_BYTES):
                if is_answer:
                    self.received_bytes += len(data)
                target.write(data)
                await target.drain()
        target.close()
