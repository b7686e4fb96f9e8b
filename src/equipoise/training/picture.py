"""The picture of a run: reward, costs against their limits, modes as coloured bands, and the conflict."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import EngFormatter, MaxNLocator

from equipoise.drawing import house_style
from equipoise.errors import UsageError
from equipoise.files import write_atomically
from equipoise.palette import COST, MODE_BACKGROUNDS, REWARD, Dashes
from equipoise.training.record import Record


@house_style()
def draw(run: Record) -> Path:
    """Draw `plot.png` into the run's folder and return its path; `UsageError` if there is nothing to draw."""
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
        axes[-1].plot(steps, column(run, f"cos/{name}"), linewidth=1.3, label=name if len(names) > 1 else None)
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
    path = run.path / "plot.png"
    write_atomically(path, content.getvalue())
    return path


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
    axis.fill_between(steps, mean - error, mean + error, color=colour, alpha=shade, linewidth=0, gid=name)
    axis.plot(steps, mean, color=colour, linewidth=1.5, linestyle=linestyle, gid=name)


def limit_line(axis: Axes, limit: float, colour: str = "black", beside: bool = False) -> None:
    """Draw a limit, and write what it is: above the line, or, where many curves are close, `beside` the picture."""
    axis.axhline(limit, color=colour, linestyle="--", linewidth=1)
    words, ha, va = (f" {limit:.4g}", "left", "center") if beside else (f"limit {limit:.4g}", "right", "bottom")
    axis.annotate(words, (1, limit), xycoords=("axes fraction", "data"), ha=ha, va=va, color=colour)


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
