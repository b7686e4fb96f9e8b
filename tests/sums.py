"""Compiled sums are right. Not for the tests' own process, which compiles otherwise than users: test_xla.py runs it."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from equipoise.numerics.fisher import fisher_products
from equipoise.policy import CategoricalPolicy

SAMPLES = 20_000
"""Those of an update at the default settings."""


@pytest.mark.parametrize("width", [2, 3, 8])
@pytest.mark.parametrize("stack", [1, 2, 3])
def test_a_sum_along_the_last_axis_under_vmap(stack, width):
    random = np.random.default_rng(0)
    p, v = (random.random((*shape, SAMPLES, width), np.float32) for shape in ((), (stack,)))
    found = jax.jit(jax.vmap(lambda v: p * (v - (p * v).sum(-1, keepdims=True))))(v)
    exact = p.astype(float) * (v - (p.astype(float) * v).sum(-1, keepdims=True))
    np.testing.assert_allclose(found, exact, atol=1e-5)


def jacobian_of(policy, observation):
    """Return ∂(what the distributions are made of)/∂(parameters), in double precision."""
    start, rebuild = ravel_pytree(policy)
    rows = jax.jit(jax.jacrev(lambda x, o: jax.tree.leaves(rebuild(x)(o))[0]))
    return np.concatenate([np.asarray(rows(start, part), float) for part in jnp.split(observation, 20)])


def metric_of(policy, observation):
    """The Fisher metric in the logits of a categorical distribution, in double precision."""
    logits = np.asarray(jax.tree.leaves(policy(observation))[0], float)
    p = np.exp(logits - logits.max(-1, keepdims=True))
    p /= p.sum(-1, keepdims=True)
    return p[:, :, None] * np.eye(p.shape[1]) - p[:, :, None] * p[:, None, :]


@pytest.mark.parametrize("objectives", [1, 2, 3])
def test_products_with_the_fisher_matrix_of_many_samples(objectives):
    policy = CategoricalPolicy.create(jax.random.key(0), 3, (3,), (8,))
    observation = np.random.default_rng(0).standard_normal((SAMPLES, 3)).astype(np.float32)
    observation = jnp.asarray(observation)
    parameters, rebuild = ravel_pytree(policy)
    weight = jnp.full(SAMPLES, 1 / SAMPLES)
    vectors = np.random.default_rng(1).standard_normal((objectives, len(parameters))).astype(np.float32)
    compiled = jax.jit(lambda v: fisher_products(lambda x: rebuild(x)(observation), parameters, weight)(v))
    jacobian, metric = jacobian_of(policy, observation), metric_of(policy, observation)
    pushed = np.einsum("nid,vd->vni", jacobian, vectors.astype(float))
    exact = np.einsum("nid,vni->vd", jacobian, np.einsum("nij,vnj->vni", metric, pushed)) / SAMPLES
    np.testing.assert_allclose(compiled(vectors), exact, atol=1e-4 * np.abs(exact).max())
