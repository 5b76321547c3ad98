"""A store in memory behind real HTTP, as strict, as loose and as forbidding as a test wants."""

import itertools
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from types import MappingProxyType

from aiohttp import web

from spoolsink.config import reveal
from spoolsink.config_model import S3
from spoolsink.object_store import ObjectStore
from tests.servers.processes import free_port

Answer = Callable[[web.Request], Awaitable[web.Response]]


@asynccontextmanager
async def store_of(
    answer: Answer,
    *,
    changes: Mapping[str, object] = MappingProxyType({}),
    ssl_context: ssl.SSLContext | None = None,
) -> AsyncIterator[ObjectStore]:
    """An `ObjectStore` whose server is one handler."""
    app = web.Application(client_max_size=64 * 2**20)
    app.router.add_route("*", "/{rest:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    port = free_port()
    await web.TCPSite(runner, "127.0.0.1", port, ssl_context=ssl_context).start()
    scheme = "https" if ssl_context else "http"
    settings = S3.model_validate(
        {
            "bucket": "b-1",
            "access_key_id": "a",
            "secret_access_key": "s",
            "region": "us-east-1",
            "endpoint_url": f"{scheme}://127.0.0.1:{port}",
            "addressing_style": "path",
            **changes,
        }
    )
    try:
        async with ObjectStore(settings, reveal=reveal) as store:
            yield store
    finally:
        await runner.cleanup()


class SmallS3:
    """One bucket.

    `ignores` and `rejects` name writes whose condition is not looked at or is an error, `refuses`
    calls that are not allowed.
    """

    def __init__(
        self,
        *,
        ignores: frozenset[str] = frozenset(),
        rejects: dict[str, tuple[int, str]] | None = None,
        refuses: frozenset[str] = frozenset(),
    ) -> None:
        self.objects: dict[str, bytes] = {}
        self.uploads: dict[str, str] = {}
        self.calls: list[str] = []
        self._ignores = ignores
        self._rejects = rejects or {}
        self._refuses = refuses
        self._ids = itertools.count()

    def honour(self) -> None:
        """Conditions, from here on."""
        self._ignores, self._rejects = frozenset(), {}

    async def answer(self, request: web.Request) -> web.Response:
        """The server."""
        operation = _operation_of(request)
        self.calls.append(operation)
        if operation in self._refuses:
            return _error(403, "AccessDenied")
        return await {
            "PutObject": self._put,
            "HeadObject": self._head,
            "DeleteObject": self._delete,
            "CreateMultipartUpload": self._create,
            "UploadPart": self._part,
            "CompleteMultipartUpload": self._complete,
            "AbortMultipartUpload": self._abort,
            "ListObjectsV2": self._list,
            "ListMultipartUploads": self._list,
        }[operation](request)

    def _refusal(self, operation: str, request: web.Request) -> web.Response | None:
        if "If-None-Match" not in request.headers:
            return None
        if operation in self._rejects:
            return _error(*self._rejects[operation])
        if request.path in self.objects and operation not in self._ignores:
            return _error(412, "PreconditionFailed")
        return None

    async def _put(self, request: web.Request) -> web.Response:
        if refusal := self._refusal("PutObject", request):
            return refusal
        self.objects[request.path] = await request.read()
        return web.Response(headers={"ETag": '"e"'})

    async def _head(self, request: web.Request) -> web.Response:
        return web.Response(status=200 if request.path in self.objects else 404)

    async def _delete(self, request: web.Request) -> web.Response:
        self.objects.pop(request.path, None)
        return web.Response(status=204)

    async def _create(self, request: web.Request) -> web.Response:
        upload_id = f"u{next(self._ids)}"
        self.uploads[upload_id] = request.path
        return _xml(f"<R><UploadId>{upload_id}</UploadId></R>")

    async def _part(self, request: web.Request) -> web.Response:
        return web.Response(headers={"ETag": '"p"'})

    async def _complete(self, request: web.Request) -> web.Response:
        if refusal := self._refusal("CompleteMultipartUpload", request):
            return refusal
        self.objects[self.uploads.pop(request.query["uploadId"])] = b"parts"
        return _xml("<R><ETag>e</ETag></R>")

    async def _abort(self, request: web.Request) -> web.Response:
        if self.uploads.pop(request.query["uploadId"], None) is None:
            return _error(404, "NoSuchUpload")
        return web.Response(status=204)

    async def _list(self, request: web.Request) -> web.Response:
        return _xml("<R><IsTruncated>false</IsTruncated></R>")


def _operation_of(request: web.Request) -> str:
    has_id = "uploadId" in request.query
    return {
        "PUT": "UploadPart" if has_id else "PutObject",
        "HEAD": "HeadObject",
        "DELETE": "AbortMultipartUpload" if has_id else "DeleteObject",
        "POST": "CompleteMultipartUpload" if has_id else "CreateMultipartUpload",
        "GET": "ListMultipartUploads" if "uploads" in request.query else "ListObjectsV2",
    }[request.method]


def _xml(text: str, status: int = 200) -> web.Response:
    return web.Response(status=status, text=text, content_type="application/xml")


def _error(status: int, code: str) -> web.Response:
    return _xml(f"<Error><Code>{code}</Code><Message>as planned</Message></Error>", status)
