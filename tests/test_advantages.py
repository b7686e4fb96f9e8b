"""Generalised advantage estimation against hand-worked numbers, and against its definition by n-step returns."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from equipoise.numerics.advantages import generalised_advantages

REWARD, VALUE, NEXT_VALUE = [1.0, 2.0, 3.0], [1.0, 1.0, 2.0], [1.0, 2.0, 4.0]
OPEN, CUT = [False, False, False], [False, True, True]

compiled = jax.jit(generalised_advantages)


def advantages(terminated, done, discount=0.5, gae_lambda=0.5):
    """Evaluate the three-step trajectory above."""
    arrays = (jnp.asarray(x) for x in (REWARD, VALUE, NEXT_VALUE, terminated, done))
    return np.asarray(compiled(*arrays, discount, gae_lambda))


@pytest.mark.parametrize(
    ("terminated", "done", "expected"),
    [
        # δ = (1 + ½·1 − 1, 2 + ½·2 − 1, 3 + ½·4 − 2) = (½, 2, 3), and γλ = ¼.
        pytest.param(OPEN, [False, False, True], [0.5 + 0.25 * 2.75, 2 + 0.25 * 3, 3], id="ordinary"),
        # Step 1 ends for good: δ₁ = 2 − 1, and nothing flows back from step 2.
        pytest.param([False, True, False], CUT, [0.5 + 0.25 * 1, 1, 3], id="terminated in the middle"),
        # Step 1 is cut: δ₁ keeps its bootstrap ½·2, but nothing flows back from step 2.
        pytest.param(OPEN, CUT, [0.5 + 0.25 * 2, 2, 3], id="truncated in the middle"),
        pytest.param([False, False, True], [False, False, True], [1.0625, 2.25, 1], id="terminated at the end"),
    ],
)
def test_equals_numbers_worked_by_hand(terminated, done, expected):
    np.testing.assert_array_equal(advantages(terminated, done), expected)


def test_without_trace_is_the_one_step_error():
    np.testing.assert_array_equal(advantages(OPEN, [False, False, True], gae_lambda=0.0), [0.5, 2, 3])
    np.testing.assert_array_equal(advantages([False, True, False], CUT, gae_lambda=0.0), [0.5, 1, 3])


def test_with_full_trace_is_the_bootstrapped_return_less_the_value():
    # Inside the episode V(s′₀) = V(s₁) and V(s′₁) = V(s₂), so that the values between cancel.
    expected = [1 + 0.5 * 2 + 0.25 * 3 + 0.125 * 4 - 1, 2 + 0.5 * 3 + 0.25 * 4 - 1, 3 + 0.5 * 4 - 2]
    np.testing.assert_array_equal(advantages(OPEN, [False, False, True], gae_lambda=1.0), expected)


def test_every_objective_has_its_own_discount_and_trace():
    def stack(x):
        return jnp.stack([jnp.asarray(x)] * 3, axis=-1)

    discount, gae_lambda = jnp.asarray([0.5, 0.25, 0.5]), jnp.asarray([0.5, 0.5, 1.0])
    done = jnp.asarray([False, False, True])[:, None]
    together = compiled(
        stack(REWARD), stack(VALUE), stack(NEXT_VALUE), jnp.asarray(OPEN)[:, None], done, discount, gae_lambda
    )
    for i in range(3):
        alone = advantages(OPEN, [False, False, True], float(discount[i]), float(gae_lambda[i]))
        np.testing.assert_array_equal(together[:, i], alone)
    # γ = ¼, γλ = ⅛: δ = (¼, 1½, 2).
    np.testing.assert_array_equal(together[:, 1], [0.25 + 0.125 * 1.75, 1.5 + 0.125 * 2, 2])


def by_definition(reward, value, next_value, terminated, done, discount, gae_lambda):
    """Average the n-step advantages with weights (1 − λ)λⁿ⁻¹, the last of an episode taking what is left."""
    result = np.zeros(len(reward))
    for t in range(len(reward)):
        end = next((s for s in range(t, len(reward)) if done[s]), len(reward) - 1)
        steps = end - t + 1
        for n in range(1, steps + 1):
            last = t + n - 1
            n_step = sum(discount**k * reward[t + k] for k in range(n)) - value[t]
            n_step += 0.0 if terminated[last] else discount**n * next_value[last]
            result[t] += n_step * (gae_lambda ** (n - 1) if n == steps else (1 - gae_lambda) * gae_lambda ** (n - 1))
    return result


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0, 1, width=32), st.floats(0, 1, width=32))
def test_equals_its_definition_by_n_step_returns(seed, discount, gae_lambda):
    random, steps, num_envs = np.random.default_rng(seed), 9, 3
    reward, value, next_value = random.normal(size=(3, steps, num_envs))
    done = random.random((steps, num_envs)) < 0.3
    terminated = done & (random.random((steps, num_envs)) < 0.5)
    # Within an episode the next value is the value of the next state; the two differ only where an episode is cut.
    next_value[:-1] = np.where(done[:-1], next_value[:-1], value[1:])
    found = compiled(*(jnp.asarray(x) for x in (reward, value, next_value, terminated, done)), discount, gae_lambda)
    for env in range(num_envs):
        arrays = (x[:, env] for x in (reward, value, next_value, terminated, done))
        np.testing.assert_allclose(found[:, env], by_definition(*arrays, discount, gae_lambda), atol=2e-5)
