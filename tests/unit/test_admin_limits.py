"""The admin port and its limits: large, slow, deaf and broken clients, on raw sockets."""

import asyncio
import json
import threading
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from spoolsink.admin.connection import Connection
from spoolsink.status import ConfirmedObject
from tests.unit.admin_port import KIB, NET_SECONDS, Open, is_error, ports, until_end
from tests.unit.fake_sink import SNAPSHOT


@pytest.fixture
async def open_port() -> AsyncIterator[Open]:
    async with ports() as begin:
        yield begin


async def test_a_body_of_64_kib_passes_and_more_does_not(open_port: Open) -> None:
    port = await open_port()
    assert (await port.ask("POST /flush", body=b"x" * 64 * KIB))[0] == 202
    status, text = await port.ask("POST /flush", body=b"x" * (64 * KIB + 1))
    assert is_error((status, json.loads(text)), 413)
    assert port.sink.flushes == 1


async def test_a_body_without_a_length_is_counted(open_port: Open) -> None:
    port = await open_port()
    head = b"POST /flush HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    answer = await port.raw(
        head + b"8000\r\n" + b"x" * 0x8000 + b"\r\n" + b"8001\r\n" + b"x" * 0x8001
    )
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert port.sink.flushes == 0


@pytest.mark.parametrize(
    "headers",
    [b"A: " + b"x" * 17 * KIB + b"\r\n", (b"A: " + b"x" * KIB + b"\r\n") * 17],
    ids=["one", "many"],
)
async def test_headers_above_16_kib_are_refused(open_port: Open, headers: bytes) -> None:
    port = await open_port()
    answer = await port.raw(b"GET /healthz HTTP/1.1\r\nHost: x\r\n" + headers + b"\r\n")
    assert b" 431 " in answer.splitlines()[0]
    assert b'{"error_code":431,' in answer


async def test_headers_below_16_kib_pass(open_port: Open) -> None:
    port = await open_port()
    assert (await port.ask("GET /healthz", {"A": "x" * 15 * KIB}))[0] == 200


@pytest.mark.parametrize(
    "data", [b"nonsense\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"\x16\x03\x01\r\n"]
)
async def test_what_is_no_http_is_refused_in_connects_form(open_port: Open, data: bytes) -> None:
    port = await open_port()
    answer = await port.raw(data)
    assert answer.startswith(b"HTTP/1.")
    assert b'{"error_code":400,"message":"HTTP 400 Bad Request"}' in answer


async def test_who_waits_to_be_asked_for_the_body_is_asked(open_port: Open) -> None:
    port = await open_port()
    reader, writer = await asyncio.open_connection(port.host, port.number)
    writer.write(
        b"POST /flush HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nExpect: 100-continue\r\n"
        b"Connection: close\r\n\r\n"
    )
    async with asyncio.timeout(NET_SECONDS):
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(b"{}")
        assert (await reader.read()).startswith(b"HTTP/1.1 202 ")
    writer.close()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"GET /heal",
        b"GET /healthz HTTP/1.1\r\nHost: x\r\nA: ",
        b"GET /healthz HTTP/1.1\r\nHost: x\r\n",
    ],
    ids=["nothing", "line", "header", "no end"],
)
async def test_who_does_not_finish_the_headers_is_cut_off(open_port: Open, data: bytes) -> None:
    port = await open_port(slow=0.05)
    assert await port.raw(data) == b""


async def test_trickling_headers_win_no_time(open_port: Open) -> None:
    port = await open_port(slow=0.2)
    reader, writer = await asyncio.open_connection(port.host, port.number)
    writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\nA: ")
    began = asyncio.get_running_loop().time()
    ended = asyncio.create_task(until_end(reader))
    while not ended.done() and asyncio.get_running_loop().time() - began < NET_SECONDS:
        writer.write(b"x")
        await asyncio.wait([ended], timeout=0.01)
    assert await ended == b""
    assert asyncio.get_running_loop().time() - began < NET_SECONDS / 2
    writer.close()


async def test_who_does_not_finish_the_body_is_told_and_cut_off(open_port: Open) -> None:
    port = await open_port(slow=0.05)
    head = b"POST /flush HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n"
    answer = await port.raw(head + b"{")
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert port.sink.flushes == 0


async def test_who_asks_nothing_more_is_cut_off(open_port: Open) -> None:
    port = await open_port(slow=0.05)
    answer = await port.raw(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200 ")


async def test_who_does_not_take_the_answer_is_cut_off(open_port: Open) -> None:
    port = await open_port(slow=0.1)
    # Far more than the buffers of two sockets and of the server hold.
    port.sink.shown = replace(SNAPSHOT, last_objects=[ConfirmedObject(1, "x" * KIB)] * 20 * KIB)
    reader, writer = await asyncio.open_connection(port.host, port.number, limit=KIB)
    writer.write(b"GET /status.json HTTP/1.1\r\nHost: x\r\n\r\n")
    async with asyncio.timeout(NET_SECONDS):
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 OK")
        server = port.admin._server
        assert server is not None
        (connection,) = server.connections
        assert isinstance(connection, Connection)
        await connection.gone.wait()
        assert len(await until_end(reader)) < 20 * KIB * KIB
    writer.close()


async def test_a_long_wait_is_not_a_slow_client(open_port: Open) -> None:
    port = await open_port(slow=0.05)
    assert is_error(await port.json("POST /flush?wait=300ms"), 504)


async def test_a_client_that_goes_away_ends_its_wait(open_port: Open) -> None:
    port = await open_port()
    _, writer = await asyncio.open_connection(port.host, port.number)
    writer.write(b"POST /flush?wait=1d HTTP/1.1\r\nHost: x\r\n\r\n")
    await port.sink.is_flushing.wait()
    waits = [task for task in asyncio.all_tasks() if task.get_name() == "admin-wait"]
    assert waits
    writer.transport.abort()
    async with asyncio.timeout(NET_SECONDS):
        await asyncio.wait(waits)


async def test_metrics_are_answered_while_a_disk_or_a_resolver_hangs(open_port: Open) -> None:
    """They have every thread that asyncio shares out."""
    port = await open_port()
    is_over = threading.Event()
    executor = ThreadPoolExecutor(1)
    asyncio.get_running_loop().set_default_executor(executor)
    hangs = executor.submit(is_over.wait)
    try:
        async with asyncio.timeout(NET_SECONDS):
            status, text = await port.ask("GET /metrics")
    finally:
        is_over.set()
        hangs.result()
    assert status == 200
    assert "# TYPE spoolsink_lag_records gauge" in text
