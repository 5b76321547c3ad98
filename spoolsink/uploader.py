"""One sealed segment to one object: sealed → put or parts → complete → confirmed.

1. Create-only: a key that is taken is never written again. Whether what is there is ours is told
   by its metadata (range, record count, digest), asked for after a 412 or a vanished upload only.
2. A doubtful answer (a lost reply, a deadline) repeats the same conditional write.
3. Right before a Put or a Complete the owner is asked whether it still may.
4. It ends in an outcome, or by cancellation; never because S3 is away. What it leaves behind of a
   multipart upload that it gave up is aborted.
5. What an operator must mend keeps no worker for long: others get their turn, and a key that is
   refused while others are taken is given back for good.
6. At most `uploads` bodies are read at a time, and of each one part and one chunk are in memory.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import Protocol, TypeVar

from spoolsink.backoff import Backoff
from spoolsink.body_parts import Body, PartReader, part_bytes_for
from spoolsink.errors import (
    ObjectConflictError,
    ObjectStoreError,
    OperatorStoreError,
    RetryableStoreError,
    UploadGoneError,
)
from spoolsink.fault_points import reach
from spoolsink.object_store import REFUSED, Part, StoredObject

T = TypeVar("T")
UploadHook = Callable[[str, str], Awaitable[None]]
"""Called with key and upload id."""

MAX_WAIT_SECONDS = 15.0
"""The contract's: what fails is tried again at least this often."""

_TURN_REFUSALS = 5
"""Of one upload, some seconds in all; then others have their turn, and it comes again."""

_ABANDON_SECONDS = 5.0
"""For one Abort on the way out: a stop must not wait for an S3 that hangs."""

_SAMENESS = tuple(
    f"spoolsink-{name}" for name in ("first-offset", "last-offset", "records", "digest")
)

_WANT_NEW_UPLOAD = frozenset(
    {
        # S3's own words for it: create the upload anew, with all its parts.
        "ConditionalRequestConflict",
        # The store lost or garbled a part: the same call would fail for ever.
        "InvalidPart",
        "InvalidPartOrder",
        "BadDigest",
        "InvalidDigest",
        "XAmzContentChecksumMismatch",
    }
)

_log = logging.getLogger(__name__)


class Store(Protocol):
    """What is used of `ObjectStore`."""

    def checksum_of(self, body: Body) -> str | None: ...
    async def put(
        self,
        key: str,
        body: Body,
        *,
        metadata: Mapping[str, str],
        content_type: str,
        create_only: bool,
        checksum: str | None = None,
    ) -> None: ...
    async def head(self, key: str) -> StoredObject | None: ...
    async def create_upload(
        self, key: str, *, metadata: Mapping[str, str], content_type: str
    ) -> str: ...
    async def upload_part(
        self, key: str, upload_id: str, number: int, body: Body, *, checksum: str | None = None
    ) -> Part: ...
    async def complete(
        self, key: str, upload_id: str, parts: Sequence[Part], *, create_only: bool
    ) -> None: ...
    async def abort(self, key: str, upload_id: str) -> None: ...


class Outcome(StrEnum):
    """How an upload ended (the first two are a metric's label)."""

    CREATED = "created"
    EXISTED = "existed"
    STOPPED = "stopped"
    REFUSED = "refused"


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


@dataclass(frozen=True, slots=True)
class _Attempt:
    """One upload under one of its keys."""

    upload: Upload
    key: str
    is_allowed: Callable[[], bool]
    create_only: bool

    def demand(self) -> None:
        if not self.is_allowed():
            raise _StoppedError


class _StoppedError(Exception):
    """The owner lost the topic partition."""


class _Reports:
    """Tells the owner of every error, and of the first success behind one."""

    def __init__(
        self, on_error: Callable[[ObjectStoreError], None], on_success: Callable[[], None]
    ) -> None:
        self._on_error = on_error
        self._on_success = on_success
        self._has_failed = False
        self._has_warned = False

    def failed(self, error: ObjectStoreError) -> None:
        self._has_failed = True
        self._on_error(error)

    def succeeded(self) -> None:
        if self._has_failed:
            self._has_failed = False
            self._on_success()

    def cannot_look(self, error: ObjectStoreError) -> None:
        if not self._has_warned:
            self._has_warned = True
            _log.warning("S3 refuses to say whether a key is taken; it is written: %s", error)


class Uploader:
    """Uploads segments, one call each; may be shared by all topic partitions."""

    def __init__(
        self,
        store: Store,
        *,
        part_bytes: int,
        uploads: int,
        make_backoff: Callable[[], Backoff],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        on_error: Callable[[ObjectStoreError], None] = lambda _: None,
        on_success: Callable[[], None] = lambda: None,
        on_upload_started: UploadHook | None = None,
        on_upload_ended: UploadHook | None = None,
    ) -> None:
        """Nothing is started.

        `on_error`: every error, each time it recurs (keep its text, not the error: its traceback
        holds a part); `on_success`: the first call that went well behind one. The upload hooks
        enclose the life of a multipart upload; one that may still be there, because S3 did not
        answer the Abort, has not ended.
        """
        self._store = store
        self._part_bytes = part_bytes
        self._slots = asyncio.Semaphore(uploads)
        self._make_backoff = make_backoff
        self._sleep = sleep
        self._reports = _Reports(on_error, on_success)
        self._on_started = on_upload_started or _nothing
        self._on_ended = on_upload_ended or _nothing
        self._written = 0
        # Keys that were refused, and how many objects had been written then.
        self._refused: dict[str, int] = {}

    async def upload(
        self, upload: Upload, is_allowed: Callable[[], bool], *, create_only: bool
    ) -> tuple[Outcome, str]:
        """The outcome, and the key that the object has. REFUSED: others are to have their turn.

        `create_only`: the store honours conditional writes; else the key is looked at before
        each write.

        Raises:
            SegmentCorruptError: the segment is damaged; nothing of it is in S3.
            ObjectConflictError: every key is taken by something else.
            OperatorStoreError: this key alone is refused, others are written meanwhile.
        """
        backoff = self._make_backoff()
        keys = list(upload.keys)
        refusals = 0
        while True:
            attempt = _Attempt(upload, keys[0], is_allowed, create_only)
            try:
                outcome = await self._attempt(attempt)
            except _StoppedError:
                return Outcome.STOPPED, keys[0]
            except ObjectConflictError:
                if len(keys) == 1:
                    raise
                del keys[0]
                continue
            except (RetryableStoreError, OperatorStoreError, UploadGoneError) as error:
                if isinstance(error, OperatorStoreError):
                    refusals += 1
                    if self._written > self._refused.setdefault(keys[0], self._written):
                        raise  # others were taken meanwhile
                self._reports.failed(error)
                if refusals == _TURN_REFUSALS:
                    return Outcome.REFUSED, keys[0]
            else:
                self._written += 1
                self._refused.pop(keys[0], None)
                return outcome, keys[0]
            # Not inside `except`: the error's traceback would keep the part in memory.
            await self._wait(backoff)

    async def _attempt(self, attempt: _Attempt) -> Outcome:
        """Raises ObjectConflictError only when the key is known to hold something else."""
        async with self._slots:
            if not attempt.create_only and await self._is_there(attempt):
                return Outcome.EXISTED
            try:
                await self._write(attempt)
            except (ObjectConflictError, UploadGoneError) as error:
                found = await self._insist(lambda: self._store.head(attempt.key), attempt)
                if found is None:
                    # Gone again, or not to be seen yet: neither is a reason for another key.
                    told = (error.operation, error.code, error.message, error.bucket, error.key)
                    raise RetryableStoreError(*told) from error
                return self._same_or_taken(found, attempt)
        return Outcome.CREATED

    async def _is_there(self, attempt: _Attempt) -> bool:
        """For stores without conditional writes: asked before each write."""
        try:
            found = await self._store.head(attempt.key)
        except OperatorStoreError as error:
            if error.code not in REFUSED:
                raise
            # Without ListBucket that is the answer for an absent key.
            self._reports.cannot_look(error)
            return False
        self._reports.succeeded()
        return found is not None and self._same_or_taken(found, attempt) is Outcome.EXISTED

    def _same_or_taken(self, found: StoredObject, attempt: _Attempt) -> Outcome:
        if is_same(found.metadata, attempt.upload.metadata):
            return Outcome.EXISTED
        raise ObjectConflictError("HeadObject", "Taken", "holds other content", "", attempt.key)

    async def _write(self, attempt: _Attempt) -> None:
        upload, key = attempt.upload, attempt.key
        parts = PartReader(
            upload.body(),
            part_bytes_for(upload.size_bytes, self._part_bytes),
            self._store.checksum_of,
        )
        await parts.advance()
        attempt.demand()
        if parts.is_last:
            await self._put(attempt, parts)
            return
        upload_id = await self._store.create_upload(
            key, metadata=upload.metadata, content_type=upload.content_type
        )
        self._reports.succeeded()
        reach("create.after")
        try:
            await self._on_started(key, upload_id)
            done = await self._send_parts(attempt, upload_id, parts)
            reach("complete.before")
            complete = partial(self._store.complete, create_only=attempt.create_only)
            await self._insist(lambda: complete(key, upload_id, done), attempt)
        except BaseException:
            # Cancelled, damaged, refused or taken: what was sent is of no use to anybody.
            await self._abandon(key, upload_id)
            raise
        await self._on_ended(key, upload_id)

    async def _put(self, attempt: _Attempt, parts: PartReader) -> None:
        await self._store.put(
            attempt.key,
            parts.body,
            metadata=attempt.upload.metadata,
            content_type=attempt.upload.content_type,
            create_only=attempt.create_only,
            checksum=parts.checksum,
        )
        self._reports.succeeded()

    async def _send_parts(self, attempt: _Attempt, upload_id: str, parts: PartReader) -> list[Part]:
        done: list[Part] = []

        async def send() -> Part:
            where = (attempt.key, upload_id, len(done) + 1)
            return await self._store.upload_part(*where, parts.body, checksum=parts.checksum)

        while True:
            done.append(await self._insist(send, attempt))
            reach("part.after")
            if parts.is_last:
                return done
            await parts.advance()

    async def _insist(self, call: Callable[[], Awaitable[T]], attempt: _Attempt) -> T:
        """The same call until it is answered, or until only a new upload can help."""
        backoff = self._make_backoff()
        while True:
            attempt.demand()
            try:
                answer = await call()
            except (RetryableStoreError, OperatorStoreError) as error:
                if error.code in _WANT_NEW_UPLOAD:
                    raise
                self._reports.failed(error)
            else:
                self._reports.succeeded()
                return answer
            await self._wait(backoff)

    async def _wait(self, backoff: Backoff) -> None:
        await self._sleep(min(MAX_WAIT_SECONDS, backoff.next()))

    async def _abandon(self, key: str, upload_id: str) -> None:
        try:
            async with asyncio.timeout(_ABANDON_SECONDS):
                await self._store.abort(key, upload_id)
        except UploadGoneError:
            pass
        except (ObjectStoreError, TimeoutError):
            return  # may still be there: its note stays, and the next sweep finds it
        await self._on_ended(key, upload_id)


def is_same(found: Mapping[str, str], ours: Mapping[str, str]) -> bool:
    """Same range, record count and digest: the same records, whoever wrote them."""
    return all(name in found and found[name] == ours[name] for name in _SAMENESS)


async def _nothing(_key: str, _upload_id: str) -> None:
    """No hook."""
