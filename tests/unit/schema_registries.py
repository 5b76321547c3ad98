"""Schema registries for tests: one of a dict, and a small HTTP server that can misbehave."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from aiohttp import web

from spoolsink.converters.registry import RegisteredSchema, SchemaReference, SchemaRegistry
from spoolsink.converters.schema import SchemaConverter
from spoolsink.errors import SchemaNeeded

URL = "http://registry.invalid"


class DictRegistry(SchemaRegistry):
    """Answers at once; an id that it does not have is unknown at once."""

    def __init__(self, schemas: dict[int, RegisteredSchema]) -> None:
        super().__init__(URL)
        self.schemas = schemas
        self.asked: list[int] = []

    async def fetch(self, schema_id: int) -> RegisteredSchema | None:
        """Counts."""
        self.asked.append(schema_id)
        return self.schemas.get(schema_id)


def registered(kind: str, text: str, **references: str) -> RegisteredSchema:
    """A schema and what it refers to, by name (`_` stands for `.`, as names of arguments go)."""
    found = (SchemaReference(name.replace("_", "."), t) for name, t in references.items())
    return RegisteredSchema(kind, text, tuple(found))


def framed(schema_id: int, datum: bytes, indexes: bytes = b"") -> bytes:
    """As Confluent's serializers do."""
    return b"\x00" + schema_id.to_bytes(4, "big") + indexes + datum


async def converted(converter: SchemaConverter, data: bytes) -> object:
    """The value, after the schema was fetched as a pipeline would."""
    try:
        return converter(data, "t", ())
    except SchemaNeeded as needed:
        await needed.fetch()
    return converter(data, "t", ())


class SmallRegistry:
    """Answers what `answers` says by path, and keeps what it was asked."""

    def __init__(self) -> None:
        self.answers: dict[str, tuple[int, object]] = {}
        self.asked: list[str] = []
        self.headers: list[dict[str, str]] = []
        self.hold: asyncio.Event | None = None
        self.arrived = asyncio.Event()
        self.url = ""

    async def handle(self, request: web.Request) -> web.Response:
        """One question; waits for `hold` where it is set."""
        self.asked.append(request.raw_path)
        self.headers.append(dict(request.headers))
        self.arrived.set()
        if self.hold is not None:
            await self.hold.wait()
        nothing: tuple[int, object] = (404, {"error_code": 40403, "message": "none"})
        status, body = self.answers.get(request.raw_path, nothing)
        if isinstance(body, str):
            return web.Response(status=status, text=body, headers={"Location": "/elsewhere"})
        return web.json_response(body, status=status)


@asynccontextmanager
async def small_registry(certificate: Path | None = None) -> AsyncIterator[SmallRegistry]:
    """On a free loopback port; with a certificate by HTTPS."""
    small = SmallRegistry()
    app = web.Application()
    app.router.add_get("/{rest:.*}", small.handle)
    # A client that was cut off must not keep the server waiting at its end.
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=1)
    await runner.setup()
    tls = None if certificate is None else ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    if tls is not None and certificate is not None:
        tls.load_cert_chain(certificate)
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
    await site.start()
    scheme = "http" if tls is None else "https"
    small.url = f"{scheme}://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield small
    finally:
        await runner.cleanup()
