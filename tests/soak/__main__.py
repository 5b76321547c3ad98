"""`python -m tests.soak --seconds 1800`: bounds of memory, descriptors, disk and event loop.

Real Kafka, a real S3 server behind a relay that is slower than Kafka, the real command line.
Exit 1 where a bound is broken or a record is not in S3 exactly once.
"""

import argparse
import asyncio
import os
import sys
import tempfile
import time
from pathlib import Path

from tests.integration.harness import on_own_servers
from tests.soak.run import Outcome, Plan, Soak


def _say(line: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {line}", flush=True)  # noqa: T201 (a command's output)


async def _run(plan: Plan, directory: Path) -> Outcome:
    async with on_own_servers(directory) as bench:
        bench.make_bucket()
        return await Soak(plan, bench, _say).run()


def main() -> int:
    """The exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--seconds", type=float, default=1800.0)
    parser.add_argument("--store-mib-per-second", type=float, default=6.0)
    arguments = parser.parse_args()
    plan = Plan(arguments.seconds, store_mib_per_second=arguments.store_mib_per_second)
    _say(f"{plan}; load average {os.getloadavg()[0]:.2f}")
    with tempfile.TemporaryDirectory(prefix="spoolsink-soak-") as directory:
        try:
            outcome = asyncio.run(_run(plan, Path(directory)))
        except AssertionError as error:
            _say(f"BROKEN: {error}")
            return 1
    _say(f"load average {os.getloadavg()[0]:.2f}\n{outcome.text()}")
    broken = outcome.bounds.broken()
    for line in broken:
        _say(f"BROKEN: {line}")
    if not broken:
        _say("every bound holds")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
