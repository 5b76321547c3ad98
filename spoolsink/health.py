"""What holds the sink, and since when (pure).

1. A source (`s3`, `kafka`, `spool`, `orders-3`) holds until it is cleared; its last reason counts.
2. `fail` says whether the reason is news, so that a hold is logged once and not at every try.
"""

from collections import deque
from collections.abc import Callable
from typing import NamedTuple

KEPT_ERRORS = 20
"""Enough for a page; the log has them all."""

_REASON_CHARACTERS = 2000
"""Servers answer with whole pages; what an operator needs stands in front."""


class Hold(NamedTuple):
    """Why a source does not go on. `since` is seconds since the epoch."""

    source: str
    reason: str
    since: float
    is_operator: bool
    """Somebody must mend something; trying again alone will not do."""


class HealthError(NamedTuple):
    """One error of the past; `time_ms` since the epoch."""

    time_ms: int
    source: str
    reason: str


class Health:
    """Owned by the service, shared by reference with whoever may fail; one event loop.

    `clock` is the wall clock, in seconds since the epoch: its readings are shown to people.
    """

    def __init__(self, *, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._holds: dict[str, Hold] = {}
        self._errors: deque[HealthError] = deque(maxlen=KEPT_ERRORS)

    def fail(self, source: str, reason: str, *, is_operator: bool = False) -> bool:
        """True when this is news: the caller logs it once. `since` stays while the source fails."""
        reason = reason[:_REASON_CHARACTERS]
        now = self._clock()
        before = self._holds.get(source)
        if before is not None and (before.reason, before.is_operator) == (reason, is_operator):
            return False
        since = now if before is None else before.since
        self._holds[source] = Hold(source, reason, since, is_operator)
        self._errors.append(HealthError(int(now * 1000), source, reason))
        return True

    def clear(self, source: str) -> bool:
        """True when the source was failing."""
        return self._holds.pop(source, None) is not None

    def clear_all(self) -> None:
        """A new run begins: what held the old one is asked anew."""
        self._holds.clear()

    @property
    def holds(self) -> list[Hold]:
        """What holds now, by source."""
        return sorted(self._holds.values())

    @property
    def is_ready(self) -> bool:
        """Nothing holds."""
        return not self._holds

    @property
    def is_failed(self) -> bool:
        """Something holds that an operator must mend."""
        return any(hold.is_operator for hold in self._holds.values())

    def reasons(self) -> list[str]:
        """One line for each hold, `source: reason`."""
        return [f"{hold.source}: {hold.reason}" for hold in self.holds]

    def last_errors(self) -> list[HealthError]:
        """The last `KEPT_ERRORS`, oldest first; those that were mended too."""
        return list(self._errors)
