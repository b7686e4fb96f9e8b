"""Products with the Fisher matrix of a Gaussian policy, F = E[Jᵀ M J] (Schulman et al., ICML 2015, appendix C).

J is the Jacobian of the policy's (mean, log-std) in its parameters, M the Fisher metric of a Gaussian in those.
"""

from __future__ import annotations

import jax
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float

from equipoise.numerics import gaussian
from equipoise.numerics.krylov import Products
from equipoise.policy import GaussianPolicy


def fisher_products(policy: GaussianPolicy, observation: Float[Array, "n obs"], weight: Float[Array, " n"]) -> Products:
    """Return V ↦ VF at `policy`, F the mean over the `n` normalised observations with weights that sum to 1."""
    parameters, rebuild = ravel_pytree(policy)
    (_, log_std), push = jax.linearize(lambda p: rebuild(p)(observation), parameters)
    pull = jax.linear_transpose(push, parameters)

    def product(vector: Float[Array, " d"]) -> Float[Array, " d"]:
        mean, log_std_change = push(vector)
        mean, log_std_change = gaussian.fisher_metric(mean, log_std_change, at=log_std)
        return pull((mean * weight[:, None], log_std_change))[0]

    return jax.vmap(product)
