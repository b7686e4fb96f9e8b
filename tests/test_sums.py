"""Compiled sums are right: versions of jaxlib have got some wrong, in silence, from some ten thousand samples on."""

from __future__ import annotations

import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from equipoise import xla
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


# Versions of jaxlib that get them wrong

PROGRAM = """
import jax, sys
if {late}:
    jax.jit(lambda x: x + 1)(1.0)
import equipoise, os
from equipoise.training.jax_doors import uses_jax
print(os.environ.get("XLA_FLAGS", ""))
uses_jax(lambda: print("used"))()
"""


def ran(late, flags=None):
    environment = {name: value for name, value in os.environ.items() if name != "XLA_FLAGS"}
    if flags is not None:
        environment["XLA_FLAGS"] = flags
    command = [sys.executable, "-c", PROGRAM.format(late=late)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("flags", [None, "--xla_cpu_multi_thread_eigen=false", xla.CURE, f"{xla.CURE}-reduce"])
def test_xla_is_told_before_it_starts_and_other_flags_are_kept(flags):
    said = ran(late=False, flags=flags)
    assert said.returncode == 0, said.stderr
    found, used = said.stdout.splitlines()
    assert used == "used" and found.startswith(flags or "")
    assert (xla.CURE in found) == (xla.is_affected() or xla.CURE in (flags or ""))


@pytest.mark.skipif(not xla.is_affected(), reason="this version of jaxlib is sound")
def test_where_it_had_started_before_it_is_refused():
    said = ran(late=True)
    assert said.returncode != 0 and "import equipoise first, or set XLA_FLAGS" in said.stderr


@pytest.mark.parametrize(("installed", "told"), [("0.10.2", True), ("0.11.0", True), ("0.10.1", False), ("1.0", False)])
def test_only_versions_that_need_it_are_told(installed, told, monkeypatch):
    monkeypatch.setattr(xla, "version", lambda name: installed)
    monkeypatch.setenv("XLA_FLAGS", "--other")
    for _ in range(2):
        xla.leave_out_what_is_wrong()
    assert os.environ["XLA_FLAGS"] == (f"--other {xla.CURE}" if told else "--other")
