"""Results as a Markdown table and as JSON with what the machine is."""

import json
import os
import platform
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from benchmarks.runs import Case, Result
from tests.servers.processes import KAFKA_JARS, VERSITYGW

_PACKAGES = ("spoolsink", "aiokafka", "aiobotocore", "lmdb", "msgspec", "zstandard")
MIB = 1024 * 1024

Measured = Sequence[tuple[Case, Sequence[Result]]]

_COLUMNS: tuple[tuple[str, Callable[[Result], float], str], ...] = (
    ("records/CPU s", lambda r: r.records_per_cpu_second, ",.0f"),
    ("records/s", lambda r: r.records_per_second, ",.0f"),
    ("CPU s", lambda r: r.cpu_seconds - r.startup_cpu_seconds, ".2f"),
    ("start CPU s", lambda r: r.startup_cpu_seconds, ".2f"),
    ("yardstick ms", lambda r: r.yardstick_seconds * 1000, ".1f"),
    ("between/CPU s", lambda r: r.between_records_per_cpu_second, ",.0f"),
    ("between/s", lambda r: r.between_records_per_second, ",.0f"),
    ("wall s", lambda r: r.wall_seconds, ".1f"),
    ("lag empty s", lambda r: r.lag_seconds, ".1f"),
    ("RSS MiB", lambda r: r.rss_high_water_bytes / MIB, ".0f"),
    ("PSS MiB", lambda r: r.pss_peak_bytes / MIB, ".0f"),
    ("spool MiB", lambda r: r.spool_peak_bytes / MIB, ".0f"),
    ("open", lambda r: r.open_peak, ",.0f"),
    ("requests", lambda r: r.s3_requests, ",.0f"),
    ("uploaded MiB", lambda r: r.upload_bytes / MIB, ".0f"),
    ("stored MiB", lambda r: r.object_bytes / MIB, ".0f"),
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """Of a command: its tables, its runs as plain data, and what was not as it should be."""

    markdown: str
    cases: Sequence[Mapping[str, object]]
    problems: Sequence[str]


def outcome_of(measured: Measured) -> Outcome:
    """Of cases that were measured, in their order."""
    return Outcome(
        markdown=markdown(measured),
        cases=[as_data(case, results) for case, results in measured],
        problems=[
            text for _, results in measured for result in results for text in result.problems
        ],
    )


def as_data(case: Case, results: Sequence[Result]) -> dict[str, object]:
    """A case with its runs, for JSON."""
    return {**asdict(case), "runs": [asdict(result) for result in results]}


def joined(outcomes: Sequence[Outcome]) -> Outcome:
    """One after the other."""
    return Outcome(
        markdown="\n".join(outcome.markdown for outcome in outcomes),
        cases=[case for outcome in outcomes for case in outcome.cases],
        problems=[text for outcome in outcomes for text in outcome.problems],
    )


def markdown(measured: Measured) -> str:
    """A row for each case: the median, and the spread where there are several runs."""
    rows = []
    for case, results in measured:
        data = case.data
        row = {
            "S3 partitions": f"{data.places:,}",
            "layout": "field" if data.order == "mixed" else "time",
            "spool": case.mode,
            "codec": case.compression,
        }
        rows.append(row | {name: spread([of(r) for r in results], f) for name, of, f in _COLUMNS})
    return table(rows)


def table(rows: Sequence[Mapping[str, str]]) -> str:
    """In Markdown; all rows have the columns of the first. Empty without rows."""
    if not rows:
        return ""
    heads = list(rows[0])
    lines = [heads, ["---"] * len(heads), *([row[head] for head in heads] for row in rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def spread(values: Sequence[float], form: str) -> str:
    """The median, with the least and the greatest where they differ; `form` is a format."""
    median = f"{statistics.median(values):{form}}"
    low, high = f"{min(values):{form}}", f"{max(values):{form}}"
    return median if low == high else f"{median} ({low}-{high})"


def write_json(directory: Path, command: str, outcome: Outcome) -> Path:
    """A new file for each call; returns its path."""
    directory.mkdir(parents=True, exist_ok=True)
    now = datetime.now(UTC)
    path = directory / f"{now:%Y-%m-%dT%H%M%SZ}-{command}.json"
    found = {"date": now.isoformat(), "command": command, "machine": machine()}
    text = json.dumps({**found, "cases": outcome.cases}, indent=1, default=str)
    path.write_text(f"{text}\n")
    return path


def machine() -> dict[str, object]:
    """What the figures depend on beside the code."""
    info = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.partition(":")[2].strip() for line in info if "model name" in line), "")
    return {
        "cpu": model,
        "cores": os.cpu_count(),
        "has_sha_instructions": any("sha_ni" in line or " sha2 " in line for line in info),
        # Of the last 1, 5 and 15 minutes: what else the machine had to do.
        "load_average": os.getloadavg(),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": platform.python_version(),
        "packages": {name: version(name) for name in _PACKAGES},
        "servers": [KAFKA_JARS.name, VERSITYGW.parent.name],
    }
