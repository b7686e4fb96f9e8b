"""The constrained optimum and its multipliers, from the linear programme over discounted occupancy measures.

With d(s, a) = Σ γᵗ P(s_t = s, a_t = a) (Altman, Constrained Markov Decision Processes, 1999, ch. 3):

    max Σ d·r   over d ≥ 0 with   Σ_a d(s′, a) − γ Σ_{s,a} P(s′|s, a) d(s, a) = ρ(s′),   Σ d·c_k ≤ b_k.

The dual variables of the equations are the values V(s) of the Lagrangian's optimal policy, those of the limits are the
multipliers λ*_k = ∂J*/∂b_k.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.optimize import linprog

from equipoise.errors import UsageError
from equipoise.theory.cmdp import CMDP

_TOLERANCE = {"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10}


class Optimum(NamedTuple):
    """The best policy within the limits."""

    policy: Float[np.ndarray, "S A"]
    """π*(a|s); uniform in states that it never visits."""
    occupancy: Float[np.ndarray, "S A"]
    """d*(s, a), which sums to 1/(1 − γ)."""
    reward: float
    """J_r(π*)."""
    cost: Float[np.ndarray, " K"]
    """J_k(π*)."""
    multipliers: Float[np.ndarray, " K"]
    """λ*_k ≥ 0; 0 where the limit does not bind."""
    duality_gap: float
    """The dual programme's value ρᵀV + λ*ᵀb minus J_r(π*): 0 up to rounding."""


def solve(cmdp: CMDP) -> Optimum:
    """Solve the linear programme; `UsageError` if no policy meets the limits."""
    flow = _flow(cmdp)
    found = linprog(
        -cmdp.reward.ravel(),
        A_ub=cmdp.cost.reshape(len(cmdp.limits), -1),
        b_ub=cmdp.limits,
        A_eq=flow,
        b_eq=cmdp.initial,
        method="highs",
        options=_TOLERANCE,
    )
    if found.status == 2:
        raise UsageError(
            f"no policy meets the limits {_list(cmdp.limits)} on the discounted cost: the best still exceeds one by "
            f"{-margin(cmdp):.4g}; the least each cost alone can be is {_list(least_costs(cmdp))}"
        )
    if found.status != 0:
        raise UsageError(f"the linear programme of the CMDP was not solved: {found.message}")
    occupancy = np.maximum(found.x, 0).reshape(cmdp.reward.shape)
    visits = occupancy.sum(1, keepdims=True)
    multipliers = np.maximum(-found.ineqlin.marginals, 0)
    reward = float((occupancy * cmdp.reward).sum())
    return Optimum(
        policy=np.where(visits > 1e-12, occupancy / np.maximum(visits, 1e-12), 1 / occupancy.shape[1]),
        occupancy=occupancy,
        reward=reward,
        cost=(occupancy * cmdp.cost).sum((1, 2)),
        multipliers=multipliers,
        duality_gap=float(-found.eqlin.marginals @ cmdp.initial + multipliers @ cmdp.limits) - reward,
    )


def best(cmdp: CMDP, payoff: Float[np.ndarray, "S A"]) -> Optimum:
    """Return the policy that is best for `payoff` with no limits at all; its `reward` is that payoff's value."""
    return solve(cmdp._replace(reward=payoff, cost=np.zeros((1, *payoff.shape)), limits=np.ones(1)))


def least_costs(cmdp: CMDP) -> Float[np.ndarray, " K"]:
    """Return the least that every J_k can be, each on its own."""
    return np.array([(best(cmdp, -cost).occupancy * cost).sum() for cost in cmdp.cost])


def margin(cmdp: CMDP) -> float:
    """Return Slater's constant: the largest ξ for which a policy keeps every J_k ≤ b_k − ξ. Negative: infeasible."""
    k, n = len(cmdp.limits), cmdp.reward.size
    found = linprog(
        np.append(np.zeros(n), -1.0),
        A_ub=np.column_stack([cmdp.cost.reshape(k, -1), np.ones(k)]),
        b_ub=cmdp.limits,
        A_eq=np.column_stack([_flow(cmdp), np.zeros(len(cmdp.initial))]),
        b_eq=cmdp.initial,
        bounds=[(0, None)] * n + [(None, None)],
        method="highs",
        options=_TOLERANCE,
    )
    return float(found.x[-1])


def span(cmdp: CMDP) -> float:
    """Return a bound on max_a Q_i(s, a) − min_a Q_i(s, a) over all policies, states and objectives i.

    At most 1/(1 − γ), and for most problems well below: the best policy's max_a Q(s, a) minus the worst's min_a Q.
    """
    widest = 0.0
    for payoff in (cmdp.reward, *cmdp.cost):
        high, low = (sign * _best_quality(cmdp, sign * payoff) for sign in (1, -1))
        widest = max(widest, float((high.max(1) - low.min(1)).max()))
    return widest


def _best_quality(cmdp: CMDP, payoff: Float[np.ndarray, "S A"]) -> Float[np.ndarray, "S A"]:
    """Return Q* of `payoff`, by policy iteration (Puterman, Markov Decision Processes, §6.4)."""
    states = np.arange(len(payoff))
    choice = payoff.argmax(1)
    for _ in range(1000):
        system = np.eye(len(states)) - cmdp.discount * cmdp.transition[states, choice]
        quality = payoff + cmdp.discount * cmdp.transition @ np.linalg.solve(system, payoff[states, choice])
        better = quality.max(1) > quality[states, choice] + 1e-12
        if not better.any():
            break
        choice = np.where(better, quality.argmax(1), choice)
    return quality


def _flow(cmdp: CMDP) -> Float[np.ndarray, "S SA"]:
    """Return the matrix of Bellman's flow equations, one row per state."""
    states, actions = cmdp.reward.shape
    stays = np.repeat(np.eye(states), actions, axis=1)
    return stays - cmdp.discount * cmdp.transition.reshape(-1, states).T


def _list(numbers: Float[np.ndarray, " K"]) -> str:
    return "(" + ", ".join(f"{number:.4g}" for number in numbers) + ")"
