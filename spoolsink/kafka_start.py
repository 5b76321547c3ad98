"""The start of an aiokafka client, with nothing left open where it is cut short.

Read in aiokafka 0.14: `AIOKafkaClient.bootstrap` asks each broker over a connection that nothing
else knows of, and closes it after an answer and after an error, but not where it is cancelled. It
stayed until it was garbage, and then an error of asyncio's was logged.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import Any

from aiokafka import client as aiokafka_client


class _Start:
    """One start; `made` are its connections, None once it has ended."""

    def __init__(self) -> None:
        self.made: list[Any] | None = []


_current: ContextVar[_Start | None] = ContextVar("current start", default=None)
_ORIGINAL = aiokafka_client.create_conn


async def whole(start: Callable[[], Awaitable[None]]) -> None:
    """Run a client's `start`; a cancellation closes what it has opened by then."""
    aiokafka_client.create_conn = _noted
    begun = _Start()
    token = _current.set(begun)
    try:
        await start()
    except asyncio.CancelledError:
        for connection in begun.made or ():
            connection.close()
        raise
    finally:
        # Tasks that were begun in it have its context for as long as they live.
        begun.made = None
        _current.reset(token)


async def _noted(*arguments: Any, **options: Any) -> Any:
    """In the place of aiokafka's `create_conn`, which closes what it cannot connect itself."""
    connection = await _ORIGINAL(*arguments, **options)
    begun = _current.get()
    if begun is not None and begun.made is not None:
        begun.made.append(connection)
    return connection
