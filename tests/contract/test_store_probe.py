"""Probes and rights: on a real S3 server, and on stores that are looser or stricter."""

import asyncio
import os
from collections.abc import AsyncIterator

import pytest
from aiohttp import web

from spoolsink.config import reveal
from spoolsink.errors import OperatorStoreError, RetryableStoreError
from spoolsink.object_store import ObjectStore
from spoolsink.store_probe import check_rights, probe_conditional_writes, probe_key
from tests.contract.small_s3 import SmallS3, store_of
from tests.contract.test_object_store import put, settings_of
from tests.servers.processes import S3Server

DAY_SECONDS = 86_400

BOTH = frozenset({"PutObject", "CompleteMultipartUpload"})


@pytest.fixture
async def store(s3: S3Server) -> AsyncIterator[ObjectStore]:
    settings = settings_of(s3)
    (s3.root / settings.bucket).mkdir()
    async with ObjectStore(settings, reveal=reveal) as store:
        yield store


async def leftovers(store: ObjectStore) -> tuple[list[str], list[str]]:
    keys = [key async for key, _ in store.list_objects("")]
    return keys, [found.key async for found in store.list_uploads("")]


def test_the_probe_has_the_key_that_the_contract_names() -> None:
    assert probe_key("topics") == "topics/.spoolsink-probe"
    assert probe_key("") == ".spoolsink-probe"


@pytest.mark.parametrize("prefix", ["topics", "", "a/b"])
async def test_a_store_that_honours_conditions_is_told_and_left_as_it_was(
    store: ObjectStore, prefix: str
) -> None:
    assert await probe_conditional_writes(store, prefix)
    assert await leftovers(store) == ([], [])


async def test_a_dozen_members_may_probe_at_the_same_time(store: ObjectStore) -> None:
    answers = await asyncio.gather(*(probe_conditional_writes(store, "t") for _ in range(12)))
    assert answers == [True] * 12
    assert await leftovers(store) == ([], [])


async def test_an_object_that_another_probe_wrote_is_not_taken_away(store: ObjectStore) -> None:
    await put(store, "t/.spoolsink-probe", b"of another member")
    assert await probe_conditional_writes(store, "t")
    assert await leftovers(store) == (["t/.spoolsink-probe"], [])


async def test_what_a_killed_probe_left_is_deleted_later(store: ObjectStore, s3: S3Server) -> None:
    await put(store, "t/.spoolsink-probe", b"of a killed one")
    path = s3.root / store.bucket / "t/.spoolsink-probe"
    written = path.stat().st_mtime
    os.utime(path, (written - DAY_SECONDS, written - DAY_SECONDS))
    assert await probe_conditional_writes(store, "t")
    assert await leftovers(store) == ([], [])


@pytest.mark.parametrize(
    "ignores", [BOTH, frozenset({"PutObject"}), frozenset({"CompleteMultipartUpload"})]
)
async def test_a_store_that_ignores_either_condition_is_a_no_after_three_tries(
    ignores: frozenset[str],
) -> None:
    server = SmallS3(ignores=ignores)
    async with store_of(server.answer) as store:
        assert not await probe_conditional_writes(store, "t", pause_seconds=0)
    asked = {name for name in ignores if server.calls.count(name) >= 3}
    assert asked == ignores
    assert (server.objects, server.uploads) == ({}, {})


@pytest.mark.parametrize("answer", [(501, "NotImplemented"), (400, "InvalidArgument")])
@pytest.mark.parametrize("operation", sorted(BOTH))
async def test_a_store_that_rejects_the_condition_is_a_no(
    operation: str, answer: tuple[int, str]
) -> None:
    server = SmallS3(rejects={operation: answer})
    async with store_of(server.answer) as store:
        assert not await probe_conditional_writes(store, "t", pause_seconds=0)
    assert (server.objects, server.uploads) == ({}, {})


async def test_what_is_wrong_with_the_rest_of_the_request_is_no_answer(s3: S3Server) -> None:
    settings = settings_of(s3, tags={"a" * 200: "too long a name"})
    (s3.root / settings.bucket).mkdir()
    async with ObjectStore(settings, reveal=reveal) as store:
        with pytest.raises(OperatorStoreError, match="InvalidTag"):
            await probe_conditional_writes(store, "t")
        assert await leftovers(store) == ([], [])


async def test_a_missing_bucket_and_a_store_that_is_away_are_no_answer(s3: S3Server) -> None:
    async with ObjectStore(settings_of(s3), reveal=reveal) as store:
        with pytest.raises(OperatorStoreError, match="NoSuchBucket"):
            await probe_conditional_writes(store, "t")
        with pytest.raises(OperatorStoreError, match="NoSuchBucket"):
            await check_rights(store, "t")
    away = settings_of(s3, endpoint_url="http://127.0.0.1:9")
    async with ObjectStore(away, reveal=reveal) as store:
        with pytest.raises(RetryableStoreError):
            await probe_conditional_writes(store, "t")


async def test_where_deleting_is_not_allowed_the_object_serves_the_next_probe() -> None:
    server = SmallS3(refuses=frozenset({"DeleteObject"}))
    async with store_of(server.answer) as store:
        assert await probe_conditional_writes(store, "t")
        assert list(server.objects) == ["/b-1/t/.spoolsink-probe"]
        assert await probe_conditional_writes(store, "t")


async def test_all_rights_are_granted_and_nothing_stays(store: ObjectStore) -> None:
    rights = await check_rights(store, "t")
    assert [right.name for right in rights if right.is_needed] == [
        "PutObject",
        "GetObject",
        "AbortMultipartUpload",
        "ListBucketMultipartUploads",
    ]
    assert [right.name for right in rights if not right.is_needed] == ["ListBucket", "DeleteObject"]
    assert all(right.is_granted and not right.error for right in rights)
    assert await leftovers(store) == ([], [])


@pytest.mark.parametrize(
    ("operation", "right"),
    [
        ("HeadObject", "GetObject"),
        ("AbortMultipartUpload", "AbortMultipartUpload"),
        ("ListMultipartUploads", "ListBucketMultipartUploads"),
        ("ListObjectsV2", "ListBucket"),
        ("DeleteObject", "DeleteObject"),
    ],
)
async def test_a_refused_right_is_named_with_the_stores_words(operation: str, right: str) -> None:
    server = SmallS3(refuses=frozenset({operation}))
    async with store_of(server.answer) as store:
        missing = [found for found in await check_rights(store, "t") if not found.is_granted]
    assert [found.name for found in missing] == [right]
    assert operation in missing[0].error
    assert "403" in missing[0].error or "AccessDenied" in missing[0].error


async def test_without_the_right_to_write_the_others_are_still_told() -> None:
    server = SmallS3(refuses=frozenset({"PutObject", "CreateMultipartUpload"}))
    async with store_of(server.answer) as store:
        rights = {right.name: right.is_granted for right in await check_rights(store, "t")}
    assert rights.pop("PutObject") is False
    assert all(rights.values())


async def test_without_the_right_to_abort_no_upload_is_left_open() -> None:
    """It is completed on the key that the probe has taken, and deleted with it."""
    server = SmallS3(refuses=frozenset({"AbortMultipartUpload"}))
    async with store_of(server.answer) as store:
        rights = {right.name: right.is_granted for right in await check_rights(store, "t")}
        assert rights.pop("AbortMultipartUpload") is False
        assert all(rights.values())
        assert (server.objects, server.uploads) == ({}, {})
        assert await probe_conditional_writes(store, "t")
    assert (server.objects, server.uploads) == ({}, {})


async def test_a_probe_is_written_like_any_object() -> None:
    seen: dict[str, str] = {}
    server = SmallS3()

    async def answer(request: web.Request) -> web.Response:
        seen.update(request.headers)
        return await server.answer(request)

    changes = {"storage_class": "STANDARD_IA", "sse": "AES256", "tags": {"team": "x y"}}
    async with store_of(answer, changes=changes) as store:
        assert await probe_conditional_writes(store, "t")
    assert seen["x-amz-storage-class"] == "STANDARD_IA"
    assert seen["x-amz-server-side-encryption"] == "AES256"
    assert seen["x-amz-tagging"] == "team=x+y"
