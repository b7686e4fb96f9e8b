"""Confidence sequences: intervals of a mean that hold at every number of samples at once.

So looking at them often, and stopping for what they say, costs nothing of what they promise.

For values x_1, x_2, … with mean μ let t_n(μ) = √n(x̄ − μ)/s be Student's statistic of the first n. Against values that
are N(μ + δσ, σ²), with δ itself drawn from N(0, ρ²), the likelihood ratio of t_n is

    B_n(μ) = (1 + nρ²)^(−1/2) · [(1 + t²/(n − 1)) / (1 + t²/((n − 1)(1 + nρ²)))]^(n/2)

(Gönen, Johnson, Lu & Westfall, American Statistician 2005). For normal values of any unknown σ it is a martingale of
mean 1 at the true μ, so that by Ville's inequality P(B_n(μ) ≥ 1/α for any n) ≤ α (Lai, Annals of Statistics 1976;
Wang & Ramdas, arXiv 2310.03722): the interval of all μ with B_n(μ) < 1/α covers the true mean at all n at once with
probability 1 − α at least.

Assumptions. The values are independent and of one distribution; they need no bound, for episode costs have none. The
promise is exact for normal ones. For others it is asymptotic: with growing n the interval is that of Robbins' normal
mixture with s for σ, an asymptotic confidence sequence for any values with more than two moments (Waudby-Smith,
Arbour, Sinha, Kennedy & Ramdas, Annals of Statistics 2024, arXiv 2103.06476). Nothing can be exact there: of values
without a known bound, no finite sample tells how large those are that it lacks (Bahadur & Savage, 1956). So no verdict
should rest on a few values, or on values that are all alike.

Confidence sequences for bounded values (Waudby-Smith & Ramdas, JRSSB 2024; Howard et al., Annals of Statistics 2021)
promise more, and need a bound that a user's environment does not state.
"""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float

from equipoise.statistics.intervals import Interval


def mean_sequence_interval(values: Float[np.ndarray, " n"], error: float, tightest: int) -> Interval:
    """Return the mean of the first `n` ≥ 2 values of a stream, and its interval at `n` of a confidence sequence.

    Args:
        values: the values so far.
        error: α, the probability with which the mean may be outside at any `n`.
        tightest: the number of values at which the interval is about as tight as it can be; chosen beforehand.
    """
    n, mean = len(values), float(values.mean())
    errors, deviation = standard_errors(n, error, tightest), float(values.std(ddof=1))
    half = errors if math.isinf(errors) else errors * deviation / math.sqrt(n)
    return Interval(mean, mean - half, mean + half)


def standard_errors(n: int, error: float, tightest: int) -> float:
    """Return the largest |t_n| that is inside; infinity while n is too small for the sequence to exclude anything."""
    growth = 1.0 + n * _variance(error, tightest)
    log_ratio = (math.log(growth) - 2.0 * math.log(error)) / n  # of (1 + t²/(n − 1)) over its shrunken self, at 1/α
    if log_ratio >= math.log(growth):
        return math.inf
    ratio = math.exp(log_ratio)
    return math.sqrt((n - 1) * (ratio - 1.0) / (1.0 - ratio / growth))


def _variance(error: float, tightest: int) -> float:
    """Return ρ², for which the interval is about narrowest after `tightest` values (Waudby-Smith et al. 2024)."""
    size = -2.0 * math.log(error)
    return (size + math.log(size + 1.0)) / tightest
