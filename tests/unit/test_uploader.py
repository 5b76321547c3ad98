"""The uploader against a store that loses requests and replies, and against damage."""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spoolsink.backoff import Backoff
from spoolsink.errors import (
    ObjectConflictError,
    ObjectStoreError,
    OperatorStoreError,
    RetryableStoreError,
    SegmentCorruptError,
    UploadGoneError,
)
from spoolsink.object_store import Part, StoredObject
from spoolsink.uploader import MAX_PARTS, Outcome, Upload, Uploader, part_bytes_for, split_body

META = {
    "spoolsink-first-offset": "7",
    "spoolsink-last-offset": "9",
    "spoolsink-records": "3",
    "spoolsink-digest": "sha256:aa",
}
PART_BYTES = 4

Script = dict[str, list[tuple[str, type[ObjectStoreError]]]]


class FakeStore:
    """S3 in memory; `script` says for an operation's next calls what goes wrong, and when."""

    def __init__(
        self, script: dict[str, list[tuple[str, type[ObjectStoreError]]]] | None = None
    ) -> None:
        self.script = script or {}
        self.objects: dict[str, tuple[bytes, dict[str, str]]] = {}
        self.uploads: dict[str, tuple[dict[str, str], dict[int, bytes]]] = {}
        self.calls: list[str] = []
        self.has_part = asyncio.Event()

    def _fails(self, operation: str, when: str) -> None:
        if when == "before":
            self.calls.append(operation)
        steps = self.script.get(operation, [])
        if steps and steps[0][0] == when:
            _, error = steps.pop(0)
            raise error(operation, "Scripted", "as scripted", "bucket", "")

    async def put(
        self,
        key: str,
        body: bytes,
        *,
        metadata: Mapping[str, str],
        content_type: str,
        create_only: bool,
    ) -> None:
        self._fails("put", "before")
        self._store(key, body, dict(metadata), create_only=create_only)
        self._fails("put", "after")

    async def head(self, key: str) -> StoredObject | None:
        self._fails("head", "before")
        found = self.objects.get(key)
        return None if found is None else StoredObject(len(found[0]), found[1])

    async def create_upload(
        self, key: str, *, metadata: Mapping[str, str], content_type: str
    ) -> str:
        self._fails("create", "before")
        upload_id = f"u{len(self.calls)}"
        self.uploads[upload_id] = (dict(metadata), {})
        return upload_id

    async def upload_part(self, key: str, upload_id: str, number: int, body: bytes) -> Part:
        self.has_part.set()
        self._fails("part", "before")
        self._upload(upload_id)[1][number] = body
        self._fails("part", "after")
        return Part(number, f"e{number}", None)

    async def complete(
        self, key: str, upload_id: str, parts: Sequence[Part], *, create_only: bool
    ) -> None:
        self._fails("complete", "before")
        metadata, bodies = self._upload(upload_id)
        body = b"".join(bodies[part.number] for part in parts)
        self._store(key, body, metadata, create_only=create_only)
        del self.uploads[upload_id]
        self._fails("complete", "after")

    async def abort(self, key: str, upload_id: str) -> None:
        self._fails("abort", "before")
        self._upload(upload_id)
        del self.uploads[upload_id]

    def _upload(self, upload_id: str) -> tuple[dict[str, str], dict[int, bytes]]:
        if upload_id not in self.uploads:
            raise UploadGoneError("any", "NoSuchUpload", "", "bucket", "")
        return self.uploads[upload_id]

    def _store(self, key: str, body: bytes, metadata: dict[str, str], *, create_only: bool) -> None:
        if create_only and key in self.objects:
            raise ObjectConflictError("any", "PreconditionFailed", "", "bucket", key)
        self.objects[key] = (body, metadata)


def upload_of(body: bytes, *keys: str) -> Upload:
    return Upload(keys or ("k",), lambda: iter([body[:3], body[3:]]), len(body), META, "text/plain")


async def run(
    store: FakeStore,
    upload: Upload,
    *,
    is_allowed: Callable[[], bool] = lambda: True,
    create_only: bool = True,
) -> tuple[Outcome, str]:
    async def no_sleep(seconds: float) -> None:
        await asyncio.sleep(0)

    uploader = Uploader(
        store,
        part_bytes=PART_BYTES,
        create_only=create_only,
        make_backoff=lambda: Backoff(0.1, 15, lambda: 0.5),
        sleep=no_sleep,
    )
    return await uploader.upload(upload, is_allowed)


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
    other = (b"other", {**META, "spoolsink-digest": "sha256:bb"})
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


@given(st.lists(st.binary(max_size=9)), st.integers(1, 7))
def test_parts_are_of_exactly_the_size_but_the_last(chunks: list[bytes], size: int) -> None:
    parts = list(split_body(iter(chunks), size))
    assert b"".join(part for part, _ in parts) == b"".join(chunks)
    assert [is_last for _, is_last in parts] == [False] * (len(parts) - 1) + [True]
    assert all(len(part) == size for part, is_last in parts if not is_last)
    assert len(parts[-1][0]) <= size


@pytest.mark.parametrize("size", [0, 10**9, 10**11, 5 * 10**13])
def test_the_part_size_grows_where_ten_thousand_would_not_do(size: int) -> None:
    part = part_bytes_for(size, 8 * 2**20)
    assert part >= 8 * 2**20
    assert size / part <= MAX_PARTS


def test_waits_grow_up_to_their_cap_and_begin_anew() -> None:
    backoff = Backoff(0.5, 15, lambda: 1.0)
    waits = [backoff.next() for _ in range(8)]
    assert all(a <= b for a, b in pairwise(waits))
    assert (waits[0], waits[-1]) == (0.5, 15)
    backoff.reset()
    assert backoff.next() == 0.5
    assert Backoff(10, 15, lambda: 0.0).next() == 1.0
