"""One measurement: a fresh bucket, group and spool, one sink, to the last committed offset.

1. The clock of a run goes from the group's first commit (its start, before the first record) to
   the one behind the last record; CPU is counted for the process's whole life up to there, the
   time before the admin port opened (imports) apart.
2. "Between" is from the first commit with records below it to the last one: start and warming up
   are behind, and the records below the first commit do not count.
3. A result is of no use unless everything written was verified; `problems` says so.
"""

import os
import shutil
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from botocore.session import Session

from benchmarks.codings import value_options
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
    """What is measured; `keeps_open` holds all S3 partitions open until everything is read.

    `sees_lag` also waits for the sink's own word that nothing is left, which is 10 s old at most.
    """

    data: DataSet
    mode: str = "disk"
    compression: str = "none"
    keeps_open: bool = False
    coding: str = "json"
    processes: int = 1
    sees_lag: bool = False


@dataclass(frozen=True, slots=True)
class Point:
    """A moment of a run, CPU seconds of all processes so far, and records below the commits."""

    seconds: float
    cpu_seconds: float
    committed: int


@dataclass(frozen=True, slots=True)
class Result:
    """One run. Peaks are sums over the sink's processes; `objects` and bytes are what S3 holds.

    `between_*` is 0 where a single commit took all. `lag_seconds` is from the start of the process
    until everything was committed.

    `yardstick_seconds` (a fixed loop, see `Sampler`) and the load average of the minute before
    tell runs on a busy machine from others: their CPU seconds are longer by up to a half.
    """

    records_per_cpu_second: float
    records_per_second: float
    cpu_seconds: float
    startup_cpu_seconds: float
    wall_seconds: float
    lag_seconds: float
    between_records_per_cpu_second: float
    between_records_per_second: float
    rss_peak_bytes: int
    rss_high_water_bytes: int
    pss_peak_bytes: int
    spool_peak_bytes: int
    open_peak: int
    s3_requests: int
    upload_bytes: int
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


@contextmanager
def one_sink(
    prefix: str,
    configure: Callable[[str], dict[str, object]],
    topic: str,
    partitions: int,
    servers: Servers,
) -> Iterator[tuple[SinkProcess, Group, str]]:
    """A sink of a topic that is not started yet, its group, and the name of it and its bucket.

    `configure` makes its configuration of that name. Nothing is left of it in the end.
    """
    name = f"{prefix}-{uuid.uuid4().hex[:8]}"
    directory = servers.directory / name
    directory.mkdir()
    make_bucket(servers.s3, name)
    sink = SinkProcess(directory, configure(name))
    group = Group(servers.kafka.bootstrap_servers, f"spoolsink-{name}", topic, partitions)
    try:
        yield sink, group, name
    finally:
        group.close()
        sink.kill()
        shutil.rmtree(directory)
        shutil.rmtree(servers.s3.root / name)


def measure(case: Case, topic: str, servers: Servers, checkout: Path | None = None) -> Result:
    """Of this code, or another checkout's; RuntimeError when the sink does not get to the end."""
    name = f"bench-{uuid.uuid4().hex[:8]}"
    directory = servers.directory / name
    make_bucket(servers.s3, name)
    sinks = [
        SinkProcess(*_made(directory / str(number), case, topic, name, servers), checkout)
        for number in range(case.processes)
    ]
    partitions = case.data.partitions
    group = Group(servers.kafka.bootstrap_servers, f"spoolsink-{name}", topic, partitions)
    try:
        return _Run(case, sinks, group).result(servers.s3.root / name)
    finally:
        group.close()
        for sink in sinks:
            sink.kill()
        # Runs are many and large; a failed one has told the end of its log.
        shutil.rmtree(directory)
        shutil.rmtree(servers.s3.root / name)


def _made(
    directory: Path, case: Case, topic: str, name: str, servers: Servers
) -> tuple[Path, dict[str, object]]:
    """A sink's directory and its configuration."""
    directory.mkdir(parents=True)
    config = config_of(case, topic, name, servers)
    if case.coding != "json":
        options = value_options(case.coding, directory)
        config["records"] = {"key": "bytes", "value": case.coding, "value_options": options}
    return directory, config


class _Run:
    def __init__(self, case: Case, sinks: Sequence[SinkProcess], group: Group) -> None:
        self._case = case
        self._sinks = sinks
        self._group = group
        self._samplers: list[Sampler] = []
        self._scrapes_since_read = 0
        self._open_peak = 0

    def result(self, bucket: Path) -> Result:
        data = self._case.data
        ends, load = self._group.ends(), os.getloadavg()[0]
        began = time.monotonic()
        startup = self._start()
        try:
            start, first, last = self._until_committed(ends)
        finally:
            for sampler in self._samplers:
                sampler.stop()
        high_water = self._sum(Sampler.high_water_bytes)
        scraped = self._until_no_lag() if self._case.sees_lag else self._samples()
        for sink in self._sinks:
            sink.stop()
        written = written_in(bucket, data)
        per_cpu, per_second = rates(first, last)
        return Result(
            records_per_cpu_second=data.records / (last.cpu_seconds - startup),
            records_per_second=data.records / (last.seconds - start.seconds),
            cpu_seconds=last.cpu_seconds,
            startup_cpu_seconds=startup,
            wall_seconds=last.seconds - start.seconds,
            lag_seconds=last.seconds - began,
            between_records_per_cpu_second=per_cpu,
            between_records_per_second=per_second,
            rss_peak_bytes=self._sum(lambda sampler: sampler.rss_peak_bytes),
            rss_high_water_bytes=high_water,
            pss_peak_bytes=self._sum(lambda sampler: sampler.pss_peak_bytes),
            spool_peak_bytes=self._sum(lambda sampler: sampler.spool_peak_bytes),
            open_peak=self._open_peak,
            s3_requests=_all_of(scraped, "spoolsink_s3_requests_total"),
            upload_bytes=_all_of(scraped, "spoolsink_upload_bytes_total"),
            objects=written.objects,
            object_bytes=written.object_bytes,
            stalls_over_100_ms=sum(map(_stalls, scraped)),
            yardstick_seconds=self._samplers[0].yardstick_seconds(),
            load_average=load,
            problems=[*written.problems(data), *self._problems(ends)],
        )

    def _start(self) -> float:
        """CPU seconds until the admin ports are open."""
        for sink in self._sinks:
            sink.launch()
        for sink in self._sinks:
            sink.wait_until_up()
        self._samplers = [Sampler(sink.pid, sink.spool) for sink in self._sinks]
        startup = self._cpu_seconds()
        for sampler in self._samplers:
            sampler.start()
        return startup

    def _cpu_seconds(self) -> float:
        return sum(sampler.cpu_seconds() for sampler in self._samplers)

    def _sum(self, of: Callable[[Sampler], int]) -> int:
        return sum(map(of, self._samplers))

    def _problems(self, ends: Sequence[int]) -> list[str]:
        found, places = [], self._case.data.places
        if self._case.keeps_open and self._open_peak != places:
            found.append(f"{self._open_peak} of {places} S3 partitions open at a time")
        if self._group.committed() != ends:
            found.append("a clean stop has moved the committed offsets")
        return found

    def _until_committed(self, ends: Sequence[int]) -> tuple[Point, Point, Point]:
        """The group's first commit, the first with records below it, and the last."""
        start: Point | None = None
        first: Point | None = None
        scraped = 0.0
        deadline = time.monotonic() + _RUN_SECONDS
        while (now := time.monotonic()) < deadline:
            committed = self._group.committed()
            below = sum(offset for offset in committed if offset > 0)
            point = Point(now, self._cpu_seconds(), below)
            start = start or (point if max(committed) >= 0 else None)
            first = first or (point if below else None)
            if start is not None and first is not None and committed == ends:
                return start, first, point
            if now - scraped >= _SCRAPE_SECONDS:
                scraped = now
                self._scrape()
            time.sleep(_LOOK_SECONDS)
        raise RuntimeError(f"not committed after {_RUN_SECONDS:.0f} s: {committed} of {ends}")

    def _scrape(self) -> None:
        for sink in self._sinks:
            sink.check()
        scraped = self._samples()
        is_read = _all_of(scraped, "spoolsink_records_total") >= self._case.data.records
        self._open_peak = max(self._open_peak, _all_of(scraped, "spoolsink_open_partitions"))
        self._scrapes_since_read += is_read
        # The gauge comes up to a second behind the counter, and is to be seen before the end.
        if self._scrapes_since_read == (3 if self._case.keeps_open else 1):
            for sink in self._sinks:
                sink.flush()

    def _samples(self) -> list[Samples]:
        return [sink.samples() for sink in self._sinks]

    def _until_no_lag(self) -> list[Samples]:
        """The sinks' own word for it; raises RuntimeError where they never say so."""
        deadline = time.monotonic() + _LAG_SECONDS
        while time.monotonic() < deadline:
            scraped = self._samples()
            found = [samples.get("spoolsink_lag_records", ()) for samples in scraped]
            lags = [value for values in found for _, value in values]
            if len(lags) == self._case.data.partitions and not any(lags):
                return scraped
            time.sleep(_LOOK_SECONDS)
        raise RuntimeError(f"all is committed, and the lag is {lags}")


def rates(first: Point, last: Point) -> tuple[float, float]:
    """Records per CPU-second and per second between them; 0 where there is nothing between."""
    records, cpu = last.committed - first.committed, last.cpu_seconds - first.cpu_seconds
    if not records or cpu <= 0:
        return 0.0, 0.0
    return records / cpu, records / (last.seconds - first.seconds)


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
        "layout": {"partition": FIELD_TEMPLATE if data.order == "mixed" else TIME_TEMPLATE},
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


def _all_of(scraped: Sequence[Samples], name: str) -> int:
    return int(sum(total(samples, name) for samples in scraped))


def _stalls(samples: Samples) -> int:
    buckets = samples.get("spoolsink_loop_stall_seconds_bucket", ())
    short = sum(value for labels, value in buckets if labels["le"] == "0.1")
    return int(total(samples, "spoolsink_loop_stall_seconds_count") - short)
