"""A proxy before a real S3 server that answers in its place for as long as a fault is set.

Requests are handed on as they came, so that their signatures hold: the host that they name is
the proxy's, here as there.
"""

import asyncio
import io
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import Enum

import aiohttp
from aiohttp import web
from yarl import URL

from tests.servers.processes import S3Server, free_port

_TRICKLE_SECONDS = 0.1
_HOP = {"transfer-encoding", "connection", "content-encoding", "keep-alive"}
"""Of one connection, or done by the client's library already."""


class Silence(Enum):
    """What a server may do instead of an answer."""

    SLOW = "a head, and then white space without end"
    MUTE = "nothing, the connection stays open"
    HALF_CLOSED = "its side of the connection is closed, ours is read on"
    RESET = "the connection is cut"


@dataclass(frozen=True)
class Refusal:
    """S3's error document."""

    status: int
    code: str


Fault = Refusal | Silence


class S3Faults:
    """One proxy. `asked` tells when the present fault was the answer, `handed_on` counts the rest.

    `fault` is for every request, `by_key` for those whose key holds a text, `by_operation` for
    those of a name.
    """

    def __init__(self, s3: S3Server) -> None:
        self.fault: Fault | None = None
        self.by_key: dict[str, Fault] = {}
        self.by_operation: dict[str, Fault] = {}
        self.asked: list[float] = []
        self.handed_on: Counter[str] = Counter()
        self.in_flight = self.in_flight_peak = 0
        self._s3 = s3
        self._port = free_port()
        self._mended = asyncio.Event()

    @property
    def endpoint_url(self) -> str:
        """Where the sink finds it."""
        return f"http://127.0.0.1:{self._port}"

    @asynccontextmanager
    async def serving(self) -> AsyncIterator["S3Faults"]:
        """Until the block ends."""
        app = web.Application(client_max_size=64 * 2**20)
        app.router.add_route("*", "/{rest:.*}", self._answer)
        runner = web.AppRunner(app, auto_decompress=False, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", self._port).start()
        try:
            async with aiohttp.ClientSession(auto_decompress=False) as session:
                self._session = session
                yield self
        finally:
            self.mend()
            await runner.cleanup()

    def mend(self) -> None:
        """From here on the server itself is asked."""
        self.fault = None
        self.by_key.clear()
        self.by_operation.clear()
        self.asked.clear()
        self._mended.set()
        self._mended = asyncio.Event()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        operation = operation_of(request.method, request.query)
        fault = self.fault or self.by_operation.get(operation) or self._of_key(request.path)
        # Read first: who answers in the middle of a body cuts it off.
        body = await request.read()
        if fault is not None:
            self.asked.append(time.monotonic())
            return await self._fail(request, fault, self._mended)
        self.handed_on[operation] += 1
        self.in_flight += operation in WRITING
        self.in_flight_peak = max(self.in_flight_peak, self.in_flight)
        try:
            return await self._hand_on(request, body)
        finally:
            self.in_flight -= operation in WRITING

    def _of_key(self, path: str) -> Fault | None:
        return next((fault for text, fault in self.by_key.items() if text in path), None)

    async def _hand_on(self, request: web.Request, body: bytes) -> web.Response:
        url = URL(f"{self._s3.endpoint_url}{request.raw_path}", encoded=True)
        async with self._session.request(
            request.method,
            url,
            data=io.BytesIO(body),
            headers=request.headers,
            allow_redirects=False,
        ) as answer:
            found = await answer.read()
            headers = [(k, v) for k, v in answer.headers.items() if k.lower() not in _HOP]
            return web.Response(status=answer.status, body=found or None, headers=dict(headers))

    async def _fail(
        self, request: web.Request, fault: Fault, mended: asyncio.Event
    ) -> web.StreamResponse:
        if isinstance(fault, Refusal):
            document = f"<Error><Code>{fault.code}</Code><Message>as planned</Message></Error>"
            return web.Response(status=fault.status, text=document, content_type="application/xml")
        transport = request.transport
        assert isinstance(transport, asyncio.Transport)
        if fault is Silence.HALF_CLOSED:
            transport.write_eof()
        elif fault is Silence.SLOW:
            answer = web.StreamResponse(headers={"Content-Type": "application/xml"})
            await answer.prepare(request)
        while fault is not Silence.RESET and not (mended.is_set() or transport.is_closing()):
            if fault is Silence.SLOW:
                await answer.write(b" ")
            await asyncio.sleep(_TRICKLE_SECONDS)
        transport.abort()
        return web.Response()


WRITING = frozenset({"PutObject", "CreateMultipartUpload", "UploadPart", "CompleteMultipartUpload"})
"""What `s3.uploads` limits."""


def operation_of(method: str, query: Mapping[str, str]) -> str:
    """S3's name of a request."""
    has_id = "uploadId" in query
    return {
        "PUT": "UploadPart" if has_id else "PutObject",
        "HEAD": "HeadObject",
        "DELETE": "AbortMultipartUpload" if has_id else "DeleteObject",
        "POST": "CompleteMultipartUpload" if has_id else "CreateMultipartUpload",
        "GET": "ListMultipartUploads" if "uploads" in query else "ListObjectsV2",
    }[method]
