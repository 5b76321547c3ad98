"""One `spoolsink run` as a process: its configuration, its admin port, its end."""

import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import yaml
from prometheus_client.parser import text_string_to_metric_families

START_SECONDS = 60.0
STOP_SECONDS = 60.0
_ASK_SECONDS = 30.0
_LOOK_SECONDS = 0.05

Samples = Mapping[str, Sequence[tuple[Mapping[str, str], float]]]
"""Labels and value of each sample, by the sample's name."""


class SinkProcess:
    """Owned by one measurement; `directory` is empty before and keeps log, YAML and spool.

    The code is that of `checkout`, else of the current directory.
    """

    def __init__(
        self, directory: Path, config: Mapping[str, object], checkout: Path | None = None
    ) -> None:
        self.spool = directory / "spool"
        self._checkout = checkout
        self._log = directory / "sink.log"
        self._config = directory / "sink.yaml"
        self._settings = config
        self._process: subprocess.Popen[bytes] | None = None
        self._address = ""

    @property
    def pid(self) -> int:
        """Of the process that was started."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Returns when the admin port is open; raises RuntimeError with the log's end."""
        self.launch()
        self.wait_until_up()

    def launch(self) -> None:
        """The first half of `start`; also again, after the process has ended."""
        (self.spool / "admin.address").unlink(missing_ok=True)
        spool = {**_section(self._settings, "spool"), "directory": str(self.spool)}
        admin = {"listen": "127.0.0.1:0"}
        self._config.write_text(yaml.safe_dump({**self._settings, "spool": spool, "admin": admin}))
        command = [sys.executable, "-m", "spoolsink", "run", str(self._config), "--quiet"]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 (our own interpreter and file)
                command, stdout=log, stderr=log, start_new_session=True, cwd=self._checkout
            )

    def wait_until_up(self) -> None:
        """The second half of `start`."""
        address = self.spool / "admin.address"
        deadline = time.monotonic() + START_SECONDS
        while not address.exists() or not address.read_text().strip():
            self.check()
            if time.monotonic() > deadline:
                self.kill()
                raise RuntimeError(f"the sink did not start:\n{self._tail()}")
            time.sleep(_LOOK_SECONDS)
        self._address = address.read_text().strip()

    def check(self) -> None:
        """Raises RuntimeError with the log's end when the process has ended."""
        if self._process is None or self._process.poll() is not None:
            raise RuntimeError(f"the sink has ended:\n{self._tail()}")

    def until(self, ask: Callable[[], bool], *, seconds: float, look_seconds: float) -> None:
        """Asked every `look_seconds`; RuntimeError when the process or the time has ended."""
        deadline = time.monotonic() + seconds
        while not ask():
            self.check()
            if time.monotonic() > deadline:
                raise RuntimeError(f"not at the end after {seconds:.0f} s")
            time.sleep(look_seconds)

    def samples(self) -> Samples:
        """All of `/metrics`."""
        with urllib.request.urlopen(f"http://{self._address}/metrics", timeout=_ASK_SECONDS) as got:
            text = got.read().decode()
        found: dict[str, list[tuple[Mapping[str, str], float]]] = {}
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                found.setdefault(sample.name, []).append((sample.labels, sample.value))
        return found

    def flush(self) -> None:
        """End all open cuts now."""
        request = urllib.request.Request(f"http://{self._address}/flush", method="POST")
        urllib.request.urlopen(request, timeout=_ASK_SECONDS).close()  # noqa: S310 (loopback)

    def stop(self) -> None:
        """SIGTERM; raises RuntimeError where that is not a clean stop."""
        self._signal(signal.SIGTERM)
        assert self._process is not None
        status = self._process.wait(STOP_SECONDS)
        if status:
            raise RuntimeError(f"the sink ended with status {status}:\n{self._tail()}")

    def kill(self) -> None:
        """Whatever its state; for the way out of a failed measurement."""
        self._signal(signal.SIGKILL)
        if self._process is not None:
            self._process.wait()

    def _signal(self, number: int) -> None:
        if self._process is not None and self._process.poll() is None:
            os.killpg(self._process.pid, number)

    def _tail(self) -> str:
        return self._log.read_text(errors="replace")[-3000:]


def total(samples: Samples, name: str) -> float:
    """Sum over all labels; 0 where there is no sample."""
    return sum(value for _, value in samples.get(name, ()))


def _section(settings: Mapping[str, object], name: str) -> dict[str, object]:
    section = settings.get(name, {})
    assert isinstance(section, dict)
    return section
