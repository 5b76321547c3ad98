"""`python -m benchmarks.formats pairs|memory`: converters and formats, one real sink run for each.

`pairs` gives records per CPU-second of each converter with each format that it is used with;
`memory` holds 1,000 S3 partitions of Parquet with 50 columns open, then ends them all at once.
Every object is read back with a library that did not write it, and every record is looked for.
"""

import argparse
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import duckdb
import fastavro

from benchmarks.codings import CodedSet, columns, value_options
from benchmarks.data import Order, produce
from benchmarks.runs import Case, Servers, config_of, one_sink, running_servers
from benchmarks.sampler import Sampler
from benchmarks.sink import Samples, SinkProcess, total
from benchmarks.verify import Group

MIB = 1024 * 1024
EXIT_NOT_VERIFIED = 1
_WAIT = {"seconds": 900.0, "look_seconds": 0.1}
_PARTITIONS = 4
_MEMORY_PLACES = 1_000
_WITH_COLUMNS = ("csv", "avro", "parquet")
_BROUGHT_SCHEMA = ("avro", "protobuf")


@dataclass(frozen=True, slots=True)
class Pair:
    """`coding` is the converter's name but for `wide`, which is JSON of 50 columns."""

    coding: str
    form: str

    @property
    def converter(self) -> str:
        """`records.value`."""
        return "json" if self.coding == "wide" else self.coding


PAIRS = tuple(
    Pair(coding, form)
    for coding, forms in (
        ("json", ("jsonl", "avro", "parquet", "csv")),
        ("wide", ("parquet",)),
        ("string", ("text",)),
        ("bytes", ("bytes",)),
        ("avro", ("jsonl", "avro", "parquet")),
        ("protobuf", ("jsonl", "parquet")),
        ("cbor", ("jsonl",)),
        ("msgpack", ("jsonl",)),
    )
    for form in forms
)


@dataclass(frozen=True, slots=True)
class Run:
    """One sink run; `stall_seconds` is the bucket that holds the event loop's longest stall."""

    pair: Pair
    records: int
    cpu_seconds: float
    wall_seconds: float
    rss_high_water_bytes: int
    open_peak: int
    object_bytes: int
    stalls_over_100_ms: int
    stall_seconds: str
    problems: list[str] = field(default_factory=list)


def measure_pair(pair: Pair, data: CodedSet, servers: Servers) -> Run:
    """Raises RuntimeError when the sink does not get to the end."""
    topic = produce(data, servers.kafka.bootstrap_servers)

    def configure(name: str) -> dict[str, object]:
        return _config_of(pair, data, topic, name, servers)

    with one_sink("form", configure, topic, data.partitions, servers) as (sink, group, name):
        return _run(pair, data, sink, group, servers.s3.root / name)


def _config_of(
    pair: Pair, data: CodedSet, topic: str, name: str, servers: Servers
) -> dict[str, object]:
    found = config_of(Case(data, keeps_open=data.order == "mixed"), topic, name, servers)
    form: dict[str, object] = {"type": pair.form}
    if pair.form in _WITH_COLUMNS and pair.coding not in _BROUGHT_SCHEMA:
        form["columns"] = columns(is_wide=pair.coding == "wide")
    options = value_options(pair.coding, servers.directory / name)
    records = {"key": "bytes", "value": pair.converter, "value_options": options}
    return {**found, "format": form, "records": records}


def _run(pair: Pair, data: CodedSet, sink: SinkProcess, group: Group, bucket: Path) -> Run:
    sink.start()
    sampler = Sampler(sink.pid, sink.spool)
    startup, began, ends, open_peak = sampler.cpu_seconds(), time.monotonic(), group.ends(), 0

    def is_read() -> bool:
        nonlocal open_peak
        samples = sink.samples()
        open_peak = max(open_peak, int(total(samples, "spoolsink_open_partitions")))
        all_open = data.order == "time" or open_peak >= data.places
        return all_open and total(samples, "spoolsink_records_total") >= data.records

    sink.until(is_read, **_WAIT)
    sink.flush()
    sink.until(lambda: group.committed() == ends, **_WAIT)
    cpu, high = sampler.cpu_seconds() - startup, sampler.high_water_bytes()
    wall, samples = time.monotonic() - began, sink.samples()
    sink.stop()
    files = [path for path in bucket.rglob("*+*") if path.is_file()]
    return Run(
        pair=pair,
        records=data.records,
        cpu_seconds=cpu,
        wall_seconds=wall,
        rss_high_water_bytes=high,
        open_peak=open_peak,
        object_bytes=sum(path.stat().st_size for path in files),
        stalls_over_100_ms=_stalls(samples),
        stall_seconds=_longest_stall(samples),
        problems=problems_of(pair, files, data.records),
    )


def _buckets(samples: Samples) -> list[tuple[str, float]]:
    found = samples.get("spoolsink_loop_stall_seconds_bucket", ())
    return sorted(((labels["le"], n) for labels, n in found), key=lambda pair: float(pair[0]))


def _stalls(samples: Samples) -> int:
    short = sum(count for bound, count in _buckets(samples) if float(bound) == 0.1)  # noqa: PLR2004
    return int(total(samples, "spoolsink_loop_stall_seconds_count") - short)


def _longest_stall(samples: Samples) -> str:
    buckets = _buckets(samples)
    return next((bound for bound, count in buckets if count == buckets[-1][1]), "")


# -- reading back ----------------------------------------------------------------------------------


def problems_of(pair: Pair, files: Sequence[Path], records: int) -> list[str]:
    """What is wrong with the objects; empty when every record is in them once."""
    found = _ids(pair.form, files)
    if sorted(found) == list(range(records)):
        return []
    return [f"{pair.coding} -> {pair.form}: {len(found)} records, {len(set(found))} distinct"]


def _ids(form: str, files: Sequence[Path]) -> list[int]:
    if form == "avro":
        return [number for path in files for number in _avro_ids(path)]
    names = [str(path) for path in files]
    if form == "parquet":
        return _asked("select id from read_parquet(?)", names)
    if form == "csv":
        return _asked("select column0 from read_csv(?, header = false)", names)
    json = "read_json(?, format = 'newline_delimited', columns = {id: 'bigint'})"
    return _asked(f"select id from {json}", names)  # noqa: S608 (our own words)


def _asked(query: str, names: Sequence[str]) -> list[int]:
    with duckdb.connect() as connection:
        return [row[0] for row in connection.execute(query, [list(names)]).fetchall()]


def _avro_ids(path: Path) -> Iterable[int]:
    with path.open("rb") as file:
        for record in fastavro.reader(file):
            found: Any = record
            yield found["id"]


# -- the command -----------------------------------------------------------------------------------


def markdown(runs: Sequence[Run]) -> str:
    """A row for each run."""
    lines: list[str] = []
    for run in runs:
        cells: Mapping[str, str] = {
            "converter": "json, 50 columns" if run.pair.coding == "wide" else run.pair.coding,
            "format": run.pair.form,
            "records/CPU s": f"{run.records / run.cpu_seconds:,.0f}",
            "CPU s": f"{run.cpu_seconds:,.1f}",
            "wall s": f"{run.wall_seconds:,.1f}",
            "RSS MiB": f"{run.rss_high_water_bytes / MIB:,.0f}",
            "open": f"{run.open_peak:,}",
            "stored MiB": f"{run.object_bytes / MIB:,.1f}",
            "stalls > 100 ms": f"{run.stalls_over_100_ms}",
            "longest stall s": f"<= {run.stall_seconds}",
        }
        if not lines:
            lines = [_row(cells.keys()), _row(["---"] * len(cells))]
        lines.append(_row(cells.values()))
    return "\n".join(lines) + "\n"


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def data_of(pair: Pair, records: int, *, order: Order, places: int) -> CodedSet:
    """The records of a run."""
    return CodedSet(records, 250, "lz4", _PARTITIONS, places, order, 65_536, pair.coding)


def _pairs(records: int, names: Sequence[str]) -> list[tuple[Pair, CodedSet]]:
    chosen = [pair for pair in PAIRS if not names or f"{pair.coding}-{pair.form}" in names]
    return [(pair, data_of(pair, records, order="time", places=10)) for pair in chosen]


def _memory(records: int, _: Sequence[str]) -> list[tuple[Pair, CodedSet]]:
    pair = Pair("wide", "parquet")
    return [(pair, data_of(pair, records, order="mixed", places=_MEMORY_PLACES))]


def main(arguments: Sequence[str]) -> int:
    """0, or 1 when something written is not what was produced."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.formats", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, make, text in (
        ("pairs", _pairs, "records per CPU-second of each converter and format"),
        ("memory", _memory, "1,000 open S3 partitions of Parquet with 50 columns"),
    ):
        command = commands.add_parser(name, help=text)
        command.add_argument("--records", type=int, default=100_000, help="of each run")
        command.add_argument("pairs", nargs="*", help="only these, as json-parquet")
        command.set_defaults(make=make)
    options = parser.parse_args(arguments)
    with running_servers() as servers:
        measured = list(map(partial(_told, servers), options.make(options.records, options.pairs)))
    sys.stdout.write(markdown(measured))
    problems = [text for run in measured for text in run.problems]
    sys.stderr.write("".join(f"NOT VERIFIED: {text}\n" for text in problems))
    return EXIT_NOT_VERIFIED if problems else 0


def _told(servers: Servers, one: tuple[Pair, CodedSet]) -> Run:
    pair, data = one
    sys.stderr.write(f"{pair.coding} -> {pair.form}: {data.records:,} records\n")
    sys.stderr.flush()
    return measure_pair(pair, data, servers)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
