"""`python -m benchmarks scaling`: what one record costs along each of four axes.

One thing grows and the rest stays; `benchmarks/README.md` says what bounds each.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace

from benchmarks.data import DataSet
from benchmarks.report import MIB, Outcome, spread, table
from benchmarks.runs import Case, Result


@dataclass(frozen=True, slots=True)
class Step:
    """A case at `x` of an axis."""

    axis: str
    x: int
    case: Case


def _topic_partitions(data: DataSet, x: int) -> Case:
    return Case(replace(data, partitions=x))


def _s3_partitions(data: DataSet, x: int) -> Case:
    # In one topic partition at the beginning of the axis, else one has no S3 partition.
    partitions = min(data.partitions, x)
    found = replace(data, places=x, partitions=partitions, order="mixed")
    return Case(found, keeps_open=True)


def _record_size(data: DataSet, x: int) -> Case:
    # As many bytes at every step.
    return Case(replace(data, size_bytes=x, records=max(data.records * 250 // x, data.places)))


def _processes(data: DataSet, x: int) -> Case:
    return Case(data, processes=x)


AXES: Mapping[str, tuple[Callable[[DataSet, int], Case], Sequence[int]]] = {
    "topic-partitions": (_topic_partitions, (1, 10, 100, 1_000)),
    "s3-partitions": (_s3_partitions, (1, 10, 100, 1_000, 10_000)),
    "record-size": (_record_size, (100, 250, 2_048)),
    "processes": (_processes, (1, 2)),
}


def steps(data: DataSet, axes: Sequence[str], limit: int | None = None) -> list[Step]:
    """Of these axes, or all; `limit` leaves out what is beyond it."""
    return [
        Step(axis, x, make(data, x))
        for axis, (make, values) in AXES.items()
        for x in values
        if (not axes or axis in axes) and (limit is None or x <= limit)
    ]


def outcome_of(found: Sequence[tuple[Step, Sequence[Result]]]) -> Outcome:
    """A table for each axis."""
    axes = list(dict.fromkeys(step.axis for step, _ in found))
    tables = [
        table([_row(step, runs) for step, runs in found if step.axis == axis]) for axis in axes
    ]
    return Outcome(
        markdown="\n".join(tables),
        cases=[
            {
                "axis": step.axis,
                "x": step.x,
                **asdict(step.case),
                "runs": [asdict(result) for result in runs],
            }
            for step, runs in found
        ],
        problems=[f"{s.axis} {s.x}: {text}" for s, rs in found for r in rs for text in r.problems],
    )


def _row(step: Step, runs: Sequence[Result]) -> dict[str, str]:
    records = step.case.data.records
    return {
        step.axis: f"{step.x:,}",
        "CPU µs per record": spread([1e6 / run.records_per_cpu_second for run in runs], ".2f"),
        "CPU ns per byte": spread(
            [1e9 / run.records_per_cpu_second / step.case.data.size_bytes for run in runs], ".1f"
        ),
        "records/s": spread([run.records_per_second for run in runs], ",.0f"),
        "start CPU s": spread([run.startup_cpu_seconds for run in runs], ".2f"),
        "RSS MiB": spread([run.rss_high_water_bytes / MIB for run in runs], ".0f"),
        "spool MiB": spread([run.spool_peak_bytes / MIB for run in runs], ".0f"),
        "requests": spread([run.s3_requests for run in runs], ",.0f"),
        "objects": spread([run.objects for run in runs], ",.0f"),
        "records": f"{records:,}",
    }
