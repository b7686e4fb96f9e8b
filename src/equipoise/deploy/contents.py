"""What an exported policy consists of: the arrays that act, and the metadata that says what they are."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np

from equipoise.algorithms.lenses.saute import ROUNDING, discounted_share
from equipoise.deploy.policy import FORMAT
from equipoise.environments.observations import from_text
from equipoise.errors import UsageError
from equipoise.policy import Actor, CategoricalPolicy, GaussianPolicy
from equipoise.training.config_file import VERSION
from equipoise.training.evaluation import PolicyReport, read_evaluation_file
from equipoise.training.run import Run

KINDS = {GaussianPolicy: "gaussian", CategoricalPolicy: "categorical"}
"""Policies of which an export is made, and what it calls them."""


@dataclass(frozen=True)
class Contents:
    """All that is written into an exported file, whatever its format."""

    arrays: dict[str, np.ndarray]
    """By name: what acts."""
    metadata: dict[str, Any]
    """What it is, as JSON has it; docs/deploy.md explains every entry."""


def contents_of(run: Run) -> Contents:
    """Return what an export of `run` consists of; `UsageError` for a policy of a kind that has no exported form."""
    kind = type(run.state.learner.policy)
    if kind not in KINDS:
        raise UsageError(
            f"{run.path} has a policy of class {kind.__name__}; allowed: {' and '.join(KINDS.values())}, of "
            "which an export is made"
        )
    actor = run.policy
    if not isinstance(actor, Actor):
        raise UsageError(f"{run.path} is a mixture, which draws a policy for each episode; allowed: one policy")
    return Contents(actor.arrays(), metadata_of(run))


def metadata_of(run: Run) -> dict[str, Any]:
    """Describe the policy of `run`: where it is from, what it takes and gives, its limits and its certificate."""
    problem, config = run.problem, run.config
    budget = _budget(run)
    layout = from_text(problem.observation, problem.observation_size) if problem.observation and not budget else None
    layout_of_choices = json.loads(problem.action) if problem.action_choices and problem.action else None
    certificate, why_none = _certificate(run)
    return {
        "format": FORMAT,
        "equipoise": VERSION,
        "policy": KINDS[type(run.state.learner.policy)],
        "task": problem.id,
        "algorithm": config.algorithm_name,
        "seed": config.seed,
        "iteration": run.state.iteration,
        "steps": run.state.steps,
        "observation": {"size": problem.observation_size, "layout": layout, "clip": Actor.CLIP},
        "action": {
            "size": problem.action_size,
            "low": list(problem.action_low),
            "high": list(problem.action_high),
            "middle": list(problem.action_middle),
            "unit": list(problem.action_unit),
            "choices": list(problem.action_choices),
            "layout": layout_of_choices,
        },
        "horizon": problem.horizon,
        "costs": [{"name": name, "limit": limit} for name, limit in zip(problem.cost_names, run.limits, strict=True)],
        "budget": budget,
        "certificate": certificate,
        "why_no_certificate": why_none,
    }


def _budget(run: Run) -> dict[str, Any] | None:
    """Describe the budget that a lens shows the policy; None if it shows none."""
    lens = run.config.algorithm.lens
    if not lens.observes_budget:
        return None
    start = np.asarray(lens.start(run.state.learner.lens, jnp.asarray(run.limits)), float)
    budget: dict[str, Any] = {"start": start.tolist()}
    discount = getattr(lens, "budget_discount", None)
    if discount is not None:  # the library's own lenses, which spend it in the same way
        whole = np.asarray(run.limits) * discounted_share(discount, run.problem.horizon)
        budget |= {"spent_by": whole.tolist(), "discount": discount, "rounding": ROUNDING}
    return budget


def _certificate(run: Run) -> tuple[dict[str, Any] | None, str | None]:
    """Return what the run's evaluation certifies of this very policy, or None and why there is nothing."""
    evaluation = read_evaluation_file(run.path)
    if evaluation is None:
        return None, "the run was not evaluated"
    if evaluation.iteration != run.state.iteration:
        of, here = evaluation.iteration, run.state.iteration
        return None, f"the run's evaluation is of iteration {of}, and this is the policy of iteration {here}"
    policies = {"stochastic": evaluation.stochastic, "deterministic": evaluation.deterministic}
    return {name: _certified(report) for name, report in policies.items()}, None


def _certified(report: PolicyReport) -> dict[str, Any]:
    costs = [
        {
            "name": cost.name,
            "limit": cost.limit,
            "mean": cost.mean.value,
            "low": cost.mean.low,
            "high": cost.mean.high,
            "upper": cost.upper,
            "holds": cost.certified,
        }
        for cost in report.costs
    ]
    return {
        "holds": report.certified,
        "confidence": 0.95,
        "episodes": report.episodes,
        "broken": report.broken,
        "reward": report.reward.value,
        "costs": costs,
    }
