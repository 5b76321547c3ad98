"""kill -9 at every step of the delivery protocol, in every way of ending a cut and every layout.

`python -m tests.crash.kill_matrix [--seconds 600] [--seed 1]`: real Kafka, a real S3 server, the
real command line, several scenarios at a time. Each: produce, run, die at the point, keep or lose
the spool, produce more, run again; then every byte is compared. The order makes the first round
meet each point with each rotation and with each layout; when the time is over, what was begun is
finished, and what was left out is counted. Exit 1 with the scenarios that broke.
"""

import argparse
import asyncio
import itertools
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, get_args

from spoolsink.fault_points import Point
from tests.chaos.settings import LAYOUTS
from tests.integration.harness import Bench, on_own_servers
from tests.integration.oracle import Expected, Oracle, places_of
from tests.integration.test_kills import LARGE_MODES, LARGE_S3, WHICH, killed_at

_AT_A_TIME = 4
_SCENARIO_SECONDS = 180.0
"""A net: a scenario takes seconds."""

ROTATIONS: dict[str, dict[str, Any]] = {
    "records": {"records": 12, "max_age": "2s"},
    "bytes": {"bytes": "1500B", "max_age": "2s"},
    "interval": {"interval": "7m", "max_age": "2s"},
    "schedule": {"schedule": "1s"},
    "max_age": {"max_age": "400ms"},
    "max_open": {"max_open": 2, "max_age": "2s"},
    "object_records": {"object_records": 4, "max_age": "2s"},
    "object_bytes": {"object_bytes": "500B", "max_age": "2s"},
}
_SPLITS = ("object_records", "object_bytes")
_IN_UPLOADS = ("create.after", "part.after", "complete.before")
"""Reached by objects of several parts only."""
_FEW_PLACES = ("topic partition", "nothing")
"""Layouts with objects that are large enough for it."""
_REFUSED = ("interval", "wall clock")
"""By the configuration."""


class Scenario(NamedTuple):
    """One cell of the matrix."""

    point: str
    rotation: str
    layout: str
    fate: str

    def __str__(self) -> str:
        """As it is printed."""
        return f"{self.point}, {self.rotation}, by {self.layout}, spool {self.fate}"


def scenarios(rng: random.Random) -> list[Scenario]:
    """All cells that can be: no floor without splits, no multipart upload of small objects."""
    found = list(_cells())
    rng.shuffle(found)
    seen: Counter[tuple[str, str]] = Counter()
    first: list[Scenario] = []
    rest: list[Scenario] = []
    for cell in found:
        pairs = [(cell.point, cell.rotation), (cell.point, cell.layout)]
        (rest if all(seen[pair] for pair in pairs) else first).append(cell)
        seen.update(pairs)
    return first + rest


def _cells() -> Iterator[Scenario]:
    for point in get_args(Point):
        is_large = point in _IN_UPLOADS
        rotations = list(LARGE_MODES if is_large else ROTATIONS)
        if point == "floor.after":
            rotations = list(_SPLITS)
        layouts = _FEW_PLACES if is_large else tuple(LAYOUTS)
        cells = itertools.starmap(Scenario, itertools.product([point], rotations, layouts, WHICH))
        yield from (cell for cell in cells if (cell.rotation, cell.layout) != _REFUSED)


async def play(cell: Scenario, own: Bench) -> None:
    """AssertionError with what is lost, doubled or wrong."""
    layout, place = LAYOUTS[cell.layout]
    is_large = cell.point in _IN_UPLOADS
    overrides: dict[str, Any] = {
        "rotate": LARGE_MODES[cell.rotation] if is_large else ROTATIONS[cell.rotation],
        "layout": layout,
        "s3": LARGE_S3 if is_large else {},
    }
    padding = 100_000 if is_large else 0
    oracle = await killed_at(cell.point, own, overrides, fate=cell.fate, padding=padding)
    if place is None:
        place = places_of(oracle.objects(), f"topics/{own.name}")
    await Oracle(own, Expected(place)).verify()


class Matrix:
    """Plays cells until the time is over; owned by one command."""

    def __init__(self, bench: Bench, cells: list[Scenario], until: float) -> None:
        self.done = 0
        self.broken: list[str] = []
        self._bench = bench
        self._left = iter(cells)
        self._until = until

    async def work(self) -> None:
        """One cell after the other; several of these share the servers."""
        for cell in self._left:
            own = self._bench.sibling()
            try:
                async with asyncio.timeout(_SCENARIO_SECONDS):
                    await play(cell, own)
                own.close()  # a log that only a bug writes breaks this cell, not the run
            except (AssertionError, TimeoutError) as error:
                self.broken.append(f"{cell}: {error!r}")
                _say(f"BROKEN {cell}: {error}")
            finally:
                for sink in own.sinks:
                    sink.kill()
                own.sinks.clear()
            self.done += 1
            _say(f"{self.done} {cell}")
            if time.monotonic() > self._until:
                return


async def _run(arguments: argparse.Namespace, directory: Path) -> int:
    cells = scenarios(random.Random(arguments.seed))
    async with on_own_servers(directory) as bench:
        matrix = Matrix(bench, cells, time.monotonic() + arguments.seconds)
        await asyncio.gather(*(matrix.work() for _ in range(_AT_A_TIME)))
    _say(f"seed {arguments.seed}: {matrix.done} of {len(cells)}, {len(matrix.broken)} broken")
    for line in matrix.broken:
        _say(line)
    return 1 if matrix.broken or not matrix.done else 0


def _say(line: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {line}", flush=True)  # noqa: T201 (a command's output)


def main() -> int:
    """The exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.crash.kill_matrix", description=__doc__)
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--seed", type=int, default=1)
    with tempfile.TemporaryDirectory(prefix="spoolsink-kills-") as directory:
        return asyncio.run(_run(parser.parse_args(), Path(directory)))


if __name__ == "__main__":
    sys.exit(main())
