"""`python -m benchmarks COMMAND`: the table on standard output, progress on standard error."""

import argparse
import sys
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path

from benchmarks import report
from benchmarks.data import DataSet, Order, produce
from benchmarks.runs import Case, Result, Servers, measure, running_servers

EXIT_NOT_VERIFIED = 1
RESULTS = Path(__file__).parent / "results"
MEMORY_PLACES = (10, 100, 1_000, 10_000)
TIME_PLACES = 10
QUICK_PLACES = 100


def main(arguments: Sequence[str]) -> int:
    """0, or 1 when something written is not what was produced."""
    options = _parser().parse_args(arguments)
    cases = options.cases(options)
    with running_servers() as servers:
        measured = _measured(cases, servers, options.repeats)
    sys.stdout.write(report.markdown(measured))
    path = report.write_json(options.results, options.command, measured)
    _say(f"results: {path.name}")
    problems = [text for _, results in measured for r in results for text in r.problems]
    for text in problems:
        _say(f"NOT VERIFIED: {text}")
    return EXIT_NOT_VERIFIED if problems else 0


def _measured(
    cases: Sequence[Case], servers: Servers, repeats: int
) -> list[tuple[Case, list[Result]]]:
    @lru_cache
    def topic_of(data: DataSet) -> str:
        _say(f"producing {data.records:,} records, {data.places:,} S3 partitions")
        return produce(data, servers.kafka.bootstrap_servers)

    measured: list[tuple[Case, list[Result]]] = [(case, []) for case in cases]
    # All cases in turn, again and again: what else the machine does meets them all alike.
    for number in range(1, repeats + 1):
        for case, results in measured:
            places = f"{case.data.places:,} S3 partitions"
            _say(f"run {number} of {repeats}: {places}, {case.mode}, {case.compression}")
            results.append(measure(case, topic_of(case.data), servers))
    return measured


def _throughput(options: argparse.Namespace) -> list[Case]:
    data = _data(options, "time", options.places or TIME_PLACES)
    return [Case(data, options.mode or "disk", options.compression)]


def _memory(options: argparse.Namespace) -> list[Case]:
    return [
        Case(_data(options, "mixed", places), mode, options.compression, keeps_open=True)
        for places in ([options.places] if options.places else MEMORY_PLACES)
        for mode in ([options.mode] if options.mode else ["disk", "memory"])
    ]


def _quick(options: argparse.Namespace) -> list[Case]:
    mixed = _data(options, "mixed", options.places or QUICK_PLACES)
    return [*_throughput(options), Case(mixed, keeps_open=True)]


def _data(options: argparse.Namespace, order: Order, places: int) -> DataSet:
    return DataSet(
        records=options.records,
        size_bytes=options.size,
        codec=options.codec,
        partitions=options.partitions,
        places=places,
        order=order,
        batch_bytes=options.batch_bytes,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    wanted: tuple[tuple[str, Callable[[argparse.Namespace], list[Case]], int, str], ...] = (
        ("throughput", _throughput, 1_000_000, "records per CPU-second; the time layout"),
        ("memory", _memory, 1_000_000, "RSS with 10 to 10,000 open S3 partitions, disk and memory"),
        ("quick", _quick, 20_000, "both with little data: does it all work"),
    )
    for name, cases, records, text in wanted:
        command = commands.add_parser(
            name, help=text, formatter_class=argparse.ArgumentDefaultsHelpFormatter
        )
        command.set_defaults(cases=cases)
        _add_options(command, records)
    return parser


def _add_options(command: argparse.ArgumentParser, records: int) -> None:
    command.add_argument("--records", type=int, default=records, help="in all")
    command.add_argument("--size", type=int, default=250, help="bytes of a value")
    command.add_argument(
        "--codec", default="lz4", choices=("none", "gzip", "snappy", "lz4", "zstd")
    )
    command.add_argument("--partitions", type=int, default=4, help="of the topic")
    command.add_argument("--batch-bytes", type=int, default=65_536, help="of a Kafka batch")
    command.add_argument("--places", type=int, help="S3 partitions; default by command")
    command.add_argument("--mode", choices=("disk", "memory"), help="of the spool")
    command.add_argument(
        "--compression", default="none", choices=("none", "gzip", "zstd"), help="of objects"
    )
    command.add_argument("--repeats", type=int, default=1, help="runs of each case")
    command.add_argument("--results", type=Path, default=RESULTS, help="directory of JSON files")


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
