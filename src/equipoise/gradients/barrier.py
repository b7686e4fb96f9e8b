"""C-TRPO's geometry: the Fisher matrix with a barrier's curvature for every limit (Milosevic et al., ICML 2025).

The divergence of a step is KL + Σ βₖ D(Aₖ) (arXiv 2411.02957), Aₖ the predicted rise of cost k, sₖ = bₖ − Ĵₖ its
margin:

    D(A) = A + (s − A) log((s − A)/s),    ∞ for A ≥ s.

To second order D(A) = A²/(2s), so that the metric is H = F + λI + Σ wₖ gₖgₖᵀ with wₖ = (βₖ/sₖ) cₖ², cₖ being what a
unit of surrogate k is worth. That is a change of rank K, and the natural gradients of H are combinations of those of F
+ λI (Woodbury's identity): with A_ij = gᵢᵀuⱼ and W = diag(w),

    uᵢ′ = Σⱼ Mᵢⱼ uⱼ,   M = I − Y W^½ (in the costs' columns),   Y = A_·c W^½ (I + W^½ A_cc W^½)⁻¹,   A′ = M A Mᵀ + Y Yᵀ.
"""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
import jax.scipy.linalg as linalg
from jaxtyping import Array, Bool, Float

from equipoise.numerics.krylov import NaturalGradients


class Barred(NamedTuple):
    """Natural gradients in a geometry with barriers."""

    natural: NaturalGradients
    """uᵢ′ = H⁻¹gᵢ and A′_ij = gᵢᵀuⱼ′."""
    mixture: Float[Array, "m m"]
    """M with uᵢ′ = Σⱼ M_ij uⱼ: a step Σ cᵢuᵢ′ has the coefficients cM in the uⱼ."""


def with_barrier(natural: NaturalGradients, weights: Float[Array, " K"]) -> Barred:
    """Return the natural gradients of F + λI + Σ wₖ gₖgₖᵀ, `weights` being wₖ ≥ 0; the costs are objectives 1 to K."""
    gram, root = natural.gram, jnp.sqrt(weights)
    identity = jnp.eye(len(root), dtype=gram.dtype)
    system = identity + root[:, None] * gram[1:, 1:] * root
    lean = linalg.cho_solve(linalg.cho_factor(system, lower=True), root[:, None] * gram[1:]).T
    inner = jnp.linalg.solve(identity + gram[1:, 1:] * weights, identity)  # I − B_cc, in which digits would cancel
    mixture = jnp.eye(len(gram), dtype=gram.dtype).at[0, 1:].set(-lean[0] * root).at[1:, 1:].set(inner)
    barred = mixture @ gram @ mixture.T + lean @ lean.T
    return Barred(NaturalGradients(natural.gradients, mixture @ natural.directions, barred), mixture)


class Barrier(NamedTuple):
    """The barriers of K limits."""

    strength: Float[Array, " K"]
    """βₖ; 0 for a limit without a barrier."""
    margin: Float[Array, " K"]
    """sₖ > 0."""
    per_episode: Float[Array, " K"]
    """cₖ, what a unit of surrogate k is worth per episode."""

    @property
    def weights(self) -> Float[Array, " K"]:
        """Return wₖ = βₖcₖ²/sₖ."""
        return self.strength * self.per_episode * (self.per_episode / self.margin)  # a square may not fit a float

    def divergence(self, change: Float[Array, " K"]) -> Float[Array, ""]:
        """Return Σ βₖ D(Aₖ) of a step that changes the costs' surrogates (up is better) by `change`."""
        found = divergence(-self.per_episode * change, self.margin)
        return jnp.where(self.strength > 0, self.strength * found, 0.0).sum()


def barrier(
    present: Bool[Array, " K"],
    strength: Float[Array, ""] | float,
    excess: Float[Array, " K"],
    limits: Float[Array, " K"],
    per_episode: Float[Array, " K"],
) -> Barrier:
    """Return barriers of a `strength` per limit (where the limit is 0, per unit of cost) where `present`.

    A margin of nothing counts as a millionth of the limit: across it no step leads.
    """
    unit = jnp.where(limits > 0, limits, 1.0).astype(excess.dtype)
    margin = jnp.where(present, jnp.maximum(-excess, 1e-6 * unit), 1.0)
    return Barrier(jnp.where(present, strength / unit, 0.0), margin, per_episode)


def divergence(rise: Float[Array, " K"], margin: Float[Array, " K"]) -> Float[Array, " K"]:
    """Return D(A), A being the `rise` of each cost, for margins s > 0."""
    x = rise / margin
    small = jnp.where(jnp.abs(x) < 0.1, x, 0.0)
    large = jnp.where((jnp.abs(x) >= 0.1) & (x < 1), x, 0.5)
    series = sum((small**n / (n * (n - 1)) for n in range(9, 1, -1)), jnp.zeros_like(x))  # no digits cancel
    closed = large + (1 - large) * jnp.log1p(-large)
    return jnp.where(x >= 1, jnp.inf, margin * jnp.where(jnp.abs(x) < 0.1, series, closed))
