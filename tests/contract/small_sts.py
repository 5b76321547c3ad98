"""STS and a container's endpoint behind real HTTP: keys that end when a test wants them to."""

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

from aiohttp import web

from tests.servers.processes import free_port


class SmallSts:
    """Hands out `KEY1`, `KEY2`, ...; `refusal` is a status and a code, for as long as it is set."""

    def __init__(self, lifetime_seconds: float = 3600) -> None:
        self.lifetime_seconds = lifetime_seconds
        self.refusal: tuple[int, str] | None = None
        self.forms: list[dict[str, str]] = []
        self.authorizations: list[str] = []
        self.ends: dict[str, datetime] = {}
        self.url = ""

    @asynccontextmanager
    async def serving(self, ssl_context: ssl.SSLContext | None = None) -> AsyncIterator[None]:
        """Until the block ends, at `url`."""
        app = web.Application()
        app.router.add_post("/", self.answer)
        app.router.add_get("/container", self._container)
        runner = web.AppRunner(app)
        await runner.setup()
        port = free_port()
        await web.TCPSite(runner, "127.0.0.1", port, ssl_context=ssl_context).start()
        self.url = f"{'https' if ssl_context else 'http'}://127.0.0.1:{port}"
        try:
            yield
        finally:
            await runner.cleanup()

    def is_valid(self, key: str) -> bool:
        """Whether it has not ended."""
        return datetime.now(UTC) < self.ends[key]

    async def answer(self, request: web.Request) -> web.Response:
        """AssumeRole and AssumeRoleWithWebIdentity."""
        form = {name: str(value) for name, value in (await request.post()).items()}
        self.forms.append(form)
        self.authorizations.append(request.headers.get("Authorization", ""))
        if self.refusal is not None:
            status, code = self.refusal
            error = f"<Error><Code>{code}</Code><Message>as planned</Message></Error>"
            return _xml(f"<ErrorResponse>{error}</ErrorResponse>", status)
        key, ends = self._new()
        result = f"{form['Action']}Result"
        return _xml(
            f"<R><{result}><Credentials><AccessKeyId>{key}</AccessKeyId>"
            f"<SecretAccessKey>secret</SecretAccessKey><SessionToken>token-{key}</SessionToken>"
            f"<Expiration>{ends}</Expiration></Credentials></{result}></R>"
        )

    async def _container(self, _: web.Request) -> web.Response:
        key, ends = self._new()
        keys = {"AccessKeyId": key, "SecretAccessKey": "s", "Token": "t", "Expiration": ends}
        return web.json_response(keys)

    def _new(self) -> tuple[str, str]:
        key = f"KEY{len(self.ends) + 1}"
        self.ends[key] = datetime.now(UTC) + timedelta(seconds=self.lifetime_seconds)
        return key, self.ends[key].strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _xml(text: str, status: int = 200) -> web.Response:
    return web.Response(status=status, text=text, content_type="text/xml")
