"""Prometheus 2.42, Debian's, as a child process, and its API."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import aiohttp
import yaml

from tests.servers.processes import CACHE, ServerProcess

UNPACKED = CACHE / "promtool" / "usr" / "bin"


def program(name: str) -> str:
    """`prometheus` or `promtool`: installed, or in the cache. A missing one is an error."""
    found = shutil.which(name) or shutil.which(name, path=str(UNPACKED))
    if found is None:
        raise RuntimeError(f"{name} is not in the cache: run `make servers`")
    return found


class PrometheusServer(ServerProcess):
    """Runs on one configuration, given as the file would have it."""

    name = "Prometheus"

    def __init__(self, directory: Path, configuration: dict[str, Any]) -> None:
        super().__init__(directory)
        self._configuration = configuration

    @property
    def url(self) -> str:
        """Of its API."""
        return f"http://127.0.0.1:{self.port}"

    def command(self) -> list[str]:
        """The port is open a moment before the first scrape."""
        path = self.directory / "prometheus.yaml"
        path.write_text(yaml.safe_dump(self._configuration))
        return [
            program("prometheus"),
            f"--config.file={path}",
            f"--storage.tsdb.path={self.directory / 'data'}",
            f"--web.listen-address=127.0.0.1:{self.port}",
        ]


def scraping(targets: Sequence[str], rules: Path) -> dict[str, Any]:
    """A configuration that asks these sinks every second, and the rules as often."""
    return {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": [str(rules)],
        "scrape_configs": [
            {"job_name": "spoolsink", "static_configs": [{"targets": list(targets)}]}
        ],
    }


class Prometheus:
    """Its API."""

    def __init__(self, url: str, client: aiohttp.ClientSession) -> None:
        self._url, self._client = url, client

    async def is_ready(self) -> bool:
        """The port is open before that."""
        async with self._client.get(f"{self._url}/-/ready") as answer:
            return answer.status == 200

    async def ask(self, path: str, **parameters: str) -> Any:
        async with self._client.get(f"{self._url}/api/v1/{path}", params=parameters) as answer:
            found = await answer.json()
            assert found["status"] == "success", (parameters, found)
            return found["data"]

    async def has_data(self, query: str) -> bool:
        """A series with a number; a histogram of nothing is NaN."""
        result = (await self.ask("query", query=query))["result"]
        return any(series["value"][1] != "NaN" for series in result)

    async def alerts(
        self, name: str, state: Literal["pending", "firing"] | None = None, **labels: str
    ) -> list[dict[str, Any]]:
        """Those of one name now, in any state where none is named, that have these labels."""
        return [
            alert
            for alert in (await self.ask("alerts"))["alerts"]
            if alert["labels"]["alertname"] == name
            and state in {None, alert["state"]}
            and labels.items() <= alert["labels"].items()
        ]
