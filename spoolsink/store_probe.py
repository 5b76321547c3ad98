"""What the store does and what it allows, found out with one small object and one upload.

1. Whether conditional writes are honoured, Put and Complete each: a store that ignores the
   condition never answers 412, so one 412 is proof, whoever took the key.
2. Members may probe at the same time, on one key. Only who wrote the object deletes it: so nobody
   else takes it away between a member's own write and its next try, and a second try cannot fail
   by another's hand. (One that stayed behind after a crash is deleted when it is an hour old.)
   A Delete that comes late, or twice, can do it all the same: hence a pause between the tries.
3. Whatever is left undone leaves at most the probe object, which serves the next probe.
"""

import asyncio
import random
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from spoolsink.errors import (
    ObjectConflictError,
    ObjectStoreError,
    OperatorStoreError,
    UploadGoneError,
)
from spoolsink.object_store import REFUSED, ObjectStore, Part

PROBE_NAME = ".spoolsink-probe"

_TRIES = 3
"""The contract's: before the answer is no."""

_PAUSE_SECONDS = 1.0
"""On average, between two tries."""

_BODY = (b"Written by spoolsink to find out whether conditional writes are honoured.\n",)
_CONTENT_TYPE = "text/plain; charset=utf-8"

_STALE = timedelta(hours=1)
"""Longer than any probe takes, with a store's clock that differs by a quarter of an hour."""

_TIDY_SECONDS = 5.0
"""For deleting the object: a stop must not wait for an S3 that hangs."""

_CONDITION_REFUSED = frozenset({"NotImplemented", "501", "InvalidArgument", "InvalidRequest"})
"""What stores say that do not know the condition, and of other things too."""

_NOT_HAD = REFUSED | {"KMS.AccessDeniedException", "NotImplemented", "501", "MethodNotAllowed"}
"""A right that is not granted, or a call that the store does not have."""


class Right(NamedTuple):
    """One S3 action; `error` is the store's text where it is not granted."""

    name: str
    is_needed: bool
    is_granted: bool
    error: str


def probe_key(prefix: str) -> str:
    """The key that the contract names; `prefix` is `layout.prefix`, '' for none."""
    return f"{prefix}/{PROBE_NAME}" if prefix else PROBE_NAME


@dataclass(slots=True)
class _Probe:
    """One probe's object; `is_ours`: we wrote what lies there now."""

    store: ObjectStore
    key: str
    is_ours: bool = False

    async def take(self, *, create_only: bool = True) -> bool:
        """Write the object; True when the condition refused it, as it must for a taken key."""
        try:
            await self.store.put(
                self.key,
                _BODY,
                metadata={},
                content_type=_CONTENT_TYPE,
                create_only=create_only,
            )
        except ObjectConflictError:
            return True
        except ObjectStoreError as error:
            if not create_only or error.code not in _CONDITION_REFUSED:
                raise
            # Is it about the condition, or about the rest? The rest raises again without it.
            return await self.take(create_only=False)
        self.is_ours = True
        return False

    async def complete(self) -> bool:
        """Complete an upload on the taken key; True when the condition refused it."""
        upload_id, part = await self._open_upload(), None
        try:
            part = await self.store.upload_part(self.key, upload_id, 1, _BODY)
            await self.store.complete(self.key, upload_id, [part], create_only=True)
        except ObjectConflictError:
            return True
        except ObjectStoreError as error:
            if error.code not in _CONDITION_REFUSED:
                raise
            return False
        finally:
            await _briefly(self._end_upload(upload_id, part))
        self.is_ours = True
        return False

    async def abort(self) -> None:
        """Whether Abort is allowed, on an upload of our own where one can be had."""
        try:
            # One that is not there first: where the right is missing none is left open.
            await self.store.abort(self.key, str(uuid.uuid4()))
        except ObjectStoreError as error:
            if error.code in _NOT_HAD:
                raise
        try:
            upload_id = await self._open_upload()
        except OperatorStoreError:
            return
        with suppress(UploadGoneError):
            await self.store.abort(self.key, upload_id)

    async def delete(self) -> None:
        await self.store.delete(self.key)
        self.is_ours = False

    async def delete_stale(self, now: datetime) -> None:
        """What a probe that was killed left behind."""
        found = await self.store.head(self.key)
        if found is not None and found.modified is not None and found.modified < now - _STALE:
            await self.store.delete(self.key)

    async def _end_upload(self, upload_id: str, part: Part | None) -> None:
        """Where it may not be aborted it is completed on the taken key, with the same bytes."""
        try:
            await self.store.abort(self.key, upload_id)
        except ObjectStoreError as error:
            if part is None or error.code not in _NOT_HAD:
                raise
            await self.store.complete(self.key, upload_id, [part], create_only=False)

    async def _open_upload(self) -> str:
        return await self.store.create_upload(self.key, metadata={}, content_type=_CONTENT_TYPE)


async def probe_conditional_writes(
    store: ObjectStore,
    prefix: str,
    *,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
    pause_seconds: float = _PAUSE_SECONDS,
) -> bool:
    """Whether a conditional Put and a conditional Complete on a taken key are both refused (412).

    Raises:
        ObjectStoreError: the store is away, or refuses something else: nothing is known.
    """
    probe = _Probe(store, probe_key(prefix))
    is_put_honoured = is_complete_honoured = False
    try:
        for number in range(_TRIES):
            if number:
                await asyncio.sleep(pause_seconds * random.uniform(0.5, 1.5))
            # A first Put that succeeds only takes the key; the second one then is the question.
            is_put_honoured = is_put_honoured or await probe.take() or await probe.take()
            is_complete_honoured = is_complete_honoured or await probe.complete()
            if is_put_honoured and is_complete_honoured:
                return True
        return False
    finally:
        # Not being allowed to is no error: the object stays and serves the next probe.
        await _briefly(probe.delete() if probe.is_ours else probe.delete_stale(now()))


async def check_rights(store: ObjectStore, prefix: str) -> list[Right]:
    """Each right that is needed or used, tried; leaves nothing behind where that is allowed.

    Raises:
        ObjectStoreError: something else than a right is missing (the bucket, the credential).
    """
    key = probe_key(prefix)
    probe = _Probe(store, key)
    needed: dict[str, Callable[[], Awaitable[object]]] = {
        "PutObject": probe.take,
        "GetObject": lambda: store.head(key),
        "AbortMultipartUpload": probe.abort,
        "ListBucketMultipartUploads": lambda: _first(store.list_uploads(key)),
    }
    used: dict[str, Callable[[], Awaitable[object]]] = {
        "ListBucket": lambda: _first(store.list_objects(key)),
        "DeleteObject": probe.delete,
    }
    try:
        rights = [await _tried(name, call, is_needed=True) for name, call in needed.items()]
        rights += [await _tried(name, call, is_needed=False) for name, call in used.items()]
    finally:
        if probe.is_ours:
            await _briefly(probe.delete())
    return rights


async def _tried(name: str, call: Callable[[], Awaitable[object]], *, is_needed: bool) -> Right:
    try:
        await call()
    except ObjectStoreError as error:
        if error.code not in _NOT_HAD:
            raise
        return Right(name, is_needed, is_granted=False, error=str(error))
    return Right(name, is_needed, is_granted=True, error="")


async def _first(found: AsyncIterator[object]) -> None:
    async for _ in found:
        return


async def _briefly(call: Awaitable[None]) -> None:
    with suppress(ObjectStoreError, TimeoutError):
        async with asyncio.timeout(_TIDY_SECONDS):
            await call
