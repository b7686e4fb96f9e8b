"""A mixture of policies: an episode draws one of them and keeps it to its end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NoReturn

import numpy as np
from jaxtyping import Float

from equipoise.errors import UsageError
from equipoise.policy import Actor


class Mixture:
    """Several policies, of which every episode draws one, each with the same probability.

    Its expected reward and costs are the means of theirs, as no single policy's are: the best that convergence theorems
    of constrained policy optimisation speak of (docs/theory.md). It keeps no record of episodes: whoever lets it act
    draws at the start of each, `actor = mixture.for_episode(random)`.
    """

    def __init__(self, actors: Sequence[Actor]) -> None:
        self.actors = tuple(actors)
        """The policies."""

    def __repr__(self) -> str:
        return f"<Mixture of {len(self.actors)}, such as {self.actors[-1]!r}>"

    def for_episode(self, random: np.random.Generator) -> Actor:
        """Draw the policy that acts in an episode."""
        return self.actors[int(random.integers(len(self.actors)))]

    def __call__(self, observation: Any) -> NoReturn:
        """Raise `UsageError`: an observation does not say which episode it is of."""
        raise UsageError(
            f"a mixture of {len(self.actors)} policies acts episode by episode; draw one at the start of each: "
            "actor = run.policy.for_episode(random), then actor(observation)"
        )

    def sample(self, observation: Any, random: np.random.Generator) -> NoReturn:
        """Raise `UsageError`, as a call does."""
        self(observation)


class SideBySide:
    """Policies that act in several environments at once, one in each."""

    def __init__(self, actors: Sequence[Actor]) -> None:
        self._rows = [
            (actor, [i for i, other in enumerate(actors) if other is actor]) for actor in dict.fromkeys(actors)
        ]
        self.std: Float[np.ndarray, "N act"] = np.stack([actor.std for actor in actors])
        """σ of each action in each environment."""

    def mean(self, observation: Float[np.ndarray, "N obs"]) -> Float[np.ndarray, "N act"]:
        """Return the means of each environment's policy at its observation."""
        means = np.empty_like(self.std)
        for actor, rows in self._rows:
            means[rows] = actor.mean(observation[rows])
        return means
