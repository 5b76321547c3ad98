"""`python -m benchmarks recovery`: how long a sink that was killed takes until it goes on.

`segments`: S3 hangs, everything is sealed, then kill -9; the clock runs from the new process's
start with all those segments in the spool. `open`: kill -9 with everything open, so that nothing
of the spool is of use and Kafka is read again. What S3 holds in the end is verified.

The sink is a static member of its group (`kafka.group_instance_id`): any other would first wait for
the end of the killed one's session (30 s by default), which tells nothing about the sink.
"""

import itertools
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

from benchmarks.data import DataSet, new_topic, produce, send
from benchmarks.report import MIB, Outcome, table
from benchmarks.runs import Case, Servers, config_of, one_sink
from benchmarks.sampler import Sampler
from benchmarks.sink import SinkProcess, total
from benchmarks.verify import Group, written_in

_PARTITIONS = 4
_PLACES = 10
_MORE = 40
_WAIT = {"seconds": 900.0, "look_seconds": 0.05}


@dataclass(frozen=True, slots=True)
class Recovery:
    """Seconds from the start of the new process.

    `up` until its admin port is open, `polled` until the first record of the new process is
    appended, `repeated` until every record of before that is not sealed is appended again,
    `committed` until the last offset is.
    """

    name: str
    segments: int
    spool_bytes: int
    up_seconds: float
    polled_seconds: float
    repeated_seconds: float
    committed_seconds: float
    cpu_seconds: float
    rss_high_water_bytes: int
    problems: Sequence[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Setting:
    """One sink on one topic, with the group that is asked from outside."""

    data: DataSet
    sink: SinkProcess
    group: Group
    servers: Servers
    name: str


@contextmanager
def _setting(data: DataSet, topic: str, servers: Servers) -> Iterator[Setting]:
    def configure(name: str) -> dict[str, object]:
        config = config_of(Case(data, keeps_open=True), topic, name, servers)
        kafka: Any = config["kafka"]
        return {**config, "kafka": {**kafka, "group_instance_id": name}}

    with one_sink("again", configure, topic, data.partitions, servers) as (sink, group, name):
        try:
            yield Setting(data, sink, group, servers, name)
        finally:
            # The store may hang for the measurement's sake.
            servers.s3.resume()


def with_segments(segments: int, servers: Servers) -> Recovery:
    """A sealed spool; a few records come after it, so that the first poll can be seen."""
    data = DataSet(segments + _MORE, 250, "lz4", _PARTITIONS, segments, "mixed")
    kafka = servers.kafka.bootstrap_servers
    topic, rows = new_topic(data, kafka), data.rows()
    send(data, itertools.islice(rows, segments), topic, kafka)
    with _setting(data, topic, servers) as setting:
        sink = setting.sink
        sink.start()
        sink.until(lambda: _records(sink) >= segments, **_WAIT)
        servers.s3.suspend()
        sink.flush()
        sink.until(lambda: _sealed(sink) >= segments, **_WAIT)
        sink.kill()
        servers.s3.resume()
        send(data, rows, topic, kafka)
        return _again("segments", setting, segments, _MORE)


def with_open_data(mib: int, size_bytes: int, servers: Servers) -> Recovery:
    """An open spool."""
    data = DataSet(mib * MIB // size_bytes, size_bytes, "lz4", _PARTITIONS, _PLACES, "time")
    topic = produce(data, servers.kafka.bootstrap_servers)
    with _setting(data, topic, servers) as setting:
        sink = setting.sink
        sink.start()
        sink.until(lambda: _records(sink) >= data.records, **_WAIT)
        sink.kill()
        return _again("open", setting, len(list(sink.spool.rglob("*.open"))), data.records)


def _again(name: str, setting: Setting, segments: int, records: int) -> Recovery:
    sink, group = setting.sink, setting.group
    spool_bytes = sum(path.stat().st_size for path in sink.spool.rglob("*") if path.is_file())
    ends, began = group.ends(), time.monotonic()
    sink.launch()
    sink.wait_until_up()
    up = time.monotonic() - began
    sink.until(lambda: _records(sink) > 0, **_WAIT)
    polled = time.monotonic() - began
    sink.until(lambda: _records(sink) >= records, **_WAIT)
    repeated = time.monotonic() - began
    sink.flush()
    sink.until(lambda: group.committed() == ends, **_WAIT)
    committed = time.monotonic() - began
    sampler = Sampler(sink.pid)
    cpu, high_water = sampler.cpu_seconds(), sampler.high_water_bytes()
    sink.stop()
    return Recovery(
        name=name,
        segments=segments,
        spool_bytes=spool_bytes,
        up_seconds=up,
        polled_seconds=polled,
        repeated_seconds=repeated,
        committed_seconds=committed,
        cpu_seconds=cpu,
        rss_high_water_bytes=high_water,
        problems=written_in(setting.servers.s3.root / setting.name, setting.data).problems(
            setting.data
        ),
    )


def _records(sink: SinkProcess) -> float:
    return total(sink.samples(), "spoolsink_records_total")


def _sealed(sink: SinkProcess) -> float:
    found = sink.samples().get("spoolsink_spool_segments", ())
    return sum(value for labels, value in found if labels["state"] == "sealed")


def outcome_of(found: Sequence[Recovery]) -> Outcome:
    """A row for each."""
    return Outcome(
        markdown=table([_row(recovery) for recovery in found]),
        cases=[{"recovery": asdict(recovery)} for recovery in found],
        problems=[f"{r.name}: {text}" for r in found for text in r.problems],
    )


def _row(recovery: Recovery) -> dict[str, str]:
    return {
        "killed with": "sealed segments" if recovery.name == "segments" else "open segments",
        "segments": f"{recovery.segments:,}",
        "spool MiB": f"{recovery.spool_bytes / MIB:,.1f}",
        "admin port s": f"{recovery.up_seconds:.1f}",
        "first record s": f"{recovery.polled_seconds:.1f}",
        "repeated s": f"{recovery.repeated_seconds:.1f}",
        "committed s": f"{recovery.committed_seconds:.1f}",
        "CPU s": f"{recovery.cpu_seconds:.1f}",
        "RSS MiB": f"{recovery.rss_high_water_bytes / MIB:,.0f}",
    }
