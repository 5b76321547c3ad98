"""The command's first step: what comes before the program is loaded.

Loading takes a second or more. A `run` that is stopped meanwhile has done nothing yet, which is a
clean stop; a SIGHUP has nothing to read anew. `service` takes the signals over.

Standard streams that are closed (`>&-`) are opened on the null device: a file or a socket of ours
would get their numbers, and with it all that is printed. Standard output is UTF-8 whatever the
locale says: the YAML and SQL that are printed are files of others, and must be printable at all.
"""

import io
import os
import signal
import sys


def main() -> None:
    """Entry point of the console script."""
    _open_streams()
    if sys.argv[1:2] == ["run"]:
        for stopping in (signal.SIGTERM, signal.SIGINT):
            signal.signal(stopping, lambda *_: os._exit(0))
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
    from spoolsink.cli import main as run  # noqa: PLC0415 (the signals come first)

    run()


def _open_streams() -> None:
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            # The lowest number that is free, hence this one.
            os.open(os.devnull, os.O_RDWR)
    sys.stdout = sys.stdout or open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115 (to the end)
    sys.stderr = sys.stderr or open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115 (to the end)
    if isinstance(sys.stdout, io.TextIOWrapper):
        # As on standard error: names of files need not be text.
        sys.stdout.reconfigure(encoding="utf-8", errors="backslashreplace")
