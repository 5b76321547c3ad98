"""What holds the sink, and since when (pure).

1. A source (`s3`, `kafka`, `spool`, `orders-3`) holds until it is cleared; its last reason counts.
2. `fail` says whether the reason is news, so that a hold is logged once and not at every try.
3. What holds back only itself (`is_partial`: a topic that does not exist yet) is shown wherever
   holds are, and keeps nobody from being ready: the rest goes on.
"""

from collections import deque
from collections.abc import Callable
from typing import Literal, NamedTuple, get_args

HoldKind = Literal["kafka", "s3", "spool", "start", "topic"]
HOLD_KINDS: tuple[HoldKind, ...] = get_args(HoldKind)
"""The first word of a source; `topic` is every other one: topic partitions, topics."""

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
    is_partial: bool = False
    """The rest of the process goes on, and is ready."""


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
        self._news: dict[str, tuple[str, bool]] = {}
        self._errors: deque[HealthError] = deque(maxlen=KEPT_ERRORS)

    def fail(
        self,
        source: str,
        reason: str,
        *,
        is_operator: bool = False,
        is_partial: bool = False,
        is_usual: bool = False,
        kind: str | None = None,
    ) -> bool:
        """True when this is news: the caller logs it once. `since` stays while the source fails.

        `kind`: what reasons have in common that each name one thing of many (an object's key):
        another one of that kind is shown, and is no news. `is_usual`: every start has it, so it
        is not kept among the errors.
        """
        reason = reason[:_REASON_CHARACTERS]
        now, news = self._clock(), (kind or reason, is_operator)
        before = self._holds.get(source)
        since = now if before is None else before.since
        self._holds[source] = Hold(source, reason, since, is_operator, is_partial)
        if before is not None and self._news.get(source) == news:
            return False
        self._news[source] = news
        if not is_usual:
            self._errors.append(HealthError(int(now * 1000), source, reason))
        return True

    def now_ms(self) -> int:
        """By the clock that errors are dated with, since the epoch."""
        return int(self._clock() * 1000)

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
        """Nothing holds but itself."""
        return all(hold.is_partial for hold in self._holds.values())

    @property
    def is_failed(self) -> bool:
        """Something holds that an operator must mend."""
        return any(hold.is_operator for hold in self._holds.values())

    def reasons(self) -> list[str]:
        """Why it is not ready: one line for each hold, `source: reason`."""
        return [_line(hold) for hold in self.holds if not hold.is_partial]

    def notes(self) -> list[str]:
        """What holds back only itself, likewise."""
        return [_line(hold) for hold in self.holds if hold.is_partial]

    def count_of(self, kind: HoldKind) -> int:
        """How many sources of one kind hold."""
        return sum(kind_of(source) == kind for source in self._holds)

    def last_errors(self) -> list[HealthError]:
        """The last `KEPT_ERRORS`, oldest first; those that were mended too."""
        return list(self._errors)


def kind_of(source: str) -> HoldKind:
    """Of a closed list, for a metric's label: names of topics are none."""
    first = source.partition(" ")[0]
    return next((kind for kind in HOLD_KINDS if kind == first), "topic")


def _line(hold: Hold) -> str:
    return f"{hold.source}: {hold.reason}"
