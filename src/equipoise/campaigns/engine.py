"""What a campaign asks of an engine, which is where its runs are done: on this machine, or on a cluster."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from equipoise.campaigns.folder import CampaignFolder
from equipoise.campaigns.job import Job

Say = Callable[[str], None]
"""Tells the user something in one line."""


@dataclass(frozen=True)
class End:
    """How a try at a run ended."""

    job: Job
    """The run."""
    code: int | None
    """The exit code of its process, negative if a signal killed it; None if it is lost, as its machine is."""
    seconds: float = 0.0
    """How long the process took."""
    where: str = ""
    """The machine, where there are several."""


@runtime_checkable
class Engine(Protocol):
    """Does runs, each in a process of its own. It neither chooses nor repeats: the schedule does."""

    @property
    def machines(self) -> list[dict[str, Any]]:
        """The machines of a cluster, for the campaign's record; none for this machine alone."""

    def begin(self, folder: CampaignFolder, jobs: Sequence[Job], say: Say) -> None:
        """Get ready for these runs; `say` hears what happens to machines."""

    def room(self) -> int:
        """Return how many runs are to be side by side now."""

    def start(self, job: Job) -> None:
        """Start a run."""

    def ended(self) -> list[End]:
        """Return the runs that have ended since the last call, however they did, without waiting for others."""

    def close(self) -> None:
        """End what is still running. It can go on later."""
