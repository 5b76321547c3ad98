"""Waiting for what an operator must mend, until a stop is asked for."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Coroutine
from contextlib import suppress
from typing import Any, TypeVar

from spoolsink.errors import SpoolsinkError
from spoolsink.health import Health

log = logging.getLogger(__name__)

T = TypeVar("T")

AGAIN_SECONDS = 5.0
"""The contract allows 15."""

_END_SECONDS = 1.0
"""How long cancelled work may take to end."""


async def held(
    attempt: Callable[[], Awaitable[T]],
    kind: type[SpoolsinkError],
    *,
    source: str,
    health: Health,
    stopping: asyncio.Event,
    again_seconds: float = AGAIN_SECONDS,
) -> T | None:
    """The first result that is no error of this kind; None when `stopping` came before it."""
    while not stopping.is_set():
        try:
            result = await attempt()
        except kind as error:
            if health.fail(source, str(error), is_operator=True):
                log.error("%s: holds: %s", source, error)
            await first(stopping, again_seconds)
        else:
            if health.clear(source):
                log.info("%s: goes on", source)
            return result
    return None


async def first(stopping: asyncio.Event, seconds: float) -> None:
    """Returns at `stopping`, or when the time is over."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await stopping.wait()


async def unless(stopping: asyncio.Event, work: Coroutine[Any, Any, None]) -> bool:
    """Do it; False when `stopping` came first: the work was cancelled, and has ended.

    Whoever cleans up behind it would otherwise do so beside it. Work that does not end by being
    cancelled is waited for no longer than a second.
    """
    task, waiting = asyncio.create_task(work), asyncio.create_task(stopping.wait())
    try:
        await asyncio.wait({task, waiting}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            await task
            return True
        return False
    finally:
        waiting.cancel()
        await cancelled({task})


async def cancelled(tasks: Collection[asyncio.Task[Any]]) -> None:
    """End those that are under way; they have ended on return, or had a second for it."""
    left = {task for task in tasks if not task.done()}
    for task in left:
        task.cancel()
    if not left:
        return
    ended, _ = await asyncio.wait(left, timeout=_END_SECONDS)
    for task in ended:
        if not task.cancelled() and task.exception() is not None:
            # What it fails with on its way out, nobody waits for any more.
            log.debug("cancelled, it failed: %r", task.exception())
