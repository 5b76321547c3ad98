"""The command line as a user meets it."""

import json
import os
import signal
import socket
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


@pytest.mark.parametrize("command", ["run", "check", "audit", "ddl"])
def test_with_json_lines_each_problem_of_the_file_is_one(tmp_path: Path, command: str) -> None:
    path = tmp_path / "sink.yaml"
    path.write_text(BASE + "recods: {}\nrotate: {max_age: 10}\n")
    done = spoolsink(command, str(path), "--log-format", "json")
    assert (done.returncode, done.stdout) == (2, "")
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    assert [set(line) for line in lines] == [{"time", "level", "logger", "message"}] * 2
    assert [line["level"] for line in lines] == ["ERROR", "ERROR"]
    assert lines[0]["message"] == f"{path}:7: recods: unknown key; did you mean 'records'?"
    assert lines[1]["message"].startswith(f"{path}:8: rotate.max_age: found 10; allowed: ")


UNUSABLE = {
    "records: {value: 'no.such:Class'}": "records.value: cannot load 'no.such:Class'",
    "layout: {partitioner: 'no.such:Class'}": "layout.partitioner: ",
    "records: {value: avro}": "avro: needs schema_file, or records.schema_registry.url",
    "records: {value_options: {framd: true}}": "did you mean 'framed'?",
    "records: {value: avro, value_options: {schema_file: /no/such}}": "/no/such: No such file",
}


@pytest.mark.parametrize("command", ["check", "run"])
@pytest.mark.parametrize("line", UNUSABLE)
def test_what_a_file_names_and_cannot_be_used_is_status_2(
    tmp_path: Path, command: str, line: str
) -> None:
    path = tmp_path / "sink.yaml"
    own = f"spool: {{directory: '{tmp_path}/spool'}}\nadmin: {{listen: '127.0.0.1:0'}}\n"
    path.write_text(f"{BASE}{own}{line}\n")
    done = spoolsink(command, str(path))
    assert (done.returncode, done.stdout) == (2, "")
    assert UNUSABLE[line] in done.stderr
    assert done.stderr.startswith(f"{path}:9: ")


@pytest.mark.parametrize("command", ["check", "run"])
def test_everything_that_cannot_be_made_is_told_at_once_with_its_line(
    tmp_path: Path, command: str
) -> None:
    path = tmp_path / "sink.yaml"
    path.write_text(
        f"{BASE}records:\n  key: 'no.such:Key'\n  value: 'no.such:Value'\n"
        "layout:\n  partitioner: 'no.such:Class'\n"
    )
    done = spoolsink(command, str(path))
    assert done.returncode == 2
    assert [line.split(": ")[:2] for line in done.stderr.splitlines()] == [
        [f"{path}:8", "records.key"],
        [f"{path}:9", "records.value"],
        [f"{path}:11", "layout.partitioner"],
    ]


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["run", "x.yaml"],
        ["check"],
        ["check", "x.yaml", "-a\nb"],
        ["non\nsense"],
        ["restore", "x"],
    ],
)
def test_bad_arguments_are_one_line_and_status_2(arguments: list[str]) -> None:
    done = spoolsink(*arguments)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)


def test_an_answer_that_cannot_be_written_is_one_line_and_status_1(tmp_path: Path) -> None:
    path = tmp_path / "sink.yaml"
    path.write_text(f"{BASE}spool: {{directory: '{tmp_path}/spool'}}\n")
    command = [sys.executable, "-m", "spoolsink", "spool", "ls", str(path)]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            command, stdout=full, stderr=subprocess.PIPE, text=True, check=False, timeout=60
        )
    assert (done.returncode, done.stderr) == (1, "spoolsink: [Errno 28] No space left on device\n")


def test_what_no_locale_can_print_is_printed_escaped(tmp_path: Path) -> None:
    path = os.fsencode(tmp_path / "sink.yaml") + b"\xff"
    Path(os.fsdecode(path)).write_text(BASE + "layout: {prefix: 백업}\n")
    done = subprocess.run(
        [sys.executable, "-m", "spoolsink", "check", path],
        capture_output=True,
        env=os.environ | {"PYTHONIOENCODING": "ascii:strict"},
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.startswith(str(tmp_path).encode() + b"/sink.yaml\\udcff: fine\n")
    assert "s3://b/백업 ".encode() in done.stdout


def test_a_reader_that_has_seen_enough_is_told_nothing(tmp_path: Path) -> None:
    path = tmp_path / "sink.yaml"
    path.write_text(f"{BASE}spool: {{directory: '{tmp_path}/spool'}}\n")
    command = [sys.executable, "-m", "spoolsink", "spool", "ls", str(path)]
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        command, stdout=writing, stderr=subprocess.PIPE, text=True, check=False, timeout=60
    )
    os.close(writing)
    assert (done.returncode, done.stderr) == (1, "")


def test_an_interrupt_ends_a_command_without_a_traceback(tmp_path: Path) -> None:
    path = tmp_path / "sink.yaml"
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        path.write_text(BASE.replace("localhost:9092", f"127.0.0.1:{port}"))
        command = [sys.executable, "-m", "spoolsink", "check", "--connect", str(path)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            silent.settimeout(60)
            silent.accept()[0].close()  # it has got so far
            process.send_signal(signal.SIGINT)
            _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert b"Traceback" not in errors
