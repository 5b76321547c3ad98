"""The command's first step: signals that come before the program is loaded.

Loading takes a second or more. A `run` that is stopped meanwhile has done nothing yet, which is a
clean stop; a SIGHUP has nothing to read anew. `service` takes the signals over.
"""

import os
import signal
import sys


def main() -> None:
    """Entry point of the console script."""
    if sys.argv[1:2] == ["run"]:
        for stopping in (signal.SIGTERM, signal.SIGINT):
            signal.signal(stopping, lambda *_: os._exit(0))
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
    from spoolsink.cli import main as run  # noqa: PLC0415 (the signals come first)

    run()
