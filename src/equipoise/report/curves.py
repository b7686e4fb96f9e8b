"""Curves over training: the mean of several seeds, and how often each mode was chosen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from equipoise.palette import MODE_BACKGROUNDS
from equipoise.report.results import RunResult

POINTS = 80
"""Points of a curve at most."""


@dataclass(frozen=True)
class Curve:
    """A mean over seeds, with its standard error."""

    steps: Float[np.ndarray, " n"]
    """Environment steps."""
    mean: Float[np.ndarray, " n"]
    """Mean over seeds; of one seed, its values."""
    error: Float[np.ndarray, " n"]
    """Standard error of the mean over seeds; of one seed, that of its estimates, or 0 if there is none."""


def curve_of(runs: Sequence[RunResult], column: str, error: str | None = None) -> Curve:
    """Return the mean of a column over runs, at steps that all of them have done. Between iterations it is a line.

    `error` names the column that has the standard errors of a single run's values.
    """
    steps = shared_steps(runs)
    values = np.array([np.interp(steps, run.updates["steps"], run.updates[column]) for run in runs])
    if len(runs) > 1:
        return Curve(steps, values.mean(axis=0), values.std(axis=0, ddof=1) / np.sqrt(len(runs)))
    own = np.interp(steps, runs[0].updates["steps"], runs[0].updates[error]) if error else np.zeros_like(steps)
    return Curve(steps, values[0], own)


def shared_steps(runs: Sequence[RunResult]) -> Float[np.ndarray, " n"]:
    """Return steps from the latest first to the earliest last iteration of the runs, `POINTS` of them at most."""
    all_steps = [run.updates["steps"] for run in runs]
    first, last = max(steps[0] for steps in all_steps), min(steps[-1] for steps in all_steps)
    steps = next((steps for steps in all_steps if steps[0] == first and steps[-1] == last), np.array([first, last]))
    alike = all(np.array_equal(steps, other) for other in all_steps)
    if alike and len(steps) <= POINTS:
        return steps
    return np.linspace(first, last, min(POINTS, max(map(len, all_steps)))) if last > first else steps[:1]


def mode_shares(runs: Sequence[RunResult]) -> tuple[Float[np.ndarray, " n"], dict[str, Float[np.ndarray, " n"]]]:
    """Return steps, and for each mode the share of the runs whose iteration at those steps was in it."""
    steps = shared_steps(runs)
    seen = []
    for run in runs:  # the iteration that a step belongs to is the first that ends at it or later
        at = np.searchsorted(run.updates["steps"], steps).clip(max=len(run.updates["steps"]) - 1)
        seen.append(run.updates["mode"][at])
    return steps, {mode: np.mean([modes == mode for modes in seen], axis=0) for mode in MODE_BACKGROUNDS}


def share_inside(runs: Sequence[RunResult], name: str) -> float:
    """Return the mean over runs of the share of iterations whose estimate of a cost was within its limit."""
    return float(np.mean([(run.updates[f"cost/{name}"] <= run.limits[name]).mean() for run in runs]))


def mean_angle(runs: Sequence[RunResult], name: str) -> float:
    """Return the mean over iterations, then over runs, of cos φ of reward and a cost; not a number if it never is one.

    Iterations in which one of the gradients is 0 have no angle, and do not count.
    """
    known = [angles[np.isfinite(angles)] for angles in (run.updates[f"cos/{name}"] for run in runs)]
    means = [angles.mean() for angles in known if len(angles)]
    return float(np.mean(means)) if means else float("nan")
