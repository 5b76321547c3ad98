"""The S3 door on a real S3 server, and on one that behaves as badly as some do."""

import asyncio
import hashlib
import time
import tracemalloc
import uuid
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import pytest
from aiohttp import web

from spoolsink.backoff import Backoff
from spoolsink.body_parts import Body
from spoolsink.config import reveal
from spoolsink.config_model import S3
from spoolsink.errors import (
    ObjectConflictError,
    ObjectStoreError,
    OperatorStoreError,
    RetryableStoreError,
    UploadGoneError,
)
from spoolsink.object_store import ObjectStore, crc32_of
from spoolsink.segment import SegmentWriter, read_rows
from spoolsink.uploader import Outcome, Upload, Uploader
from tests.contract.small_s3 import SmallS3, store_of
from tests.servers.processes import S3Server

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
    await store.put(key, [body], metadata=META, content_type="text/plain", create_only=create_only)


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
    part = await store.upload_part("k", upload_id, 1, [b"other"])
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
        uploads=1,
        make_backoff=lambda: Backoff(0.1, 1, lambda: 0.5),
    )
    assert await uploader.upload(upload, lambda: True, create_only=True) == (Outcome.CREATED, "k")
    assert await uploader.upload(upload, lambda: True, create_only=True) == (Outcome.EXISTED, "k")
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

    async with store_of(answer, changes={"uploads": 2}) as store:
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

    async with store_of(answer) as store:
        with pytest.raises(meaning, match=told):
            await store.complete("k", "u", [], create_only=True)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_where_a_redirection_leads_nothing_is_sent_and_nothing_is_believed(
    status: int,
) -> None:
    """Found by reading: aiohttp made a GET of a 303, and its ETag counted as a write."""
    followed: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        if request.path == "/elsewhere":
            followed.append(request.method)
            return web.Response(headers={"ETag": '"e"'})
        return web.Response(status=status, headers={"Location": "/elsewhere"})

    async with store_of(answer) as store:
        with pytest.raises(ObjectStoreError, match=rf"k: {status}: "):
            await put(store, "k", b"x")
    assert followed == []


async def test_a_bucket_of_another_region_gets_the_body_again_whole_and_signed_for_it() -> None:
    bodies: list[bytes] = []

    async def answer(request: web.Request) -> web.Response:
        bodies.append(await request.read())
        if "/eu-west-3/s3/" in request.headers["Authorization"]:
            return web.Response(headers={"ETag": '"e"'})
        there = {"Location": "/elsewhere", "x-amz-bucket-region": "eu-west-3"}
        return web.Response(status=307, headers=there)

    body = bytes(range(256)) * 4096
    async with store_of(answer) as store:
        await put(store, "k", body)
    assert bodies == [body, body]


async def test_writing_requests_in_flight_are_counted() -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def answer(_: web.Request) -> web.Response:
        begun.set()
        await go_on.wait()
        return web.Response(headers={"ETag": '"e"'})

    async with (
        store_of(answer, changes={"uploads": 1}) as store,
        asyncio.timeout(20),
        asyncio.TaskGroup() as g,
    ):
        for key in ("a", "b"):
            g.create_task(put(store, key, b"x"))
        await begun.wait()
        assert store.inflight == 1
        go_on.set()
    assert store.inflight == 0


async def test_a_body_is_sent_as_it_is_and_under_the_checksum_that_was_handed_over(
    store: ObjectStore, s3: S3Server
) -> None:
    body = bytes(range(256)) * 4096
    pieces: Body = [memoryview(body)[:1000], bytearray(body[1000:2000]), body[2000:]]
    put = partial(store.put, metadata=META, content_type="text/plain", create_only=True)
    await put("k", pieces, checksum=store.checksum_of(pieces))
    assert (s3.root / store.bucket / "k").read_bytes() == body
    with pytest.raises(ObjectStoreError, match=r"BadDigest|Checksum"):
        await put("other", [body], checksum=crc32_of([b"other"]))
    assert await store.head("other") is None


async def test_a_body_goes_again_whole_where_the_server_hangs_up_on_a_kept_connection(
    s3: S3Server,
) -> None:
    bodies: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        is_first_connection = not bodies
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            size = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            if bodies and is_first_connection:
                await reader.readexactly(size // 2)
                writer.close()
                return
            bodies.append(await reader.readexactly(size))
            writer.write(b'HTTP/1.1 200 OK\r\nETag: "e"\r\nContent-Length: 0\r\n\r\n')

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    endpoint = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    large = bytes(range(256)) * 4096
    async with ObjectStore(settings_of(s3, endpoint_url=endpoint), reveal=reveal) as store:
        await put(store, "k", b"first")
        await put(store, "k", large)
    server.close()
    assert bodies == [b"first", large]


async def test_a_large_part_neither_holds_up_the_event_loop_nor_is_copied(
    store: ObjectStore,
) -> None:
    body = b"x" * (32 * MIB)
    checksum = store.checksum_of([body])
    before = time.thread_time()
    hashlib.sha256(body)
    sha_seconds = time.thread_time() - before
    upload_id = await store.create_upload("k", metadata=META, content_type="text/plain")
    await store.upload_part("k", upload_id, 1, [b"warm"])
    worst_seconds = 0.0

    async def watch() -> None:
        nonlocal worst_seconds
        while True:
            # Of this thread alone: a busy machine must not fail the test.
            last = time.thread_time()
            await asyncio.sleep(0)
            worst_seconds = max(worst_seconds, time.thread_time() - last)

    watching = asyncio.create_task(watch())
    await asyncio.sleep(0)
    tracemalloc.start()
    try:
        await store.upload_part("k", upload_id, 2, [body], checksum=checksum)
        peak_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
        watching.cancel()
    assert peak_bytes < 8 * MIB
    # So none was made on the loop.
    assert worst_seconds < sha_seconds


async def test_an_object_is_deleted_and_an_absent_one_is_no_error(store: ObjectStore) -> None:
    await put(store, "a/k", b"x")
    await store.delete("a/k")
    await store.delete("a/k")
    assert await store.head("a/k") is None


async def test_objects_and_uploads_are_listed_over_many_pages(store: ObjectStore) -> None:
    keys = [f"p/{number:04}" for number in range(1001)]

    async def begin(key: str) -> None:
        await put(store, key, b"ab")
        await store.create_upload(key, metadata=META, content_type="text/plain")

    for start in range(0, len(keys), 50):
        await asyncio.gather(*(begin(key) for key in keys[start : start + 50]))
    await put(store, "q/other", b"x")
    assert [found async for found in store.list_objects("p/")] == [(key, 2) for key in keys]
    uploads = [found async for found in store.list_uploads("p/")]
    assert sorted(found.key for found in uploads) == keys
    assert len({found.upload_id for found in uploads}) == len(keys)
    assert all(found.initiated.tzinfo is not None for found in uploads)


async def test_whether_a_matching_key_is_there_is_told_without_reading_all(
    store: ObjectStore,
) -> None:
    for key in ("p/a", "p/b", "p/c"):
        await put(store, key, b"x")
    assert await store.has_objects("p/", lambda key: key == "p/b") is True
    assert await store.has_objects("p/", lambda key: key == "p/z") is False
    assert await store.has_objects("p/", lambda key: key == "p/c", limit_keys=2) is None


async def test_where_listing_is_refused_nothing_is_known_but_a_missing_bucket_is_told(
    s3: S3Server,
) -> None:
    server = SmallS3(refuses=frozenset({"ListObjectsV2"}))
    async with store_of(server.answer) as store:
        assert await store.has_objects("p/", lambda _: True) is None
    async with ObjectStore(settings_of(s3), reveal=reveal) as store:
        with pytest.raises(OperatorStoreError, match="NoSuchBucket"):
            await store.has_objects("p/", lambda _: True)


async def test_a_listing_that_promises_more_without_a_way_to_it_ends() -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(
            text="<R><IsTruncated>true</IsTruncated><NextKeyMarker>k</NextKeyMarker></R>",
            content_type="application/xml",
        )

    async with store_of(answer) as store:
        with pytest.raises(RetryableStoreError, match="truncated"):
            _ = [found async for found in store.list_uploads("p/")]
