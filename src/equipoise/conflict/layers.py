"""Where in the policy the conflict sits: cos φ as a sum over its layers."""

from __future__ import annotations

import jax
import numpy as np
from jaxtyping import Float

from equipoise.conflict.env_gradients import EnvGradients
from equipoise.conflict.noise import corrected_gram, cosine, env_products
from equipoise.gradients.metric import Metric
from equipoise.policy import Policy


def layer_slices(policy: Policy) -> dict[str, slice]:
    """Return which of the policy's parameters, as one vector, belong to which layer, weights and biases together."""
    last = len(policy.network.layers) - 1
    sizes: dict[str, int] = {}
    for path, leaf in jax.tree_util.tree_leaves_with_path(policy):
        where = jax.tree_util.keystr(path)
        number = next((i for i in range(last + 1) if f"layers[{i}]" in where), None)
        name = "log σ" if number is None else "output" if number == last else f"hidden {number + 1}"
        sizes[name] = sizes.get(name, 0) + leaf.size
    ends = np.cumsum(list(sizes.values())).tolist()
    return {name: slice(end - size, end) for (name, size), end in zip(sizes.items(), ends, strict=True)}


def layer_shares(envs: EnvGradients, policy: Policy, metric: Metric, cost: int) -> dict[str, float]:
    """Return each layer's part ⟨g_r, g_k⟩_layer/(‖g_r‖‖g_k‖) of the noise-corrected cos φ: they sum to it.

    In the Fisher metric a layer's part is ½(g_rᵀu_k + u_rᵀg_k) over its parameters: what each objective's step does to
    the other through this layer.
    """
    once = np.ones(len(envs.gradients))
    whole = corrected_gram(env_products(envs, metric), once)
    length = whole[0, 1 + cost] / cosine(whole, cost)
    return {
        name: float(_part(envs, part, metric, once)[0, 1 + cost] / length)
        for name, part in layer_slices(policy).items()
    }


def _part(
    envs: EnvGradients, part: slice, metric: Metric, weights: Float[np.ndarray, " N"]
) -> Float[np.ndarray, "m m"]:
    inside = EnvGradients(envs.gradients[..., part], envs.directions[..., part])
    return corrected_gram(env_products(inside, metric), weights)
