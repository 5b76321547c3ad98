"""`spoolsink run` as a process, its signals, and what its admin port says.

Nothing here waits for a length of time: `eventually` asks until something is so, and its deadline
is only a net.
"""

import asyncio
import http.client
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import aiohttp
import yaml

ROOT = Path(__file__).parents[2]
DEADLINE_SECONDS = 40.0
_ASK_SECONDS = 0.1
_LOG_TAIL = 4000
_FAULTS = re.compile(
    r"Traceback|a fault of spoolsink|never retrieved|never awaited|Unclosed|ResourceWarning"
)
_MOVED = re.compile(r"spoolsink_(?!.*_(bucket|created)\b)\S+ (?!0\.0$)\S+")


Overrides = Mapping[str, Any]


def merged(base: Overrides, over: Overrides) -> dict[str, Any]:
    """`over` laid upon `base`, section by section."""
    result = dict(base)
    for name, value in over.items():
        before = result.get(name)
        both = isinstance(before, Mapping) and isinstance(value, Mapping)
        result[name] = merged(before, value) if both else value  # type: ignore[arg-type]
    return result


async def eventually(
    claim: str,
    ask: Callable[[], Awaitable[bool]],
    *,
    seconds: float = DEADLINE_SECONDS,
    more: Callable[[], str] = str,
) -> None:
    """Ask until it is so; AssertionError with the claim and `more()` behind the deadline."""
    deadline = time.monotonic() + seconds
    while not await ask():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds:.0f} s: {claim}\n{more()}")
        await asyncio.sleep(_ASK_SECONDS)


class SinkProcess:
    """`spoolsink run` as a process; started as often as a test likes, on one configuration."""

    def __init__(self, config: Path, spool: Path, log: Path) -> None:
        self.config, self.spool, self.log = config, spool, log
        self._process: subprocess.Popen[bytes] | None = None

    def start(
        self,
        environ: Mapping[str, str] | None = None,
        *,
        keeps_address: bool = False,
        within: Sequence[str] = (),
    ) -> None:
        """The address of an earlier run is taken away first, so that it is never asked.

        `keeps_address`: it is that of a process which owns the spool. `within`: a command that
        becomes the sink (`exec`), so that signals reach it.
        """
        if not keeps_address and self.spool.is_dir():
            self._address.unlink(missing_ok=True)
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [
                    *within,
                    sys.executable,
                    "-W",
                    "always::ResourceWarning",
                    "-m",
                    "spoolsink",
                    "run",
                    str(self.config),
                ],
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **(environ or {})},
            )

    async def started(self, turn: asyncio.Semaphore) -> None:
        """Up to its admin port, in turn: many that start at once starve each other."""
        async with turn:
            self.start()
            await self.until_logged("admin port:")

    def reconfigure(self, overrides: Overrides) -> None:
        """Another file for the same process; where it runs, SIGHUP makes it read the file."""
        before = yaml.safe_load(self.config.read_text())
        self.config.write_text(yaml.safe_dump(merged(before, overrides)))
        self.send(signal.SIGHUP)

    @property
    def pid(self) -> int:
        """Of the process that was started last."""
        assert self._process is not None
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Whether it has not ended."""
        return self._process is not None and self._process.poll() is None

    def resident_bytes(self) -> int:
        """Memory that it takes now."""
        ps = ["ps", "-o", "rss=", "-p", str(self.pid)]
        return int(subprocess.run(ps, capture_output=True, check=True).stdout) * 1024

    def text(self) -> str:
        """Everything that it has logged, over all its runs."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def tail(self) -> str:
        """The end of the log and what the process says of itself, for a failure's message."""
        return f"--- {self.log.name}\n{self.text()[-_LOG_TAIL:]}\n{self._says()}"

    def _says(self) -> str:
        """Every metric that is not zero; "" where nobody answers."""
        if not self._address.exists() or not self.is_running:
            return ""
        try:
            host, port = self._address.read_text().strip().rsplit(":", 1)
            connection = http.client.HTTPConnection(host, int(port), timeout=5)
            connection.request("GET", "/metrics")
            lines = connection.getresponse().read().decode().splitlines()
            connection.close()
        except (OSError, ValueError, http.client.HTTPException):
            return ""
        return "\n".join(line for line in lines if _MOVED.fullmatch(line))

    def faults(self) -> list[str]:
        """Lines of the log that only a bug writes."""
        return [line for line in self.text().splitlines() if _FAULTS.search(line)]

    # -- signals -------------------------------------------------------------------------------

    def terminate(self) -> None:
        """SIGTERM."""
        self.send(signal.SIGTERM)

    def suspend(self) -> None:
        """SIGSTOP: a long pause of the whole machine, as far as the process can tell."""
        self.send(signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT."""
        self.send(signal.SIGCONT)

    def kill(self) -> None:
        """SIGKILL, and wait for its end."""
        self.send(signal.SIGCONT)
        self.send(signal.SIGKILL)
        if self._process is not None:
            self._process.wait(10)

    def send(self, number: int) -> None:
        """Any signal; nothing where it has ended."""
        if self.is_running:
            os.kill(self.pid, number)

    async def ended(self, *, seconds: float = DEADLINE_SECONDS) -> int:
        """Its exit status (negative: the signal that killed it)."""

        async def is_over() -> bool:
            return not self.is_running

        await eventually("the process has ended", is_over, seconds=seconds, more=self.tail)
        assert self._process is not None
        return int(self._process.returncode)

    async def stopped(self) -> None:
        """SIGTERM, and a clean end."""
        self.terminate()
        status = await self.ended()
        assert status == 0, self.tail()

    # -- the admin port ------------------------------------------------------------------------

    @property
    def _address(self) -> Path:
        return self.spool / "admin.address"

    async def ask(self, path: str, method: str = "GET") -> tuple[int, str]:
        """Status and body; status 0 where nobody answers."""
        if not self._address.exists() or not self.is_running:
            return 0, ""
        url = f"http://{self._address.read_text().strip()}{path}"
        limit = aiohttp.ClientTimeout(total=40)
        try:
            async with (
                aiohttp.ClientSession(timeout=limit) as session,
                session.request(method, url) as answer,
            ):
                return answer.status, await answer.text()
        except (aiohttp.ClientError, TimeoutError, ValueError):
            return 0, ""

    async def metric(self, name: str, **labels: str) -> float:
        """The sum of `spoolsink_<name>` over the samples that have these labels; 0 for none."""
        wanted = {f'{label}="{value}"' for label, value in labels.items()}
        total = 0.0
        for line in (await self.ask("/metrics"))[1].splitlines():
            match = re.fullmatch(r"spoolsink_(\w+)(?:\{(.*)\})? (\S+)", line)
            if match and match[1] == name and wanted <= set((match[2] or "").split(",")):
                total += float(match[3])
        return total

    async def ready(self) -> None:
        """Joined, with neither Kafka nor S3 failing."""
        await self.until("/readyz answers 200", lambda: self._answers(200))

    async def not_ready(self, *words: str) -> str:
        """The body of a 503 that holds these words."""
        found = ""

        async def says_so() -> bool:
            nonlocal found
            status, found = await self.ask("/readyz")
            return status == 503 and all(word in found for word in words)

        await self.until(f"/readyz answers 503 with {words}", says_so)
        return found

    async def _answers(self, status: int) -> bool:
        return (await self.ask("/readyz"))[0] == status

    async def until(
        self,
        claim: str,
        ask: Callable[[], Awaitable[bool]],
        *,
        seconds: float = DEADLINE_SECONDS,
    ) -> None:
        """`eventually`, with the log's end in the message; no longer than the process lives."""

        async def is_so() -> bool:
            was_running = self.is_running
            found = await ask()
            assert found or was_running, f"ended before: {claim}\n{self.tail()}"
            return found

        await eventually(claim, is_so, seconds=seconds, more=self.tail)

    async def until_metric(self, name: str, at_least: float, **labels: str) -> None:
        """Until the metric is as high."""

        async def is_so() -> bool:
            return await self.metric(name, **labels) >= at_least

        await self.until(f"{name}{labels or ''} >= {at_least}", is_so)

    async def until_logged(self, words: str, times: int = 1) -> None:
        """Until the log has the words so often, over all runs."""

        async def is_so() -> bool:
            return self.text().count(words) >= times

        await self.until(f"logged: {words}", is_so)

    async def status(self) -> dict[str, Any]:
        """Of the connector, as Kafka Connect tells it."""
        name = yaml.safe_load(self.config.read_text())["name"]
        code, body = await self.ask(f"/connectors/{name}/status")
        found: dict[str, Any] = json.loads(body) if code == 200 else {}
        return found

    async def until_failed(self, *words: str) -> str:
        """The trace of a status FAILED that holds these words."""
        trace = ""

        async def is_so() -> bool:
            nonlocal trace
            found = (await self.status()).get("connector", {})
            trace = found.get("trace") or ""
            return found.get("state") == "FAILED" and all(word in trace for word in words)

        await self.until(f"FAILED with {words}", is_so)
        return trace

    async def flushed(self) -> None:
        """POST /flush and wait until everything open is committed."""
        status, body = await self.ask("/flush?wait=30s", "POST")
        assert status == 200, (status, body, self.tail())
