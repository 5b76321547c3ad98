"""The command line as a user meets it."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.bad_configurations import BASE


def spoolsink(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "spoolsink", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def test_check_tells_what_a_good_file_will_do(tmp_path: Path) -> None:
    path = tmp_path / "sink.yaml"
    path.write_text(BASE)
    done = spoolsink("check", str(path))
    assert (done.returncode, done.stderr) == (0, "")
    assert "orders as group spoolsink-sink" in done.stdout
    assert "s3://b/topics (jsonl)" in done.stdout


def test_check_refuses_a_bad_file_with_status_2_and_all_its_problems(tmp_path: Path) -> None:
    path = tmp_path / "sink.yaml"
    path.write_text(BASE + "recods: {}\nrotate: {max_age: 10}\n")
    done = spoolsink("check", str(path))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines() == [
        f"{path}:7: recods: unknown key; did you mean 'records'?",
        (
            f"{path}:8: rotate.max_age: found 10; "
            "allowed: a duration such as 250ms, 30s, 10m, 1h or 1d"
        ),
    ]


@pytest.mark.parametrize("arguments", [[], ["run", "x.yaml"], ["check"], ["nonsense"]])
def test_bad_arguments_are_status_2(arguments: list[str]) -> None:
    assert spoolsink(*arguments).returncode == 2
