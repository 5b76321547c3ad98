"""One open admin port with its sink and a client, for the tests of what it answers and endures."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager

import aiohttp
from pydantic import SecretStr

from spoolsink.admin import Admin
from tests.unit.fake_sink import FakeSink

KIB = 1024
NET_SECONDS = 20.0
"""Only a net: nothing here should take that long."""


class Port:
    """One open admin port, its sink, and a client."""

    def __init__(
        self, sink: FakeSink, admin: Admin, address: str, client: aiohttp.ClientSession
    ) -> None:
        self.sink = sink
        self.admin = admin
        self.host, _, port = address.rpartition(":")
        self.number = int(port)
        self._client = client

    async def ask(
        self, call: str, headers: dict[str, str] | None = None, body: bytes | None = None
    ) -> tuple[int, str]:
        method, path = call.split(" ", 1)
        url = f"http://{self.host}:{self.number}{path}"
        async with self._client.request(method, url, headers=headers, data=body) as answer:
            self.headers = answer.headers
            return answer.status, await answer.text()

    async def json(self, call: str, headers: dict[str, str] | None = None) -> tuple[int, object]:
        status, text = await self.ask(call, headers)
        assert self.headers["Content-Type"] == "application/json; charset=utf-8"
        return status, json.loads(text)

    async def raw(self, data: bytes) -> bytes:
        """What comes back until the server hangs up."""
        reader, writer = await asyncio.open_connection(self.host, self.number)
        writer.write(data)
        try:
            async with asyncio.timeout(NET_SECONDS):
                return await until_end(reader)
        finally:
            writer.close()


async def until_end(reader: asyncio.StreamReader) -> bytes:
    data = b""
    try:
        while more := await reader.read(KIB):
            data += more
    except ConnectionResetError:
        pass
    return data


Open = Callable[..., Awaitable[Port]]


@asynccontextmanager
async def ports() -> AsyncIterator[Open]:
    """Opens admin ports, and closes them at the end."""
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(aiohttp.ClientSession())

        async def begin(
            sink: FakeSink | None = None, token: str | None = None, slow: float = NET_SECONDS
        ) -> Port:
            sink = sink or FakeSink()
            admin = Admin(
                sink,
                listen="127.0.0.1:0",
                token=None if token is None else SecretStr(token),
                slow_client_seconds=slow,
            )
            address = await admin.start()
            stack.push_async_callback(admin.stop)
            return Port(sink, admin, address, client)

        yield begin


def is_error(answer: tuple[int, object], status: int) -> bool:
    """Connect's form of an error."""
    content = answer[1]
    assert isinstance(content, dict)
    assert isinstance(content["message"], str)
    assert content["message"]
    return bool(answer[0] == content["error_code"] == status)
