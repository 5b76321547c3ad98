"""What kustomize and Helm make of `deploy/`: Kubernetes and the sink accept it, and it agrees."""

import json
import re
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from spoolsink import __version__
from spoolsink.config import load
from spoolsink.config_model import Config

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
KUBECTL = Path(sys.executable).with_name("kubectl")
SECRETS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "SPOOLSINK_ADMIN_TOKEN")
OLDEST, NEWEST = "1.27", "1.37"
FOREIGN = {"ScaledObject", "PodMonitor"}
"""Kinds of operators, of which Kubernetes has no schema."""

KIB, MIB, GIB = 1024, 1024**2, 1024**3
PROGRAM_BYTES = 80 * MIB
"""Measured: `make bench`, README."""
SEGMENT_BYTES = 2 * KIB
UNITS = {"Mi": MIB, "Gi": GIB}

KUSTOMIZED = ("base", "overlays/local", "overlays/production")
HELM_VALUES: dict[str, dict[str, Any]] = {
    "helm": {},
    "helm with operators": {
        "autoscaling": {"enabled": True},
        "podMonitor": {"enabled": True},
        "config": {
            "kafka": {"topics": "orders, returns", "fetch_buffer": "128MiB"},
            "rotate": {"max_age": "20m"},
            "spool": {"write_buffer": "64MiB", "max_bytes": "1.5TB", "max_open": 200_000},
            "s3": {"uploads": 16, "part_size": "16MB"},
            "shutdown_grace": "90500ms",
            "admin": {"listen": "0.0.0.0:9999"},
        },
    },
}
ALL = (*KUSTOMIZED, *HELM_VALUES)


@dataclass(frozen=True)
class Rendered:
    """The documents of one way to install, by kind (each kind is there once)."""

    documents: dict[str, Any]

    @property
    def pods(self) -> Any:
        return self.documents["StatefulSet"]["spec"]

    @property
    def container(self) -> Any:
        (container,) = self.pods["template"]["spec"]["containers"]
        return container

    def config(self, directory: Path) -> Config:
        """The file as the sink reads it, with every secret set."""
        path = directory / "spoolsink.yaml"
        path.write_text(self.documents["ConfigMap"]["data"]["spoolsink.yaml"])
        return load(path, {**dict.fromkeys(SECRETS, "x"), "POD_NAME": "spoolsink-0"})


@cache
def rendered(name: str) -> Rendered:
    if name in KUSTOMIZED:
        command = [str(KUBECTL), "kustomize", str(DEPLOY / "kubernetes" / name)]
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
        texts = [done.stdout]
    else:
        done = chart(HELM_VALUES[name])
        assert done.returncode == 0, done.stderr
        answer = json.loads(done.stdout)
        assert answer["findings"] == []
        texts = [text for path, text in answer["manifests"].items() if path.endswith(".yaml")]
    documents = [found for text in texts for found in yaml.safe_load_all(text) if found]
    by_kind = {document["kind"]: document for document in documents}
    assert len(by_kind) == len(documents)
    return Rendered(by_kind)


def chart(values: dict[str, Any]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tests.unit.render_chart"],
        input=json.dumps(values),
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        timeout=60,
    )


def bytes_of(quantity: str) -> int:
    return int(quantity[:-2]) * UNITS[quantity[-2:]]


def busy_bytes(config: Config) -> int:
    """What a busy process holds: itself and its buffers."""
    uploads = config.s3.uploads * config.s3.part_size
    return PROGRAM_BYTES + config.spool.write_buffer + config.kafka.fetch_buffer + uploads


@pytest.mark.parametrize("name", ALL)
def test_kubernetes_has_no_field_that_is_not_in_its_schema(name: str) -> None:
    documents = rendered(name).documents
    assert {"ConfigMap", "Service", "ServiceAccount", "StatefulSet"} < set(documents)
    assert {"PodDisruptionBudget", "NetworkPolicy"} < set(documents)
    for kind in documents.keys() - FOREIGN:
        for version in (OLDEST, NEWEST):
            kubernetes_validate.validate(documents[kind], version, strict=True)


def test_a_field_that_kubernetes_does_not_know_would_be_found() -> None:
    spec = json.loads(json.dumps(rendered("base").documents["StatefulSet"]))
    spec["spec"]["replicaz"] = 2
    with pytest.raises(kubernetes_validate.ValidationError, match="replicaz"):
        kubernetes_validate.validate(spec, NEWEST, strict=True)


@pytest.mark.parametrize("name", ALL)
def test_the_file_is_accepted_and_fits_its_pod(name: str, tmp_path: Path) -> None:
    found = rendered(name)
    config, pod = found.config(tmp_path), found.pods["template"]["spec"]
    (claim,) = found.pods["volumeClaimTemplates"]
    size = bytes_of(claim["spec"]["resources"]["requests"]["storage"])
    assert config.spool.max_bytes + config.spool.min_free_bytes < size
    assert pod["terminationGracePeriodSeconds"] >= config.shutdown_grace + 30
    mounts = {mount["name"]: mount["mountPath"] for mount in found.container["volumeMounts"]}
    assert Path(mounts["spool"]) in Path(config.spool.directory).parents
    assert found.container["args"][-1] == f"{mounts['config']}/spoolsink.yaml"
    (port,) = found.container["ports"]
    assert config.admin.listen == f"0.0.0.0:{port['containerPort']}"
    assert config.admin.token is not None


@pytest.mark.parametrize("name", ALL)
def test_memory_is_what_the_configuration_can_hold_and_not_much_more(
    name: str, tmp_path: Path
) -> None:
    found = rendered(name)
    config, resources = found.config(tmp_path), found.container["resources"]
    request = bytes_of(resources["requests"]["memory"])
    limit = bytes_of(resources["limits"]["memory"])
    needed = busy_bytes(config)
    at_most = needed + SEGMENT_BYTES * config.spool.max_open + config.kafka.batch_max_bytes
    assert needed <= request <= needed + 64 * MIB
    assert at_most <= limit <= at_most + 160 * MIB


@pytest.mark.parametrize("name", ALL)
def test_a_pod_is_a_member_of_its_own_name_that_gets_every_secret(
    name: str, tmp_path: Path
) -> None:
    found = rendered(name)
    text = found.documents["ConfigMap"]["data"]["spoolsink.yaml"]
    config = found.config(tmp_path)
    if name != "helm with operators":
        assert config.kafka.group_instance_id == "spoolsink-0"
    (pod_name,) = found.container["env"]
    assert pod_name["valueFrom"]["fieldRef"]["fieldPath"] == "metadata.name"
    example = yaml.safe_load((DEPLOY / "kubernetes" / "secret.example.yaml").read_text())
    assert found.container["envFrom"][0]["secretRef"]["name"].startswith("spoolsink")
    assert set(re.findall(r"\$\{(\w+)", text)) <= {*example["stringData"], "POD_NAME"}


@pytest.mark.parametrize("name", ALL)
def test_everything_selects_the_pods(name: str) -> None:
    found = rendered(name)
    labels = found.pods["template"]["metadata"]["labels"]
    documents = found.documents
    assert documents["Service"]["spec"]["clusterIP"] == "None"
    assert found.pods["serviceName"] == documents["Service"]["metadata"]["name"]
    assert found.pods["podManagementPolicy"] == "Parallel"
    selectors = [found.pods["selector"], documents["PodDisruptionBudget"]["spec"]["selector"]]
    selectors += [documents[k]["spec"]["selector"] for k in ("PodMonitor",) if k in documents]
    wanted = [selector["matchLabels"] for selector in selectors]
    wanted += [documents["Service"]["spec"]["selector"]]
    wanted += [documents["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"]]
    assert all(selector.items() <= labels.items() for selector in wanted)
    assert len({json.dumps(selector, sort_keys=True) for selector in wanted}) == 1


@pytest.mark.parametrize("name", ALL)
def test_the_pod_may_do_nothing_that_it_need_not(name: str) -> None:
    found = rendered(name)
    pod = found.pods["template"]["spec"]
    assert pod["securityContext"]["runAsNonRoot"]
    assert pod["securityContext"]["runAsUser"] == pod["securityContext"]["fsGroup"] != 0
    assert pod["automountServiceAccountToken"] is False
    assert found.container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    probes = {k: v["httpGet"]["path"] for k, v in found.container.items() if k.endswith("Probe")}
    assert probes == {
        "livenessProbe": "/healthz",
        "readinessProbe": "/readyz",
        "startupProbe": "/healthz",
    }


@pytest.mark.parametrize("name", ["overlays/production", "helm with operators"])
def test_scaling_waits_for_two_cuts(name: str, tmp_path: Path) -> None:
    found = rendered(name)
    config, spec = found.config(tmp_path), found.documents["ScaledObject"]["spec"]
    assert config.rotate.max_age is not None
    behavior = spec["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]
    waits = [behavior[way]["stabilizationWindowSeconds"] for way in ("scaleUp", "scaleDown")]
    assert min(spec["cooldownPeriod"], *waits) >= 2 * config.rotate.max_age
    assert "replicas" not in found.pods
    metadata = [trigger["metadata"] for trigger in spec["triggers"]]
    assert {found["consumerGroup"] for found in metadata} == {config.group_id}
    assert tuple(found["topic"] for found in metadata) == config.kafka.topics
    assert spec["scaleTargetRef"]["name"] == found.documents["StatefulSet"]["metadata"]["name"]


def test_kustomize_and_helm_make_the_same_pod() -> None:
    kustomized, helmed = rendered("base"), rendered("helm")
    ours = {key: value for key, value in helmed.container.items() if key != "imagePullPolicy"}
    assert ours == kustomized.container
    pods = [found.pods["template"]["spec"] for found in (kustomized, helmed)]
    assert pods[0]["securityContext"] == pods[1]["securityContext"]


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"replicas": "two"}, "replicas"),
        ({"replica": 2}, "replica"),
        ({"config": {"name": "a b"}}, "name"),
        ({"config": {"spool": {"write_buffer": "32"}}}, "found 32; allowed: a size"),
        ({"config": {"shutdown_grace": "soon"}}, "found soon; allowed: a duration"),
        ({"config": {"admin": {"listen": "127.0.0.1:8083"}}}, "reachable by the kubelet"),
        (
            {"autoscaling": {"enabled": True}, "config": {"rotate": {"max_age": "1h"}}},
            "at most 30m",
        ),
    ],
)
def test_the_chart_refuses_a_value_and_says_which(values: dict[str, Any], reason: str) -> None:
    done = chart(values)
    assert done.returncode == 1
    assert reason in done.stderr


def test_image_and_chart_are_of_this_version() -> None:
    metadata = yaml.safe_load((DEPLOY / "helm" / "spoolsink" / "Chart.yaml").read_text())
    assert metadata["appVersion"] == __version__
    assert {rendered(name).container["image"] for name in ALL} == {f"spoolsink:{__version__}"}


def test_every_component_is_part_of_the_production_overlay() -> None:
    components = {path.name for path in (DEPLOY / "kubernetes" / "components").iterdir()}
    overlay = DEPLOY / "kubernetes" / "overlays" / "production" / "kustomization.yaml"
    listed = yaml.safe_load(overlay.read_text())["components"]
    assert {Path(path).name for path in listed} == components
