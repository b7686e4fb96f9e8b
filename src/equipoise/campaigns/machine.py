"""The engine on this machine: each run has its share of the cores."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from equipoise.campaigns.engine import End, Say
from equipoise.campaigns.folder import CampaignFolder
from equipoise.campaigns.job import Job
from equipoise.campaigns.process import end_process, start_process


def cores_of_this_machine() -> list[int]:
    """Return the cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def share_out(cores: Sequence[int], workers: int) -> list[tuple[int, ...]]:
    """Deal the cores out to the workers; with more workers than cores, several share one."""
    return [tuple(cores[i::workers]) or (cores[i % len(cores)],) for i in range(workers)]


@dataclass(frozen=True)
class Running:
    """A run at work."""

    job: Job
    """The run."""
    process: subprocess.Popen[bytes]
    """Its process."""
    started: float
    """When that started."""


class ThisMachine:
    """Does runs on this machine, `workers` side by side: by default one on each core. `track` is told of each."""

    machines: list[dict[str, Any]] = []  # noqa: RUF012 (there are never any)

    def __init__(self, workers: int | None = None, track: str | None = None) -> None:
        self._workers, self._track = workers or len(cores_of_this_machine()), track
        self._slots: dict[tuple[int, tuple[int, ...]], Running | None] = {}

    def begin(self, folder: CampaignFolder, jobs: Sequence[Job], say: Say) -> None:
        """Share the cores out, among fewer runs if there are no more."""
        self._folder = folder
        shares = share_out(cores_of_this_machine(), min(self._workers, max(len(jobs), 1)))
        self._slots = dict.fromkeys(enumerate(shares))

    def room(self) -> int:
        """Return how many runs are to be side by side."""
        return self._workers

    def start(self, job: Job) -> None:
        """Start a run on cores that no other has, if there are enough."""
        slot = next(slot for slot, running in self._slots.items() if running is None)
        _, cores = slot
        before = set(cores_of_this_machine())
        try:
            _stay_on(set(cores))  # of this thread, and of the process that it starts
            self._slots[slot] = Running(
                job, start_process(self._folder, job, len(cores), track=self._track), time.monotonic()
            )
        finally:
            _stay_on(before)

    def ended(self) -> list[End]:
        """Return the runs whose processes have ended since the last call."""
        ends = []
        for slot, running in self._slots.items():
            if running is not None and running.process.poll() is not None:
                seconds = time.monotonic() - running.started
                ends.append(End(running.job, end_process(running.process), seconds))
                self._slots[slot] = None
        return ends

    def close(self) -> None:
        """End what is still running."""
        for slot, running in self._slots.items():
            if running is not None:
                end_process(running.process)
                self._slots[slot] = None


def _stay_on(cores: set[int]) -> None:
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, cores)
