"""HTTP with limits: what aiohttp leaves open to slow, greedy and broken clients.

1. Whoever needs longer than `slow_client_seconds` for the headers, for the body, or to take an
   answer is cut off. One timer of the connection runs whenever no handler does; a handler is ours
   and may take its time (`?wait=1h`).
2. Bodies are read whole, up to 64 KiB, before a handler runs; headers up to 16 KiB.
3. Every error has Connect's form, also those that never reach a handler.
"""

import asyncio
import errno
import json
import logging
import socket
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any

from aiohttp import web
from aiohttp.http_exceptions import LineTooLong

from spoolsink.connect_rest import Answer, refusal
from spoolsink.errors import AdminError

MAX_BODY_BYTES = 64 * 1024
MAX_HEADER_BYTES = 16 * 1024
SLOW_CLIENT_SECONDS = 60.0

_MAX_HEADERS = 4096
"""The bytes are counted by us; so many cannot be in them."""
_LINGERING_SECONDS = 2.0
"""How long more of a refused body is taken, so that the client gets to read why."""
_RESOLVE_SECONDS = 10.0
"""Of a host's name: a restart waits for it, and a resolver without servers takes minutes."""

_log = logging.getLogger(__name__)

Handler = Callable[[web.BaseRequest, "Connection"], Awaitable[web.Response]]


class Connection(web.RequestHandler):
    """One client. `gone` is set when it, or the server, went away."""

    def __init__(self, server: "LimitedServer", slow_client_seconds: float) -> None:
        super().__init__(
            server,
            loop=asyncio.get_running_loop(),
            access_log=None,  # type: ignore[arg-type]  # None is aiohttp's own way to say so
            # A body is never looked at: there is no bomb to unpack.
            auto_decompress=False,
            max_line_size=MAX_HEADER_BYTES,
            max_field_size=MAX_HEADER_BYTES,
            max_headers=_MAX_HEADERS,
            lingering_time=_LINGERING_SECONDS,
        )
        self.gone = asyncio.Event()
        self._is_answering = False
        self._slow_client_seconds = slow_client_seconds
        self._timer: asyncio.TimerHandle | None = None
        self._transport: asyncio.BaseTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._transport = transport
        self.wait_for_client()

    def connection_lost(self, exc: BaseException | None) -> None:
        self.client_has_answered()
        self.gone.set()
        super().connection_lost(exc)

    def wait_for_client(self) -> None:
        """From here on the client has to do something."""
        self.client_has_answered()
        self._is_answering = False
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(self._slow_client_seconds, self._cut_off)

    def client_has_answered(self) -> None:
        """It is our turn."""
        self._is_answering = True
        if self._timer is not None:
            self._timer.cancel()

    def end(self) -> None:
        """With the answer that is under way, else at once; aiohttp's `close` leaves an idle one."""
        if self._is_answering:
            self.close()
        else:
            self.force_close()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002 (it may quote what the client sent)
    ) -> web.StreamResponse:
        """The answer to what no handler saw, or what one failed with."""
        if request.writer.output_size > 0:
            raise ConnectionError("the answer has begun")
        if status >= 500:  # noqa: PLR2004 (ours, not the client's)
            _log.error("admin request failed", exc_info=exc, extra={"path": request.path})
        if isinstance(exc, LineTooLong):
            status = 431
        response = respond(refusal_of(status))
        response.force_close()
        return response

    def _cut_off(self) -> None:
        # `close` would wait until a client that does not read has read everything.
        assert isinstance(self._transport, asyncio.Transport)
        self._transport.abort()


class LimitedServer(web.Server):
    """Hands requests that keep the limits to one handler; used on one event loop."""

    def __init__(self, handler: Handler, *, slow_client_seconds: float) -> None:
        super().__init__(self._serve, request_factory=self._limited_request)
        self._handler = handler
        self._slow_client_seconds = slow_client_seconds

    def __call__(self) -> Connection:
        return Connection(self, self._slow_client_seconds)

    def hang_up(self) -> None:
        """Handlers that wait for something (`gone`) give up."""
        for connection in self.connections:
            assert isinstance(connection, Connection)
            connection.gone.set()

    def close_idle(self) -> None:
        """Connections end with the answer that is under way, else at once."""
        for connection in self.connections:
            assert isinstance(connection, Connection)
            connection.end()

    async def _serve(self, request: web.BaseRequest) -> web.Response:
        connection = request.protocol
        assert isinstance(connection, Connection)
        connection.client_has_answered()
        try:
            if refused := await self._refused(request):
                response = respond(refused)
                response.force_close()
                return response
            return await self._handler(request, connection)
        finally:
            connection.wait_for_client()

    async def _refused(self, request: web.BaseRequest) -> Answer | None:
        lines = [(request.method.encode(), request.raw_path.encode()), *request.raw_headers]
        # Four for each line: colon, blank and the end of the line.
        if sum(len(name) + len(value) + 4 for name, value in lines) > MAX_HEADER_BYTES:
            return refusal_of(431)
        if (request.content_length or 0) > MAX_BODY_BYTES:
            return refusal_of(413)
        try:
            async with asyncio.timeout(self._slow_client_seconds):
                await _read_body(request)
        except web.HTTPRequestEntityTooLarge:
            return refusal_of(413)
        except TimeoutError:
            return refusal_of(408)
        except (web.RequestPayloadError, ConnectionError):
            return refusal_of(400)
        return None

    def _limited_request(
        self, message: Any, payload: Any, protocol: Any, writer: Any, task: Any
    ) -> web.BaseRequest:
        loop = asyncio.get_running_loop()
        return web.BaseRequest(
            message, payload, protocol, writer, task, loop, client_max_size=MAX_BODY_BYTES
        )


async def _read_body(request: web.BaseRequest) -> None:
    if request.headers.get("Expect", "").lower() == "100-continue":
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        # The answer itself has not begun.
        request.writer.output_size = 0
    await request.read()


def respond(answer: Answer, **headers: str) -> web.Response:
    """As JSON; nothing where there is no content. Never kept by caches, never guessed at."""
    headers |= {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
    if answer.content is None:
        return web.Response(status=answer.status, headers=headers)
    text = json.dumps(answer.content, separators=(",", ":"))
    return web.Response(
        status=answer.status, text=text, content_type="application/json", headers=headers
    )


def refusal_of(status: int) -> Answer:
    """An error without more words than HTTP has for it."""
    return refusal(status, f"HTTP {status} {HTTPStatus(status).phrase}")


async def listening_sockets(
    listen: str, *, resolve_seconds: float = _RESOLVE_SECONDS
) -> list[socket.socket]:
    """Bound to every address of `host:port`, all with one port; the caller closes them.

    Port 0 picks one. Addresses of a family that the machine does not have are passed by
    (`localhost` is `::1` too where IPv6 is off). Raises AdminError.
    """
    found = await _resolved(listen, resolve_seconds)
    bound: list[socket.socket] = []
    try:
        absent: OSError | None = None
        for family, _, _, _, address in dict.fromkeys(found):
            number = bound[0].getsockname()[1] if bound else address[1]
            try:
                bound.append(_bound(family, (address[0], number, *address[2:])))
            except OSError as error:
                if error.errno not in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
                    raise
                absent = error
        if absent is not None and not bound:
            raise absent
    except OSError as error:
        for one in bound:
            one.close()
        raise AdminError(listen, error.strerror or str(error)) from error
    return bound


async def _resolved(listen: str, seconds: float) -> list[Any]:
    host, _, port = listen.rpartition(":")
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(seconds):
            return await loop.getaddrinfo(
                host.strip("[]") or None,
                int(port),
                type=socket.SOCK_STREAM,
                flags=socket.AI_PASSIVE,
            )
    except TimeoutError as error:
        raise AdminError(listen, f"the name is not resolved within {seconds:g} s") from error
    except OSError as error:
        raise AdminError(listen, error.strerror or str(error)) from error


def _bound(family: int, address: tuple[object, ...]) -> socket.socket:
    one = socket.socket(family, socket.SOCK_STREAM)
    try:
        # A restart must not wait for the last one's closed connections.
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            # `::` beside `0.0.0.0`: each takes its own.
            one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        one.bind(address)
        # Here, where a port that is taken can still be told.
        one.listen()
        one.setblocking(False)
    except OSError:
        one.close()
        raise
    return one
