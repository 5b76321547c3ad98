"""A proxy that knows CONNECT and nothing else: bytes through a tunnel, to where it was asked."""

import asyncio

from tests.servers.processes import free_port
from tests.servers.relay import LoopbackServer, pump


class ConnectProxy(LoopbackServer):
    """Whatever host is asked for is reached at loopback; `asked` keeps each head, line by line.

    `authorization`: the header without which it answers 407.
    """

    def __init__(self, authorization: str | None = None) -> None:
        super().__init__(free_port())
        self.asked: list[list[str]] = []
        self._authorization = authorization

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
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
            await asyncio.gather(pump(reader, back), pump(there, writer))
        finally:
            back.close()
