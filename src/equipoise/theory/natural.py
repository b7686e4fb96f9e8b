"""Exact policy gradients and natural policy gradients of the tabular softmax policy, in closed form.

For every objective i (Kakade, NeurIPS 2001; Agarwal, Kakade, Lee & Mahajan, JMLR 2021, lemmas 10 and 15):

    gᵢ(s, a) = ν(s) π(a|s) Aᵢ(s, a) / (1 − γ),
    F = Σ_s ν(s) (diag π(·|s) − π(·|s) π(·|s)ᵀ),     uᵢ = F⁺gᵢ = (Aᵢ(s, a) − mean over actions) / (1 − γ),
    gᵢᵀuⱼ = Σ ν(s) π(a|s) Aᵢ(s, a) Aⱼ(s, a) / (1 − γ)².

A step along uᵢ moves the policy exactly as one along Qᵢ/(1 − γ) does: what depends on the state alone drops out.
"""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Float

from equipoise.gradients.projection import project
from equipoise.numerics.krylov import NaturalGradients
from equipoise.problem import Array


def natural_gradients(
    policy: Float[Array, "S A"],
    advantage: Float[Array, "m S A"],
    occupancy: Float[Array, " S"],
    discount: Float[Array, ""],
) -> NaturalGradients:
    """Return gradients, natural gradients, the matrix gᵢᵀuⱼ and Fgᵢ, in the form `gradients.metric` takes."""
    m = len(advantage)
    each = occupancy[:, None] * policy * advantage / (1 - discount)
    through = occupancy[:, None] * policy * (each - (policy * each).sum(-1, keepdims=True))
    gradients = each.reshape(m, -1)
    directions = (advantage - advantage.mean(-1, keepdims=True)).reshape(m, -1) / (1 - discount)
    gram = gradients @ directions.T
    return NaturalGradients(gradients, directions, 0.5 * (gram + gram.T), through.reshape(m, -1))


def implied_multipliers(gram: Float[Array, "m m"]) -> Float[Array, " K"]:
    """Return the λ ≥ 0 that best balances reward and costs: argmin ‖g_r + Σ λ_k g_k‖ in the Fisher metric.

    For one constraint max(0, −⟨g_r, g_c⟩/⟨g_c, g_c⟩). At a constrained optimum it is λ* (of binding constraints).
    With these multipliers the reward's gradient is projected on the cone of directions that harm no cost.
    """
    return project(gram, jnp.arange(len(gram)) > 0)[0, 1:]
