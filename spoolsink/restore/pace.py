"""No more records a second than asked for."""

from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import TypeVar

T = TypeVar("T")

_MOST = 500
_PIECES_A_SECOND = 5


class Pace:
    """`rate` in records a second, None for none; `monotonic` in seconds."""

    def __init__(
        self,
        rate: float | None,
        *,
        monotonic: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]],
    ) -> None:
        self._rate = rate
        self._monotonic = monotonic
        self._sleep = sleep
        self._free_at = monotonic()

    def pieces(self, items: Sequence[T]) -> Iterator[Sequence[T]]:
        """In portions of at most a fifth of a second."""
        size = _MOST if self._rate is None else int(self._rate / _PIECES_A_SECOND)
        size = max(1, min(_MOST, size))
        for start in range(0, len(items), size):
            yield items[start : start + size]

    async def wait(self, count: int) -> None:
        """Until the next records may follow `count` that were sent; time lost is not made up."""
        if self._rate is None:
            return
        now = self._monotonic()
        self._free_at = max(self._free_at, now) + count / self._rate
        await self._sleep(self._free_at - now)
