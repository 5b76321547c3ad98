"""What lies in `deploy/`: files that load, and that agree with the program and with each other."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from configparser import ConfigParser
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import CollectorRegistry

from spoolsink.config import load
from spoolsink.config_model import Config
from spoolsink.config_types import parse_duration
from spoolsink.metrics import GAUGES, HISTOGRAMS, Metrics
from tests.servers import processes

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
UNITS = [DEPLOY / "systemd" / name for name in ("spoolsink.service", "spoolsink@.service")]
RULES = DEPLOY / "prometheus" / "spoolsink.rules.yaml"
SECRETS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "SPOOLSINK_ADMIN_TOKEN")
GIB = 1024**3
PROMTOOL = shutil.which("promtool") or (
    str(processes.PROMTOOL) if processes.PROMTOOL.exists() else None
)


def read(*names: str) -> Any:
    """One YAML document below `deploy/`."""
    return yaml.safe_load(DEPLOY.joinpath(*names).read_text())


def kubernetes(name: str) -> Any:
    return read("kubernetes", f"{name}.yaml")


def config_of(text: str, directory: Path) -> Config:
    """A file as the sink reads it, with every secret set."""
    path = directory / "spoolsink.yaml"
    path.write_text(text)
    return load(path, {**dict.fromkeys(SECRETS, "x"), "POD_NAME": "spoolsink-0"})


def unit_of(path: Path) -> ConfigParser:
    unit = ConfigParser(strict=False, interpolation=None, allow_no_value=True)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read(path)
    return unit


@pytest.mark.parametrize("path", sorted(DEPLOY.rglob("*.yaml")), ids=lambda p: p.name)
def test_every_yaml_loads(path: Path) -> None:
    assert yaml.safe_load(path.read_text())


# -- systemd ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", UNITS, ids=lambda p: p.name)
def test_a_unit_stops_later_than_the_sink_and_is_not_restarted_with_a_bad_file(path: Path) -> None:
    service = unit_of(path)["Service"]
    grace = Config.model_fields["shutdown_grace"].default
    assert parse_duration(service["TimeoutStopSec"]) > grace
    assert service["RestartPreventExitStatus"] == "2"
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


@pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="needs systemd-analyze (Debian: systemd)"
)
@pytest.mark.parametrize("path", UNITS, ids=lambda p: p.name)
def test_systemd_finds_nothing_wrong_and_little_exposed(path: Path, tmp_path: Path) -> None:
    copy = tmp_path / path.name
    # The program is not installed here; an ExecStart that does not exist is an error.
    copy.write_text(path.read_text().replace("/usr/bin/spoolsink", "/bin/true"))
    verified = _run("systemd-analyze", "verify", str(copy))
    # An unknown key is no error, but a line.
    assert (verified.returncode, verified.stdout, verified.stderr) == (0, "", "")
    security = _run("systemd-analyze", "security", "--offline=true", "--threshold=50", str(copy))
    assert security.returncode == 0, security.stdout[-200:]


# -- Kubernetes ------------------------------------------------------------------------------------


def test_the_config_map_is_accepted_and_fits_its_pod(tmp_path: Path) -> None:
    config = config_of(kubernetes("configmap")["data"]["spoolsink.yaml"], tmp_path)
    spec = kubernetes("statefulset")["spec"]
    (claim,) = spec["volumeClaimTemplates"]
    (container,) = spec["template"]["spec"]["containers"]
    size = int(claim["spec"]["resources"]["requests"]["storage"].removesuffix("Gi")) * GIB
    assert config.spool.max_bytes + config.spool.min_free_bytes < size
    assert spec["template"]["spec"]["terminationGracePeriodSeconds"] > config.shutdown_grace
    mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    assert Path(mounts["spool"]) in Path(config.spool.directory).parents
    assert container["args"][-1] == f"{mounts['config']}/spoolsink.yaml"
    (port,) = container["ports"]
    assert config.admin.listen.endswith(f":{port['containerPort']}")
    limit = int(container["resources"]["limits"]["memory"].removesuffix("Mi")) * 1024**2
    buffers = config.spool.write_buffer + config.kafka.fetch_buffer
    assert limit > buffers + config.s3.uploads * config.s3.part_size + 100 * 1024**2


def test_the_pod_gets_every_secret_that_its_file_names() -> None:
    text = kubernetes("configmap")["data"]["spoolsink.yaml"]
    (container,) = kubernetes("statefulset")["spec"]["template"]["spec"]["containers"]
    secret = kubernetes("secret.example")
    assert container["envFrom"] == [{"secretRef": {"name": secret["metadata"]["name"]}}]
    given = {*secret["stringData"], *(entry["name"] for entry in container["env"])}
    assert set(re.findall(r"\$\{(\w+)", text)) <= given


def test_everything_selects_the_pods_of_the_stateful_set() -> None:
    spec = kubernetes("statefulset")["spec"]
    labels = spec["template"]["metadata"]["labels"]
    service = kubernetes("service")
    assert service["spec"]["clusterIP"] == "None"
    assert spec["serviceName"] == service["metadata"]["name"]
    assert spec["podManagementPolicy"] == "Parallel"
    selectors = [
        spec["selector"]["matchLabels"],
        service["spec"]["selector"],
        kubernetes("poddisruptionbudget")["spec"]["selector"]["matchLabels"],
        kubernetes("networkpolicy")["spec"]["podSelector"]["matchLabels"],
        read("kubernetes", "examples", "podmonitor.yaml")["spec"]["selector"]["matchLabels"],
    ]
    assert all(selector == labels for selector in selectors)


def test_the_pod_may_do_nothing_that_it_need_not() -> None:
    pod = kubernetes("statefulset")["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert pod["securityContext"]["runAsNonRoot"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    probes = {k: container[k]["httpGet"]["path"] for k in container if k.endswith("Probe")}
    assert probes == {
        "livenessProbe": "/healthz",
        "readinessProbe": "/readyz",
        "startupProbe": "/healthz",
    }


def test_kustomize_lists_every_file_but_the_example_of_a_secret() -> None:
    files = {path.name for path in (DEPLOY / "kubernetes").glob("*.yaml")}
    listed = set(kubernetes("kustomization")["resources"])
    assert files - listed == {"kustomization.yaml", "secret.example.yaml"}


def test_scaling_waits_for_two_cuts(tmp_path: Path) -> None:
    config = config_of(kubernetes("configmap")["data"]["spoolsink.yaml"], tmp_path)
    spec = read("kubernetes", "examples", "scaledobject.yaml")["spec"]
    assert config.rotate.max_age is not None
    assert spec["cooldownPeriod"] >= 2 * config.rotate.max_age
    (trigger,) = spec["triggers"]
    assert trigger["metadata"]["consumerGroup"] == config.group_id
    assert trigger["metadata"]["topic"] in (config.kafka.topics or ())


# -- Docker ----------------------------------------------------------------------------------------


def test_the_image_is_pinned_and_runs_as_nobody_special() -> None:
    lines = (DEPLOY / "docker" / "Dockerfile").read_text().splitlines()
    images = [line.split()[1] for line in lines if line.startswith("FROM ")]
    assert all(re.search(r":\d+\.\d+\.\d+", image) for image in images)
    uid = kubernetes("statefulset")["spec"]["template"]["spec"]["securityContext"]["runAsUser"]
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


@pytest.mark.skipif(PROMTOOL is None, reason="needs promtool (Debian: prometheus)")
def test_promtool_accepts_the_rules_and_their_unit_tests() -> None:
    for arguments in (
        ("check", "rules", str(RULES)),
        ("check", "config", str(RULES.parent / "prometheus.yaml")),
        ("test", "rules", str(RULES.parent / "spoolsink.rules.test.yaml")),
    ):
        done = _run(str(PROMTOOL), *arguments)
        assert done.returncode == 0, done.stdout + done.stderr


def _run(*command: str) -> subprocess.CompletedProcess[str]:
    environ = {**os.environ, "SYSTEMD_COLORS": "0"}
    return subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=60, env=environ
    )
