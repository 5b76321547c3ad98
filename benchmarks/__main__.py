"""`python -m benchmarks COMMAND`: tables on standard output, progress on standard error."""

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

from benchmarks import compare, heap, recovery, report, rivals, scaling
from benchmarks.codings import CodedSet
from benchmarks.data import DataSet, Order, produce
from benchmarks.report import Outcome
from benchmarks.runs import Case, Result, Servers, measure, running_servers

EXIT_NOT_VERIFIED = 1
RESULTS = Path(__file__).parent / "results"
MEMORY_PLACES = (10, 100, 1_000, 10_000)
TIME_PLACES = 10
QUICK_PLACES = 100
_QUICK_SEGMENTS = 200
_QUICK_RIVALS = ("kcat", "librdkafka", "aiokafka", "file sink")

Options = argparse.Namespace


def main(arguments: Sequence[str]) -> int:
    """0, or 1 when something written is not what was produced."""
    options = _parser().parse_args(arguments)
    with running_servers() as servers:
        outcome: Outcome = options.run(options, servers)
    sys.stdout.write(outcome.markdown)
    path = report.write_json(options.results, options.command, outcome)
    _say(f"results: {path.name}")
    for text in outcome.problems:
        _say(f"NOT VERIFIED: {text}")
    return EXIT_NOT_VERIFIED if outcome.problems else 0


# -- the commands ----------------------------------------------------------------------------------


def _throughput(options: Options, servers: Servers) -> Outcome:
    return _cases([_throughput_case(options)], options, servers)


def _throughput_case(options: Options) -> Case:
    data = _data(options, "time", options.places or TIME_PLACES)
    mode = options.mode or "disk"
    return Case(data, mode, options.compression, coding=options.coding, sees_lag=True)


def _memory(options: Options, servers: Servers) -> Outcome:
    places = [options.places] if options.places else MEMORY_PLACES
    modes = [options.mode] if options.mode else ["disk", "memory"]
    cases = [_memory_case(options, number, mode) for number in places for mode in modes]
    found = _cases(cases, options, servers)
    if options.connect_plugin is None:
        _say("left out: Kafka Connect (no --connect-plugin DIR)")
        return found
    sets = [replace(_data(options, "spread", number), partitions=2) for number in places]
    return report.joined([found, _heaps(sets, options.connect_plugin, servers)])


def _memory_case(options: Options, places: int, mode: str) -> Case:
    data = _data(options, "mixed", places)
    return Case(data, mode, options.compression, keeps_open=True, coding=options.coding)


def _heaps(sets: Sequence[DataSet], plugin: Path, servers: Servers) -> Outcome:
    topic = _producer(servers)
    return heap.outcome_of(
        [heap.smallest_heap(data, plugin, topic(data), servers, _say) for data in sets]
    )


def _rivals(options: Options, servers: Servers) -> Outcome:
    chosen = [
        rival
        for rival in rivals.rivals(options.connect_plugin)
        if not options.only or any(word in rival.name for word in options.only)
    ]
    data = _data(options, "time", options.places or TIME_PLACES)
    topic = _producer(servers)(data)
    return rivals.compared(chosen, data, topic, servers, repeats=options.repeats, say=_say)


def _scaling(options: Options, servers: Servers) -> Outcome:
    data = _data(options, "time", options.places or TIME_PLACES)
    steps = scaling.steps(data, options.axis, options.limit)
    return _along(steps, options, servers)


def _along(steps: Sequence[scaling.Step], options: Options, servers: Servers) -> Outcome:
    measured, failed = _measured([step.case for step in steps], options, servers)
    found = [(step, runs) for step, (_, runs) in zip(steps, measured, strict=True) if runs]
    outcome = scaling.outcome_of(found)
    return replace(outcome, problems=[*outcome.problems, *failed])


def _recovery(options: Options, servers: Servers) -> Outcome:
    _say(f"kill -9 with {options.segments:,} sealed segments")
    sealed = recovery.with_segments(options.segments, servers)
    _say(f"kill -9 with {options.mib:,} MiB open")
    return recovery.outcome_of(
        [sealed, recovery.with_open_data(options.mib, options.size, servers)]
    )


def _compare(options: Options, servers: Servers) -> Outcome:
    cases = [
        _throughput_case(options),
        _memory_case(options, options.places or QUICK_PLACES, options.mode or "disk"),
    ]
    return _compared(cases, options, servers)


def _compared(cases: Sequence[Case], options: Options, servers: Servers) -> Outcome:
    topic = _producer(servers)
    found: list[tuple[Case, dict[str, list[Result]]]] = [
        (case, {"base": [], "now": []}) for case in cases
    ]
    with compare.checkout(options.base) as base:
        turns = (("base", base), ("now", compare.ROOT))
        for number in range(1, options.repeats + 1):
            for case, results in found:
                # Who goes first changes: a machine gets faster or slower in the meantime.
                for revision, code in turns[:: 1 if number % 2 else -1]:
                    _say(f"run {number} of {options.repeats}: {revision}, {case.data.order} order")
                    results[revision].append(measure(case, topic(case.data), servers, code))
    return compare.outcome_of(found)


def _quick(options: Options, servers: Servers) -> Outcome:
    """Each of the others with little data: does it all work."""
    options.only, options.base = list(_QUICK_RIVALS), str(compare.ROOT)
    options.segments, options.mib, options.places = _QUICK_SEGMENTS, 1, None
    throughput, memory = _throughput_case(options), _memory_case(options, QUICK_PLACES, "disk")
    two_processes = scaling.steps(throughput.data, ["processes"])[-1:]
    return report.joined(
        [
            _cases([throughput], options, servers),
            _rivals(options, servers),
            _along(two_processes, options, servers),
            _recovery(options, servers),
            _compared([memory], options, servers),
        ]
    )


# -- measuring -------------------------------------------------------------------------------------


def _cases(cases: Sequence[Case], options: Options, servers: Servers) -> Outcome:
    measured, failed = _measured(cases, options, servers)
    found = report.outcome_of([(case, results) for case, results in measured if results])
    return replace(found, problems=[*found.problems, *failed])


def _measured(
    cases: Sequence[Case], options: Options, servers: Servers
) -> tuple[list[tuple[Case, list[Result]]], list[str]]:
    """With what failed; the others are worth as much without it."""
    topic, repeats = _producer(servers), options.repeats
    failed: list[str] = []
    measured: list[tuple[Case, list[Result]]] = [(case, []) for case in cases]
    # All cases in turn, again and again: what else the machine does meets them all alike.
    for number in range(1, repeats + 1):
        for case, results in measured:
            data = case.data
            places = f"{data.places:,} S3 partitions, {data.partitions:,} topic partitions"
            _say(f"run {number} of {repeats}: {places}, {case.mode}, {case.compression}")
            try:
                results.append(measure(case, topic(data), servers))
            except RuntimeError as error:
                _say(f"failed: {error}")
                failed.append(f"{places}: {error}")
            else:
                _say(_in_short(results[-1]))
    return measured, failed


def _in_short(result: Result) -> str:
    """What is left of a run when a later one never ends."""
    rate, rss = result.records_per_cpu_second, result.rss_high_water_bytes / report.MIB
    return (
        f"  {rate:,.0f} records per CPU-second, {result.cpu_seconds:.1f} CPU s, RSS {rss:.0f} MiB"
    )


def _producer(servers: Servers) -> Callable[[DataSet], str]:
    """The topic of a data set, which is produced at the first call."""

    @lru_cache
    def topic_of(data: DataSet) -> str:
        _say(f"producing {data.records:,} records, {data.places:,} S3 partitions")
        return produce(data, servers.kafka.bootstrap_servers)

    return topic_of


def _data(options: Options, order: Order, places: int) -> DataSet:
    return CodedSet(
        records=options.records,
        size_bytes=options.size,
        codec=options.codec,
        partitions=options.partitions,
        places=places,
        order=order,
        batch_bytes=options.batch_bytes,
        coding=options.coding,
    )


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


# -- the command line ------------------------------------------------------------------------------

_COMMANDS: tuple[tuple[str, Callable[[Options, Servers], Outcome], int, str], ...] = (
    ("throughput", _throughput, 1_000_000, "records per CPU-second; the time layout"),
    ("memory", _memory, 1_000_000, "RSS with 10 to 10,000 open S3 partitions, disk and memory"),
    ("rivals", _rivals, 1_000_000, "the same records through other sinks and bare consumers"),
    ("scaling", _scaling, 500_000, "cost of a record along four axes"),
    ("recovery", _recovery, 0, "the time that a start takes after kill -9"),
    ("compare", _compare, 1_000_000, "two revisions in turn, and their ratio"),
    ("quick", _quick, 20_000, "all of them with little data: does it all work"),
)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, run, records, text in _COMMANDS:
        command = commands.add_parser(
            name, help=text, formatter_class=argparse.ArgumentDefaultsHelpFormatter
        )
        command.set_defaults(run=run, connect_plugin=None)
        _add_options(command, records)
        _add_special_options(command, name)
    return parser


def _add_options(command: argparse.ArgumentParser, records: int) -> None:
    command.add_argument("--records", type=int, default=records, help="in all")
    command.add_argument("--size", type=int, default=250, help="bytes of a value, as JSON")
    command.add_argument(
        "--codec", default="lz4", choices=("none", "gzip", "snappy", "lz4", "zstd")
    )
    command.add_argument("--coding", default="json", choices=("json", "avro"), help="of the values")
    command.add_argument("--partitions", type=int, default=4, help="of the topic")
    command.add_argument("--batch-bytes", type=int, default=65_536, help="of a Kafka batch")
    command.add_argument("--places", type=int, help="S3 partitions; default by command")
    command.add_argument("--mode", choices=("disk", "memory"), help="of the spool")
    command.add_argument(
        "--compression", default="none", choices=("none", "gzip", "zstd"), help="of objects"
    )
    command.add_argument("--repeats", type=int, default=1, help="runs of each case")
    command.add_argument("--results", type=Path, default=RESULTS, help="directory of JSON files")


def _add_special_options(command: argparse.ArgumentParser, name: str) -> None:
    if name in {"memory", "rivals"}:
        command.add_argument(
            "--connect-plugin", type=Path, metavar="DIR", help="jars of an S3 sink for Connect"
        )
    if name == "rivals":
        command.add_argument("--only", nargs="*", help="those with one of these words in the name")
    if name == "scaling":
        command.add_argument("--axis", nargs="*", choices=list(scaling.AXES), help="not all")
        command.add_argument("--limit", type=int, help="nothing beyond it, on any axis")
    if name == "recovery":
        command.add_argument("--segments", type=int, default=10_000, help="sealed, in the spool")
        command.add_argument("--mib", type=int, default=1_024, help="open, of values")
    if name == "compare":
        command.add_argument("--base", required=True, help="a revision, or a directory")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
