"""The larger form, for `make soak`: `python -m tests.exhaustive`."""

import sys

from tests.exhaustive.search import Bounds, explore

LARGE = (
    Bounds(records=3, crashes=1, zombies=1, faults=1),
    Bounds(records=4, crashes=1, zombies=0, faults=1),
    Bounds(records=4, crashes=1, zombies=1, faults=0),
    Bounds(records=3, crashes=1, zombies=0, faults=2),
)


def _say(line: str) -> None:
    print(line, flush=True)  # noqa: T201 (the output of a command)


def main() -> int:
    for bounds in LARGE:
        found = explore(bounds, progress=lambda states: _say(f"{states} states so far"))
        _say(f"{bounds}: {found.states} states, {found.transitions} transitions")
    return 0


if __name__ == "__main__":
    sys.exit(main())
