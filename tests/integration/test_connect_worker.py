"""Kafka Connect's own answers beside ours: a real standalone worker with a sink of one task.

Both have the same name and topic. Every call goes to both, and what comes back must agree: status,
keys, types, and the words that scripts look at. What is otherwise on purpose is listed here.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
import pytest

from tests.integration.harness import Bench, SinkProcess, eventually
from tests.integration.producing import documents, produce
from tests.servers.connect_worker import ConnectWorker
from tests.servers.processes import KafkaServer

EXACT = {
    *("name", "state", "type", "id", "connector", "task", "tasks", "topics", "tasks.max"),
    *("kafka_cluster_id", "kafka_topic", "kafka_partition", "kafka_offset"),
    *("error_code", "message"),
}
"""Keys whose values must be the same. Of others the type must be."""

OF_CONFIG = {"name", "connector.class", "tasks.max", "topics", "task.class"}
"""The rest of a configuration is each connector's own."""

ONE = "/connectors/{name}"
READS = (
    *("/", "/connectors", "/connectors/", "/connectors?expand=status&expand=info"),
    *("/connectors?expand=info", "/connectors?expand=colour", "/connectors?expand="),
    *(ONE, f"{ONE}/", f"{ONE}/config", f"{ONE}/status", f"{ONE}/tasks", f"{ONE}/tasks/0/status"),
    *(f"{ONE}/tasks/00/status", f"{ONE}/topics", f"{ONE}/offsets"),
    *(f"{ONE}/tasks/1/status", f"{ONE}/tasks/-1/status", f"{ONE}/tasks/x/status"),
    *(f"{ONE}/tasks/0", f"{ONE}/tasks-config", f"{ONE}/nothing", "/nothing"),
    *("/connectors/x", "/connectors/x/config", "/connectors/x/status", "/connectors/x/tasks"),
    *("/connectors/x/tasks/0/status", "/connectors/x/offsets"),
)
OF_NOBODY = (
    *("PUT /connectors/x/pause", "PUT /connectors/x/resume"),
    *("HEAD /connectors/x", "HEAD /connectors"),
    *("DELETE /connectors/x", "DELETE /connectors/x/offsets", "PATCH /connectors/x/config"),
)
WRONG_METHODS = (
    *("POST /", "PUT /", "DELETE /", "PUT /connectors", "DELETE /connectors"),
    *(f"{method} {ONE}" for method in ("POST", "PUT", "PATCH")),
    *(
        f"{method} {ONE}/{read}"
        for read in ("status", "tasks/0/status", "topics")
        for method in ("POST", "PUT", "DELETE", "PATCH")
    ),
    *(
        f"{method} {ONE}/{change}"
        for change in ("pause", "resume", "stop")
        for method in ("GET", "POST", "DELETE")
    ),
    *(f"{method} {ONE}/restart" for method in ("GET", "PUT", "DELETE")),
    *(f"{method} {ONE}/tasks/0/restart" for method in ("GET", "PUT", "DELETE")),
)
OTHERWISE = {
    "GET /connectors/x/topics": (200, 404),  # an unknown name is a 404, whatever is asked
    "PUT /connectors/x/stop": (500, 404),
    "POST /connectors/x/restart": (500, 404),
    "PUT /connectors/x/config": (500, 404),  # with a body Connect makes the connector
    "PATCH /connectors/x/offsets": (500, 404),
    "POST /connectors/x/tasks/0/restart": (500, 404),
    f"POST {ONE}/tasks": (500, 405),  # between workers
    f"DELETE {ONE}/offsets": (400, 405),  # the configuration is a file, offsets are the group's
    f"PATCH {ONE}/offsets": (500, 405),
    f"PUT {ONE}/config": (500, 405),
    "POST /connectors": (500, 405),
    "OPTIONS /connectors": (200, 405),
}
"""Status of Connect, and ours."""


class Told(NamedTuple):
    """What one of them said."""

    status: int
    content: Any

    @property
    def states(self) -> list[str]:
        """Of the connector and its tasks."""
        of_tasks = [task["state"] for task in self.content.get("tasks", [])]
        return [self.content["connector"]["state"], *of_tasks]


class Both:
    """The worker, the sink, and a client."""

    def __init__(self, worker: ConnectWorker, address: str, client: aiohttp.ClientSession) -> None:
        self._urls = (worker.url, f"http://{address}")
        self._client = client
        self.name = worker.sink

    async def _ask(self, url: str, call: str) -> Told:
        method, path = call.format(name=self.name).split(" ", 1)
        # As Connect's own clients do: `/` is a page otherwise, and a PUT to Connect a 415.
        headers = {"Accept": "application/json", "Content-Type": "application/json"}
        async with self._client.request(method, url + path, headers=headers) as answer:
            text = await answer.text()
            if answer.status < 300 and text:
                assert answer.content_type == "application/json", call
            return Told(answer.status, json.loads(text) if text else None)

    async def ask(self, call: str) -> tuple[Told, Told]:
        return (await self._ask(self._urls[0], call), await self._ask(self._urls[1], call))

    async def agree(self, *calls: str) -> None:
        """On every call; all that they do not agree on is told at once."""
        found = {}
        for call in calls:
            theirs, ours = await self.ask(call)
            is_config = ours.status == 200 and call.endswith("/config")
            shapes = [shape(told.content, "config" * is_config) for told in (theirs, ours)]
            if ours.status != theirs.status or shapes[0] != shapes[1]:
                found[call] = theirs, ours
        assert not found

    async def until(self, connector: str, *tasks: str, has_tasks: bool = True) -> None:
        """Both are in these states; without `has_tasks` those of the tasks do not matter."""
        found: tuple[Told, Told] | None = None

        async def are_so() -> bool:
            nonlocal found
            found = await self.ask(f"GET {ONE}/status")
            wanted = [connector, *tasks]
            return all(
                told.status == 200 and (told.states if has_tasks else told.states[:1]) == wanted
                for told in found
            )

        await eventually(f"both are {connector} {tasks}", are_so, more=lambda: str(found))


def shape(value: Any, key: str = "") -> Any:
    """What has to agree of it."""
    if key == "config":
        assert all(isinstance(one, str) for one in value.values())
        value = {name: one for name, one in value.items() if name in OF_CONFIG}
    if isinstance(value, dict):
        return {name: shape(one, name) for name, one in sorted(value.items())}
    if isinstance(value, list):
        # Connect's lists of offsets are in no order.
        return sorted((shape(one, key) for one in value), key=str)
    if key == "worker_id":
        host, _, port = value.rpartition(":")
        return host, port.isdigit()
    return value if key in EXACT else type(value).__name__


@pytest.fixture
def worker(kafka: KafkaServer, bench: Bench, tmp_path: Path) -> Iterator[ConnectWorker]:
    """Not started yet: its topic has to be there."""
    directory = tmp_path / "connect"
    directory.mkdir()
    found = ConnectWorker(directory, kafka.bootstrap_servers, sink=bench.name, topic=bench.name)
    yield found
    found.stop()


async def both_running(bench: Bench, worker: ConnectWorker) -> SinkProcess:
    topic = await bench.topic(2)
    await produce(bench.kafka.bootstrap_servers, topic, documents(10, partitions=2))
    sink = bench.sink({"rotate": {"records": 5}})
    sink.start()
    worker.start()
    await sink.ready()
    return sink


async def test_every_route_answers_as_kafka_connect_does(
    bench: Bench, worker: ConnectWorker
) -> None:
    sink = await both_running(bench, worker)
    async with aiohttp.ClientSession() as client:
        both = Both(worker, (sink.spool / "admin.address").read_text().strip(), client)
        await both.until("RUNNING", "RUNNING")

        async def offsets_agree() -> bool:
            theirs, ours = await both.ask(f"GET {ONE}/offsets")
            offsets = [shape(told.content)["offsets"] for told in (theirs, ours)]
            return len(offsets[0]) == 2 and offsets[0] == offsets[1]

        await eventually("both have committed everything", offsets_agree)
        await both.agree(*(f"GET {path}" for path in READS))
        await both.agree(*OF_NOBODY, *WRONG_METHODS)
        # What Connect does not know as a method it refuses before it looks for the connector.
        await both.agree(*(call.format(name="x") for call in WRONG_METHODS))
        for call, statuses in OTHERWISE.items():
            theirs, ours = await both.ask(call)
            assert (theirs.status, ours.status) == statuses, (call, theirs, ours)
        await transitions(both)
    await sink.stopped()


async def transitions(both: Both) -> None:
    """Pause, resume, restart and stop, each out of each state that it can be asked in."""
    await both.agree(f"PUT {ONE}/pause")
    await both.until("PAUSED", "PAUSED")
    await both.agree(f"PUT {ONE}/pause", f"GET {ONE}/tasks/0/status", f"POST {ONE}/restart")
    await both.until("PAUSED", "PAUSED")
    await both.agree(f"POST {ONE}/tasks/0/restart")
    await both.until("PAUSED", "PAUSED")
    await both.agree(f"PUT {ONE}/resume")
    await both.until("RUNNING", "RUNNING")
    await both.agree(f"PUT {ONE}/resume", f"POST {ONE}/restart?includeTasks=true&onlyFailed=true")
    for query in ("includeTasks=true", "includeTasks=TRUE", "onlyFailed=true"):
        await both.agree(f"POST {ONE}/restart?{query}")
        await both.until("RUNNING", "RUNNING")
    for query in ("includeTasks=1", "includeTasks=false", "onlyFailed=yes", "colour=red"):
        await both.agree(f"POST {ONE}/restart?{query}")
    await both.until("RUNNING", "RUNNING")
    await both.agree(f"PUT {ONE}/stop")
    await both.until("STOPPED")
    await both.agree(f"PUT {ONE}/stop", *(f"GET {path}" for path in READS))
    await both.agree(f"POST {ONE}/restart")
    await both.until("STOPPED")
    await both.agree(f"PUT {ONE}/pause")
    # A standalone worker makes the tasks at the resume; ours is there, and paused, at once.
    await both.until("PAUSED", has_tasks=False)
    await both.agree(f"PUT {ONE}/stop")
    await both.until("STOPPED")
    await both.agree(f"PUT {ONE}/resume")
    await both.until("RUNNING", "RUNNING")
    # Last: Connect shows a failed task of that number from then on.
    await both.agree(f"POST {ONE}/tasks/7/restart", f"POST {ONE}/tasks/x/restart")
