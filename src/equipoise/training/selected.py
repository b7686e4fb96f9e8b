"""What was selected of a run, and the door to the `selection.json` that says so: nothing else reads it. No JAX here."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from equipoise.errors import UsageError
from equipoise.files import read_file
from equipoise.statistics import Interval
from equipoise.training.restore import build

MOST_BYTES = 2**20
"""Size of a `selection.json`."""

SELECTION = "selection.json"
"""The file that makes a folder one of a selected policy."""

Kind = Literal["policy", "average", "mixture"]
"""The policy of an iteration; the average of the parameters of several; or a mixture, which draws one each episode."""

Verdict = Literal["inside", "outside", "worse", "open", "broken"]
"""inside: certified to keep every limit; outside: certified to break one; worse: with less reward than one that is
inside; open: none of these within the episodes allowed; broken: an episode broke down, and nothing is certified."""


@dataclass(frozen=True)
class Candidate:
    """What is known of a policy that could have been selected."""

    name: str
    """What it is called in tables."""
    kind: Kind
    """What it is."""
    iterations: tuple[int, ...]
    """Iterations of training whose policies it is made of."""
    reward: Interval
    """Mean episode return."""
    costs: tuple[Interval, ...]
    """Mean episode cost of every constraint."""
    episodes: int
    """Fresh episodes that this rests on."""
    verdict: Verdict
    """What is certain of it."""
    certified: bool
    """Whether it was certified to keep every limit, which one that turned out worse can be, too."""


@dataclass(frozen=True)
class Selection:
    """The result of a selection: all intervals of all candidates hold together with the probability `confidence`."""

    candidates: tuple[Candidate, ...]
    """Every policy that was looked at."""
    chosen: int | None
    """Which of them was selected; None if none is certified."""
    cost_names: tuple[str, ...]
    """The constraints' names."""
    limits: tuple[float, ...]
    """b_k."""
    deterministic: bool
    """Whether mean actions were looked at, and not the stochastic policies that training is about."""
    confidence: float
    """Probability with which everything that is certified here is true."""
    seed: int
    """Decided the episodes."""
    episodes: int
    """Fresh episodes in all."""
    steps: int
    """Environment steps that they took."""
    folder: str = ""
    """Where the selected policy is; empty if none is certified, and in the file, whose own folder it is."""

    def __repr__(self) -> str:
        cost = f"{self.episodes:,} episodes, {self.steps:,} steps"
        if self.chosen is None:
            return f"<Selection: none of {len(self.candidates)} is certified, {cost}>"
        best = self.candidates[self.chosen]
        reward = f"reward {best.reward.value:.4g} [{best.reward.low:.4g}, {best.reward.high:.4g}]"
        return f"<Selection: {best.name} of {len(self.candidates)}, {reward}, {cost}, in {self.folder}>"

    @property
    def best(self) -> Candidate:
        """The one that was selected; raises `UsageError` if none is certified."""
        if self.chosen is None:
            raise UsageError(f"none of {len(self.candidates)} policies is certified to keep the limits")
        return self.candidates[self.chosen]


def read_selection_file(folder: Path) -> Selection | None:
    """Read the `selection.json` of `folder`; None if it is no selected policy's, `UsageError` if it is damaged."""
    path = folder / SELECTION
    if not path.exists() and not path.is_symlink():
        return None
    try:
        selection: Selection = build(Selection, json.loads(read_file(path, MOST_BYTES)))
        if selection.chosen is None or not 0 <= selection.chosen < len(selection.candidates):
            raise UsageError(f"chosen is {selection.chosen}; allowed: one of {len(selection.candidates)} candidates")
    except UsageError as error:
        named = str(path) in str(error)
        raise error if named else UsageError(f"{path} is no selection written by equipoise: {error}") from None
    except (ValueError, RecursionError):
        raise UsageError(f"{path} is no selection written by equipoise; allowed: JSON in UTF-8") from None
    return dataclasses.replace(selection, folder=str(folder))
