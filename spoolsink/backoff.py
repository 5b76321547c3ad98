"""How long to wait before the next try (pure)."""

from collections.abc import Callable


class Backoff:
    """Exponential with full jitter and a cap; one for each thing that is tried again.

    `random` gives numbers in [0, 1). The wait is never below a tenth of its ceiling, so that a
    lucky draw does not make a tight loop.
    """

    def __init__(
        self, base_seconds: float, cap_seconds: float, random: Callable[[], float]
    ) -> None:
        self._base = base_seconds
        self._cap = cap_seconds
        self._random = random
        self._ceiling = base_seconds

    def next(self) -> float:
        """Seconds to wait now; the next wait may be twice as long."""
        ceiling = self._ceiling
        self._ceiling = min(self._cap, ceiling * 2)
        return ceiling * max(0.1, self._random())

    def reset(self) -> None:
        """It went well: begin anew."""
        self._ceiling = self._base
