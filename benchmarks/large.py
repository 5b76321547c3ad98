"""`python -m benchmarks.large`: one S3 partition, one object, many times larger than memory.

The object is compared with what was produced byte by byte, and its requests are counted. Kafka's
disk holds less than half of it (lz4); the spool and the store hold it whole.
"""

import argparse
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.data import DataSet, produce
from benchmarks.runs import Case, Servers, config_of, one_sink, running_servers
from benchmarks.sampler import Sampler
from benchmarks.sink import Samples, SinkProcess, total
from benchmarks.verify import Group

MIB = 1024 * 1024
EXIT_NOT_VERIFIED = 1
_VALUE_BYTES = 65_535
"""And a newline behind each."""

_BATCH_BYTES = 512 * 1024
_WAIT = {"seconds": 3600.0, "look_seconds": 0.2}
_STORE_TIMEOUT = "10m"
"""The test's store copies all parts of an upload when it is completed."""


@dataclass(frozen=True, slots=True)
class Large:
    """One run. Peaks are of the sink's process; `requests` are those sent to S3, by operation."""

    object_bytes: int
    part_bytes: int
    rss_high_water_bytes: int
    spool_peak_bytes: int
    read_seconds: float
    upload_seconds: float
    cpu_seconds: float
    requests: Mapping[str, int]
    problems: list[str] = field(default_factory=list)

    def markdown(self) -> str:
        """A table of one row."""
        cells = {
            "object MiB": f"{self.object_bytes / MIB:,.0f}",
            "parts": f"{-(-self.object_bytes // self.part_bytes):,}",
            "RSS MiB": f"{self.rss_high_water_bytes / MIB:,.0f}",
            "spool MiB": f"{self.spool_peak_bytes / MIB:,.0f}",
            "read s": f"{self.read_seconds:,.0f}",
            "upload s": f"{self.upload_seconds:,.0f}",
            "CPU s": f"{self.cpu_seconds:,.0f}",
        }
        rows = (cells.keys(), ["---"] * len(cells), cells.values())
        return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def data_of(size_mib: int) -> DataSet:
    """Records that fill one S3 partition of one topic partition."""
    count = size_mib * MIB // (_VALUE_BYTES + 1)
    return DataSet(count, _VALUE_BYTES, "lz4", 1, 1, "mixed", batch_bytes=_BATCH_BYTES)


def measure_large(data: DataSet, part_bytes: int, servers: Servers) -> Large:
    """Raises RuntimeError when the sink does not get to the end."""
    topic = produce(data, servers.kafka.bootstrap_servers)

    def configure(name: str) -> dict[str, object]:
        return _config_of(data, topic, name, part_bytes, servers)

    with one_sink("large", configure, topic, 1, servers) as (sink, group, name):
        return _run(data, part_bytes, sink, group, servers.s3.root / name)


def _config_of(
    data: DataSet, topic: str, name: str, part_bytes: int, servers: Servers
) -> dict[str, object]:
    """One cut, one split: nothing ends before all is read."""
    found = config_of(Case(data, keeps_open=True), topic, name, servers)
    over: dict[str, dict[str, object]] = {
        "rotate": {"object_bytes": None},
        "spool": {"max_bytes": f"{max(1, data.records * _VALUE_BYTES // MIB // 256)}GiB"},
        "s3": {"part_size": f"{part_bytes}B", "request_timeout": _STORE_TIMEOUT},
    }
    for section, changes in over.items():
        before: Any = found[section]
        found[section] = {**before, **changes}
    return found


def _run(data: DataSet, part_bytes: int, sink: SinkProcess, group: Group, bucket: Path) -> Large:
    began = time.monotonic()
    sink.start()
    sampler = Sampler(sink.pid, sink.spool)
    sampler.start()
    try:
        sink.until(
            lambda: total(sink.samples(), "spoolsink_records_total") >= data.records, **_WAIT
        )
        read = time.monotonic()
        sink.flush()
        sink.until(lambda: group.committed() == group.ends(), **_WAIT)
        ended = time.monotonic()
    finally:
        sampler.stop()
    samples, cpu, high = sink.samples(), sampler.cpu_seconds(), sampler.high_water_bytes()
    sink.stop()
    objects = [path for path in bucket.rglob("*.json") if path.is_file()]
    return Large(
        object_bytes=sum(path.stat().st_size for path in objects),
        part_bytes=part_bytes,
        rss_high_water_bytes=high,
        spool_peak_bytes=sampler.spool_peak_bytes,
        read_seconds=read - began,
        upload_seconds=ended - read,
        cpu_seconds=cpu,
        requests=_requests_of(samples),
        problems=_problems(objects, data),
    )


def _requests_of(samples: Samples) -> dict[str, int]:
    found = samples.get("spoolsink_s3_requests_total", ())
    return {labels["operation"]: int(value) for labels, value in found if value}


def _problems(objects: Sequence[Path], data: DataSet) -> list[str]:
    """Every byte, in the order in which it was produced."""
    if len(objects) != 1:
        return [f"{len(objects)} objects instead of one"]
    with objects[0].open("rb") as lines:
        for number, row in enumerate(data.rows()):
            if lines.readline() != row.value + b"\n":
                return [f"record {number} is not what was produced"]
        return [] if not lines.read(1) else ["more than was produced"]


def main(arguments: Sequence[str]) -> int:
    """0, or 1 when the object is not what was produced."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.large", description=__doc__)
    parser.add_argument("--mib", type=int, default=5 * 1024, help="size of the object")
    parser.add_argument("--part-mib", type=int, default=8, help="s3.part_size")
    options = parser.parse_args(arguments)
    with running_servers() as servers:
        found = measure_large(data_of(options.mib), options.part_mib * MIB, servers)
    requests = ", ".join(f"{name} {count:,}" for name, count in sorted(found.requests.items()))
    sys.stdout.write(f"{found.markdown()}\nRequests: {requests}.\n")
    for text in found.problems:
        sys.stderr.write(f"NOT VERIFIED: {text}\n")
    return EXIT_NOT_VERIFIED if found.problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
