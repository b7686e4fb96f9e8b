"""A mixture of policies: an episode draws one of them and keeps it to its end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NoReturn

import numpy as np
from jaxtyping import Float, Num

from equipoise.errors import UsageError
from equipoise.policy import Actor, Draws


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
    """Policies that act in several environments at once, one in each; all of the same actions."""

    def __init__(self, actors: Sequence[Actor]) -> None:
        self._rows = [
            (actor, [i for i, other in enumerate(actors) if other is actor]) for actor in dict.fromkeys(actors)
        ]
        self.draws: Draws = actors[0].draws.side_by_side([actor.draws for actor in actors])
        """How each environment's actions are drawn from what its policy's network gives."""

    def outputs(self, observation: Float[np.ndarray, "N obs"]) -> Float[np.ndarray, "N outputs"]:
        """Return what each environment's policy gives at its observation."""
        given = [(actor.outputs(observation[rows]), rows) for actor, rows in self._rows]
        first, _ = given[0]
        together = np.empty((len(observation), first.shape[-1]), first.dtype)
        for outputs, rows in given:
            together[rows] = outputs
        return together

    def act(
        self, observation: Float[np.ndarray, "N obs"], noise: Float[np.ndarray, "N outputs"] | float = 0.0
    ) -> Num[np.ndarray, "N act"]:
        """Return each environment's action; `noise` is as for `Actor.act`."""
        return self.draws.decide(self.outputs(observation) + noise)
