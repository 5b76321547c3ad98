"""One piece of work at a time for each key, however many ask for it."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable


class _Flight:
    def __init__(self) -> None:
        self.landed = asyncio.Event()
        self.error: Exception | None = None


class SingleFlight:
    """Whoever comes first does the work, the others wait for its end and share its error.

    Without a task of its own: when the first is cancelled, one of the waiting does the work.
    """

    def __init__(self) -> None:
        self._flights: dict[Hashable, _Flight] = {}

    async def run(
        self, key: Hashable, is_done: Callable[[], bool], work: Callable[[], Awaitable[None]]
    ) -> None:
        """Returns once `is_done`; raises what the work raised."""
        while not is_done():
            flight = self._flights.get(key)
            if flight is None:
                await self._fly(key, work)
                return
            await flight.landed.wait()
            if flight.error is not None:
                raise flight.error

    async def _fly(self, key: Hashable, work: Callable[[], Awaitable[None]]) -> None:
        flight = self._flights[key] = _Flight()
        try:
            await work()
        except Exception as error:
            flight.error = error
            raise
        finally:
            del self._flights[key]
            flight.landed.set()
