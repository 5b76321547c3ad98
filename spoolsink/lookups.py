"""The event loop of the process: name lookups have threads of their own.

A resolver without servers lets each lookup hang for half a minute and longer (in Kubernetes, with
its search domains, for minutes). asyncio looks names up in the threads in which bodies are read for
S3 and the spool is opened and closed, and its end waits for them.

1. Lookups that hang delay other lookups, and nothing else.
2. They do not hold up the end of the process either: their threads are daemons.
3. A connection that is lost while it is being closed is nobody's error: its futures are garbage
   with it, in any order, and asyncio may tell of one with a traceback (seen, aiokafka 0.14).
"""

import asyncio
import logging
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

LOOKUPS = 8
"""At a time: brokers, S3, its credentials, a registry. Each may be a thread that hangs."""

_Found = list[tuple[Any, ...]]

log = logging.getLogger(__name__)


class LookupLoop(asyncio.SelectorEventLoop):
    """For one process; aiokafka, aiohttp and asyncio itself all look names up through it."""

    def __init__(self, look_up: Callable[..., _Found] = socket.getaddrinfo) -> None:
        super().__init__()
        self._look_up = look_up
        self._free = asyncio.Semaphore(LOOKUPS)

    async def getaddrinfo(
        self,
        host: bytes | str | None,
        port: bytes | str | int | None,
        *,
        family: int = 0,
        type: int = 0,  # noqa: A002 (asyncio's name)
        proto: int = 0,
        flags: int = 0,
    ) -> _Found:
        """As asyncio's; raises socket.gaierror.

        A cancelled caller does not end the lookup, whose place stays taken for as long as it hangs.
        """
        await self._free.acquire()
        answer: asyncio.Future[_Found] = self.create_future()

        def ask() -> None:
            try:
                found: _Found | Exception = self._look_up(host, port, family, type, proto, flags)
            except Exception as error:  # noqa: BLE001 (the caller's, whatever it is)
                found = error
            with suppress(RuntimeError):  # the loop has ended meanwhile
                self.call_soon_threadsafe(self._answered, answer, found)

        threading.Thread(target=ask, name="lookup", daemon=True).start()
        return await answer

    def default_exception_handler(self, context: dict[str, Any]) -> None:
        """As asyncio's; a task that failed unheard stays an error."""
        error, future = context.get("exception"), context.get("future")
        if (
            isinstance(error, OSError)
            and future is not None
            and not isinstance(future, asyncio.Task)
        ):
            log.debug("lost, and nobody waits for it: %r", error)
        else:
            super().default_exception_handler(context)

    def _answered(self, answer: asyncio.Future[_Found], found: _Found | Exception) -> None:
        self._free.release()
        if answer.done():
            return  # nobody waits for it any more
        if isinstance(found, Exception):
            answer.set_exception(found)
        else:
            answer.set_result(found)
