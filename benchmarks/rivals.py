"""`python -m benchmarks rivals`: what else carries a topic to S3 or to a file, on the same records.

1. Each is a process tree that is measured from outside, whole life and between commits alike.
2. What each wrote is read back: every record once, or the row says what is wrong.
3. Who is not on this machine is left out with a word, never with a figure.
"""

import os
import shutil
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Protocol

from benchmarks.connect import Connector, Worker, flush_records
from benchmarks.data import DataSet
from benchmarks.report import MIB, Outcome, spread, table
from benchmarks.runs import Case, Point, Result, Servers, make_bucket, measure, rates
from benchmarks.sampler import Sampler
from benchmarks.verify import Group, written_in
from tests.servers.processes import STOP_SECONDS

QUIX_PYTHON = Path(__file__).parent.parent / "build" / "quix" / "bin" / "python"
CONNECT_HEAP_MIB = 1024
_RUN_SECONDS = 900.0
_LOOK_SECONDS = 0.1
_COMMITS = 4

NO_GUARANTEE = "none: a file, no offsets"
AT_LEAST_ONCE = "at least once, committed after S3"
EXACTLY_ONCE = "each record once, committed after S3"


@dataclass(frozen=True, slots=True)
class Run:
    """`cpu_seconds` is of the whole life; `between_*` is 0 for who commits nothing, or once."""

    records: int
    cpu_seconds: float
    wall_seconds: float
    between_records_per_cpu_second: float
    between_records_per_second: float
    rss_peak_bytes: int
    pss_peak_bytes: int
    problems: Sequence[str] = field(default_factory=list)

    @property
    def records_per_cpu_second(self) -> float:
        """Start and stop included."""
        return self.records / self.cpu_seconds


@dataclass(frozen=True, slots=True)
class Task:
    """What all of them get; the directory is fresh for each run, and `name` is a bucket."""

    data: DataSet
    topic: str
    servers: Servers
    name: str
    directory: Path


@dataclass(frozen=True, slots=True)
class Rival:
    """`missing` is the word why it is left out; empty where it can run."""

    name: str
    guarantee: str
    run: Callable[[Task], Run]
    missing: str = ""


class Running(Protocol):
    """A sink that goes on by itself."""

    @property
    def pid(self) -> int: ...
    def status(self) -> int | None: ...


def rivals(plugin: Path | None) -> list[Rival]:
    """All of them, spoolsink first; `plugin` is the directory of an S3 sink connector."""
    no_plugin = "" if plugin else "no --connect-plugin DIR"
    return [
        Rival("spoolsink", EXACTLY_ONCE, _spoolsink),
        Rival("kcat", NO_GUARANTEE, _kcat, "" if shutil.which("kcat") else "apt-get install kcat"),
        Rival("librdkafka (Python)", NO_GUARANTEE, lambda task: _consumer(task, "librdkafka")),
        Rival("aiokafka", NO_GUARANTEE, lambda task: _consumer(task, "aiokafka")),
        Rival("Connect, file sink, strings", "at least once, to a file", _connect_file),
        Rival("Connect, S3 sink, JSON", EXACTLY_ONCE, _connect_of(plugin, "json"), no_plugin),
        Rival("Connect, S3 sink, bytes", EXACTLY_ONCE, _connect_of(plugin, "bytes"), no_plugin),
        Rival("Quix Streams", AT_LEAST_ONCE, _quix, "" if QUIX_PYTHON.exists() else "make bench"),
    ]


def measured(rival: Rival, data: DataSet, topic: str, servers: Servers) -> Run:
    """One run; raises RuntimeError where it does not get to the end."""
    name = f"rival-{uuid.uuid4().hex[:8]}"
    directory = servers.directory / name
    directory.mkdir()
    make_bucket(servers.s3, name)
    try:
        return rival.run(Task(data, topic, servers, name, directory))
    finally:
        shutil.rmtree(directory)
        shutil.rmtree(servers.s3.root / name)


# -- each of them ----------------------------------------------------------------------------------


def _spoolsink(task: Task) -> Run:
    return run_of(measure(Case(task.data), task.topic, task.servers), task.data)


def run_of(result: Result, data: DataSet) -> Run:
    """Of the sink's own measurement, in the words of this module."""
    return Run(
        records=data.records,
        cpu_seconds=result.cpu_seconds,
        wall_seconds=result.lag_seconds,
        between_records_per_cpu_second=result.between_records_per_cpu_second,
        between_records_per_second=result.between_records_per_second,
        rss_peak_bytes=result.rss_high_water_bytes,
        pss_peak_bytes=result.pss_peak_bytes,
        problems=result.problems,
    )


def _kcat(task: Task) -> Run:
    file = task.directory / "records.jsonl"
    servers = task.servers.kafka.bootstrap_servers
    # As fast as it goes: all of every topic partition, one value a line, then the end.
    return _to_a_file(task, ["kcat", "-C", "-b", servers, "-t", task.topic, "-e", "-q"], file)


def _consumer(task: Task, library: str) -> Run:
    file = task.directory / "records.jsonl"
    words = [library, task.servers.kafka.bootstrap_servers, task.topic, str(file)]
    return _to_a_file(task, [sys.executable, "-m", "benchmarks.consumers", *words])


def _to_a_file(task: Task, command: Sequence[str], output: Path | None = None) -> Run:
    """A process that ends by itself; its CPU seconds are the kernel's own sum."""
    began = time.monotonic()
    with (output or task.directory / "output.log").open("wb") as out:
        process = subprocess.Popen(command, stdout=out)  # noqa: S603 (the words above)
        sampler = Sampler(process.pid)
        sampler.start()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        sampler.stop()
    if status:
        raise RuntimeError(f"{command[0]} ended with status {process.returncode}")
    return Run(
        records=task.data.records,
        cpu_seconds=usage.ru_utime + usage.ru_stime,
        wall_seconds=time.monotonic() - began,
        between_records_per_cpu_second=0.0,
        between_records_per_second=0.0,
        # Sampled: the kernel's own peak (ru_maxrss) begins with that of the process that forks.
        rss_peak_bytes=sampler.rss_peak_bytes,
        pss_peak_bytes=sampler.pss_peak_bytes,
        problems=_problems(task, task.directory, ".jsonl", is_placed=False),
    )


def _connect_file(task: Task) -> Run:
    sink = Connector(None, "bytes", CONNECT_HEAP_MIB, flush_records=0)
    worker = _worker(task, sink)
    try:
        run = _until_committed(task, worker, f"connect-{task.name}", worker.start)
    finally:
        worker.stop()
    return with_problems(run, _problems(task, task.directory, "records.txt", is_placed=False))


def _connect_of(plugin: Path | None, value: str) -> Callable[[Task], Run]:
    def run(task: Task) -> Run:
        sink = Connector(plugin, value, CONNECT_HEAP_MIB, flush_records(task.data))
        return connect_s3(sink, task)

    return run


def connect_s3(sink: Connector, task: Task) -> Run:
    """Raises SinkEndedError where the JVM ends, for want of memory too."""
    worker = _worker(task, sink)
    try:
        run = _until_committed(task, worker, f"connect-{task.name}", worker.start)
    finally:
        worker.stop()
    ending = ".json" if sink.value == "json" else ".bin"
    bucket = task.servers.s3.root / task.name
    return with_problems(run, _problems(task, bucket, ending, is_placed=True))


def _worker(task: Task, sink: Connector) -> Worker:
    servers = task.servers
    kafka = servers.kafka.bootstrap_servers
    return Worker(task.directory, kafka, servers.s3, topic=task.topic, name=task.name, sink=sink)


class _Quix:
    def __init__(self, task: Task) -> None:
        s3, kafka = task.servers.s3, task.servers.kafka.bootstrap_servers
        words = [kafka, task.topic, task.name, task.name, s3.endpoint_url, s3.region]
        secrets = [s3.access_key_id, s3.secret_access_key]
        records = str(task.data.records // _COMMITS)
        script = str(Path(__file__).with_name("quix_sink.py"))
        self._command = [str(QUIX_PYTHON), script, *words, *secrets, records]
        self._log = task.directory / "quix.log"
        self._directory = task.directory
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def status(self) -> int | None:
        return None if self._process is None else self._process.poll()

    def start(self) -> None:
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(  # noqa: S603 (our script)
                self._command, stdout=log, stderr=log, cwd=self._directory
            )

    def stop(self) -> None:
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def _quix(task: Task) -> Run:
    if task.data.records % _COMMITS:
        raise ValueError(f"records have to be a multiple of {_COMMITS}")
    sink = _Quix(task)
    try:
        run = _until_committed(task, sink, task.name, sink.start)
    finally:
        sink.stop()
    bucket = task.servers.s3.root / task.name
    return with_problems(run, _problems(task, bucket, ".jsonl", is_placed=False))


# -- measuring -------------------------------------------------------------------------------------


def _until_committed(task: Task, sink: Running, group_id: str, start: Callable[[], None]) -> Run:
    servers = task.servers.kafka.bootstrap_servers
    group = Group(servers, group_id, task.topic, task.data.partitions)
    ends, began, first = group.ends(), time.monotonic(), None
    start()
    sampler = Sampler(sink.pid)
    sampler.start()
    try:
        while (committed := group.committed()) != ends:
            below = sum(offset for offset in committed if offset > 0)
            if below and first is None:
                first = Point(time.monotonic(), sampler.cpu_seconds(), below)
            _check(sink, began)
            time.sleep(_LOOK_SECONDS)
        last = Point(time.monotonic(), sampler.cpu_seconds(), sum(ends))
    finally:
        sampler.stop()
        group.close()
    per_cpu, per_second = rates(first or last, last)
    return Run(
        records=task.data.records,
        cpu_seconds=last.cpu_seconds,
        wall_seconds=last.seconds - began,
        between_records_per_cpu_second=per_cpu,
        between_records_per_second=per_second,
        rss_peak_bytes=sampler.high_water_bytes(),
        pss_peak_bytes=sampler.pss_peak_bytes,
    )


def _check(sink: Running, began: float) -> None:
    if (status := sink.status()) is not None:
        raise SinkEndedError(status)
    if time.monotonic() - began > _RUN_SECONDS:
        raise RuntimeError(f"not at the end after {_RUN_SECONDS:.0f} s")


class SinkEndedError(RuntimeError):
    """A sink ended before the end of the topic; `status` as the system tells it."""

    def __init__(self, status: int) -> None:
        super().__init__(f"the sink ended with status {status}")
        self.status = status


def _problems(task: Task, directory: Path, ending: str, *, is_placed: bool) -> list[str]:
    found = written_in(directory, task.data, ending=ending, is_placed=is_placed)
    return found.problems(task.data)


def with_problems(run: Run, problems: Sequence[str]) -> Run:
    """The same run, judged."""
    return replace(run, problems=problems)


# -- the command -----------------------------------------------------------------------------------


def compared(
    chosen: Iterable[Rival],
    data: DataSet,
    topic: str,
    servers: Servers,
    *,
    repeats: int,
    say: Callable[[str], None],
) -> Outcome:
    """All in turn, again and again, so that what else the machine does meets them all alike."""
    found: dict[Rival, list[Run]] = {}
    for rival in chosen:
        if rival.missing:
            say(f"left out: {rival.name} ({rival.missing})")
        else:
            found[rival] = []
    failed = []
    for number in range(1, repeats + 1):
        for rival, runs in found.items():
            say(f"run {number} of {repeats}: {rival.name}")
            try:
                runs.append(measured(rival, data, topic, servers))
            except RuntimeError as error:
                # The others are worth as much without it.
                failed.append(f"{rival.name}: {error}")
            else:
                say(f"  {runs[-1].records_per_cpu_second:,.0f} records per CPU-second")
    done = {rival: runs for rival, runs in found.items() if runs}
    return Outcome(
        markdown=table([_row(rival, runs) for rival, runs in done.items()]),
        cases=[_as_data(rival, data, runs) for rival, runs in done.items()],
        problems=[
            *failed,
            *(f"{r.name}: {text}" for r, runs in done.items() for x in runs for text in x.problems),
        ],
    )


def _row(rival: Rival, runs: Sequence[Run]) -> dict[str, str]:
    between = [run.between_records_per_cpu_second for run in runs]
    return {
        "sink": rival.name,
        "guarantee": rival.guarantee,
        "records/CPU s": spread([run.records_per_cpu_second for run in runs], ",.0f"),
        "between commits": spread(between, ",.0f") if all(between) else "-",
        "wall s": spread([run.wall_seconds for run in runs], ".1f"),
        "RSS MiB": spread([run.rss_peak_bytes / MIB for run in runs], ".0f"),
        "PSS MiB": spread([run.pss_peak_bytes / MIB for run in runs], ".0f"),
    }


def _as_data(rival: Rival, data: DataSet, runs: Sequence[Run]) -> dict[str, object]:
    found = [{**asdict(run), "records_per_cpu_second": run.records_per_cpu_second} for run in runs]
    return {
        "rival": rival.name,
        "guarantee": rival.guarantee,
        "data": asdict(data),
        "runs": found,
    }
