"""Kafka Connect's REST: shapes, statuses, and the flat configuration."""

import json
from dataclasses import replace

import pytest

from spoolsink import __version__, logs
from spoolsink.connect_rest import Answer, ConnectRest, flat
from spoolsink.errors import ConfigError, SpoolsinkError
from tests.unit.fake_sink import SECRET, SNAPSHOT, FakeSink, make_config

WORKER = "127.0.0.1:8083"
STATE = {"state": "RUNNING", "worker_id": WORKER, "version": __version__}
STATUS = {
    "name": "sink",
    "connector": STATE,
    "tasks": [{"id": 0, **STATE}],
    "type": "sink",
}


async def ask(sink: FakeSink, call: str, **query: list[str]) -> Answer:
    """The answer to `GET /connectors/{connector}/status`, for the connector `sink` and task 0."""
    return await ask_for(sink, call, {"connector": "sink", "task": "0"}, **query)


async def ask_for(sink: FakeSink, call: str, path: dict[str, str], **query: list[str]) -> Answer:
    method, template = call.split(" ")
    for route in ConnectRest(sink, lambda: WORKER).routes():
        if (route.method, route.template) == (method, template):
            named = {name: value for name, value in path.items() if f"{{{name}}}" in template}
            return await route.handler(named, query)
    pytest.fail(f"no route {call}")


ONE = "/connectors/{connector}"
TASK = f"{ONE}/tasks/{{task}}"


async def test_the_list_has_the_one_name() -> None:
    assert await ask(FakeSink(), "GET /connectors") == Answer(200, ["sink"])


async def test_the_list_can_be_expanded_and_passes_by_what_it_does_not_know() -> None:
    sink = FakeSink()
    answer = await ask(sink, "GET /connectors", expand=["status", "info", "colour"])
    info = (await ask(sink, f"GET {ONE}")).content
    assert answer == Answer(200, {"sink": {"status": STATUS, "info": info}})


async def test_info_has_config_and_tasks() -> None:
    sink = FakeSink()
    config = (await ask(sink, f"GET {ONE}/config")).content
    assert (await ask(sink, f"GET {ONE}")).content == {
        "name": "sink",
        "config": config,
        "tasks": [{"connector": "sink", "task": 0}],
        "type": "sink",
    }
    assert isinstance(config, dict)
    assert (await ask(sink, f"GET {ONE}/tasks")).content == [
        {
            "id": {"connector": "sink", "task": 0},
            "config": {**config, "task.class": "spoolsink"},
        }
    ]


async def test_status_is_that_of_connector_and_task() -> None:
    sink = FakeSink()
    assert (await ask(sink, f"GET {ONE}/status")).content == STATUS
    assert (await ask(sink, f"GET {TASK}/status")).content == {"id": 0, **STATE}


async def test_a_failed_sink_has_a_trace_without_secrets(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sink = FakeSink()
    monkeypatch.setattr(logs, "_hidden", {})
    logs.hide(SECRET)
    sink.state, sink.fault = "FAILED", f"PutObject: AccessDenied: {SECRET}"
    failed = {**STATE, "state": "FAILED", "trace": "PutObject: AccessDenied: ***"}
    assert (await ask(sink, f"GET {ONE}/status")).content == {
        **STATUS,
        "connector": failed,
        "tasks": [{"id": 0, **failed}],
    }


async def test_a_running_sink_has_no_trace_even_if_it_remembers_one() -> None:
    sink = FakeSink()
    sink.fault = "of yesterday"
    assert (await ask(sink, f"GET {ONE}/status")).content == STATUS


async def test_a_stopped_sink_has_no_tasks() -> None:
    sink = FakeSink()
    sink.state = "STOPPED"
    stopped = {**STATE, "state": "STOPPED"}
    assert (await ask(sink, f"GET {ONE}/status")).content == {
        **STATUS,
        "connector": stopped,
        "tasks": [],
    }
    assert (await ask(sink, f"GET {ONE}/tasks")).content == []
    assert (await ask(sink, f"GET {TASK}/status")).status == 404


async def test_topics_and_offsets_are_those_of_the_assigned_topic_partitions() -> None:
    sink = FakeSink()
    assert (await ask(sink, f"GET {ONE}/topics")).content == {
        "sink": {"topics": ["audit", "orders"]}
    }
    assert (await ask(sink, f"GET {ONE}/offsets")).content == {
        "offsets": [
            {
                "partition": {"kafka_topic": "orders", "kafka_partition": 0},
                "offset": {"kafka_offset": 90},
            }
        ]
    }


@pytest.mark.parametrize(
    ("call", "status", "state"),
    [
        (f"PUT {ONE}/pause", 202, "PAUSED"),
        (f"PUT {ONE}/resume", 202, "RUNNING"),
        (f"PUT {ONE}/stop", 204, "STOPPED"),
        (f"POST {ONE}/restart", 204, "RUNNING"),
        (f"POST {TASK}/restart", 204, "RUNNING"),
    ],
)
async def test_an_operation_is_done_when_it_is_answered(call: str, status: int, state: str) -> None:
    sink = FakeSink()
    assert await ask(sink, call) == Answer(status)
    assert sink.calls == [call.rpartition("/")[2]]
    assert sink.state == state


@pytest.mark.parametrize("option", ["includeTasks", "onlyFailed"])
async def test_a_restart_with_an_option_answers_with_what_restarts(option: str) -> None:
    sink = FakeSink()
    sink.state, sink.fault = "FAILED", "s3: NoSuchBucket"
    failed = {**STATE, "state": "FAILED", "trace": sink.fault}
    restarting = {**failed, "state": "RESTARTING"}
    task = restarting if option == "includeTasks" else failed
    assert await ask(sink, f"POST {ONE}/restart", **{option: ["true"]}) == Answer(
        202, {**STATUS, "connector": restarting, "tasks": [{"id": 0, **task}]}
    )
    assert await ask(sink, f"POST {ONE}/restart", **{option: ["false"]}) == Answer(204)
    assert sink.calls == ["restart", "restart"]


async def test_only_what_has_failed_is_restarted_when_asked_so() -> None:
    sink = FakeSink()
    query = {"includeTasks": ["true"], "onlyFailed": ["true"]}
    assert await ask(sink, f"POST {ONE}/restart", **query) == Answer(202, STATUS)
    assert sink.calls == []


@pytest.mark.parametrize("query", [{}, {"includeTasks": ["true"]}])
async def test_a_restart_with_a_bad_file_is_refused_with_its_problems(
    query: dict[str, list[str]],
) -> None:
    sink = FakeSink()
    sink.refusal = ConfigError(["sink.yaml:3: colour: unknown key", "sink.yaml:4: s3: required"])
    answer = await ask(sink, f"POST {ONE}/restart", **query)
    message = "sink.yaml:3: colour: unknown key\nsink.yaml:4: s3: required"
    assert answer == Answer(400, {"error_code": 400, "message": message})
    assert sink.calls == []


async def test_an_operation_that_fails_says_why() -> None:
    sink = FakeSink()
    sink.refusal = SpoolsinkError("the group does not answer")
    assert await ask(sink, f"PUT {ONE}/stop") == Answer(
        500, {"error_code": 500, "message": "the group does not answer"}
    )


def all_of_one() -> list[str]:
    routes = ConnectRest(FakeSink(), lambda: WORKER).routes()
    return [f"{r.method} {r.template}" for r in routes if "{connector}" in r.template]


MESSAGES = {
    f"GET {ONE}/status": "No status found for connector x",
    f"GET {TASK}/status": "No status found for task x-0",
    f"PUT {ONE}/pause": "Unknown connector x",
    f"PUT {ONE}/resume": "Unknown connector x",
    f"POST {TASK}/restart": "Task x-0 not found",
}


async def test_another_name_is_not_found_anywhere_and_changes_nothing() -> None:
    sink = FakeSink()
    for call in all_of_one():
        answer = await ask_for(sink, call, {"connector": "x", "task": "0"})
        message = MESSAGES.get(call, "Connector x not found")
        assert answer == Answer(404, {"error_code": 404, "message": message}), call
    assert sink.calls == []


@pytest.mark.parametrize("task", ["1", "x", "-1", "", "9" * 10])
async def test_another_task_is_not_found(task: str) -> None:
    sink = FakeSink()
    for call in (f"GET {TASK}/status", f"POST {TASK}/restart"):
        answer = await ask_for(sink, call, {"connector": "sink", "task": task})
        assert answer.status == 404
    assert sink.calls == []


async def test_a_number_of_a_task_is_a_number() -> None:
    answer = await ask_for(FakeSink(), f"GET {TASK}/status", {"connector": "sink", "task": "00"})
    assert answer == Answer(200, {"id": 0, **STATE})


async def test_a_stopped_sink_still_has_the_topics_and_offsets_that_it_left() -> None:
    sink = FakeSink()
    topics, offsets = [(await ask(sink, f"GET {ONE}/{what}")).content for what in WHAT_IS_LEFT]
    sink.state = "STOPPED"
    sink.shown = replace(SNAPSHOT, rows=(), former_rows=SNAPSHOT.rows)
    assert [(await ask(sink, f"GET {ONE}/{what}")).content for what in WHAT_IS_LEFT] == [
        topics,
        offsets,
    ]


WHAT_IS_LEFT = ("topics", "offsets")


def test_the_configuration_is_flat_text_with_what_connects_scripts_look_for() -> None:
    shown = flat(make_config(), [])
    assert all(isinstance(value, str) for value in shown.values())
    wanted = {
        "name": "sink",
        "connector.class": "spoolsink",
        "tasks.max": "1",
        "topics": "orders,audit",
        "kafka.topics": "orders,audit",
        "kafka.session_timeout": "30s",
        "rotate.max_age": "10m",
        "rotate.bytes": "1GiB",
        "s3.part_size": "8MiB",
        "s3.abort_uploads_after": "1d",
        "spool.pause_at": "0.9",
        "s3.uploads": "4",
        "layout.topic_directory": "true",
    }
    assert wanted.items() <= shown.items()
    assert "s3.region" not in shown


def test_odd_durations_and_sizes_can_be_read_back() -> None:
    config = make_config(
        shutdown_grace="1500ms",
        rotate={"max_age": "90s", "bytes": "1500B"},
        spool={"min_free_bytes": "0B"},
    )
    shown = flat(config, [])
    assert shown["shutdown_grace"] == "1500ms"
    assert shown["rotate.max_age"] == "90s"
    assert shown["rotate.bytes"] == "1500B"
    assert shown["spool.min_free_bytes"] == "0B"


def test_a_pattern_stands_with_the_topics_that_it_found() -> None:
    config = make_config(kafka={"bootstrap_servers": ["b:1"], "topics_pattern": "or.*"})
    shown = flat(config, ["orders"])
    assert (shown["topics"], shown["kafka.topics_pattern"]) == ("orders", "or.*")


def test_no_secret_is_in_the_configuration() -> None:
    config = make_config(
        kafka={
            "bootstrap_servers": ["b:1"],
            "topics": ["t"],
            "security": {"password": SECRET, "key_password": SECRET, "oauth_client_secret": SECRET},
        },
        records={
            "value_options": {
                "registry": {"token": SECRET, "url": f"http://me:{SECRET}@registry"},
                "credentials": {"user": "u", "pass": SECRET},
                "list": [{"password": SECRET}],
            },
            "schema_registry": {"url": f"http://me:{SECRET}@registry/", "password": SECRET},
        },
        s3={
            "bucket": "b",
            "secret_access_key": SECRET,
            "session_token": SECRET,
            "proxy_url": f"http://me:{SECRET}@proxy",
        },
        admin={"token": SECRET},
    )
    shown = flat(config, [])
    assert SECRET not in json.dumps(shown)
    assert shown["s3.secret_access_key"] == "***"
    assert shown["records.schema_registry.url"] == "http://***@registry/"
    assert shown["records.value_options.credentials.user"] == "***"
