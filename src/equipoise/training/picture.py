"""The picture of a run: reward, costs against their limits, modes as coloured bands, and the conflict."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.patheffects import withStroke
from matplotlib.ticker import EngFormatter, MaxNLocator

from equipoise.drawing import house_style
from equipoise.errors import UsageError
from equipoise.files import write_atomically
from equipoise.palette import COST, MODE_BACKGROUNDS, REWARD, Dashes
from equipoise.training.record import Record

FEW = 25
"""Iterations up to which each is also drawn as a point."""


def draw(run: Record) -> Path:
    """Draw `plot.png` into the run's folder and return its path; `UsageError` if there is nothing to draw."""
    path = run.path / "plot.png"
    write_atomically(path, png_of(run))
    return path


@house_style()
def png_of(run: Record) -> bytes:
    """Return the run's picture as PNG; `UsageError` if there is nothing to draw."""
    if not run.metrics:
        raise UsageError(f"{run.path} has no finished iteration to draw")
    names = run.problem.cost_names
    figure = Figure(figsize=(8, 2.4 * (2 + len(names))), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(2 + len(names), 1, sharex=True)
    steps = column(run, "steps")
    for axis in axes:
        mode_bands(axis, run, steps)
        axis.margins(x=0)
        axis.spines[["top", "right"]].set_visible(False)

    curve(axes[0], steps, column(run, "reward"), column(run, "reward_se"), REWARD)
    axes[0].set_ylabel("reward per episode")
    for axis, name in zip(axes[1:], names, strict=False):
        curve(axis, steps, column(run, f"cost/{name}"), column(run, f"cost_se/{name}"), COST)
        limit_line(axis, run.metrics[0][f"limit/{name}"])
        axis.set_ylabel(f"{name} per episode")
    for name in names:
        line(axes[-1], steps, column(run, f"cos/{name}"), label=name if len(names) > 1 else None)
    axes[-1].axhline(0, color="black", linewidth=0.8)
    axes[-1].set_ylim(-1.05, 1.05)
    axes[-1].set_ylabel("cos φ (conflict < 0)")
    steps_below(axes[-1])

    seen = [mode for mode in MODE_BACKGROUNDS if mode in {row["mode"] for row in run.metrics}]
    handles = [Patch(color=MODE_BACKGROUNDS[mode], label=f"{mode} mode") for mode in seen]
    figure.suptitle(f"{run.algorithm_name.upper()} on {run.problem.id}, seed {run.seed}")
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), frameon=False)
    if len(names) > 1:
        axes[-1].legend(frameon=False)

    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=120)
    return content.getvalue()


def column(run: Record, name: str) -> np.ndarray:
    """Return a column of a run's metrics."""
    return np.array([row[name] for row in run.metrics], float)


def curve(
    axis: Axes,
    steps: np.ndarray,
    mean: np.ndarray,
    error: np.ndarray,
    colour: str,
    shade: float = 0.25,
    linestyle: Dashes = "solid",
    name: str | None = None,
) -> None:
    """Draw a mean with a band of one standard error; a `name` is that of both in the picture's file."""
    low, high = (from_start(mean + sign * error) for sign in (-1, 1))
    axis.fill_between(np.append(0.0, steps), low, high, color=colour, alpha=shade, linewidth=0, gid=name)
    line(axis, steps, mean, color=colour, linewidth=1.5, linestyle=linestyle, gid=name)


def line(axis: Axes, steps: np.ndarray, values: np.ndarray, linewidth: float = 1.3, **style: Any) -> None:
    """Draw one value an iteration, over all steps of training, and where there are few also as points."""
    (drawn,) = axis.plot(np.append(0.0, steps), from_start(values), linewidth=linewidth, **style)
    if len(steps) <= FEW:
        axis.plot(steps, values, "o", color=drawn.get_color(), markersize=4, clip_on=False)


def from_start(values: np.ndarray) -> np.ndarray:
    """Return the values with the first one twice: what the first iteration found holds over all of its steps."""
    return np.append(values[:1], values)


def limit_line(axis: Axes, limit: float, colour: str = "black", left: bool = False, beside: bool = False) -> None:
    """Draw a limit over the curves that are there, and write what it is, with room for that within the panel.

    The words stand at the right end of the line, at its `left` one, or, among many curves, `beside` the panel.
    """
    axis.axhline(limit, color=colour, linestyle="--", linewidth=1)
    if beside:
        where = (1, limit)
        axis.annotate(f" {limit:.4g}", where, xycoords=("axes fraction", "data"), ha="left", va="center", color=colour)
        return
    axis.margins(y=0.08)
    low, high = axis.get_ylim()
    below = limit - low > 0.85 * (high - low)
    axis.annotate(
        f"limit {limit:.4g}",
        (0.01 if left else 0.99, limit),
        (0, -3 if below else 3),
        xycoords=("axes fraction", "data"),
        textcoords="offset points",
        ha="left" if left else "right",
        va="top" if below else "bottom",
        color=colour,
        path_effects=[withStroke(linewidth=2.5, foreground="white", alpha=0.7)],
    )


def steps_below(axis: Axes) -> None:
    """Write environment steps below a picture, as 200 k or 1 M."""
    axis.xaxis.set_major_locator(MaxNLocator(5))
    axis.xaxis.set_major_formatter(EngFormatter(sep="\N{NARROW NO-BREAK SPACE}"))
    axis.set_xlabel("environment steps")


def mode_bands(axis: Axes, run: Record, steps: np.ndarray) -> None:
    """Colour the background by mode, each iteration's band ending at its number of steps."""
    starts = np.concatenate([[0.0], steps[:-1]])
    for start, end, row in zip(starts, steps, run.metrics, strict=True):
        axis.axvspan(start, end, color=MODE_BACKGROUNDS[row["mode"]], linewidth=0)
