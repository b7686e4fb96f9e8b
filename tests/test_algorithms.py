"""What every algorithm has to keep, over the registry: the contract that the library ships, parents' bits, and resuming."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from equipoise.algorithms import ALGORITHMS, MODES
from equipoise.testing import CHECKS
from equipoise.training.update import update
from learning import one_batch, small
from probes import Bandit


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("name", ALGORITHMS)
def test_every_algorithm_keeps_the_contract(name, check):
    check(ALGORITHMS[name].algorithm)


@pytest.mark.parametrize("name", [name for name, entry in ALGORITHMS.items() if entry.parent])
def test_limits_that_never_bind_give_the_parent_bit_for_bit(name):
    child, parent = (small(n) for n in (name, ALGORITHMS[name].parent))
    child = dataclasses.replace(child, step=parent.step) if type(child.step) is type(parent.step) else child
    state, batch = one_batch(parent, Bandit(), (1e9,))
    policies = []
    for algorithm in (child, parent):
        own = algorithm.init(Bandit().problem, jnp.asarray([1e9]), jax.random.key(0))
        assert jax.tree.all(jax.tree.map(lambda a, b: bool((a == b).all()), own.policy, state.policy))
        for i in range(2):
            own, report = update(algorithm, own, batch, jnp.asarray([1e9]), jnp.asarray(0.1 * i), jax.random.key(i))
            assert MODES[int(report.step.mode)] == "reward"
        policies.append([np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(own.policy)])
    assert policies[0] == policies[1]
