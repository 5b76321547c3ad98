"""`spoolsink demo` as a user meets it: what it shows, and that nothing of it is left."""

import os
import re
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

NAMES = {"broker": "demo_servers broker", "S3": "demo_servers s3", "sink": "spoolsink run"}

WITHOUT = """\
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name == {name!r}:
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Absent())
from spoolsink.cli import run
sys.exit(run(["demo"], {{}}))
"""


@contextmanager
def demo(directory: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A running demo whose temporary files are in `directory`; its group ends with the block."""
    process = subprocess.Popen(
        [sys.executable, "-m", "spoolsink", "demo", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # What would lead the sink to another store, or the demo through a proxy.
        env={
            **os.environ,
            "TMPDIR": str(directory),
            "AWS_PROFILE": "absent",
            "http_proxy": "http://127.0.0.1:9",
        },
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def read_until(process: subprocess.Popen[str], beginning: str) -> str:
    """What stands before and in the line that begins so."""
    assert process.stdout is not None
    read = ""
    for line in process.stdout:
        read += line
        if line.startswith(beginning):
            return read
    raise AssertionError(f"no line {beginning!r} in:\n{read}")


def children_of(pid: int) -> dict[str, int]:
    """Process ids by the names of `NAMES`."""
    found: dict[str, int] = {}
    for path in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((path / "stat").read_text().rpartition(")")[2].split()[1])
            command = (path / "cmdline").read_text().replace("\0", " ")
        except OSError:  # ended since
            continue
        if parent == pid:
            found |= {name: int(path.name) for name, part in NAMES.items() if part in command}
    return found


def is_nothing_left(directory: Path, children: dict[str, int]) -> bool:
    return not list(directory.iterdir()) and not any(
        Path(f"/proc/{pid}").exists() for pid in children.values()
    )


def test_the_demo_brings_every_record_to_s3_once_and_says_so(tmp_path: Path) -> None:
    with demo(tmp_path, "--seconds", "4") as process:
        started = read_until(process, "Producing")
        children = children_of(process.pid)
        rest, errors = process.communicate(timeout=100)
    assert (process.returncode, errors) == (0, "")
    assert set(children) == set(NAMES)
    assert "country={value.user.country}/dt={time:%Y-%m-%d}/hour={time:%H}" in started
    assert "Checked: 4,000 records produced, 4,000 in S3, none missing, none twice." in rest
    assert re.search(r"(?m)^  topics/clicks/country=BR/dt=\d{4}-\d\d-\d\d/hour=\d\d/$", rest)
    assert len(re.findall(r"(?m)^ +[\d.]+ K?i?B  clicks\+\d\+\d{10}\+\d{10}\.json$", rest)) == 20
    assert re.search(r"(?m)^  \.\.\. and \d+ more$", rest)
    assert len(re.findall(r'(?m)^    \{"number": \d+, .*"country": "BR"', rest)) >= 3
    assert re.search(r"(?m)^Memory of the sink: at most \d+\.\d MiB \(RSS\), with up to \d+ ", rest)
    assert "\r" not in rest
    assert is_nothing_left(tmp_path, children)


@pytest.mark.parametrize(
    ("number", "moment"), [(signal.SIGINT, "Producing"), (signal.SIGTERM, "  broker")]
)
def test_a_demo_that_is_interrupted_leaves_nothing(
    number: signal.Signals, moment: str, tmp_path: Path
) -> None:
    with demo(tmp_path, "--seconds", "600") as process:
        read_until(process, moment)
        children = children_of(process.pid)
        process.send_signal(number)
        rest, errors = process.communicate(timeout=30)
    assert (process.returncode, errors) == (1, "")
    assert "The demo did not come to its end: interrupted." in rest
    assert "broker" in children
    assert is_nothing_left(tmp_path, children)


@pytest.mark.parametrize("name", list(NAMES))
def test_the_death_of_a_child_ends_the_demo_with_the_end_of_its_log(
    name: str, tmp_path: Path
) -> None:
    with demo(tmp_path, "--seconds", "600") as process:
        read_until(process, "Producing")
        children = children_of(process.pid)
        os.kill(children[name], signal.SIGKILL)
        rest, errors = process.communicate(timeout=30)
    assert (process.returncode, errors) == (1, "")
    assert f"The demo did not come to its end: {name} ended by itself (signal 9)." in rest
    told = {"broker": "Mock cluster enabled", "S3": "PUT /demo-bucket", "sink": "INFO  spoolsink."}
    assert told[name] in rest.partition("The last lines of that log:")[2]
    assert is_nothing_left(tmp_path, children)


def test_a_demo_whose_reader_goes_away_ends_without_a_traceback(tmp_path: Path) -> None:
    with demo(tmp_path, "--seconds", "600") as process:
        read_until(process, "Producing")
        children = children_of(process.pid)
        assert process.stdout is not None
        process.stdout.close()
        process.wait(timeout=30)
        assert process.stderr is not None
        assert (process.returncode, process.stderr.read()) == (1, "")
    assert is_nothing_left(tmp_path, children)


def test_servers_do_not_outlive_a_demo_that_is_killed(tmp_path: Path) -> None:
    with demo(tmp_path, "--seconds", "600") as process:
        read_until(process, "Producing")
        children = children_of(process.pid)
        ends = [os.pidfd_open(children[name]) for name in ("broker", "S3")]
        try:
            process.kill()
            for end in ends:
                ready, _, _ = select.select([end], [], [], 30)
                assert ready
        finally:
            for end in ends:
                os.close(end)
            # The sink is a process of its own, and waits for a broker to come back.
            os.kill(children["sink"], signal.SIGKILL)


@pytest.mark.parametrize("name", ["confluent_kafka", "moto"])
def test_a_missing_extra_is_named_in_one_line(name: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT.format(name=name)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 1
    assert "pip install 'spoolsink[demo]'" in done.stdout
    assert done.stdout.count("\n") == 1
    assert done.stderr == ""
