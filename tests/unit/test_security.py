"""The list of threats in SECURITY.md names tests that are there, and three that had none."""

import ast
import re
from pathlib import Path

import pytest

from spoolsink import config_model
from spoolsink.config import load
from spoolsink.errors import ConfigError
from tools.configuration import meanings_of

ROOT = Path(__file__).parents[2]
BASE = """\
name: s
kafka: {bootstrap_servers: [b], topics: [t]}
s3: {bucket: b}
"""
UNCHECKED = re.compile(
    r"CERT_NONE|check_hostname\s*=\s*False|verify\s*=\s*False|_create_unverified|ssl\s*=\s*False"
)


def test_every_threat_names_tests_that_are_there() -> None:
    text = (ROOT / "SECURITY.md").read_text()
    threats = [row for row in text.splitlines() if row.startswith("| ") and "---" not in row][1:]
    assert len(threats) > 10
    for threat in threats:
        named = re.findall(r"`(tests/[\w/]+\.py)::(test_\w+)`", threat)
        assert named, threat
        for path, name in named:
            tree = ast.parse((ROOT / path).read_text())
            functions = (ast.FunctionDef, ast.AsyncFunctionDef)
            assert name in {n.name for n in ast.walk(tree) if isinstance(n, functions)}, name


def test_nothing_turns_the_check_of_certificates_off() -> None:
    for path in (ROOT / "spoolsink").rglob("*.py"):
        assert UNCHECKED.findall(path.read_text()) == [], path
    sections = meanings_of(Path(config_model.__file__).read_text())
    keys = [key for section in sections.values() for key in section]
    assert [key for key in keys if re.search(r"verif|insecure|trust|check_host", key)] == []


@pytest.mark.parametrize("bad", ["verify=False", "context.check_hostname = False", "CERT_NONE"])
def test_a_check_that_is_turned_off_would_be_found(bad: str) -> None:
    assert UNCHECKED.search(bad)


@pytest.mark.parametrize("listen", ["0.0.0.0:8083", "[::]:8083", "10.0.0.1:0", "sink.local:8083"])
def test_an_open_address_without_a_token_is_refused(listen: str, tmp_path: Path) -> None:
    path = tmp_path / "sink.yaml"
    path.write_text(f"{BASE}admin: {{listen: '{listen}'}}\n")
    with pytest.raises(ConfigError) as refused:
        load(path, {})
    assert "admin.token: required when admin.listen is not on loopback" in str(refused.value)


@pytest.mark.parametrize(
    "text",
    [
        "admin: {token: !!python/object/apply:os.system [id]}",
        "admin: &a {token: x}",
        "admin: {<<: *a}",
        "records: {key_options: {a: &x [l, l], b: &y [*x, *x], c: [*y, *y]}}",
        "admin: !include /etc/passwd",
    ],
)
def test_yaml_that_does_more_than_tell_is_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / "sink.yaml"
    path.write_text(f"{BASE}{text}\n")
    with pytest.raises(ConfigError, match=r"not allowed|undefined alias"):
        load(path, {})
