"""Evaluation of a trained policy, with confidence in what is said about it."""

from __future__ import annotations

import dataclasses
import errno
import json
import warnings
from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Float

from equipoise.errors import Notice, UsageError
from equipoise.files import write_atomically
from equipoise.progress import Progress
from equipoise.statistics import mean_interval, mean_upper_bound, share_interval
from equipoise.training.cast import cast
from equipoise.training.config import Environment, reopen_simulator
from equipoise.training.episodes import encode, episode_rows
from equipoise.training.evaluation import CostReport, Evaluation, PolicyReport
from equipoise.training.jax_doors import uses_jax
from equipoise.training.rollout import collect, random_for
from equipoise.training.rows import Row
from equipoise.training.run import Run


def evaluate(
    run: Run,
    episodes: int = 100,
    seed: int = 0,
    environment: Environment | None = None,
    threads: int = 0,
    workers: int = 0,
    progress: bool | None = None,
) -> Evaluation:
    """Evaluate the policy of `run` on fresh episodes; `Run.load(…, iteration=N)` gives an earlier one.

    Writes into its folder what it found, `evaluation.json`, and each episode's reward and costs, `evaluation.csv`.
    `environment` has to be given again where the task is a callable or a MODULE:ID; `threads` and `workers` are those
    of `train`. Raises `UsageError` for fewer than 2 episodes. Where the folder is read-only, a warning says that
    nothing was written. With `progress`, stderr says how far it has come; by default where somebody looks, at a
    terminal or in a notebook.
    """
    with Progress(f"evaluating {run.problem.id}", progress) as shown:
        evaluation, single = assess(run, episodes, seed, environment, threads, workers, shown.reach)
    save(evaluation, single, run)
    return evaluation


def save(evaluation: Evaluation, episodes: Sequence[Row], run: Run) -> bool:
    """Write `evaluation.csv` and `evaluation.json` into the folder of `run`; warn and return False if it is read-only.

    The second is there only when the first one is that of the same evaluation.
    """
    path = run.path / "evaluation.json"
    try:
        path.unlink(missing_ok=True)
        write_atomically(run.path / "evaluation.csv", encode(episodes, header=True))
        write_atomically(path, (json.dumps(dataclasses.asdict(evaluation), indent=2) + "\n").encode())
    except OSError as error:
        if error.errno not in (errno.EROFS, errno.EACCES, errno.EPERM):
            raise
        warnings.warn(f"{path} is not written: {error.strerror}", Notice, stacklevel=3)
        return False
    return True


@uses_jax
def assess(
    run: Run,
    episodes: int,
    seed: int,
    environment: Environment | None,
    threads: int,
    workers: int = 0,
    watch: Callable[[float], object] = lambda share: None,
) -> tuple[Evaluation, list[Row]]:
    """Evaluate the policy of `run` on fresh episodes, and write nothing; return also a row for each episode.

    See `evaluate`. `watch` is called now and then with the share of the work that is done.
    """
    if episodes < 2:
        raise UsageError(f"episodes is {episodes}; allowed: 2 or more")
    if seed < 0:
        raise UsageError(f"seed is {seed}; allowed: 0 or more")
    num_envs = min(episodes, run.config.num_envs)
    rounds = -(-episodes // num_envs)
    sized = dataclasses.replace(run.config, num_envs=num_envs)
    simulator = reopen_simulator(sized, run.problem, threads, environment, workers=workers)

    def part(number: int) -> Callable[[float], object]:
        return lambda share: watch((number + share) / (2 * rounds))

    try:
        reports: list[PolicyReport] = []
        rows: list[Row] = []
        for stochastic, policy in ((True, "stochastic"), (False, "deterministic")):
            # Seeds of training are (seed, iteration): an evaluation's longer key is never one of them.
            key = (run.config.seed, run.state.iteration, seed, int(stochastic))
            rollouts = [
                collect(
                    simulator,
                    cast(run, simulator, random_for("policy", *key, i)),
                    run.problem.horizon,
                    (*key, i),
                    stochastic,
                    part(i + rounds * len(reports)),
                )
                for i in range(rounds)
            ]
            returns = np.concatenate([r.returns for r in rollouts])[:episodes]
            costs = np.concatenate([r.costs for r in rollouts])[:episodes]
            broken = sum(r.broken for r in rollouts)
            reports.append(report(returns, costs, run.problem.cost_names, run.limits, broken))
            rows += [{"policy": policy, **row} for row in episode_rows(returns, costs, run.problem.cost_names)]
    finally:
        simulator.close()
    stochastic_report, deterministic_report = reports
    return Evaluation(stochastic_report, deterministic_report, run.state.iteration, run.state.steps), rows


def report(
    returns: Float[np.ndarray, " n"],
    costs: Float[np.ndarray, "n K"],
    names: tuple[str, ...],
    limits: tuple[float, ...],
    broken: int = 0,
) -> PolicyReport:
    """Summarise `n` ≥ 2 episodes, beside which `broken` broke down."""
    n = len(returns)
    return PolicyReport(
        reward=mean_interval(returns),
        costs=tuple(
            CostReport(
                name=name,
                mean=mean_interval(cost),
                upper=mean_upper_bound(cost),
                limit=limit,
                inside=share_interval(int((cost <= limit).sum()), n),
                broken=broken,
            )
            for name, cost, limit in zip(names, costs.T, limits, strict=True)
        ),
        episodes=n,
        broken=broken,
    )
