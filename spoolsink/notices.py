"""What the service leaves in the spool directory for others: its address, and what is asked of it.

1. A file is whole, or as it was before.
2. What a full disk refuses is written again every 15 s, until it is there or the directory may be
   another process's.
"""

import asyncio
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

from spoolsink.errors import SpoolError
from spoolsink.spool.files import claim
from spoolsink.wishes import StandingWish

log = logging.getLogger(__name__)

AGAIN_SECONDS = 15.0


class Notices:
    """Owned by the service, and of its event loop; `asked` is shared with it."""

    def __init__(self, asked: StandingWish) -> None:
        self._asked = asked
        self._again: asyncio.TimerHandle | None = None
        self._is_told = False

    def post(self, directory: Path, address: str, *, is_ours: bool) -> None:
        """The address (host:port) and the standing wish; raises nothing.

        A directory that is not ours is so while it is written to, and left alone where another
        process has it.
        """
        self.rest()
        try:
            with _owned(directory, is_ours=is_ours):
                problems = [*self._address(directory, address), *self._wish(directory)]
        except SpoolError:
            return
        except OSError as error:
            problems = [f"{directory}: {error}"]
        if problems:
            again = partial(self.post, directory, address, is_ours=is_ours)
            self._again = asyncio.get_running_loop().call_later(AGAIN_SECONDS, again)
        self._tell(problems)

    def withdraw(self, directory: Path) -> None:
        """We are elsewhere from now on."""
        self.rest()
        with suppress(OSError):
            (directory / "admin.address").unlink()

    def rest(self) -> None:
        """Try no more: the directory may be another's, or about to be claimed by our own run."""
        if self._again is not None:
            self._again.cancel()
            self._again = None

    def _address(self, directory: Path, address: str) -> Iterator[str]:
        file = directory / "admin.address"
        try:
            # In memory mode nobody else has made it.
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            fresh = file.with_suffix(".new")
            fresh.write_text(f"{address}\n")
            fresh.replace(file)  # who looks for it finds the old one or the whole new one
        except OSError as error:
            yield f"{file}: {error}"

    def _wish(self, directory: Path) -> Iterator[str]:
        try:
            self._asked.write(directory)
        except OSError as error:
            yield f"the state {self._asked.wish} would not survive a restart: {error}"

    def _tell(self, problems: list[str]) -> None:
        """Once, and once more when it is over: it is tried again and again."""
        if problems and not self._is_told:
            log.error("not written, tried again every 15 s: %s", "; ".join(problems))
        elif self._is_told and not problems:
            log.info("the address and the state are written")
        self._is_told = bool(problems)


@contextmanager
def _owned(directory: Path, *, is_ours: bool) -> Iterator[None]:
    if is_ours:
        yield
        return
    lock = claim(directory)
    try:
        yield
    finally:
        os.close(lock)
