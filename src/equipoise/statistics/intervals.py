"""Confidence intervals of means and shares."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy import stats


@dataclass(frozen=True)
class Interval:
    """An estimate and its 95 % confidence interval."""

    value: float
    """The estimate."""
    low: float
    """Lower end of the interval."""
    high: float
    """Upper end of the interval."""


def mean_interval(values: Float[np.ndarray, " n"]) -> Interval:
    """Return the mean of `n` ≥ 2 values and its 95 % interval by Student's t."""
    half = _standard_errors(values, 0.975)
    return Interval(float(values.mean()), float(values.mean() - half), float(values.mean() + half))


def mean_upper_bound(values: Float[np.ndarray, " n"]) -> float:
    """Return the one-sided upper 95 % confidence bound of the mean of `n` ≥ 2 values, by Student's t.

    A policy is certified to keep a limit if this bound of its episode costs is within the limit.
    """
    return float(values.mean() + _standard_errors(values, 0.95))


def share_interval(hits: int, n: int) -> Interval:
    """Return hits/n and its 95 % interval by Wilson's score (Wilson, JASA 1927)."""
    interval = stats.binomtest(hits, n).proportion_ci(method="wilson")
    return Interval(hits / n, float(interval.low), float(interval.high))


def exact_share_interval(hits: int, n: int) -> Interval:
    """Return hits/n and its exact 95 % interval (Clopper and Pearson, Biometrika 1934), which never covers less."""
    interval = stats.binomtest(hits, n).proportion_ci(method="exact")
    return Interval(hits / n, float(interval.low), float(interval.high))


def _standard_errors(values: Float[np.ndarray, " n"], quantile: float) -> float:
    """Return the distance from the mean to Student's `quantile` of it."""
    return float(stats.t.ppf(quantile, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values)))
