"""Critics: rescaling changes no value, fitting reduces the error, and the critics do not disturb one another."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from equipoise.algorithms.critics import Critics, create_critics, fit, outputs, rescale, values
from equipoise.algorithms.learner import CriticFit

ROWS, OBSERVATIONS, HIDDEN = 256, 3, (16,)
CONFIG = CriticFit(learning_rate=1e-2, epochs=20, minibatch_size=64)

fit, rescale, values = map(jax.jit, (fit, rescale, values))


def drawn_critics(m=2):
    return create_critics(jax.random.key(0), OBSERVATIONS, m, HIDDEN)


def lesson(seed=0):
    """Observations, smooth targets of unlike sizes, and which rows count."""
    random = np.random.default_rng(seed)
    observation = random.normal(size=(ROWS, OBSERVATIONS)).astype(np.float32)
    first = 30 + 40 * np.tanh(observation[:, 0] - observation[:, 1])
    second = 0.02 * np.tanh(observation.sum(1))
    target = np.stack([first, second], axis=-1).astype(np.float32)
    return jnp.asarray(observation), jnp.asarray(target), jnp.asarray(random.random(ROWS) < 0.8)


def fitted(critics, observation, target, valid, config=CONFIG, seed=1):
    return fit(critics, observation, target, valid, config, jax.random.key(seed))


def root_mean_square(error, valid):
    return np.sqrt(np.mean(np.asarray(error)[np.asarray(valid)] ** 2, axis=0))


def assert_equal(found, expected):
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_array_equal(a, b)


def one_of(critics: Critics, i):
    """The critic `i` alone, as a stack of one."""

    def pick(x):
        return x[i : i + 1] if eqx.is_array(x) and x.ndim else x

    return jax.tree.map(pick, critics)


# Rescaling


@pytest.mark.parametrize(("factor", "shift"), [(1, 0), (1000, 0), (1e-3, 5), (0, 7), (0, 0)])
def test_rescaling_changes_no_value(factor, shift):
    observation, target, valid = lesson()
    critics = rescale(drawn_critics(), target, valid)
    before = values(critics, observation)
    moved = rescale(critics, factor * target + shift, valid)
    # Rounding is that of the largest number that takes part.
    size = np.abs(critics.mean) + np.abs(moved.mean) + np.abs(before).max(0)
    np.testing.assert_allclose((values(moved, observation) - before) / size, 0, atol=3e-6)
    assert (moved.mean != critics.mean).all() or (factor, shift) == (1, 0)


def test_rescaling_takes_over_mean_and_deviation_of_the_valid_targets():
    _, target, valid = lesson()
    critics = rescale(drawn_critics(), 100 * target, valid)
    rows = 100 * np.asarray(target, np.float64)[np.asarray(valid)]
    np.testing.assert_allclose(critics.mean, rows.mean(0), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(critics.deviation, rows.std(0), rtol=1e-4)


@pytest.mark.parametrize("size", [1.0, 1e-30, 1e30])
def test_a_deviation_shrinks_at_most_by_half_at_a_time_and_never_below_rounding(size):
    _, target, valid = lesson()
    critics, deviations = rescale(drawn_critics(), size * target, valid), []
    first = np.asarray(critics.deviation, float)
    for _ in range(40):
        critics = rescale(critics, jnp.full_like(target, 3 * size), valid)
        deviations.append(np.asarray(critics.deviation, float))
    np.testing.assert_allclose(deviations[:3], first * np.array([[0.5], [0.25], [0.125]]))
    np.testing.assert_allclose(deviations[-1], 3e-6 * size, rtol=1e-5)
    assert all(np.isfinite(x).all() for x in jax.tree.leaves(critics))


@pytest.mark.parametrize("level", [0.0, 7.0])
def test_targets_that_are_all_alike_leave_a_critic_without_units(level):
    observation, target, valid = lesson()
    critics = drawn_critics()
    for seed in range(3):
        critics = fitted(critics, observation, jnp.full_like(target, level), valid, seed=seed)
    np.testing.assert_array_equal(critics.deviation, 0)
    np.testing.assert_allclose(values(critics, observation), level, rtol=1e-6)
    tiny = fitted(critics, observation, 1e-8 * target, valid)
    np.testing.assert_allclose(tiny.deviation, 1e-8 * np.asarray(target)[np.asarray(valid)].std(0), rtol=1e-3)


def test_the_first_targets_set_the_units_and_leave_the_networks_alone():
    observation, target, valid = lesson()
    critics = drawn_critics()
    np.testing.assert_array_equal(values(critics, observation), 0)
    moved = rescale(critics, 3 * target + 50, valid)
    for old, new in zip(jax.tree.leaves(critics.networks), jax.tree.leaves(moved.networks), strict=True):
        np.testing.assert_array_equal(old, new)


def test_values_are_the_networks_outputs_in_the_targets_units():
    observation, target, valid = lesson()
    critics = rescale(drawn_critics(), target, valid)
    found = values(critics, observation)
    for i in range(2):
        network = jax.tree.map(lambda x, i=i: x[i], critics.networks)
        expected = [critics.mean[i] + critics.deviation[i] * network(row)[0] for row in observation[:3]]
        size = abs(critics.mean[i]) + critics.deviation[i]
        np.testing.assert_allclose(found[:3, i], expected, rtol=0, atol=1e-5 * size)


# Fitting


def test_fitting_learns_a_simple_function_whatever_its_scale():
    observation, target, valid = lesson()
    critics, spread = drawn_critics(), np.asarray(target).std(0)
    errors = []
    for seed in range(5):
        errors.append(root_mean_square(values(critics, observation) - target, valid) / spread)
        critics = fitted(critics, observation, target, valid, seed=seed)
    errors.append(root_mean_square(values(critics, observation) - target, valid) / spread)
    assert (errors[1] < 0.7 * errors[0]).all()
    assert (errors[-1] < 0.15).all()


def test_fitting_a_target_that_it_has_met_already_changes_little():
    observation, target, valid = lesson()
    critics = fitted(drawn_critics(), observation, target, valid)
    met = values(critics, observation)
    again = fitted(critics._replace(optimiser=drawn_critics().optimiser), observation, met, valid)
    change = root_mean_square(values(again, observation) - met, valid)
    assert (change < 0.1 * np.asarray(target).std(0)).all()


def test_rows_that_are_not_valid_have_no_influence():
    observation, target, valid = lesson()
    expected = fitted(drawn_critics(), observation, target, valid)
    changed = jnp.where(valid[:, None], observation, -observation), jnp.where(valid[:, None], target, 1e4)
    assert_equal(fitted(drawn_critics(), *changed, valid), expected)


def test_valid_rows_have_influence():
    observation, target, valid = lesson()
    expected = fitted(drawn_critics(), observation, target, valid)
    found = fitted(drawn_critics(), observation, target, jnp.ones(ROWS, bool))
    assert not np.array_equal(outputs(found.networks, observation), outputs(expected.networks, observation))


def test_a_critic_does_not_depend_on_the_targets_of_another():
    observation, target, valid = lesson()
    other = target.at[:, 1].set(1e3 * observation[:, 2] ** 2)
    found, expected = (fitted(drawn_critics(), observation, t, valid) for t in (other, target))
    assert_equal(one_of(found, 0), one_of(expected, 0))
    assert not np.array_equal(found.mean[1], expected.mean[1])


@pytest.mark.parametrize("i", [0, 1])
def test_critics_fitted_together_are_each_as_if_fitted_alone(i):
    observation, target, valid = lesson()
    together = fitted(drawn_critics(), observation, target, valid)
    alone = fitted(one_of(drawn_critics(), i), observation, target[:, i : i + 1], valid)
    spread = np.asarray(target).std(0)[i]
    found, expected = values(together, observation)[:, i], values(alone, observation)[:, 0]
    np.testing.assert_allclose((found - expected) / spread, 0, atol=1e-3)


def test_the_order_of_minibatches_is_drawn_from_the_key_alone():
    arguments = (drawn_critics(), *lesson())
    assert_equal(fitted(*arguments, seed=1), fitted(*arguments, seed=1))
    first, second = (values(fitted(*arguments, seed=seed), arguments[1]) for seed in (1, 2))
    assert not np.array_equal(first, second)
