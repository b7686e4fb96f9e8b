"""What an evaluation says, and the door to a run's `evaluation.json`: nothing else reads it. It needs no JAX."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from equipoise.errors import UsageError
from equipoise.files import read_file
from equipoise.statistics import Interval
from equipoise.training.restore import build

MOST_BYTES = 2**20
"""Size of an `evaluation.json`."""


@dataclass(frozen=True)
class CostReport:
    """What an evaluation says about one constraint J_k ≤ b_k."""

    name: str
    """The cost's name."""
    mean: Interval
    """Mean episode cost (undiscounted sum), with Student's t interval."""
    upper: float
    """One-sided upper 95 % confidence bound of J_k: the certificate, if it is within the limit."""
    limit: float
    """b_k."""
    inside: Interval
    """Share of episodes whose own cost is within the limit, with Wilson's interval. The problem does not ask for
    this; it asks for the mean."""
    broken: int = 0
    """Episodes that broke down, and are in none of these numbers."""

    def __repr__(self) -> str:
        verdict = "within it" if self.certified else "not within it"
        return f"<CostReport: {self.name} {_words(self.mean)}, limit {self.limit:.4g}, certificate: {verdict}>"

    @property
    def certified(self) -> bool:
        """Whether J_k ≤ b_k with 95 % confidence.

        Never where an episode broke down: it may have done so where it is costly, and the others are then no sample.
        """
        return self.upper <= self.limit and not self.broken


@dataclass(frozen=True)
class PolicyReport:
    """What an evaluation says about one policy."""

    reward: Interval
    """Mean episode return, with Student's t interval."""
    costs: tuple[CostReport, ...]
    """One entry a constraint."""
    episodes: int
    """Episodes it rests on."""
    broken: int = 0
    """Episodes that broke down, and are not among them."""

    @property
    def certified(self) -> bool:
        """Whether every J_k ≤ b_k, each with 95 % confidence."""
        return all(cost.certified for cost in self.costs)

    def __repr__(self) -> str:
        return f"<PolicyReport: {self._in_words()}>"

    def _in_words(self) -> str:
        costs = "".join(f", {c.name} {_words(c.mean)} of {c.limit:.4g}" for c in self.costs[:3])
        return f"reward {_words(self.reward)}{costs}, {self.episodes} episodes"


@dataclass(frozen=True)
class Evaluation:
    """The stochastic policy that was trained, and the deterministic one that takes its mode."""

    stochastic: PolicyReport
    """Actions drawn from the policy, as in training: what the limits were trained for."""
    deterministic: PolicyReport
    """Mean actions, of discrete ones the most likely."""
    iteration: int
    """Iterations of training that the policy had behind it."""
    steps: int
    """Environment steps of training that it had behind it."""

    def __repr__(self) -> str:
        return f"<Evaluation of iteration {self.iteration}, stochastic: {self.stochastic._in_words()}>"


def _words(interval: Interval) -> str:
    return f"{interval.value:.4g} [{interval.low:.4g}, {interval.high:.4g}]"


def read_evaluation_file(run: Path) -> Evaluation | None:
    """Read the `evaluation.json` of `run`; None if it was not evaluated, `UsageError` if the file is damaged."""
    path = run / "evaluation.json"
    if not path.exists() and not path.is_symlink():
        return None
    try:
        evaluation: Evaluation = build(Evaluation, json.loads(read_file(path, MOST_BYTES)))
    except UsageError as error:
        named = str(path) in str(error)
        raise error if named else UsageError(f"{path} is no evaluation written by equipoise: {error}") from None
    except (ValueError, RecursionError):
        raise UsageError(f"{path} is no evaluation written by equipoise; allowed: JSON in UTF-8") from None
    return evaluation


def evaluated_iteration(run: Path) -> int | None:
    """Return the iteration that the last evaluation of `run` is of; None if there is none that can be read."""
    try:
        evaluation = read_evaluation_file(run)
    except UsageError:
        return None
    return None if evaluation is None else evaluation.iteration
