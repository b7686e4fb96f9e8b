"""Generalised advantage estimation (Schulman et al., ICLR 2016, arXiv 1506.02438, eq. 16)."""

from __future__ import annotations

import jax
from jaxtyping import Array, Bool, Float


def generalised_advantages(
    reward: Float[Array, "T ..."],
    value: Float[Array, "T ..."],
    next_value: Float[Array, "T ..."],
    terminated: Bool[Array, "T ..."],
    done: Bool[Array, "T ..."],
    discount: Float[Array, ...] | float,
    gae_lambda: Float[Array, ...] | float,
) -> Float[Array, "T ..."]:
    """Return Â_t = δ_t + γλ(1 − done_t) Â_{t+1} with δ_t = r_t + γ(1 − terminated_t) V(s′_t) − V(s_t).

    `reward`, `value`, `next_value` at index t are r_t, V(s_t), V(s′_t), where s′_t is what step t led to before any
    reset. An episode that is cut short (`done` but not `terminated`) is bootstrapped from V(s′_t); one that
    terminates is not. `discount` is γ and `gae_lambda` is λ, one for all or one for each of the last axis.
    """
    error = reward + discount * ~terminated * next_value - value
    decay = discount * gae_lambda * ~done

    def backward(advantage: Array, step: tuple[Array, Array]) -> tuple[Array, Array]:
        advantage = step[0] + step[1] * advantage
        return advantage, advantage

    return jax.lax.scan(backward, 0.0 * error[0], (error, decay), reverse=True)[1]
