"""The fault matrix: what may go wrong, and the tests that prove what comes of it.

`python -m tests.fault_matrix` writes `tests/FAULTS.md` from it. A row has tests, or at most ten of
all a reason why there is none; `tests/unit/test_fault_matrix.py` holds it to that. The simulation,
the search of all interleavings and `make chaos` meet most of these faults again, mixed.
"""

from pathlib import Path

from tests.fault_matrix.data import DATA
from tests.fault_matrix.disk import DISK
from tests.fault_matrix.kafka import KAFKA
from tests.fault_matrix.process import PROCESS
from tests.fault_matrix.row import Row, node_id_of
from tests.fault_matrix.s3 import S3

__all__ = ["PAGE", "ROWS", "Row", "as_markdown", "node_id_of"]

PAGE = Path(__file__).parents[1] / "FAULTS.md"

SECTIONS = {
    "Process": PROCESS,
    "Disk and ledger": DISK,
    "S3": S3,
    "Kafka": KAFKA,
    "Data, time, configuration, security": DATA,
}
ROWS = [row for rows in SECTIONS.values() for row in rows]


def as_markdown() -> str:
    """The page; a test that several rows name is written out at each."""
    lines = [
        "# Faults and their tests",
        "",
        (
            "Written by `python -m tests.fault_matrix`. Each fault has a test that causes it, or a "
            "reason why none does."
        ),
        (
            "What the outcome is follows the promises in `docs/`; `tests/simulation`, "
            "`tests/exhaustive`, `tests/chaos`"
        ),
        "and `python -m tests.crash.kill_matrix` mix these faults.",
    ]
    for title, rows in SECTIONS.items():
        lines += [
            "",
            f"## {title}",
            "",
            "| # | fault | outcome | tests |",
            "| --- | --- | --- | --- |",
        ]
        lines += [_line(row) for row in rows]
    return "\n".join(lines) + "\n"


def _line(row: Row) -> str:
    tests = "<br>".join(f"`{name}`" for name in row.node_ids()) or f"none: {row.reason}"
    return f"| {row.number} | {row.fault} | {row.outcome or '-'} | {tests} |"
