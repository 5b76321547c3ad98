"""The demo's child processes: started, watched, asked, ended; and what the two servers run.

1. A server tells its address in one line on standard output, and nothing else there.
2. A server ends with its standard input, so that it never outlives a demo that was killed.
3. Each child has a session of its own: a Ctrl-C reaches the demo alone, and the demo ends them.
"""

import asyncio
import json
import sys
from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, redirect_stdout
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlencode
from xml.etree import ElementTree as ET

from spoolsink.errors import SpoolsinkError
from spoolsink.logs import printable

TOPIC = "clicks"
BUCKET = "demo-bucket"

_START_SECONDS = 60.0
_ANSWER_SECONDS = 10
_LOG_LINES = 12
# The demo and its user read the objects by plain GETs.
_READABLE = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": "*",
                "Action": "s3:GetObject",
                "Resource": f"arn:aws:s3:::{BUCKET}/*",
            }
        ],
    }
)


class DemoError(SpoolsinkError):
    """The demo cannot go on; `lines` are the end of a child's log, where that tells why."""

    def __init__(self, message: str, lines: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.lines = lines


class NoAnswerError(DemoError):
    """A child did not answer, or not as it should."""


class Child:
    """One child process; made by `started`, which also ends it."""

    def __init__(self, name: str, process: asyncio.subprocess.Process, log: Path) -> None:
        self.name = name
        self.pid = process.pid
        self._process = process
        self._log = log
        self._is_asked_to_end = False

    async def address(self) -> str:
        """What a server says when it listens; raises DemoError when it does not come to that."""
        assert self._process.stdout is not None
        try:
            async with asyncio.timeout(_START_SECONDS):
                line = await self._process.stdout.readline()
        except TimeoutError as error:
            raise self.failed(f"did not listen within {_START_SECONDS:.0f} s") from error
        if not line:
            raise self.failed("ended while it started")
        return line.decode().strip()

    async def watch(self) -> None:
        """Raises DemoError when the process ends unasked; to be cancelled."""
        status = await self._process.wait()
        if self._is_asked_to_end:
            return
        how = f"signal {-status}" if status < 0 else f"exit status {status}"
        raise self.failed(f"ended by itself ({how})")

    async def stop(self, timeout_seconds: float) -> None:
        """SIGTERM; raises DemoError when the end is late, or no clean one."""
        self._is_asked_to_end = True
        self._process.terminate()
        try:
            async with asyncio.timeout(timeout_seconds):
                status = await self._process.wait()
        except TimeoutError as error:
            raise self.failed(f"did not stop within {timeout_seconds:.0f} s") from error
        if status:
            raise self.failed(f"stopped with exit status {status}")

    def failed(self, what: str) -> DemoError:
        """With the last lines of the child's log."""
        with self._log.open(errors="replace") as log:
            lines = [printable(line.rstrip("\n")) for line in deque(log, _LOG_LINES)]
        return DemoError(f"{self.name} {what}", lines)


@asynccontextmanager
async def started(
    name: str, arguments: Sequence[str], *, log: Path, environ: Mapping[str, str]
) -> AsyncIterator[Child]:
    """`python ARGUMENTS` until the context ends; then it is killed, for nothing of it is kept."""
    with log.open("wb") as stderr:
        process = await asyncio.create_subprocess_exec(
            # -P: a file in the user's directory must not stand in for a module.
            *(sys.executable, "-P", *arguments),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=stderr,
            env=environ,
            start_new_session=True,
        )
    try:
        yield Child(name, process, log)
    finally:
        if process.returncode is None:
            process.kill()
        # Not `wait` alone: the pipes are to be closed before the event loop is.
        await process.communicate()


# -- what is asked of the children ---------------------------------------------------------------


class Totals(NamedTuple):
    """The sink at one moment, by its `/status.json`; `holds` says why it waits, if it does."""

    is_ready: bool = False
    confirmed: int = 0
    """Records below the committed offsets: the logs begin at 0 and have no gaps."""
    objects: int = 0
    open_segments: int = 0
    holds: str = ""


async def totals_of(page: str) -> Totals:
    status = json.loads(await http_get(page, "/status.json"))
    return Totals(
        is_ready=status["is_ready"],
        confirmed=sum(row["committed"] or 0 for row in status["rows"]),
        objects=status["objects_total"],
        open_segments=status["spool_open_segments"],
        holds=", ".join(hold["reason"] for hold in status["holds"]),
    )


async def objects_in(s3: str) -> AsyncIterator[tuple[str, int]]:
    """Key and bytes of every object in the bucket, in the order of S3, a page at a time."""
    token = ""
    while True:
        query = {"list-type": "2"} | ({"continuation-token": token} if token else {})
        answer = await http_get(s3, f"/{BUCKET}?{urlencode(query)}")
        listed = ET.fromstring(answer)  # noqa: S314 (from our own child)
        for found in listed.iterfind("{*}Contents"):
            yield found.findtext("{*}Key", ""), int(found.findtext("{*}Size", "0"))
        token = listed.findtext("{*}NextContinuationToken", "")
        if not token:
            return


async def http_get(address: str, path: str) -> bytes:
    """The body; on a connection of its own, past any proxy of the environment."""

    def ask() -> bytes:
        connection = HTTPConnection(address, timeout=_ANSWER_SECONDS)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            if answer.status != 200:  # noqa: PLR2004 (HTTP's word for fine)
                raise NoAnswerError(f"http://{address}{path} answered {answer.status}")
            return answer.read()
        except (OSError, HTTPException) as error:
            raise NoAnswerError(f"http://{address}{path}: {error!r}") from error
        finally:
            connection.close()

    return await asyncio.to_thread(ask)


def memory_bytes(pid: int, name: str) -> int | None:
    """`VmRSS`, or `VmHWM` for the most so far; None where there is no /proc."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return None
    found = (line.split() for line in lines if line.startswith(f"{name}:"))
    return next((int(kibibytes) * 1024 for _, kibibytes, *_ in found), None)


# -- what the servers run ------------------------------------------------------------------------


def run_broker() -> None:
    """The mock cluster of librdkafka, in memory: about 5 MB for each topic partition."""
    from confluent_kafka import Producer  # noqa: PLC0415 (an extra)

    # It lives as long as the client that asked for it; the address is not used then.
    holder = Producer({"test.mock.num.brokers": 1, "bootstrap.servers": "unused:1"})
    # Asking for a topic makes it, with 4 topic partitions; the mock answers no CreateTopics.
    brokers = holder.list_topics(TOPIC, timeout=_ANSWER_SECONDS).brokers
    broker = next(iter(brokers.values()))
    _serve(f"{broker.host}:{broker.port}")


def run_s3() -> None:
    """The S3 of moto, in memory, with the bucket; it checks no credentials."""
    from moto.server import ThreadedMotoServer  # noqa: PLC0415 (an extra)

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    # It greets on standard output, where only the address belongs.
    with redirect_stdout(sys.stderr):
        server.start()
    host, port = server.get_host_and_port()
    connection = HTTPConnection(host, int(port), timeout=_ANSWER_SECONDS)
    for resource, body in ((BUCKET, None), (f"{BUCKET}?policy", _READABLE)):
        connection.request("PUT", f"/{resource}", body)
        connection.getresponse().read()
    connection.close()
    _serve(f"{host}:{port}")


def _serve(address: str) -> None:
    sys.stdout.write(f"{address}\n")
    sys.stdout.flush()
    sys.stdin.read()


if __name__ == "__main__":
    {"broker": run_broker, "s3": run_s3}[sys.argv[1]]()
