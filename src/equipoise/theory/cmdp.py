"""Finite discounted CMDPs with K costs, and the exact value of a policy in them.

Limits here are on the *discounted* cost from an initial distribution, J_k = E Σ γᵗc_k(s_t, a_t), because the theory is
about that; everywhere else in the library they are on undiscounted episode sums. As there, costs are ≥ 0, lower is
better, and the constraint is J_k ≤ b_k. Objectives are listed reward first, then minus each cost: up is better.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from equipoise.problem import Array
from equipoise.settings import require


class CMDP(NamedTuple):
    """A finite CMDP of S states, A actions and K costs; a pytree, so that many of one size can be stacked."""

    transition: Float[Array, "S A S"]
    """P(s′ | s, a)."""
    reward: Float[Array, "S A"]
    """r(s, a), in [0, 1]."""
    cost: Float[Array, "K S A"]
    """c_k(s, a), in [0, 1]."""
    initial: Float[Array, " S"]
    """ρ, the distribution of the first state."""
    discount: Float[Array, ""]
    """γ < 1."""
    limits: Float[Array, " K"]
    """b_k, on the discounted cost."""


def check(cmdp: CMDP) -> CMDP:
    """Return `cmdp` with float64 NumPy fields; `UsageError` naming the first thing that makes it no CMDP."""
    cmdp = CMDP(*(np.asarray(field, np.float64) for field in cmdp))
    states, actions = cmdp.reward.shape
    shapes = {
        "transition": (states, actions, states),
        "cost": (len(cmdp.limits), states, actions),
        "initial": (states,),
        "discount": (),
    }
    for name, shape in shapes.items():
        found = getattr(cmdp, name).shape
        require(found == shape, f"the CMDP's {name} has shape {found}; expected {shape}")
    require(bool(0 <= cmdp.discount < 1), f"the discount is {cmdp.discount:g}; allowed: from 0 to below 1")
    for name in ("transition", "initial"):
        shares = getattr(cmdp, name)
        fine = (shares >= 0).all() and np.abs(shares.sum(-1) - 1).max() < 1e-9
        require(bool(fine), f"the CMDP's {name} is no distribution: probabilities must be ≥ 0 and sum to 1")
    for name in ("reward", "cost"):
        payoff = getattr(cmdp, name)
        fine = np.isfinite(payoff).all() and payoff.min() >= 0 and payoff.max() <= 1
        require(bool(fine), f"the CMDP's {name} leaves [0, 1], which the step sizes and bounds assume; rescale it")
    require(bool(np.isfinite(cmdp.limits).all()), f"the limits are {cmdp.limits}; allowed: finite numbers")
    return cmdp


class Evaluation(NamedTuple):
    """A policy's exact values. Objective 0 is the reward, objective k is minus cost k."""

    quality: Float[Array, "m S A"]
    """Q_i(s, a)."""
    advantage: Float[Array, "m S A"]
    """Q_i(s, a) − V_i(s)."""
    objective: Float[Array, " m"]
    """J_i = ρᵀV_i."""
    occupancy: Float[Array, " S"]
    """ν(s) = (1 − γ) Σ γᵗ P(s_t = s), which sums to 1."""
    successor: Float[Array, "S S"]
    """(I − γP_π)⁻¹: V_i = (I − γP_π)⁻¹ Σ_a π(a|s) r_i(s, a)."""


def payoffs(cmdp: CMDP) -> Float[Array, "m S A"]:
    """Return what every objective pays at a step: the reward, and minus each cost."""
    return jnp.concatenate([cmdp.reward[None], -cmdp.cost])


def evaluate(cmdp: CMDP, policy: Float[Array, "S A"]) -> Evaluation:
    """Return the exact values of `policy`, π(a|s), by one S × S inverse."""
    under = jnp.einsum("sa,sat->st", policy, cmdp.transition)
    successor = jnp.linalg.inv(jnp.eye(len(policy)) - cmdp.discount * under)
    quality, value = values_of(cmdp, policy, successor, payoffs(cmdp))
    return Evaluation(
        quality=quality,
        advantage=quality - value[:, :, None],
        objective=value @ cmdp.initial,
        occupancy=(1 - cmdp.discount) * cmdp.initial @ successor,
        successor=successor,
    )


def values_of(
    cmdp: CMDP, policy: Float[Array, "S A"], successor: Float[Array, "S S"], payoff: Float[Array, "m S A"]
) -> tuple[Float[Array, "m S A"], Float[Array, "m S"]]:
    """Return Q and V of any payoffs per step (Bellman's equation), given (I − γP_π)⁻¹."""
    value = jnp.einsum("st,ta,mta->ms", successor, policy, payoff)
    return payoff + cmdp.discount * jnp.einsum("sat,mt->msa", cmdp.transition, value), value


def softmax(parameters: Float[Array, "S A"]) -> Float[Array, "S A"]:
    """Return π(a|s) ∝ exp θ(s, a), the tabular softmax policy."""
    return jax.nn.softmax(parameters, axis=-1)


def stack(cmdps: list[CMDP]) -> CMDP:
    """Stack CMDPs of one size along a new first axis, for `vmap`."""
    return jax.tree.map(lambda *fields: np.stack(fields), *cmdps)
