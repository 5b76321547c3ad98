"""Many histories on all cores: `python -m tests.simulation.soak 1000000` (`make soak`).

Prints a line every few seconds, stops at the first failing history, prints it shrunk in the form
that `regressions` keeps, and ends with status 1; with 0 when all went well.
"""

import argparse
import logging
import os
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from typing import NamedTuple

from tests.simulation.history import History, Settings, draw
from tests.simulation.shrinking import shrink
from tests.simulation.stand_ins import Parts
from tests.simulation.world import run

_CHUNK = 250
_PROGRESS_SECONDS = 5.0


class Failure(NamedTuple):
    """A history that breaks a promise, or in which the sink raises what it must not."""

    seed: int
    reason: str


def reason_of(history: History, parts: Parts | None = None) -> str | None:
    """Why a history fails, None when it does not."""
    try:
        run(history, parts)
    except Exception as error:  # noqa: BLE001 (whatever a history brings up is what is looked for)
        return f"{type(error).__name__}: {error}"
    return None


def first_failure(
    seeds: range,
    parts: Parts | None = None,
    fits: Callable[[Settings], bool] = lambda _: True,
) -> Failure | None:
    """Of these seeds, and of their histories those that fit; quiet."""
    logging.disable(logging.CRITICAL)
    try:
        for seed in seeds:
            history = draw(seed)
            reason = reason_of(history, parts) if fits(history.settings) else None
            if reason is not None:
                return Failure(seed, reason)
    finally:
        logging.disable(logging.NOTSET)
    return None


def shrunk(seed: int) -> History:
    """A short history that fails as the seed's does."""
    history = draw(seed)
    kind = _kind(reason_of(history))
    return shrink(history, lambda shorter: _kind(reason_of(shorter)) == kind)


def failures(
    histories: int, first_seed: int = 0, processes: int | None = None
) -> Iterator[tuple[int, Failure | None]]:
    """Number of histories done and the failure among them, chunk by chunk, on all cores."""
    end = first_seed + histories
    chunks = [range(s, min(s + _CHUNK, end)) for s in range(first_seed, end, _CHUNK)]
    # Spawned, not forked: a test's process may have threads.
    with ProcessPoolExecutor(processes or os.cpu_count(), mp_context=get_context("spawn")) as pool:
        waiting = {pool.submit(first_failure, chunk): chunk for chunk in chunks}
        for future in as_completed(waiting):
            found = future.result()
            if found is not None:
                pool.shutdown(wait=False, cancel_futures=True)
                yield len(waiting.pop(future)), found
                return
            yield len(waiting.pop(future)), None


def _kind(reason: str | None) -> str:
    # The exception and the invariant, not the offsets: those change while it shrinks.
    return " ".join((reason or "").split()[:2])


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("histories", type=int, nargs="?", default=1_000_000)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--processes", type=int, default=None, help="default: one for each core")
    options = parser.parse_args(arguments)
    logging.disable(logging.CRITICAL)  # a failing history is replayed many times to be made short
    started = told = time.monotonic()
    done = 0
    for count, failure in failures(options.histories, options.first_seed, options.processes):
        done += count
        if failure is not None:
            print(f"seed {failure.seed}: {failure.reason}\n{shrunk(failure.seed)}")  # noqa: T201
            return 1
        now = time.monotonic()
        if now - told >= _PROGRESS_SECONDS or done == options.histories:
            told = now
            rate = done / (now - started)
            print(f"{done} of {options.histories} histories, {rate:.0f} a second", flush=True)  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
