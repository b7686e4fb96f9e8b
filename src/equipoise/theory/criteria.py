"""What the experiment has to show, and whether it does."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from scipy import stats

from equipoise.theory.ensemble import Ensemble
from equipoise.theory.optimum import solve
from equipoise.theory.slopes import Slope, line, rate
from equipoise.theory.studies import FIXED, Measured

STEEP = -0.4
"""Upper bound for the upper end of a slope's interval."""


class Criterion(NamedTuple):
    """A claim, the numbers, and whether they bear it out."""

    claim: str
    """What should hold."""
    found: str
    """What was found."""
    passed: bool
    """Whether the claim holds."""


class Findings(NamedTuple):
    """All that the experiment measured."""

    ensembles: Sequence[Ensemble]
    """The problems, by family."""
    convergence: Sequence[Measured]
    """Every study on every family at every T."""
    variants: Sequence[Measured]
    """Metrics and schedules on the one-cost Garnets at the largest T."""
    sampled: Sequence[Measured]
    """Studies with sampled values on some of the one-cost Garnets."""
    sampled_on: Ensemble
    """The problems of the studies with sampled values."""


def pick(measured: Sequence[Measured], study: str) -> list[Measured]:
    """Return one study's measurements, over all families and T; an error if there are none."""
    found = [m for m in measured if m.study == study]
    if not found:
        raise KeyError(study)
    return found


def over_time(
    measured: Sequence[Measured], value: Callable[[Measured], Float[np.ndarray, " N"]]
) -> tuple[list[int], Float[np.ndarray, "T N"]]:
    """Arrange one study's measurements as T × problems, families side by side."""
    times = sorted({m.iterations for m in measured})
    return times, np.array([np.concatenate([value(m) for m in measured if m.iterations == t]) for t in times])


def slope(measured: Sequence[Measured], last: bool = False, everywhere: bool = False) -> Slope:
    """Return the rate of the averaged (or last) iterate's distance, where the tolerance binds or at every T."""
    times, distance = over_time(measured, lambda m: m.last_distance if last else m.distance)
    binds = over_time(measured, lambda m: m.binds.astype(float))[1] > 0
    return rate(times, distance, binds | everywhere)


def judge(findings: Findings) -> list[Criterion]:
    """Judge every claim."""
    return [
        bounded(findings.convergence, "CRPO, tolerance η"),
        bounded(findings.convergence, "PCRPO, slack 0…η"),
        bounded(findings.convergence, "PCRPO, fixed slack"),
        steep(findings.convergence, "CRPO, tolerance η"),
        steep(findings.convergence, "PCRPO, slack 0…η"),
        plateau(findings),
        multipliers(findings.convergence, "CRPO, tolerance 0"),
        lands(findings.convergence, "POISE, no margin"),
        multipliers(findings.convergence, "POISE, no margin"),
        bounded(findings.sampled, "CRPO, tolerance η, sampled"),
        bounded(findings.sampled, "CRPO, tolerance 0, sampled"),
        steep(findings.sampled, "CRPO, tolerance η, sampled"),
        offset(findings),
    ]


def within(value: Float[np.ndarray, "..."], bound: Float[np.ndarray, "..."]) -> Bool[np.ndarray, "..."]:
    """Tell where value ≤ bound up to rounding, or there is no value (no iterate to average) or no bound."""
    return (value <= bound + 1e-9) | np.isnan(value) | np.isnan(bound)


def bounded(measured: Sequence[Measured], study: str) -> Criterion:
    """Gap and violation of the averaged iterate are below their bounds on every problem at every T."""
    runs = pick(measured, study)
    gap, violation, gap_bound, violation_bound, weight = (
        np.concatenate([getattr(m, name) for m in runs])
        for name in ("gap", "violation", "bound", "violation_bound", "reward_weight")
    )
    fine = within(gap, gap_bound) & within(violation, violation_bound)
    return Criterion(
        claim=f"{study}: gap and violation below their bounds, every problem and T",
        found=f"{int(fine.sum())} of {len(fine)} runs ({int((weight == 0).sum())} without output); "
        f"largest gap/bound {np.nanmax(gap / gap_bound):.2f}",
        passed=bool(fine.all()),
    )


def steep(measured: Sequence[Measured], study: str) -> Criterion:
    """The rate of the averaged iterate's distance from optimal and feasible is near −½ where η binds."""
    runs = pick(measured, study)
    found, everywhere = slope(runs), slope(runs, everywhere=True)
    return Criterion(
        claim=f"{study}: slope of max(gap, violation) against T, upper end ≤ {STEEP}, where η binds",
        found=f"{found} on {found.problems} problems (all T: {everywhere})",
        passed=bool(found.high <= STEEP),
    )


def plateau(findings: Findings) -> Criterion:
    """With fixed slack the last iterate's gap rests near λ*|h⁻|, and at J*(b) − J*(b + h⁻) up to time to get there."""
    gap, first_order, exact = plateau_points(findings)
    near, curve = np.median(gap / first_order), np.median(gap / exact)
    inside = np.mean(np.abs(gap / exact - 1) < 0.25)
    return Criterion(
        claim="PCRPO, fixed slack: the last gap is near λ*|h⁻| (median ratio within 25 % of 1)",
        found=f"median gap/(λ*|h⁻|) = {near:.3f}; gap/(J*(b) − J*(b + h⁻)) = {curve:.3f}, within 25 % on {inside:.0%}",
        passed=bool(abs(near - 1) <= 0.25),
    )


def plateau_points(findings: Findings) -> tuple[Float[np.ndarray, " N"], ...]:
    """Return, for fixed slack at the largest T: last gap, λ*|h⁻| summed over k, and J*(b) − J*(b + h⁻)."""
    runs = pick(findings.convergence, "PCRPO, fixed slack")
    longest = max(m.iterations for m in runs)
    gap, first_order, exact = [], [], []
    for ensemble in findings.ensembles:
        gap.append(next(m for m in runs if m.iterations == longest and m.family == ensemble.name).last_gap)
        low = FIXED * ensemble.slater
        first_order.append(ensemble.multipliers.sum(1) * low)
        tighter = [solve(c._replace(limits=c.limits - h)).reward for c, h in zip(ensemble.cmdps, low, strict=True)]
        exact.append(ensemble.reward - np.array(tighter))
    return np.concatenate(gap), np.concatenate(first_order), np.concatenate(exact)


def multipliers(measured: Sequence[Measured], study: str) -> Criterion:
    """The multipliers that the last iterate's gradients imply approach λ* as T grows."""
    times, error = over_time(pick(measured, study), lambda m: m.multiplier_error)
    medians = np.median(error, axis=1)
    return Criterion(
        claim=f"{study}: the implied multiplier meets λ* (median error ≤ 5 % at the largest T, falling with T)",
        found=f"median error {medians[0]:.1%} at T = {times[0]} … {medians[-1]:.1%} at T = {times[-1]}; "
        f"≤ 10 % on {np.mean(error[-1] <= 0.1):.0%} of the problems",
        passed=bool(medians[-1] <= 0.05 and medians[-1] < medians[0]),
    )


def lands(measured: Sequence[Measured], study: str) -> Criterion:
    """The last iterate is optimal and feasible at the largest T: at the median to 0.001, on most problems to 0.01."""
    last = over_time(pick(measured, study), lambda m: m.last_distance)[1][-1]
    near = np.mean(last <= 0.01)
    return Criterion(
        claim=f"{study}: max(gap, violation) of the last iterate, at the largest T: median ≤ 0.001, ≤ 0.01 on 90 %",
        found=f"median {np.median(last):.1e}, ≤ 0.01 on {near:.0%} of the problems, largest {last.max():.3f}",
        passed=bool(np.median(last) <= 1e-3 and near >= 0.9),
    )


def offset(findings: Findings) -> Criterion:
    """A hard switch that reads Ĵ with error σ rests off the limit, by σ·Φ⁻¹(λ*/(1 + λ*))."""
    predicted, found = offset_points(findings)
    fit = line(predicted, found)
    return Criterion(
        claim="CRPO, tolerance 0, sampled: rests at b + σΦ⁻¹(λ*/(1 + λ*)) (found on predicted: slope in [0.8, 1.2])",
        found=f"slope {fit}, mean difference {np.abs(found - predicted).mean():.4f}",
        passed=bool(0.8 <= fit.mean <= 1.2),
    )


def offset_points(findings: Findings) -> tuple[Float[np.ndarray, " N"], Float[np.ndarray, " N"]]:
    """Return predicted and found violation of the sampled hard switch's late iterates, at the largest T."""
    runs = pick(findings.sampled, "CRPO, tolerance 0, sampled")
    longest = max(runs, key=lambda m: m.iterations)
    multiplier = findings.sampled_on.multipliers[:, 0]
    return longest.error * stats.norm.ppf(multiplier / (1 + multiplier)), longest.last_violation
