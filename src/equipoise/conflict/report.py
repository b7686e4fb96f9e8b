"""The analysis for a reader: files in the run's folder, two tables on the terminal, and an answer in a sentence."""

from __future__ import annotations

import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from equipoise.conflict.analysis import AtCheckpoint, Conflict, analyse
from equipoise.conflict.landscape import cos_on
from equipoise.conflict.noise import Angle
from equipoise.conflict.picture import paint
from equipoise.conflict.table import encode
from equipoise.files import write_atomically
from equipoise.progress import Progress
from equipoise.training.config import Environment
from equipoise.training.run import Run

NEAR = 0.3
"""A limit counts as near while Ĵ_k is within this share of it: hard and soft switches alike overshoot it by as much."""

LAST = 3
"""Checkpoints near the limit that the answer is averaged over, the newest."""

OPPOSED = -0.8
"""An interval that ends below this and holds −1 says that reward and cost oppose each other."""


def analyse_conflict(
    run: Run,
    iteration: int | None = None,
    episodes: int = 40,
    seed: int = 0,
    grid: int = 7,
    cost: str | None = None,
    environment: Environment | None = None,
    threads: int = 0,
    progress: bool | None = None,
) -> Conflict:
    """Analyse how reward and cost conflict in `run`, and write conflict.csv and conflict.png into its folder.

    Args:
        run: the run.
        iteration: checkpoint to look at closely; by default that which `run` was opened at, usually the newest.
        episodes: fresh episodes at every checkpoint, and at every point of the map.
        seed: decides the episodes.
        grid: points of the map in each direction, an odd number.
        cost: the cost to analyse; by default the first.
        environment: the user's own, to be given again where the task is a callable or a MODULE:ID.
        threads: physics threads (0: all cores); results do not depend on it.
        progress: whether stderr says how far it has come; by default where somebody looks, at a terminal or in a
            notebook.

    Raises:
        UsageError: anything that is not allowed, a run without checkpoints, a cost that is always the same.
    """
    with Progress(f"conflict in {run.problem.id}", progress) as shown:
        conflict = analyse(run, iteration, episodes, seed, grid, cost, environment, threads, shown.reach)
    write_atomically(run.path / "conflict.csv", encode(conflict).encode())
    write_atomically(run.path / "conflict.png", paint(conflict))
    return conflict


def near_limit(conflict: Conflict, at: AtCheckpoint) -> bool:
    """Whether the limit is near at a checkpoint."""
    return abs(float(at.estimate.cost[conflict.number]) - conflict.limit) <= NEAR * conflict.limit


def answer(conflict: Conflict) -> str:
    """Say from the data whether cos φ goes to −1 as the limit binds."""
    near = [at for at in conflict.checkpoints if near_limit(conflict, at)]
    question = f"Does cos φ go to −1 as the limit on {conflict.cost} binds?"
    if not near:
        return (
            f"{question} This run cannot tell: none of its {len(conflict.checkpoints)} checkpoints is near the limit "
            f"of {conflict.limit:.4g}."
        )
    where = f"Near the limit at {len(near)} of {len(conflict.checkpoints)} checkpoints; "
    known = [at for at in near if np.isfinite(at.angles["fisher"].corrected)][-LAST:]
    if not known:
        return f"{question} Undecided. {where}there a gradient cannot be told from noise."
    angles = [at.angles["fisher"] for at in known]
    cos = float(np.mean([angle.corrected for angle in angles]))
    half = float(np.linalg.norm([(angle.high - angle.low) / 2 for angle in angles])) / len(angles)
    if cos - half <= -1:
        verdict = "Yes, within the noise" if cos + half < OPPOSED else "Undecided: too noisy to tell"
    elif cos + half < 0:
        verdict = f"In part: {-cos:.0%} of the way from orthogonal to opposed"
    else:
        verdict = "No: no conflict can be told from noise"
    last = ", ".join(str(at.iteration) for at in known)
    return (
        f"{question} {verdict}. {where}at the last of them (iteration {last}) it is {cos:+.2f} "
        f"[{cos - half:+.2f}, {cos + half:+.2f}] without the noise, {np.mean([a.naive for a in angles]):+.2f} with it."
    )


def show(conflict: Conflict) -> None:
    """Print the checkpoints, the held-out harm and the answer."""
    console = Console()
    cost = escape(conflict.cost)
    along = Table(title=f"cos φ in the Fisher metric, reward against {cost} (limit {conflict.limit:.4g})")
    for name in ("iteration", cost, "in a batch", "without the noise", "signal r/c", "λ"):
        along.add_column(name, justify="right")
    for at in conflict.checkpoints:
        angle = at.angles["fisher"]
        along.add_row(
            f"{at.iteration}{' *' if near_limit(conflict, at) else ''}",
            f"{at.estimate.cost[conflict.number]:.4g}",
            f"{angle.naive:+.2f} ±{angle.scatter:.2f}",
            _with_interval(angle),
            f"{angle.signal_reward:.0%}/{angle.signal_cost:.0%}",
            f"{at.multiplier:.3g}" if np.isfinite(at.multiplier) else "",
        )
    console.print(along)
    print("* near the limit")
    around = conflict.around
    harm = Table(title=f"first-order gain on held-out episodes, iteration {around.iteration}")
    for name in ("step", "reward", "harmed", f"−{cost}", "harmed"):
        harm.add_column(name, justify="left" if name == "step" else "right")
    for name, found in around.held_out.items():
        cells = [(f"{found.kept[i]:+.3g}", f"{found.harmed[i]:.0%}") for i in (0, 1 + conflict.number)]
        harm.add_row(_step_label(name), *cells[0], *cells[1])
    console.print(harm)
    cos, error = cos_on(around.landscape)
    print(f"On the map around iteration {around.iteration}, of undiscounted episodes: cos φ {cos:+.2f} ± {error:.2f}.")
    print(answer(conflict))


def _with_interval(angle: Angle) -> str:
    if np.isnan(angle.corrected):
        return "lost in it"
    return f"{angle.corrected:+.2f} [{angle.low:+.2f}, {angle.high:+.2f}]"


def _step_label(name: str) -> str:
    return f"{name} alone" if name in ("reward", "safety") else f"balance, {name}"
