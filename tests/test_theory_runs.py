"""Rules of the library on finite CMDPs, the theorem's inequality, and sampled values."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import brentq

from equipoise.algorithms.rules.crpo import CRPO
from equipoise.algorithms.rules.pcrpo import PCRPO
from equipoise.algorithms.rules.slack import Slack
from equipoise.errors import UsageError
from equipoise.theory import bounds, iterate
from equipoise.theory.cmdp import CMDP, evaluate, softmax, stack
from equipoise.theory.ensemble import describe
from equipoise.theory.families import bandit, garnet, saw_tooth, see_saw, two_masters
from equipoise.theory.iterate import run, stacked, trace
from equipoise.theory.natural import implied_multipliers, natural_gradients
from equipoise.theory.optimum import solve
from equipoise.theory.primal_dual import PrimalDual
from equipoise.theory.regularised import Regularised
from equipoise.theory.sampling import Sampling, rollout, sample
from equipoise.theory.studies import band, hard

GARNETS = [garnet(seed) for seed in range(6)]
TWO_COSTS = [garnet(seed, costs=2) for seed in range(6)]


@pytest.fixture(autouse=True, scope="module")
def compiled_in_haste():
    """Most of the time here goes into compiling: let XLA optimise less."""
    with pytest.MonkeyPatch.context() as patch:
        for name, fixed in (("_run", "sampling"), ("_trace", "iterations")):
            options = {"static_argnames": fixed, "compiler_options": {"xla_backend_optimization_level": 0}}
            patch.setattr(iterate, name, jax.jit(getattr(iterate, name).__wrapped__, **options))
        yield


def on_jax(cmdp):
    return CMDP(*(jnp.asarray(field) for field in cmdp))


def random_parameters(cmdp, seed=0):
    return np.random.default_rng(seed).normal(size=cmdp.reward.shape)


@jax.jit
def closed_forms(cmdp, policy):
    found = evaluate(cmdp, policy)
    natural = natural_gradients(policy, found.advantage, found.occupancy, cmdp.discount)
    return natural, implied_multipliers(natural.gram)


@jax.jit
def generic(cmdp, parameters):
    """Return the gradients of every J, the scores ∇log π(a|s), and the share of visits of every (s, a)."""
    occupancy = evaluate(cmdp, softmax(parameters)).occupancy
    gradients = jax.jacobian(lambda p: evaluate(cmdp, softmax(p)).objective)(parameters)
    scores = jax.jacobian(lambda p: jnp.log(softmax(p)))(parameters)
    d = parameters.size
    return gradients.reshape(-1, d), scores.reshape(-1, d), (occupancy[:, None] * softmax(parameters)).reshape(-1, 1)


def theorem(ensemble, iterations):
    """Return the theorem's step sizes and tolerances."""
    step = bounds.best_step(ensemble.discount, ensemble.actions, ensemble.span, iterations)
    return step, bounds.tolerance(ensemble.discount, ensemble.actions, ensemble.span, iterations, step)


# Natural gradients


def test_closed_forms_are_the_generic_gradient_and_fisher_pseudo_inverse():
    """gᵢ from automatic differentiation of J, F = E[∇log π ∇log πᵀ] from its definition, uᵢ = F⁺gᵢ."""
    cmdp = TWO_COSTS[0]
    with jax.enable_x64(True):
        parameters = jnp.asarray(random_parameters(cmdp))
        gradients, scores, visits = (np.asarray(x) for x in generic(on_jax(cmdp), parameters))
        found, _ = jax.tree.map(np.asarray, closed_forms(on_jax(cmdp), softmax(parameters)))
    fisher = scores.T @ (visits * scores)
    directions = gradients @ np.linalg.pinv(fisher, rcond=1e-10)
    np.testing.assert_allclose(found.gradients, gradients, atol=1e-9)
    np.testing.assert_allclose(found.directions, directions, atol=1e-7)
    np.testing.assert_allclose(found.gram, gradients @ directions.T, atol=1e-7)
    np.testing.assert_allclose(found.images, gradients @ fisher, atol=1e-9)


@pytest.mark.parametrize("cmdp", [GARNETS[0], TWO_COSTS[0]])
def test_at_the_optimum_the_implied_multipliers_are_those_of_the_programme(cmdp):
    optimum = solve(cmdp)
    policy = 0.999999 * optimum.policy + 1e-6 / optimum.policy.shape[1]
    binding = optimum.multipliers > 1e-9
    # A limit that does not bind has no place in the balance.
    cmdp = cmdp._replace(cost=cmdp.cost[binding], limits=cmdp.limits[binding])
    with jax.enable_x64(True):
        _, found = closed_forms(on_jax(cmdp), jnp.asarray(policy))
    np.testing.assert_allclose(found, optimum.multipliers[binding], rtol=1e-3)


# Methods


@pytest.mark.parametrize("tolerance", [-0.1, 0.0, 0.2])
@pytest.mark.parametrize("cmdp", [GARNETS[0], see_saw(), TWO_COSTS[1]], ids=["one cost", "a tie", "two costs"])
def test_pcrpo_without_a_band_is_crpo_iterate_for_iterate(cmdp, tolerance):
    """Ties included: the see-saw starts exactly at its limit. With two costs, until both are violated at once.

    They are two programs. Where it comes back to its limit, rounding may put them on different sides of it.
    """
    ours, theirs = (trace(cmdp, method, 0.05, 60) for method in (band(tolerance, tolerance), hard(tolerance)))
    differ = (abs(ours[1] - theirs[1]) > 1e-9).any((1, 2))
    above = -theirs[0][:, 1:] - cmdp.limits - tolerance
    both = (above > 0).all(1) & (len(cmdp.limits) > 1)
    tie = (abs(above) < 1e-9).any(1) & (np.arange(60) > 0)
    assert np.ptp(theirs[1], axis=0).max() > 0.01
    assert not differ.any() or (both | tie)[: differ.argmax()].any()


def test_with_exact_values_calibrated_slack_is_the_hard_switch():
    """Up to rounding: they are two programs, which XLA may compile to different orders of summation."""
    calibrated = PCRPO(slack=Slack("calibrated", high=0.0))
    found, expected = (trace(GARNETS[0], method, 0.05, 60)[1] for method in (calibrated, hard(0.0)))
    np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_the_hard_switch_flips_at_every_step_of_the_see_saw_and_its_swing_is_the_step():
    """With a tolerance that is nothing to a step, but more than the rounding with which it comes back to its limit."""
    for step in (0.1, 0.01):
        cost = -trace(see_saw(), hard(1e-6), step, 60)[0][:, 1]
        assert (np.diff(cost > 0.5 + 1e-6).nonzero()[0] == np.arange(59)).all()
        assert np.ptp(cost[30:]) == pytest.approx(step / 4, rel=0.1)  # dπ/dθ = π(1 − π), and θ moves by α


def test_the_hard_switch_climbs_the_saw_tooth_in_ten_steps_and_falls_in_one():
    cost = -trace(saw_tooth(), hard(0.0), 0.5, 60)[0][:, 1]
    falls = (np.diff(cost) < 0).nonzero()[0]
    assert 10 <= np.diff(falls[falls > 5]).mean() <= 12


def test_two_masters_take_turns_and_the_band_ends_it():
    """Rectifying one cost at a time raises the other; the projection in the band keeps both."""
    turns, rests = (-trace(two_masters(), m, 0.1, 1500)[0][-200:, 1:] for m in (hard(0.0), band(-0.04, 0.0)))
    first, second = (np.diff(cost) > 0 for cost in turns.T)
    assert (first != second).mean() == pytest.approx(2 / 3, abs=0.1)  # one up, the other up, then the reward
    assert np.ptp(turns, axis=0).min() > 0.01
    assert np.ptp(rests, axis=0).max() < 1e-3
    assert (rests[-1] <= two_masters().limits + 1e-9).all()


@pytest.mark.parametrize("cmdp", [see_saw(), saw_tooth()])
def test_in_a_band_wider_than_a_step_pcrpo_rests(cmdp):
    switching, resting = (trace(cmdp, m, 0.1, 60)[0][-10:, 1] for m in (hard(0.0), band(-0.05, 0.0)))
    assert np.ptp(switching) > 0.01
    assert np.ptp(resting) < 1e-9


@pytest.mark.slow
@pytest.mark.parametrize("low", [-0.05, -0.15])
def test_with_fixed_slack_the_gap_rests_at_the_price_of_the_margin(low):
    ensemble = describe("", GARNETS)
    step, _ = theorem(ensemble, 8000)
    result = run(ensemble.stacked, stacked([band(low, 0.0)] * 6), step, 8000)
    price = ensemble.reward - [solve(c._replace(limits=c.limits + low)).reward for c in GARNETS]
    np.testing.assert_allclose(-result.last[:, 1] - ensemble.stacked.limits[:, 0], low, atol=0.02 * abs(low))
    np.testing.assert_allclose(ensemble.reward - result.last[:, 0], price, atol=0.02)


@pytest.mark.slow
def test_last_iterates_of_primal_dual_oscillate_and_of_the_regularised_one_converge():
    ensemble = describe("", GARNETS)
    step = (1 - ensemble.discount) ** 2
    setting = {"dual_step": float(step[0]), "ceiling": 50.0}
    plain = run(ensemble.stacked, stacked([PrimalDual(**setting)] * 6), step, 4000)
    damped = run(ensemble.stacked, stacked([Regularised(temperature=0.015, **setting)] * 6), step, 4000)
    assert np.median(plain.swing[:, 1]) > 10 * np.median(damped.swing[:, 1])
    for result in (plain, damped):
        np.testing.assert_allclose(result.average[:, 0], ensemble.reward, atol=0.1)
    np.testing.assert_allclose(damped.last[:, 0], ensemble.reward, atol=0.1)
    assert (-damped.last[:, 1:] - ensemble.stacked.limits).max() < 0.05


def test_the_regularised_method_rests_at_the_saddle_point_of_the_regularised_lagrangian():
    """On the see-saw: logit p = (1 − λ)/τ and λ = (p − ½)/τ, p the probability of the action that pays and costs."""
    temperature = 0.2
    p = brentq(lambda p: np.log(p / (1 - p)) - (1 - (p - 0.5) / temperature) / temperature, 0.01, 0.99)
    policy = trace(see_saw(), Regularised(0.2, 10.0, temperature), 0.5, 400).policy
    assert policy[-1, 0, 0] == pytest.approx(p, abs=1e-6)


def test_without_temperature_the_regularised_method_is_the_plain_one():
    problems, step = stack(GARNETS), np.full(6, 0.1)
    plain, damped = (
        run(problems, stacked([m] * 6), step, 50) for m in (PrimalDual(0.1, 5.0), Regularised(0.1, 5.0, 0.0))
    )
    np.testing.assert_allclose(plain.policy, damped.policy, atol=1e-12)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        (PrimalDual(0.0, 1.0), "dual_step is 0"),
        (PrimalDual(1.0, 0.0), "ceiling is 0"),
        (Regularised(-1.0, 1.0, 0.1), "dual_step is -1"),
        (Regularised(1.0, 1.0, -0.1), "temperature is -0.1"),
        (Sampling(rollouts=0), "rollouts is 0"),
        (Sampling(episodes=1), "episodes is 1"),
        (Sampling(horizon=0), "horizon is 0"),
    ],
)
def test_settings_that_make_no_sense_are_refused(setting, message):
    with pytest.raises(UsageError, match=message):
        setting.check()


# The theorem


@pytest.mark.parametrize("cmdps", [GARNETS, TWO_COSTS], ids=["one cost", "two costs"])
@pytest.mark.parametrize("iterations", [50, 1000])
def test_crpo_keeps_gap_and_violation_below_the_tolerance(cmdps, iterations):
    ensemble = describe("", cmdps)
    step, eta = theorem(ensemble, iterations)
    result = run(ensemble.stacked, stacked([hard(float(e)) for e in eta]), step, iterations)
    assert (ensemble.reward - result.average[:, 0] <= eta).all()
    assert ((-result.average[:, 1:] - ensemble.stacked.limits).max(1) <= eta).all()


def test_a_run_remembers_the_sums_over_its_iterates():
    limit, step, iterations = GARNETS[0].limits[0], 0.05, 60
    sums = run(stack(GARNETS), stacked([hard(0.0)] * 6), np.full(6, step), iterations).sums
    reward, cost = trace(GARNETS[0], hard(0.0), step, iterations)[0].T * [[1], [-1]]
    improving = cost <= limit
    assert 0 < improving.sum() < iterations
    assert sums.output[0] == improving.sum()
    np.testing.assert_allclose(sums.objective[0], [reward[improving].sum(), -cost[improving].sum()])
    assert sums.weights[0].sum() == pytest.approx(iterations)
    np.testing.assert_allclose(sums.duty[0], (limit - cost[~improving]).sum())
    np.testing.assert_allclose(sums.excess[0], np.maximum(cost - limit, 0).sum())
    np.testing.assert_array_equal(sums.modes[0], [improving.sum(), 0, (~improving).sum()])
    assert sums.late[0] == 6
    np.testing.assert_allclose(sums.late_objective[0, 0], reward[-6:].sum())


@pytest.mark.parametrize("metric", ["fisher", "natural"])
@pytest.mark.parametrize("factor", [0.3, 1.0, 3.0])
def test_the_certificate_bounds_the_gap_at_any_step_size(metric, factor):
    ensemble = describe("", GARNETS)
    step = factor * theorem(ensemble, 300)[0]
    result = run(ensemble.stacked, stacked([band(-0.2, 0.1, metric)] * 6), step, 300)
    certificate = bounds.certificate(result.sums, ensemble.discount, ensemble.actions, ensemble.span, step)
    assert (ensemble.reward - result.average[:, 0] <= certificate).all()
    np.testing.assert_allclose(result.sums.square, 300)  # the weights of every step sum to 1


def test_the_certificate_is_attained_by_a_bandit_that_has_all_to_learn():
    """One good action among many: with a large step (1) is within a factor 2 of the gap there is."""
    cmdp = bandit([1.0] + [0.0] * 63, [[1.0] + [0.0] * 63], [1.0])
    iterations = 20
    step = bounds.best_step(0.0, 64, 1.0, iterations)
    result = run(stack([cmdp]), stacked([hard(0.0)]), np.array([step]), iterations)
    (certificate,) = bounds.certificate(result.sums, np.zeros(1), 64, np.ones(1), np.array([step]))
    assert certificate / 2 < 1 - result.average[0, 0] <= certificate


def test_the_best_step_gives_the_least_tolerance_and_crpos_own_a_larger_one():
    for discount, span, iterations in [(0.8, 3.0, 100), (0.9, 10.0, 10_000)]:
        best = bounds.best_step(discount, 3, span, iterations)
        least = bounds.tolerance(discount, 3, span, iterations, best)
        assert least == pytest.approx(span / (1 - discount) * np.sqrt(np.log(3) / (2 * iterations)))
        assert all(bounds.tolerance(discount, 3, span, iterations, f * best) > least for f in (0.9, 1.1))
        paper = bounds.paper_step(discount, 8, 3, iterations)
        ours = bounds.tolerance(discount, 3, span, iterations, paper)
        assert least < ours < bounds.paper_tolerance(discount, 8, 3, iterations)


# Sampled values


def test_sampled_values_are_unbiased_and_know_their_error():
    cmdp, draws = GARNETS[0], 200

    @jax.jit
    def draw(problem, policy, keys):
        # 0.8^60 < 2e-6: what is cut off does not matter
        return evaluate(problem, policy), jax.vmap(lambda key: sample(problem, policy, Sampling(2, 10, 60), key))(keys)

    with jax.enable_x64(True):
        policy = softmax(jnp.asarray(random_parameters(cmdp)))
        found = draw(on_jax(cmdp), policy, jax.random.split(jax.random.key(0), draws))
        exact, (quality, estimate) = jax.tree.map(np.asarray, found)
    error = quality.std(0, ddof=1) / np.sqrt(draws)
    assert np.abs((quality.mean(0) - exact.quality) / error).max() < 6
    cost, claimed = estimate.cost[:, 0], estimate.cost_se[:, 0]
    assert abs(cost.mean() + exact.objective[1]) < 5 * cost.std() / np.sqrt(draws)
    assert np.sqrt((claimed**2).mean()) == pytest.approx(cost.std(), rel=0.3)


def test_rollouts_stop_at_the_horizon():
    cmdp = bandit([1.0, 0.5], [[0.0, 0.0]], [1.0])._replace(discount=np.asarray(0.5))
    with jax.enable_x64(True):
        returns = rollout(on_jax(cmdp), jnp.array([[1.0, 0.0]]), jnp.array([1]), 3, jax.random.key(0))
    np.testing.assert_allclose(returns[0], [0.5 + 0.5 + 0.25])


def test_a_seed_decides_the_noise_and_every_copy_of_a_problem_has_its_own():
    copies = stack([GARNETS[0]] * 3)
    step, methods = np.full(3, 0.02), stacked([hard(0.0)] * 3)
    first, again, other = (run(copies, methods, step, 30, Sampling(1, 4, 10), seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first.policy, again.policy)
    assert len({tuple(p.ravel()) for p in (*first.policy, *other.policy)}) == 6


def test_every_iteration_has_noise_of_its_own():
    """At a limit near what the uniform policy costs, and with no steps, luck decides the mode anew each time."""
    objective = trace(GARNETS[0], hard(0.0), 0.1, 60)[0][0]
    # The horizon cuts off a tenth, 0.8^10.
    copies = stack([GARNETS[0]._replace(limits=-0.9 * objective[1:])] * 3)
    modes = run(copies, stacked([hard(0.0)] * 3), np.full(3, 1e-12), 60, Sampling(1, 4, 10)).sums.modes
    assert (modes[:, [0, 2]] > 5).all()


def test_float64_stays_inside():
    result = run(stack(GARNETS), stacked([hard(0.0)] * 6), np.full(6, 0.1), 3)
    assert result.policy.dtype == np.float64
    assert jnp.zeros(1).dtype == jnp.float32
    assert not jax.config.jax_enable_x64


def test_the_rules_are_the_librarys_own():
    assert isinstance(hard(0.1), CRPO)
    assert isinstance(band(-0.1, 0.1), PCRPO)
