"""One line at the bottom of a terminal, rewritten in place, while log lines scroll above it."""

import shutil
import sys
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import TextIO

from spoolsink.logs import WRITING, printable, redact
from spoolsink.status import Snapshot, State

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


def terminal_status(*, is_quiet: bool) -> StatusLine | None:
    """A status line where there is a terminal that wants one."""
    if is_quiet or not sys.stderr.isatty():
        return None
    return StatusLine(sys.stderr, width=lambda: shutil.get_terminal_size().columns)


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
    """One line for `systemctl status`, with everything that holds, an operator's wish too."""
    spool = f"spool {size(snapshot.spool_bytes)} of {size(snapshot.spool_limit_bytes)}"
    holds = [f"{hold.source}: {redact(hold.reason)}" for hold in snapshot.holds]
    if snapshot.wish != "RUNNING":
        holds.insert(0, by_operator(snapshot.wish, snapshot.wished_since))
    return printable("; ".join([f"{snapshot.state}, lag {lag(snapshot)}, {spool}", *holds]))


def by_operator(wish: State, since: float | None) -> str:
    """`stopped by an operator since 2026-01-31 10:00:00Z`, as far as that is known."""
    return f"{wish.lower()} by an operator{'' if since is None else f' since {moment(since)}'}"


def moment(seconds: float) -> str:
    """Of seconds since the epoch."""
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S}Z"


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
