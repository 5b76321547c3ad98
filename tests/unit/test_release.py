"""What is handed on: the wheel's contents, licences of what comes with it, known weaknesses."""

import email
import io
import json
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import version
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from spoolsink import __version__
from tools import advisories, licences

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
ASKED = [
    Requirement(text)
    for texts in (PROJECT["dependencies"], *PROJECT["optional-dependencies"].values())
    for text in texts
]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """Built from a copy, so that nothing is left in the checkout."""
    directory = tmp_path_factory.mktemp("wheel")
    copied = ["pyproject.toml", "README.md", "LICENSE", "spoolsink"]
    copied += [name for name in ("setup.py", "MANIFEST.in") if (ROOT / name).exists()]
    subprocess.run(["cp", "-r", *(str(ROOT / name) for name in copied), directory], check=True)
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    options = ["--disable-pip-version-check", "--wheel-dir", str(directory / "out")]
    subprocess.run([*pip, *options, str(directory)], check=True, timeout=100)
    (path,) = (directory / "out").glob("*.whl")
    return zipfile.ZipFile(path)


def test_the_wheel_holds_every_module_and_nothing_of_the_tests(wheel: zipfile.ZipFile) -> None:
    names = {name for name in wheel.namelist() if name.endswith(".py")}
    assert names == {str(p.relative_to(ROOT)) for p in (ROOT / "spoolsink").rglob("*.py")}
    tops = {name.partition("/")[0] for name in wheel.namelist()}
    assert tops == {"spoolsink", f"spoolsink-{__version__}.dist-info"}


def test_the_wheel_says_its_licence_its_command_and_what_it_needs(wheel: zipfile.ZipFile) -> None:
    where = f"spoolsink-{__version__}.dist-info"
    metadata = email.message_from_bytes(wheel.read(f"{where}/METADATA"))
    assert metadata["License-Expression"] == "Apache-2.0"
    assert metadata["Version"] == PROJECT["version"] == __version__
    assert b"spoolsink = spoolsink.entry:main" in wheel.read(f"{where}/entry_points.txt")
    assert any(name.endswith("licenses/LICENSE") for name in wheel.namelist())
    assert len(metadata.get_all("Requires-Dist") or []) == len(ASKED)


@pytest.mark.parametrize("need", ASKED, ids=str)
def test_a_dependency_is_bounded_on_both_sides_and_the_lock_is_within(need: Requirement) -> None:
    signs = {specifier.operator for specifier in need.specifier}
    # Calendar versions of the zone database promise nothing that could break.
    assert signs >= ({">="} if need.name == "tzdata" else {">=", "<"})
    assert need.specifier.contains(version(need.name))


@pytest.mark.parametrize("found", licences.installed(), ids=lambda found: found.name)
def test_a_licence_suits_apache_2(found: licences.Installed) -> None:
    assert found.is_suitable, found.licences


@pytest.mark.parametrize("bad", ["GPL-3.0-only", "AGPL-3.0-or-later", "SSPL-1.0", "proprietary"])
def test_a_licence_that_does_not_suit_would_be_found(bad: str) -> None:
    assert not licences.Installed("x", "1", frozenset({bad, "MIT"}), ("base",)).is_suitable
    assert not licences.Installed("x", "1", frozenset(), ("base",)).is_suitable


def test_known_weaknesses_are_a_finding() -> None:
    weak = {"id": "X-1", "fix_versions": ["2.0"]}
    packages = [{"name": "a", "version": "1.0", "vulns": [weak]}]
    out = io.StringIO()
    assert advisories.judge(json.dumps({"dependencies": packages}), out) == 1
    assert "FAIL a 1.0: X-1, mended in 2.0" in out.getvalue()


def test_advisories_that_nobody_gave_are_no_clean_bill() -> None:
    packages = [{"name": "a", "version": "1.0", "skip_reason": "not found"}]
    for answer in ("", json.dumps({"dependencies": packages})):
        out = io.StringIO()
        assert advisories.judge(answer, out) == 0
        assert "no advisory service answered" in out.getvalue()
