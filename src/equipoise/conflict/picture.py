"""The analysis as one picture."""

from __future__ import annotations

import io

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Circle, Patch
from matplotlib.patheffects import withStroke
from matplotlib.ticker import MaxNLocator

from equipoise.conflict.analysis import Conflict
from equipoise.conflict.landscape import cos_on, fit
from equipoise.drawing import house_style
from equipoise.palette import COST, DARK, LIGHT, MIDDLE, MODE_BACKGROUNDS, MODE_COLOURS, REWARD
from equipoise.training.picture import curve, limit_line, mode_bands


@house_style()
def paint(conflict: Conflict) -> bytes:
    """Draw the analysis and return the picture as PNG."""
    figure = Figure(figsize=(15, 12), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(3, 3)
    for axis in axes.flat:
        axis.spines[["top", "right"]].set_visible(False)
    _cost(axes[0, 0], conflict)
    _cos(axes[0, 1], conflict)
    _by_mode(axes[0, 2], conflict)
    _metrics(axes[1, 0], conflict)
    _multiplier(axes[1, 1], conflict)
    _layers(axes[1, 2], conflict)
    _held_out(axes[2, 0], conflict)
    land = conflict.around.landscape
    _map(axes[2, 1], conflict, land.reward, "reward", "Blues_r")
    _map(axes[2, 2], conflict, land.cost, conflict.cost, "Oranges")
    config = conflict.run.config
    figure.suptitle(
        f"Conflict of reward and {conflict.cost}: {config.algorithm_name.upper()} on {conflict.run.problem.id}, "
        f"seed {config.seed}",
        fontsize=14,
    )
    handles = [Patch(color=MODE_BACKGROUNDS[mode], label=f"{mode} mode") for mode in conflict.history.modes]
    figure.legend(handles=handles, loc="outside lower left", ncols=len(handles), frameon=False)
    steps = _keys_of_steps(conflict)
    figure.legend(handles=steps, loc="outside lower right", ncols=len(steps), frameon=False)
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=80)
    return content.getvalue()


def _along_training(axis: Axes, conflict: Conflict) -> None:
    """Give `axis` the training's steps and modes as its background."""
    mode_bands(axis, conflict.run, conflict.history.steps)
    axis.set_xlim(0, 1.01 * conflict.history.steps[-1])
    axis.set_xlabel("environment steps")
    axis.ticklabel_format(axis="x", style="sci", scilimits=(0, 0))


def _at_checkpoints(conflict: Conflict) -> Float[np.ndarray, " c"]:
    """Return the steps after which each checkpoint was written."""
    return np.array([at.iteration for at in conflict.checkpoints]) * float(conflict.run.config.steps_per_iteration)


def _cost(axis: Axes, conflict: Conflict) -> None:
    past = conflict.history
    _along_training(axis, conflict)
    curve(axis, past.steps, past.cost, past.cost_se, COST)
    limit_line(axis, conflict.limit, left=True)
    axis.set_ylabel(f"{conflict.cost} per episode")
    axis.set_title("Does the limit bind?")


def _cos(axis: Axes, conflict: Conflict) -> None:
    past, angles = conflict.history, [at.angles["fisher"] for at in conflict.checkpoints]
    _along_training(axis, conflict)
    axis.plot(past.steps, past.cos, ".", color="grey", markersize=4, label="one iteration's batch")
    middle = np.array([angle.corrected for angle in angles])
    ends = np.array([[angle.corrected - angle.low, angle.high - angle.corrected] for angle in angles]).T
    axis.errorbar(
        _at_checkpoints(conflict),
        middle,
        np.maximum(ends, 0),
        color="black",
        fmt="o-",
        markersize=4,
        linewidth=1,
        capsize=2,
        label="without the noise, 95 % interval",
    )
    axis.axhline(0, color="black", linewidth=0.8)
    axis.axhline(-1, color="black", linestyle=":", linewidth=1)
    axis.set_ylim(-1.15, 1.15)
    axis.set_ylabel("cos φ (Fisher metric)")
    axis.set_title("Do the gradients oppose each other? (−1: exactly)")
    axis.legend(frameon=False, fontsize=8)


def _by_mode(axis: Axes, conflict: Conflict) -> None:
    past = conflict.history
    edges = np.linspace(-1, 1, 21)
    for mode in past.modes:
        inside = past.cos[past.of(mode)]
        axis.hist(
            inside,
            edges.tolist(),
            color=MODE_BACKGROUNDS[mode],
            edgecolor=MODE_COLOURS[mode],
            alpha=0.8,
            histtype="stepfilled",
            linewidth=1.3,
        )
        axis.axvline(
            float(np.median(inside)),
            color=MODE_COLOURS[mode],
            linestyle="--",
            linewidth=1.3,
            label=f"{mode}: median {np.median(inside):+.2f}",
        )
    axis.set_xlim(-1, 1)
    axis.set_xticks([-1, -0.5, 0, 0.5, 1])
    axis.set_xlabel("cos φ of an iteration's batch (Fisher metric)")
    axis.set_ylabel("iterations")
    axis.yaxis.set_major_locator(MaxNLocator(integer=True))
    axis.set_ylim(top=1.3 * axis.get_ylim()[1])  # room for the legend
    axis.set_title("Conflict in each mode, over training")
    axis.legend(frameon=False, fontsize=8)


def _metrics(axis: Axes, conflict: Conflict) -> None:
    _along_training(axis, conflict)
    names = {"euclidean": "euclidean", "natural": "natural and step", "fisher": "fisher"}
    for (metric, label), style in zip(names.items(), ("s--", "^:", "o-"), strict=True):
        values = [at.angles[metric].corrected for at in conflict.checkpoints]  # type: ignore[index]
        axis.plot(_at_checkpoints(conflict), values, style, color="black", markersize=4, linewidth=1, label=label)
    axis.axhline(0, color="black", linewidth=0.8)
    axis.set_ylim(-1.15, 1.15)
    axis.set_ylabel("cos φ without the noise")
    axis.set_title("Does the metric matter?")
    axis.legend(frameon=False, fontsize=8)


def _multiplier(axis: Axes, conflict: Conflict) -> None:
    past = conflict.history
    _along_training(axis, conflict)
    axis.plot(past.steps, past.multiplier, ".", color="grey", markersize=4, label="one iteration's batch")
    values = np.array([at.multiplier for at in conflict.checkpoints])
    axis.plot(
        _at_checkpoints(conflict), values, "o-", color="black", markersize=4, linewidth=1, label="without the noise"
    )
    axis.axhline(0, color="black", linewidth=0.8)
    # Far from the limit the ratio can be anything: the panel is scaled to what is known, and to the middle of the rest.
    shown = np.concatenate([values[np.isfinite(values)], np.quantile(past.multiplier, [0.25, 0.75]), [0.0]])
    margin = 0.5 * np.ptp(shown) or 1.0
    axis.set_ylim(shown.min() - margin, shown.max() + margin)
    axis.set_ylabel(f"reward per unit of {conflict.cost}")
    axis.set_title("Implied multiplier λ: the price of the limit")
    axis.legend(frameon=False, fontsize=8)


def _layers(axis: Axes, conflict: Conflict) -> None:
    layers = conflict.around.layers
    names = list(layers["fisher"])
    for offset, (metric, colour) in zip((-0.2, 0.2), (("euclidean", LIGHT), ("fisher", DARK)), strict=True):
        values = [layers[metric][name] for name in names]  # type: ignore[index]
        axis.bar(np.arange(len(names)) + offset, values, 0.38, color=colour, label=f"{metric}: sum {sum(values):+.2f}")
    axis.axhline(0, color="black", linewidth=0.8)
    axis.set_xticks(np.arange(len(names)), names)
    low, high = axis.get_ylim()
    axis.set_ylim(low, high + 0.25 * (high - low))  # room for the legend
    axis.set_ylabel("part of cos φ without the noise")
    axis.set_title(f"In which layers? (iteration {conflict.around.iteration})")
    axis.legend(frameon=False, fontsize=8, loc="upper right", ncols=2)


def _held_out(axis: Axes, conflict: Conflict) -> None:
    found = conflict.around.held_out
    for offset, i, colour, label in ((-0.2, 0, REWARD, "reward"), (0.2, 1 + conflict.number, COST, conflict.cost)):
        shares = [100 * step.harmed[i] for step in found.values()]
        axis.bar(np.arange(len(found)) + offset, shares, 0.38, color=colour, label=f"makes {label} worse")
    labels = [f"{name}\nalone" if name in ("reward", "safety") else name for name in found]
    axis.set_xticks(np.arange(len(found)), labels, fontsize=8)
    axis.set_xlabel("the balance step in each metric; one objective alone")
    axis.set_ylim(0, 125)  # room for the legend above bars of 100
    axis.set_yticks([0, 20, 40, 60, 80, 100])
    axis.set_ylabel("% of random halves of the episodes")
    axis.set_title(f"Which steps do harm on held-out episodes? (iteration {conflict.around.iteration})", fontsize=11)
    axis.legend(frameon=False, fontsize=8, loc="upper left", ncols=2)


def _keys_of_steps(conflict: Conflict) -> list[Line2D]:
    """Return the legend of both maps: the steps, who takes them, and the limit. On a map it would cover its numbers."""
    keys = []
    for mode in conflict.around.landscape.steps:
        takers = " and ".join(algorithm.upper() for algorithm, plan in conflict.around.plans.items() if plan == mode)
        label = f"{mode} step" + (f": {takers} here" if takers else "")
        keys.append(Line2D([], [], color=MODE_COLOURS[mode], linewidth=2, label=label))
    return [*keys, Line2D([], [], color="black", linestyle="--", linewidth=1.8, label=f"limit on {conflict.cost}")]


def _map(axis: Axes, conflict: Conflict, values: Float[np.ndarray, "G G"], name: str, colours: str) -> None:
    """Draw one of the two maps, with contours of the fitted surfaces, the limit, the trust region and the steps."""
    around, land = conflict.around, conflict.around.landscape
    axis.pcolormesh(land.x, land.y, values, cmap=colours, shading="nearest", alpha=0.8, rasterized=True)
    fine = np.linspace(land.x[0], land.x[-1], 60)
    surfaces = [fit(land.x, land.y, mean)(*np.meshgrid(fine, fine)) for mean in (values, land.cost)]
    # Solid: by default Matplotlib draws those of negative numbers dashed, as the limit is.
    lines = axis.contour(fine, fine, surfaces[0], levels=7, colors=MIDDLE, linestyles="solid", linewidths=0.7)
    for label in axis.clabel(lines, fontsize=8):
        label.set_path_effects([withStroke(linewidth=2, foreground="white", alpha=0.7)])
    axis.contour(fine, fine, surfaces[1], levels=[conflict.limit], colors="black", linestyles="--", linewidths=1.8)
    axis.add_patch(Circle((0, 0), 1, fill=False, color="black", linewidth=0.8))
    for mode, step in land.steps.items():
        colour = MODE_COLOURS[mode]
        arrow = {"color": colour, "width": 1.5, "headwidth": 7, "headlength": 7}
        axis.annotate("", (step.x, step.y), (0, 0), arrowprops=arrow)
    axis.set_aspect("equal")
    axis.set_xlabel("along the reward's step (circle: trust region)")
    axis.set_ylabel("across it, towards the cost's step")
    axis.set_title(
        f"{name} per episode around iteration {around.iteration}\n(cos φ of the map itself: {cos_on(land)[0]:+.2f})",
        fontsize=11,
    )
