"""The image and what compose starts with it."""

import subprocess
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from tests.servers.processes import CACHE

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
DOCKERFILE = DEPLOY / "docker" / "Dockerfile"
LINTER = CACHE / "dockerfile-utils-0.16.3" / "node_modules" / ".bin" / "dockerfile-utils"


def compose() -> Any:
    return yaml.safe_load((DEPLOY / "compose.yaml").read_text())


def lint(path: Path) -> subprocess.CompletedProcess[str]:
    if not LINTER.exists():
        raise RuntimeError("dockerfile-utils is not in the cache: run `make servers`")
    command = [str(LINTER), "lint", str(path)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def test_the_linter_finds_nothing_in_the_dockerfile() -> None:
    done = lint(DOCKERFILE)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("wrong", ["FORM python:3.11", "FROM python:3.11\nUSR 1"])
def test_the_linter_would_find_a_mistake(wrong: str, tmp_path: Path) -> None:
    path = tmp_path / "Dockerfile"
    path.write_text(wrong + "\n")
    assert lint(path).returncode != 0


def test_the_build_context_has_what_is_copied() -> None:
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    allowed = {line[1:] for line in lines if line.startswith("!")}
    assert "*" in lines
    copies = [line for line in DOCKERFILE.read_text().splitlines() if line.startswith("COPY ")]
    words = [word for line in copies if "--from" not in line for word in line.split()[1:-1]]
    assert {Path(word).name for word in words} <= allowed


def test_both_stages_run_the_same_python_and_the_last_has_no_root() -> None:
    lines = DOCKERFILE.read_text().splitlines()
    images = [line.split()[1] for line in lines if line.startswith("FROM ")]
    assert len(images) == 2
    assert len(set(images)) == 1
    assert lines.index("USER 10001:10001") > max(
        number for number, line in enumerate(lines) if line.startswith("FROM ")
    )
    # In the form of a list: a shell between would keep the signals.
    assert 'ENTRYPOINT ["spoolsink"]' in lines


def test_the_sink_of_compose_may_do_nothing_that_it_need_not() -> None:
    sink = compose()["services"]["spoolsink"]
    assert sink["read_only"]
    assert sink["cap_drop"] == ["ALL"]
    assert sink["security_opt"] == ["no-new-privileges:true"]
    services = compose()["services"].values()
    ports = [port for service in services for port in service.get("ports", [])]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_grafana_finds_prometheus_and_its_dashboards() -> None:
    services = compose()["services"]
    provisioning = DEPLOY / "grafana" / "provisioning"
    (source,) = yaml.safe_load((provisioning / "datasources" / "prometheus.yaml").read_text())[
        "datasources"
    ]
    url = urlsplit(source["url"])
    assert url.hostname in services
    (provider,) = yaml.safe_load((provisioning / "dashboards" / "spoolsink.yaml").read_text())[
        "providers"
    ]
    volumes = dict(volume.split(":")[1::-1] for volume in services["grafana"]["volumes"])
    folder = provider["options"]["path"]
    home = services["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert Path(home).parent == Path(folder)
    assert (DEPLOY / volumes[folder] / Path(home).name).exists()
    assert (DEPLOY / volumes["/etc/grafana/provisioning"]).is_dir()


def test_prometheus_scrapes_the_sink_and_reads_its_rules() -> None:
    services = compose()["services"]
    settings = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yaml").read_text())
    targets = [
        target
        for job in settings["scrape_configs"]
        for static in job["static_configs"]
        for target in static["targets"]
    ]
    assert targets == ["spoolsink:8083"]
    mounted = {volume.split(":")[1] for volume in services["prometheus"]["volumes"]}
    assert {f"/etc/prometheus/{name}" for name in settings["rule_files"]} <= mounted
