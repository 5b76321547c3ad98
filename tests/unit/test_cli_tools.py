"""The operator's tools on the command line: output, exit status, nothing changed."""

import json
from pathlib import Path

import pytest

from tests.unit.bad_configurations import BASE
from tests.unit.test_cli import spoolsink

CONNECTOR = Path(__file__).parents[1] / "data" / "connectors" / "examples-s3-sink.json"


def config_at(directory: Path, text: str = "") -> Path:
    path = directory / "sink.yaml"
    path.write_text(f"{BASE}spool: {{directory: '{directory / 'spool'}'}}\n{text}")
    return path


def test_an_imported_connector_passes_check(tmp_path: Path) -> None:
    done = spoolsink("import-connect", str(CONNECTOR))
    assert done.returncode == 0
    assert f"{CONNECTOR}: locale: ko_KR is not carried over" in done.stderr
    path = tmp_path / "sink.yaml"
    path.write_text(done.stdout)
    checked = spoolsink("check", str(path))
    assert (checked.returncode, checked.stderr) == (0, "")
    assert "as group connect-examples-s3-sink" in checked.stdout


def test_a_connector_that_cannot_be_read_is_status_2(tmp_path: Path) -> None:
    done = spoolsink("import-connect", str(tmp_path / "no.json"))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"{tmp_path / 'no.json'}: cannot be read: No such file or directory\n"


def test_a_spool_is_listed_and_verified_without_being_made(tmp_path: Path) -> None:
    path = config_at(tmp_path)
    listed = spoolsink("spool", "ls", str(path), "--log-format", "json")
    verified = spoolsink("spool", "verify", str(path), "--json", "--log-level", "debug")
    assert (listed.returncode, verified.returncode) == (0, 0)
    assert "no segments" in listed.stdout
    assert json.loads(verified.stdout)["problems"] == []
    assert not (tmp_path / "spool").exists()


def test_verify_ends_with_3_when_it_found_something(tmp_path: Path) -> None:
    path = config_at(tmp_path)
    segments = tmp_path / "spool" / "segments"
    segments.mkdir(parents=True)
    (segments / "1.sealed").write_bytes(b"nonsense")
    done = spoolsink("spool", "verify", str(path))
    assert done.returncode == 3
    assert "FOUND 1.sealed: at byte 8: no segment of this version" in done.stdout
    assert spoolsink("spool", "ls", str(path)).returncode == 0


@pytest.mark.parametrize("engine", ["athena", "duckdb", "trino"])
def test_ddl_prints_a_table_for_each_topic(engine: str, tmp_path: Path) -> None:
    path = config_at(tmp_path, "records: {form: full}\nlayout: {partition: 'dt={time:%Y-%m-%d}'}\n")
    done = spoolsink("ddl", str(path), "--engine", engine)
    assert (done.returncode, done.stderr) == (0, "")
    assert "orders" in done.stdout
    assert "s3://b/topics/orders/" in done.stdout


def test_ddl_refuses_clearly_what_it_cannot_do(tmp_path: Path) -> None:
    path = config_at(tmp_path)
    done = spoolsink("ddl", str(path))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"{path}:1: format.columns: required")


@pytest.mark.parametrize(
    "arguments",
    [
        ["import-connect"],
        ["spool", "rm", "x"],
        ["spool", "ls", "no.yaml"],
        ["ddl", "no.yaml"],
        ["ddl", "x", "--engine", "excel"],
    ],
)
def test_bad_arguments_are_status_2(arguments: list[str]) -> None:
    done = spoolsink(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
