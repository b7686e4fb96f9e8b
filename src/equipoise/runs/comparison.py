"""The learning curves of several runs in one picture: reward, and each cost with its limits."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from equipoise.drawing import house_style
from equipoise.errors import UsageError
from equipoise.files import check_place, write_atomically
from equipoise.palette import of_series
from equipoise.training.picture import column, curve, limit_line, steps_below
from equipoise.training.record import Record

FORMATS = (".png", ".pdf", ".svg")
"""Endings of pictures, each of which says how it is written."""

SHADE, SHADE_OF_MANY, MANY = 0.25, 0.1, 6
"""How opaque bands are, and how much less where there are `MANY` runs or more."""


@house_style()
def compare(paths: Sequence[Path], out: Path = Path("comparison.png")) -> Path:
    """Draw the learning curves of the runs in `paths` over one another, and return the picture's path.

    Raises `UsageError` if one of them cannot be read or has no finished iteration, for fewer than two, for one that is
    given twice, or if `out` is no place for a picture.
    """
    check_place(out, "out", *FORMATS)
    if len(paths) < 2:
        raise UsageError(f"{len(paths)} run(s) to compare; allowed: two or more (for one: equipoise plot RUN)")
    for path, times in Counter(path.absolute() for path in paths).items():
        if times > 1:
            raise UsageError(f"{path.name} is given {times} times; give every run once")
    runs = [Record.read(path) for path in paths]
    for run in runs:
        if not run.metrics:
            raise UsageError(f"{run.path} has no finished iteration to draw")
    content = io.BytesIO()
    _picture(runs).savefig(content, format=out.suffix.removeprefix("."), dpi=120)
    write_atomically(out, content.getvalue())
    return out


def labels(runs: Sequence[Record]) -> list[str]:
    """Name each run by what tells it from the others: its task, algorithm or seed, and its folder if need be."""
    parts = [(run.problem.id, run.algorithm_name, f"seed {run.seed}") for run in runs]
    telling = [len(set(values)) > 1 for values in zip(*parts, strict=True)]
    found = [", ".join(part for part, tells in zip(of_run, telling, strict=True) if tells) for of_run in parts]
    if len(set(found)) == len(found):
        return found
    folders = [_folder(run, runs) for run in runs]
    return [f"{label} ({folder})" if label else folder for label, folder in zip(found, folders, strict=True)]


def _folder(run: Record, runs: Sequence[Record]) -> str:
    """Return the end of a run's path, as long as needed to tell it from those of the others."""
    for count in range(1, len(run.path.parts)):
        end = run.path.parts[-count:]
        if sum(other.path.parts[-count:] == end for other in runs) == 1:
            break
    return "/".join(end)


def _picture(runs: Sequence[Record]) -> Figure:
    names = list(dict.fromkeys(name for run in runs for name in run.problem.cost_names))
    figure = Figure(figsize=(8, 2.6 * (1 + len(names)) + 0.2 * len(runs)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(1 + len(names), 1, sharex=True, squeeze=False)[:, 0]
    _overlay(axes[0], "reward", "reward_se", runs)
    axes[0].set_ylabel("reward per episode")
    for axis, name in zip(axes[1:], names, strict=True):
        _overlay(axis, f"cost/{name}", f"cost_se/{name}", runs)
        _limits(axis, name, runs)
        axis.set_ylabel(f"{name} per episode")
    for axis in axes:
        axis.margins(x=0)
        axis.spines[["top", "right"]].set_visible(False)
    steps_below(axes[-1])
    words = ({run.algorithm_name for run in runs}, {run.problem.id for run in runs})
    figure.suptitle(", ".join([*(word for word, *others in words if not others), f"{len(runs)} runs"]))
    styles = [of_series(number) for number in range(len(runs))]
    lines = [Line2D([], [], color=colour, linestyle=dashes) for colour, dashes in styles]
    figure.legend(lines, labels(runs), loc="outside lower center", ncols=2 if len(runs) > 3 else 1, frameon=False)
    return figure


def _overlay(axis: Axes, mean: str, error: str, runs: Sequence[Record]) -> None:
    """Draw one column of every run that has it."""
    for number, run in enumerate(runs):
        if mean in run.metrics[0]:
            colour, dashes = of_series(number)
            shade = SHADE if len(runs) < MANY else SHADE_OF_MANY
            curve(axis, column(run, "steps"), column(run, mean), column(run, error), colour, shade, dashes)


def _limits(axis: Axes, name: str, runs: Sequence[Record]) -> None:
    """Draw a cost's limits: in black if all runs have the same, else each in the colour of the first that has it."""
    colours: dict[float, str] = {}
    for number, run in enumerate(runs):
        if f"limit/{name}" in run.metrics[0]:
            colours.setdefault(run.metrics[0][f"limit/{name}"], of_series(number)[0])
    for limit, colour in colours.items():
        limit_line(axis, limit, colour if len(colours) > 1 else "black")
