"""Rows of the fault matrix that belong to no module's own tests: the system below, misbehaving."""

import asyncio
import os
import resource
import shutil
import signal
import struct
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path

import pytest

from spoolsink.config_model import Kafka
from spoolsink.consumer import GroupConsumer
from spoolsink.errors import ConsumerError, SegmentCorruptError, SpoolError
from spoolsink.ledger import Ledger
from spoolsink.segment import read_footer, read_rows
from tests.unit.builders import Bench, batch_of, docs
from tests.unit.spools import KIB, bytes_on_disk, key_of, labels_of, names_of, spool_of

READER = """
import os, signal, sys, lmdb
environment = lmdb.open(sys.argv[1], lib_version=0)
reading = environment.begin()
list(reading.cursor())
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_segment_that_the_disk_cannot_read_is_a_damaged_one(tmp_path: Path) -> None:
    """The system's error is the file's, whatever it is."""
    path = tmp_path / "1.sealed"
    path.mkdir()
    with pytest.raises(SegmentCorruptError, match="Is a directory"):
        list(read_rows(path))
    with pytest.raises(SegmentCorruptError, match="Is a directory"):
        read_footer(path)


def test_a_reader_that_was_killed_keeps_no_page_of_the_ledger(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    ledger.start({})
    ledger.note_upload(("key", "id"))
    ledger.close()
    killed = subprocess.run([sys.executable, "-c", READER, str(tmp_path / "ledger")], check=False)
    assert killed.returncode == -signal.SIGKILL

    ledger.start({})
    at_first = ledger.file_bytes
    for number in range(200):
        ledger.note_upload(("key", str(number)))
        ledger.clear_upload(("key", str(number)))
    # Two trees' worth of pages, freed and used again; kept, each transaction would add its own.
    assert ledger.file_bytes <= at_first + 64 * KIB
    assert ledger.uploads == {("key", "id")}
    ledger.close()


@pytest.mark.parametrize("is_replaced", [False, True], ids=["removed", "replaced"])
async def test_a_directory_that_went_away_takes_nothing(
    tmp_path: Path, *, is_replaced: bool
) -> None:
    """As when the file system is unmounted: what lies below must not be written to."""
    spool = spool_of(tmp_path)
    await spool.append(key_of(1), [0], b"a")
    shutil.rmtree(spool.directory)
    if is_replaced:
        spool.directory.mkdir()
    with pytest.raises(SpoolError, match="No such file"):
        await spool.append(key_of(2), [1], b"b" * 5 * KIB)
    with pytest.raises(SpoolError):
        await spool.seal(labels_of([key_of(1)]))
    assert not spool.directory.exists() or not list(spool.directory.iterdir())


@contextmanager
def no_descriptors() -> Iterator[None]:
    """What is open stays open; nothing more can be."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def test_without_a_descriptor_nothing_is_lost(tmp_path: Path) -> None:
    spool = spool_of(tmp_path)
    await spool.append(key_of(1), [0], b"a" * 5 * KIB)
    with no_descriptors(), pytest.raises(SpoolError, match="Too many open files"):
        await spool.append(key_of(1), [1], b"a" * 5 * KIB)
    assert spool.used_bytes == bytes_on_disk(spool)
    # It may have lost rows, so it is never sealed: read again from Kafka, like any other.
    with pytest.raises(SpoolError, match="could not be written"):
        await spool.seal(labels_of([key_of(1)]))
    assert names_of(spool) == set()
    await spool.append(key_of(1), [0, 1], b"a" * 10 * KIB)
    [sealed] = await spool.seal(labels_of([key_of(1)]))
    assert sealed.summary.records == 2


async def test_a_disk_that_takes_long_does_not_hold_the_event_loop(tmp_path: Path) -> None:
    """The file is a pipe: opening it waits for a reader, as long as it takes."""
    spool = spool_of(tmp_path)
    pipe = spool.directory / "segments" / "1.open"
    os.mkfifo(pipe)
    appending = asyncio.create_task(spool.append(key_of(1), [0], b"a" * 5 * KIB))
    for _ in range(100):
        await asyncio.sleep(0)
    assert not appending.done()
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    async with asyncio.timeout(20):
        await appending
    assert b"a" * 5 * KIB in os.read(reader, 64 * KIB)
    os.close(reader)
    pipe.unlink()
    spool.close()


async def test_gaps_of_millions_of_offsets_cost_nothing() -> None:
    """What compaction leaves; and a log that begins at billions."""
    offsets = [7, 5_000_000, 5_000_001, 3_000_000_000, 2**62]
    bench = Bench(at=(0, ""), rotate={"records": 2})
    await bench.append(batch_of(docs("abaab"), offsets=offsets, next_offset=2**62 + 10_000_000))
    assert bench.ranges == [(0, 5_000_001), (5_000_001, 3_000_000_001)]
    assert bench.cuts.open.position == 2**62 + 10_000_000
    bench.appender.flush()
    await bench.appender.tick()
    assert bench.ranges[-1] == (3_000_000_001, 2**62 + 10_000_000)


GARBAGE = {
    "another protocol": b"HTTP/1.1 400 Bad Request\r\n\r\n" * 100,
    "a frame of two gigabytes": struct.pack(">i", 2**31 - 1) + bytes(1000),
    "a negative length": struct.pack(">i", -1) * 100,
    "another answer": struct.pack(">ii", 100, 123_456) + bytes(96),
    "an array of billions": struct.pack(">iihi", 16, 1, 0, 2**31 - 1) + bytes(6),
}


@asynccontextmanager
async def broker_that_says(data: bytes) -> AsyncIterator[str]:
    """Its address; it says the same to everyone, then waits to be left."""
    writers: list[asyncio.StreamWriter] = []
    done: list[asyncio.Task[None] | None] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        done.append(asyncio.current_task())
        with suppress(ConnectionError):
            await reader.read(4)
            writer.write(data)
            while await reader.read(KIB):
                pass

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        host, port = server.sockets[0].getsockname()
        yield f"{host}:{port}"
        for writer in writers:
            writer.close()
        await asyncio.gather(*(task for task in done if task))


async def no_gate() -> None:
    """Nothing is assigned."""


async def start_at(data: bytes) -> str:
    """What is said of such a broker; "" where it is still waited for."""
    async with broker_that_says(data) as address:
        config = Kafka.model_validate({"bootstrap_servers": address, "topics": "t"})
        consumer = GroupConsumer(
            config, "g", client_id="t", on_revoked=no_gate, on_assigned=lambda _: None
        )
        try:
            async with asyncio.timeout(_START_SECONDS):
                await consumer.start()
        except ConsumerError as error:
            return str(error)
        except TimeoutError:
            return ""
        finally:
            await consumer.stop(1)
        raise AssertionError("it was taken for a broker")


_START_SECONDS = 3.0
"""Long beyond what a refusal takes; a frame that never ends is left at aiokafka's 40 s."""


async def test_a_broker_that_sends_garbage_is_told_and_costs_no_memory() -> None:
    peak_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    said = dict(zip(GARBAGE, await asyncio.gather(*map(start_at, GARBAGE.values())), strict=True))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak_kib < 50 * KIB
    endless = {"another protocol", "a frame of two gigabytes"}
    assert {name for name, text in said.items() if not text} == endless
