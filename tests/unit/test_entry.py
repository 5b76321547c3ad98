"""What comes before the program is loaded: its signals, and its streams."""

import signal
import subprocess
import sys

import pytest

SENDS_ONE_WHILE_LOADING = """
import os, signal, sys, types
slow = types.ModuleType("spoolsink.cli")
slow.main = lambda: (os.kill(os.getpid(), int(sys.argv[2])), os._exit(7))
sys.modules["spoolsink.cli"] = slow
from spoolsink.entry import main
main()
"""


def status_of(command: str, number: signal.Signals) -> int:
    arguments = [sys.executable, "-c", SENDS_ONE_WHILE_LOADING, command, str(int(number))]
    return subprocess.run(arguments, check=False, timeout=60).returncode


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_run_that_is_stopped_while_it_loads_ends_clean(number: signal.Signals) -> None:
    assert status_of("run", number) == 0


def test_a_run_that_is_told_to_read_its_file_while_it_loads_goes_on() -> None:
    assert status_of("run", signal.SIGHUP) == 7


def test_other_commands_end_by_the_signal() -> None:
    assert status_of("check", signal.SIGTERM) == -signal.SIGTERM


TELLS_WHAT_IT_OPENS = """
import os, sys, types
told = types.ModuleType("spoolsink.cli")
def tell():
    print("printed", flush=True)
    print("logged", file=sys.stderr, flush=True)
    os._exit(os.open(os.devnull, os.O_RDONLY))
told.main = tell
sys.modules["spoolsink.cli"] = told
from spoolsink.entry import main
main()
"""


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_what_is_opened_never_gets_the_number_of_a_stream_that_is_closed(closed: str) -> None:
    command = ["sh", "-c", f'"$0" -c "$1" {closed}', sys.executable, TELLS_WHAT_IT_OPENS]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode > 2
    assert done.stdout == ("" if ">&-" in closed.split() else "printed\n")
    assert done.stderr == ("" if "2>&-" in closed else "logged\n")
