"""How far a long command is: one line rewritten on a terminal, a plain line now and then elsewhere.

It goes to standard error, so that what a command answers can be piped.
"""

import shutil
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TextIO

from spoolsink.logs import WRITING, printable

_ERASE = "\r\x1b[K"
_BAR_CHARACTERS = 20
_TERMINAL_SECONDS = 0.2
_PLAIN_SECONDS = 10.0


class Progress:
    """Owned by the command; `clear` goes to `logs.configure` as `before_line`.

    `monotonic` in seconds; `width` gives the terminal's columns, None where there is no terminal.
    """

    def __init__(
        self,
        stream: TextIO,
        *,
        monotonic: Callable[[], float],
        width: Callable[[], int] | None,
    ) -> None:
        self._stream = stream
        self._monotonic = monotonic
        self._width = width
        self._next_at = monotonic() + (_TERMINAL_SECONDS if width else _PLAIN_SECONDS)
        self._is_shown = False

    def show(self, describe: Callable[[], str]) -> None:
        """Called as often as one likes: it writes at its own pace."""
        now = self._monotonic()
        if now < self._next_at:
            return
        self._next_at = now + (_TERMINAL_SECONDS if self._width else _PLAIN_SECONDS)
        text = printable(describe())
        with WRITING, suppress(OSError, ValueError):
            if self._width is None:
                self._stream.write(f"{text}\n")
            else:
                # One column stays free: a full line would wrap, and cannot be erased then.
                shown = text.encode("ascii", "backslashreplace").decode()
                self._stream.write(f"{_ERASE}{shown[: max(0, self._width() - 1)]}")
                self._is_shown = True
            self._stream.flush()

    def clear(self) -> None:
        """Make room for something else; nothing where no line is shown."""
        with WRITING, suppress(OSError, ValueError):
            if self._is_shown:
                self._is_shown = False
                self._stream.write(_ERASE)
                self._stream.flush()


def bar(done: int, of: int) -> str:
    """`[#####...............]  25%`; no more than all, also where what is begun counts as done."""
    share = min(1.0, max(0, done) / of) if of else 1.0
    full = int(share * _BAR_CHARACTERS)
    return f"[{'#' * full}{'.' * (_BAR_CHARACTERS - full)}] {int(share * 100):3}%"


def terminal_progress(stream: TextIO) -> Progress:
    """For a command's standard error, whatever it is connected to."""
    width = (lambda: shutil.get_terminal_size().columns) if stream.isatty() else None
    return Progress(stream, monotonic=time.monotonic, width=width)
