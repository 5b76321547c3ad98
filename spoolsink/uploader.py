"""One sealed segment to one object: sealed → put or parts → complete → confirmed.

1. Create-only: a key that is taken is never written again. Whether what is there is ours is told
   by its metadata (range, record count, digest), asked for after a 412 or a vanished upload only.
2. A doubtful answer (a lost reply, a deadline) repeats the same conditional write.
3. Right before a Put or a Complete the owner is asked whether it still may.
4. It ends in an outcome, or by cancellation; never because S3 is away. What it leaves behind of a
   multipart upload that it gave up is aborted.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from spoolsink.backoff import Backoff
from spoolsink.errors import (
    ObjectConflictError,
    ObjectStoreError,
    OperatorStoreError,
    RetryableStoreError,
    UploadGoneError,
)
from spoolsink.object_store import Part, StoredObject

MAX_PARTS = 10_000
"""S3's limit of parts of one multipart upload."""

_SAMENESS = tuple(
    f"spoolsink-{name}" for name in ("first-offset", "last-offset", "records", "digest")
)


class Store(Protocol):
    """What is used of `ObjectStore`."""

    async def put(
        self,
        key: str,
        body: bytes,
        *,
        metadata: Mapping[str, str],
        content_type: str,
        create_only: bool,
    ) -> None: ...
    async def head(self, key: str) -> StoredObject | None: ...
    async def create_upload(
        self, key: str, *, metadata: Mapping[str, str], content_type: str
    ) -> str: ...
    async def upload_part(self, key: str, upload_id: str, number: int, body: bytes) -> Part: ...
    async def complete(
        self, key: str, upload_id: str, parts: Sequence[Part], *, create_only: bool
    ) -> None: ...
    async def abort(self, key: str, upload_id: str) -> None: ...


class Outcome(StrEnum):
    """How an upload ended (a closed list: a metric's label)."""

    CREATED = "created"
    EXISTED = "existed"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class Upload:
    """What is to be written; `keys` in the order in which they are tried when taken by others.

    `body` gives the object's bytes anew at each call; it is read in a worker thread, and raises
    SegmentCorruptError where the segment is damaged: nothing is completed then.
    """

    keys: Sequence[str]
    body: Callable[[], Iterator[bytes]]
    size_bytes: int
    metadata: Mapping[str, str]
    content_type: str


class _StoppedError(Exception):
    """The owner lost the topic partition."""


class Uploader:
    """Uploads segments, one call each; holds no state between them."""

    def __init__(
        self,
        store: Store,
        *,
        part_bytes: int,
        create_only: bool,
        make_backoff: Callable[[], Backoff],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        on_error: Callable[[ObjectStoreError], None] = lambda _: None,
    ) -> None:
        self._store = store
        self._part_bytes = part_bytes
        self._create_only = create_only
        self._make_backoff = make_backoff
        self._sleep = sleep
        self._on_error = on_error

    async def upload(self, upload: Upload, is_allowed: Callable[[], bool]) -> tuple[Outcome, str]:
        """The outcome, and the key that the object has.

        Raises:
            SegmentCorruptError: the segment is damaged; nothing of it is in S3.
            ObjectConflictError: every key is taken by something else.
        """
        backoff = self._make_backoff()
        remaining = list(upload.keys)
        while True:
            key = remaining[0]
            try:
                if not self._create_only and await self._is_there(upload, key):
                    return Outcome.EXISTED, key
                await self._write(upload, key, is_allowed)
            except _StoppedError:
                return Outcome.STOPPED, key
            except (ObjectConflictError, UploadGoneError) as error:
                found = await self._look(upload, key, backoff)
                if found is True:
                    return Outcome.EXISTED, key
                if found is False and isinstance(error, ObjectConflictError):
                    self._next_key(remaining, error)
            except (RetryableStoreError, OperatorStoreError) as error:
                self._on_error(error)
                await self._sleep(backoff.next())
            else:
                return Outcome.CREATED, key

    def _next_key(self, remaining: list[str], error: ObjectConflictError) -> None:
        if len(remaining) == 1:
            raise error
        del remaining[0]

    async def _is_there(self, upload: Upload, key: str) -> bool:
        """For stores without conditional writes: asked before each write."""
        found = await self._store.head(key)
        if found is None:
            return False
        if is_same(found.metadata, upload.metadata):
            return True
        raise ObjectConflictError("HeadObject", "Taken", "holds other content", "", key)

    async def _look(self, upload: Upload, key: str, backoff: Backoff) -> bool | None:
        """Whether the key holds this object (True), another one (False), or nothing (None)."""
        while True:
            try:
                found = await self._store.head(key)
            except ObjectStoreError as error:
                self._on_error(error)
                await self._sleep(backoff.next())
                continue
            return None if found is None else is_same(found.metadata, upload.metadata)

    async def _write(self, upload: Upload, key: str, is_allowed: Callable[[], bool]) -> None:
        parts = split_body(upload.body(), part_bytes_for(upload.size_bytes, self._part_bytes))
        first, is_last = await asyncio.to_thread(next, parts)
        if is_last:
            _demand(is_allowed)
            await self._store.put(
                key,
                first,
                metadata=upload.metadata,
                content_type=upload.content_type,
                create_only=self._create_only,
            )
            return
        upload_id = await self._store.create_upload(
            key, metadata=upload.metadata, content_type=upload.content_type
        )
        try:
            done = await self._send_parts(key, upload_id, first, parts)
            _demand(is_allowed)
            await self._complete(key, upload_id, done, is_allowed)
        except BaseException:
            # Cancelled, damaged, refused or taken: what was sent is of no use to anybody.
            await self._abandon(key, upload_id)
            raise

    async def _send_parts(
        self, key: str, upload_id: str, first: bytes, parts: Iterator[tuple[bytes, bool]]
    ) -> list[Part]:
        done: list[Part] = []
        body, is_last = first, False
        while True:
            done.append(await self._send_part(key, upload_id, len(done) + 1, body))
            if is_last:
                return done
            body, is_last = await asyncio.to_thread(next, parts)

    async def _send_part(self, key: str, upload_id: str, number: int, body: bytes) -> Part:
        backoff = self._make_backoff()
        while True:
            try:
                return await self._store.upload_part(key, upload_id, number, body)
            except (RetryableStoreError, OperatorStoreError) as error:
                self._on_error(error)
                await self._sleep(backoff.next())

    async def _complete(
        self, key: str, upload_id: str, parts: list[Part], is_allowed: Callable[[], bool]
    ) -> None:
        backoff = self._make_backoff()
        while True:
            try:
                await self._store.complete(key, upload_id, parts, create_only=self._create_only)
            except (RetryableStoreError, OperatorStoreError) as error:
                if error.code == "ConditionalRequestConflict":
                    raise  # S3 wants a new upload with all its parts
                self._on_error(error)
                await self._sleep(backoff.next())
                _demand(is_allowed)
            else:
                return

    async def _abandon(self, key: str, upload_id: str) -> None:
        with suppress(ObjectStoreError):
            await asyncio.shield(self._store.abort(key, upload_id))


def is_same(found: Mapping[str, str], ours: Mapping[str, str]) -> bool:
    """Same range, record count and digest: the same records, whoever wrote them."""
    return all(name in found and found[name] == ours[name] for name in _SAMENESS)


def part_bytes_for(size_bytes: int, part_bytes: int) -> int:
    """The configured part size, grown where the object would need more than 10,000 parts.

    `size_bytes` counts encoded rows; codecs may add a little to what cannot be compressed.
    """
    most = size_bytes + size_bytes // 100 + 1024
    return max(part_bytes, -(-most // MAX_PARTS))


def split_body(chunks: Iterator[bytes], part_bytes: int) -> Iterator[tuple[bytes, bool]]:
    """Parts of exactly `part_bytes`, the last one shorter or equal; True marks it.

    Holds one part and one chunk at most.
    """
    buffer = bytearray()
    for chunk in chunks:
        buffer += chunk
        while len(buffer) > part_bytes:
            yield bytes(memoryview(buffer)[:part_bytes]), False
            del buffer[:part_bytes]
    yield bytes(buffer), True


def _demand(is_allowed: Callable[[], bool]) -> None:
    if not is_allowed():
        raise _StoppedError
