"""A run's policy in action, one step after the other."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from equipoise.physics import Simulator
from equipoise.policy import Actor
from equipoise.training.cast import cast
from equipoise.training.rollout import random_for
from equipoise.training.run import Run


@dataclass
class Episode:
    """An episode as far as it has come: what it earned and cost after 0, 1, 2, … steps (undiscounted sums)."""

    number: int
    """Number of the episode, from 1."""
    costs: list[np.ndarray]
    """Costs summed over the first 0, 1, 2, … steps, each with one entry per constraint."""
    returns: list[float] = field(default_factory=lambda: [0.0])
    """Reward summed over the first 0, 1, 2, … steps."""
    end: str = ""
    """How the episode ended: `terminated`, `truncated` or `diverged`; empty while it goes on."""

    @property
    def steps(self) -> int:
        """Number of steps taken so far."""
        return len(self.returns) - 1


def play(run: Run, simulator: Simulator, episodes: int | None, seed: int, deterministic: bool) -> Iterator[Episode]:
    """Let the policy of `run` act in `simulator`'s only environment; yield its start and every step.

    `episodes` is their number, None for no end. The same seed gives the same episodes.
    """
    for number in itertools.count(1) if episodes is None else range(1, episodes + 1):
        key = (run.config.seed, run.state.iteration, seed, number)
        starts, noise = random_for("film reset", *key), random_for("film action", *key)
        actor = cast(run, simulator, random_for("film policy", *key))
        assert isinstance(actor, Actor)  # there is one environment
        observation = simulator.reset([0], [starts])
        episode = Episode(number, [np.zeros(len(run.problem.cost_names))])
        yield episode
        while not episode.end:
            step = simulator.step(actor.act(observation, 0.0 if deterministic else actor.draws.noise(noise, (1,))))
            if step.diverged[0]:
                episode.end = "diverged"  # that step's numbers mean nothing
            else:
                episode.returns.append(episode.returns[-1] + float(step.reward[0]))
                episode.costs.append(episode.costs[-1] + step.cost[0])
                if step.terminated[0]:
                    episode.end = "terminated"
                elif step.truncated[0] or episode.steps >= run.problem.horizon:
                    episode.end = "truncated"
            observation = step.observation
            yield episode
