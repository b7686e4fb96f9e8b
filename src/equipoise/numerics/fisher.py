"""Products with the Fisher matrix of a Gaussian policy, F = E[Jᵀ M J] (Schulman et al., ICML 2015, appendix C).

J is the Jacobian of the policy's (mean, log-std) in its parameters, M the Fisher metric of a Gaussian in those.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
from jaxtyping import Array, Float

from equipoise.numerics import gaussian
from equipoise.numerics.krylov import Products

Distribution = Callable[[Float[Array, " d"]], tuple[Float[Array, "n act"], Float[Array, " act"]]]
"""A policy's parameters, as one vector, ↦ its means at n observations, and log σ."""


def fisher_products(distribution: Distribution, parameters: Float[Array, " d"], weight: Float[Array, " n"]) -> Products:
    """Return V ↦ VF at `parameters`, F the mean over the n observations of `distribution`, weighted by `weight`.

    The weights sum to 1.
    """
    (_, log_std), push = jax.linearize(distribution, parameters)
    pull = jax.linear_transpose(push, parameters)

    def product(vector: Float[Array, " d"]) -> Float[Array, " d"]:
        mean, log_std_change = push(vector)
        mean, log_std_change = gaussian.fisher_metric(mean, log_std_change, at=log_std)
        return pull((mean * weight[:, None], log_std_change))[0]

    return jax.vmap(product)
