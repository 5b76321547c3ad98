"""The spool's file system becomes read-only, runs out of inodes, and is mended."""

import asyncio
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import aiohttp
import pytest

from tests.integration.harness import Bench, all_of
from tests.integration.oracle import Oracle
from tests.integration.producing import documents, produce
from tests.servers.processes import free_port

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or os.geteuid() != 0, reason="mounts a small tmpfs: root on Linux"
)
INODES = 40


class Disk:
    """A tmpfs of its own; root writes where a mode forbids it, but not where there is no room."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self._over: Path | None = None
        place.mkdir()
        _mount(place, "-t", "tmpfs", "-o", f"size=16m,nr_inodes={INODES}", "tmpfs")

    @property
    def spool(self) -> Path:
        return self.place / "spool"

    @property
    def _ballast(self) -> Path:
        return self.place / "ballast"

    def spoil(self, how: str) -> None:
        if how == "read-only":
            self._make_read_only()
            return
        self._ballast.mkdir()
        for number in range(INODES):
            try:
                (self._ballast / str(number)).touch()
            except OSError:
                return

    def _make_read_only(self) -> None:
        segments = self.spool / "segments"
        if segments.exists():
            # Linux refuses to change it below files that are open, so another one is laid over it.
            _mount(segments, "-t", "tmpfs", "-o", "ro", "tmpfs")
            self._over = segments
        else:
            _mount(self.place, "-o", "remount,ro")

    def mend(self) -> None:
        if self._over is not None:
            subprocess.run(["umount", "-l", str(self._over)], check=True)
            self._over = None
        _mount(self.place, "-o", "remount,rw")
        shutil.rmtree(self._ballast, ignore_errors=True)

    def close(self) -> None:
        if self._over is not None:
            self.mend()
        subprocess.run(["umount", "-l", str(self.place)], check=True)


def _mount(place: Path, *arguments: str) -> None:
    subprocess.run(["mount", *arguments, str(place)], check=True)


@pytest.fixture
def disks(tmp_path: Path) -> Iterator[dict[str, Disk]]:
    found = {how: Disk(tmp_path / how) for how in ("read-only", "inodes")}
    yield found
    for disk in found.values():
        disk.close()


@contextmanager
def systemd_of(directory: Path) -> Iterator[tuple[dict[str, str], socket.socket]]:
    """What `Type=notify` gives a service, and where its words arrive."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as one:
        one.settimeout(30)
        one.bind(str(directory / "notify"))
        # Fed often, so that it speaks often.
        yield {"NOTIFY_SOCKET": str(directory / "notify"), "WATCHDOG_USEC": "1500000"}, one


def until_ready(systemd: socket.socket) -> str:
    """The status that it is ready with."""
    while True:
        word, _, more = systemd.recv(4096).decode().partition("\n")
        if word == "READY=1":
            return more


async def says(url: str, status: int, *words: str) -> None:
    """There is no place to write the address to: asked where the file put it."""
    async with aiohttp.ClientSession() as client, client.get(url) as answer:
        text = await answer.text()
        assert (answer.status, [word for word in words if word not in text]) == (status, []), text


WORDS = {"read-only": "Read-only file system", "inodes": "No space left"}


async def test_a_disk_that_takes_nothing_is_waited_for_at_the_start(
    bench: Bench, disks: dict[str, Disk]
) -> None:
    async def scenario(how: str) -> None:
        own, disk = bench.sibling(), disks[how]
        topic, oracle = await own.topic(), Oracle(own)
        await produce(own.kafka.bootstrap_servers, topic, documents(20))
        address = f"127.0.0.1:{free_port()}"
        settings = {"rotate": {"records": 5}, "admin": {"listen": address}}
        sink = own.sink(settings, spool=disk.spool)
        disk.spoil(how)
        with systemd_of(own.directory) as (environ, told):
            sink.start(environ)
            await sink.until_logged("spool: holds:")
            await says(f"http://{address}/readyz", 503, "spool: ", WORDS[how])
            await says(f"http://{address}/healthz", 200, "alive")
            # It has started, or systemd would end it before the disk is mended.
            assert WORDS[how] in await asyncio.to_thread(until_ready, told)
        assert WORDS[how] in sink.text()
        assert sink.text().count("spool: holds:") == 1
        assert sink.is_running
        disk.mend()
        await oracle.until_committed(sink)
        await sink.ready()
        await sink.stopped()
        await oracle.verify()

    await all_of(read_only=scenario("read-only"), inodes=scenario("inodes"))


async def test_a_disk_that_takes_nothing_any_more_holds_and_goes_on(
    bench: Bench, disks: dict[str, Disk]
) -> None:
    async def scenario(how: str) -> None:
        own, disk = bench.sibling(), disks[how]
        topic, oracle = await own.topic(partitions=2), Oracle(own)
        servers = own.kafka.bootstrap_servers
        sink = own.sink({"rotate": {"records": 5}}, spool=disk.spool)
        sink.start()
        await sink.ready()
        disk.spoil(how)
        await produce(servers, topic, documents(40, padding=20_000, partitions=2))
        await sink.until_failed("spool:", WORDS[how])
        await sink.not_ready("spool:", WORDS[how])
        assert (await sink.ask("/healthz"))[0] == 200
        assert await sink.metric("holds", kind="spool") == 1
        disk.mend()
        await oracle.until_committed(sink)
        await sink.ready()
        await sink.stopped()
        await oracle.verify()

    await all_of(read_only=scenario("read-only"), inodes=scenario("inodes"))
