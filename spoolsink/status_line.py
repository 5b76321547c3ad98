"""One line at the bottom of a terminal, rewritten in place, while log lines scroll above it."""

from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import TextIO

from spoolsink.logs import WRITING, printable, redact
from spoolsink.status import Snapshot

_ERASE = "\r\x1b[K"
_RATE_WINDOW_SECONDS = 5.0
_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")
_UNIT_STEP = 1024


class StatusLine:
    """Owned by the command; `clear` goes to `logs.configure` as `before_line`.

    `stream` is the terminal that the log lines go to. `width` gives its columns, asked for at
    every line because windows change.
    """

    def __init__(self, stream: TextIO, *, width: Callable[[], int]) -> None:
        self._stream = stream
        self._width = width
        self._is_shown = False
        self._seen: deque[tuple[float, int]] = deque()

    def show(self, snapshot: Snapshot, now: float) -> None:
        """Rewrite the line. `now` is a monotonic clock, in seconds. A gone terminal is no error."""
        rate = self._rate(snapshot.records_total, now)
        # One column stays free: a full line would wrap, and a wrapped one cannot be erased.
        text = described(snapshot, rate)[: max(0, self._width() - 1)]
        with WRITING, suppress(OSError, ValueError):
            self._stream.write(f"{_ERASE}{text}")
            self._stream.flush()
            self._is_shown = True

    def clear(self) -> None:
        """Erase the line, so that something else can be written there; nothing when none is."""
        with WRITING, suppress(OSError, ValueError):
            if self._is_shown:
                self._is_shown = False
                self._stream.write(_ERASE)
                self._stream.flush()

    def _rate(self, records_total: int, now: float) -> float:
        self._seen.append((now, records_total))
        # The newest that is as old as the window stays: the rate is over at least that long.
        while len(self._seen) > 2 and now - self._seen[1][0] >= _RATE_WINDOW_SECONDS:  # noqa: PLR2004 (two ends of a span)
            self._seen.popleft()
        then, total = self._seen[0]
        return max(0, records_total - total) / (now - then) if now > then else 0.0


def described(snapshot: Snapshot, records_per_second: float) -> str:
    """The line, in ASCII: one character is one column. The most important stands in front."""
    parts = [
        snapshot.state,
        f"{records_per_second:,.0f} records/s",
        f"lag {lag(snapshot)}",
        f"spool {size(snapshot.spool_bytes)} of {size(snapshot.spool_limit_bytes)}",
        f"{snapshot.uploads_in_flight} uploads",
        f"{snapshot.spool_open_segments:,} open S3 partitions",
        *(f"{hold.source}: {redact(hold.reason)}" for hold in snapshot.holds[:1]),
    ]
    return printable(" | ".join(parts)).encode("ascii", "backslashreplace").decode("ascii")


def told(snapshot: Snapshot) -> str:
    """One line for `systemctl status`, with everything that holds."""
    spool = f"spool {size(snapshot.spool_bytes)} of {size(snapshot.spool_limit_bytes)}"
    holds = [f"{hold.source}: {redact(hold.reason)}" for hold in snapshot.holds]
    return printable("; ".join([f"{snapshot.state}, lag {lag(snapshot)}, {spool}", *holds]))


def lag(snapshot: Snapshot) -> str:
    """`1,234`; with `or more` where it is not known of every topic partition."""
    return f"{snapshot.lag:,}{' or more' if snapshot.lag_unknown_count else ''}"


def size(bytes_count: float) -> str:
    """`512 B`, `1.5 GiB`."""
    unit = 0
    while bytes_count >= _UNIT_STEP and unit < len(_UNITS) - 1:
        bytes_count /= _UNIT_STEP
        unit += 1
    return f"{bytes_count:.0f} B" if unit == 0 else f"{bytes_count:.1f} {_UNITS[unit]}"
