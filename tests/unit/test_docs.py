"""The examples of the documentation run as they stand."""

import re
from pathlib import Path
from typing import Any

import pytest

from spoolsink.cut import RepeatLoss
from spoolsink.health import HOLD_KINDS
from spoolsink.metrics import COUNTERS, GAUGES, HISTOGRAMS
from spoolsink.object_store import _METHODS
from spoolsink.rotation import RotationReason
from spoolsink.uploader import Outcome

DOCS = Path(__file__).parents[2] / "docs"


def test_the_classes_of_the_example_do_what_the_page_says() -> None:
    page = (DOCS / "plugins.md").read_text()
    code = "\n".join(re.findall(r"```python\n(.*?)```", page, re.DOTALL))
    found: dict[str, Any] = {}
    exec(compile(code, "plugins.md", "exec"), found)
    convert = found["OrderConverter"]({"separator": ";"})
    value = convert(b"1;de;2.5", "orders", [])
    assert value == {"id": 1, "country": "de", "amount": 2.5}
    assert convert(None, "orders", []) is None
    place = found["ByTenant"]({"tenants": {"de": "acme"}})
    assert place("orders", 0, 0, 0, None, value, []) == "tenant=acme"


@pytest.mark.parametrize(
    ("metric", "label", "values"),
    [
        ("cuts_total", "reason", {*RotationReason}),
        ("repeats_total", "reason", {*RepeatLoss}),
        ("uploads_total", "outcome", {Outcome.CREATED, Outcome.EXISTED}),
        ("s3_requests_total", "operation", {*_METHODS}),
        ("holds", "kind", {*HOLD_KINDS}),
    ],
)
def test_the_values_of_a_label_are_those_of_the_page(
    metric: str, label: str, values: set[str]
) -> None:
    page = (DOCS / "metrics.md").read_text()
    row = re.search(rf"\| `spoolsink_{metric}` \| `{label}` \|(.*)\|", page)
    assert row
    assert set(re.findall(r"`(\w+)`", row[1])) == values


def test_every_metric_is_in_the_documentation() -> None:
    text = (DOCS / "metrics.md").read_text()
    names = [*(f"{name}_total" for name in COUNTERS), *GAUGES, *HISTOGRAMS]
    assert [name for name in names if f"_{name}`" not in text] == []
