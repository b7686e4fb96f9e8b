"""The analysis as tidy CSV: one number with its interval per row."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from typing import Any

import numpy as np

from equipoise.conflict.analysis import Conflict
from equipoise.conflict.history import by_mode
from equipoise.conflict.landscape import cos_on, fit

COLUMNS = ("what", "iteration", "mode", "metric", "part", "x", "y", "value", "low", "high")
"""The columns of conflict.csv, which docs/conflict.md explains."""

Rows = Iterator[dict[str, Any]]
"""Rows by column; what is left out is empty."""


def encode(conflict: Conflict) -> str:
    """Write everything as CSV."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, COLUMNS, restval="", lineterminator="\n")
    writer.writeheader()
    for rows in (_training, _along, _around, _map):
        writer.writerows(rows(conflict))
    return text.getvalue()


def _training(conflict: Conflict) -> Rows:
    """Yield what metrics.csv says, and its distribution by mode."""
    past = conflict.history
    measured = {"training/cos": past.cos, "training/implied_multiplier": past.multiplier}
    heldout = {"reward": past.gain_reward, "cost": past.gain_cost} if np.isfinite(past.gain_reward).any() else {}
    measured |= {f"training/heldout_gain/{part}": gain for part, gain in heldout.items()}
    for what, values in measured.items():
        for iteration, mode, value in zip(past.iteration, past.mode, values, strict=True):
            yield {"what": what, "iteration": int(iteration), "mode": mode, "value": value}
    for what in ("training/cos", "training/implied_multiplier"):
        for mode, (low, middle, high) in by_mode(measured[what], past.mode).items():
            yield {"what": f"{what}/median", "mode": mode, "value": middle, "low": low, "high": high}
    for part, gain in heldout.items():
        for mode in past.modes:
            share = (gain[past.of(mode)] < 0).mean()
            yield {"what": "training/harmed", "mode": mode, "part": part, "value": share}


def _along(conflict: Conflict) -> Rows:
    """Yield the analysis of every checkpoint."""
    for at in conflict.checkpoints:
        here: dict[str, Any] = {"iteration": at.iteration}
        cost, error = at.estimate.cost[conflict.number], at.estimate.cost_se[conflict.number]
        yield {"what": "cost", **here, **_within(float(cost), float(error))}
        yield {"what": "multiplier", **here, "metric": "fisher", "value": at.multiplier}
        for metric, angle in at.angles.items():
            here["metric"] = metric
            yield {"what": "cos/batch", **here, "value": angle.naive}
            yield {"what": "cos/scatter", **here, "value": angle.scatter}
            yield {"what": "cos", **here, "value": angle.corrected, "low": angle.low, "high": angle.high}
            yield {"what": "signal", **here, "part": "reward", "value": angle.signal_reward}
            yield {"what": "signal", **here, "part": "cost", "value": angle.signal_cost}


def _around(conflict: Conflict) -> Rows:
    """Yield the closer look at one checkpoint, except the map."""
    around = conflict.around
    here = {"iteration": around.iteration}
    for metric, layers in around.layers.items():
        for layer, value in layers.items():
            yield {"what": "cos/layer", **here, "metric": metric, "part": layer, "value": value}
    for name, found in around.held_out.items():
        for part, i in (("reward", 0), ("cost", 1 + conflict.number)):
            step = {**here, "metric": name, "part": part}
            yield {"what": "heldout/promised", **step, "value": found.promised[i]}
            yield {"what": "heldout/gain", **step, "value": found.kept[i]}
            yield {"what": "heldout/harmed", **step, "value": found.harmed[i]}
    for algorithm, mode in around.plans.items():
        yield {"what": "plan", **here, "part": algorithm, "mode": mode}


def _map(conflict: Conflict) -> Rows:
    """Yield the map, the slopes at its centre, and the steps in it."""
    here, land = {"iteration": conflict.around.iteration}, conflict.around.landscape
    for what, mean, error in (("reward", land.reward, land.reward_se), ("cost", land.cost, land.cost_se)):
        for row, column in np.ndindex(mean.shape):
            point = {"x": land.x[column], "y": land.y[row]}
            yield {
                "what": f"map/{what}",
                **here,
                **point,
                **_within(float(mean[row, column]), float(error[row, column])),
            }
        surface = fit(land.x, land.y, mean)
        for axis, slope, slope_se in zip("xy", surface.coefficients[1:3], surface.slope_se, strict=True):
            yield {"what": f"map/{what}/slope", **here, "part": axis, **_within(slope, slope_se)}
    yield {"what": "map/cos", **here, **_within(*cos_on(land))}
    for mode, step in land.steps.items():
        yield {"what": "map/step", **here, "mode": mode, "part": step.outcome, "x": step.x, "y": step.y}


def _within(value: float, error: float) -> dict[str, float]:
    """Return a value with two standard errors to each side."""
    return {"value": value, "low": value - 2 * error, "high": value + 2 * error}
