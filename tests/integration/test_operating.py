"""What an operator asks of a running sink, and what of it outlives the process."""

import asyncio
import json
import signal
import socket
from contextlib import suppress
from pathlib import Path

import yaml

from tests.integration.harness import Bench, SinkProcess
from tests.integration.oracle import Oracle
from tests.integration.producing import documents, produce
from tests.integration.sink_process import DEADLINE_SECONDS


async def states(sink: SinkProcess) -> list[str]:
    """Of the connector and its tasks; nothing where nobody answers."""
    found = await sink.status()
    return [one["state"] for one in (found.get("connector"), *found.get("tasks", ())) if one]


async def until(sink: SinkProcess, *wanted: str) -> None:
    async def is_so() -> bool:
        return await states(sink) == list(wanted)

    await sink.until(f"the states are {wanted}", is_so)


async def test_paused_and_stopped_outlive_the_process(bench: Bench) -> None:
    topic, oracle = await bench.topic(), Oracle(bench)
    sink, path = bench.sink({"rotate": {"records": 10}}), f"/connectors/{bench.name}"
    await produce(bench.kafka.bootstrap_servers, topic, documents(10))
    sink.start()
    await oracle.until_committed(sink)
    assert (await sink.ask(f"{path}/pause", "PUT"))[0] == 202
    await until(sink, "PAUSED", "PAUSED")
    # Killed, so that nothing was tidied up.
    sink.kill()
    await produce(bench.kafka.bootstrap_servers, topic, documents(10, start=10))
    sink.start()
    await sink.ready()
    await until(sink, "PAUSED", "PAUSED")
    await sink.until_metric("lag_records", 10)
    assert await sink.metric("records_total") == 0
    assert await sink.metric("paused", reason="operator") == 1
    assert (await sink.ask(f"{path}/stop", "PUT"))[0] == 204
    await until(sink, "STOPPED")
    await sink.stopped()
    sink.start()
    await until(sink, "STOPPED")
    await sink.not_ready("stopped by an operator since 20")
    assert await sink.metric("paused", reason="operator") == 1
    assert (await sink.ask("/healthz"))[0] == 200
    assert (await sink.ask(f"{path}/resume", "PUT"))[0] == 202
    await until(sink, "RUNNING", "RUNNING")
    assert await sink.metric("paused", reason="operator") == 0
    await oracle.until_committed(sink)
    await sink.stopped()
    assert [o.first for o in await oracle.verify()] == [0, 10]


async def test_a_bad_file_disturbs_nobody_and_a_good_one_takes_effect(bench: Bench) -> None:
    topic, oracle = await bench.topic(), Oracle(bench)
    sink, path = bench.sink({"rotate": {"records": 10}}), f"/connectors/{bench.name}"
    sink.start()
    await sink.ready()
    before = await sink.metric("rebalances_total")
    sink.reconfigure({"rotate": {"recrods": 5}})
    await sink.until_logged("not restarted: ")
    status, body = await sink.ask(f"{path}/restart", "POST")
    assert status == 400
    assert f"{sink.config}:" in json.loads(body)["message"]
    assert "did you mean" in json.loads(body)["message"]
    # It neither left the group nor stopped reading.
    await produce(bench.kafka.bootstrap_servers, topic, documents(10))
    await oracle.until_committed(sink)
    assert await sink.metric("rebalances_total") == before
    mended = yaml.safe_load(sink.config.read_text()) | {"rotate": {"records": 5}}
    sink.config.write_text(yaml.safe_dump(mended))
    spool = bench.directory / "elsewhere"
    sink.reconfigure({"spool": {"directory": str(spool)}})
    await sink.until_logged("restarts with the configuration read anew")
    sink.spool = spool

    async def is_found() -> bool:
        return await asyncio.to_thread(Path.exists, spool / "admin.address")

    await sink.until("its address is in the new directory", is_found)
    await sink.ready()
    await produce(bench.kafka.bootstrap_servers, topic, documents(10, start=10))
    await oracle.until_committed(sink)
    await sink.stopped()
    assert [o.first for o in await oracle.verify()] == [0, 10, 15]


async def test_systemd_hears_of_a_real_process_and_gets_its_stack_when_it_is_hung(
    bench: Bench,
) -> None:
    await bench.topic()
    sink = bench.sink()
    bench.expects_faults = True  # the stack of the abort
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(bench.directory / "notify"))
        systemd.setblocking(False)
        notify = {"NOTIFY_SOCKET": str(bench.directory / "notify"), "WATCHDOG_USEC": "900000"}

        async def hears(word: str) -> None:
            async with asyncio.timeout(DEADLINE_SECONDS):
                told = b""
                while not told.startswith(word.encode()):
                    told = await asyncio.get_running_loop().sock_recv(systemd, 4096)

        sink.start(notify)
        for word in ("READY=1\nSTATUS=RUNNING, lag 0, spool ", "WATCHDOG=1"):
            await hears(word)
        sink.reconfigure({"rotate": {"records": 5}})
        for word in ("RELOADING=1", "READY=1", "WATCHDOG=1"):
            await hears(word)
        sink.terminate()
        await hears("STOPPING=1")
        assert await sink.ended() == 0
        # What it said last is not the next one's.
        with suppress(BlockingIOError):
            while True:
                systemd.recv(4096)
        sink.start(notify)
        await hears("WATCHDOG=1")
        # As systemd does when the watchdog is no longer fed.
        sink.send(signal.SIGABRT)
        assert await sink.ended() == -signal.SIGABRT
        assert "Fatal Python error: Aborted" in sink.text()
        assert "asyncio/base_events.py" in sink.text()
