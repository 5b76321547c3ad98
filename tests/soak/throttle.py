"""A relay before the S3 server: requests pass at a fixed rate, all connections together."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

_CHUNK_BYTES = 32 << 10
_BURST_SECONDS = 0.25
"""What an idle time saves up."""


class Throttle:
    """Listens on `port` of loopback; answers pass as they come."""

    def __init__(self, port: int, server_port: int, bytes_per_second: float) -> None:
        self.port = port
        self.passed_bytes = 0
        self._server_port = server_port
        self._rate = bytes_per_second
        self._free_at = 0.0
        """When the next byte may pass, on the event loop's clock."""
        self._tasks: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        """Until the block ends; every connection is cut then."""
        server = await asyncio.start_server(
            self._accept, "127.0.0.1", self.port, limit=_CHUNK_BYTES
        )
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
            there, back = await asyncio.open_connection("127.0.0.1", self._server_port)
            try:
                async with asyncio.TaskGroup() as pumps:
                    pumps.create_task(self._requests(reader, back))
                    pumps.create_task(_answers(there, writer))
            finally:
                back.close()
        except (OSError, asyncio.CancelledError):
            return  # a task of the stream server's own, which would report it as a fault
        finally:
            self._tasks.discard(task)
            writer.close()

    async def _requests(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await source.read(_CHUNK_BYTES):
                await self._turn(len(data))
                target.write(data)
                await target.drain()
        target.close()

    async def _turn(self, count: int) -> None:
        """Wait until so many bytes may pass."""
        now = asyncio.get_running_loop().time()
        at = max(self._free_at, now - _BURST_SECONDS)
        self._free_at = at + count / self._rate
        self.passed_bytes += count
        await asyncio.sleep(max(0.0, at - now))


async def _answers(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await source.read(_CHUNK_BYTES):
            target.write(data)
            await target.drain()
    target.close()
