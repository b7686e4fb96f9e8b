"""Products with the Fisher matrix of a policy, F = E[Jᵀ M J] (Schulman et al., ICML 2015, appendix C).

J is the Jacobian of the parameters of the policy's distributions in its own, M the Fisher metric in those: of Gaussians
in means and log σ, of categorical distributions in logits.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
from jaxtyping import Array, Float

from equipoise.numerics.distribution import Distribution
from equipoise.numerics.krylov import Products


def fisher_products(
    distribution: Callable[[Float[Array, " d"]], Distribution],
    parameters: Float[Array, " d"],
    weight: Float[Array, " n"],
) -> Products:
    """Return V ↦ VF at `parameters`, F the mean over the n observations of `distribution`, weighted by `weight`.

    `distribution` takes a policy's parameters, as one vector, to its distributions at the observations. The weights sum
    to 1.
    """
    here, push = jax.linearize(distribution, parameters)
    pull = jax.linear_transpose(push, parameters)

    def product(vector: Float[Array, " d"]) -> Float[Array, " d"]:
        return pull(here.metric(push(vector), weight))[0]

    return jax.vmap(product)
