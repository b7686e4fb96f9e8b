"""docs/two-gradients.html in a real browser: its mathematics is the library's, and hand and keyboard can use it."""

from __future__ import annotations

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from equipoise.algorithms import CRPO, PCRPO, Slack
from equipoise.algorithms.direction import Region, projected
from equipoise.algorithms.rule import MODES, Seen
from equipoise.gradients.metric import euclidean_units
from equipoise.gradients.projection import combine, project
from equipoise.numerics.krylov import NaturalGradients
from equipoise.problem import estimate

START = [-2.3, 1.1]


@pytest.fixture(scope="module")
def address(browser):
    """The page's address, a file."""
    return (Path(__file__).parents[1] / "docs" / "two-gradients.html").as_uri()


@pytest.fixture
def asked(open_page):
    """Ask the page what one of its functions gives for each of several lists of arguments."""
    page = open_page()

    def ask(function, cases):
        return page.evaluate(f"cases => cases.map(of => equipoise.{function}(...of))", cases)

    return ask


def pairs_of_gradients():
    """Random ones, and those that a projection can stumble over: parallel, opposite, nearly so, and none at all."""
    random = np.random.default_rng(0)
    special = [([1, 0], [1, 0]), ([1, 0], [-3, 0]), ([1, 0], [-1, 1e-3]), ([1, 0], [0, 2]), ([0, 0], [1, 2])]
    return [*random.normal(size=(200, 2, 2)).tolist(), *([list(map(float, g)) for g in pair] for pair in special)]


@jax.vmap
def librarys(gradients, weight):
    """The projected gradients, their weighted sum and sin²φ, of gradients scaled to length 1."""
    gram, scale = euclidean_units(gradients)
    units = gradients * scale[:, None]
    wanted = scale > 0
    combined = combine(gram, jnp.array([weight, 1 - weight]), wanted)
    return project(gram, wanted) @ units, combined.weights @ units, combined.sin2_phi


def test_what_is_left_of_each_gradient_is_the_librarys_projection(asked):
    pairs, weights = pairs_of_gradients(), np.linspace(0, 1, 205)
    found = asked("combine", [(*pair, weight) for pair, weight in zip(pairs, weights, strict=True)])
    expected = librarys(jnp.array(pairs), jnp.array(weights))
    for name, values in zip(("projected", "direction", "sin2"), expected, strict=True):
        np.testing.assert_allclose([each[name] for each in found], values, atol=2e-6)


def seen(cost, limit):
    """What a rule sees where the mean cost of an episode is known to be `cost`."""
    exact = estimate(np.zeros(2), np.full((2, 1), cost), np.full(2, 1))
    return Seen(exact, jnp.array([limit]), jnp.array(0.0), jnp.ones(2))


def plan_of(rule, cost, limit):
    _, plan = rule.plan(rule.init(1), seen(cost, limit))
    return MODES[int(plan.mode)]


@pytest.mark.parametrize(("low", "high"), [(-0.3, 0.0), (-0.5, 0.25), (0.0, 0.0), (0.0, 0.5)])
def test_modes_are_those_of_the_librarys_rules_ties_included(low, high, asked):
    limit = 4.0
    costs = [0.0, 1.0, 2.0, 2.5, 2.8, 3.0, 3.999, 4.0, 4.001, 4.75, 5.0, 5.5, 6.0, 6.25, 9.0]
    found = asked("mode", [(cost, limit, low * limit, high * limit) for cost in costs])
    assert found == [plan_of(PCRPO(slack=Slack(low=low, high=high)), cost, limit) for cost in costs]
    hard = asked("mode", [(cost, limit, 0, 0) for cost in costs])
    assert hard == [plan_of(CRPO(), cost, limit) for cost in costs]


def test_gradients_are_those_of_the_reward_and_of_minus_the_cost(asked):
    points, h = np.random.default_rng(1).uniform(-2, 2, (20, 2)), 1e-4
    for function, value, sign in (("rewardGradient", "reward", 1), ("safetyGradient", "cost", -1)):
        found = np.array(asked(function, [[list(point)] for point in points]))
        for axis in range(2):
            up, down = (
                np.array(asked(value, [[list(point + way * h * np.eye(2)[axis])] for point in points]))
                for way in (1, -1)
            )
            np.testing.assert_allclose(found[:, axis], sign * (up - down) / (2 * h), atol=1e-6)


def test_a_step_is_as_long_and_leads_where_the_trust_region_with_a_fisher_matrix_of_one_does(asked):
    random, limit, radius, weight = np.random.default_rng(2), 3.0, 0.2, 0.3
    points = random.uniform(-2, 1.5, (80, 2)).tolist()
    settings = {"low": -0.6, "high": 0.2, "weight": weight, "radius": radius}
    steps = asked("step", [(point, settings) for point in points])
    costs, ups, safes = (asked(of, [[p] for p in points]) for of in ("cost", "rewardGradient", "safetyGradient"))
    region, rule = Region(radius**2 / 2, 0.001, jnp.zeros(2)), PCRPO(slack=Slack(low=-0.6, high=0.2))
    modes = [plan_of(rule, cost, limit) for cost in costs]
    assert set(modes) == set(MODES)
    weights = {"reward": (1.0, 0.0), "balance": (weight, 1 - weight), "safety": (0.0, 1.0)}

    @jax.vmap
    def expected(gradients, preference):
        natural = NaturalGradients(gradients, gradients, gradients @ gradients.T)
        return projected(natural, "euclidean", combine, preference > 0, preference, region).step(natural)

    both = jnp.stack([jnp.array(ups), jnp.array(safes)], axis=1)
    np.testing.assert_allclose(steps, expected(both, jnp.array([weights[mode] for mode in modes])), atol=2e-6)


def test_pcrpo_comes_to_rest_in_its_band_and_crpo_goes_on_across_the_limit(asked):
    chosen = {"low": -0.3, "high": 0, "weight": 0.5, "radius": 0.2}
    pcrpo, crpo = asked("walk", [(START, chosen, 60), (START, chosen | {"low": 0}, 60)])
    assert len(pcrpo) == 61 and pcrpo[0] == START
    assert 0.7 * 3 < asked("cost", [[pcrpo[-1]]])[0] <= 3
    np.testing.assert_allclose(pcrpo[-1], pcrpo[-20], atol=0.01)
    costs = asked("cost", [[policy] for policy in crpo[-20:]])
    assert 5 <= sum(cost > 3 for cost in costs) <= 15


def test_the_best_reward_within_the_limit_satisfies_its_conditions(asked):
    (best,) = asked("optimum", [[]])
    up, safe, cost = (asked(of, [[best["policy"]]])[0] for of in ("rewardGradient", "safetyGradient", "cost"))
    assert cost == pytest.approx(3, abs=1e-9)
    np.testing.assert_allclose(up, -best["multiplier"] * np.array(safe), atol=1e-9)
    assert best["multiplier"] > 0


def shown(page, name):
    return page.locator(f"#{name}").inner_text()


def test_the_policy_is_dragged(open_page):
    page = open_page()
    assert (shown(page, "mode-pcrpo"), shown(page, "mode-crpo")) == ("safety", "safety")
    before, plane = page.locator("#policy").bounding_box(), page.locator("#plane").bounding_box()
    page.mouse.move(before["x"] + before["width"] / 2, before["y"] + before["height"] / 2)
    page.mouse.down()
    page.mouse.move(plane["x"] + plane["width"] * 0.45, plane["y"] + plane["height"] * 0.6, steps=4)
    assert (shown(page, "mode-pcrpo"), shown(page, "mode-crpo")) == ("the reward", "the reward")
    page.mouse.up()
    page.mouse.move(plane["x"] + 10, plane["y"] + 10)  # let go of, it stays
    assert shown(page, "mode-pcrpo") == "the reward"
    page.mouse.click(plane["x"] + plane["width"] * 0.999, plane["y"] + 1)
    assert page.locator("#policy").bounding_box()["x"] < plane["x"] + plane["width"]


def test_the_policy_moves_by_the_keyboard_and_what_it_is_now_is_said(open_page):
    page = open_page()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "policy"
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Shift+ArrowDown")
    assert page.evaluate("policy") == pytest.approx([START[0] + 0.05, START[1] - 0.25])
    page.keyboard.press("Shift+ArrowDown")
    assert "PCRPO improves both, CRPO the reward" in page.locator("#said").text_content()
    for control in page.locator("button, input, [tabindex]").all():
        name = control.evaluate("e => e.textContent.trim() || e.getAttribute('aria-label') || e.labels[0].textContent")
        assert name.strip()


def test_settings_change_the_band_and_the_walks_and_come_back(open_page):
    page = open_page()
    walks = [page.locator(f"#walk-{name}") for name in ("pcrpo", "crpo")]
    before = [walk.get_attribute("points") for walk in walks]
    assert before[0] != before[1]
    page.locator("#low").fill("0")  # no band: both are the same
    assert [walk.get_attribute("points") for walk in walks] == [before[1]] * 2
    page.locator("#high").focus()
    page.keyboard.press("End")
    assert "0.50·b" in page.locator("label", has=page.locator("#high")).inner_text()
    assert page.locator("#band-high").bounding_box()["width"] > page.locator("#limit").bounding_box()["width"] + 50
    page.locator("#reset").click()
    assert [walk.get_attribute("points") for walk in walks] == before


def test_with_a_band_above_the_limit_it_can_rest_above(open_page):
    page = open_page()
    page.locator("#low").fill("0")
    page.locator("#high").fill("0.5")
    assert shown(page, "pcrpo-above") == "20 of 20"
    assert float(shown(page, "pcrpo-low")) > 3


def test_a_phone_shows_all_of_it_without_scrolling_sideways(open_page):
    page = open_page(390, 844)
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    assert page.locator("#plane").bounding_box()["width"] > 330


@pytest.mark.parametrize(("scheme", "dark"), [("light", False), ("dark", True)])
def test_the_page_is_light_or_dark_as_the_reader_has_it(scheme, dark, open_page):
    page = open_page(scheme=scheme)
    shades = page.evaluate(
        """['backgroundColor', 'color'].map(of => getComputedStyle(document.body)[of].match(/\\d+/g).map(Number))"""
    )
    paper, ink = (sum(shade[:3]) / 765 for shade in shades)
    assert (paper < 0.2) == dark
    assert abs(ink - paper) > 0.6
