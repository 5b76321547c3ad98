"""The uploader against a store that loses requests and replies, and against damage."""

import asyncio
import logging
import threading
import tracemalloc
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from spoolsink import uploader as uploader_module
from spoolsink.body_parts import Body
from spoolsink.errors import (
    ObjectConflictError,
    ObjectStoreError,
    OperatorStoreError,
    RetryableStoreError,
    SegmentCorruptError,
    UploadGoneError,
)
from spoolsink.object_store import Part
from spoolsink.uploader import Outcome, Upload
from tests.unit.fake_store import META, FakeStore, Owner, run, upload_of


async def test_a_small_body_is_one_request() -> None:
    store = FakeStore()
    assert await run(store, upload_of(b"abcd")) == (Outcome.CREATED, "k")
    assert (store.calls, store.objects["k"]) == (["put"], (b"abcd", META))


async def test_a_large_body_is_two_requests_and_one_a_part() -> None:
    store = FakeStore()
    assert await run(store, upload_of(b"abcdefghi")) == (Outcome.CREATED, "k")
    assert store.calls == ["create", "part", "part", "part", "complete"]
    assert store.objects["k"][0] == b"abcdefghi"


@pytest.mark.parametrize("body", [b"ab", b"abcdefghi"])
@pytest.mark.parametrize("operation", ["put", "create", "part", "complete"])
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("error", [RetryableStoreError, OperatorStoreError])
async def test_a_lost_request_or_reply_ends_in_exactly_one_object(
    body: bytes, operation: str, when: str, error: type[ObjectStoreError]
) -> None:
    store = FakeStore({operation: [(when, error), (when, error)]})
    outcome, _ = await run(store, upload_of(body))
    assert outcome in {Outcome.CREATED, Outcome.EXISTED}
    assert store.objects == {"k": (body, META)}
    assert store.uploads == {}


async def test_a_lost_reply_to_a_conditional_write_is_recognised_as_our_own() -> None:
    store = FakeStore({"put": [("after", RetryableStoreError)]})
    assert await run(store, upload_of(b"ab")) == (Outcome.EXISTED, "k")
    assert store.calls == ["put", "put", "head"]


async def test_a_vanished_upload_is_done_again_unless_it_was_completed() -> None:
    store = FakeStore({"complete": [("before", UploadGoneError)]})
    assert await run(store, upload_of(b"abcdefghi")) == (Outcome.CREATED, "k")
    completed = FakeStore({"complete": [("after", UploadGoneError)]})
    assert await run(completed, upload_of(b"abcdefghi")) == (Outcome.EXISTED, "k")


async def test_a_taken_key_is_left_alone_and_the_next_one_used() -> None:
    store = FakeStore()
    other = (b"other", {**META, "spoolsink-digest": "xxh128:bb"})
    store.objects["k"] = other
    assert await run(store, upload_of(b"abcdefghi", "k", "k+aa")) == (Outcome.CREATED, "k+aa")
    assert store.objects["k"] == other
    assert store.uploads == {}


async def test_when_every_key_is_taken_nothing_is_overwritten() -> None:
    store = FakeStore()
    store.objects["k"] = (b"other", {})
    with pytest.raises(ObjectConflictError):
        await run(store, upload_of(b"ab"))
    assert store.objects["k"] == (b"other", {})


async def test_without_conditional_writes_the_key_is_looked_at_first() -> None:
    store = FakeStore()
    assert await run(store, upload_of(b"ab"), create_only=False) == (Outcome.CREATED, "k")
    assert await run(store, upload_of(b"ab"), create_only=False) == (Outcome.EXISTED, "k")
    store.objects["k"] = (b"other", {})
    outcome = await run(store, upload_of(b"ab", "k", "k2"), create_only=False)
    assert (outcome, store.objects["k"]) == ((Outcome.CREATED, "k2"), (b"other", {}))


@pytest.mark.parametrize("body", [b"ab", b"abcdefghi"])
async def test_who_lost_the_topic_partition_writes_nothing(body: bytes) -> None:
    store = FakeStore()
    assert (await run(store, upload_of(body), is_allowed=lambda: False))[0] is Outcome.STOPPED
    assert (store.objects, store.uploads) == ({}, {})


async def test_a_damaged_segment_is_never_completed() -> None:
    def body() -> Iterator[bytes]:
        yield b"abcdefghi"
        raise SegmentCorruptError("1.sealed", 9, "checksum of a block")

    store = FakeStore()
    with pytest.raises(SegmentCorruptError):
        await run(store, Upload(("k",), body, 9, META, "text/plain"))
    assert (store.objects, store.uploads) == ({}, {})


async def test_cancelling_aborts_the_upload() -> None:
    store = FakeStore({"part": [("before", RetryableStoreError)] * 1000})
    task = asyncio.create_task(run(store, upload_of(b"abcdefghi")))
    async with asyncio.timeout(10):
        await store.has_part.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert store.uploads == {}


async def test_every_error_is_told_and_the_first_success_behind_them_once() -> None:
    owner = Owner()
    store = FakeStore({"put": [("before", OperatorStoreError)] * 3})
    await run(store, upload_of(b"ab"), owner=owner)
    assert owner.told == ["error put"] * 3 + ["success"]
    owner = Owner()
    await run(FakeStore(), upload_of(b"abcdefghi"), owner=owner)
    assert "success" not in owner.told


@pytest.mark.parametrize("operation", ["put", "part", "complete", "create"])
async def test_no_wait_between_tries_is_longer_than_fifteen_seconds(operation: str) -> None:
    owner = Owner()
    body = b"ab" if operation == "put" else b"abcdefghi"
    store = FakeStore({operation: [("before", RetryableStoreError)] * 12})
    await run(store, upload_of(body), owner=owner)
    assert len(owner.waits) == 12
    assert max(owner.waits) == 15


async def test_the_life_of_a_multipart_upload_is_told() -> None:
    owner = Owner()
    await run(FakeStore(), upload_of(b"abcdefghi"), owner=owner)
    assert owner.told == ["started k u1", "ended k u1"]
    owner = Owner()
    await run(FakeStore(), upload_of(b"ab"), owner=owner)
    assert owner.told == []


async def test_an_upload_that_may_still_be_there_has_not_ended() -> None:
    other = (b"other", {**META, "spoolsink-digest": "xxh128:bb"})
    for error, told in (
        (RetryableStoreError, ["started k u1"]),
        (UploadGoneError, ["started k u1", "ended k u1"]),
    ):
        owner = Owner()
        store = FakeStore({"abort": [("before", error)]})
        store.objects["k"] = other
        with pytest.raises(ObjectConflictError):
            await run(store, upload_of(b"abcdefghi"), owner=owner)
        assert owner.told == told


async def test_a_conflict_of_two_completes_is_a_new_upload_with_all_its_parts() -> None:
    store = FakeStore({"complete": [("before", RetryableStoreError)]})
    store.code = "ConditionalRequestConflict"
    assert await run(store, upload_of(b"abcdef")) == (Outcome.CREATED, "k")
    once = ["create", "part", "part", "complete"]
    assert store.calls == [*once, "abort", *once]


async def test_another_operation_in_the_way_is_the_same_call_again() -> None:
    store = FakeStore({"complete": [("before", RetryableStoreError)]})
    store.code = "OperationAborted"
    assert await run(store, upload_of(b"abcdef")) == (Outcome.CREATED, "k")
    assert store.calls == ["create", "part", "part", "complete", "complete"]


async def test_a_taken_key_that_nobody_may_look_at_holds_until_it_can_be() -> None:
    store = FakeStore({"head": [("before", OperatorStoreError)] * 3})
    store.code = "403"
    store.objects["k"] = (b"ab", META)
    owner = Owner()
    assert await run(store, upload_of(b"ab"), owner=owner) == (Outcome.EXISTED, "k")
    assert owner.told == ["error head"] * 3 + ["success"]


async def test_a_taken_key_that_is_free_again_is_written_after_a_wait() -> None:
    store = FakeStore({"put": [("before", ObjectConflictError)]})
    owner = Owner()
    assert await run(store, upload_of(b"ab"), owner=owner) == (Outcome.CREATED, "k")
    assert (store.calls, len(owner.waits)) == (["put", "head", "put"], 1)


async def test_without_conditional_writes_a_refused_look_means_absent_and_is_said_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    store = FakeStore({"head": [("before", OperatorStoreError)] * 2})
    store.code = "403"
    uploader = Owner().uploader(store)
    with caplog.at_level(logging.WARNING, "spoolsink.uploader"):
        for key in ("k", "l"):
            outcome = await uploader.upload(upload_of(b"ab", key), lambda: True, create_only=False)
            assert outcome == (Outcome.CREATED, key)
    assert len(caplog.records) == 1


async def test_without_conditional_writes_any_other_failure_to_look_holds() -> None:
    store = FakeStore({"head": [("before", OperatorStoreError)]})
    store.objects["k"] = (b"other", {})
    with pytest.raises(ObjectConflictError):
        await run(store, upload_of(b"ab"), create_only=False)
    assert store.objects["k"] == (b"other", {})


@pytest.mark.parametrize("operation", ["put", "part", "complete"])
async def test_who_loses_the_topic_partition_stops_trying(operation: str) -> None:
    store = FakeStore({operation: [("before", RetryableStoreError)] * 1000})
    owner = Owner()
    upload = upload_of(b"ab" if operation == "put" else b"abcdefghi")
    outcome, _ = await run(store, upload, owner=owner, is_allowed=lambda: len(owner.waits) < 3)
    assert (outcome, store.uploads, len(owner.waits)) == (Outcome.STOPPED, {}, 3)


async def test_a_store_that_hangs_does_not_hold_up_who_gives_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(uploader_module, "_ABANDON_SECONDS", 0.01)

    class Hanging(FakeStore):
        async def abort(self, key: str, upload_id: str) -> None:
            await asyncio.Event().wait()

    store, owner = Hanging({"part": [("before", RetryableStoreError)] * 1000}), Owner()
    task = asyncio.create_task(run(store, upload_of(b"abcdefghi"), owner=owner))
    async with asyncio.timeout(10):
        await store.has_part.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert "ended k u1" not in owner.told


async def test_bodies_are_read_and_summed_outside_the_event_loop() -> None:
    threads: set[int] = set()

    def body() -> Iterator[bytes]:
        threads.add(threading.get_ident())
        yield b"abcdefghi"

    store = FakeStore()
    await run(store, Upload(("k",), body, 9, META, "text/plain"))
    assert threading.get_ident() not in threads | store.summing_threads


async def test_no_more_bodies_are_read_at_a_time_than_uploads_are_allowed() -> None:
    reading, peak = 0, 0
    both = asyncio.Event()

    def body() -> Iterator[bytes]:
        nonlocal reading, peak
        reading += 1
        peak = max(peak, reading)
        return iter([b"ab"])

    class Slow(FakeStore):
        async def put(self, *arguments: object, **named: object) -> None:
            nonlocal reading
            if reading == 2:
                both.set()
            await both.wait()
            reading -= 1

    uploader = Owner().uploader(Slow(), uploads=2)
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        for number in range(9):
            upload = Upload((str(number),), body, 2, META, "text/plain")
            group.create_task(uploader.upload(upload, lambda: True, create_only=True))
    assert peak == 2


class Forgetful(FakeStore):
    """Keeps no body, so that what is in memory is the uploader's."""

    async def upload_part(
        self, key: str, upload_id: str, number: int, body: Body, *, checksum: str | None = None
    ) -> Part:
        return Part(number, "e", None)

    async def complete(
        self, key: str, upload_id: str, parts: Sequence[Part], *, create_only: bool
    ) -> None:
        del self.uploads[upload_id]


async def test_one_part_and_one_chunk_are_in_memory_however_large_the_body() -> None:
    part, chunk = 2**23, 2**18
    upload = Upload(
        ("k",), lambda: (bytes(chunk) for _ in range(160)), 160 * chunk, META, "text/plain"
    )
    tracemalloc.start()
    try:
        uploader = Owner().uploader(Forgetful(), part_bytes=part)
        await uploader.upload(upload, lambda: True, create_only=True)
        peak_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak_bytes < part + 3 * chunk


async def test_who_waits_for_an_s3_that_is_away_holds_no_body() -> None:
    class Watching(Owner):
        async def sleep(self, seconds: float) -> None:
            self.waits.append(seconds)
            async with asyncio.timeout(10):
                while tracemalloc.get_traced_memory()[0] > 2**19:
                    # Its last thread may still be letting go of the reader.
                    await asyncio.to_thread(int)

    store = FakeStore({"put": [("before", RetryableStoreError)] * 2})
    upload = Upload(("k",), lambda: iter([bytes(2**20)]), 2**20, META, "text/plain")
    tracemalloc.start()
    try:
        uploader = (owner := Watching()).uploader(store, part_bytes=2**20)
        await uploader.upload(upload, lambda: True, create_only=True)
    finally:
        tracemalloc.stop()
    assert len(owner.waits) == 2


async def test_a_key_that_is_refused_while_others_are_taken_is_given_back() -> None:
    """Else it would keep a worker until somebody mends it, and `uploads` of them all."""

    class OneKeyRefused(FakeStore):
        is_mended = False
        has_refused = asyncio.Event()

        async def put(self, key: str, *arguments: Any, **more: Any) -> None:
            if key == "refused" and not self.is_mended:
                self.has_refused.set()
                raise OperatorStoreError("PutObject", "AccessDenied", "as planned", "bucket", key)
            await super().put(key, *arguments, **more)

    store, owner = OneKeyRefused(), Owner()
    uploader, refused = owner.uploader(store), upload_of(b"ab", "refused")
    first = asyncio.create_task(uploader.upload(refused, lambda: True, create_only=True))
    await store.has_refused.wait()
    await uploader.upload(upload_of(b"ab"), lambda: True, create_only=True)
    with pytest.raises(OperatorStoreError, match="AccessDenied"):
        await first
    told = list(owner.told)
    # Later on at once, and without a word about S3 as a whole.
    with pytest.raises(OperatorStoreError):
        await uploader.upload(refused, lambda: True, create_only=True)
    assert owner.told == told
    store.is_mended = True
    found = await uploader.upload(refused, lambda: True, create_only=True)
    assert found == (Outcome.CREATED, "refused")


async def test_what_is_refused_again_and_again_gives_others_a_turn() -> None:
    """With one worker nobody could find out otherwise that the key alone is refused."""
    owner = Owner()
    store = FakeStore({"put": [("before", OperatorStoreError)] * 5})
    uploader = owner.uploader(store, uploads=1)
    found = await uploader.upload(upload_of(b"ab"), lambda: True, create_only=True)
    assert found == (Outcome.REFUSED, "k")
    assert owner.told == ["error put"] * 5
    found = await uploader.upload(upload_of(b"ab"), lambda: True, create_only=True)
    assert found == (Outcome.CREATED, "k")
