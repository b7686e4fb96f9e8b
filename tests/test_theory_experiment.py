"""The convergence experiment: its statistics, its verdicts (each can fail), where conditions fail, and its files."""

import csv
import json

import jax
import numpy as np
import pytest

from equipoise.errors import UsageError
from equipoise.theory import breakdown, criteria, experiment, iterate
from equipoise.theory.ensemble import describe, draw
from equipoise.theory.families import garnet
from equipoise.theory.sampling import Sampling
from equipoise.theory.slopes import line, rate
from equipoise.theory.studies import Measured, alike, convergence, measure, sampled, variants

TIMES = (100, 300, 900)


@pytest.fixture(autouse=True, scope="module")
def compiled_in_haste():
    """Most of the time here goes into compiling: let XLA optimise less."""
    with pytest.MonkeyPatch.context() as patch:
        for name, fixed in (("_run", "sampling"), ("_trace", "iterations")):
            options = {"static_argnames": fixed, "compiler_options": {"xla_backend_optimization_level": 0}}
            patch.setattr(iterate, name, jax.jit(getattr(iterate, name).__wrapped__, **options))
        yield


@pytest.fixture(scope="module")
def ensemble():
    return describe("Garnet, 1 cost", [garnet(seed) for seed in range(6)])


@pytest.fixture(scope="module")
def report(ensemble):
    """The whole experiment in small."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(experiment, "draw", lambda problems, seed: [ensemble])
        patch.setattr(experiment, "variants", lambda: variants()[:1])
        patch.setattr(experiment, "sampled", lambda sampling: sampled(Sampling(1, 10, 30))[:2])
        return experiment.reproduce(TIMES)


def measured(study, iterations, **changes):
    """Build what a study of 3 problems might have found: nothing out of the ordinary unless `changes` say so."""
    numbers = {name: np.full(3, 0.1) for name in Measured._fields[3:]}
    numbers |= {"violation": np.zeros(3), "bound": np.ones(3), "violation_bound": np.ones(3), "binds": np.ones(3, bool)}
    return Measured(study, "Garnet", iterations, **(numbers | changes))


# Statistics


def holds(found, value):
    """Whether `value` is within five standard errors: a 95 % interval, two to each side, misses one time in twenty."""
    return abs(value - found.mean) < 2.5 * (found.high - found.low) / 2


def test_a_rate_is_recovered_within_its_error():
    times = [100, 1000, 10_000]
    errors = 3 * np.array(times)[:, None] ** (-0.5 + np.random.default_rng(0).normal(0, 0.05, 40))
    found = rate(times, errors, np.ones_like(errors, bool))
    assert holds(found, -0.5)
    assert found.high - found.low == pytest.approx(2 * 2.02 * 0.05 / np.sqrt(40), rel=0.6)
    assert found.problems == 40


def test_a_rate_counts_only_what_it_may_and_needs_three_points_and_two_problems():
    times = [100, 1000, 10_000, 100_000]
    errors = np.array([[50.0, 1.0, 1.0], [1.0, np.nan, 1.0], [0.1, 0.1, -0.1], [0.01, 0.01, 0.01]])
    counted = np.ones_like(errors, bool)
    assert rate(times, errors, counted).problems == 3
    counted[0] = False
    found = rate(times, errors, counted)
    assert found.problems == 1
    assert np.isnan(found.mean)
    assert str(found) == "—"
    counted[0, 1:] = True
    errors[0] = 100.0
    errors[1, 1] = errors[2, 2] = 1.0
    assert rate(times, errors, counted).problems == 3


def test_a_line_has_its_slope_within_its_error():
    x = np.linspace(0, 1, 20)
    found = line(x, 3 + 2 * x + np.random.default_rng(0).normal(0, 0.1, 20))
    assert holds(found, 2)
    assert found.high - found.low == pytest.approx(2 * 2.1 * 0.1 / np.sqrt(((x - 0.5) ** 2).sum()), rel=0.8)


# Verdicts


def test_a_bound_that_is_broken_once_fails():
    name = "CRPO, tolerance η"
    assert criteria.bounded([measured(name, 100)], name).passed
    for what in ("gap", "violation"):
        broken = measured(name, 1000, **{what: np.array([0.1, 1.2, 0.1])})
        assert not criteria.bounded([measured(name, 100), broken], name).passed


def test_runs_without_output_or_without_bound_are_no_breach():
    name = "CRPO, tolerance 0"
    nothing = {"gap": np.full(3, np.nan), "violation": np.full(3, np.nan), "reward_weight": np.zeros(3)}
    found = criteria.bounded([measured(name, 100, **nothing), measured(name, 1000)], name)
    assert found.passed
    assert "3 without output" in found.found


@pytest.mark.parametrize(("power", "passes"), [(-0.5, True), (-0.45, True), (-0.35, False)])
def test_a_slope_is_judged_by_the_upper_end_of_its_interval(power, passes):
    name = "CRPO, tolerance η"
    spread = np.array([0.99, 1.0, 1.01])
    runs = [measured(name, t, gap=t ** (power * spread)) for t in (100, 1000, 10_000)]
    assert criteria.steep(runs, name).passed == passes


def test_a_slope_counts_only_where_the_tolerance_binds():
    name = "CRPO, tolerance η"
    flat = [measured(name, t, gap=np.full(3, 0.1), binds=np.zeros(3, bool)) for t in (1, 10)]
    steep = [measured(name, t, gap=t**-0.5 * np.array([1, 2, 3.0])) for t in (100, 1000, 10_000)]
    assert criteria.slope([*flat, *steep]).mean == pytest.approx(-0.5)
    assert criteria.slope([*flat, *steep], everywhere=True).mean > -0.45


def test_a_multiplier_that_does_not_get_near_fails():
    name = "CRPO, tolerance 0"

    def runs(*errors):
        return [measured(name, 10**i, multiplier_error=np.full(3, e)) for i, e in enumerate(errors)]

    assert criteria.multipliers(runs(0.5, 0.04), name).passed
    assert not criteria.multipliers(runs(0.5, 0.06), name).passed
    assert not criteria.multipliers(runs(0.01, 0.04), name).passed


def test_a_last_iterate_that_rests_elsewhere_fails():
    name = "POISE, no margin"

    def passes(last_gap, **changes):
        there = {"last_gap": np.array(last_gap), "last_violation": np.full(len(last_gap), -1.0), **changes}
        early = {what: np.full(len(last_gap), 1.0) for what in there}
        return criteria.lands([measured(name, 100, **early), measured(name, 1000, **there)], name).passed

    near = [1e-5] * 9
    assert passes([*near, 0.3])
    assert not passes([*near, 0.3, 0.3])
    assert not passes([2e-3] * 10)
    assert not passes([*near, 0.0], last_violation=np.full(10, 2e-3))


@pytest.mark.parametrize(("factor", "passes"), [(1.0, True), (1.5, False), (0.0, False)])
def test_a_plateau_elsewhere_fails(ensemble, factor, passes):
    price = ensemble.multipliers[:, 0] * 0.3 * ensemble.slater
    runs = [measured("PCRPO, fixed slack", 10, last_gap=factor * price)._replace(family=ensemble.name)]
    assert criteria.plateau(criteria.Findings([ensemble], runs, [], [], ensemble)).passed == passes


@pytest.mark.parametrize(("factor", "passes"), [(1.0, True), (0.5, False), (-1.0, False)])
def test_a_rest_elsewhere_under_noise_fails(ensemble, factor, passes):
    """Φ(x) = λ/(1 + λ) is where the chance of a safety step balances the two gradients."""
    chance = ensemble.multipliers[:, 0] / (1 + ensemble.multipliers[:, 0])
    quantile = np.sqrt(2) * np.array([_inverse_erf(2 * p - 1) for p in chance])
    run = measured("CRPO, tolerance 0, sampled", 10, error=np.full(6, 0.1), last_violation=factor * 0.1 * quantile)
    assert criteria.offset(criteria.Findings([ensemble], [], [], [run], ensemble)).passed == passes


def _inverse_erf(y):
    from scipy.special import erfinv

    return float(erfinv(y))


def test_an_unknown_study_is_an_error():
    with pytest.raises(KeyError):
        criteria.pick([measured("a", 1)], "b")


# Runs


def test_studies_that_differ_in_numbers_only_are_alike():
    names = [[study.name for study in group] for group in alike(convergence())]
    assert [len(group) for group in names] == [3, 3, 1, 1, 1]
    assert all(name.startswith("CRPO") for name in names[0])
    assert len(alike(variants())) == 7


def test_studies_bind_from_where_the_tolerance_is_narrower_than_the_room(ensemble):
    early, late = (measure(convergence()[0], ensemble, t) for t in (10, 1000))
    assert not early.binds.any()
    assert late.binds.any()
    np.testing.assert_array_equal(early.bound, early.violation_bound)
    assert (late.bound < early.bound).all()


@pytest.mark.slow
def test_where_conditions_fail_what_should_happen_happens(ensemble):
    for case in breakdown.cases(ensemble, 3000):
        assert case.holds, case


# The whole


@pytest.mark.slow
def test_the_whole_in_small(report, ensemble):
    assert {m.iterations for m in report.findings.convergence} == set(TIMES)
    assert len(report.findings.convergence) == len(convergence()) * len(TIMES)
    assert len(report.findings.variants) == 1
    bounded = [c for c in report.criteria if "below their bounds" in c.claim]
    assert len(bounded) == 5
    assert all(c.passed for c in bounded), bounded
    assert report.passed == (all(c.passed for c in report.criteria) and all(c.holds for c in report.cases))


@pytest.mark.slow
def test_files_and_exit_code(report, tmp_path, monkeypatch, capsys):
    out = tmp_path / "new" / "theory"
    failing = report._replace(criteria=[criteria.Criterion("claim", "found", False)])
    passing = report._replace(criteria=[criteria.Criterion("claim", "found", True)], cases=[])
    monkeypatch.setattr(experiment, "reproduce", lambda *given: passing)
    experiment.theory(out)
    monkeypatch.setattr(experiment, "reproduce", lambda *given: failing)
    with pytest.raises(SystemExit) as stop:
        experiment.theory(out)
    assert stop.value.code == 1
    assert "NOT all as claimed" in capsys.readouterr().out

    with (out / "theory.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    runs = [*report.findings.convergence, *report.findings.variants, *report.findings.sampled]
    assert len(rows) == sum(len(run.gap) for run in runs)
    assert float(rows[0]["gap"]) == pytest.approx(runs[0].gap[0], rel=1e-5)
    content = json.loads((out / "theory.json").read_text(encoding="utf-8"))
    assert content["passed"] is False
    assert content["T"] == list(TIMES)
    assert set(content["slopes"]) == {run.study for run in runs} - {run.study for run in report.findings.variants}
    assert (out / "theory.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_full_adds_longer_runs(monkeypatch, tmp_path, report):
    seen = []
    passing = report._replace(criteria=[], cases=[])
    monkeypatch.setattr(experiment, "reproduce", lambda times, *_: seen.append(times) or passing)
    monkeypatch.setattr(experiment, "save", lambda *given: None)
    for full in (False, True):
        experiment.theory(tmp_path, full)
    assert [max(times) for times in seen] == [10_000, 100_000]
    assert min(seen[0]) == 100


def test_bad_input_is_refused_before_anything_runs(tmp_path):
    with pytest.raises(UsageError, match="problems is 9; allowed: 10 or more"):
        draw(9, 0)
    with pytest.raises(UsageError, match="seed is -1"):
        draw(10, -1)
    occupied = tmp_path / "file"
    occupied.write_text("")
    with pytest.raises(UsageError, match="is a file"):
        experiment.theory(occupied)


def test_draw_makes_as_many_as_asked_of_three_families():
    families = draw(11, 0)
    assert [len(family.cmdps) for family in families] == [8, 2, 1]
    assert [family.multipliers.shape[1] for family in families] == [1, 2, 1]
    assert (families[0].slater > 0).all()
    assert (families[0].room > 0).all()
