"""Tokens for Kafka: kept as long as they are good, and every way of not getting one."""

import asyncio
import base64
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from aiohttp import web
from aiokafka.errors import KafkaError

from spoolsink import kafka_tokens
from spoolsink.config_model import Security
from spoolsink.kafka_tokens import (
    Token,
    TokenProvider,
    TokenRefusedError,
    TokenUnavailableError,
    client_credentials,
    msk_signed,
)
from tests.servers.certificates import Authority
from tests.servers.processes import free_port

Answer = Callable[[web.Request], Awaitable[web.Response]]


@asynccontextmanager
async def endpoint(answer: Answer, context: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_post("/token", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    port = free_port()
    await web.TCPSite(runner, "127.0.0.1", port, ssl_context=context).start()
    try:
        yield f"{'https' if context else 'http'}://127.0.0.1:{port}/token"
    finally:
        await runner.cleanup()


def security_of(url: str, **more: str) -> Security:
    login = {"oauth_client_id": "me", "oauth_client_secret": "canary"}
    return Security.model_validate({"oauth_token_endpoint": url, **login, **more})


class Issuer:
    """Hands out `t1`, `t2`, ... for 100 seconds each."""

    def __init__(self) -> None:
        self.now = 0.0
        self.asked_count = 0
        self.error: KafkaError | None = None

    async def fetch(self) -> Token:
        self.asked_count += 1
        if self.error is not None:
            raise self.error
        return Token(f"t{self.asked_count}", 100)


async def test_a_token_is_kept_for_four_fifths_of_its_life() -> None:
    issuer = Issuer()
    provider = TokenProvider(issuer.fetch, boottime=lambda: issuer.now)
    assert await asyncio.gather(*(provider.token() for _ in range(4))) == ["t1"] * 4
    issuer.now = 79
    assert await provider.token() == "t1"
    issuer.now = 81
    assert await provider.token() == "t2"


@pytest.mark.parametrize("kind", [TokenUnavailableError, TokenRefusedError])
async def test_an_old_token_serves_until_it_expires_where_no_new_one_is_had(
    kind: type[KafkaError],
) -> None:
    issuer = Issuer()
    provider = TokenProvider(issuer.fetch, boottime=lambda: issuer.now)
    await provider.token()
    issuer.error = kind("no")
    issuer.now = 99
    assert await provider.token() == "t1"
    issuer.now = 101
    with pytest.raises(kind):
        await provider.token()


async def test_a_silent_endpoint_is_left_at_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kafka_tokens, "TOKEN_SECONDS", 0.05)
    go_on = asyncio.Event()

    async def silent(_: web.Request) -> web.Response:
        await go_on.wait()
        return web.Response()

    async with endpoint(silent) as url:
        provider = TokenProvider(client_credentials(security_of(url)))
        with pytest.raises(TokenUnavailableError, match="no answer within"):
            await provider.token()
        go_on.set()


@pytest.mark.parametrize(
    ("status", "body", "meaning", "told"),
    [
        (400, '{"error": "invalid_scope"}', TokenRefusedError, "status 400: invalid_scope"),
        (
            *(401, '{"error": "invalid_client", "error_description": "who?"}'),
            *(TokenRefusedError, "invalid_client: who\\?"),
        ),
        (404, "<html>", TokenRefusedError, "status 404"),
        (302, "", TokenRefusedError, "status 302"),
        (429, "", TokenUnavailableError, "status 429"),
        (503, "", TokenUnavailableError, "status 503"),
        (200, "<html>", TokenRefusedError, "without an access_token"),
        (200, '{"access_token": ""}', TokenRefusedError, "without an access_token"),
        (200, '{"access_token": "a\\u0001b"}', TokenRefusedError, "without an access_token"),
        (200, '"' + "x" * 300_000 + '"', TokenRefusedError, "too long"),
    ],
)
async def test_an_answer_that_is_no_token_is_told_by_its_kind(
    status: int, body: str, meaning: type[Exception], told: str
) -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(status=status, text=body)

    async with endpoint(answer) as url:
        with pytest.raises(meaning, match=told) as caught:
            await client_credentials(security_of(url))()
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize(
    ("expires_in", "lifetime_seconds"), [("60", 60), ('"90"', 90), ("null", 0), ("-5", 0)]
)
async def test_the_lifetime_is_what_the_endpoint_says_or_nothing(
    expires_in: str, lifetime_seconds: float
) -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(text=f'{{"access_token": "t", "expires_in": {expires_in}}}')

    async with endpoint(answer) as url:
        token = await client_credentials(security_of(url))()
    assert (token.text, token.lifetime_seconds) == ("t", lifetime_seconds)
    assert "'t'" not in repr(token)


async def test_an_endpoint_is_trusted_by_the_authority_of_the_configuration(
    tmp_path: Path,
) -> None:
    authority = Authority(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority.issue("endpoint"))

    async def answer(_: web.Request) -> web.Response:
        return web.Response(text='{"access_token": "t"}')

    async with endpoint(answer, context) as url:
        fetch = client_credentials(security_of(url, ca_file=str(authority.file)))
        assert (await fetch()).text == "t"
        with pytest.raises(TokenRefusedError, match="certificate verify failed"):
            await client_credentials(security_of(url))()


async def test_a_token_for_amazon_msk_is_signed_for_the_region_of_its_brokers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s")
    monkeypatch.setenv("AWS_REGION", "us-west-2")
    servers = ["b-1.orders.abc123.c2.kafka.eu-north-1.amazonaws.com:9098"]
    token = await msk_signed(servers)()
    url = urlsplit(base64.urlsafe_b64decode(token.text + "=" * (-len(token.text) % 4)).decode())
    query = parse_qs(url.query)
    assert url.hostname == "kafka.eu-north-1.amazonaws.com"
    assert query["Action"] == ["kafka-cluster:Connect"]
    assert query["X-Amz-Credential"][0].startswith("AKIDEXAMPLE/")
    assert 880 < token.lifetime_seconds <= 900
    other = await msk_signed(["broker.internal:9098"])()
    assert b"us-west-2" in base64.urlsafe_b64decode(other.text + "=" * (-len(other.text) % 4))


async def test_amazon_msk_without_region_or_credentials_is_for_an_operator(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_ACCESS_KEY_ID", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with pytest.raises(TokenRefusedError, match="no region"):
        await msk_signed(["broker.internal:9098"])()
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    with pytest.raises(TokenRefusedError, match="no AWS credentials"):
        await msk_signed(["broker.internal:9098"])()
