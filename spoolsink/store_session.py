"""The S3 client and what it signs with: given keys, AWS's own chain, or a role assumed with either.

1. Nothing is remembered of a chain that has nothing to offer: a file or an endpoint that comes
   later is found by the next call.
2. A role is renewed at three quarters of its life, by one call, while the others go on with the
   old keys. Where STS is away the old ones serve until just before they expire.
3. Every client of the session, those of STS included, has the proxy, the authorities and the
   timeouts of the S3 client, and follows no redirection by itself.
"""

import asyncio
import logging
import os
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from aiobotocore.config import AioConfig
from aiobotocore.httpsession import AIOHTTPSession
from aiobotocore.session import AioSession, get_session
from botocore.credentials import ReadOnlyCredentials
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    CredentialRetrievalError,
    NoCredentialsError,
)

from spoolsink import __version__
from spoolsink.config_model import S3, AssumeRole

Reveal = Callable[[Any], str | None]

_SPARE_CONNECTIONS = 4
"""For calls that do not write: HEAD, Abort, List."""

_RENEWED = 0.75
_USED = 0.95
"""Shares of a role's life: when new keys are asked for, and until when the old ones are shown."""

_ASSUME = "sts:AssumeRole"
_RETRY_SECONDS = 15.0
_MAX_STS_SECONDS = 10.0
_THROTTLED = frozenset({"Throttling", "ThrottlingException", "RequestLimitExceeded"})

_log = logging.getLogger(__name__)


class Credentials(ABC):
    """What botocore's signer asks for the keys of each request."""

    method = "spoolsink"
    """The name of the kind, as botocore has one for each of its own."""

    @abstractmethod
    async def get_frozen_credentials(self) -> ReadOnlyCredentials:
        """The keys of this moment; raises BotoCoreError or ClientError where there are none."""

    def get_account_id(self) -> None:
        """For endpoints that carry an account id: none of S3's or STS's does."""
        return

    def get_deferred_property(self, _name: str) -> Callable[[], None]:
        """The account id, too."""
        return self.get_account_id


@dataclass(frozen=True, slots=True)
class Assumed:
    """Keys of a role, and when they end."""

    keys: ReadOnlyCredentials
    expires_at: datetime


def make_client(settings: S3, reveal: Reveal) -> Any:
    """The context of one S3 client; no request is sent until its first call.

    Raises what botocore raises, on entering: the profile, its file or the endpoint cannot be used.
    """
    session = _make_session(settings, reveal)
    region = region_of(settings, session)
    credentials = _credentials_of(settings, region, reveal)
    # The session asks its component for them; what it gives is asked again for each request.
    session.register_component("credential_provider", _Given(credentials))
    return session.create_client(
        "s3",
        region_name=region,
        endpoint_url=settings.endpoint_url,
        config=AioConfig(
            max_pool_connections=settings.uploads + _SPARE_CONNECTIONS,
            # Streaming trailers of the library's own checksum break many compatible stores.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            s3={
                "addressing_style": settings.addressing_style,
                # UNSIGNED-PAYLOAD, over plain HTTP too: the headers stay signed, and with them the
                # CRC32 that the store checks the body by. SHA-256 would run on the event loop.
                "payload_signing_enabled": False,
            },
        ),
    )


def region_of(settings: S3, session: AioSession) -> str | None:
    """The configured one, else AWS_REGION, AWS_DEFAULT_REGION, the profile's.

    botocore itself does not read AWS_REGION, and cannot sign for an endpoint without a region:
    stores of that kind take, or are made for, us-east-1.
    """
    found = settings.region or os.environ.get("AWS_REGION") or session.get_config_variable("region")
    return found or ("us-east-1" if settings.endpoint_url else None)


def _make_session(settings: S3, reveal: Reveal) -> AioSession:
    session = get_session()
    if settings.profile is not None:
        session.set_config_variable("profile", settings.profile)
    if settings.ca_file is not None:
        session.set_config_variable("ca_bundle", settings.ca_file)
    proxy = reveal(settings.proxy_url)
    session.set_default_client_config(
        AioConfig(
            connect_timeout=min(10.0, settings.request_timeout),
            read_timeout=settings.request_timeout,
            retries={"total_max_attempts": 1},
            # botocore puts its own together anew for each request: a tenth of a small Put.
            user_agent=f"spoolsink/{__version__}",
            proxies={"http": proxy, "https": proxy} if proxy else None,
            http_session_cls=_StayingSession,
        )
    )
    session.register("before-call.s3.HeadBucket", _ask_once)
    return session


def _ask_once(context: Any, **_: object) -> None:
    """For the region botocore asks the bucket: about that answer too, and so on without end.

    An endpoint that redirects everything ended in a RecursionError (seen, botocore 1.43).
    """
    context.setdefault("s3_redirect", {})["redirected"] = True


class _StayingSession(AIOHTTPSession):  # type: ignore[misc] # aiobotocore has no types
    """Hands a redirection to botocore, which asks for the bucket's region and signs anew.

    aiohttp would send the body, without its signature, to whomever the answer names; a 303 it
    makes a GET, whose ETag looks like that of an object that was written (seen, aiohttp 3.14).
    """

    async def _get_session(self, proxy_url: str | None) -> "_Staying":
        return _Staying(await super()._get_session(proxy_url))


class _Staying:
    """What aiobotocore calls of an aiohttp session."""

    def __init__(self, session: Any) -> None:
        self._session = session

    async def request(self, *arguments: Any, **named: Any) -> Any:
        return await self._session.request(*arguments, allow_redirects=False, **named)


def _credentials_of(settings: S3, region: str | None, reveal: Reveal) -> Credentials:
    secret = reveal(settings.secret_access_key)
    source: Credentials
    if settings.access_key_id is not None and secret is not None:
        token = reveal(settings.session_token)
        source = GivenKeys(ReadOnlyCredentials(settings.access_key_id, secret, token))
    else:
        source = ChainCredentials(lambda: _make_session(settings, reveal))
    if settings.assume_role.role_arn is None:
        return source

    async def assume() -> Assumed:
        session = _make_session(settings, reveal)
        session.register_component("credential_provider", _Given(source))
        return await _assume(session, region, settings.assume_role)

    deadline_seconds = min(_MAX_STS_SECONDS, settings.request_timeout / 2)
    return RoleCredentials(assume, deadline_seconds=deadline_seconds)


async def _assume(session: AioSession, region: str | None, role: AssumeRole) -> Assumed:
    arguments = {
        "RoleArn": role.role_arn,
        "RoleSessionName": role.session_name,
        "DurationSeconds": int(role.duration),
    }
    if role.external_id is not None:
        arguments["ExternalId"] = role.external_id
    try:
        async with session.create_client("sts", region_name=region) as sts:
            answer = await sts.assume_role(**arguments)
    except ClientError as error:
        raise _refusal(error) from error
    told = answer.get("Credentials", {})
    names = ("AccessKeyId", "SecretAccessKey", "SessionToken", "Expiration")
    if not all(told.get(name) for name in names):
        raise _unobtainable(_ASSUME, "an answer without keys")
    return Assumed(ReadOnlyCredentials(*(told[name] for name in names[:3])), told["Expiration"])


def _refusal(error: ClientError) -> Any:
    """For an operator, unless STS itself is in trouble."""
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    told = error.response.get("Error", {})
    code = str(told.get("Code", "Unknown"))
    if status >= 500 or code in _THROTTLED:  # noqa: PLR2004
        return error
    return _unobtainable(f"sts:{error.operation_name}", f"{code}: {told.get('Message', '')}")


def _unobtainable(where: str, text: str) -> Any:
    return CredentialRetrievalError(provider=where, error_msg=text)


class _Given:
    """Hands a session its credentials, as botocore's resolver would."""

    def __init__(self, credentials: Credentials) -> None:
        self._credentials = credentials

    async def load_credentials(self) -> Credentials:
        return self._credentials


class GivenKeys(Credentials):
    """Keys of the configuration: they never change."""

    def __init__(self, keys: ReadOnlyCredentials) -> None:
        self._keys = keys

    async def get_frozen_credentials(self) -> ReadOnlyCredentials:
        """The same, always."""
        return self._keys


class ChainCredentials(Credentials):
    """AWS's default chain: environment, profile, web identity, container, instance."""

    def __init__(self, make_session: Callable[[], AioSession]) -> None:
        self._make_session = make_session
        self._lock = asyncio.Lock()
        self._found: Any = None

    async def get_frozen_credentials(self) -> ReadOnlyCredentials:
        """Raises NoCredentialsError where the chain has none at this moment."""
        try:
            async with self._lock:
                if self._found is None:
                    # A session each time: one remembers the files that it has read.
                    self._found = await self._make_session().get_credentials()
            if self._found is None:
                raise NoCredentialsError
            keys: ReadOnlyCredentials = await self._found.get_frozen_credentials()
        except ClientError as error:  # of STS, for a web identity or a role of the profile
            raise _refusal(error) from error
        except RuntimeError as error:  # botocore's word for new keys that have ended already
            raise _unobtainable("AWS's chain", str(error)) from error
        return keys


class RoleCredentials(Credentials):
    """An assumed role.

    botocore's own class renews what lives less than 15 minutes at every request, and writes a
    traceback for each that STS does not answer.
    """

    def __init__(
        self,
        assume: Callable[[], Awaitable[Assumed]],
        *,
        deadline_seconds: float,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._assume = assume
        self._deadline_seconds = deadline_seconds
        self._now = now
        self._lock = asyncio.Lock()
        self._keys: ReadOnlyCredentials | None = None
        self._due_at = self._ends_at = 0.0

    async def get_frozen_credentials(self) -> ReadOnlyCredentials:
        """Keys that hold; raises what STS's refusal or silence raises where there are none."""
        if self._is_due() and not (self._lock.locked() and self._holds()):
            async with self._lock:
                if self._is_due():
                    await self._renew()
        return self._keys

    def _is_due(self) -> bool:
        return self._keys is None or self._now().timestamp() >= self._due_at

    def _holds(self) -> bool:
        return self._keys is not None and self._now().timestamp() < self._ends_at

    async def _renew(self) -> None:
        began = self._now().timestamp()
        try:
            async with asyncio.timeout(self._deadline_seconds):
                assumed = await self._assume()
        except (BotoCoreError, ClientError, OSError) as error:  # a TimeoutError is an OSError
            if not self._holds():
                raise
            _log.warning("the role is not assumed anew, the old keys still hold: %s", error)
            self._due_at = began + _RETRY_SECONDS
            return
        lifetime_seconds = assumed.expires_at.timestamp() - began
        if lifetime_seconds <= 0:
            text = "the keys have expired already; is this host's clock right?"
            raise _unobtainable(_ASSUME, text)
        self._keys = assumed.keys
        self._due_at = began + _RENEWED * lifetime_seconds
        self._ends_at = began + _USED * lifetime_seconds
