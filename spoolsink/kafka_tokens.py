"""Tokens for SASL OAUTHBEARER: by client credentials, or signed for Amazon MSK.

1. A token is asked for when a connection needs one, and kept for four fifths of its life: no
   connection is opened with one that is about to expire.
2. Where a new one cannot be had, the old one serves until it expires.
3. Asking ends within `TOKEN_SECONDS`. What goes wrong is a KafkaError, because aiokafka's own
   tasks survive nothing else.
"""

import asyncio
import json
import logging
import os
import re
import ssl
import time
from base64 import b64encode
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote_plus

from aiohttp import ClientConnectorError, ClientError, ClientResponse, ClientSession, ClientSSLError
from aiokafka import conn
from aiokafka.abc import AbstractTokenProvider
from aiokafka.errors import KafkaError

from spoolsink.config import reveal
from spoolsink.config_model import Security
from spoolsink.config_security import endpoint_context

TOKEN_SECONDS = 10.0
"""Deadline for one token: well below aiokafka's for a connection (40 s)."""

_KEPT = 0.8
"""Of a token's life; what Kafka's Java client does (sasl.login.refresh.window.factor)."""

_MAX_ANSWER_BYTES = 256 * 1024
_MAX_TOLD_CHARACTERS = 300
_TRY_LATER = frozenset({408, 425, 429})
_MSK_HOST = re.compile(r"\.kafka(?:-serverless)?\.([a-z0-9-]+)\.amazonaws\.com(?:\.cn)?\Z")

_log = logging.getLogger(__name__)


class TokenUnavailableError(KafkaError):  # type: ignore[misc]
    """The endpoint is away: the same question may be answered later."""


class TokenRefusedError(KafkaError):  # type: ignore[misc]
    """The endpoint, or the credentials for it, must be mended."""


@dataclass(frozen=True, slots=True)
class Token:
    """`lifetime_seconds` from the moment that it was asked for; 0 where nobody says."""

    text: str = field(repr=False)
    lifetime_seconds: float


class TokenProvider(AbstractTokenProvider):  # type: ignore[misc]
    """The token of one consumer; its connections share it."""

    def __init__(
        self,
        fetch: Callable[[], Awaitable[Token]],
        *,
        boottime: Callable[[], float] = lambda: time.clock_gettime(time.CLOCK_BOOTTIME),
    ) -> None:
        self._fetch = fetch
        # A clock that counts suspension: a token grows old in it too.
        self._boottime = boottime
        self._lock = asyncio.Lock()
        self._token: Token | None = None
        self._asked_at = 0.0

    async def token(self) -> str:
        """One that is not about to expire.

        Raises:
            TokenRefusedError: somebody must mend something.
            TokenUnavailableError: no answer, or none of use.
        """
        async with self._lock:
            if self._token is None or not self._is_within(self._token, _KEPT):
                await self._renew()
            assert self._token is not None
            return self._token.text

    async def _renew(self) -> None:
        asked_at = self._boottime()
        try:
            async with asyncio.timeout(TOKEN_SECONDS):
                self._token = await self._fetch()
        except TimeoutError as error:
            text = f"token endpoint: no answer within {TOKEN_SECONDS:.0f} s"
            self._fall_back(TokenUnavailableError(text), error)
        except (TokenUnavailableError, TokenRefusedError) as error:
            self._fall_back(error, error)
        else:
            self._asked_at = asked_at

    def _fall_back(self, error: KafkaError, cause: Exception) -> None:
        if self._token is None or not self._is_within(self._token, 1.0):
            raise error from (None if cause is error else cause)
        _log.warning("the token of Kafka is not renewed, the old one still holds: %s", error)

    def _is_within(self, token: Token, share: float) -> bool:
        return self._boottime() < self._asked_at + share * token.lifetime_seconds


class _Answering(conn.OAuthAuthenticator):  # type: ignore[misc]
    """aiokafka's takes a broker's refusal of a token for success (0.14), and asks on in vain."""

    async def step(self, payload: bytes | None) -> tuple[bytes, bool] | None:
        if payload:
            # The refusal. Only behind this byte does the broker say so (RFC 7628, 3.2.3).
            return b"\x01", True
        found: tuple[bytes, bool] | None = await super().step(payload)
        return found


def install() -> None:
    """Let every connection of this process hear a refusal; may be called again."""
    conn.OAuthAuthenticator = _Answering


def client_credentials(security: Security) -> Callable[[], Awaitable[Token]]:
    """Asks `oauth_token_endpoint` (RFC 6749, 4.4); raises OSError for an unusable `ca_file`."""
    endpoint = security.oauth_token_endpoint or ""
    # The names go through a form's encoding first (RFC 6749, 2.3.1).
    names = (security.oauth_client_id, reveal(security.oauth_client_secret))
    login = b64encode(":".join(quote_plus(name or "") for name in names).encode()).decode()
    form = {"grant_type": "client_credentials"}
    if security.oauth_scope is not None:
        form["scope"] = security.oauth_scope
    context = endpoint_context(security)

    async def fetch() -> Token:
        headers = {"Authorization": f"Basic {login}", "Accept": "application/json"}
        try:
            async with (
                ClientSession() as session,
                session.post(
                    endpoint, data=form, headers=headers, ssl=context, allow_redirects=False
                ) as answer,
            ):
                return _read(answer.status, await _start_of(answer))
        except (ClientSSLError, ssl.SSLError) as error:
            raise TokenRefusedError(f"token endpoint: {error}") from error
        except ClientConnectorError as error:
            raise TokenUnavailableError(f"token endpoint: {error.os_error}") from error
        except (ClientError, OSError) as error:
            raise TokenUnavailableError(f"token endpoint: {error!r}") from error

    return fetch


async def _start_of(answer: ClientResponse) -> bytes:
    body = b""
    async for chunk in answer.content.iter_any():
        body += chunk
        if len(body) > _MAX_ANSWER_BYTES:
            raise TokenRefusedError("token endpoint: an answer too long for a token")
    return body


def _read(status: int, body: bytes) -> Token:
    try:
        found = json.loads(body)
    except ValueError:
        found = None
    told: dict[str, Any] = found if isinstance(found, dict) else {}
    if status != 200:  # noqa: PLR2004
        text = f"token endpoint: status {status}{_reason(told)}"
        is_later = status >= 500 or status in _TRY_LATER  # noqa: PLR2004
        raise TokenUnavailableError(text) if is_later else TokenRefusedError(text)
    token = told.get("access_token")
    if not isinstance(token, str) or not token.isascii() or not token.isprintable() or not token:
        raise TokenRefusedError("token endpoint: an answer without an access_token")
    return Token(token, _seconds(told.get("expires_in")))


def _reason(told: dict[str, Any]) -> str:
    """`error` and `error_description`; nothing else of the answer is shown."""
    words = [str(told[name]) for name in ("error", "error_description") if told.get(name)]
    return f": {': '.join(words)[:_MAX_TOLD_CHARACTERS]}" if words else ""


def _seconds(told: object) -> float:
    """Some endpoints write the number as text; one that says nothing is asked each time."""
    try:
        return max(0.0, float(told))  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return 0.0


def msk_signed(bootstrap_servers: Iterable[str]) -> Callable[[], Awaitable[Token]]:
    """Signs with what AWS's default chain has, for the region that the brokers' names tell."""
    region = _msk_region(bootstrap_servers)

    async def fetch() -> Token:
        if region is None:
            raise TokenRefusedError(
                "AWS_MSK_IAM: no region in kafka.bootstrap_servers, nor in AWS_REGION"
            )
        # In a thread, where it may end after the deadline: the library has no asyncio.
        text, expires_at_ms = await asyncio.to_thread(_sign, region)
        return Token(text, expires_at_ms / 1000 - time.time())

    return fetch


def _sign(region: str) -> tuple[str, int]:
    from aws_msk_iam_sasl_signer import MSKAuthTokenProvider  # noqa: PLC0415 (an extra)

    try:
        token: tuple[str, int] = MSKAuthTokenProvider.generate_auth_token(region)
    except AttributeError as error:  # the library takes no credentials for an object without a key
        raise TokenRefusedError("AWS_MSK_IAM: no AWS credentials found") from error
    except Exception as error:  # botocore's many: a profile that is not there, a chain that fails
        raise TokenRefusedError(f"AWS_MSK_IAM: {error}") from error
    return token


def _msk_region(bootstrap_servers: Iterable[str]) -> str | None:
    for server in bootstrap_servers:
        match = _MSK_HOST.search(server.rpartition(":")[0] or server)
        if match:
            return match[1]
    return os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
