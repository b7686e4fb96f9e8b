"""PCRPO's projection and the metrics it is computed in: one test a property, on vectors built to have it."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog, nnls

from equipoise.gradients.metric import FIXED, cosines, geometry
from equipoise.gradients.projection import MOST_OBJECTIVES, combine, project
from equipoise.numerics.krylov import NaturalGradients

METRICS = FIXED
CONFLICTING = (90.5, 100, 120, 135, 150, 170, 179)
AGREEING = (0, 1, 30, 60, 89.5)
PREFERENCES = ((0.5, 0.5), (0.2, 0.8), (0.75, 0.25), (1.0, 0.0), (0.0, 1.0))
LENGTHS = ((1, 1), (1, 100), (1e-3, 1e3), (3e-7, 1e-7))

compiled_combine, compiled_project = jax.jit(combine), jax.jit(project)
geometry = jax.jit(geometry, static_argnames="metric")


def pair(angle, lengths=(1, 1), d=4):
    """Two vectors at `angle` degrees in an arbitrary plane."""
    plane = np.linalg.qr(np.random.default_rng(0).normal(size=(d, 2)))[0].T
    angle = np.radians(angle)
    return np.array([[1, 0], [np.cos(angle), np.sin(angle)]]) @ plane * np.asarray(lengths, float)[:, None]


def combined(vectors, preference=None, wanted=None):
    """Return the direction that `combine` finds for the rows of `vectors`, and its freedom."""
    vectors = np.asarray(vectors, np.float64)
    preference = np.full(len(vectors), 1 / len(vectors)) if preference is None else preference
    wanted = np.ones(len(vectors), bool) if wanted is None else wanted
    gram = jnp.asarray(vectors @ vectors.T, jnp.float32)
    found = compiled_combine(gram, jnp.asarray(preference, jnp.float32), jnp.asarray(wanted))
    assert np.isfinite(found.weights).all()
    assert 0 <= found.sin2_phi <= 1
    return np.asarray(found.weights, np.float64) @ vectors, float(found.sin2_phi)


def projected(vectors):
    """Return every row of `vectors` projected on the cone of directions that harm none."""
    gram = jnp.asarray(vectors @ vectors.T, jnp.float32)
    return np.asarray(compiled_project(gram, jnp.ones(len(vectors), bool)), np.float64) @ vectors


def lengths_of(vectors):
    return np.linalg.norm(vectors, axis=-1)


# Two objectives


@pytest.mark.parametrize("lengths", LENGTHS)
@pytest.mark.parametrize("angle", CONFLICTING)
def test_under_conflict_each_objective_gains_its_weight_times_what_the_projection_leaves(angle, lengths):
    """⟨d, gᵢ⟩ = xᵢ‖gᵢ‖² sin²φ ≥ 0."""
    vectors, square = pair(angle, lengths), np.sin(np.radians(angle)) ** 2
    for preference in PREFERENCES:
        direction, _ = combined(vectors, preference)
        # Relative to the longer gradient: its rounding is what the shorter one has to live with.
        gain = vectors @ direction / np.asarray(lengths) / max(lengths)
        expected = np.asarray(preference) * np.asarray(lengths) * square / max(lengths)
        np.testing.assert_allclose(gain, expected, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("lengths", LENGTHS)
@pytest.mark.parametrize("angle", CONFLICTING)
def test_under_conflict_each_projection_is_orthogonal_to_the_other_gradient(angle, lengths):
    vectors = pair(angle, lengths)
    inner = projected(vectors) @ vectors.T / np.outer(lengths, lengths)
    np.testing.assert_allclose(inner[[0, 1], [1, 0]], 0, atol=1e-6)
    assert (np.diagonal(inner) > 0).all()


@pytest.mark.parametrize("angle", CONFLICTING)
def test_freedom_is_the_squared_sine_under_conflict(angle):
    assert combined(pair(angle, (1, 30)))[1] == pytest.approx(np.sin(np.radians(angle)) ** 2, rel=1e-3)


@pytest.mark.parametrize("lengths", LENGTHS)
@pytest.mark.parametrize("angle", [*AGREEING, 90])
def test_without_conflict_gradients_are_only_weighted(angle, lengths):
    vectors = pair(angle, lengths)
    for preference in PREFERENCES:
        direction, sin2_phi = combined(vectors, preference)
        np.testing.assert_allclose(direction, np.asarray(preference) @ vectors, rtol=1e-5, atol=1e-6 * min(lengths))
        assert sin2_phi == pytest.approx(1)


@given(st.integers(0, 2**32 - 1), st.floats(0, 1), st.floats(-4, 4))
@settings(max_examples=60, deadline=None)
def test_equals_the_papers_formula_for_two_gradients(seed, x, exponent):
    reward, cost = np.random.default_rng(seed).normal(size=(2, 3)) * [[1], [10**exponent]]
    inner = reward @ cost
    if inner < 0:
        expected = x * (reward - inner / (cost @ cost) * cost) + (1 - x) * (cost - inner / (reward @ reward) * reward)
    else:
        expected = x * reward + (1 - x) * cost
    direction, _ = combined([reward, cost], (x, 1 - x))
    scale = max(lengths_of(reward), lengths_of(cost))
    np.testing.assert_allclose(direction / scale, expected / scale, atol=1e-5)


@pytest.mark.parametrize("angle", [*CONFLICTING, *AGREEING])
def test_equal_preferences_treat_both_objectives_alike(angle):
    vectors = pair(angle, (1, 7))
    np.testing.assert_allclose(combined(vectors)[0], combined(vectors[::-1])[0], atol=1e-5)


@pytest.mark.parametrize("lengths", LENGTHS)
def test_exactly_opposite_gradients_leave_no_direction(lengths):
    direction, sin2_phi = combined(pair(180, lengths))
    np.testing.assert_allclose(direction, 0, atol=1e-6 * max(lengths))
    assert sin2_phi < 1e-6


@pytest.mark.parametrize("vanishing", [(0,), (1,), (0, 1)])
def test_a_zero_gradient_takes_no_part(vanishing):
    vectors = pair(120, (2, 3))
    vectors[list(vanishing)] = 0
    direction, sin2_phi = combined(vectors)
    np.testing.assert_allclose(direction, 0.5 * vectors.sum(0), rtol=1e-6, atol=1e-12)
    assert sin2_phi == (0 if len(vanishing) == 2 else 1)
    gram = jnp.asarray(vectors @ vectors.T, jnp.float32)
    weights = compiled_combine(gram, jnp.full(2, 0.5), jnp.ones(2, bool)).weights
    np.testing.assert_array_equal(np.asarray(weights)[list(vanishing)], 0)


# More objectives


SIZES = (3, 4, 5)


@functools.cache
def corpus(m):
    """Draw `m` unit gradients many times over: in few and many dimensions, in little and in much conflict."""
    random = np.random.default_rng(m)
    cases = []
    for d, conflict in itertools.product((2, 3, m, m + 3), (0.0, 0.9)):
        for _ in range(8):
            vectors = random.normal(size=(m, d))
            vectors -= conflict * vectors.mean(0)
            cases.append(vectors / lengths_of(vectors)[:, None])
    return cases


def near_dependence(m):
    """Draw gradients that nearly repeat, oppose or add up to one another."""
    random = np.random.default_rng(100 + m)
    for noise in (0, 1e-7, 1e-5, 1e-3, 1e-2):
        for kind in range(3):
            vectors = random.normal(size=(m, m + 1))
            vectors[-1] = (vectors[0], -vectors[0], -vectors[:-1].sum(0))[kind] + noise * vectors[-1]
            yield vectors / lengths_of(vectors)[:, None]


def best_for_the_worst_off(vectors):
    """Return the largest min ⟨d, gᵢ⟩ over directions d in the unit box: positive if a common ascent exists."""
    m, d = vectors.shape
    found = linprog(
        np.append(np.zeros(d), -1.0),
        A_ub=np.column_stack([-vectors, np.ones(m)]),
        b_ub=np.zeros(m),
        bounds=[(-1, 1)] * d + [(None, None)],
    )
    return -found.fun


def best_sum_harming_none(vectors):
    """Return the largest Σ ⟨d, gᵢ⟩ with every ⟨d, gᵢ⟩ ≥ 0 in the unit box: 0 if Pareto stationary."""
    found = linprog(-vectors.sum(0), A_ub=-vectors, b_ub=np.zeros(len(vectors)), bounds=(-1, 1))
    return -found.fun


@pytest.mark.parametrize("m", SIZES)
def test_the_direction_harms_no_objective(m):
    for vectors in corpus(m):
        assert (vectors @ combined(vectors)[0]).min() >= -1e-5


@pytest.mark.parametrize("m", SIZES)
def test_nearly_dependent_gradients_are_harmed_by_rounding_at_most(m):
    for vectors in near_dependence(m):
        assert (vectors @ combined(vectors)[0]).min() >= -1e-4


@pytest.mark.parametrize("m", [*SIZES, MOST_OBJECTIVES])
def test_each_projection_is_the_nearest_point_of_the_cone(m):
    """By Moreau's theorem the projection of g on {d : Gd ≥ 0} is the residual of a non-negative least squares."""
    for vectors in corpus(m):
        expected = [g + nnls(vectors.T, -g)[0] @ vectors for g in vectors]
        np.testing.assert_allclose(projected(vectors), expected, atol=2e-3)


@pytest.mark.parametrize("m", SIZES)
def test_a_common_direction_of_ascent_is_never_missed(m):
    found = []
    for vectors in corpus(m):
        found.append(best_for_the_worst_off(vectors) > 1e-3)
        if found[-1]:
            direction, sin2_phi = combined(vectors)
            assert sin2_phi > 1e-6
            assert lengths_of(direction) > 1e-3
            assert (vectors @ direction).max() > 1e-6
    assert any(found)


@pytest.mark.parametrize("m", SIZES)
def test_there_is_no_freedom_exactly_where_no_objective_can_gain(m):
    stationary = [best_sum_harming_none(vectors) < 1e-7 for vectors in corpus(m)]
    every_sin2_phi = [combined(vectors)[1] for vectors in corpus(m)]
    for is_stationary, sin2_phi in zip(stationary, every_sin2_phi, strict=True):
        assert (sin2_phi < 1e-4) == is_stationary
    assert any(stationary)
    assert not all(stationary)


@pytest.mark.parametrize("m", SIZES)
def test_objectives_that_are_not_wanted_are_ignored(m):
    for vectors in corpus(m)[::4]:
        wanted = np.arange(m) % 2 == 0
        preference = np.linspace(0.5, 1, m)
        direction, sin2_phi = combined(vectors, preference, wanted)
        # Without the others: put to zero, a gradient takes no part.
        expected, expected_sin2_phi = combined(vectors * wanted[:, None], preference)
        np.testing.assert_allclose(direction, expected, atol=1e-5)
        assert sin2_phi == pytest.approx(expected_sin2_phi, abs=1e-5)


def test_freedom_is_that_of_the_objectives_the_direction_is_made_of():
    """The first has nothing left beside the second; the third, of no preference, must not speak for it."""
    vectors = np.array([[-0.8, -0.6, 0], [0.8, 0.6, 0], [0, 0, 1]])
    direction, sin2_phi = combined(vectors, (1, 0, 0))
    np.testing.assert_allclose(direction, 0, atol=1e-6)
    assert sin2_phi < 1e-6
    direction, sin2_phi = combined(vectors, (0.5, 0.25, 0.25))
    np.testing.assert_allclose(direction, 0.25 * vectors[2], atol=1e-6)
    assert sin2_phi == 1


def test_wanting_nothing_gives_no_direction():
    direction, sin2_phi = combined(pair(60), wanted=[False, False])
    np.testing.assert_array_equal(direction, 0)
    assert sin2_phi == 0


def projected_in_turn(vectors, order):
    """Project each gradient on the normal planes of the others one after the other, as PCGrad does, and sum."""
    total = np.zeros(vectors.shape[1])
    for i, gradient in enumerate(vectors):
        gradient = gradient.copy()
        for j in (j for j in order if j != i):
            gradient -= min(gradient @ vectors[j], 0) / (vectors[j] @ vectors[j]) * vectors[j]
        total += gradient
    return total


def test_three_gradients_that_projecting_in_turn_fails_are_none_harmed():
    vectors = np.array([[2.0, 3, 1], [0, -2, 0], [-3, 0, -3]])
    assert best_for_the_worst_off(vectors) > 0.3
    for order in itertools.permutations(range(3)):
        assert (vectors @ projected_in_turn(vectors, order)).min() < -1
    gain = vectors @ combined(vectors)[0]
    assert gain.min() >= -1e-4
    assert gain.max() > 0.1


def test_too_many_objectives_are_refused():
    size = MOST_OBJECTIVES + 1
    with pytest.raises(ValueError, match=str(size)):
        combine(jnp.eye(size), jnp.ones(size), jnp.ones(size, bool))


# Metrics


D = 6


@functools.cache
def inverse_fisher():
    random = np.random.default_rng(5)
    rotation = np.linalg.qr(random.normal(size=(D, D)))[0]
    return rotation / np.geomspace(0.1, 10, D) @ rotation.T


def natural_gradients_of(gradients):
    """Solve exactly, and round the result."""
    gradients = np.asarray(gradients, np.float64)
    directions = gradients @ inverse_fisher()
    arrays = (gradients, directions, gradients @ directions.T)
    return NaturalGradients(*(jnp.asarray(x, jnp.float32) for x in arrays))


def drawn_gradients(seed=0, m=3):
    return np.random.default_rng(seed).normal(size=(m, D))


@pytest.mark.parametrize("metric", METRICS)
def test_a_geometry_is_the_gram_matrix_of_its_vectors(metric):
    natural = natural_gradients_of(drawn_gradients())
    gradients, directions = np.asarray(natural.gradients), np.asarray(natural.directions)
    root = np.linalg.cholesky(inverse_fisher())
    vectors = {
        "euclidean": gradients / lengths_of(gradients)[:, None],
        "natural": directions / lengths_of(directions)[:, None],
        # uᵀ(F + λI)u = uᵀg = 1: one unit of KL, twice.
        "step": directions / np.sqrt((gradients * directions).sum(1))[:, None],
        "fisher": gradients @ root / lengths_of(gradients @ root)[:, None],
    }[metric]
    found = geometry(natural, metric=metric)
    np.testing.assert_allclose(found.gram, vectors @ vectors.T, rtol=1e-4, atol=1e-5)
    scaled = {"euclidean": gradients, "fisher": gradients @ root}.get(metric, directions)
    np.testing.assert_allclose(np.asarray(found.scale)[:, None] * scaled, vectors, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("metric", METRICS)
def test_each_objective_has_unit_length_or_as_a_step_unit_divergence(metric):
    natural = natural_gradients_of(drawn_gradients())
    found = geometry(natural, metric=metric)
    measured = natural.gram * found.scale * found.scale[:, None] if metric == "step" else found.gram
    np.testing.assert_allclose(np.diagonal(measured), 1, rtol=1e-5)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("factors", [(1000, 1, 1), (1, 1e-3, 1), (1e8, 1e-8, 1)])
def test_the_unit_of_an_objective_changes_neither_geometry_nor_direction(metric, factors):
    gradients, preference, wanted = drawn_gradients(), jnp.full(3, 1 / 3), jnp.ones(3, bool)

    def step(gradients):
        natural = natural_gradients_of(gradients)
        gram, scale = geometry(natural, metric=metric)
        return gram, (compiled_combine(gram, preference, wanted).weights * scale) @ natural.directions

    gram, direction = step(gradients * np.asarray(factors)[:, None])
    expected_gram, expected_direction = step(gradients)
    np.testing.assert_allclose(gram, expected_gram, atol=1e-5)
    np.testing.assert_allclose(direction, expected_direction, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("vanishing", [(1,), (0, 1, 2)])
def test_a_zero_gradient_has_length_zero_in_every_metric(metric, vanishing):
    gradients = drawn_gradients()
    gradients[list(vanishing)] = 0
    gram, scale = geometry(natural_gradients_of(gradients), metric=metric)
    assert np.isfinite(gram).all()
    np.testing.assert_array_equal(scale == 0, np.isin(range(3), vanishing))
    np.testing.assert_array_equal(np.asarray(gram)[list(vanishing)], 0)
    np.testing.assert_array_equal(np.asarray(cosines(gram))[list(vanishing)], 0)


def test_in_the_fisher_metric_alone_the_step_itself_gains_what_the_projection_promises():
    """d = Σ wᵢscaleᵢuᵢ has dᵀgᵢ·scaleᵢ = (gram w)ᵢ ≥ 0; in the other metrics some objective is harmed now and then."""
    harmed = dict.fromkeys(METRICS, 0)
    for seed in range(60):
        gradients = drawn_gradients(seed, 2)
        gradients[1] -= 1.5 * gradients[0]
        natural = natural_gradients_of(gradients)
        for metric in METRICS:
            gram, scale = geometry(natural, metric=metric)
            weights = compiled_combine(gram, jnp.full(2, 0.5), jnp.ones(2, bool)).weights
            gain = np.asarray(natural.gradients @ ((weights * scale) @ natural.directions))
            harmed[metric] += (gain / lengths_of(gradients)).min() < -1e-4
            if metric == "fisher":
                np.testing.assert_allclose(gain * scale, gram @ weights, atol=1e-4)
    assert harmed.pop("fisher") == 0
    assert min(harmed.values()) > 0


@given(st.integers(0, 2**32 - 1), st.floats(-8, 8), st.floats(-6, 0))
@settings(max_examples=40, deadline=None)
def test_cosines_are_those_of_the_vectors_and_never_outside_one(seed, exponent, noise):
    random = np.random.default_rng(seed)
    vectors = random.normal(size=(3, 4))
    vectors[1] = -vectors[0] + 10**noise * vectors[1]
    vectors *= [[1], [10**exponent], [1]]
    units = vectors / lengths_of(vectors)[:, None]
    found = np.asarray(cosines(jnp.asarray(vectors @ vectors.T, jnp.float32)))
    np.testing.assert_allclose(found, units @ units.T, atol=1e-5)
    assert np.abs(found).max() <= 1
