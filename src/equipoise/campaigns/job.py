"""One run of a campaign."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any

from equipoise.errors import UsageError, described
from equipoise.training.restore import build

NO_ROOM = 75
"""The exit code of a run's process that found the disk full (EX_TEMPFAIL of sysexits.h): it is tried again later."""


@dataclass(frozen=True)
class Job:
    """One run of a campaign: everything that decides it, as the campaign's file says it."""

    task: str
    """The task, or MODULE:ID of the user's own environment."""
    algorithm: str
    """What the campaign calls the algorithm: a name of the registry, MODULE:NAME, or one of the file's own variants."""
    base: str
    """The algorithm that is trained: the variant's base, or `algorithm` itself."""
    seed: int
    """Decides every random number of the run."""
    total_steps: int
    """Environment steps to train for."""
    evaluation_episodes: int = 100
    """Episodes that the finished policy is evaluated on, stochastic and deterministic each."""
    preset: str | None = None
    """The algorithm's preset that settings begin from."""
    settings: dict[str, Any] = field(default_factory=dict)
    """Options of `equipoise train` by name."""
    limits_scale: float = 1.0
    """The limits as a multiple of the task's own."""
    varied: str = ""
    """Settings of which the file lists several values, as in `slack.low=-0.1`; they tell runs apart."""

    @property
    def name(self) -> str:
        """The run's name and folder."""
        scale = "" if self.limits_scale == 1.0 else f"limits{self.limits_scale:g}"
        parts = [self.task, self.algorithm, scale, self.varied, f"seed{self.seed}"]
        return "-".join("".join(c if c.isalnum() or c in "-_.=" else "-" for c in part) for part in parts if part)

    @property
    def labels(self) -> dict[str, str | int | float]:
        """What tells the run from the campaign's others: the first columns of the tables."""
        return {
            "task": self.task,
            "algorithm": self.algorithm,
            "limits_scale": self.limits_scale,
            "settings": self.varied,
            "seed": self.seed,
        }

    def described(self) -> dict[str, Any]:
        """Return everything as JSON has it."""
        return {"name": self.name, **dataclasses.asdict(self)}

    @classmethod
    def restored(cls, content: dict[str, Any], place: str = "job") -> Job:
        """Return the job that `described` described; `UsageError`, naming the `place`, if it described none."""
        job: Job = build(cls, {name: value for name, value in content.items() if name != "name"}, place)
        if content.get("name") != job.name:
            raise UsageError(f"{place}.name is {described(content.get('name'))}; allowed: {job.name}")
        return job
