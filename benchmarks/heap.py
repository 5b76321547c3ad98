"""The smallest heap in which Kafka Connect's S3 sink lives through a number of S3 partitions.

All S3 partitions are open until everything is read, as in the sink's own memory measurement; a
worker that runs out of heap ends with a status of its own, and a larger one is tried.
"""

import shutil
import uuid
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil  # type: ignore[import-untyped]

from benchmarks.connect import OUT_OF_MEMORY_STATUS, Connector, flush_records
from benchmarks.data import DataSet
from benchmarks.report import MIB, Outcome, table
from benchmarks.rivals import Run, SinkEndedError, Task, connect_s3
from benchmarks.runs import Servers, make_bucket

HEAPS_MIB = (256, 384, 512, 768, 1024, 1536, 2048, 3072, 4096, 6144, 8192, 12288, 16384)
_SHARE_OF_MEMORY = 0.7
"""Of what is available: a larger heap would measure the swap, or end a neighbour."""


@dataclass(frozen=True, slots=True)
class Heap:
    """`run` is the one with the smallest heap that survives; None where none of those tried did."""

    places: int
    died_mib: int
    heap_mib: int
    run: Run | None


def smallest_heap(
    data: DataSet, plugin: Path, topic: str, servers: Servers, say: Callable[[str], None]
) -> Heap:
    """About four runs; each heap is tried with a worker of its own."""
    room = psutil.virtual_memory().available / MIB * _SHARE_OF_MEMORY

    def tried(heap_mib: int) -> Run | None:
        run = _tried(heap_mib, data, plugin, topic, servers)
        say(f"{data.places:,} S3 partitions, -Xmx{heap_mib}m: {'lives' if run else 'dies'}")
        return run

    return halved([heap for heap in HEAPS_MIB if heap < room], data.places, tried)


def halved(heaps: Sequence[int], places: int, tried: Callable[[int], Run | None]) -> Heap:
    """The least of `heaps` (ascending) with which a run lives, taking more to be no worse."""
    survived: dict[int, Run] = {}
    low, high = 0, len(heaps)
    while low < high:
        middle = (low + high) // 2
        run = tried(heaps[middle])
        if run is None:
            low = middle + 1
        else:
            survived[heaps[middle]] = run
            high = middle
    best = min(survived, default=0)
    return Heap(places, heaps[low - 1] if low else 0, best, survived.get(best))


def _tried(heap_mib: int, data: DataSet, plugin: Path, topic: str, servers: Servers) -> Run | None:
    """None where the JVM ran out of memory."""
    name = f"heap-{uuid.uuid4().hex[:8]}"
    directory = servers.directory / name
    directory.mkdir()
    make_bucket(servers.s3, name)
    sink = Connector(plugin, "json", heap_mib, flush_records(data, commits=1))
    try:
        return connect_s3(sink, Task(data, topic, servers, name, directory))
    except SinkEndedError as error:
        if error.status != OUT_OF_MEMORY_STATUS:
            raise
        return None
    finally:
        shutil.rmtree(directory)
        shutil.rmtree(servers.s3.root / name)


def outcome_of(heaps: Sequence[Heap]) -> Outcome:
    """A row for each number of S3 partitions."""
    return Outcome(
        markdown=table([_row(heap) for heap in heaps]),
        cases=[{"heap": asdict(heap)} for heap in heaps],
        problems=[text for heap in heaps if heap.run for text in heap.run.problems],
    )


def _row(heap: Heap) -> dict[str, str]:
    run = heap.run
    return {
        "S3 partitions": f"{heap.places:,}",
        "Connect dies at -Xmx": f"{heap.died_mib}m" if heap.died_mib else "-",
        "lives at -Xmx": f"{heap.heap_mib}m" if run else "none tried",
        "RSS MiB": f"{run.rss_peak_bytes / MIB:,.0f}" if run else "-",
    }
