"""The larger form, for `make soak`: `python -m tests.exhaustive`."""

import sys
import time

from tests.exhaustive.search import Bounds, explore

LARGE = (
    Bounds(records=3, crashes=1, zombies=1, faults=1),
    Bounds(records=4, crashes=1, zombies=0, faults=1),
    Bounds(records=4, crashes=1, zombies=1, faults=0),
    Bounds(records=3, crashes=1, zombies=0, faults=2),
    Bounds(records=3, crashes=2, zombies=1, faults=1),
    Bounds(records=3, crashes=1, zombies=1, faults=2),
)
"""The last one is what takes the time, and 2.5 GiB of memory."""


def _say(line: str) -> None:
    print(line, flush=True)  # noqa: T201 (the output of a command)


def main() -> int:
    started = time.monotonic()
    states = 0
    for bounds in LARGE:
        found = explore(bounds, progress=lambda count: _say(f"{count} states so far"))
        states += found.states
        _say(f"{bounds}: {found.states} states, {found.transitions} transitions")
    _say(f"{states} states in all, {time.monotonic() - started:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
