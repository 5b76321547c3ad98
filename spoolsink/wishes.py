"""What an operator last asked for, in a small file of the spool directory.

The file survives the process and is written whole: a half of one is never read.
"""

import os
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


def write_wish(directory: Path, wish: Wish) -> None:
    """On disk on return, for whoever owns the directory; raises OSError.

    Without a file RUNNING is meant, so none is made for it.
    """
    if read_wish(directory) == wish:
        return
    fresh = _file(directory).with_suffix(".new")
    with fresh.open("w") as file:
        file.write(wish)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(_file(directory))


def _file(directory: Path) -> Path:
    return directory / "state"
