"""The engine on this machine: runs side by side, each a process of its own with its share of the cores."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from equipoise.campaigns.folder import CampaignFolder
from equipoise.campaigns.job import NO_ROOM, Job
from equipoise.files import is_full, write_atomically

TRIES = 3
"""Times that a run is begun whose process is killed or crashes; one that says what is wrong is begun once."""

LOOK_EVERY = 0.2
"""Seconds between looks at the processes."""

TRY_FOR_ROOM_EVERY = 60.0
"""Seconds after which a run is tried again that found the disk full."""

SAME_EVERYWHERE = {"NPROC": "1"}
"""How many threads XLA takes for a product decides how it adds up, and so its last bits; by itself it takes one for
each core that it may use. With one in every run, results do not depend on how many runs are side by side, or where."""

Event = Callable[[Job, bool], None]
"""Called when a run has ended, with whether it is finished."""


@dataclass
class Slot:
    """A place for one run at a time."""

    cores: tuple[int, ...]
    """The cores that its run has for itself."""
    job: Job | None = None
    """The run that is in it."""
    process: subprocess.Popen[bytes] | None = None
    """The run's process."""
    started: float = 0.0
    """When the process started."""


def cores_of_this_machine() -> list[int]:
    """Return the cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def share_out(cores: Sequence[int], workers: int) -> list[tuple[int, ...]]:
    """Deal the cores out to the workers; with more workers than cores, several share one."""
    return [tuple(cores[i::workers]) or (cores[i % len(cores)],) for i in range(workers)]


def run_side_by_side(
    folder: CampaignFolder,
    jobs: Sequence[Job],
    workers: int,
    budget: float | None,
    ended: Event,
    look: Callable[[], None],
    full: Callable[[], None] = lambda: None,
) -> None:
    """Bring the runs to their ends, `workers` at a time and in their order.

    With a `budget` of seconds none starts that would not end in time, as far as earlier ones tell; those that have
    started go on. `ended` is called when a run ends, `look` between, and `full` when a run finds the disk full: it is
    tried again later, and no other starts before. Whatever ends this function ends the runs.
    """
    waiting, tries = deque(jobs), {job.name: 0 for job in jobs}
    slots = [Slot(cores) for cores in share_out(cores_of_this_machine(), workers)]
    began = time.monotonic()
    lasted: dict[str, tuple[str, float]] = {}
    paused_until = began
    try:
        while waiting or any(slot.process for slot in slots):
            for slot in slots:
                if slot.process is None and waiting and time.monotonic() >= paused_until:
                    left = None if budget is None else budget - (time.monotonic() - began)
                    if left is not None and left < _expected(waiting[0], lasted):
                        waiting.clear()
                        continue
                    slot.job = waiting.popleft()
                    tries[slot.job.name] += 1
                    _start(folder, slot)
                elif slot.process is not None and slot.process.poll() is not None:
                    job, outcome = _settle(folder, slot, tries)
                    if outcome == "finished":
                        lasted[job.name] = (job.task, time.monotonic() - slot.started)
                    if outcome in ("finished", "failed"):
                        ended(job, outcome == "finished")
                        continue
                    waiting.appendleft(job)  # it goes on from its last iteration
                    if outcome == "no room":
                        tries[job.name] -= 1
                        paused_until = time.monotonic() + TRY_FOR_ROOM_EVERY
                        full()
            look()
            time.sleep(LOOK_EVERY)
    finally:
        _end_all(slots)


def _expected(job: Job, lasted: dict[str, tuple[str, float]]) -> float:
    """Return how long a run will take: as the longest so far on its task, or else on any; 0 if none is known."""
    same = [seconds for task, seconds in lasted.values() if task == job.task]
    return max(same or [seconds for _, seconds in lasted.values()] or [0.0])


def command_of(folder: CampaignFolder, job: Job, threads: int) -> list[str]:
    """Return the command of a run's process."""
    return [sys.executable, "-m", "equipoise.campaigns.worker", str(folder.path), job.name, str(threads)]


def _start(folder: CampaignFolder, slot: Slot) -> None:
    """Start the process of the slot's run, on the slot's cores."""
    assert slot.job is not None
    command = command_of(folder, slot.job, len(slot.cores))
    before = set(cores_of_this_machine())
    with folder.log(slot.job).open("ab") as log:
        try:
            _stay_on(set(slot.cores))  # of this thread, and of the process that it starts
            # A session of its own, so that Ctrl-C reaches the campaign alone, which then ends its runs.
            slot.process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, **SAME_EVERYWHERE},
                start_new_session=True,
            )
        finally:
            _stay_on(before)
    slot.started = time.monotonic()


def _stay_on(cores: set[int]) -> None:
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, cores)


def _end(slot: Slot) -> tuple[Job, int]:
    """Empty a slot whose process has ended; return its run and the exit code, negative if it was killed."""
    job, process = slot.job, slot.process
    assert job is not None
    assert process is not None
    assert process.stdin is not None
    process.stdin.close()
    slot.job = slot.process = None
    return job, process.wait()


def _settle(
    folder: CampaignFolder, slot: Slot, tries: dict[str, int]
) -> tuple[Job, Literal["finished", "failed", "crashed", "no room"]]:
    """Empty a slot whose process has ended; return its run, and what came of it. A crash too many is a failure."""
    job, code = _end(slot)
    if code == 0:
        return job, "finished"
    if code < 0 and tries[job.name] < TRIES:
        return job, "crashed"
    if code == NO_ROOM or not _note_failure(folder, job, code):
        return job, "no room"
    return job, "failed"


def _end_all(slots: Sequence[Slot]) -> None:
    """End what is running; it goes on from its last iteration when the campaign starts again."""
    for slot in slots:
        if slot.process is not None:
            _end(slot)


def _note_failure(folder: CampaignFolder, job: Job, code: int) -> bool:
    """Keep why a run failed, the last line that it said; return False if the disk has no room for that."""
    said = folder.log(job).read_text(encoding="utf-8", errors="replace").strip().splitlines()
    why = said[-1] if code > 0 and said else f"its process was killed by signal {-code}, {TRIES} times"
    try:
        write_atomically(folder.failure(job), f"{why}\n".encode())
    except OSError as error:
        if not is_full(error):
            raise
        return False
    return True
