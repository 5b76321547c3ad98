"""What is drawn of a results file: lines of medians. `benchmarks.draw` makes pictures of them."""

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

MIB = 1024 * 1024
_WIDE = 10
"""Where the greatest is so many times the least, a linear scale would hide one of them."""

Line = Sequence[tuple[float, float]]

_AXES = {
    "topic-partitions": "topic partitions",
    "s3-partitions": "open S3 partitions",
    "record-size": "bytes of a record",
    "processes": "processes in the group",
}


@dataclass(frozen=True, slots=True)
class Plot:
    """`lines` by their labels; where there are `bars` they are drawn instead, by theirs."""

    name: str
    title: str
    x_label: str
    y_label: str
    lines: Mapping[str, Line]
    bars: Mapping[str, float]
    is_log_x: bool = True
    is_log_y: bool = False


def plots_of(results: Mapping[str, Any]) -> list[Plot]:
    """Of a file of results; none of a command that has no picture."""
    make: Callable[[Sequence[Mapping[str, Any]]], list[Plot]] | None = {
        "memory": _memory,
        "scaling": _scaling,
        "rivals": _rivals,
    }.get(results["command"])
    return [] if make is None else make(results["cases"])


def _memory(cases: Sequence[Mapping[str, Any]]) -> list[Plot]:
    lines: dict[str, list[tuple[float, float]]] = {}
    for case in cases:
        if "heap" in case:
            label, place, runs = "Kafka Connect", case["heap"]["places"], [case["heap"]["run"]]
            values = [run["rss_peak_bytes"] / MIB for run in runs if run]
        else:
            label, place = f"spoolsink, {case['mode']}", case["data"]["places"]
            values = [run["rss_high_water_bytes"] / MIB for run in case["runs"]]
        if values:
            lines.setdefault(label, []).append((place, statistics.median(values)))
    peaks = [peak for line in lines.values() for _, peak in line]
    is_log_y = max(peaks) > _WIDE * min(peaks)
    title = "Memory with S3 partitions open"
    return [Plot("memory", title, _AXES["s3-partitions"], "RSS, MiB", lines, {}, is_log_y=is_log_y)]


def _scaling(cases: Sequence[Mapping[str, Any]]) -> list[Plot]:
    axes: dict[str, list[tuple[float, float]]] = {}
    for case in cases:
        cost = statistics.median(1e6 / run["records_per_cpu_second"] for run in case["runs"])
        axes.setdefault(case["axis"], []).append((case["x"], cost))
    return [
        Plot(
            name=f"scaling-{axis}",
            title=f"Cost by {_AXES[axis]}",
            x_label=_AXES[axis],
            y_label="CPU µs per record",
            lines={"spoolsink": line},
            bars={},
            is_log_x=axis != "processes",
        )
        for axis, line in axes.items()
    ]


def _rivals(cases: Sequence[Mapping[str, Any]]) -> list[Plot]:
    bars = {
        case["rival"]: statistics.median(
            # Who commits is warm between its commits; who only reads has its whole life.
            run["between_records_per_cpu_second"] or run["records_per_cpu_second"]
            for run in case["runs"]
        )
        for case in cases
    }
    return [
        Plot(
            "rivals",
            "Between commits; readers without commits: whole life",
            "",
            "records per CPU-second",
            {},
            bars,
        )
    ]
