"""A restart reads the file anew: what it takes over, what it refuses, and who is told."""

import asyncio
import os
import signal
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml

from spoolsink.errors import ConfigError
from spoolsink.service import EXIT_CLEAN, Service
from spoolsink.spool.files import claim
from tests.servers.processes import free_port

NOBODY = "127.0.0.1:1"
NET_SECONDS = 20.0


class FoundService(Service):
    """Tells when its address is written. Kafka and S3 are away: it starts, and holds."""

    def __init__(self, path: Path, environ: dict[str, str]) -> None:
        super().__init__(path, environ, status=None)
        self.is_found = asyncio.Event()
        self.lives = True
        self._is_asked = asyncio.Event()

    def is_alive(self) -> bool:
        self._is_asked.set()
        return self.lives and super().is_alive()

    async def asked(self, times: int) -> None:
        """Whether it lives, so often from now on."""
        for _ in range(times):
            self._is_asked.clear()
            async with asyncio.timeout(NET_SECONDS):
                await self._is_asked.wait()

    def _found(self) -> None:
        super()._found()
        self.is_found.set()


class Sink:
    """One service with its file, its task, and a client."""

    def __init__(self, directory: Path, client: aiohttp.ClientSession) -> None:
        self.directory, self._client = directory, client
        self.environ: dict[str, str] = {}
        self.data: dict[str, Any] = {
            "name": "sink",
            "kafka": {"bootstrap_servers": [NOBODY], "topics": ["orders"]},
            "s3": {"bucket": "demo-bucket", "region": "x", "endpoint_url": f"http://{NOBODY}"},
            "spool": {"directory": str(directory / "spool"), "min_free_bytes": "0B"},
            "admin": {"listen": f"127.0.0.1:{free_port()}"},
        }
        self.write()

    def write(self, **sections: Any) -> None:
        for name, value in sections.items():
            merged = isinstance(value, dict) and {**self.data.get(name, {}), **value}
            self.data[name] = merged or value
        (self.directory / "sink.yaml").write_text(yaml.safe_dump(self.data))

    async def start(self) -> FoundService:
        self.service = FoundService(self.directory / "sink.yaml", self.environ)
        self._running = asyncio.create_task(self.service.run())
        await self.found()
        return self.service

    async def found(self) -> None:
        async with asyncio.timeout(NET_SECONDS):
            await self.service.is_found.wait()
        self.service.is_found.clear()

    async def stop(self) -> None:
        if not self._running.done():
            self.service._end()
        assert await self._running == EXIT_CLEAN

    async def ask(self, call: str, token: str = "") -> tuple[int, Any]:
        method, path = call.split(" ")
        url = f"http://{self.data['admin']['listen']}{path}"
        headers = {"Authorization": f"Bearer {token}"}
        async with self._client.request(method, url, headers=headers) as answer:
            return answer.status, await answer.json() if answer.content_length else None


@pytest.fixture
async def sink(tmp_path: Path) -> AsyncIterator[Sink]:
    async with aiohttp.ClientSession() as client:
        found = Sink(tmp_path, client)
        yield found
        await found.stop()


def address_in(directory: Path) -> str:
    return (directory / "admin.address").read_text().strip()


async def test_the_admin_port_and_its_token_take_effect(sink: Sink) -> None:
    await sink.start()
    before = sink.data["admin"]["listen"]
    sink.write(admin={"listen": f"127.0.0.1:{free_port()}", "token": "new-token"})
    # Asked where it listens still; the answer comes before the port closes.
    url = f"http://{before}/connectors/sink/restart"
    async with sink._client.post(url) as answer:
        assert answer.status == 204
    await sink.found()
    assert address_in(sink.directory / "spool") == sink.data["admin"]["listen"]
    assert (await sink.ask("POST /connectors/sink/restart"))[0] == 401
    assert (await sink.ask("POST /connectors/sink/restart", "new-token"))[0] == 204
    with pytest.raises(aiohttp.ClientConnectorError):
        await sink._client.get(f"http://{before}/")


async def test_a_name_takes_effect(sink: Sink) -> None:
    service = await sink.start()
    sink.write(name="other")
    assert (await sink.ask("POST /connectors/sink/restart"))[0] == 204
    assert (await sink.ask("GET /connectors"))[1] == ["other"]
    assert service.config.group_id == "spoolsink-other"


async def test_paused_follows_to_another_spool_directory(sink: Sink) -> None:
    await sink.start()
    old, new = sink.directory / "spool", sink.directory / "elsewhere"
    await sink.ask("PUT /connectors/sink/pause")
    assert (old / "state").read_text() == "PAUSED"
    sink.write(spool={"directory": str(new)})
    assert (await sink.ask("POST /connectors/sink/restart"))[0] == 204
    await sink.found()
    assert (new / "state").read_text() == "PAUSED"
    assert address_in(new) == sink.data["admin"]["listen"]
    assert not (old / "admin.address").exists()
    os.close(claim(old))
    await sink.ask("PUT /connectors/sink/resume")
    await sink.stop()
    await sink.start()
    assert sink.service.state == "RUNNING"


async def test_what_was_left_in_a_directory_does_not_pause_who_comes_back(sink: Sink) -> None:
    new = sink.directory / "elsewhere"
    new.mkdir()
    (new / "state").write_text("STOPPED")
    await sink.start()
    sink.write(spool={"directory": str(new)})
    await sink.ask("POST /connectors/sink/restart")
    await sink.found()
    assert (sink.service.state, (new / "state").read_text()) == ("RUNNING", "RUNNING")


async def refused(sink: Sink, *words: str) -> None:
    """The restart is, with a line for each of the words, and nothing has changed."""
    engine, config = sink.service._engine, sink.service.config
    status, body = await sink.ask("POST /connectors/sink/restart?includeTasks=true")
    assert (status, body["error_code"]) == (400, 400)
    lines = body["message"].splitlines()
    assert [word in line for word, line in zip(words, lines, strict=True)] == [True] * len(lines)
    assert (sink.service._engine, sink.service.config) == (engine, config)
    assert not sink.service._stopping.is_set()


def line_of(sink: Sink, key: str) -> int:
    lines = (sink.directory / "sink.yaml").read_text().splitlines()
    return next(n for n, line in enumerate(lines, start=1) if line.strip().startswith(key))


async def test_a_directory_that_is_anothers_is_refused(sink: Sink) -> None:
    await sink.start()
    lock = claim(sink.directory / "anothers")
    sink.write(spool={"directory": str(sink.directory / "anothers")})
    await refused(sink, f"sink.yaml:{line_of(sink, 'directory:')}: spool.directory: ")
    sink.write(spool={"directory": "/proc/spoolsink"})
    await refused(sink, "spool.directory: ")
    os.close(lock)


async def test_a_port_in_use_is_refused(sink: Sink) -> None:
    await sink.start()
    listen = sink.data["admin"]["listen"]
    with socket.create_server(("127.0.0.1", 0)) as taken:
        sink.write(admin={"listen": f"127.0.0.1:{taken.getsockname()[1]}"})
        sink.data["admin"]["listen"] = listen
        await refused(sink, f"sink.yaml:{line_of(sink, 'listen:')}: admin.listen: 127.0.0.1:")
    sink.write()
    assert (await sink.ask("POST /connectors/sink/restart"))[0] == 204


async def test_a_bad_file_is_refused_with_its_line_also_while_stopped(sink: Sink) -> None:
    await sink.start()
    sink.write(colour="red")
    await refused(sink, "colour")
    await sink.ask("PUT /connectors/sink/stop")
    await sink.found()
    assert sink.service.state == "STOPPED"
    assert (await sink.ask("POST /connectors/sink/restart"))[0] == 400
    assert (await sink.ask("GET /connectors/sink/status"))[1]["connector"]["state"] == "STOPPED"
    with pytest.raises(ConfigError, match="colour"):
        await sink.service.restart()


async def test_everything_that_cannot_be_made_is_told_at_once_to_who_asks_and_to_the_log(
    sink: Sink, caplog: pytest.LogCaptureFixture
) -> None:
    """Found by reading: the first alone was, and without its line."""
    await sink.start()
    sink.write(layout={"partitioner": "no.such:Class"}, records={"key": "no.such:Key"})
    sink.write(records={"value": "no.such:Value"})
    told = [
        f"sink.yaml:{line_of(sink, f'{key}:')}: {section}.{key}: "
        for section, key in (("layout", "partitioner"), ("records", "key"), ("records", "value"))
    ]
    await refused(sink, *told)
    sink.service._on_hangup()
    assert sink.service._reload is not None
    await sink.service._reload
    lines = [r.message for r in caplog.records if r.message.startswith("not restarted: ")]
    assert [word in line for word, line in zip(told * 2, lines, strict=True)] == [True] * 6


# -- systemd ---------------------------------------------------------------------------------------


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as one:
        one.bind(str(tmp_path / "notify"))
        one.setblocking(False)
        yield one


async def heard(one: socket.socket, word: str) -> str:
    """The next datagram that begins with the word."""
    async with asyncio.timeout(NET_SECONDS):
        while True:
            data = await asyncio.get_running_loop().sock_recv(one, 4096)
            if data.decode().startswith(word):
                return data.decode()


async def test_systemd_hears_of_start_reload_refusal_and_stop(
    sink: Sink, systemd: socket.socket
) -> None:
    sink.environ["NOTIFY_SOCKET"] = str(sink.directory / "notify")
    await sink.start()
    # Kafka is away, and the service has started all the same.
    assert "\nSTATUS=RUNNING, lag 0, spool " in await heard(systemd, "READY=1")
    for _ in range(2):
        os.kill(os.getpid(), signal.SIGHUP)
        await heard(systemd, "RELOADING=1")
        await heard(systemd, "READY=1")
        sink.write(colour="red")
    await sink.stop()
    await heard(systemd, "STOPPING=1")


async def test_the_watchdog_is_fed_while_the_tasks_live_and_not_after(
    sink: Sink, systemd: socket.socket
) -> None:
    sink.environ |= {
        "NOTIFY_SOCKET": str(sink.directory / "notify"),
        "WATCHDOG_USEC": "30000",
    }
    service = await sink.start()
    await heard(systemd, "WATCHDOG=1")
    service.lives = False
    await service.asked(2)
    everything(systemd)
    await service.asked(3)
    assert not [text for text in everything(systemd) if text.startswith("WATCHDOG")]
    service.lives = True
    await heard(systemd, "WATCHDOG=1")


def everything(one: socket.socket) -> list[str]:
    """What has come until now."""
    found = []
    with suppress(BlockingIOError):
        while True:
            found.append(one.recv(4096).decode())
    return found
