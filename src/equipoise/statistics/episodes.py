"""How a policy's episode costs C stand to a limit d: how often they break it, by how much, and how bad the worst is."""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float

from equipoise.statistics.intervals import Interval, exact_share_interval


def violation_share(costs: Float[np.ndarray, " n"], limit: float) -> Interval:
    """Return V, the share of episodes with C > d, and its exact 95 % interval (SafeRLEval, arXiv 2609.15315)."""
    return exact_share_interval(int((costs > limit).sum()), len(costs))


def relative_excess(costs: Float[np.ndarray, " n"], limit: float) -> float:
    """Return D = (mean C − d)/d, negative inside the limit (SafeRLEval, arXiv 2609.15315); for d = 0, the mean."""
    return float(costs.mean() - limit) / _unit(limit)


def violating_excess(costs: Float[np.ndarray, " n"], limit: float) -> float:
    """Return D⁺ = (mean C of the episodes with C > d − d)/d, and 0 if there are none (SafeRLEval, arXiv 2609.15315)."""
    worse = costs[costs > limit]
    return relative_excess(worse, limit) if len(worse) else 0.0


def shortfall(estimates: Float[np.ndarray, " n"], limit: float) -> float:
    """Return the mean of (Ĵ − d)⁺/d over updates: the regret of C-TRPO (Milosevic et al., arXiv 2411.02957)."""
    return float(np.maximum(estimates - limit, 0.0).mean()) / _unit(limit)


def cvar(costs: Float[np.ndarray, " n"], share: float = 0.1) -> float:
    """Return the conditional value at risk: the mean of the worst `share` of the costs.

    A share that ends within an episode counts that part of it, equation 8 of Rockafellar and Uryasev (J. Banking and
    Finance, 2002) for an empirical distribution.
    """
    ordered, worst = np.sort(costs)[::-1], share * len(costs)
    whole = math.floor(worst + 1e-9)  # 0.1 · 30 is a little more than 3
    part = max(worst - whole, 0.0)
    rest = part * ordered[whole] if part > 0 and whole < len(ordered) else 0.0
    return float((ordered[:whole].sum() + rest) / worst)


def _unit(limit: float) -> float:
    """What an excess is measured in: the limit, or the costs' own unit where the limit is 0."""
    return limit if limit > 0 else 1.0
