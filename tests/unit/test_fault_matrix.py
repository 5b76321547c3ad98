"""The fault matrix is complete, and every test that it names is there."""

import ast
import functools
from pathlib import Path

import pytest

from tests.fault_matrix import PAGE, ROWS, as_markdown, node_id_of

ROOT = Path(__file__).parents[2]
MOST_REASONS = 10


@functools.cache
def functions_of(path: str) -> frozenset[str]:
    """Tests of a file, skipped ones left out."""
    found = (n for n in ast.parse((ROOT / path).read_text()).body if isinstance(n, _FUNCTIONS))
    return frozenset(
        node.name
        for node in found
        if not any(_is_unconditional_skip(decorator) for decorator in node.decorator_list)
    )


_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


def _is_unconditional_skip(decorator: ast.expr) -> bool:
    text = ast.unparse(decorator)
    return "mark.xfail" in text or (
        "mark.skip" in text and not text.startswith("pytest.mark.skipif")
    )


def test_every_row_is_there_once() -> None:
    assert [row.number for row in ROWS] == list(range(1, 99))


@pytest.mark.parametrize("row", ROWS, ids=lambda row: str(row.number))
def test_a_row_has_tests_that_are_there_or_a_reason(row: object) -> None:
    assert isinstance(row, type(ROWS[0]))
    assert bool(row.tests) != bool(row.reason)
    assert row.tests == tuple(dict.fromkeys(row.tests))
    assert row.fault
    assert bool(row.outcome) == bool(row.tests)
    for node_id in row.node_ids():
        path, _, name = node_id.partition("::")
        assert (ROOT / path).is_file(), path
        assert name in functions_of(path), node_id


def test_at_most_ten_rows_have_a_reason_instead() -> None:
    assert sum(bool(row.reason) for row in ROWS) <= MOST_REASONS


def test_a_test_that_is_not_there_would_be_found() -> None:
    path, _, name = node_id_of("unit/fault_matrix::nobody_wrote_this").partition("::")
    assert name not in functions_of(path)
    assert "test_every_row_is_there_once" in functions_of(path)


def test_the_page_is_not_stale() -> None:
    assert PAGE.read_text() == as_markdown()
