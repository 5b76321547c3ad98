"""Reading what is in the bucket: lists, heads and bodies, for tools that write nothing.

1. No call outlasts `request_timeout`, and neither does the wait for the next piece of a body.
2. What may succeed later is tried again a few times, then raised: nobody waits for a tool for ever.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from spoolsink.backoff import Backoff
from spoolsink.config import reveal
from spoolsink.config_model import S3
from spoolsink.errors import RetryableStoreError
from spoolsink.object_store import ObjectStore

HEADS = 32
"""Requests in flight at a time: HEAD waits for the store, and costs neither side much."""

BODY_PIECE_BYTES = 256 * 1024

_ATTEMPTS = 6
_WAITS = (0.2, 5.0)
_ANSWERS = frozenset({"404", "NoSuchKey", "NotFound", "InvalidArgument"})
"""Codes of answers, not of trouble: asking again would change nothing."""


class ObjectReader(ObjectStore):
    """An `ObjectStore` with more connections that is patient, and reads bodies."""

    def __init__(
        self,
        settings: S3,
        *,
        random: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        super().__init__(settings.model_copy(update={"uploads": HEADS}), reveal=reveal)
        self._random = random
        self._sleep = sleep

    async def body(self, key: str) -> AsyncIterator[bytes]:
        """GetObject, piece by piece.

        A body that breaks off raises RetryableStoreError: the caller begins it anew.
        """
        client: Any = self._client
        answer = await self._bounded(
            "GetObject", key, lambda: client.get_object(Bucket=self.bucket, Key=key)
        )
        async with answer["Body"] as stream:
            while True:
                piece = await self._bounded("GetObject", key, lambda: stream.read(BODY_PIECE_BYTES))
                if not piece:
                    return
                yield piece

    async def patiently(self, ask: Callable[[], Awaitable[Any]]) -> Any:
        """The answer; what may succeed later is asked up to six times."""
        backoff = Backoff(*_WAITS, self._random)
        for _ in range(_ATTEMPTS - 1):
            try:
                return await ask()
            except RetryableStoreError as error:
                if error.code in _ANSWERS:
                    raise
            await self._sleep(backoff.next())
        return await ask()

    async def _call(self, operation: str, key: str | None, **arguments: object) -> Any:
        ask = super()._call
        return await self.patiently(lambda: ask(operation, key, **arguments))
