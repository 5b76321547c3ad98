"""What tools read of a bucket, from a real S3 server and from one in trouble."""

import io
from collections.abc import AsyncIterator
from itertools import count

import pytest
from aiohttp import web

from spoolsink.config_model import S3
from spoolsink.errors import OperatorStoreError, RetryableStoreError
from spoolsink.object_reader import ObjectReader
from tests.contract.small_s3 import store_of
from tests.servers.processes import S3Server


def settings_of(endpoint_url: str, access_key_id: str, secret: str) -> S3:
    return S3.model_validate(
        {
            "bucket": "reader",
            "region": "us-east-1",
            "endpoint_url": endpoint_url,
            "addressing_style": "path",
            "access_key_id": access_key_id,
            "secret_access_key": secret,
            "request_timeout": "5s",
        }
    )


@pytest.fixture
async def reader(s3: S3Server) -> AsyncIterator[ObjectReader]:
    settings = settings_of(s3.endpoint_url, s3.access_key_id, s3.secret_access_key)
    (s3.root / settings.bucket).mkdir(exist_ok=True)
    async with ObjectReader(settings, random=lambda: 0.5) as found:
        yield found


async def test_a_body_comes_whole_and_in_pieces(reader: ObjectReader) -> None:
    body = bytes(range(256)) * 4096
    await reader.put("a", [body], metadata={}, content_type="text/plain", create_only=False)
    pieces = [piece async for piece in reader.body("a")]
    assert b"".join(pieces) == body
    assert len(pieces) > 1


async def test_pages_follow_each_other(reader: ObjectReader, s3: S3Server) -> None:
    directory = s3.root / "reader" / "many"
    directory.mkdir()
    for number in range(1_234):
        (directory / f"{number:05}").touch()
    keys = [key async for key, _ in reader.list_objects("many/")]
    assert keys == [f"many/{number:05}" for number in range(1_234)]


class Troubled:
    """Answers 503 so often, then with a body."""

    def __init__(self, failures: int, status: int = 503) -> None:
        self._calls = count()
        self._failures, self._status = failures, status

    async def answer(self, request: web.Request) -> web.StreamResponse:
        if next(self._calls) < self._failures:
            return web.Response(status=self._status)
        return web.Response(body=io.BytesIO(b"x").read(), headers={"ETag": '"e"'})

    @property
    def calls(self) -> int:
        """How many there were."""
        return next(self._calls)


async def _patient(troubled: Troubled, slept: list[float]) -> None:
    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    async with store_of(troubled.answer) as plain:  # type: ignore[arg-type]
        settings = plain._settings
        async with ObjectReader(settings, random=lambda: 1.0, sleep=sleep) as reader:
            assert await reader.head("k") is not None


async def test_a_store_in_trouble_is_asked_again_a_few_times() -> None:
    slept: list[float] = []
    await _patient(Troubled(4), slept)
    assert slept == [0.2, 0.4, 0.8, 1.6]
    with pytest.raises(RetryableStoreError):
        await _patient(Troubled(100), slept)


async def test_a_refusal_is_told_at_once() -> None:
    slept: list[float] = []
    with pytest.raises(OperatorStoreError):
        await _patient(Troubled(100, 403), slept)
    assert slept == []
