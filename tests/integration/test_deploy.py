"""What lies in `deploy/`: files that load, and that agree with the program and with each other."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from configparser import ConfigParser
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import CollectorRegistry

from spoolsink import __version__
from spoolsink.config import load
from spoolsink.config_model import Config
from spoolsink.config_types import parse_duration
from spoolsink.metrics import GAUGES, HISTOGRAMS, Metrics
from tests.servers.prometheus import program

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
UNITS = [DEPLOY / "systemd" / name for name in ("spoolsink.service", "spoolsink@.service")]
RULES = DEPLOY / "prometheus" / "spoolsink.rules.yaml"
SECRETS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "SPOOLSINK_ADMIN_TOKEN")


def read(*names: str) -> Any:
    """One YAML document below `deploy/`."""
    return yaml.safe_load(DEPLOY.joinpath(*names).read_text())


def config_of(text: str, directory: Path) -> Config:
    """A file as the sink reads it, with every secret set."""
    path = directory / "spoolsink.yaml"
    path.write_text(text)
    return load(path, dict.fromkeys(SECRETS, "x"))


def unit_of(path: Path) -> ConfigParser:
    unit = ConfigParser(strict=False, interpolation=None, allow_no_value=True)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read(path)
    return unit


FILES = [path for path in sorted(DEPLOY.rglob("*.yaml")) if path.parent.name != "templates"]


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.name)
def test_every_yaml_loads(path: Path) -> None:
    assert yaml.safe_load(path.read_text())


# -- systemd ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", UNITS, ids=lambda p: p.name)
def test_a_unit_stops_later_than_the_sink_and_is_not_restarted_with_a_bad_file(path: Path) -> None:
    service = unit_of(path)["Service"]
    grace = Config.model_fields["shutdown_grace"].default
    assert parse_duration(service["TimeoutStopSec"]) > grace
    assert service["RestartPreventExitStatus"] == "2"
    assert service["Type"] == "notify"
    # The sink takes 30 s without a sign for a hang; systemd must not be quicker than that.
    assert parse_duration(service["WatchdogSec"]) > 30
    assert service["Restart"] == "on-failure"
    assert service["User"] == "spoolsink"
    assert service["ExecStart"].startswith("/usr/bin/spoolsink run ")
    # `./spool`, the default, is then inside of the state directory.
    assert service["WorkingDirectory"] == f"/var/lib/{service['StateDirectory']}"


def test_each_instance_has_its_own_file_secrets_and_state() -> None:
    service = unit_of(UNITS[1])["Service"]
    for key in ("ExecStart", "EnvironmentFile", "StateDirectory", "WorkingDirectory"):
        assert "%i" in service[key]


def test_both_units_differ_in_names_only() -> None:
    single, instance = (unit_of(path)["Service"] for path in UNITS)
    named = {"ExecStart", "EnvironmentFile", "StateDirectory", "WorkingDirectory"}
    assert {k: v for k, v in single.items() if k not in named} == {
        k: v for k, v in instance.items() if k not in named
    }


@pytest.mark.parametrize("path", UNITS, ids=lambda p: p.name)
def test_systemd_finds_nothing_wrong_and_little_exposed(path: Path, tmp_path: Path) -> None:
    assert shutil.which("systemd-analyze"), "no systemd-analyze: run `make servers`"
    copy = tmp_path / path.name
    # The program is not installed here; an ExecStart that does not exist is an error.
    copy.write_text(path.read_text().replace("/usr/bin/spoolsink", "/bin/true"))
    verified = _run("systemd-analyze", "verify", str(copy))
    # An unknown key is no error, but a line.
    assert (verified.returncode, verified.stdout, verified.stderr) == (0, "", "")
    security = _run("systemd-analyze", "security", "--offline=true", "--threshold=50", str(copy))
    assert security.returncode == 0, security.stdout[-200:]


# -- Debian ----------------------------------------------------------------------------------------


def test_the_package_has_the_command_the_units_and_their_user(tmp_path: Path) -> None:
    """Built without its libraries, which `make deb` fetches: the tests have them here."""
    environ = {"PIP_OPTIONS": "--no-deps", "DPKG_OPTIONS": "-Znone", "PYTHON": sys.executable}
    build = [str(DEPLOY / "deb" / "build.sh"), "", str(tmp_path)]
    done = _run(*build, **environ)
    assert done.returncode == 0, done.stderr
    package = done.stdout.strip()
    told = _run("dpkg-deb", "--field", package).stdout
    assert f"Version: {__version__}\n" in told
    minor = sys.version_info.minor
    assert f"python3 (>= 3.{minor}), python3 (<< 3.{minor + 1})" in told
    assert "@" not in told.replace("spoolsink@", "")
    listed = [line.split() for line in _run("dpkg-deb", "--contents", package).stdout.splitlines()]
    assert {words[1] for words in listed} == {"root/root"}
    modes = {words[5]: words[0] for words in listed}
    assert {name: modes[f"./{name}"] for name in OF_THE_PACKAGE} == OF_THE_PACKAGE
    assert not [name for name in modes if "__pycache__" in name or "/tests/" in name]
    _run("dpkg-deb", "--extract", package, str(tmp_path / "root"))
    command = str(tmp_path / "root" / "usr" / "bin" / "spoolsink")
    assert _run(sys.executable, command, "--version").stdout == f"spoolsink {__version__}\n"
    example = tmp_path / "root" / "usr/share/doc/spoolsink/examples/spoolsink.yaml"
    assert config_of(example.read_text(), tmp_path).name == "orders-archive"


OF_THE_PACKAGE = {
    "etc/spoolsink/": "drwxr-xr-x",
    "usr/bin/spoolsink": "-rwxr-xr-x",
    "usr/lib/spoolsink/spoolsink/cli.py": "-rw-r--r--",
    "usr/lib/systemd/system/spoolsink.service": "-rw-r--r--",
    "usr/lib/systemd/system/spoolsink@.service": "-rw-r--r--",
    "usr/lib/sysusers.d/spoolsink.conf": "-rw-r--r--",
    "usr/share/doc/spoolsink/copyright": "-rw-r--r--",
    "usr/share/doc/spoolsink/docs/runbook.md": "-rw-r--r--",
    "usr/share/doc/spoolsink/examples/spoolsink.rules.yaml": "-rw-r--r--",
}


@pytest.mark.parametrize("name", ["postinst", "prerm", "postrm"])
def test_a_script_of_the_package_is_one_that_sh_reads(name: str) -> None:
    done = _run("sh", "-n", str(DEPLOY / "deb" / name))
    assert (done.returncode, done.stderr) == (0, "")


# -- Docker ----------------------------------------------------------------------------------------


def test_the_image_is_pinned_and_runs_as_nobody_special() -> None:
    lines = (DEPLOY / "docker" / "Dockerfile").read_text().splitlines()
    images = [line.split()[1] for line in lines if line.startswith("FROM ")]
    assert all(re.search(r":\d+\.\d+\.\d+", image) for image in images)
    pod = read("kubernetes", "base", "statefulset.yaml")["spec"]["template"]["spec"]
    uid = pod["securityContext"]["runAsUser"]
    assert f"USER {uid}:{uid}" in lines
    copied = [word for line in lines if line.startswith("COPY ") for word in line.split()[1:-1]]
    assert all((ROOT / word).exists() for word in copied if not word.startswith(("-", "/")))


def test_compose_starts_a_sink_that_accepts_its_file(tmp_path: Path) -> None:
    compose = read("compose.yaml")
    # `$$` is compose's way to write a `$`.
    text = compose["configs"]["spoolsink"]["content"].replace("$$", "$")
    config = config_of(text, tmp_path)
    sink, s3 = compose["services"]["spoolsink"], compose["services"]["s3"]
    assert parse_duration(sink["stop_grace_period"]) > config.shutdown_grace
    assert set(re.findall(r"\$\{(\w+)", text)) <= set(sink["environment"])
    assert sink["environment"]["AWS_ACCESS_KEY_ID"] == s3["environment"]["ROOT_ACCESS_KEY"]
    assert sink["environment"]["AWS_SECRET_ACCESS_KEY"] == s3["environment"]["ROOT_SECRET_KEY"]
    assert (DEPLOY / sink["build"]["context"] / sink["build"]["dockerfile"]).exists()
    assert config.s3.bucket == Path(compose["services"]["bucket"]["command"][-1]).name


def test_compose_names_only_what_it_defines() -> None:
    compose = read("compose.yaml")
    for service in compose["services"].values():
        assert set(service.get("depends_on", {})) <= set(compose["services"])
        assert {c["source"] for c in service.get("configs", [])} <= set(compose["configs"])
        for volume in service.get("volumes", []):
            source = volume.partition(":")[0]
            assert source in compose["volumes"] or (DEPLOY / source).exists(), source
        assert "build" in service or re.search(r":v?\d+\.\d+\.\d+", service["image"])


# -- Prometheus ------------------------------------------------------------------------------------


def _rules() -> list[dict[str, Any]]:
    return [
        rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]
    ]


def _series() -> dict[str, set[str]]:
    """Every series that a sink can have, and its labels; those of the scrape included."""
    metrics = Metrics(CollectorRegistry())
    found: dict[str, set[str]] = {}
    for name, (_, labels) in GAUGES.items():
        found[f"spoolsink_{name}"] = set(labels)
    for name, counter in metrics.counters.items():
        found[f"spoolsink_{name}_total"] = set(counter._labelnames)
    for name in HISTOGRAMS:
        found[f"spoolsink_{name}_bucket"] = {"le"}
    return {name: {*labels, "job", "instance"} for name, labels in found.items()}


def _selectors(expression: str) -> Iterator[tuple[str, set[str]]]:
    """Names of series, and the labels that their matchers name."""
    for name, matchers in re.findall(r"\b(spoolsink_\w+)(\{[^}]*\})?", expression):
        yield name, set(re.findall(r"(\w+)\s*[=!]~?", matchers))


@pytest.mark.parametrize("rule", _rules(), ids=lambda r: r.get("alert") or r["record"])
def test_a_rule_names_only_metrics_and_labels_that_a_sink_has(rule: dict[str, Any]) -> None:
    known, recorded = _series(), {r["record"] for r in _rules() if "record" in r}
    used = list(_selectors(re.sub(r"spoolsink:\w+(:\w+)?", "", rule["expr"])))
    for name, labels in used:
        assert name in known, name
        assert labels <= known[name], (name, labels)
    assert set(re.findall(r"spoolsink:\w+:\w+", rule["expr"])) <= recorded
    assert used or "spoolsink" in rule["expr"]


def test_a_metric_that_no_sink_has_would_be_found() -> None:
    known = _series()
    selectors = dict(_selectors('rate(spoolsink_recordz_total{topik="a"}[5m])'))
    assert selectors == {"spoolsink_recordz_total": {"topik"}}
    assert "spoolsink_recordz_total" not in known


def test_every_alert_says_what_is_wrong_and_where_to_read_on() -> None:
    for rule in _rules():
        if "alert" in rule:
            assert rule["labels"]["severity"] in {"warning", "critical"}
            assert set(rule["annotations"]) == {"summary", "description", "runbook"}
            assert rule["annotations"]["runbook"].endswith(f"#{rule['alert'].lower()}")


def test_every_alert_is_fired_by_a_unit_test() -> None:
    tests = (RULES.parent / "spoolsink.rules.test.yaml").read_text()
    alerts = [rule["alert"] for rule in _rules() if "alert" in rule]
    assert [alert for alert in alerts if alert not in tests] == []


def test_every_alert_has_its_page_in_the_runbook() -> None:
    runbook = (RULES.parents[2] / "docs" / "runbook.md").read_text()
    alerts = [rule["alert"] for rule in _rules() if "alert" in rule]
    assert [alert for alert in alerts if f"### {alert}\n" not in runbook] == []


def test_promtool_accepts_the_rules_and_their_unit_tests() -> None:
    for arguments in (
        ("check", "rules", str(RULES)),
        ("check", "config", str(RULES.parent / "prometheus.yaml")),
        ("test", "rules", str(RULES.parent / "spoolsink.rules.test.yaml")),
    ):
        done = _run(program("promtool"), *arguments)
        assert done.returncode == 0, done.stdout + done.stderr


def _run(*command: str, **more: str) -> subprocess.CompletedProcess[str]:
    environ = {**os.environ, "SYSTEMD_COLORS": "0", **more}
    return subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=60, env=environ
    )
