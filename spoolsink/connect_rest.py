"""Kafka Connect's REST, the subset that scripts use, for the one connector that this process is.

Shapes and messages follow Kafka Connect 4.1 (`ConnectorsResource`, `ConnectorStateInfo`). There is
one task, 0; a stopped connector has none. Nothing of HTTP here: paths and queries come in as
mappings, answers go out as status and plain data. Every error of the whole admin port has Connect's
form, hence `refusal` lives here.
"""

import re
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, get_args

from spoolsink import __version__
from spoolsink.config_model import Config
from spoolsink.config_types import Duration, Section, Size, SizeOrZero
from spoolsink.errors import ConfigError, SpoolsinkError
from spoolsink.logs import redact
from spoolsink.status import Operated, Snapshot, TopicPartitionStatus

TASK = 0
MASK = "***"

_CLASS = "spoolsink"
_CONNECTOR_NOT_FOUND = "Connector {name} not found"
# What Connect 4.1 says where it does not say that (tests/integration/test_connect_worker.py).
_UNKNOWN = "Unknown connector {name}"
_NO_STATUS = "No status found for connector {name}"
_NO_TASK_STATUS = "No status found for task {name}-{task}"
_NO_TASK = "Task {name}-{task} not found"
_ONE = "/connectors/{connector}"
_ONLY_CONNECTS = {
    ("DELETE", _ONE),
    ("PUT", f"{_ONE}/config"),
    ("PATCH", f"{_ONE}/config"),
    ("POST", f"{_ONE}/tasks"),
    ("DELETE", f"{_ONE}/offsets"),
    ("PATCH", f"{_ONE}/offsets"),
}
"""What Connect can do and we cannot: it looks for the connector first."""
_TASK_NUMBER = re.compile(r"-?[0-9]{1,9}")

_SECRET_OPTION = re.compile(r"password|passwd|secret|token|credential|key", re.IGNORECASE)
_USER_OF_URL = re.compile(r"://[^/@\s]+@")
_DURATION_UNITS = (("d", 86_400.0), ("h", 3600.0), ("m", 60.0), ("s", 1.0))
_SIZE_UNITS = (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10))


class Answer(NamedTuple):
    """What goes back: `content` is plain data for JSON, None for an empty body."""

    status: int
    content: object = None


Path = Mapping[str, str]
"""The names of a route's template with the segments that stand for them."""

Query = Mapping[str, Sequence[str]]
"""Every name of a query string with its values, in order."""

Handler = Callable[[Path, Query], Awaitable[Answer]]


class Route(NamedTuple):
    """`template` has `{names}`, each for one segment of the path."""

    method: str
    template: str
    handler: Handler


def refusal(status: int, message: str, **more: object) -> Answer:
    """An error as Connect answers it."""
    return Answer(status, {"error_code": status, "message": message, **more})


class ConnectRest:
    """Owned by the admin port. `worker_id` tells the address that it is bound to, host:port."""

    def __init__(self, sink: Operated, worker_id: Callable[[], str]) -> None:
        self._sink = sink
        self._worker_id = worker_id

    def routes(self) -> list[Route]:
        """Reads first, then what changes state."""
        one, task, sink = _ONE, "/tasks/{task}", self._sink
        return [
            Route("GET", "/connectors", self._connectors),
            Route("GET", one, self._read(self._info)),
            Route("GET", f"{one}/config", self._read(self._config)),
            Route("GET", f"{one}/status", self._read(self._status, _NO_STATUS)),
            Route("GET", f"{one}/tasks", self._read(self._tasks)),
            Route("GET", f"{one}{task}/status", self._read(self._task_status, _NO_TASK_STATUS)),
            Route("GET", f"{one}/topics", self._read(self._topics)),
            Route("GET", f"{one}/offsets", self._read(self._offsets)),
            Route("PUT", f"{one}/pause", self._operation(sink.pause, 202, _UNKNOWN)),
            Route("PUT", f"{one}/resume", self._operation(sink.resume, 202, _UNKNOWN)),
            Route("PUT", f"{one}/stop", self._operation(sink.stop, 204)),
            Route("POST", f"{one}/restart", self._restart),
            Route("POST", f"{one}{task}/restart", self._operation(sink.restart, 204, _NO_TASK)),
        ]

    def absent(self, method: str, template: str, path: Path) -> Answer | None:
        """The 404 that goes before a 405, for a method that Connect has on this route."""
        return self._unknown(path) if (method, template) in _ONLY_CONNECTS else None

    async def _connectors(self, _path: Path, query: Query) -> Answer:
        name = self._sink.config.name
        if "expand" not in query:
            return Answer(200, [name])
        reads = {"status": self._status, "info": self._info}
        # Connect passes by what it does not know.
        return Answer(200, {name: {w: reads[w]() for w in query["expand"] if w in reads}})

    async def _restart(self, path: Path, query: Query) -> Answer:
        """With one of Connect's options (KIP-745) the answer is the status, with what restarts.

        `onlyFailed` leaves alone what has not failed: cron jobs ask for that every minute.
        """
        with_tasks, only_failed = (
            query.get(option, [""])[0].lower() == "true"
            for option in ("includeTasks", "onlyFailed")
        )
        if unknown := self._unknown(path):
            return unknown
        status = self._status()
        if only_failed and self._sink.state != "FAILED":
            return Answer(202, status)
        answer = await self._operation(self._sink.restart, 204)(path, query)
        if not (with_tasks or only_failed) or answer.content is not None:
            return answer
        return Answer(202, _restarting(status, with_tasks=with_tasks))

    def _read(self, read: Callable[[], object], absent: str | None = None) -> Handler:
        async def handler(path: Path, _query: Query) -> Answer:
            return self._unknown(path, absent) or Answer(200, read())

        return handler

    def _operation(
        self, operate: Callable[[], Awaitable[None]], status: int, absent: str | None = None
    ) -> Handler:
        async def handler(path: Path, _query: Query) -> Answer:
            if unknown := self._unknown(path, absent):
                return unknown
            try:
                await operate()
            except ConfigError as error:
                return refusal(400, redact(str(error)))
            except SpoolsinkError as error:
                return refusal(500, redact(str(error)))
            return Answer(status)

        return handler

    def _unknown(self, path: Path, absent: str | None = None) -> Answer | None:
        """A 404 in Connect's words for this route: `absent`, else those of most routes."""
        name, task = path["connector"], path.get("task", str(TASK))
        if not _TASK_NUMBER.fullmatch(task):
            return refusal(404, "HTTP 404 Not Found")
        is_task_known = "task" not in path or int(task) in self._task_ids()
        if name == self._sink.config.name and is_task_known:
            return None
        return refusal(404, (absent or _CONNECTOR_NOT_FOUND).format(name=name, task=int(task)))

    def _task_ids(self) -> list[int]:
        return [] if self._sink.state == "STOPPED" else [TASK]

    def _info(self) -> object:
        name = self._sink.config.name
        tasks = [{"connector": name, "task": task} for task in self._task_ids()]
        return {"name": name, "config": self._config(), "tasks": tasks, "type": "sink"}

    def _config(self) -> dict[str, str]:
        return flat(self._sink.config, _topics_of(self._sink.snapshot()))

    def _status(self) -> dict[str, Any]:
        return {
            "name": self._sink.config.name,
            "connector": self._state(),
            "tasks": [{"id": task, **self._state()} for task in self._task_ids()],
            "type": "sink",
        }

    def _state(self) -> dict[str, str]:
        """The connector's and its task's alike: scripts look at the one or the other."""
        state = {
            "state": self._sink.state,
            "worker_id": self._worker_id(),
            "version": __version__,
        }
        trace = self._sink.trace() if self._sink.state == "FAILED" else None
        return state if not trace else {**state, "trace": redact(trace)}

    def _tasks(self) -> object:
        name = self._sink.config.name
        config = {**self._config(), "task.class": _CLASS}
        return [{"id": {"connector": name, "task": t}, "config": config} for t in self._task_ids()]

    def _task_status(self) -> object:
        return {"id": TASK, **self._state()}

    def _topics(self) -> object:
        return {self._sink.config.name: {"topics": _topics_of(self._sink.snapshot())}}

    def _offsets(self) -> object:
        offsets = [
            {
                "partition": {"kafka_partition": row.partition, "kafka_topic": row.topic},
                "offset": {"kafka_offset": row.committed},
            }
            for row in _rows_of(self._sink.snapshot())
            if row.committed is not None
        ]
        return {"offsets": offsets}


def flat(config: Config, assigned_topics: Sequence[str]) -> dict[str, str]:
    """The configuration as Connect shows one: dotted keys of the file, and what scripts look for.

    What is null is left out. Secrets, values of options that are named like one and users in URLs
    are masked. `assigned_topics` stands for a pattern, whose topics are not in the file.
    """
    topics = config.kafka.topics or assigned_topics
    return {
        "connector.class": _CLASS,
        "tasks.max": "1",
        "topics": ",".join(topics),
        **dict(_flat_section(config, "")),
    }


def _flat_section(section: Section, prefix: str) -> Iterator[tuple[str, str]]:
    for name, field in type(section).model_fields.items():
        value = getattr(section, name)
        if isinstance(value, Section):
            yield from _flat_section(value, f"{prefix}{name}.")
        elif isinstance(value, dict):
            yield from _flat_options(value, f"{prefix}{name}.")
        elif value is not None:
            # Of `Duration | None` the marks are inside, of `Duration` pydantic took them out.
            inside = [m for kind in get_args(field.annotation) for m in get_args(kind)[1:]]
            yield f"{prefix}{name}", _written(value, [*field.metadata, *inside])


def _flat_options(
    options: Mapping[object, object], prefix: str, *, is_secret: bool = False
) -> Iterator[tuple[str, str]]:
    for name, value in options.items():
        is_hidden = is_secret or _SECRET_OPTION.search(str(name)) is not None
        if isinstance(value, list) and any(isinstance(item, dict | list) for item in value):
            value = dict(enumerate(value))  # noqa: PLW2901 (the same options, with names)
        if isinstance(value, dict):
            yield from _flat_options(value, f"{prefix}{name}.", is_secret=is_hidden)
        elif value is not None:
            yield f"{prefix}{name}", MASK if is_hidden else _written(value, [])


def _written(value: object, marks: Sequence[object]) -> str:
    """As the file has it; the model knows durations as seconds and sizes as bytes only."""
    if hasattr(value, "get_secret_value"):
        return MASK
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and get_args(Duration)[1] in marks:
        return _in_units(value, _DURATION_UNITS, f"{value * 1000:g}ms")
    if isinstance(value, int) and any(get_args(kind)[1] in marks for kind in (Size, SizeOrZero)):
        return _in_units(value, _SIZE_UNITS, f"{value}B")
    if isinstance(value, list | tuple):
        return ",".join(_written(item, []) for item in value)
    # An item of `format.columns`.
    text = value.model_dump_json() if isinstance(value, Section) else str(value)
    return redact(_USER_OF_URL.sub(f"://{MASK}@", text))


def _in_units(value: float, units: Sequence[tuple[str, float]], otherwise: str) -> str:
    """In the largest unit that leaves a whole number."""
    for unit, factor in units:
        if value and value % factor == 0:
            return f"{value / factor:.0f}{unit}"
    return otherwise


def _topics_of(snapshot: Snapshot) -> list[str]:
    return sorted({row.topic for row in _rows_of(snapshot)})


def _rows_of(snapshot: Snapshot) -> Sequence[TopicPartitionStatus]:
    """Connect shows topics and offsets of a stopped connector too: those that it left."""
    return snapshot.rows or snapshot.former_rows


def _restarting(status: dict[str, Any], *, with_tasks: bool) -> dict[str, Any]:
    """The status, in Connect's word for what has been told to begin anew."""
    word = {"state": "RESTARTING"}
    tasks = [{**task, **word} if with_tasks else task for task in status["tasks"]]
    return {**status, "connector": {**status["connector"], **word}, "tasks": tasks}
