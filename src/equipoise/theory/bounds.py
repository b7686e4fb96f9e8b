"""The theorem: step sizes, tolerances and what they guarantee. docs/theory.md states and proves it.

For iterates θ ← θ + α/(1 − γ) Σ w_i Q_i (up is better) from the uniform policy, with weights w ≥ 0 and any policy π*
that meets the limits, summing the performance difference lemma over t and Hoeffding's lemma in every state give

    Σ_t w_r (J_r(π*) − J_r(π_t)) ≤ log|A|/α + α·span²/(8(1 − γ)²) · Σ_t (Σ_i w_i)² + Σ_t Σ_k w_k (b_k − J_k(π_t)).  (1)

With CRPO's weights (all on the reward, or all on a cost with J_k > b_k + η) and η ≥ `tolerance`, (1) says: some iterate
improves the reward, the mean gap of those that do is at most η, and so is their violation.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float

from equipoise.theory.iterate import Sums

Number = Any
"""A number, or an array with one for each problem."""


def best_step(discount: Number, actions: int, span: Number, iterations: int) -> Number:
    """Return our own α, for which `tolerance` is least: (1 − γ)√(8 log|A|/T)/span."""
    return (1 - discount) * np.sqrt(8 * np.log(actions) / iterations) / span


def paper_step(discount: Number, states: int, actions: int, iterations: int) -> Number:
    """Return CRPO's α (Xu, Liang & Lan 2021, theorem 1): (1 − γ)^1.5/√(|S||A|T)."""
    return (1 - discount) ** 1.5 / np.sqrt(states * actions * iterations)


def tolerance(discount: Number, actions: int, span: Number, iterations: int, step: Number) -> Number:
    """Return η = log|A|/(αT) + α·span²/(8(1 − γ)²), the least for which (1) bounds gap and violation by η.

    At `best_step` it is span·√(log|A|/(2T))/(1 − γ); `span` bounds max_a Q − min_a Q, 1/(1 − γ) if nothing better is
    known.
    """
    return np.log(actions) / (step * iterations) + step * span**2 / (8 * (1 - discount) ** 2)


def paper_tolerance(discount: Number, states: int, actions: int, iterations: int) -> Number:
    """Return CRPO's η with its own constants: 2√(|S||A|)/((1 − γ)^1.5 √T) · (log|A| + 2), for exact Q and c_max = 1."""
    return 2 * np.sqrt(states * actions / iterations) / (1 - discount) ** 1.5 * (np.log(actions) + 2)


def certificate(
    sums: Sums,
    discount: Float[np.ndarray, " N"],
    actions: int,
    span: Float[np.ndarray, " N"],
    step: Float[np.ndarray, " N"],
) -> Float[np.ndarray, " N"]:
    """Return (1) divided by Σ w_r, the largest gap the averaged iterate of a finished run can have; NaN without one."""
    regret = np.log(actions) / step + step * span**2 / (8 * (1 - discount) ** 2) * sums.square
    return np.where(sums.output > 0, (regret + sums.duty) / np.where(sums.output > 0, sums.output, 1.0), np.nan)
