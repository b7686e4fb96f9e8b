"""Poise: the least multipliers that are predicted to meet the goal, and what it remembers."""

from __future__ import annotations

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest

from equipoise.algorithms import ALGORITHMS, MODES, Seen, Taken
from equipoise.algorithms.direction import Region
from equipoise.algorithms.rules.poise import Poise, agreement, least_multipliers
from equipoise.errors import UsageError
from equipoise.numerics.krylov import NaturalGradients
from equipoise.problem import estimate

REGION = Region(max_kl=0.05, min_sin2_phi=1e-3, allowed_loss=jnp.full(2, jnp.inf))


def seen_at(costs, limits, fraction=0.5, per_episode=4.0):
    """Whole episodes of exactly these costs under these limits."""
    found = estimate(np.array([1.0, 2.0]), np.stack([np.asarray(costs, float)] * 2), np.array([10, 10]))
    unit = jnp.full(1 + len(limits), per_episode)
    return Seen(found, jnp.asarray(limits, jnp.float32), jnp.asarray(fraction), unit)


def gain(gram, multipliers, shorten=False):
    """What a step (1, λ) gains of every cost, in a region of radius 1 that it shortens; in NumPy."""
    weights = np.array([1.0, *multipliers])
    share = min(1.0, weights @ gram @ weights / (weights**2 @ np.diagonal(gram))) ** shorten
    return (gram @ weights)[1:] * np.sqrt(share / (weights @ gram @ weights))


def gram_of(m, seed):
    vectors = np.random.default_rng(seed).standard_normal((m, 6))
    vectors[1:] -= 0.8 * vectors[0]  # they conflict
    return vectors @ vectors.T


def least(gram, fall, cap, shorten=0.0):
    found = least_multipliers(*(jnp.asarray(x, jnp.float32) for x in (gram, fall, cap)), shorten)
    return np.asarray(found, float)


# The least multiplier


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("shorten", [0.0, 0.5, 1.0])
def test_a_multiplier_is_the_least_that_gains_enough(seed, shorten):
    gram = gram_of(2, seed)
    from_, to = gain(gram, [0.0], shorten)[0], gain(gram, [8.0], shorten)[0]
    wanted = 0.3 * from_ + 0.7 * to
    found = least(gram, [wanted], [8.0], shorten)
    assert 0 < found[0] < 8
    assert gain(gram, found, shorten)[0] == pytest.approx(wanted, abs=1e-4 * abs(to - from_))


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("shorten", [0.0, 0.5, 1.0])
def test_a_cost_is_lowered_more_the_more_it_weighs(seed, shorten):
    """Which is what halving an interval rests on."""
    gained = [gain(gram_of(2, seed), [multiplier], shorten)[0] for multiplier in np.linspace(0.0, 20.0, 400)]
    assert (np.diff(gained) >= -1e-12).all() and gained[-1] > gained[0]


@pytest.mark.parametrize("seed", range(4))
def test_it_is_exactly_zero_where_the_reward_alone_gains_enough_and_the_cap_where_nothing_does(seed):
    gram = gram_of(2, seed)
    assert least(gram, [gain(gram, [0.0])[0] - 1e-3], [8.0])[0] == 0
    assert least(gram, [gain(gram, [8.0])[0] + 1e-3], [8.0])[0] == pytest.approx(8.0, rel=1e-6)
    assert least(gram, [-np.inf], [8.0])[0] == 0


@pytest.mark.parametrize("seed", range(6))
def test_each_of_several_is_the_least_given_the_others(seed):
    gram, cap = gram_of(3, seed), np.array([6.0, 6.0])
    fall = gain(gram, [1.5, 0.8])
    found = least(gram, fall, cap)
    for k in range(2):
        less = found.copy()
        less[k] = max(0.0, found[k] - 0.05)
        assert gain(gram, found)[k] >= fall[k] - 5e-3 * np.abs(fall).max()  # twelve sweeps end near it
        assert found[k] == 0 or gain(gram, less)[k] < fall[k]


def test_what_agrees_is_not_shortened_and_what_cancels_vanishes():
    opposed = jnp.array([[1.0, -2.0], [-2.0, 4.0]])
    assert float(agreement(opposed, jnp.array([1.0, 0.5]))) == pytest.approx(0.0, abs=1e-6)
    assert float(agreement(opposed, jnp.array([1.0, 0.0]))) == 1.0
    assert float(agreement(jnp.eye(2), jnp.array([1.0, 3.0]))) == pytest.approx(1.0)


@pytest.mark.parametrize("shorten", [0.0, 0.3, 1.0])
def test_a_step_is_shortened_by_that_power_of_the_agreement(shorten):
    rule = Poise(shorten=shorten, landing=0.0, smoothing=0.0, slack=1e3)
    gradients = jnp.array([[1.0, 0.5], [-1.0, 2.0]])
    natural = NaturalGradients(gradients, gradients, gradients @ gradients.T)  # F = 1
    memory, plan = rule.plan(rule.init(1), seen_at((24.0,), (25.0,)))
    seen = seen_at((24.0,), (25.0,))._replace(memory=memory)
    found = rule.direct(natural, plan.wanted[0], plan.weights[0], seen, REGION)
    agreed = agreement(natural.gram, found.coefficients / found.coefficients[0])
    assert 0 < float(agreed) < 1
    length = float((found.step(natural) ** 2).sum() / 2)  # ½ sᵀF s, the divergence to second order
    assert length == pytest.approx(float(REGION.max_kl * agreed**shorten), rel=1e-4)


# What it remembers


def after_step(rule, memory, seen, gained):
    """One update in which a step gained so much of every cost, as its gradients predict."""
    memory, _ = rule.plan(memory, seen)
    taken = Taken(jnp.asarray(1), jnp.zeros(1), jnp.array([1.0, 0.7]), jnp.array([3.0, gained]))
    return rule.after(memory, taken)


def test_a_lasting_disturbance_is_observed():
    """A cost falls by half of what a step promises, as is expected, and by 3 less in every update."""
    rule, memory, cost = Poise(), Poise().init(1), 50.0
    for _ in range(30):
        memory = after_step(rule, memory, seen_at((cost,), (25.0,)), gained=4.0)
        cost += 3.0 - rule.trust * 4.0
    assert float(memory.miss[0]) == pytest.approx(3.0, rel=1e-3)
    assert float(memory.multiplier[0]) == pytest.approx(0.7)
    assert rule.sound(memory)


def test_what_is_predicted_is_the_trusted_share_and_what_predictions_missed():
    rule = Poise(shorten=0.0, smoothing=0.0, slack=1e3, margin=0.0)
    gradients = jnp.array([[1.0, 0.5], [-1.0, 2.0]])
    natural = NaturalGradients(gradients, gradients, gradients @ gradients.T)  # F = 1
    memory, plan = rule.plan(rule.init(1), seen_at((24.0,), (25.0,)))
    for miss in (0.0, 0.8, 1.5):
        remembered = memory._replace(miss=jnp.array([miss]))
        seen = seen_at((24.0,), (25.0,))._replace(memory=remembered)
        found = rule.direct(natural, plan.wanted[0], plan.weights[0], seen, REGION)
        fall = rule.trust * 4.0 * float(found.gain(natural)[1])
        ahead = 24.0 + miss - fall
        if float(found.coefficients[1]) > 0:
            assert ahead == pytest.approx(25.0, abs=1e-3) and MODES[int(found.mode)] == "balance"
        else:
            assert ahead <= 25.0 and MODES[int(found.mode)] == "reward"
    assert float(found.coefficients[1]) > 0


def test_from_above_it_aims_at_a_part_of_the_way_back_and_inside_at_the_target():
    rule = Poise(margin=0.2, approach=0.25)
    above, inside = (float(rule.goal(seen_at((cost,), (25.0,)))[0]) for cost in (40.0, 10.0))
    assert above == pytest.approx(35.0) and inside == pytest.approx(20.0)


def test_room_is_given_at_first_and_taken_back():
    rule = Poise(room=1.0, until=0.4, margin=0.0)
    targets = [float(rule.target(seen_at((1.0,), (25.0,), fraction))[0]) for fraction in (0.0, 0.2, 0.4, 0.9)]
    assert targets == pytest.approx([50.0, 37.5, 25.0, 25.0])
    assert rule.scheduled == ("room", "landing") and Poise(room=0.0, landing=0.0).scheduled == ()


def test_it_lands_further_inside_and_then_in_shorter_and_shorter_steps():
    """First the margin doubles; then the radius, the square of a step's length, goes to 0, in a straight line."""
    rule, fractions = Poise(margin=0.2, landing=0.4, smoothing=0.0), (0.0, 0.6, 0.7, 0.8, 0.9, 0.98)
    targets = [float(rule.target(seen_at((1.0,), (25.0,), fraction))[0]) for fraction in fractions]
    assert targets == pytest.approx([20.0, 20.0, 17.5, 15.0, 15.0, 15.0])
    gradients = jnp.array([[1.0, 0.5], [-1.0, 2.0]])
    natural = NaturalGradients(gradients, gradients, gradients @ gradients.T)

    def radius(cost, fraction):
        seen = seen_at((cost,), (25.0,), fraction)
        memory, plan = rule.plan(rule.init(1), seen)
        found = rule.direct(natural, plan.wanted[0], plan.weights[0], seen._replace(memory=memory), REGION)
        step = found.step(natural)
        return float(step @ step) / (2 * REGION.max_kl)

    above = [radius(1000.0, fraction) for fraction in fractions]
    np.testing.assert_allclose(np.divide(above, above[0]), [1, 1, 1, 1, 0.5, 0.1], rtol=1e-4)
    assert [radius(-1000.0, fraction) for fraction in fractions] == [pytest.approx(1.0)] * 6  # no limit binds


def test_without_a_landing_it_goes_on_as_before_until_the_end():
    targets = [float(Poise(landing=0.0).target(seen_at((1.0,), (25.0,), share))[0]) for share in (0.0, 0.5, 0.999)]
    assert targets == pytest.approx([0.85 * 25] * 3)


def test_the_cap_rises_while_violations_last_and_the_integral_never_falls_below_zero():
    rule, memory = Poise(margin=0.0), Poise().init(1)
    caps = []
    for _ in range(5):
        memory, _ = rule.plan(memory, seen_at((50.0,), (25.0,)))
        caps.append(float(rule.cap(memory, seen_at((50.0,), (25.0,)))[0]))
    np.testing.assert_allclose(caps, 0.5 + 1.0 + 1.5 * 0.1 * np.arange(1, 6), rtol=1e-5)
    for _ in range(20):
        memory, _ = rule.plan(memory, seen_at((0.0,), (25.0,)))
    assert float(memory.integral[0]) == 0
    assert float(rule.cap(memory, seen_at((0.0,), (25.0,)))[0]) == pytest.approx(0.5)


def test_a_rejected_step_keeps_the_multiplier_and_promises_nothing():
    rule = Poise()
    memory, _ = rule.plan(rule.init(1)._replace(multiplier=jnp.array([0.9])), seen_at((30.0,), (25.0,)))
    memory = rule.after(memory, Taken(jnp.asarray(1), jnp.zeros(1), jnp.zeros(2), jnp.zeros(2)))
    assert float(memory.multiplier[0]) == pytest.approx(0.9) and float(memory.ahead[0]) == pytest.approx(30.0)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"margin": 1.5}, "margin"),
        ({"landing": -0.1}, "landing"),
        ({"smoothing": 1.0}, "smoothing is 1"),
        ({"trust": 0.0}, "trust is 0"),
    ],
)
def test_settings_out_of_range_are_refused(settings, said):
    with pytest.raises(UsageError, match=said):
        dataclasses.replace(ALGORITHMS["poise"].algorithm, rule=Poise(**settings)).check()
