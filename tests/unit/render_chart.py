"""Lints and renders the Helm chart: `python -m tests.unit.render_chart < VALUES.json`.

A process of its own, since Helm's library brings Go's runtime and its signal handlers along.
Prints `{"findings": [text], "manifests": {template: text}}`; status 1 and the reason where a value
is refused.
"""

import json
import sys
from pathlib import Path

from helm_python import Chart, HelmError
from helm_python.chart import lint

CHART = Path(__file__).parents[2] / "deploy" / "helm" / "spoolsink"
_WARNING = 2


def main() -> int:
    values = json.load(sys.stdin)
    try:
        report = lint(CHART, values, strict=True)
        with Chart.load(CHART) as chart:
            chart.validate_schema(values)
            manifests = chart.render(values, name="orders", namespace="archive")
    except HelmError as error:
        print(error, file=sys.stderr)  # noqa: T201 (what a command answers is printed)
        return 1
    findings = [m["error"] for m in report["messages"] if m["severity"] >= _WARNING]
    json.dump({"findings": findings, "manifests": manifests}, sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main())
