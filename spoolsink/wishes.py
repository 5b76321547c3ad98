"""What an operator last asked for, in a small file of the spool directory.

The file survives the process and is written whole: a half of one is never read. When it was asked
for is the file's time of modification, so that every version reads the same word in it.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Literal, get_args

Wish = Literal["RUNNING", "PAUSED", "STOPPED"]

_WISHES: dict[str, Wish] = {wish: wish for wish in get_args(Wish)}


def read_wish(directory: Path) -> Wish:
    """RUNNING where nothing, or nothing that is known, was asked for."""
    try:
        return _WISHES.get(_file(directory).read_text().strip(), "RUNNING")
    except (OSError, UnicodeDecodeError):
        return "RUNNING"


def wished_at(directory: Path) -> float | None:
    """In seconds since the epoch; None where nothing was asked for."""
    try:
        return _file(directory).stat().st_mtime
    except OSError:
        return None


def write_wish(directory: Path, wish: Wish, at: float | None = None) -> None:
    """On disk on return, for whoever owns the directory; raises OSError.

    `at`, in seconds since the epoch, is when it was asked for, if that was not just now. Without a
    file RUNNING is meant, so none is made for it.
    """
    if read_wish(directory) == wish:
        return
    fresh = _file(directory).with_suffix(".new")
    with fresh.open("w") as file:
        file.write(wish)
        file.flush()
        os.fsync(file.fileno())
    if at is not None:
        os.utime(fresh, (at, at))
    fresh.replace(_file(directory))


class StandingWish:
    """What is asked for until something else is; owned by the service, one event loop.

    `since` is when, in seconds since the epoch by `clock`; None where nothing was asked for.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self.wish: Wish = "RUNNING"
        self.since: float | None = None

    def find(self, directory: Path) -> None:
        """As the process before left it there."""
        self.wish, self.since = read_wish(directory), wished_at(directory)

    def ask(self, wish: Wish) -> None:
        """From now on; what is asked for again stands since the first time."""
        if wish != self.wish:
            self.wish, self.since = wish, self._clock()

    def write(self, directory: Path) -> None:
        """For whoever owns the directory; raises OSError."""
        write_wish(directory, self.wish, self.since)

    @property
    def is_to_read(self) -> bool:
        """Neither paused nor stopped."""
        return self.wish == "RUNNING"


def _file(directory: Path) -> Path:
    return directory / "state"
