"""Where the theorem's conditions fail, and what happens then."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from equipoise.algorithms.rule import Rule
from equipoise.errors import UsageError
from equipoise.theory.bounds import best_step
from equipoise.theory.cmdp import CMDP, stack
from equipoise.theory.ensemble import Ensemble, describe
from equipoise.theory.iterate import Result, run, stacked
from equipoise.theory.optimum import least_costs, solve
from equipoise.theory.studies import FIXED, Measured, Study, band, hard, measure


class Case(NamedTuple):
    """A condition that fails, what is then expected, and what was found."""

    condition: str
    """What does not hold."""
    expected: str
    """What should happen."""
    found: str
    """What did happen, in numbers."""
    holds: bool
    """Whether what was found is what was expected."""


def cases(garnets: Ensemble, iterations: int) -> list[Case]:
    """Run every case on (at most 20 of) the one-cost Garnets, for T = `iterations` steps."""
    ensemble = describe(garnets.name, garnets.cmdps[:20])
    return [
        infeasible(ensemble, iterations),
        no_room(ensemble, iterations),
        too_wide(ensemble, iterations),
        above(ensemble, iterations),
    ]


def infeasible(ensemble: Ensemble, iterations: int) -> Case:
    """Put the limit out of reach by 2η: no iterate ever improves the reward, and the cost falls to its least."""
    steps, eta = _theorem(ensemble, iterations)
    least = _least(ensemble)
    cmdps = [c._replace(limits=least[i : i + 1] - 2 * eta[i]) for i, c in enumerate(ensemble.cmdps)]
    refused = sum(_refused(cmdp) for cmdp in cmdps)
    result = _run(cmdps, [hard(float(tolerance)) for tolerance in eta], steps, iterations)
    improving, above = result.sums.modes[:, :2].sum(), -result.last[:, 1] - least
    return Case(
        condition="the limit cannot be met (by 2η)",
        expected="the programme says so; CRPO never improves the reward, has no output, and minimises the cost",
        found=f"{refused} of {len(cmdps)} refused; {improving} iterates improved the reward; "
        f"the last cost is {np.median(above):.4f} above the least possible (median)",
        holds=bool(refused == len(cmdps) and improving == 0 and np.isnan(result.average).all() and above.max() < 0.1),
    )


def no_room(ensemble: Ensemble, iterations: int) -> Case:
    """Put the limit at the least cost: tolerance 0 leaves nothing to average, tolerance η keeps the theorem."""
    steps, eta = _theorem(ensemble, iterations)
    least = _least(ensemble)
    cmdps = [c._replace(limits=least[i : i + 1] + 1e-8) for i, c in enumerate(ensemble.cmdps)]
    optimum = np.array([solve(cmdp).reward for cmdp in cmdps])
    strict = _run(cmdps, [hard(0.0) for _ in cmdps], steps, iterations)
    tolerant = _run(cmdps, [hard(float(tolerance)) for tolerance in eta], steps, iterations)
    without = int((strict.sums.output == 0).sum())
    gap, violation = optimum - tolerant.average[:, 0], -tolerant.average[:, 1] - least
    return Case(
        condition="tolerance 0 and no room inside the limit",
        expected="no iterate to average; with tolerance η gap and violation stay below η all the same",
        found=f"{without} of {len(cmdps)} without output; with η the largest gap/η is {(gap / eta).max():.2f}, "
        f"the largest violation/η {(violation / eta).max():.2f}",
        holds=bool(without == len(cmdps) and (gap <= eta).all() and (violation <= eta).all()),
    )


def too_wide(ensemble: Ensemble, iterations: int) -> Case:
    """Make the band reach below every cost: the first balanced policy on the way is where training rests."""
    study = Study("slack too wide", lambda s: band(-1 / (1 - s.discount), 0.0))
    early, late = measure(study, ensemble, iterations // 10), measure(study, ensemble, iterations)
    narrow = measure(Study("hard switch", lambda s: hard(0.0)), ensemble, iterations)
    gap, before, strict = (float(np.median(m.last_gap)) for m in (late, early, narrow))
    return Case(
        condition="slack too wide (h⁻ below the least cost)",
        expected="training rests wherever reward and cost first balance; the gap does not fall with T",
        found=f"last gap {gap:.3f} at T = {iterations}, {before:.3f} at a tenth of it; "
        f"hard switch {strict:.4f} (medians)",
        holds=bool(gap > 0.5 * before and gap > 10 * strict),
    )


def above(ensemble: Ensemble, iterations: int) -> Case:
    """Let reward alone count at first, and h⁺ > 0: training meets the balanced policies above the limit, and rests."""

    def run_with(warm_up: float) -> Measured:
        study = Study("band above the limit", lambda s: band(0.0, FIXED * s.slater, warm_up=warm_up))
        return measure(study, ensemble, iterations)

    share = [run_with(warm_up).last_violation / (FIXED * ensemble.slater) for warm_up in (0.3, 0.0)]
    warm, cold = (float(np.median(s)) for s in share)
    return Case(
        condition="h⁺ > 0, after a warm-up in which only the reward counts",
        expected="training rests above the limit, near h⁺; without warm-up it need not",
        found=f"last violation {warm:.2f} h⁺ after a warm-up of 30 %, {cold:.2f} h⁺ without (medians)",
        holds=bool(warm > 0.5),
    )


def _theorem(ensemble: Ensemble, iterations: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the theorem's α and η for every problem (at the best α, η = log|A|/(αT) · 2)."""
    steps = best_step(ensemble.discount, ensemble.actions, ensemble.span, iterations)
    return steps, 2 * np.log(ensemble.actions) / (steps * iterations)


def _least(ensemble: Ensemble) -> np.ndarray:
    return np.concatenate([least_costs(cmdp) for cmdp in ensemble.cmdps])


def _run(cmdps: list[CMDP], rules: Sequence[Rule], steps: np.ndarray, iterations: int) -> Result:
    return run(stack(cmdps), stacked(rules), steps, iterations)


def _refused(cmdp: CMDP) -> bool:
    try:
        solve(cmdp)
    except UsageError:
        return True
    return False
