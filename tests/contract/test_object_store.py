"""The S3 door on a real S3 server, and on one that behaves as badly as some do."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from aiohttp import web

from spoolsink.backoff import Backoff
from spoolsink.config import reveal
from spoolsink.config_model import S3
from spoolsink.errors import (
    ObjectConflictError,
    ObjectStoreError,
    OperatorStoreError,
    RetryableStoreError,
    UploadGoneError,
)
from spoolsink.object_store import ObjectStore
from spoolsink.segment import SegmentWriter, read_rows
from spoolsink.uploader import Outcome, Upload, Uploader
from tests.servers.processes import S3Server, free_port

META = {"spoolsink-records": "3"}
MIB = 1024 * 1024


def settings_of(server: S3Server, **changes: object) -> S3:
    return S3.model_validate(
        {
            "bucket": f"b-{uuid.uuid4().hex[:8]}",
            "endpoint_url": server.endpoint_url,
            "region": server.region,
            "addressing_style": "path",
            "access_key_id": server.access_key_id,
            "secret_access_key": server.secret_access_key,
            **changes,
        }
    )


@pytest.fixture
async def store(s3: S3Server) -> AsyncIterator[ObjectStore]:
    settings = settings_of(s3)
    (s3.root / settings.bucket).mkdir()
    async with ObjectStore(settings, reveal=reveal) as store:
        yield store


async def put(store: ObjectStore, key: str, body: bytes, *, create_only: bool = True) -> None:
    await store.put(key, body, metadata=META, content_type="text/plain", create_only=create_only)


async def test_an_object_is_stored_with_its_metadata(store: ObjectStore, s3: S3Server) -> None:
    await put(store, "a/b=1/x.json", b"body")
    found = await store.head("a/b=1/x.json")
    assert found is not None
    assert (found.size_bytes, found.metadata) == (4, META)
    assert (s3.root / store.bucket / "a/b=1/x.json").read_bytes() == b"body"
    assert await store.head("absent") is None


async def test_a_taken_key_is_a_conflict_for_put_and_complete(
    store: ObjectStore, s3: S3Server
) -> None:
    await put(store, "k", b"first")
    with pytest.raises(ObjectConflictError, match="PreconditionFailed"):
        await put(store, "k", b"other")
    upload_id = await store.create_upload("k", metadata=META, content_type="text/plain")
    part = await store.upload_part("k", upload_id, 1, b"other")
    with pytest.raises(ObjectConflictError):
        await store.complete("k", upload_id, [part], create_only=True)
    await store.abort("k", upload_id)
    assert (s3.root / store.bucket / "k").read_bytes() == b"first"


async def test_an_unknown_upload_is_gone(store: ObjectStore) -> None:
    with pytest.raises(UploadGoneError):
        await store.abort("k", str(uuid.uuid4()))


async def test_a_missing_bucket_and_a_wrong_secret_are_for_an_operator(s3: S3Server) -> None:
    async with ObjectStore(settings_of(s3), reveal=reveal) as store:
        with pytest.raises(OperatorStoreError, match="NoSuchBucket"):
            await put(store, "k", b"x")
    async with ObjectStore(settings_of(s3, secret_access_key="wrong"), reveal=reveal) as store:
        with pytest.raises(OperatorStoreError, match="SignatureDoesNotMatch"):
            await put(store, "k", b"x")


async def test_a_segment_becomes_an_object_in_parts(
    store: ObjectStore, s3: S3Server, tmp_path: Path
) -> None:
    writer = SegmentWriter(tmp_path / "1.open")
    for block in range(12):
        writer.append([block], bytes([65 + block]) * MIB)
    summary = writer.seal(tmp_path / "1.sealed")
    metadata = {
        "spoolsink-first-offset": "0",
        "spoolsink-last-offset": "11",
        "spoolsink-records": "12",
        "spoolsink-digest": summary.digest,
    }
    upload = Upload(
        ("k",), lambda: read_rows(tmp_path / "1.sealed"), summary.size_bytes, metadata, "text/plain"
    )
    uploader = Uploader(
        store,
        part_bytes=5 * MIB,
        create_only=True,
        make_backoff=lambda: Backoff(0.1, 1, lambda: 0.5),
    )
    assert await uploader.upload(upload, lambda: True) == (Outcome.CREATED, "k")
    assert await uploader.upload(upload, lambda: True) == (Outcome.EXISTED, "k")
    stored = (s3.root / store.bucket / "k").read_bytes()
    assert stored == b"".join(read_rows(tmp_path / "1.sealed"))


async def test_a_server_that_hangs_is_left_at_the_deadline(s3: S3Server) -> None:
    settings = settings_of(s3, request_timeout="1s")
    (s3.root / settings.bucket).mkdir()
    async with ObjectStore(settings, reveal=reveal) as store:
        await put(store, "before", b"x")
        s3.suspend()
        try:
            with pytest.raises(RetryableStoreError, match=r"Deadline|Timeout"):
                await put(store, "during", b"x" * 2 * MIB)
        finally:
            s3.resume()
        await put(store, "after", b"x")


async def test_at_most_uploads_writing_requests_are_in_flight() -> None:
    in_flight, peak = 0, 0

    async def answer(_: web.Request) -> web.Response:
        nonlocal in_flight, peak
        in_flight += 1
        peak = max(peak, in_flight)
        await asyncio.sleep(0.02)
        in_flight -= 1
        return web.Response(headers={"ETag": '"e"'})

    async with bad_store(answer, uploads=2) as store:
        await asyncio.gather(*(put(store, f"k{i}", b"x") for i in range(8)))
    assert peak == 2


@pytest.mark.parametrize(
    ("status", "code", "meaning", "told"),
    [
        (200, "", RetryableStoreError, "OddAnswer"),
        (200, "InternalError", RetryableStoreError, "InternalError"),
        (503, "SlowDown", RetryableStoreError, "SlowDown"),
        (400, "NeverHeardOf", RetryableStoreError, "NeverHeardOf"),
        (403, "KMS.DisabledException", OperatorStoreError, "KMS"),
        (
            409,
            "ConditionalRequestConflict",
            RetryableStoreError,
            "Cond",
        ),
        (404, "NoSuchUpload", UploadGoneError, "NoSuchUpload"),
        (
            412,
            "PreconditionFailed",
            ObjectConflictError,
            "Precondition",
        ),
    ],
)
async def test_no_odd_answer_to_complete_is_success(
    status: int, code: str, meaning: type[ObjectStoreError], told: str
) -> None:
    async def answer(_: web.Request) -> web.Response:
        body = f"<Error><Code>{code}</Code></Error>" if code else ""
        return web.Response(status=status, text=body)

    async with bad_store(answer) as store:
        with pytest.raises(meaning, match=told):
            await store.complete("k", "u", [], create_only=True)


class bad_store:  # noqa: N801 (used as a context manager only)
    """An `ObjectStore` whose server is one handler."""

    def __init__(
        self, answer: Callable[[web.Request], Awaitable[web.Response]], uploads: int = 4
    ) -> None:
        self._answer = answer
        self._uploads = uploads

    async def __aenter__(self) -> ObjectStore:
        app = web.Application()
        app.router.add_route("*", "/{rest:.*}", self._answer)
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        port = free_port()
        await web.TCPSite(self._runner, "127.0.0.1", port).start()
        keys = {"access_key_id": "a", "secret_access_key": "s", "region": "us-east-1"}
        where = {"endpoint_url": f"http://127.0.0.1:{port}", "addressing_style": "path"}
        settings = S3.model_validate({"bucket": "b-1", "uploads": self._uploads, **keys, **where})
        self._store = await ObjectStore(settings, reveal=reveal).__aenter__()
        return self._store

    async def __aexit__(self, *_: object) -> None:
        await self._store.__aexit__()
        await self._runner.cleanup()
