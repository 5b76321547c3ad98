"""`python -m benchmarks compare --base REVISION`: two revisions in turn, and their ratio.

The other revision is unpacked into a temporary directory and its extension module is built there;
Python and the libraries are this environment's. `--base` also takes a directory with a checkout.
"""

import io
import statistics
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from benchmarks.report import MIB, Outcome, as_data, spread, table
from benchmarks.runs import Case, Result

ROOT = Path(__file__).parent.parent
_BUILD = "from setuptools import setup; setup()"

Compared = Sequence[tuple[Case, Mapping[str, Sequence[Result]]]]
"""Results of `base` and of `now`, by case, in the order in which they were taken."""


@contextmanager
def checkout(base: str) -> Iterator[Path]:
    """The directory of a revision; raises RuntimeError where git does not know it."""
    if Path(base).is_dir():
        yield Path(base).resolve()
        return
    # Not a work tree of git's: that would leave its traces in the repository after a kill.
    archive = subprocess.run(  # noqa: S603 (the user's own repository)
        ["git", "archive", "--format=tar", base, "--"],  # noqa: S607 (the user's own git)
        cwd=ROOT, check=False, capture_output=True,
    )  # fmt: skip
    if archive.returncode:
        raise RuntimeError(archive.stderr.decode(errors="replace").strip())
    with tempfile.TemporaryDirectory(prefix="spoolsink-base-") as name:
        with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as tar:
            tar.extractall(name, filter="data")
        subprocess.run(  # noqa: S603 (our own interpreter)
            [sys.executable, "-c", _BUILD, "--quiet", "build_ext", "--inplace"],
            cwd=name, check=True, capture_output=True,
        )  # fmt: skip
        yield Path(name)


def outcome_of(compared: Compared) -> Outcome:
    """A row for each case: medians, and the median of the ratios of neighbours in time."""
    problems = [
        f"{revision}: {text}"
        for _, found in compared
        for revision, results in found.items()
        for result in results
        for text in result.problems
    ]
    cases = [
        {"revision": revision, **as_data(case, results)}
        for case, found in compared
        for revision, results in found.items()
    ]
    return Outcome(table([_row(case, found) for case, found in compared]), cases, problems)


def _row(case: Case, found: Mapping[str, Sequence[Result]]) -> dict[str, str]:
    base, now = found["base"], found["now"]
    row = {"S3 partitions": f"{case.data.places:,}"}
    for name, results in found.items():
        row[f"{name} records/CPU s"] = spread([r.records_per_cpu_second for r in results], ",.0f")
    pairs = list(zip(base, now, strict=True))
    ratios = [b.records_per_cpu_second / a.records_per_cpu_second for a, b in pairs]
    memory = [b.rss_high_water_bytes / a.rss_high_water_bytes for a, b in pairs]
    return row | {
        "ratio": spread(ratios, ".2f"),
        "base RSS MiB": f"{statistics.median(r.rss_high_water_bytes for r in base) / MIB:.0f}",
        "RSS ratio": spread(memory, ".2f"),
    }
