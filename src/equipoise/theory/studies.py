"""The runs of the experiment: which rule, with which step size, tolerance or slack, and what bounds its gap.

η is the theorem's tolerance at the step size used (`bounds.tolerance`); it shrinks as 1/√T.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Bool, Float

from equipoise.algorithms.rule import Rule
from equipoise.algorithms.rules.crpo import CRPO
from equipoise.algorithms.rules.pcrpo import PCRPO
from equipoise.algorithms.rules.poise import Poise
from equipoise.algorithms.rules.slack import Schedule, Slack
from equipoise.gradients.metric import Metric
from equipoise.theory import bounds
from equipoise.theory.ensemble import Ensemble
from equipoise.theory.iterate import Result, run, stacked
from equipoise.theory.primal_dual import PrimalDual
from equipoise.theory.regularised import Regularised
from equipoise.theory.sampling import Sampling

FIXED = 0.3
"""|h⁻| of a fixed slack, as a share of the room ξ inside the limits."""


class Setting(NamedTuple):
    """What a rule's settings may depend on."""

    tolerance: float
    """η at this step size."""
    slater: float
    """ξ."""
    discount: float
    """γ."""
    states: int
    """S."""
    actions: int
    """A."""
    iterations: int
    """T."""

    @property
    def ceiling(self) -> float:
        """Above any λ*, which is at most 1/((1 − γ)ξ)."""
        return 2 / ((1 - self.discount) * self.slater)


class Study(NamedTuple):
    """One rule with one way of choosing its step size."""

    name: str
    """For tables."""
    make: Callable[[Setting], Rule]
    """The rule for a problem and T."""
    step: Callable[[Setting], float] | None = None
    """α; by default the theorem's best."""
    promised: Callable[[Setting], float] | None = None
    """What bounds the gap and the violation beforehand, if anything does; otherwise the gap's bound is (1)'s."""
    upper: Callable[[Setting], float] = lambda setting: 0.0
    """h⁺, which bounds the violation of every iterate that improves the reward (with sampling, up to Ĵ's error)."""
    certified: bool = True
    """Whether (1) holds: the direction is a mixture of Qs, with weights that are independent of their noise."""
    sampling: Sampling | None = None
    """How values are sampled; None for exact values."""


class Measured(NamedTuple):
    """What a study found on an ensemble at one T; every array has one entry per problem."""

    study: str
    """The study's name."""
    family: str
    """The ensemble's name."""
    iterations: int
    """T."""
    gap: Float[np.ndarray, " N"]
    """J* − J_r of the averaged iterate."""
    violation: Float[np.ndarray, " N"]
    """max_k J_k − b_k of the averaged iterate."""
    bound: Float[np.ndarray, " N"]
    """What bounds the gap; NaN where nothing does."""
    violation_bound: Float[np.ndarray, " N"]
    """What bounds the violation; NaN where nothing does."""
    last_gap: Float[np.ndarray, " N"]
    """The gap of the last iterate; with sampling the mean over the last tenth."""
    last_violation: Float[np.ndarray, " N"]
    """The violation of the last iterate; with sampling the mean over the last tenth."""
    multiplier_error: Float[np.ndarray, " N"]
    """‖λ̂ − λ*‖₁/‖λ*‖₁ of the multipliers that the last iterate implies."""
    reward_weight: Float[np.ndarray, " N"]
    """Mean w_r over the iterates that improved the reward."""
    swing: Float[np.ndarray, " N"]
    """Standard deviation of the costs over the last tenth, the largest of the K."""
    error: Float[np.ndarray, " N"]
    """Mean standard error of Ĵ over the last tenth, the largest of the K."""
    excess: Float[np.ndarray, " N"]
    """Mean over all iterates of max_k (J_k − b_k)⁺."""
    safety: Float[np.ndarray, " N"]
    """Share of the iterations in safety mode."""
    binds: Bool[np.ndarray, " N"]
    """Whether η is narrower than the room that the constraint takes away: otherwise a tolerance of η never switches."""

    @property
    def distance(self) -> Float[np.ndarray, " N"]:
        """How far the averaged iterate is from optimal and feasible: the larger of gap and violation."""
        return np.fmax(self.gap, self.violation)

    @property
    def last_distance(self) -> Float[np.ndarray, " N"]:
        """How far the last iterate is from optimal and feasible: the larger of gap and violation."""
        return np.fmax(self.last_gap, self.last_violation)


def band(
    low: float, high: float, metric: Metric = "fisher", schedule: Schedule = "constant", warm_up: float = 0.0
) -> PCRPO:
    """Return PCRPO with the band [b + low, b + high] in units of the cost."""
    return PCRPO(slack=Slack(schedule, low, high, "cost", warm_up=warm_up), metric=metric)


def hard(tolerance: float) -> CRPO:
    """Return CRPO with a tolerance in units of the cost."""
    return CRPO(tolerance=tolerance)


def unmargined() -> Poise:
    """Return POISE with the limit itself as its target, and no landing."""
    return Poise(margin=0.0, landing=0.0)


def region(setting: Setting) -> float:
    """Return the radius δ = log|A|/T of a step, with which T steps could leave the uniform policy behind."""
    return float(np.log(setting.actions)) / setting.iterations


def convergence() -> list[Study]:
    """Return the studies that are run at every T on every problem."""
    return [
        Study("CRPO, tolerance η", lambda s: hard(s.tolerance), promised=lambda s: s.tolerance),
        Study("CRPO, tolerance 0", lambda s: hard(0.0)),
        Study(
            "CRPO, paper's constants",
            lambda s: hard(bounds.paper_tolerance(s.discount, s.states, s.actions, s.iterations)),
            step=lambda s: bounds.paper_step(s.discount, s.states, s.actions, s.iterations),
            promised=lambda s: bounds.paper_tolerance(s.discount, s.states, s.actions, s.iterations),
        ),
        Study("PCRPO, slack 0…η", lambda s: band(0.0, s.tolerance), upper=lambda s: s.tolerance),
        Study("PCRPO, slack −η…0", lambda s: band(-s.tolerance, 0.0)),
        Study("PCRPO, fixed slack", lambda s: band(-FIXED * s.slater, 0.0)),
        Study(
            "NPG primal-dual",
            lambda s: PrimalDual(2 * (1 - s.discount) / float(np.sqrt(s.iterations)), s.ceiling),
            step=lambda s: 2 * float(np.log(s.actions)),
            upper=lambda s: np.nan,
        ),
        Study(
            "regularised primal-dual",
            lambda s: Regularised((1 - s.discount) ** 2, s.ceiling, 1 / float(np.sqrt(s.iterations))),
            step=lambda s: (1 - s.discount) ** 2,
            upper=lambda s: np.nan,
            certified=False,
        ),
        Study("POISE, no margin", lambda s: unmargined(), step=region, upper=lambda s: np.nan),
    ]


def variants() -> list[Study]:
    """Return PCRPO in every metric and slack schedule, all with the same fixed slack to begin with."""
    metrics: list[Metric] = ["fisher", "euclidean", "natural", "step"]
    schedules: list[Schedule] = ["linear", "exponential", "calibrated"]

    def study(metric: Metric, schedule: Schedule) -> Study:
        return Study(f"{metric}, {schedule}", lambda s: band(-FIXED * s.slater, 0.0, metric, schedule))

    return [study(metric, "constant") for metric in metrics] + [study("fisher", schedule) for schedule in schedules]


def sampled(sampling: Sampling) -> list[Study]:
    """Return the studies with sampled values."""
    return [
        Study(
            "CRPO, tolerance η, sampled", lambda s: hard(s.tolerance), upper=lambda s: s.tolerance, sampling=sampling
        ),
        Study("CRPO, tolerance 0, sampled", lambda s: hard(0.0), sampling=sampling),
        Study(
            "PCRPO, calibrated, sampled",
            lambda s: band(0.0, 0.0, schedule="calibrated"),
            certified=False,
            sampling=sampling,
        ),
        Study(
            "POISE, no margin, sampled",
            lambda s: unmargined(),
            step=region,
            upper=lambda s: np.nan,
            certified=False,
            sampling=sampling,
        ),
    ]


def alike(studies: Sequence[Study]) -> list[list[Study]]:
    """Group studies whose rules differ in numbers only, and so share their compiled code."""
    groups: dict[str, list[Study]] = {}
    for study in studies:
        rule = study.make(Setting(tolerance=0.1, slater=0.1, discount=0.5, states=2, actions=2, iterations=100))
        groups.setdefault(str(jax.tree.structure(rule)), []).append(study)
    return list(groups.values())


def measure(study: Study, ensemble: Ensemble, iterations: int, seed: int = 0) -> Measured:
    """Run `study` on every problem of `ensemble` for T = `iterations` steps."""
    # Sampled returns are as wide as 1/(1 − γ), whatever the width of their means.
    width = ensemble.span if study.sampling is None else 1 / (1 - ensemble.discount)
    step, settings = [], []
    for discount, span, wide, slater in zip(ensemble.discount, ensemble.span, width, ensemble.slater, strict=True):
        setting = Setting(0.0, float(slater), float(discount), ensemble.states, ensemble.actions, iterations)
        best = bounds.best_step(discount, ensemble.actions, span, iterations)
        size = best if study.step is None else study.step(setting)
        eta = float(bounds.tolerance(discount, ensemble.actions, wide, iterations, size))
        step.append(size)
        settings.append(setting._replace(tolerance=eta))
    rules = stacked([study.make(setting) for setting in settings])
    result = run(ensemble.stacked, rules, np.array(step), iterations, study.sampling, seed)
    return _compare(study, ensemble, settings, np.array(step), width, result)


def _compare(
    study: Study,
    ensemble: Ensemble,
    settings: list[Setting],
    step: Float[np.ndarray, " N"],
    span: Float[np.ndarray, " N"],
    result: Result,
) -> Measured:
    """Set what a run reached beside the optimum and the bound."""

    def gap(objective: Float[np.ndarray, "N m"]) -> Float[np.ndarray, " N"]:
        return ensemble.reward - objective[:, 0]

    def violation(objective: Float[np.ndarray, "N m"]) -> Float[np.ndarray, " N"]:
        return (-objective[:, 1:] - ensemble.stacked.limits).max(1)

    promised = None if study.promised is None else np.array([study.promised(setting) for setting in settings])
    bound = np.full(len(step), np.nan)
    if study.certified:
        bound = bounds.certificate(result.sums, ensemble.discount, ensemble.actions, span, step)
    end = result.last if study.sampling is None else result.late
    difference = np.abs(result.multipliers - ensemble.multipliers).sum(1)
    improving = np.maximum(result.sums.modes[:, :2].sum(1), 1)
    error = (result.sums.late_error / result.sums.late[:, None]).max(1)
    return Measured(
        study=study.name,
        family=ensemble.name,
        iterations=settings[0].iterations,
        gap=gap(result.average),
        violation=violation(result.average),
        bound=bound if promised is None else promised,
        violation_bound=np.array([study.upper(s) for s in settings]) + error if promised is None else promised,
        last_gap=gap(end),
        last_violation=violation(end),
        multiplier_error=difference / ensemble.multipliers.sum(1),
        reward_weight=result.sums.output / improving,
        swing=result.swing[:, 1:].max(1),
        error=error,
        excess=result.sums.excess / settings[0].iterations,
        safety=result.sums.modes[:, 2] / settings[0].iterations,
        binds=np.array([setting.tolerance for setting in settings]) < ensemble.room,
    )
