"""`build/bench/bin/python -m benchmarks.draw RESULTS.json DIRECTORY`: its plots, as PNG.

Runs in an environment of its own (`make bench`), so it imports nothing but matplotlib and `plots`.
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure

from benchmarks.plots import Plot, plots_of

_INCHES = (5.5, 3.2)
_DOTS_PER_INCH = 110


def draw(plot: Plot, directory: Path) -> Path:
    """Returns the file's path."""
    figure = Figure(figsize=_INCHES, dpi=_DOTS_PER_INCH, layout="constrained")
    axes = figure.subplots()
    if plot.bars:
        axes.barh(list(plot.bars), list(plot.bars.values()), color="#4878a8")
        axes.invert_yaxis()
        axes.set_xlabel(plot.y_label)
    else:
        for label, line in plot.lines.items():
            axes.plot(*zip(*sorted(line), strict=True), marker="o", label=label)
        axes.set_xscale("log" if plot.is_log_x else "linear")
        axes.set_yscale("log" if plot.is_log_y else "linear")
        axes.set_xlabel(plot.x_label)
        axes.set_ylabel(plot.y_label)
        if not plot.is_log_y:
            axes.set_ylim(bottom=0)
        if len(plot.lines) > 1:
            axes.legend()
    axes.grid(visible=True, alpha=0.3)
    axes.set_title(plot.title, fontsize="medium")
    path = directory / f"{plot.name}.png"
    figure.savefig(path)
    return path


def main(arguments: Sequence[str]) -> None:
    """The results file and the directory for the pictures."""
    results, directory = map(Path, arguments)
    for plot in plots_of(json.loads(results.read_text())):
        sys.stdout.write(f"{draw(plot, directory).name}\n")


if __name__ == "__main__":
    main(sys.argv[1:])
