"""Prometheus 2.42, Debian's, as a child process."""

import shutil
from pathlib import Path
from typing import Any

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
