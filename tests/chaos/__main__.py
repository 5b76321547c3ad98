"""`python -m tests.chaos --seconds 60 --seed 1`: exit 1 with what broke, and where the logs are."""

import argparse
import asyncio
import logging
import os
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

from tests.chaos.run import Run
from tests.chaos.settings import ROTATIONS, draw


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=None, help="drawn when not given")
    parser.add_argument("--rotation", choices=sorted(ROTATIONS), help="of every campaign")
    return parser.parse_args()


def _say(line: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {line}", flush=True)  # noqa: T201 (a command's output)


async def _run(run: Run) -> int:
    task = asyncio.current_task()
    assert task is not None
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    try:
        await run.run()
    except asyncio.CancelledError:
        _say("interrupted; everything was ended")
        return 130
    except (AssertionError, ExceptionGroup) as error:
        _say(f"BROKEN: {_text_of(error)}")
        return 1
    return 0


def _text_of(error: BaseException) -> str:
    if isinstance(error, BaseExceptionGroup):
        return "\n".join(_text_of(inner) for inner in error.exceptions)
    return "\n".join([f"{type(error).__name__}: {error}", *getattr(error, "__notes__", ())])


def main() -> int:
    """The exit status."""
    arguments = _arguments()
    seed = arguments.seed
    if seed is None:
        seed = int.from_bytes(os.urandom(3))
    directory = Path(tempfile.mkdtemp(prefix="spoolsink-chaos-"))
    # What clients of the harness say of faults is for whoever looks for a reason.
    logging.basicConfig(filename=directory / "harness.log")
    _say(f"seed {seed}, {arguments.seconds:.0f} s, logs in {directory}")
    run = Run(
        directory,
        seed=seed,
        seconds=arguments.seconds,
        say=_say,
        settings=lambda rng: draw(rng, rotation=arguments.rotation),
    )
    status = asyncio.run(_run(run))
    _say(run.summary())
    if status == 0:
        logging.disable()
        shutil.rmtree(directory)
    else:
        _say(f"seed {seed}; logs are kept in {directory}")
    return status


if __name__ == "__main__":
    sys.exit(main())
