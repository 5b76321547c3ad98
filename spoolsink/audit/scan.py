"""Listing a bucket: every object and every unfinished upload of a sink, a page at a time.

HEAD requests are made by a fixed number of workers behind a short queue, so that neither their
number nor memory grows with that of the objects.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Protocol

from spoolsink.audit.places import Named, Places, Stored, Unknown, read
from spoolsink.object_reader import HEADS
from spoolsink.object_store import OpenUpload, StoredObject

_QUEUED_PER_WORKER = 2


class Bucket(Protocol):
    """What is used of `ObjectReader`."""

    def list_objects(self, prefix: str) -> AsyncIterator[tuple[str, int]]: ...
    def list_uploads(self, prefix: str) -> AsyncIterator[OpenUpload]: ...
    async def head(self, key: str) -> StoredObject | None: ...


class Scan:
    """One walk over the bucket; `listed` and `asked` count keys and HEAD requests so far."""

    def __init__(
        self,
        bucket: Bucket,
        places: Places,
        *,
        on_object: Callable[[Stored], None],
        on_unknown: Callable[[Unknown], None],
        on_step: Callable[[], None] = lambda: None,
    ) -> None:
        self.listed = 0
        self.asked = 0
        self._bucket = bucket
        self._places = places
        self._on_object = on_object
        self._on_unknown = on_unknown
        self._on_step = on_step

    async def objects(self, wanted: Callable[[Named], bool] = lambda _: True) -> None:
        """Every object under the sink's key prefixes, told to the callbacks in any order.

        Raises ObjectStoreError.
        """
        queue: asyncio.Queue[tuple[str, Named] | None] = asyncio.Queue(HEADS * _QUEUED_PER_WORKER)
        try:
            async with asyncio.TaskGroup() as tasks:
                for number in range(HEADS):
                    tasks.create_task(self._work(queue), name=f"head-{number}")
                await self._list(queue, wanted)
                for _ in range(HEADS):
                    await queue.put(None)
        except BaseExceptionGroup as group:
            # One of them is reason enough, and the others are the same.
            raise group.exceptions[0] from None

    async def uploads(self) -> AsyncIterator[tuple[OpenUpload, Named | Unknown]]:
        """Every unfinished multipart upload under the sink's key prefixes."""
        for root in self._places.roots():
            async for upload in self._bucket.list_uploads(root):
                judged = self._places.judge(upload.key)
                if judged is not None:
                    yield upload, judged

    async def _list(
        self, queue: "asyncio.Queue[tuple[str, Named] | None]", wanted: Callable[[Named], bool]
    ) -> None:
        for root in self._places.roots():
            async for key, _ in self._bucket.list_objects(root):
                self.listed += 1
                self._on_step()
                judged = self._places.judge(key)
                if isinstance(judged, Unknown):
                    self._on_unknown(judged)
                elif judged is not None and wanted(judged):
                    await queue.put((key, judged))

    async def _work(self, queue: "asyncio.Queue[tuple[str, Named] | None]") -> None:
        while (item := await queue.get()) is not None:
            key, named = item
            self.asked += 1
            found = await self._bucket.head(key)
            if found is None:
                continue  # deleted since it was listed: a life-cycle rule
            judged = read(key, named, found.metadata)
            if isinstance(judged, Unknown):
                self._on_unknown(judged)
            else:
                self._on_object(judged)
