"""Results as a Markdown table and as JSON with what the machine is."""

import json
import os
import platform
import statistics
from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from benchmarks.runs import Case, Result
from tests.servers.processes import KAFKA_JARS, VERSITYGW

_PACKAGES = ("spoolsink", "aiokafka", "aiobotocore", "lmdb", "msgspec", "zstandard")
_MIB = 1024 * 1024

Measured = Sequence[tuple[Case, Sequence[Result]]]

_COLUMNS: tuple[tuple[str, Callable[[Result], float], str], ...] = (
    ("records/CPU s", lambda r: r.records_per_cpu_second, ",.0f"),
    ("records/s", lambda r: r.records_per_second, ",.0f"),
    ("CPU s", lambda r: r.cpu_seconds - r.startup_cpu_seconds, ".2f"),
    ("start CPU s", lambda r: r.startup_cpu_seconds, ".2f"),
    ("yardstick ms", lambda r: r.yardstick_seconds * 1000, ".1f"),
    ("wall s", lambda r: r.wall_seconds, ".1f"),
    ("RSS MiB", lambda r: r.rss_high_water_bytes / _MIB, ".0f"),
    ("spool MiB", lambda r: r.spool_peak_bytes / _MIB, ".0f"),
    ("open", lambda r: r.open_peak, ",.0f"),
    ("requests", lambda r: r.s3_requests, ",.0f"),
    ("stored MiB", lambda r: r.object_bytes / _MIB, ".0f"),
)


def markdown(measured: Measured) -> str:
    """A row for each case: the median, and the spread where there are several runs."""
    heads = ["S3 partitions", "layout", "spool", "codec", *(name for name, _, _ in _COLUMNS)]
    lines = [_row(heads), _row(["---"] * len(heads))]
    for case, results in measured:
        data = case.data
        layout = "time" if data.order == "time" else "field"
        names = [f"{data.places:,}", layout, case.mode, case.compression]
        cells = [_spread([of(r) for r in results], form) for _, of, form in _COLUMNS]
        lines.append(_row([*names, *cells]))
    return "\n".join(lines) + "\n"


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _spread(values: Sequence[float], form: str) -> str:
    median = f"{statistics.median(values):{form}}"
    low, high = f"{min(values):{form}}", f"{max(values):{form}}"
    return median if low == high else f"{median} ({low}-{high})"


def write_json(directory: Path, command: str, measured: Measured) -> Path:
    """A new file for each call; returns its path."""
    directory.mkdir(parents=True, exist_ok=True)
    now = datetime.now(UTC)
    cases = [
        {**asdict(case), "runs": [asdict(result) for result in results]}
        for case, results in measured
    ]
    path = directory / f"{now:%Y-%m-%dT%H%M%SZ}-{command}.json"
    text = json.dumps({"date": now.isoformat(), "machine": machine(), "cases": cases}, indent=1)
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
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": platform.python_version(),
        "packages": {name: version(name) for name in _PACKAGES},
        "servers": [KAFKA_JARS.name, VERSITYGW.parent.name],
    }
