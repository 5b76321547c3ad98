"""The disk fills up and is mended; the sink holds, says so, and goes on."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.harness import Bench
from tests.integration.oracle import Oracle
from tests.integration.producing import documents, produce

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or os.geteuid() != 0, reason="mounts a small tmpfs: root on Linux"
)
SMALL = {"max_bytes": "4MiB", "write_buffer": "1MiB"}


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 6 MiB, of which a spool takes 4."""
    found = tmp_path / "disk"
    found.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", str(found)], check=True)
    yield found
    subprocess.run(["umount", "-l", str(found)], check=True)


def fill(disk: Path) -> Path:
    """Take all that is left."""
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            return ballast


async def test_a_disk_that_is_full_at_the_start_is_waited_for(bench: Bench, disk: Path) -> None:
    topic, oracle = await bench.topic(), Oracle(bench)
    await produce(bench.kafka.bootstrap_servers, topic, documents(20))
    sink = bench.sink({"rotate": {"records": 5}, "spool": SMALL}, spool=disk / "spool")
    ballast = fill(disk)
    sink.start()
    await sink.until_logged("No space left")
    assert sink.is_running
    ballast.unlink()
    await oracle.until_committed(sink)
    await sink.ready()
    await sink.stopped()
    await oracle.verify()


async def test_a_disk_that_fills_up_holds_and_goes_on(bench: Bench, disk: Path) -> None:
    topic, oracle = await bench.topic(partitions=2), Oracle(bench)
    servers = bench.kafka.bootstrap_servers
    sink = bench.sink({"rotate": {"records": 5}, "spool": SMALL}, spool=disk / "spool")
    sink.start()
    await sink.ready()
    ballast = fill(disk)
    await produce(servers, topic, documents(40, padding=20_000, partitions=2))
    await sink.until_failed("No space left")
    await sink.not_ready("spool")
    assert (await sink.ask("/healthz"))[0] == 200
    ballast.unlink()
    await oracle.until_committed(sink)
    await sink.ready()
    await sink.stopped()
    await oracle.verify()


async def test_a_disk_short_of_room_for_others_is_told(bench: Bench, disk: Path) -> None:
    topic, oracle = await bench.topic(), Oracle(bench)
    spool = {**SMALL, "min_free_bytes": "5500KiB"}
    sink = bench.sink({"rotate": {"records": 5}, "spool": spool}, spool=disk / "spool")
    sink.start()
    await sink.ready()
    ballast = disk / "ballast"
    ballast.write_bytes(bytes(2 << 20))
    await produce(bench.kafka.bootstrap_servers, topic, documents(20))
    await sink.until_metric("paused", 1, reason="spool")
    await sink.not_ready("min_free_bytes")
    ballast.unlink()
    await oracle.until_committed(sink)
    await sink.ready()
    await sink.stopped()
    await oracle.verify()
