"""The admin port, with a real client on loopback: what it answers, and to whom."""

import asyncio
from collections.abc import AsyncIterator

import aiohttp
import pytest

from spoolsink import __version__, logs
from spoolsink.admin import Admin
from spoolsink.errors import AdminError
from tests.unit.admin_port import Open, is_error, ports
from tests.unit.fake_sink import SECRET, FakeSink


@pytest.fixture
async def open_port() -> AsyncIterator[Open]:
    async with ports() as begin:
        yield begin


async def test_metrics_are_prometheus_text(open_port: Open) -> None:
    port = await open_port()
    port.sink.metrics.counters["records"].labels("orders").inc(3)
    status, text = await port.ask("GET /metrics")
    assert status == 200
    assert port.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert 'spoolsink_records_total{topic="orders"} 3.0' in text
    assert "# TYPE spoolsink_lag_records gauge" in text


async def test_healthz_follows_the_tasks_and_not_the_holds(open_port: Open) -> None:
    port = await open_port()
    port.sink.health.fail("s3", "away", is_operator=True)
    assert await port.json("GET /healthz") == (200, {"status": "alive"})
    port.sink.alive = False
    assert is_error(await port.json("GET /healthz"), 503)


async def test_readyz_gives_the_reasons_without_secrets(
    open_port: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = await open_port()
    assert await port.json("GET /readyz") == (200, {"status": "ready"})
    monkeypatch.setattr(logs, "_hidden", {})
    logs.hide(SECRET)
    port.sink.health.fail("s3", f"PutObject s3://b/k: NoSuchBucket: {SECRET}")
    port.sink.health.fail("kafka", "away")
    answer = await port.json("GET /readyz")
    assert is_error(answer, 503)
    assert answer[1] == {
        "error_code": 503,
        "message": "kafka: away; s3: PutObject s3://b/k: NoSuchBucket: ***",
        "reasons": ["kafka: away", "s3: PutObject s3://b/k: NoSuchBucket: ***"],
    }


async def test_readyz_tells_also_what_holds_back_only_itself(open_port: Open) -> None:
    port = await open_port()
    port.sink.health.fail("topic orders", "it does not exist", is_partial=True)
    told = {"status": "ready", "notes": ["topic orders: it does not exist"]}
    assert await port.json("GET /readyz") == (200, told)


@pytest.mark.parametrize(
    "accept",
    ["application/json", "application/json, */*;q=0.1", "text/html;q=0.5,application/json"],
)
async def test_the_root_is_connects_version_for_who_wants_json(
    open_port: Open, accept: str
) -> None:
    port = await open_port()
    assert await port.json("GET /", {"Accept": accept}) == (
        200,
        {"version": __version__, "commit": "unknown", "kafka_cluster_id": "cluster-1"},
    )


@pytest.mark.parametrize(
    "accept", ["*/*", "text/html,application/xhtml+xml,*/*;q=0.8", "application/json;q=0", ";q=x"]
)
async def test_the_root_is_a_page_for_everybody_else(open_port: Open, accept: str) -> None:
    port = await open_port()
    status, text = await port.ask("GET /", {"Accept": accept})
    assert status == 200
    assert port.headers["Content-Type"] == "text/html; charset=utf-8"
    assert text.startswith("<!doctype html>")


async def test_a_flush_is_accepted_at_once(open_port: Open) -> None:
    port = await open_port()
    assert (await port.json("POST /flush"))[0] == 202
    assert port.sink.flushes == 1


async def test_a_flush_can_be_waited_for(open_port: Open) -> None:
    port = await open_port()
    asking = asyncio.create_task(port.json("POST /flush?wait=30s"))
    await port.sink.is_flushing.wait()
    assert not asking.done()
    port.sink.committed.set()
    assert await asking == (200, {"status": "committed"})


async def test_a_flush_with_nothing_open_is_done_at_once(open_port: Open) -> None:
    port = await open_port()
    port.sink.committed.set()
    assert (await port.json("POST /flush?wait=0s"))[0] == 200


async def test_a_flush_that_takes_too_long_is_a_504_and_goes_on(open_port: Open) -> None:
    port = await open_port()
    assert is_error(await port.json("POST /flush?wait=1ms"), 504)
    assert port.sink.flushes == 1


@pytest.mark.parametrize("wait", ["", "30", "soon", "-1s", "1 s", "1s%00", "%FF"])
async def test_a_flush_with_a_bad_wait_does_nothing(open_port: Open, wait: str) -> None:
    port = await open_port()
    assert is_error(await port.json(f"POST /flush?wait={wait}"), 400)
    assert port.sink.flushes == 0


async def test_a_wait_ends_when_the_port_closes() -> None:
    sink = FakeSink()
    admin = Admin(sink, listen="127.0.0.1:0", token=None)
    address = await admin.start()
    async with aiohttp.ClientSession() as client:
        asking = asyncio.create_task(client.post(f"http://{address}/flush?wait=1d"))
        await sink.is_flushing.wait()
        await admin.stop()
        answer = await asking
        assert answer.status == 503
        answer.release()


CHANGING = [
    "POST /flush",
    "PUT /connectors/sink/pause",
    "PUT /connectors/sink/resume",
    "PUT /connectors/sink/stop",
    "POST /connectors/sink/restart",
    "POST /connectors/sink/tasks/0/restart",
]
READING = [
    "GET /",
    "GET /metrics",
    "GET /healthz",
    "GET /readyz",
    "GET /status.json",
    "GET /connectors",
    "GET /connectors/sink",
    "GET /connectors/sink/config",
    "GET /connectors/sink/status",
    "GET /connectors/sink/tasks",
    "GET /connectors/sink/tasks/0/status",
    "GET /connectors/sink/topics",
    "GET /connectors/sink/offsets",
]


@pytest.mark.parametrize("call", CHANGING)
@pytest.mark.parametrize(
    "authorization",
    [None, "", "Bearer", "Bearer wrong", "Bearer tokeN", "Basic token", "token", "Bearer tok\xe9"],
)
async def test_a_change_without_the_token_is_refused(
    open_port: Open, call: str, authorization: str | None
) -> None:
    port = await open_port(token="token")
    headers = {} if authorization is None else {"Authorization": authorization}
    assert is_error(await port.json(call, headers), 401)
    assert port.headers["WWW-Authenticate"] == "Bearer"
    assert (port.sink.calls, port.sink.flushes) == ([], 0)


@pytest.mark.parametrize("call", CHANGING)
@pytest.mark.parametrize("scheme", ["Bearer", "bearer"])
async def test_a_change_with_the_token_is_done(open_port: Open, call: str, scheme: str) -> None:
    port = await open_port(token="tok\xe9n")
    assert (await port.ask(call, {"Authorization": f"{scheme} tok\xe9n"}))[0] in (202, 204)
    assert len(port.sink.calls) + port.sink.flushes == 1


@pytest.mark.parametrize("call", READING)
async def test_reads_never_need_the_token(open_port: Open, call: str) -> None:
    port = await open_port(token="token")
    assert (await port.ask(call))[0] == 200


@pytest.mark.parametrize("call", CHANGING)
async def test_a_page_of_another_origin_changes_nothing(open_port: Open, call: str) -> None:
    port = await open_port()
    assert is_error(await port.json(call, {"Sec-Fetch-Site": "cross-site"}), 403)
    assert (port.sink.calls, port.sink.flushes) == ([], 0)


async def test_no_answer_opens_itself_to_other_origins(open_port: Open) -> None:
    port = await open_port()
    for call in ("GET /status.json", "POST /flush", "OPTIONS /flush"):
        await port.ask(call, {"Origin": "http://elsewhere"})
        assert not [name for name in port.headers if name.lower().startswith("access-control")]


@pytest.mark.parametrize(
    "call",
    [
        "GET /nothing",
        "GET /connectors/sink/nothing",
        "GET /connectors/sink/tasks/0",
        "GET //connectors",
        "POST /connectors/a/b/c",
        "GET /connectors/other",
        "PUT /connectors/other/pause",
        # Connect looks for the connector before it does what we cannot.
        "DELETE /connectors/other",
        "PUT /connectors/other/config",
        "PATCH /connectors/other/config",
        "DELETE /connectors/other/offsets",
        "GET /connectors/sink%2Fstatus",
        "GET /connector-plugins",
    ],
)
async def test_what_is_not_there_is_a_404(open_port: Open, call: str) -> None:
    port = await open_port()
    assert is_error(await port.json(call), 404)


@pytest.mark.parametrize(
    ("call", "allowed"),
    [
        ("POST /", "GET"),
        ("GET /flush", "POST"),
        ("DELETE /connectors/sink", "GET"),
        ("PUT /connectors/sink/config", "GET"),
        ("PATCH /connectors/sink/config", "GET"),
        ("PATCH /connectors/sink/offsets", "GET"),
        ("POST /connectors", "GET"),
        ("DELETE /connectors/other/status", "GET"),
        ("GET /connectors/sink/pause", "PUT"),
        ("OPTIONS /metrics", "GET"),
    ],
)
async def test_another_method_is_a_405(open_port: Open, call: str, allowed: str) -> None:
    port = await open_port()
    assert is_error(await port.json(call), 405)
    assert port.headers["Allow"] == allowed


async def test_a_slash_at_the_end_means_nothing(open_port: Open) -> None:
    port = await open_port()
    assert await port.json("GET /connectors/") == (200, ["sink"])
    assert (await port.json("GET /connectors/sink/status/"))[0] == 200


async def test_connects_calls_are_answered_here(open_port: Open) -> None:
    port = await open_port()
    _, content = await port.json("GET /connectors?expand=status&expand=info")
    assert isinstance(content, dict)
    assert list(content["sink"]) == ["status", "info"]
    worker = content["sink"]["status"]["connector"]["worker_id"]
    assert worker == f"127.0.0.1:{port.number}"
    assert await port.ask("PUT /connectors/sink/pause") == (202, "")
    assert await port.ask("PUT /connectors/sink/stop") == (204, "")
    status, body = await port.json("POST /connectors/sink/restart?includeTasks=true")
    assert (status, port.sink.calls) == (202, ["pause", "stop", "restart"])
    assert isinstance(body, dict)
    assert body["connector"]["state"] == "RESTARTING"


async def test_head_is_get_without_a_body(open_port: Open) -> None:
    port = await open_port()
    assert await port.ask("HEAD /readyz") == (200, "")


async def test_a_fault_of_ours_is_a_500_that_tells_nothing(open_port: Open) -> None:
    class Broken(FakeSink):
        def is_ready(self) -> bool:
            raise RuntimeError(SECRET)

    port = await open_port(Broken())
    answer = await port.json("GET /readyz")
    assert is_error(answer, 500)
    assert SECRET not in str(answer)


@pytest.mark.parametrize("listen", ["127.0.0.1:0", "localhost:0"])
async def test_port_0_picks_one_and_says_which(listen: str) -> None:
    admin = Admin(FakeSink(), listen=listen, token=None)
    address = await admin.start()
    host, _, port = address.rpartition(":")
    assert int(port) > 0
    assert host in ("127.0.0.1", "[::1]")
    async with aiohttp.ClientSession() as client:
        for name in {host, "localhost"} if "localhost" in listen else {host}:
            async with client.get(f"http://{name}:{port}/healthz") as answer:
                assert answer.status == 200
    await admin.stop()


async def test_a_port_in_use_is_said_with_its_address() -> None:
    first = Admin(FakeSink(), listen="127.0.0.1:0", token=None)
    address = await first.start()
    second = Admin(FakeSink(), listen=address, token=None)
    with pytest.raises(AdminError, match="Address already in use") as caught:
        await second.start()
    assert caught.value.address == address
    await second.stop()
    await first.stop()


@pytest.mark.parametrize("listen", ["192.0.2.1:0", "no-such-host.invalid:0"])
async def test_an_address_that_is_not_ours_is_an_admin_error(listen: str) -> None:
    with pytest.raises(AdminError) as caught:
        await Admin(FakeSink(), listen=listen, token=None).start()
    assert caught.value.address == listen


async def test_the_port_is_free_again_after_stop() -> None:
    admin = Admin(FakeSink(), listen="127.0.0.1:0", token=None)
    address = await admin.start()
    async with (
        aiohttp.ClientSession() as client,
        client.get(f"http://{address}/healthz") as answer,
    ):
        assert answer.status == 200
        await admin.stop()
    again = Admin(FakeSink(), listen=address, token=None)
    assert await again.start() == address
    await again.stop()


async def test_a_flush_with_two_waits_is_refused(open_port: Open) -> None:
    port = await open_port()
    assert (await port.json("POST /flush?wait=0s&wait=bad"))[0] == 400
    assert port.sink.flushes == 0
