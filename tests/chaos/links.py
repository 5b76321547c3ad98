"""The network between one sink and Kafka: a TCP relay that can be cut."""

import asyncio
from contextlib import suppress
from enum import StrEnum

from tests.chaos.wire import reset

_CHUNK_BYTES = 64 << 10


class State(StrEnum):
    """What happens to bytes on their way."""

    OPEN = "open"
    REFUSED = "refused"
    """Connections are reset, new ones too."""
    SILENT = "silent"
    """Bytes are held in both directions, as by a router that lost its routes."""
    DEAF = "deaf"
    """Requests arrive; their replies are lost, and with them the connection."""


class Link:
    """Relays to one port of this machine; `close` ends every connection."""

    def __init__(self, port: int, server_port: int) -> None:
        self.port = port
        self._server_port = server_port
        self._state = State.OPEN
        self._changed = asyncio.Event()
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()

    async def start(self) -> None:
        """Listen."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)

    async def close(self) -> None:
        """Listen no longer."""
        self.turn(State.REFUSED)
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()

    def turn(self, state: State) -> None:
        """From now on. A connection that lost bytes is never used again."""
        if state is State.REFUSED or self._state is State.DEAF:
            for writer in list(self._writers):
                reset(writer)
        self._state = state
        self._changed.set()
        self._changed = asyncio.Event()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._state is State.REFUSED:
            reset(writer)
            return
        self._writers.add(writer)
        try:
            upstream = await asyncio.open_connection("127.0.0.1", self._server_port)
            self._writers.add(upstream[1])
            try:
                async with asyncio.TaskGroup() as pumps:
                    pumps.create_task(self._pump(reader, upstream[1], is_reply=False))
                    pumps.create_task(self._pump(upstream[0], writer, is_reply=True))
            finally:
                self._writers.discard(upstream[1])
                upstream[1].transport.abort()
        except (OSError, ExceptionGroup):
            pass  # an end of either side is an end of both
        finally:
            self._writers.discard(writer)
            reset(writer)

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, is_reply: bool
    ) -> None:
        """Raises at the end, which ends the other direction too."""
        while data := await reader.read(_CHUNK_BYTES):
            while self._state is State.SILENT:
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._changed.wait(), 1)
            if is_reply and self._state is State.DEAF:
                continue
            writer.write(data)
            await writer.drain()
        raise ConnectionAbortedError
