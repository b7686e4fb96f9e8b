"""Aggregators against TorchJD's values, against their papers' defining equations, and against other solvers."""

from __future__ import annotations

import dataclasses
import functools
import itertools

import jax
import numpy as np
import pytest
from scipy.optimize import brentq, nnls

from equipoise.gradients import AGGREGATORS, aggregate
from equipoise.gradients.aggregators import cagrad, gradvac, pcgrad
from test_aggregators import (
    BUILT_IN,
    SIZES,
    Case,
    agreeing,
    apart,
    ascending,
    corpus,
    directions_of,
    drawn,
    everything,
    lengths_of,
    nearly_dependent,
    opposite,
    unit,
    weights_of,
)

every_size = pytest.mark.parametrize("m", SIZES)


# TorchJD 0.18.0, in double precision: UPGrad and DualProj(QuadprogProjector(norm_eps=1e-12, reg_eps=1e-13)),
# MGDA(epsilon=1e-12, max_iters=200000), CAGrad(0.5, norm_eps=1e-12), IMTLG(), AlignedMTL(), ConFIG(),
# NashMTL(max_norm=0, optim_niter=1000) divided by its length, PCGrad() and GradVac(beta=0) with the target 0.5,
# divided by m and averaged over all orders by handing them to torch.randperm one by one. "unequal": with pref_vector.
# For seven objectives its Nash-MTL finds no solution, and averaging over all orders is out of reach.
MATRICES = {
    "two": [[-4.0, 1, 1], [6, 1, 1]],
    "three": [[1.0, -2, 0.5], [-0.5, 1, 1], [0.3, 0.8, -1.5]],
    "seven": [
        [0.3, 0.2, -0.1, -0.7, -0.5, -0.9, 0.2, 1.3, -0.3],
        [-0.3, 0.4, 0.5, 0.3, -1.0, 0.1, 0.8, -1.4, -0.3],
        [-1.6, -1.4, -1.7, 0, -1.3, 0.4, 0.3, -0.2, -2.4],
        [-0.2, -0.2, 0.3, -1.3, -0.5, -0.9, -0.7, 1.0, -0.6],
        [0.3, 0.8, -0.4, 0.1, 0.1, 0.2, -1.1, 0, 1.5],
        [-1.2, 0.7, 0.3, -0.5, 2.0, 0.9, -1.0, 0, 0.7],
        [0.2, 0.5, 0.1, 0.9, 1.4, -0.6, 0.4, -0.5, 0.3],
    ],
}
UNEQUAL = {"two": [0.3, 0.7], "three": [0.2, 0.5, 0.3], "seven": [0.1, 0.2, 0.05, 0.15, 0.25, 0.1, 0.15]}

REFERENCE = {
    "two": {
        ("upgrad", "equal"): [0.292398, 1.90058, 1.90058],
        ("upgrad", "unequal"): [0.619883, 2.02924, 2.02924],
        ("dualproj", "equal"): [0.555556, 1.11111, 1.11111],
        ("dualproj", "unequal"): [0.777778, 1.55556, 1.55556],
        ("mgda", "equal"): [0, 1, 1],
        ("cagrad", "equal"): [0.183503, 1.20412, 1.20412],
        ("imtl_g", "equal"): [0.0766968, 1, 1],
        ("nash_mtl", "equal"): [0.0541532, 0.706069, 0.706069],
        ("aligned_mtl", "equal"): [0.213279, 0.967333, 0.967333],
        ("aligned_mtl", "unequal"): [0.760485, 0.907009, 0.907009],
        ("config", "equal"): [0.158809, 2.07061, 2.07061],
        ("config", "unequal"): [0.5326, 2.17931, 2.17931],
        ("pcgrad", "equal"): [0.292398, 1.90058, 1.90058],
        ("gradvac", "equal"): [0.0297818, 2.23482, 2.23482],
    },
    "three": {
        ("upgrad", "equal"): [0.543479, 0.221328, 0.139626],
        ("upgrad", "unequal"): [0.501379, 0.236501, 0.14801],
        ("dualproj", "equal"): [0.224265, 0.043878, 0.0682546],
        ("dualproj", "unequal"): [0.19882, 0.126174, 0.107057],
        ("mgda", "equal"): [0.183969, 0.083283, 0.0522073],
        ("cagrad", "equal"): [0.224115, 0.0448623, 0.0681143],
        ("imtl_g", "equal"): [0.186492, 0.0783261, 0.0512211],
        ("nash_mtl", "equal"): [0.8918, 0.383823, 0.239526],
        ("aligned_mtl", "equal"): [0.192295, 0.0633018, 0.0413186],
        ("aligned_mtl", "unequal"): [0.164026, 0.124923, 0.0784746],
        ("config", "equal"): [0.571962, 0.240222, 0.157092],
        ("config", "unequal"): [0.525073, 0.255418, 0.167437],
        ("pcgrad", "equal"): [0.427762, 0.185589, 0.057751],
        ("gradvac", "equal"): [0.552216, 0.403704, 0.0895032],
    },
    "seven": {
        ("upgrad", "equal"): [
            -0.641632,
            0.658583,
            -0.338152,
            -0.157191,
            -0.0266393,
            -0.505198,
            -0.171762,
            -0.126321,
            -0.159755,
        ],
        ("upgrad", "unequal"): [
            -0.524212,
            0.682039,
            -0.242091,
            -0.146122,
            -0.0955899,
            -0.504862,
            -0.193132,
            -0.182256,
            -0.0449709,
        ],
        ("dualproj", "equal"): [
            -0.353883,
            0.188319,
            -0.127229,
            -0.119431,
            0.0619717,
            -0.136107,
            -0.126792,
            -0.0389927,
            -0.13459,
        ],
        ("dualproj", "unequal"): [
            -0.243354,
            0.268007,
            -0.10073,
            -0.0962084,
            -0.0275834,
            -0.117133,
            -0.206659,
            -0.0919572,
            0.0544987,
        ],
        ("mgda", "equal"): [
            -0.171906,
            0.245644,
            -0.116779,
            -0.0199184,
            -0.0246566,
            -0.189871,
            -0.0280458,
            -0.0489199,
            -0.0238273,
        ],
        ("cagrad", "equal"): [
            -0.325717,
            0.307111,
            -0.115195,
            -0.096815,
            0.0273852,
            -0.21657,
            -0.0946725,
            -0.0726118,
            -0.0761753,
        ],
        ("imtl_g", "equal"): [
            -0.192649,
            0.234385,
            -0.134163,
            -0.0197131,
            -0.0182442,
            -0.172705,
            -0.0369386,
            -0.050371,
            -0.0351992,
        ],
        ("aligned_mtl", "equal"): [
            -0.139438,
            0.136342,
            -0.0696831,
            -0.0403198,
            -0.00214632,
            -0.107498,
            -0.044543,
            -0.0225251,
            -0.0356452,
        ],
        ("aligned_mtl", "unequal"): [
            -0.102705,
            0.171345,
            -0.0511804,
            -0.0255505,
            -0.0321544,
            -0.125289,
            -0.0784449,
            -0.0663447,
            0.0271828,
        ],
        ("config", "equal"): [
            -1.42448,
            1.73309,
            -0.992024,
            -0.145762,
            -0.134901,
            -1.27701,
            -0.27313,
            -0.372452,
            -0.260269,
        ],
        ("config", "unequal"): [
            -1.00541,
            1.48831,
            -0.681783,
            -0.0838805,
            -0.32001,
            -1.3218,
            -0.571017,
            -0.642017,
            -0.00746729,
        ],
    },
}


@pytest.mark.one_in(10)
@pytest.mark.parametrize(
    ("size", "name", "preference"), [(size, *key) for size, values in REFERENCE.items() for key in values]
)
def test_agrees_with_torchjd(size, name, preference):
    """In double precision to a unit of the sixth digit, all that is written down; single precision is near that."""
    gradients = np.array(MATRICES[size])
    x = UNEQUAL[size] if preference == "unequal" else np.full(len(gradients), 1 / len(gradients))
    cases = [Case(gradients, np.asarray(x))]
    with jax.enable_x64(True):
        (precise,), _ = directions_of(AGGREGATORS[name], cases, precision=np.float64)
    # Its conic solver leaves CAGrad with five digits; the certificate below has more to say.
    off = {"atol": 5e-5} if name == "cagrad" else {"rtol": 1e-5, "atol": 1e-12}
    np.testing.assert_allclose(precise, REFERENCE[size][name, preference], **off)
    (direction,), (terms,) = directions_of(AGGREGATORS[name], cases)
    assert apart(direction, precise, terms) < 1e-5


def test_every_aggregator_has_a_reference():
    by_hand = {"weighted_sum", "mean", "sb_trpo", "pcrpo"}
    assert {name for values in REFERENCE.values() for name, _ in values} | by_hand == set(BUILT_IN)


# Defining equations and other solvers


def cone_projection(vectors, point):
    """Project on {y : ⟨y, gⱼ⟩ ≥ 0}: by Moreau's theorem the residual of a non-negative least squares."""
    return point + nnls(vectors.T, -point)[0] @ vectors


def well_posed(m, worst=100, makers=(drawn,)):
    """Cases whose gradients are linearly independent, by a margin."""
    found = [c for c in corpus(m, *makers) if c.gradients.shape[1] >= m]
    found = [c for c in found if np.linalg.cond(unit(c.gradients) @ unit(c.gradients).T) < worst]
    assert len(found) >= 4
    return found


def matches(name, cases, expected, off=1e-3):
    directions, terms = directions_of(AGGREGATORS[name], cases)
    return max(map(apart, directions, [expected(*case) for case in cases], terms)) < off


@every_size
def test_weighted_sum_and_mean(m):
    assert matches("weighted_sum", everything(m), lambda g, x: x @ g, 1e-6)
    assert matches("mean", everything(m), lambda g, x: g.mean(0), 1e-6)


@every_size
@pytest.mark.parametrize("name", ["pcrpo", "upgrad"])
def test_upgrad_sums_projections_on_the_cone(name, m):
    assert matches(
        name, corpus(m, drawn), lambda g, x: sum(a * cone_projection(g, v) for a, v in zip(x, g, strict=True))
    )


def test_upgrad_beyond_the_range_of_the_common_projection():
    gradients = np.random.default_rng(0).normal(size=(9, 12))
    gradients -= 0.9 * gradients.mean(0)
    expected = np.mean([cone_projection(gradients, g) for g in gradients], axis=0)
    for name in ("upgrad", "pcrpo"):
        np.testing.assert_allclose(aggregate(name, gradients.astype("f")).direction, expected, atol=2e-4)


@every_size
def test_dualproj_projects_the_sum_on_the_cone(m):
    assert matches("dualproj", corpus(m, drawn), lambda g, x: cone_projection(g, x @ g))


@every_size
def test_mgda_is_the_shortest_vector_of_the_convex_hull(m):
    """‖d‖² = minᵢ ⟨d, gᵢ⟩ for a convex combination d: the duality gap is closed."""
    cases = everything(m)
    weights = weights_of(AGGREGATORS["mgda"], cases)
    for (gradients, _), w in zip(cases, weights, strict=True):
        present = lengths_of(gradients) > 0
        if present.any():
            assert w.min() >= 0
            assert w.sum() == pytest.approx(1, abs=1e-5)
            direction, size = w @ gradients, w @ lengths_of(gradients)
            gaps = direction @ direction - gradients[present] @ direction
            assert (gaps <= 1e-5 * size * np.maximum(lengths_of(gradients[present]), size)).all()


@every_size
@pytest.mark.parametrize("precision", [np.float32, np.float64])
def test_cagrad_is_the_best_for_the_worst_off_in_its_ball(m, precision):
    """minᵢ ⟨gᵢ, d⟩ meets its upper bound ⟨g_w, g₀⟩ + c‖g₀‖‖g_w‖ for some g_w in the convex hull, the dual's optimum.

    A g₀ that a Gram matrix of that precision cannot tell from zero leaves no direction. Weights so long that their
    direction is what is left of cancelling gradients may leave the ball by the matrix's rounding.
    """
    cases = corpus(m, drawn, agreeing, ascending, opposite, nearly_dependent)
    with jax.enable_x64(precision == np.float64):
        weights = weights_of(AGGREGATORS["cagrad"], cases, precision=precision)
    least = np.sqrt(8 * m * np.finfo(precision).eps)
    vanished = 0
    for (gradients, x), w in zip(cases, weights, strict=True):
        anchor, direction, longest = x @ gradients, w @ gradients, lengths_of(gradients).max()
        radius = 0.5 * lengths_of(anchor)
        if lengths_of(anchor) < least * (x @ lengths_of(gradients)):
            vanished += 1
            assert lengths_of(direction) == 0
            continue
        hidden = np.finfo(precision).eps * (np.abs(w - x) @ lengths_of(gradients)) ** 2
        assert lengths_of(direction - anchor) <= np.sqrt((radius * (1 + 1e-3)) ** 2 + hidden)
        assert (w - x).min() >= -1e-4 * np.abs(w).max()
        within = np.maximum(w - x, 0) / np.maximum(w - x, 0).sum()
        bound = within @ gradients @ anchor + radius * lengths_of(within @ gradients)
        assert (gradients @ direction).min() >= bound - 2e-3 * radius * longest
    assert 0 < vanished < 4


def test_cagrads_radius_is_an_argument():
    gradients = np.array(MATRICES["three"], "f")
    chosen = AGGREGATORS["cagrad"]
    for radius in (0.1, 0.9):
        changed = dataclasses.replace(chosen, weights=functools.partial(cagrad.weights, radius=radius))
        direction = np.asarray(aggregate(changed, gradients).direction)
        anchor = gradients.mean(0)
        assert lengths_of(direction - anchor) == pytest.approx(radius * lengths_of(anchor), rel=1e-4)


@every_size
def test_nash_mtl_is_the_bargain(m):
    """wᵢ ⟨d, gᵢ⟩ = xᵢ, and so ‖d‖ = 1."""
    cases = well_posed(m)
    for (gradients, x), w in zip(cases, weights_of(AGGREGATORS["nash_mtl"], cases), strict=True):
        np.testing.assert_allclose(w * (gradients @ (w @ gradients)), x, rtol=1e-3)
        assert lengths_of(w @ gradients) == pytest.approx(1, rel=1e-3)


@every_size
def test_imtl_g_has_equal_projections_and_weights_of_sum_one(m):
    cases = well_posed(m)
    for (gradients, _), w in zip(cases, weights_of(AGGREGATORS["imtl_g"], cases), strict=True):
        assert w.sum() == pytest.approx(1, abs=1e-4)
        projections = unit(gradients) @ (w @ gradients)
        np.testing.assert_allclose(projections, projections[0], atol=1e-4 * np.abs(w).max())


@every_size
def test_config_has_cosines_in_proportion_to_the_preference_and_the_sum_of_projections_for_length(m):
    cases = well_posed(m)
    for (gradients, x), d in zip(cases, directions_of(AGGREGATORS["config"], cases)[0], strict=True):
        cosines = unit(gradients) @ d / lengths_of(d)
        np.testing.assert_allclose(cosines / x, cosines[0] / x[0], rtol=2e-3)
        assert lengths_of(d) == pytest.approx((gradients @ d).sum() / lengths_of(d), rel=1e-3)


@every_size
def test_aligned_mtl_sums_the_nearest_orthogonal_gradients(m):
    """By the singular values: the polar factor of G, as long as its least singular value."""

    def expected(gradients, x):
        left, values, right = np.linalg.svd(gradients, full_matrices=False)
        return values.min() * x @ left @ right

    assert matches("aligned_mtl", well_posed(m), expected)


def test_config_rests_between_opposite_gradients_of_equal_preference():
    """There U⁺x is of rounding size, and must not be made a unit vector."""
    for seed in range(8):
        gradient = np.random.default_rng(seed).normal(size=5)
        found = aggregate("config", np.stack([gradient, -0.3 * (seed + 1) * gradient]).astype("f"))
        assert lengths_of(found.direction) < 1e-5


def averaged_over_orders(gradients, x, correct):
    """Correct each gradient by the others in turn, as the papers write it, averaged over all orders."""
    total = np.zeros(gradients.shape[1])
    for i, weight in enumerate(x):
        orders = list(itertools.permutations([j for j in range(len(x)) if j != i]))
        for order in orders:
            g = gradients[i].copy()
            for j in order:
                g = correct(g, gradients[j])
            total += weight * g / len(orders)
    return total


def without_conflict(g, other):
    return g - min(g @ other, 0) / (other @ other) * other


def vaccinated(g, other, target=0.5):
    """Turn `g` toward `other` in their plane until the cosine is the target; what is orthogonal to `other` is kept."""
    along = g @ other / lengths_of(other)
    if along >= target * lengths_of(g):
        return g
    across = np.sqrt(max(g @ g - along**2, 0))
    return g + (across * target / np.sqrt(1 - target**2) - along) * other / lengths_of(other)


@pytest.mark.parametrize("m", [2, 3])
@pytest.mark.parametrize(("name", "correct"), [("pcgrad", without_conflict), ("gradvac", vaccinated)])
def test_surgery_is_averaged_over_all_orders(name, correct, m):
    assert matches(name, corpus(m, drawn), lambda g, x: averaged_over_orders(g, x, correct))


def test_orders_are_all_of_them_or_a_fixed_draw():
    for m in (2, 3, 6):
        assert sorted(map(tuple, pcgrad.orders(m))) == list(itertools.permutations(range(m - 1)))
    assert pcgrad.orders(10).shape == (pcgrad.MOST_ORDERS, 9)
    np.testing.assert_array_equal(pcgrad.orders(10), pcgrad.orders(10))


def test_gradvac_with_target_zero_is_pcgrad():
    """Also with a target for each pair."""
    cases = corpus(3, drawn)
    for target in (0.0, jax.numpy.zeros((3, 3))):
        changed = dataclasses.replace(AGGREGATORS["gradvac"], weights=functools.partial(gradvac.weights, target=target))
        found, terms = directions_of(changed, cases)
        assert max(map(apart, found, directions_of(AGGREGATORS["pcgrad"], cases)[0], terms)) < 1e-3


def least_safety_weight(reward, costs, safest, wanted):
    """The least μ at which (1 − μ)e_r + μΔ_c lowers every cost by `wanted`, by root finding."""

    def short(mu):
        return (costs @ ((1 - mu) * reward + mu * safest)).min() - wanted

    return 0.0 if short(0) >= 0 else brentq(short, 0, 1, xtol=1e-10)


@every_size
def test_sb_trpo_has_the_least_safety_weight(m):
    def expected(gradients, _):
        reward, costs = unit(gradients)[0], unit(gradients)[1:]
        hull = nnls(np.vstack([costs.T, np.ones(m - 1)]), np.append(np.zeros(costs.shape[1]), 1))[0]
        shortest = hull @ costs / hull.sum()
        best = lengths_of(shortest)
        mu = least_safety_weight(reward, costs, shortest / best, 0.75 * best)
        return (1 - mu) * reward + mu * shortest / best

    assert matches("sb_trpo", well_posed(m), expected)


def test_sb_trpo_for_one_cost_is_the_papers_formula():
    """μ = (β − cos φ)/(1 − cos φ), and no more than none."""
    for angle in (10, 60, 90, 120, 170, 180):
        cosine = np.cos(np.radians(angle))
        gradients = np.array([[1.0, 0], [cosine, np.sin(np.radians(angle))]]) * [[3], [0.2]]
        _, weights = aggregate("sb_trpo", gradients.astype("f"))
        mu = max(0, (0.75 - cosine) / (1 - cosine))
        np.testing.assert_allclose(weights, [(1 - mu) / 3, mu / 0.2], atol=1e-5)


@pytest.mark.slow
def test_sb_trpo_without_the_reward_lowers_the_costs_and_without_costs_follows_the_reward():
    gradients = np.array([[1.0, 0, 0], [-1, 1, 0], [0, -1, 2]], "f")
    safest = aggregate("sb_trpo", gradients, wanted=[False, True, True])
    assert safest.weights[0] == 0
    assert (gradients[1:] @ safest.direction).min() > 0.3
    assert lengths_of(safest.direction) == pytest.approx(1, rel=1e-5)
    alone = aggregate("sb_trpo", gradients, wanted=[True, False, False])
    np.testing.assert_allclose(alone.direction, [1, 0, 0], atol=1e-6)
