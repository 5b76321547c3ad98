"""The schema registry's client: ids to schemas with all that they refer to (Confluent's API).

1. An id never changes its meaning, so what was found stays found (bounded, least recently used).
2. Only the answer "no such schema" about an id itself, for a minute of asking, makes it unknown.
   Everything else (away, refused, a wrong URL, a missing reference) is RegistryAwayError: the
   sink holds, no record is lost for it.
3. Credentials go to the configured addresses only: redirects are not followed.
"""

import asyncio
import json
import ssl
import time
from base64 import b64encode
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from random import SystemRandom
from typing import TypeVar
from urllib.parse import quote, urlsplit

import aiohttp

from spoolsink.backoff import Backoff
from spoolsink.converters.single_flight import SingleFlight
from spoolsink.errors import RegistryAwayError

CACHED_IDS = 1000
UNKNOWN_AFTER_SECONDS = 60.0
"""An id may be used before the registry's replica knows it: asked for again this long."""

REQUEST_SECONDS = 10.0
FETCH_SECONDS = 30.0
"""One schema with its references and all tries; the pipeline asks again afterwards."""

_TRIES = 3
_BACKOFF = (0.2, 2.0)
_MAX_ANSWER_BYTES = 8 * 1024 * 1024
_MAX_REFERENCES = 500
_UNKNOWN_SCHEMA = 40403
_ACCEPT = "application/vnd.schemaregistry.v1+json, application/json"
_random = SystemRandom().random

Kept = TypeVar("Kept")


@dataclass(slots=True, frozen=True)
class SchemaReference:
    """A schema that another one names; `name` is a type (Avro), a file (Protobuf) or a URI."""

    name: str
    text: str


@dataclass(slots=True, frozen=True)
class RegisteredSchema:
    """`references` holds all that is reachable, each after what it refers to itself."""

    schema_type: str
    text: str
    references: tuple[SchemaReference, ...] = ()


class SchemaRegistry:
    """One registry; shared by the converters of keys and values, closed by its owner."""

    def __init__(
        self,
        url: str,
        *,
        username: str | None = None,
        password: str | None = None,
        token: str | None = None,
        ca_file: str | None = None,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        request_seconds: float = REQUEST_SECONDS,
    ) -> None:
        """`url` may list several addresses of one registry, separated by commas.

        Raises ValueError for what cannot work; connects to nothing.
        """
        self._urls = [_checked_url(part.strip()) for part in url.split(",")]
        self._headers = {"Accept": _ACCEPT, **_authorization(username, password, token)}
        uses_tls = any(part.startswith("https:") for part in self._urls)
        self._tls = _tls_context(ca_file) if uses_tls else True
        self._monotonic = monotonic
        self._sleep = sleep
        self._request_seconds = request_seconds
        self._session: aiohttp.ClientSession | None = None
        self._found: OrderedDict[int, RegisteredSchema | None] = OrderedDict()
        self._first_asked: OrderedDict[int, float] = OrderedDict()
        self._flights = SingleFlight()

    async def fetch(self, schema_id: int) -> RegisteredSchema | None:
        """The schema; None once the registry has said for a minute that there is none.

        Raises RegistryAwayError: hold, and ask again.
        """
        await self._flights.run(
            schema_id, lambda: schema_id in self._found, partial(self._fetch, schema_id)
        )
        self._found.move_to_end(schema_id)
        return self._found[schema_id]

    async def close(self) -> None:
        """Connections end; a later `fetch` opens new ones."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _fetch(self, schema_id: int) -> None:
        try:
            async with asyncio.timeout(FETCH_SECONDS):
                found = await self._looked_up(schema_id)
        except TimeoutError as error:
            reason = f"schema id {schema_id}: no answer within {FETCH_SECONDS:.0f} s"
            raise RegistryAwayError(f"schema registry: {reason}") from error
        _put(self._found, schema_id, found)
        self._first_asked.pop(schema_id, None)

    async def _looked_up(self, schema_id: int) -> RegisteredSchema | None:
        answer = await self._get(f"/schemas/ids/{schema_id}")
        if answer is None:
            self._wait_for_it(schema_id)
            return None
        references: dict[tuple[str, int], SchemaReference] = {}
        await self._resolve(answer, references, ())
        return RegisteredSchema(
            # Confluent's registry leaves the type of Avro out.
            schema_type=str(answer.get("schemaType") or "AVRO"),
            text=_text_of(answer),
            references=tuple(references.values()),
        )

    def _wait_for_it(self, schema_id: int) -> None:
        now = self._monotonic()
        first = self._first_asked.get(schema_id)
        if first is None:
            first = now
            _put(self._first_asked, schema_id, now)
        if now - first < UNKNOWN_AFTER_SECONDS:
            raise RegistryAwayError(f"schema registry: schema id {schema_id} is not there (yet)")

    async def _resolve(
        self,
        answer: dict[str, object],
        found: dict[tuple[str, int], SchemaReference],
        above: tuple[tuple[str, int], ...],
    ) -> None:
        """Depth first, so that each stands after what it needs; `above` breaks cycles."""
        for name, subject, version in _references_of(answer):
            place = (subject, version)
            if place in found or place in above:
                continue
            if len(found) + len(above) >= _MAX_REFERENCES:
                raise RegistryAwayError(f"schema registry: more than {_MAX_REFERENCES} references")
            inner = await self._get(f"/subjects/{quote(subject, safe='')}/versions/{version}")
            if inner is None:
                raise RegistryAwayError(f"schema registry: no version {version} of '{subject}'")
            await self._resolve(inner, found, (*above, place))
            found[place] = SchemaReference(name, _text_of(inner))

    async def _get(self, path: str) -> dict[str, object] | None:
        """The answer, None where the registry has no such schema; tries each address."""
        backoff = Backoff(*_BACKOFF, _random)
        tries = max(_TRIES, len(self._urls))
        for number in range(tries):
            url = self._urls[number % len(self._urls)]
            try:
                return await self._get_once(url, path)
            except (aiohttp.ClientError, OSError, TimeoutError, RegistryAwayError) as error:
                if number + 1 == tries:
                    reason = str(error) or type(error).__name__
                    raise RegistryAwayError(f"schema registry {url}{path}: {reason}") from error
            await self._sleep(backoff.next())
        raise RuntimeError("no try was made")

    async def _get_once(self, url: str, path: str) -> dict[str, object] | None:
        async with asyncio.timeout(self._request_seconds):
            session = self._open_session()
            async with session.get(f"{url}{path}", allow_redirects=False) as response:
                body = await _read_bounded(response.content)
                return _judged(response.status, body)

    def _open_session(self) -> aiohttp.ClientSession:
        if self._session is None:
            # A session belongs to a running loop: made on first use.
            connector = aiohttp.TCPConnector(ssl=self._tls, limit=4)
            self._session = aiohttp.ClientSession(
                connector=connector, headers=self._headers, cookie_jar=aiohttp.DummyCookieJar()
            )
        return self._session


async def _read_bounded(stream: aiohttp.StreamReader) -> bytes:
    body = bytearray()
    async for chunk in stream.iter_any():
        body += chunk
        if len(body) > _MAX_ANSWER_BYTES:
            raise RegistryAwayError(f"answers more than {_MAX_ANSWER_BYTES} bytes")
    return bytes(body)


def _judged(status: int, body: bytes) -> dict[str, object] | None:
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):
        answer = None
    if status == HTTPStatus.OK and isinstance(answer, dict):
        return answer
    code = answer.get("error_code") if isinstance(answer, dict) else None
    # Codes 404xx are the registry's own "there is none"; a bare 404 may be a wrong URL.
    if status == HTTPStatus.NOT_FOUND and code in {40401, 40402, _UNKNOWN_SCHEMA}:
        return None
    raise RegistryAwayError(f"answers {status}" + (f" ({code})" if code else ""))


def _text_of(answer: dict[str, object]) -> str:
    text = answer.get("schema")
    if not isinstance(text, str):
        raise RegistryAwayError("schema registry: an answer without a schema")
    return text


def _references_of(answer: dict[str, object]) -> list[tuple[str, str, int]]:
    references = answer.get("references") or []
    try:
        return [(r["name"], r["subject"], int(r["version"])) for r in references]  # type: ignore[attr-defined]
    except (TypeError, KeyError, ValueError) as error:
        raise RegistryAwayError("schema registry: references that cannot be read") from error


def _put(table: OrderedDict[int, Kept], schema_id: int, value: Kept) -> None:
    table[schema_id] = value
    if len(table) > CACHED_IDS:
        table.popitem(last=False)


def _checked_url(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("schema_registry.url must be http://... or https://...")
    if parts.username or parts.password:
        # It would show in every log line about the address.
        raise ValueError("schema_registry.url with a user in it: use username and password")
    return url.rstrip("/")


def _authorization(username: str | None, password: str | None, token: str | None) -> dict[str, str]:
    if token is not None and username is not None:
        raise ValueError("schema_registry: either token or username, not both")
    if token is not None:
        return {"Authorization": f"Bearer {token}"}
    if username is not None:
        pair = f"{username}:{password or ''}".encode()
        return {"Authorization": f"Basic {b64encode(pair).decode()}"}
    if password is not None:
        raise ValueError("schema_registry: password without username")
    return {}


def _tls_context(ca_file: str | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca_file)
    except (OSError, ssl.SSLError) as error:
        raise ValueError(f"schema_registry.ca_file {ca_file}: {error}") from error
