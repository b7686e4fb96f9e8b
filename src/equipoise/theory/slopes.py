"""Slopes and lines with 95 % intervals over problems."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from scipy import stats

from equipoise.statistics import mean_interval


class Slope(NamedTuple):
    """A mean with its 95 % interval (Student's t over problems)."""

    mean: float
    """The mean of the problems' slopes; NaN for fewer than two problems."""
    low: float
    """Lower end of the interval."""
    high: float
    """Upper end of the interval."""
    problems: int
    """How many problems had enough points to fit."""

    def __str__(self) -> str:
        return f"{self.mean:.3f} [{self.low:.3f}, {self.high:.3f}]" if self.problems > 1 else "—"


def rate(
    iterations: Sequence[int], error: Float[np.ndarray, "T N"], counted: Bool[np.ndarray, "T N"], fewest: int = 3
) -> Slope:
    """Fit log error = a + slope · log T for every problem on its counted points, and average the slopes.

    Points that are not positive or not finite are left out, and problems with fewer than `fewest` points.
    """
    at = np.log(np.asarray(iterations, float))
    slopes = []
    for errors, use in zip(error.T, counted.T, strict=True):
        use = use & np.isfinite(errors) & (np.where(np.isfinite(errors), errors, 0.0) > 0)
        if use.sum() >= fewest:
            slopes.append(np.polyfit(at[use], np.log(errors[use]), 1)[0])
    if len(slopes) < 2:
        return Slope(np.nan, np.nan, np.nan, len(slopes))
    mean = mean_interval(np.array(slopes))
    return Slope(mean.value, mean.low, mean.high, len(slopes))


def line(x: Float[np.ndarray, " N"], y: Float[np.ndarray, " N"]) -> Slope:
    """Fit y = a + slope · x by least squares over the problems."""
    fit = stats.linregress(x, y)
    half = stats.t.ppf(0.975, len(x) - 2) * fit.stderr
    return Slope(float(fit.slope), float(fit.slope - half), float(fit.slope + half), len(x))
