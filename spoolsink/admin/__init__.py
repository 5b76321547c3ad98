"""The admin port: metrics, health, a page for people, flush, and Connect's subset.

1. GETs never change anything and never need the token.
2. Everything else needs it when there is one, and is refused to pages of other origins.
3. It speaks for this process only, also while Kafka or S3 is away.
"""

import asyncio
import hmac
import re
import socket
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple
from urllib.parse import unquote

from aiohttp import web
from prometheus_client import generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from spoolsink import __version__
from spoolsink.admin import page
from spoolsink.admin.connection import (
    SLOW_CLIENT_SECONDS,
    Connection,
    LimitedServer,
    listening_sockets,
    refusal_of,
    respond,
)
from spoolsink.admin.page_assets import POLICY
from spoolsink.config import reveal
from spoolsink.config_types import Secret, parse_duration
from spoolsink.connect_rest import Answer, ConnectRest, Path, Query, Route, refusal
from spoolsink.errors import AdminError
from spoolsink.logs import redact
from spoolsink.status import Operated

_STOP_SECONDS = 2.0
"""How long answers that are under way may take when the port closes."""

_JSON, _HTML = "application/json", "text/html"


class _Call(NamedTuple):
    request: web.BaseRequest
    connection: Connection
    path: Path
    query: Query


_Endpoint = tuple[str, str, Callable[[_Call], Awaitable[web.Response]]]
"""Method, template of the path, what answers."""


class Admin:
    """Owned by the service; started once. `listen` is host:port, port 0 picks one."""

    def __init__(
        self,
        sink: Operated,
        *,
        listen: str,
        token: Secret | None,
        slow_client_seconds: float = SLOW_CLIENT_SECONDS,
    ) -> None:
        self._sink = sink
        self._listen = listen
        self._token = reveal(token)
        self._slow_client_seconds = slow_client_seconds
        self._connect = ConnectRest(sink, lambda: self.address)
        self._endpoints = [*self._own_endpoints(), *map(_endpoint, self._connect.routes())]
        self._server: LimitedServer | None = None
        self._runner: web.ServerRunner | None = None
        self._sites: list[web.SockSite] = []
        # Its own: a disk that hangs has the others, and is what one wants to see in the metrics.
        self._rendering = ThreadPoolExecutor(1, "admin")
        self.address = listen
        """host:port; what is bound, once it has started."""

    async def start(self) -> str:
        """The address that is bound, host:port. Raises AdminError; nothing is left open then."""
        sockets = await listening_sockets(self._listen)
        self._server = LimitedServer(self._handle, slow_client_seconds=self._slow_client_seconds)
        self._runner = web.ServerRunner(self._server, shutdown_timeout=_STOP_SECONDS)
        await self._runner.setup()
        await self._serve(sockets)
        return self.address

    async def move(self, listen: str, token: Secret | None) -> str:
        """The address that is bound from now on; requests under way are still answered.

        Raises AdminError, and listens where it did, with the token that it had.
        """
        if listen != self._listen:
            sockets = await self._sockets_elsewhere(listen)
            await self._close_sites()
            await self._serve(sockets)
            self._listen = listen
            assert self._server is not None
            self._server.close_idle()
        self._token = reveal(token)
        return self.address

    async def stop(self) -> None:
        """Takes no more requests; answers under way get two seconds. Not started: nothing to do."""
        if self._server is not None:
            self._server.hang_up()
        if self._runner is not None:
            await self._runner.cleanup()
        self._rendering.shutdown(wait=False, cancel_futures=True)

    async def _sockets_elsewhere(self, listen: str) -> list[socket.socket]:
        try:
            return await listening_sockets(listen)
        except AdminError:
            if listen.rpartition(":")[2] != self.address.rpartition(":")[2]:
                raise
        # Perhaps in our own way: `127.0.0.1:8083` and `0.0.0.0:8083` cannot listen both.
        await self._close_sites()
        try:
            return await listening_sockets(listen)
        except AdminError:
            await self._serve(await listening_sockets(self.address))
            raise

    async def _serve(self, sockets: list[socket.socket]) -> None:
        host, port = sockets[0].getsockname()[:2]
        self.address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        assert self._runner is not None
        self._sites = [web.SockSite(self._runner, one) for one in sockets]
        for site in self._sites:
            await site.start()

    async def _close_sites(self) -> None:
        for site in self._sites:
            await site.stop()
        self._sites = []

    def _own_endpoints(self) -> list[_Endpoint]:
        return [
            ("GET", "/", self._root),
            ("GET", "/status.json", self._status),
            ("GET", "/metrics", self._metrics),
            ("GET", "/healthz", self._healthz),
            ("GET", "/readyz", self._readyz),
            ("POST", "/flush", self._flush),
        ]

    async def _handle(self, request: web.BaseRequest, connection: Connection) -> web.Response:
        method = "GET" if request.method == "HEAD" else request.method
        # To Connect a slash at the end means nothing, and scripts rely on it.
        raw_path = request.rel_url.raw_path.rstrip("/") or "/"
        query = {name: request.query.getall(name) for name in request.query}
        allowed, absent = [], None
        for its_method, template, answer in self._endpoints:
            path = _matched(template, raw_path)
            if path is None:
                continue
            if its_method != method:
                allowed.append(its_method)
                absent = absent or self._connect.absent(method, template, path)
                continue
            refused = None if method == "GET" else self._refused(request)
            return refused or await answer(_Call(request, connection, path, query))
        if absent or not allowed:
            return respond(absent or refusal_of(404))
        return respond(refusal_of(405), Allow=", ".join(allowed))

    def _refused(self, request: web.BaseRequest) -> web.Response | None:
        """Why this request may not change anything."""
        # Browsers send it with what a page of another origin makes them do; scripts do not.
        if request.headers.get("Sec-Fetch-Site", "none") not in ("none", "same-origin"):
            return respond(refusal(403, "not for pages of other origins"))
        if self._token is None:
            return None
        scheme, _, given = request.headers.get("Authorization", "").partition(" ")
        # Header bytes that are no UTF-8 arrive as surrogates.
        is_same = hmac.compare_digest(
            given.strip().encode(errors="surrogateescape"), self._token.encode()
        )
        if scheme.lower() == "bearer" and is_same:
            return None
        answer = refusal(401, "a bearer token is required: admin.token")
        return respond(answer, **{"WWW-Authenticate": "Bearer"})

    async def _root(self, call: _Call) -> web.Response:
        snapshot = self._sink.snapshot()
        if _prefers_json(call.request.headers.get("Accept", "")):
            content = {
                "version": __version__,
                # What Connect says of a build that does not know it.
                "commit": "unknown",
                "kafka_cluster_id": snapshot.kafka_cluster_id,
            }
            return respond(Answer(200, content), Vary="Accept")
        response = respond(Answer(200), Vary="Accept", **{"Content-Security-Policy": POLICY})
        response.content_type, response.charset = _HTML, "utf-8"
        response.text = page.document(self._sink)
        return response

    async def _status(self, _call: _Call) -> web.Response:
        return respond(Answer(200, page.status(self._sink)))

    async def _metrics(self, _call: _Call) -> web.Response:
        # With thousands of topic partitions this takes longer than the loop may be away.
        loop, registry = asyncio.get_running_loop(), self._sink.metrics.registry
        text = await loop.run_in_executor(self._rendering, generate_latest, registry)
        response = respond(Answer(200))
        response.headers["Content-Type"] = CONTENT_TYPE_PLAIN_0_0_4
        response.body = text
        return response

    async def _healthz(self, _call: _Call) -> web.Response:
        if self._sink.is_alive():
            return respond(Answer(200, {"status": "alive"}))
        return respond(refusal(503, "a task has ended"))

    async def _readyz(self, _call: _Call) -> web.Response:
        if self._sink.is_ready():
            notes = [redact(note) for note in self._sink.notes()]
            return respond(Answer(200, {"status": "ready"} | ({"notes": notes} if notes else {})))
        reasons = [redact(reason) for reason in self._sink.reasons()]
        return respond(refusal(503, "; ".join(reasons) or "not ready", reasons=reasons))

    async def _flush(self, call: _Call) -> web.Response:
        wishes = call.query.get("wait", [])
        if len(wishes) > 1:
            return respond(refusal(400, "wait: given more than once"))
        text = wishes[0] if wishes else None
        if text is None:
            self._sink.begin_flush()
            return respond(Answer(202, {"status": "accepted"}))
        try:
            seconds = parse_duration(text)
        except ValueError:
            return respond(refusal(400, "wait: allowed: a duration such as 500ms, 30s or 2m"))
        committed = self._sink.begin_flush()
        await _first_set(committed, call.connection.gone, timeout_seconds=seconds)
        if committed.is_set():
            return respond(Answer(200, {"status": "committed"}))
        if call.connection.gone.is_set():
            return respond(refusal(503, "stopping; the flush goes on"))
        return respond(refusal(504, f"not committed within {text}; the flush goes on"))


def _endpoint(route: Route) -> _Endpoint:
    async def answer(call: _Call) -> web.Response:
        return respond(await route.handler(call.path, call.query))

    return route.method, route.template, answer


def _matched(template: str, raw_path: str) -> Path | None:
    """The segments that stand for the template's names, decoded; None when it is another path."""
    wanted, found = template.split("/"), raw_path.split("/")
    if len(wanted) != len(found):
        return None
    path = {}
    for want, segment in zip(wanted, found, strict=True):
        if want.startswith("{"):
            path[want.strip("{}")] = unquote(segment)
        elif want != segment:
            return None
    return path


def _prefers_json(accept: str) -> bool:
    """JSON is named, and a page is not named before it; `*/*` alone is for people."""
    qualities = {}
    for part in accept.lower().split(","):
        kind, *parameters = (word.strip() for word in part.split(";"))
        quality = next((p[2:] for p in parameters if p.startswith("q=")), "1")
        qualities[kind] = float(quality) if _QUALITY.fullmatch(quality) else 0.0
    return qualities.get(_JSON, 0.0) > 0 and qualities[_JSON] >= qualities.get(_HTML, 0.0)


_QUALITY = re.compile(r"[01](?:\.[0-9]{0,3})?")


async def _first_set(*events: asyncio.Event, timeout_seconds: float) -> None:
    """Returns when one of them is set, or the time is over."""
    waits = [asyncio.create_task(event.wait(), name="admin-wait") for event in events]
    try:
        await asyncio.wait(waits, timeout=timeout_seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
