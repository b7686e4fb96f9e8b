"""The experiment's one picture."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from equipoise.algorithms.rule import Rule
from equipoise.drawing import house_style
from equipoise.palette import AMBER, BALANCE, COST, GREEN, GREY, REWARD, SERIES
from equipoise.theory.criteria import Findings, offset_points, over_time, pick, plateau_points
from equipoise.theory.families import saw_tooth
from equipoise.theory.iterate import trace
from equipoise.theory.primal_dual import PrimalDual
from equipoise.theory.regularised import Regularised
from equipoise.theory.studies import Measured, band, hard

COLOURS = {
    "CRPO, tolerance η": COST,
    "CRPO, tolerance 0": AMBER,
    "PCRPO, slack 0…η": REWARD,
    "PCRPO, fixed slack": BALANCE,
    "NPG primal-dual": GREY,
    "regularised primal-dual": GREEN,
    "POISE, no margin": SERIES[5],
}
"""The studies drawn, and their colours."""

LEAST = 1e-6
"""Distances below are drawn as this: limits and costs are rounded to single precision."""


@house_style(mathematics=True)
def paint(findings: Findings, path: Path) -> None:
    """Draw rates, plateau, multipliers, the effect of noise, and an oscillation, and write them to `path` as PNG."""
    figure = Figure(figsize=(13.5, 8), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(2, 3)
    for axis in axes.flat:
        axis.spines[["top", "right"]].set_visible(False)
    _rates(axes[0, 0], findings.convergence, lambda m: m.distance, "averaged iterate", 1e-3)
    _bound(axes[0, 0], findings.convergence)
    _rates(axes[0, 1], findings.convergence, lambda m: m.last_distance, "last iterate", LEAST)
    _plateau(axes[0, 2], findings)
    _multipliers(axes[1, 0], findings)
    _offset(axes[1, 1], findings)
    _oscillation(axes[1, 2])
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4, frameon=False)
    figure.savefig(path, format="png", dpi=110)


def _rates(
    axis: Axes,
    measured: Sequence[Measured],
    value: Callable[[Measured], Float[np.ndarray, " N"]],
    title: str,
    bottom: float,
) -> None:
    """Draw medians over the Garnets against T down to `bottom`, with a band from the 10th to the 90th percentile."""
    garnets = [m for m in measured if m.family.startswith("Garnet")]
    for name, colour in COLOURS.items():
        times, distance = over_time(pick(garnets, name), value)
        low, middle, high = np.nanquantile(np.maximum(distance, LEAST), [0.1, 0.5, 0.9], axis=1)
        axis.fill_between(times, low, high, color=colour, alpha=0.1, linewidth=0)
        axis.plot(times, middle, color=colour, marker="o", markersize=3, linewidth=1.5, label=name)
    axis.loglog()
    axis.set_ylim(bottom, 5)
    axis.set_xlabel("T")
    axis.set_ylabel("max(gap, violation)")
    axis.set_title(title + ", Garnets")


def _bound(axis: Axes, measured: Sequence[Measured]) -> None:
    garnets = [m for m in measured if m.family.startswith("Garnet")]
    times, bound = over_time(pick(garnets, "CRPO, tolerance η"), lambda m: m.bound)
    axis.plot(times, np.median(bound, 1), color="black", linestyle="--", linewidth=1, label="the bound η ∝ T$^{-1/2}$")


def _plateau(axis: Axes, findings: Findings) -> None:
    gap, _, exact = plateau_points(findings)
    _diagonal(axis, exact, gap, COLOURS["PCRPO, fixed slack"])
    axis.set_xlabel("predicted: J*(b) − J*(b + h⁻) ≈ λ*|h⁻|")
    axis.set_ylabel("gap of the last iterate")
    axis.set_title("fixed slack: where PCRPO rests")


def _multipliers(axis: Axes, findings: Findings) -> None:
    runs = pick(findings.convergence, "CRPO, tolerance 0")
    longest = max(m.iterations for m in runs)
    for name in ("CRPO, tolerance 0", "regularised primal-dual", "POISE, no margin"):
        times, error = over_time(pick(findings.convergence, name), lambda m: m.multiplier_error)
        axis.plot(times, np.maximum(np.median(error, 1), LEAST), color=COLOURS[name], marker="o", markersize=3)
        low, high = np.quantile(error, [0.1, 0.9], axis=1)
        axis.fill_between(times, np.maximum(low, LEAST), high, color=COLOURS[name], alpha=0.12, linewidth=0)
    axis.loglog()
    axis.set_xlim(right=longest * 1.2)
    axis.set_ylim(LEAST, 20)
    axis.set_xlabel("T")
    axis.set_ylabel("‖λ implied − λ*‖₁ / ‖λ*‖₁")
    axis.set_title("multiplier implied by the last iterate")


def _offset(axis: Axes, findings: Findings) -> None:
    predicted, found = offset_points(findings)
    _diagonal(axis, predicted, found, COLOURS["CRPO, tolerance 0"])
    axis.set_xlabel("predicted: σ Φ⁻¹(λ*/(1 + λ*))")
    axis.set_ylabel("J − b where it rests")
    axis.locator_params(axis="x", nbins=6)
    axis.set_title("hard switch, sampled values: off the limit")


def _oscillation(axis: Axes) -> None:
    """Draw the saw-tooth bandit, whose cost weighs ten times as much as its reward, with one step size for all."""
    rules: dict[str, Rule] = {
        "CRPO, tolerance 0": hard(0.0),
        "PCRPO, fixed slack": band(-0.05, 0.0),
        "NPG primal-dual": PrimalDual(0.1, 10.0),
        "regularised primal-dual": Regularised(0.1, 10.0, 0.1),
    }
    cmdp = saw_tooth()
    for name, rule in rules.items():
        objective = trace(cmdp, rule, 0.5, 300).objective
        axis.plot(-objective[:, 1], color=COLOURS[name], linewidth=1.3)
    axis.axhline(float(cmdp.limits[0]), color="black", linestyle="--", linewidth=1, label="limit")
    axis.legend(frameon=False, loc="upper right")
    axis.set_xlabel("iteration")
    axis.set_ylabel("cost")
    axis.set_title("saw-tooth bandit, α = 0.5")


def _diagonal(axis: Axes, x: Float[np.ndarray, " N"], y: Float[np.ndarray, " N"], colour: str) -> None:
    """Draw points and the line where they would be equal."""
    ends = [min(x.min(), y.min()), max(x.max(), y.max())]
    axis.plot(ends, ends, color="black", linestyle="--", linewidth=1, label="found as predicted")
    axis.scatter(x, y, s=14, color=colour, alpha=0.8, linewidths=0)
    axis.legend(frameon=False, loc="upper left")
