"""One measurement: a fresh bucket, group and spool, one sink, to the last committed offset.

1. The clock of a run goes from the group's first commit (its start, before the first record) to
   the one behind the last record; CPU is counted for the process's whole life up to there, the
   time before the admin port opened (imports) apart.
2. A result is of no use unless everything written was verified; `problems` says so.
"""

import os
import shutil
import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from botocore.session import Session

from benchmarks.data import DataSet
from benchmarks.sampler import Sampler
from benchmarks.sink import Samples, SinkProcess, total
from benchmarks.verify import FIELD_TEMPLATE, TIME_TEMPLATE, Group, written_in
from tests.servers.processes import KafkaServer, S3Server

_RUN_SECONDS = 900.0
_LAG_SECONDS = 45.0
_LOOK_SECONDS = 0.1
_SCRAPE_SECONDS = 1.0
"""The sink's gauges are a second old at most."""

_CUTS = 4
"""Of each topic partition, where cuts end by records: reading and uploading overlap."""


@dataclass(frozen=True, slots=True)
class Case:
    """What is measured; `keeps_open` holds all S3 partitions open until everything is read."""

    data: DataSet
    mode: str = "disk"
    compression: str = "none"
    keeps_open: bool = False


@dataclass(frozen=True, slots=True)
class Result:
    """One run. Peaks are of the sink's process; `objects` and bytes are what S3 holds.

    `yardstick_seconds` (a fixed loop, see `Sampler`) and the load average of the minute before
    tell runs on a busy machine from others: their CPU seconds are longer by up to a half.
    """

    records_per_cpu_second: float
    records_per_second: float
    cpu_seconds: float
    startup_cpu_seconds: float
    wall_seconds: float
    rss_peak_bytes: int
    rss_high_water_bytes: int
    spool_peak_bytes: int
    open_peak: int
    s3_requests: int
    objects: int
    object_bytes: int
    stalls_over_100_ms: int
    yardstick_seconds: float
    load_average: float
    problems: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Servers:
    """Both are up; `directory` is for what the runs leave behind."""

    kafka: KafkaServer
    s3: S3Server
    directory: Path


@contextmanager
def running_servers() -> Iterator[Servers]:
    """Both, in a directory that is deleted in the end."""
    with tempfile.TemporaryDirectory(prefix="spoolsink-bench-") as name:
        directories = [Path(name, part) for part in ("kafka", "s3", "runs")]
        for directory in directories:
            directory.mkdir()
        kafka, s3 = KafkaServer(directories[0]), S3Server(directories[1])
        try:
            kafka.start()
            s3.start()
            yield Servers(kafka, s3, directories[2])
        finally:
            kafka.stop()
            s3.stop()


def measure(case: Case, topic: str, servers: Servers) -> Result:
    """Raises RuntimeError when the sink does not get to the end."""
    name = f"bench-{uuid.uuid4().hex[:8]}"
    directory = servers.directory / name
    directory.mkdir()
    make_bucket(servers.s3, name)
    config = config_of(case, topic, name, servers)
    sink = SinkProcess(directory, config)
    data = case.data
    group = Group(servers.kafka.bootstrap_servers, f"spoolsink-{name}", topic, data.partitions)
    try:
        return _Run(case, sink, group).result(servers.s3.root / name)
    finally:
        group.close()
        sink.kill()
        # Runs are many and large; a failed one has told the end of its log.
        shutil.rmtree(directory)
        shutil.rmtree(servers.s3.root / name)


class _Run:
    def __init__(self, case: Case, sink: SinkProcess, group: Group) -> None:
        self._case = case
        self._sink = sink
        self._group = group
        self._open_peak = 0
        self._scrapes_since_read = 0

    def result(self, bucket: Path) -> Result:
        data, sink = self._case.data, self._sink
        ends, load = self._group.ends(), os.getloadavg()[0]
        sink.start()
        sampler = Sampler(sink.pid, sink.spool)
        startup = sampler.cpu_seconds()
        sampler.start()
        try:
            wall = self._until_committed(ends)
            cpu = sampler.cpu_seconds()
        finally:
            sampler.stop()
        high_water = sampler.high_water_bytes()
        samples = self._until_no_lag()
        sink.stop()
        written = written_in(bucket, data)
        problems = written.problems(data)
        if self._case.keeps_open and self._open_peak != data.places:
            problems.append(f"{self._open_peak} of {data.places} S3 partitions open at a time")
        if self._group.committed() != ends:
            problems.append("a clean stop has moved the committed offsets")
        return Result(
            records_per_cpu_second=data.records / (cpu - startup),
            records_per_second=data.records / wall,
            cpu_seconds=cpu,
            startup_cpu_seconds=startup,
            wall_seconds=wall,
            rss_peak_bytes=sampler.rss_peak_bytes,
            rss_high_water_bytes=high_water,
            spool_peak_bytes=sampler.spool_peak_bytes,
            open_peak=self._open_peak,
            s3_requests=int(total(samples, "spoolsink_s3_requests_total")),
            objects=written.objects,
            object_bytes=written.object_bytes,
            stalls_over_100_ms=_stalls(samples),
            yardstick_seconds=sampler.yardstick_seconds(),
            load_average=load,
            problems=problems,
        )

    def _until_committed(self, ends: list[int]) -> float:
        """Seconds from the first commit to the last."""
        first, scraped = 0.0, 0.0
        deadline = time.monotonic() + _RUN_SECONDS
        while (now := time.monotonic()) < deadline:
            committed = self._group.committed()
            if not first and max(committed) >= 0:
                first = now
            if committed == ends:
                return now - first
            if now - scraped >= _SCRAPE_SECONDS:
                scraped = now
                self._scrape()
            self._sink.check()
            time.sleep(_LOOK_SECONDS)
        raise RuntimeError(f"not committed after {_RUN_SECONDS:.0f} s: {committed} of {ends}")

    def _scrape(self) -> None:
        samples = self._sink.samples()
        is_read = total(samples, "spoolsink_records_total") >= self._case.data.records
        self._open_peak = max(self._open_peak, int(total(samples, "spoolsink_open_partitions")))
        self._scrapes_since_read += is_read
        # The gauge comes up to a second behind the counter, and is to be seen before the end.
        if self._scrapes_since_read == (3 if self._case.keeps_open else 1):
            self._sink.flush()

    def _until_no_lag(self) -> Samples:
        """The sink's own word for it; raises RuntimeError where it never says so."""
        deadline = time.monotonic() + _LAG_SECONDS
        while time.monotonic() < deadline:
            samples = self._sink.samples()
            lags = [value for _, value in samples.get("spoolsink_lag_records", ())]
            if len(lags) == self._case.data.partitions and not any(lags):
                return samples
            time.sleep(_LOOK_SECONDS)
        raise RuntimeError(f"all is committed, and the lag is {lags}")


def config_of(case: Case, topic: str, name: str, servers: Servers) -> dict[str, object]:
    """The sink's YAML as a tree, less spool directory and admin port."""
    data, s3 = case.data, servers.s3
    rotate: Mapping[str, object] = {
        "bytes": "64GiB",
        "max_age": "1h",
        "max_open": 1_000_000,
        "records": None if case.keeps_open else -(-data.records // (data.partitions * _CUTS)),
    }
    return {
        "name": name,
        "kafka": {"bootstrap_servers": servers.kafka.bootstrap_servers, "topics": topic},
        "layout": {"partition": TIME_TEMPLATE if data.order == "time" else FIELD_TEMPLATE},
        "format": {"type": "jsonl", "compression": case.compression},
        "rotate": rotate,
        "spool": {"mode": case.mode, "max_open": 1_000_000},
        "s3": {
            "bucket": name,
            "endpoint_url": s3.endpoint_url,
            "region": s3.region,
            "addressing_style": "path",
            "access_key_id": s3.access_key_id,
            "secret_access_key": s3.secret_access_key,
        },
    }


def make_bucket(s3: S3Server, name: str) -> None:
    """A new one, empty."""
    client = Session().create_client(
        "s3",
        endpoint_url=s3.endpoint_url,
        region_name=s3.region,
        aws_access_key_id=s3.access_key_id,
        aws_secret_access_key=s3.secret_access_key,
    )
    client.create_bucket(Bucket=name)


def _stalls(samples: Samples) -> int:
    buckets = samples.get("spoolsink_loop_stall_seconds_bucket", ())
    short = sum(value for labels, value in buckets if labels["le"] == "0.1")
    return int(total(samples, "spoolsink_loop_stall_seconds_count") - short)
