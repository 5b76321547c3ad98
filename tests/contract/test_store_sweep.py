"""The sweep of unfinished multipart uploads, on a real S3 server and on one that forbids."""

import logging
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from spoolsink.config import reveal
from spoolsink.object_store import ObjectStore
from spoolsink.store_sweep import abort_abandoned
from tests.contract.small_s3 import SmallS3, store_of
from tests.contract.test_object_store import settings_of
from tests.servers.processes import S3Server

OURS = "topics/orders/dt=1/orders+0+0000000000+0000000009.json"
OTHERS = "topics/orders/dt=1/mail+0+0000000000+0000000009.json"
ELSEWHERE = "elsewhere/orders+0+0000000000+0000000009.json"
PROBE = "topics/.spoolsink-probe"
LATER = datetime.now(UTC) + timedelta(days=1)
EARLIER = LATER - timedelta(days=2)


def is_ours(key: str) -> bool:
    return key.rsplit("/", 1)[-1].startswith("orders+0+")


@pytest.fixture
async def store(s3: S3Server) -> AsyncIterator[ObjectStore]:
    settings = settings_of(s3)
    (s3.root / settings.bucket).mkdir()
    async with ObjectStore(settings, reveal=reveal) as store:
        yield store


async def begin(store: ObjectStore, key: str) -> tuple[str, str]:
    return key, await store.create_upload(key, metadata={}, content_type="text/plain")


async def unfinished(store: ObjectStore) -> list[str]:
    return sorted([found.key async for found in store.list_uploads("")])


async def test_old_uploads_under_our_keys_are_aborted_and_no_others(store: ObjectStore) -> None:
    for key in (OURS, OTHERS, ELSEWHERE, PROBE):
        await begin(store, key)
    count = await abort_abandoned(store, prefix="topics", is_ours=is_ours, older_than=LATER)
    assert (count, await unfinished(store)) == (2, [ELSEWHERE, OTHERS])


async def test_a_young_upload_may_be_another_members_work(store: ObjectStore) -> None:
    await begin(store, OURS)
    count = await abort_abandoned(store, prefix="topics", is_ours=is_ours, older_than=EARLIER)
    assert (count, await unfinished(store)) == (0, [OURS])


async def test_without_a_prefix_the_whole_bucket_is_looked_at(store: ObjectStore) -> None:
    await begin(store, ELSEWHERE)
    assert await abort_abandoned(store, prefix="", is_ours=is_ours, older_than=LATER) == 1


async def test_noted_uploads_are_aborted_whatever_their_age(store: ObjectStore) -> None:
    noted = [await begin(store, OURS), (OURS, "00000000-0000-0000-0000-000000000000")]
    count = await abort_abandoned(
        store, prefix="topics", is_ours=is_ours, older_than=EARLIER, noted=noted
    )
    assert (count, await unfinished(store)) == (1, [])


async def test_a_store_that_forbids_it_is_complained_about_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    server = SmallS3(refuses=frozenset({"AbortMultipartUpload", "ListMultipartUploads"}))
    noted = [("topics/a", "1"), ("topics/b", "2")]
    async with store_of(server.answer) as store:
        with caplog.at_level(logging.WARNING, "spoolsink.store_sweep"):
            count = await abort_abandoned(
                store, prefix="topics", is_ours=is_ours, older_than=LATER, noted=noted
            )
    assert (count, len(caplog.records)) == (0, 1)
    assert server.calls.count("AbortMultipartUpload") == 2
    assert "AccessDenied" in caplog.text
