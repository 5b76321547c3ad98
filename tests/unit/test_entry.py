"""Signals that come while the program is being loaded."""

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
