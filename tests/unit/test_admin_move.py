"""The admin port goes elsewhere, or stays where it is when it cannot."""

import asyncio
import socket
import threading
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor

import aiohttp
import pytest
from pydantic import SecretStr

from spoolsink.admin import Admin
from spoolsink.admin.connection import listening_sockets
from spoolsink.errors import AdminError
from tests.servers.processes import free_port
from tests.unit.fake_sink import FakeSink


@pytest.fixture
async def admin() -> AsyncIterator[Admin]:
    one = Admin(FakeSink(), listen=f"127.0.0.1:{free_port()}", token=None)
    await one.start()
    yield one
    await one.stop()


@pytest.fixture
async def client() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


async def answers(client: aiohttp.ClientSession, address: str) -> bool:
    try:
        async with client.get(f"http://{address}/healthz") as answer:
            return answer.status == 200
    except aiohttp.ClientConnectorError:
        return False


async def flush(client: aiohttp.ClientSession, address: str, token: str) -> int:
    headers = {"Authorization": f"Bearer {token}"}
    async with client.post(f"http://{address}/flush", headers=headers) as answer:
        return answer.status


async def test_it_answers_at_the_new_address_only(
    admin: Admin, client: aiohttp.ClientSession
) -> None:
    before = admin.address
    assert await answers(client, before)
    address = await admin.move(f"127.0.0.1:{free_port()}", None)
    assert (address, address != before) == (admin.address, True)
    # Not even on the connection that was kept alive.
    assert not await answers(client, before)
    assert await answers(client, address)
    async with client.get(f"http://{address}/connectors/sink/status") as answer:
        assert (await answer.json())["connector"]["worker_id"] == address


async def test_a_request_under_way_is_answered(admin: Admin, client: aiohttp.ClientSession) -> None:
    sink = admin._sink
    assert isinstance(sink, FakeSink)
    before = admin.address
    asking = asyncio.create_task(client.post(f"http://{before}/flush?wait=1m"))
    await sink.is_flushing.wait()
    await admin.move(f"127.0.0.1:{free_port()}", None)
    sink.committed.set()
    async with await asking as answer:
        assert answer.status == 200
    assert not await answers(client, before)


async def test_the_same_port_on_more_addresses_is_in_nobodys_way(
    admin: Admin, client: aiohttp.ClientSession
) -> None:
    port = admin.address.rpartition(":")[2]
    assert await admin.move(f"0.0.0.0:{port}", SecretStr("token")) == f"0.0.0.0:{port}"
    assert await answers(client, f"127.0.0.1:{port}")


@pytest.mark.parametrize("is_same_port", [True, False])
async def test_where_it_cannot_listen_it_stays_with_its_token(
    admin: Admin, client: aiohttp.ClientSession, *, is_same_port: bool
) -> None:
    before = admin.address
    await admin.move(before, SecretStr("old"))
    with socket.create_server(("127.0.0.2", 0)) as taken:
        port = before.rpartition(":")[2] if is_same_port else taken.getsockname()[1]
        host = "192.0.2.1" if is_same_port else "127.0.0.2"
        with pytest.raises(AdminError):
            await admin.move(f"{host}:{port}", SecretStr("new"))
    assert admin.address == before
    assert [await flush(client, before, token) for token in ("old", "new")] == [202, 401]


async def test_a_token_takes_effect_where_the_port_stays(
    admin: Admin, client: aiohttp.ClientSession
) -> None:
    address = admin.address
    assert await admin.move(address, SecretStr("token")) == address
    assert [await flush(client, address, token) for token in ("", "token")] == [401, 202]
    await admin.move(address, None)
    assert await flush(client, address, "") == 202


async def test_a_name_that_nobody_resolves_is_not_waited_for() -> None:
    """The resolver hangs as it does without servers: its thread never gets to the question."""
    is_over = threading.Event()
    executor = ThreadPoolExecutor(1)
    asyncio.get_running_loop().set_default_executor(executor)
    hangs = executor.submit(is_over.wait)
    try:
        with pytest.raises(AdminError, match="not resolved within"):
            await listening_sockets("localhost:0", resolve_seconds=0.01)
    finally:
        is_over.set()
        hangs.result()
