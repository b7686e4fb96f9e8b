"""Every aggregator has exactly the properties it declares: each holds on all corpora, and fails on one beyond.

The registry drives: an aggregator that declares nothing, too much or too little fails. Gradients are drawn to have a
property by construction and compared in double precision with weights computed in single, as the learner does.
"""

from __future__ import annotations

import dataclasses
import functools
import re
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import linprog

from equipoise.errors import UsageError
from equipoise.gradients import (
    AGGREGATORS,
    ALWAYS,
    NEVER,
    Properties,
    aggregate,
    aggregated_combination,
    find,
    fisher,
    load,
    register,
)
from equipoise.gradients.projection import combine
from equipoise.numerics.krylov import natural_gradients
from equipoise.numerics.quadratic import MOST_VARIABLES

SIZES = (2, 3, 7)
BATCH = 32
HOLDS, FAILS = 5e-4, 5e-3
"""A property holds if it is off by no more than the first anywhere, and fails if by more than the second somewhere."""

BUILT_IN = dict(AGGREGATORS)
PAGE = Path(__file__).parents[1] / "docs" / "aggregators.md"

every_aggregator = pytest.mark.parametrize("name", BUILT_IN)
every_size = pytest.mark.parametrize("m", SIZES)


# Corpora: matrices that have a property by construction


class Case(NamedTuple):
    gradients: np.ndarray
    preference: np.ndarray


def lengths_of(vectors):
    return np.linalg.norm(vectors, axis=-1)


def unit(vectors):
    return vectors / lengths_of(vectors)[:, None]


def with_preferences(matrices, seed=0):
    """Give every other matrix equal preferences, and the rest unequal ones."""
    random = np.random.default_rng(seed)
    for i, matrix in enumerate(matrices):
        m = len(matrix)
        drawn = 0.1 / m + 0.9 * random.dirichlet(np.ones(m))
        yield Case(np.asarray(matrix, float), drawn if i % 2 else np.full(m, 1 / m))


def drawn(m, seed=0):
    """Draw gradients in few and many dimensions, in little and in much conflict, of lengths from 0.3 to 3."""
    random = np.random.default_rng(seed + m)
    for d in (2, 3, m, m + 3):
        for conflict in (0.0, 0.9):
            for _ in range(2):
                vectors = random.normal(size=(m, d))
                yield unit(vectors - conflict * vectors.mean(0)) * random.uniform(0.3, 3, (m, 1))


def agreeing(m):
    """Draw gradients no two of which conflict, parallel ones among them."""
    random = np.random.default_rng(10 + m)
    for d in (2, m, m + 3):
        for _ in range(3):
            yield np.abs(random.normal(size=(m, d))) * random.uniform(0.3, 3, (m, 1))
    yield np.outer(random.uniform(0.1, 10, m), random.normal(size=m + 1))
    yield np.eye(m, m + 1) * random.uniform(0.3, 3, (m, 1))


def stationary(m):
    """Draw gradients with Σ cᵢgᵢ = 0 for some c > 0, exactly opposite ones among them."""
    random = np.random.default_rng(20 + m)
    for d in (1, 2, m, m + 3):
        for _ in range(3):
            vectors = random.normal(size=(m, d))
            share = random.uniform(0.3, 1, m - 1)
            vectors[-1] = -share @ vectors[:-1]
            yield vectors


def ascending(m):
    """Draw gradients that have a common direction of ascent, near-opposite pairs among them."""
    random = np.random.default_rng(30 + m)
    for d in (2, 3, m, m + 3):
        for tilt in (0.2, 1.0):
            vectors = random.normal(size=(m, d + 1))
            vectors[:, 0] = tilt * random.uniform(0.5, 1, m)
            yield vectors @ np.linalg.qr(random.normal(size=(d + 1, d + 1)))[0] * random.uniform(0.3, 3, (m, 1))


def opposite(m):
    """Draw gradients two of which are exactly opposite, in the company of others, one much longer than the other."""
    random = np.random.default_rng(40 + m)
    for factor in (1.0, 0.3, 30.0):
        vectors = random.normal(size=(m, m + 1))
        vectors[-1] = -factor * vectors[0]
        yield vectors


def vanishing(m):
    """Draw gradients of which some are zero."""
    random = np.random.default_rng(50 + m)
    for count in sorted({1, m - 1, m}):
        vectors = random.normal(size=(m, m + 1))
        vectors[random.permutation(m)[:count]] = 0
        yield vectors


def nearly_dependent(m):
    """Draw gradients that nearly repeat, oppose or add up to one another."""
    random = np.random.default_rng(60 + m)
    for noise in (0, 1e-7, 1e-5, 1e-2):
        for kind in range(3):
            vectors = random.normal(size=(m, m + 1))
            vectors[-1] = (vectors[0], -vectors[0], -vectors[:-1].sum(0))[kind] + noise * vectors[-1]
            yield vectors


def scaled(m):
    """Draw gradients of lengths from 1e-10 to 1e10, all alike and all different."""
    random = np.random.default_rng(70 + m)
    matrices = list(drawn(m, seed=70))
    for vectors in matrices[::4]:
        yield 1e-10 * vectors
        yield 1e10 * vectors
    for vectors in matrices[::2]:
        yield vectors * 10 ** random.uniform(-10, 10, (m, 1))


@functools.cache
def corpus(m, *makers):
    return list(with_preferences([matrix for maker in makers for matrix in maker(m)]))


def everything(m):
    return corpus(m, drawn, agreeing, stationary, ascending, opposite, vanishing, nearly_dependent, scaled)


# Running an aggregator


@functools.cache
def compiled(aggregator):
    return jax.jit(jax.vmap(aggregator))


def weights_of(aggregator, cases, wanted=None, grams=None, precision=np.float32):
    """Return each case's weights, computed by a compiled and vectorised aggregator, in single precision by default."""
    m = len(cases[0].gradients)
    grams = [case.gradients @ case.gradients.T for case in cases] if grams is None else grams
    wanted = [np.ones(m, bool)] * len(cases) if wanted is None else wanted
    found = []
    for start in range(0, len(cases), BATCH):
        chosen = [min(start + k, len(cases) - 1) for k in range(BATCH)]
        weights = compiled(aggregator)(
            np.stack([grams[k] for k in chosen]).astype(precision),
            np.stack([cases[k].preference for k in chosen]).astype(precision),
            np.stack([wanted[k] for k in chosen]),
        )
        found.append(np.asarray(weights, np.float64))
    return np.concatenate(found)[: len(cases)]


def directions_of(aggregator, cases, **options):
    """Return each case's direction, and the sum of the lengths of the terms it is made of, the measure of rounding."""
    weights = weights_of(aggregator, cases, **options)
    directions = [w @ case.gradients for w, case in zip(weights, cases, strict=True)]
    terms = [np.abs(w) @ lengths_of(case.gradients) for w, case in zip(weights, cases, strict=True)]
    return directions, np.asarray(terms)


def apart(left, right, size):
    """How far two vectors are apart, in units of `size`."""
    return lengths_of(left - right) / size if size > 0 else lengths_of(left - right)


# Properties: each returns how far off an aggregator is, at worst, for m objectives


def non_conflicting(aggregator, m):
    """Loss of any objective along d."""
    worst = 0.0
    cases = everything(m)
    directions, terms = directions_of(aggregator, cases)
    for case, direction, size in zip(cases, directions, terms, strict=True):
        present = lengths_of(case.gradients) > 0
        gain = unit(case.gradients[present]) @ direction
        worst = max(worst, -gain.min(initial=0) / (size or 1))
    return worst


def permutation_equivariant(aggregator, m):
    """Change of d when objectives are renumbered, less what rounding can do."""
    random = np.random.default_rng(m)
    cases = everything(m)
    orders = [random.permutation(m) if m > 2 else np.array([1, 0]) for _ in cases]
    renumbered = [Case(c.gradients[o], c.preference[o]) for c, o in zip(cases, orders, strict=True)]
    directions, terms = directions_of(aggregator, cases)
    others, _ = directions_of(aggregator, renumbered)
    changes = np.asarray(list(map(apart, directions, others, terms)))
    return (changes - 10 * rounding_of(aggregator, m)).max()


@functools.cache
def rounding_of(aggregator, m):
    """How far d moves when the Gram matrix of each case of `everything` moves by a rounding error."""
    random = np.random.default_rng(m)
    cases = everything(m)
    directions, terms = directions_of(aggregator, cases)
    moved = []
    for _ in range(3):
        noise = [np.triu(random.uniform(-1, 1, (m, m)) * np.finfo(np.float32).eps) for _ in cases]
        grams = [
            case.gradients @ case.gradients.T + (e + e.T) * np.outer(*2 * [lengths_of(case.gradients)])
            for case, e in zip(cases, noise, strict=True)
        ]
        others, _ = directions_of(aggregator, cases, grams=grams)
        moved.append(list(map(apart, directions, others, terms)))
    return np.max(moved, axis=0)


def linear_under_scaling(aggregator, m):
    """Difference of d for units s + s' and the sum of d for s and d for s'."""
    random = np.random.default_rng(m)
    cases = corpus(m, drawn, agreeing, stationary, opposite, vanishing)
    units = [10 ** random.uniform(-1.5, 1.5, (2, m, 1)) for _ in cases]

    def with_units(pick):
        changed = [Case(pick(s) * c.gradients, c.preference) for c, s in zip(cases, units, strict=True)]
        return directions_of(aggregator, changed)

    (first, _), (second, _), (both, terms) = with_units(lambda s: s[0]), with_units(lambda s: s[1]), with_units(sum)
    return max(map(apart, both, np.add(np.asarray(first, object), np.asarray(second, object)), terms))


def direction_ignores_units(aggregator, m):
    """Turn of d, in proportion to how little of it cancels, when each objective's unit is changed."""
    random = np.random.default_rng(m)
    cases = corpus(m, drawn, agreeing, stationary, ascending, opposite)
    changed = [Case(10 ** random.uniform(-1.5, 1.5, (m, 1)) * c.gradients, c.preference) for c in cases]
    worst = 0.0
    pairs = zip(*directions_of(aggregator, cases), *directions_of(aggregator, changed), strict=True)
    for left, left_size, right, right_size in pairs:
        ratios = lengths_of(left) / (left_size or 1), lengths_of(right) / (right_size or 1)
        if min(ratios) > 1e-4:
            worst = max(worst, apart(left / lengths_of(left), right / lengths_of(right), 1) * min(ratios))
    return worst


def rests_when_stationary(aggregator, m):
    """Length of d at Pareto-stationary points."""
    cases = corpus(m, stationary)
    directions, _ = directions_of(aggregator, cases)
    return max(lengths_of(d) / size_of(aggregator, case) for d, case in zip(directions, cases, strict=True))


def moves_otherwise(aggregator, m):
    """1 if d vanishes anywhere that a common direction of ascent exists, else 0."""
    cases = corpus(m, ascending)
    directions, _ = directions_of(aggregator, cases)
    shares = [lengths_of(d) / size_of(aggregator, case) for d, case in zip(directions, cases, strict=True)]
    return float(min(shares) < 1e-3)


def plain_without_conflict(aggregator, m):
    """Difference of d and Σ xᵢgᵢ where no two gradients conflict."""
    cases = corpus(m, agreeing)
    directions, _ = directions_of(aggregator, cases)
    sums = [case.preference @ case.gradients for case in cases]
    return max(apart(d, s, lengths_of(s)) for d, s in zip(directions, sums, strict=True))


LIMITED = (
    non_conflicting,
    permutation_equivariant,
    linear_under_scaling,
    direction_ignores_units,
    rests_when_stationary,
    moves_otherwise,
    plain_without_conflict,
)
every_property = pytest.mark.parametrize("measure", LIMITED, ids=lambda f: f.__name__)


def size_of(aggregator, case):
    """A length to measure d by."""
    return 1.0 if aggregator.properties.length == "fixed" else lengths_of(case.gradients).max()


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


# The registry's promises


def misdeclared(aggregator, sizes=SIZES, measures=LIMITED):
    """Name the declared properties that do not hold, and those that hold beyond what is declared."""
    if not isinstance(aggregator.properties, Properties):
        return ["declares no properties"]
    wrong = []
    for measure in measures:
        declared = getattr(aggregator.properties, measure.__name__)
        for m in sizes:
            off = measure(aggregator, m)
            if m <= declared and not off <= HOLDS:
                wrong.append(f"{measure.__name__} does not hold for {m}: off by {off:.1e}")
            if m > declared and not off >= FAILS:
                wrong.append(f"{measure.__name__} is not declared for {m}, where it seems to hold: off by {off:.1e}")
    return wrong


@pytest.mark.one_in(10)
@every_aggregator
@every_property
@every_size
def test_a_property_holds_as_far_as_it_is_declared_and_no_farther(name, measure, m):
    assert misdeclared(AGGREGATORS[name], [m], [measure]) == []


def test_every_property_is_tested():
    declared = {field.name for field in dataclasses.fields(Properties)}
    assert declared == {f.__name__ for f in LIMITED} | {"follows_preference", "length"}


def test_an_aggregator_that_declares_too_much_or_nothing_is_caught():
    """The suite itself can fail: on a broken projection, on a false promise, on false modesty, and on silence."""
    good = AGGREGATORS["pcrpo"]
    broken = dataclasses.replace(good, weights=AGGREGATORS["mean"].weights)
    assert any("non_conflicting does not" in line for line in misdeclared(broken, [2]))
    modest = dataclasses.replace(good, properties=dataclasses.replace(good.properties, non_conflicting=NEVER))
    assert [line.split(" for")[0] for line in misdeclared(modest, [2])] == ["non_conflicting is not declared"]
    proud = dataclasses.replace(
        AGGREGATORS["pcgrad"],
        properties=dataclasses.replace(AGGREGATORS["pcgrad"].properties, non_conflicting=ALWAYS),
    )
    assert [line.split(":")[0] for line in misdeclared(proud, [3])] == ["non_conflicting does not hold for 3"]
    silent = SimpleNamespace(name="silent", properties=None)
    assert misdeclared(silent) == ["declares no properties"]
    with pytest.raises(UsageError, match="'silent' declares no Properties"):
        register.__wrapped__(silent)
    with pytest.raises(TypeError, match="missing"):
        Properties()


def test_the_ascending_corpus_has_common_directions_of_ascent_and_the_stationary_one_none():
    for m in SIZES:
        assert min(best_for_the_worst_off(unit(case.gradients)) for case in corpus(m, ascending)) > 0.01
        assert max(best_for_the_worst_off(unit(case.gradients)) for case in corpus(m, stationary)) < 1e-9


@every_aggregator
def test_the_preference_has_a_say_only_where_declared(name):
    aggregator = AGGREGATORS[name]
    cases = corpus(3, drawn, ascending)
    turned = [Case(c.gradients, np.roll(np.array([0.2, 0.3, 0.5]), k)) for k, c in enumerate(cases)]
    (first, terms), (second, _) = directions_of(aggregator, cases), directions_of(aggregator, turned)
    change = max(map(apart, first, second, terms))
    assert change > 0.05 if aggregator.properties.follows_preference else change == 0


@every_aggregator
def test_d_grows_with_the_gradients_or_has_a_length_of_its_own(name):
    aggregator = AGGREGATORS[name]
    cases = corpus(3, drawn, agreeing)
    factor = 7.0 if aggregator.properties.length == "gradients" else 1.0
    directions, terms = directions_of(aggregator, cases)
    longer, _ = directions_of(aggregator, [Case(7 * c.gradients, c.preference) for c in cases])
    assert (
        max(apart(7.0 * d, 7.0 / factor * e, 7 * t) for d, e, t in zip(directions, longer, terms, strict=True)) < 1e-4
    )


# What every aggregator does


@every_aggregator
@every_size
def test_weights_are_finite_and_zero_for_gradients_that_are(name, m):
    cases = everything(m)
    weights = weights_of(AGGREGATORS[name], cases)
    assert np.isfinite(weights).all()
    for case, w in zip(cases, weights, strict=True):
        np.testing.assert_array_equal(w[lengths_of(case.gradients) == 0], 0)


@every_aggregator
@every_size
def test_a_single_wanted_objective_is_followed(name, m):
    cases = corpus(m, drawn, scaled)
    chosen = [k % m for k in range(len(cases))]
    weights = weights_of(AGGREGATORS[name], cases, wanted=[np.arange(m) == k for k in chosen])
    for w, k in zip(weights, chosen, strict=True):
        assert w[k] > 0
        np.testing.assert_array_equal(np.delete(w, k), 0)


@every_aggregator
def test_what_is_not_wanted_has_no_influence(name):
    """Five of seven objectives, then the same in place of the two others, of which one is not even a number."""
    random = np.random.default_rng(0)
    cases = corpus(7, drawn, agreeing)
    wanted = [random.permutation(7) < 5 for _ in cases]
    grams = [c.gradients @ c.gradients.T for c in cases]
    expected = weights_of(AGGREGATORS[name], cases, wanted=wanted, grams=grams)
    for gram, w in zip(grams, wanted, strict=True):
        first, second = np.flatnonzero(~w)
        gram[first], gram[:, first] = np.nan, np.nan
        gram[second] *= -3
        gram[:, second] *= -3
    np.testing.assert_array_equal(weights_of(AGGREGATORS[name], cases, wanted=wanted, grams=grams), expected)
    assert not expected[~np.asarray(wanted)].any()


@every_aggregator
def test_masking_is_leaving_out(name):
    """A masked objective among three leaves what two would give."""
    cases = [Case(c.gradients, np.array([0.3, 0.0, 0.7])) for c in corpus(3, drawn)]
    pairs = [Case(c.gradients[[0, 2]], np.array([0.3, 0.7])) for c in cases]
    masked, terms = directions_of(AGGREGATORS[name], cases, wanted=[np.array([True, False, True])] * len(cases))
    assert max(map(apart, masked, directions_of(AGGREGATORS[name], pairs)[0], terms)) < 1e-4


@every_aggregator
def test_wanting_nothing_gives_no_direction(name):
    cases = corpus(3, drawn)
    assert not weights_of(AGGREGATORS[name], cases, wanted=[np.zeros(3, bool)] * len(cases)).any()


@every_aggregator
def test_aggregate_compiled_and_vectorised_in_double_precision_agrees_with_single(name):
    """Where the gradients are not nearly dependent: 4 significant digits."""
    cases = [c for c in corpus(3, drawn, agreeing) if c.gradients.shape[1] == 6]
    cases = [c for c in cases if np.linalg.cond(unit(c.gradients) @ unit(c.gradients).T) < 100]
    assert len(cases) >= 5
    gradients, preferences = (np.stack(arrays) for arrays in zip(*cases, strict=True))
    with jax.enable_x64(True):
        precise = jax.jit(jax.vmap(lambda g, x: aggregate(name, g, preference=x)))(gradients, preferences)
    assert precise.direction.dtype == np.float64
    np.testing.assert_allclose(np.einsum("nm,nmd->nd", precise.weights, gradients), precise.direction, atol=1e-12)
    directions, terms = directions_of(AGGREGATORS[name], cases)
    assert max(map(apart, directions, np.asarray(precise.direction), terms)) < 1e-4


# Metrics


def test_the_inner_product_is_that_of_the_metric_given():
    """In Fisher's, the step of natural gradients harms none; by ordinary inner products it does now and then."""
    random = np.random.default_rng(0)
    root = random.normal(size=(6, 6))
    matrix, damping = (root @ root.T / 6).astype("f"), 0.1
    solve = jax.jit(lambda g: natural_gradients(lambda v: v @ matrix, g, damping, 6))
    harmed = {"fisher": 0, "euclidean": 0}
    for _ in range(20):
        gradients = random.normal(size=(2, 6))
        gradients[1] -= 1.5 * gradients[0]
        natural = solve(jnp.asarray(gradients, jnp.float32))
        inner_product = fisher(lambda v: v @ matrix, damping)
        np.testing.assert_allclose(inner_product(natural.directions), natural.gram, rtol=2e-2, atol=1e-3)
        for metric, inner in (("fisher", inner_product), ("euclidean", None)):
            direction = np.asarray(aggregate("pcrpo", natural.directions, inner).direction, float)
            harmed[metric] += (gradients @ direction / lengths_of(gradients)).min() < -1e-2 * lengths_of(direction)
    assert harmed["fisher"] == 0
    assert harmed["euclidean"] > 0


# What the policy step takes


compiled_combination = jax.jit(aggregated_combination, static_argnums=0)


@pytest.mark.slow
def test_the_projection_gives_the_policy_step_exactly_what_it_has_been():
    for case in corpus(3, drawn):
        gram = jnp.asarray(unit(case.gradients) @ unit(case.gradients).T, jnp.float32)
        arguments = gram, jnp.asarray(case.preference, jnp.float32), jnp.ones(3, bool)
        found, expected = aggregated_combination(AGGREGATORS["pcrpo"], *arguments), combine(*arguments)
        np.testing.assert_array_equal(found.weights, expected.weights)
        assert found.sin2_phi == expected.sin2_phi


@pytest.mark.one_in(5)
@every_aggregator
def test_an_aggregator_decides_the_direction_and_the_gradients_the_freedom(name):
    """In the policy step's units, unit vectors; sin²φ for two in conflict, also where the direction does not vanish."""
    aggregator = AGGREGATORS[name]
    for case in corpus(2, drawn):
        case = case._replace(gradients=unit(case.gradients))
        gram = jnp.asarray(case.gradients @ case.gradients.T, jnp.float32)
        arguments = gram, jnp.asarray(case.preference, jnp.float32), jnp.ones(2, bool)
        found = compiled_combination(aggregator, *arguments)
        np.testing.assert_allclose(found.weights, weights_of(aggregator, [case])[0], rtol=1e-3, atol=1e-5)
        assert found.sin2_phi == pytest.approx(1 - min(float(gram[0, 1]), 0) ** 2, rel=1e-4)


def test_a_direction_that_cancels_up_to_rounding_has_no_freedom():
    """Two opposite costs, and a reward across them: the convex hull holds 0, while the projection spares the reward."""
    gradients = np.array([[0, 0, 1.0], [0.6, 0.8, 0], [-0.6, -0.8, 0]])
    arguments = jnp.asarray(gradients @ gradients.T, jnp.float32), jnp.asarray([0.5, 0.25, 0.25]), jnp.ones(3, bool)
    assert compiled_combination(AGGREGATORS["mgda"], *arguments).sin2_phi == 0
    assert compiled_combination(AGGREGATORS["upgrad"], *arguments).sin2_phi == pytest.approx(1)


def test_weights_that_are_none_are_told_or_lead_nowhere():
    arguments = jnp.eye(2), jnp.asarray([0.5, 0.5]), jnp.ones(2, bool)

    def giving(weights):
        return dataclasses.replace(AGGREGATORS["mean"], name="own", weights=lambda gram, x, wanted: weights)

    with pytest.raises(UsageError, match=re.escape("'own' gave weights of (3,); expected (2,)")):
        aggregated_combination(giving(jnp.ones(3)), *arguments)
    assert aggregated_combination(giving(jnp.full(2, jnp.nan)), *arguments).sin2_phi == 0


# Mistakes

GRADIENTS = np.array([[1.0, 2, 3], [3, 2, -2]], np.float32)
INDEFINITE = np.array([[1.0, 0], [0, -1]], np.float32)
MISTAKES = {
    "unknown": (("cagrd", GRADIENTS), {}, "unknown aggregator 'cagrd'; did you mean 'cagrad'?"),
    "vector": (("mgda", GRADIENTS[0]), {}, "shape (3,); expected (objectives, parameters)"),
    "one": (("mgda", GRADIENTS[:1]), {}, "shape (1, 3): with fewer than 2"),
    "no parameters": (("mgda", GRADIENTS[:, :0]), {}, "no parameters"),
    "integers": (("mgda", np.eye(2, dtype=int)), {}, "expected floating point"),
    "NaN": (("mgda", GRADIENTS * [[1], [np.nan]]), {}, "gradient 1 holds values that are not finite"),
    "overflow": (("mgda", GRADIENTS * np.float32(1e30)), {}, "exceed what float32 can hold"),
    "preference's shape": (("upgrad", GRADIENTS), {"preference": np.ones(3)}, "shape (3,); expected (2,)"),
    "negative preference": (("upgrad", GRADIENTS), {"preference": [1.0, -1.0]}, "allowed: finite weights of 0 or more"),
    "no preference": (("upgrad", GRADIENTS), {"preference": [0.0, 0.0]}, "one must be positive"),
    "wanted's shape": (("upgrad", GRADIENTS), {"wanted": np.ones(3, bool)}, "expected bool of shape (2,)"),
    "wanted's type": (("upgrad", GRADIENTS), {"wanted": np.ones(2)}, "expected bool of shape (2,)"),
    "inner product": (("upgrad", GRADIENTS), {"inner_product": lambda v: v[:, :2].T @ v[:, :1]}, "expected (2, 2)"),
    "no inner product": (("upgrad", GRADIENTS), {"inner_product": lambda v: jnp.asarray(INDEFINITE)}, "negative"),
    "too many": (("mgda", np.eye(MOST_VARIABLES + 1, dtype="f")), {}, f"at most {MOST_VARIABLES}"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_answered_in_one_line(mistake):
    given, options, message = MISTAKES[mistake]
    with pytest.raises(UsageError, match=re.escape(message)) as error:
        aggregate(*given, **options)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(("name", "option"), [("cagrad", "radius"), ("sb_trpo", "fraction"), ("gradvac", "target")])
def test_a_parameter_outside_its_range_is_a_mistake(name, option):
    chosen = AGGREGATORS[name]
    changed = dataclasses.replace(chosen, weights=functools.partial(chosen.weights, **{option: -2.0}))
    with pytest.raises(UsageError, match=rf"{name}'s {option} is -2.0; allowed"):
        aggregate(changed, GRADIENTS)


def test_shapes_are_checked_even_where_values_cannot_be():
    with pytest.raises(UsageError, match="fewer than 2"):
        jax.jit(lambda g: aggregate("mgda", g))(GRADIENTS[:1])


def test_what_is_not_wanted_may_hold_anything():
    spoilt = np.vstack([GRADIENTS, [[np.nan, np.inf, 0]]]).astype("f")
    found = aggregate("pcrpo", spoilt, wanted=[True, True, False])
    np.testing.assert_allclose(found.direction, aggregate("pcrpo", GRADIENTS).direction, rtol=1e-6)


# One's own aggregator, and the documentation


@pytest.fixture
def registry():
    """The registry, put back afterwards to what the library registers."""
    yield AGGREGATORS
    AGGREGATORS.clear()
    AGGREGATORS.update(BUILT_IN)


def test_an_aggregator_of_ones_own_is_found_by_name(registry):
    """The documentation's example, registered among the others."""
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    (code,) = [block for block in blocks if "register(" in block]
    assert len([line for line in code.splitlines() if line and "import" not in line]) == 5
    exec(code, {})
    (own,) = [aggregator for name, aggregator in registry.items() if name not in BUILT_IN]
    assert find(own.name) is find(f"module:{own.name}") is own
    # ⟨g_r, g_c⟩ = 1 and ⟨g_c, g_c⟩ = 17: no conflict, and the same turned into one.
    np.testing.assert_allclose(aggregate(own.name, GRADIENTS, preference=[0.3, 0.7]).weights, [0.3, 0.7], rtol=1e-6)
    opposed = aggregate(own.name, GRADIENTS * [[1], [-1]], preference=[0.3, 0.7])
    np.testing.assert_allclose(opposed.weights, [0.3, 0.7 + 0.3 * 1 / 17], rtol=1e-6)
    assert misdeclared(own, [2, 3]) == []
    with pytest.raises(UsageError, match="already"):
        register(own)


def test_a_name_that_nothing_registers_is_told_in_one_line(registry):
    with pytest.raises(UsageError, match=r"did you mean 'cagrad'\? \(one of your own has to be registered first\)$"):
        find("cagrd")
    with pytest.raises(UsageError, match=r"^aggregator 'antigravity:up' is not registered; 'antigravity' has to be"):
        find("antigravity:up")
    assert "antigravity" not in sys.modules
    with pytest.raises(UsageError, match="cannot import 'no_such_room' for aggregator 'no_such_room:up': No module"):
        load("no_such_room:up")
    with pytest.raises(UsageError, match="a name has no colon"):
        register(dataclasses.replace(AGGREGATORS["mean"], name="a:b"))


def table_of(properties):
    """The row of the documentation's table that `properties` call for."""
    marks = {ALWAYS: "always", NEVER: "–"}
    limits = [getattr(properties, f.__name__) for f in LIMITED]
    return [
        *(marks.get(limit, f"m ≤ {limit}") for limit in limits),
        "yes" if properties.follows_preference else "–",
        properties.length,
    ]


def test_the_documentation_tells_what_is_declared():
    rows = re.findall(r"^\| `(\w+)` \|(.*)\|$", PAGE.read_text("utf-8"), re.MULTILINE)
    written = {name: [cell.strip() for cell in cells.split("|")] for name, cells in rows}
    assert written == {name: table_of(a.properties) for name, a in BUILT_IN.items()}
