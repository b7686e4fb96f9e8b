"""A campaign's schedule, whatever its engine: which run starts when, and what becomes of one that ends badly."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from typing import Literal

from equipoise.campaigns.engine import End, Engine, Say
from equipoise.campaigns.folder import CampaignFolder
from equipoise.campaigns.job import NO_ROOM, Job
from equipoise.files import is_full, write_atomically

Outcome = Literal["finished", "failed", "crashed", "lost", "no room"]
"""What came of a try at a run."""

TRIES: dict[Outcome, int] = {"crashed": 3, "lost": 10}
"""Times that a run is begun whose process crashes or is killed, and one whose machine is lost, which is seldom the
run's fault; one that says what is wrong is begun once."""

LOOK_EVERY = 0.2
"""Seconds between looks at the runs."""

TRY_FOR_ROOM_EVERY = 60.0
"""Seconds after which a run is tried again that found the disk full."""

Event = Callable[[Job, bool], None]
"""Called when a run has ended, with whether it is finished."""


def run_side_by_side(
    folder: CampaignFolder,
    jobs: Sequence[Job],
    engine: Engine,
    budget: float | None,
    ended: Event,
    look: Callable[[], None],
    say: Say,
) -> None:
    """Bring the runs to their ends, as many at a time as the engine has room for, and in their order.

    With a `budget` of seconds none starts that would not end in time, as far as earlier ones tell; those that have
    started go on. `ended` is called when a run ends, `look` between, and `say` when something happens that stops no
    run: its machine is lost, and it goes on elsewhere; or the disk is full, and it is tried again later, and no other
    starts before. Whatever ends this function ends the runs.
    """
    waiting, running = deque(jobs), 0
    tries: Counter[tuple[str, Outcome]] = Counter()
    began = paused_until = time.monotonic()
    lasted = {} if budget is None else _known(folder)
    try:
        engine.begin(folder, jobs, say)
        while waiting or running:
            for end in engine.ended():
                running -= 1
                outcome = _settle(folder, end, tries)
                if outcome == "finished":
                    before = lasted.get(end.job.name, ("", 0.0))[1]  # this try may have been the last part only
                    lasted[end.job.name] = (end.job.task, max(before, end.seconds))
                if outcome in ("finished", "failed"):
                    ended(end.job, outcome == "finished")
                    continue
                waiting.appendleft(end.job)  # it goes on from its last iteration
                if outcome == "lost":
                    say(f"lost  {end.job.name}  with its process on {end.where}; it goes on where a core is free")
                if outcome == "no room":
                    paused_until = time.monotonic() + TRY_FOR_ROOM_EVERY
                    say("the disk is full: nothing new starts until there is room")
            while waiting and running < engine.room() and time.monotonic() >= paused_until:
                left = None if budget is None else budget - (time.monotonic() - began)
                if left is not None and left < _expected(folder, waiting[0], lasted):
                    waiting.clear()
                    break
                engine.start(waiting.popleft())
                running += 1
            look()
            time.sleep(LOOK_EVERY)
    finally:
        engine.close()


def _known(folder: CampaignFolder) -> dict[str, tuple[str, float]]:
    """Return by name the task of each run that has begun earlier, and how long it takes as a whole."""
    known = {}
    for job in folder.jobs:
        standing = folder.standing(job)
        if standing.steps:
            known[job.name] = (job.task, standing.seconds * max(1.0, job.total_steps / standing.steps))
    return known


def _expected(folder: CampaignFolder, job: Job, lasted: dict[str, tuple[str, float]]) -> float:
    """Return how long the rest of a run will take, by the longest on its task, or else on any; 0 if none is known."""
    same = [seconds for task, seconds in lasted.values() if task == job.task]
    whole = max(same or [seconds for _, seconds in lasted.values()] or [0.0])
    return whole * max(0.0, 1.0 - folder.standing(job).steps / job.total_steps)


def _settle(folder: CampaignFolder, end: End, tries: Counter[tuple[str, Outcome]]) -> Outcome:
    """Return what came of a run that has ended. One crash or loss too many is a failure."""
    if end.code == 0:
        return "finished"
    if end.code is None or end.code < 0:
        outcome: Outcome = "lost" if end.code is None else "crashed"
        tries[end.job.name, outcome] += 1
        if tries[end.job.name, outcome] < TRIES[outcome]:
            return outcome
    if end.code == NO_ROOM or not _note_failure(folder, end):
        return "no room"
    return "failed"


def _note_failure(folder: CampaignFolder, end: End) -> bool:
    """Keep why a run failed, the last line that it said; return False if the disk has no room for that."""
    if end.code is None:
        why = f"the machine or the Ray process that did it was lost, {TRIES['lost']} times"
    elif end.code < 0:
        why = f"its process was killed by signal {-end.code}, {TRIES['crashed']} times"
    else:
        said = folder.log(end.job).read_text(encoding="utf-8", errors="replace").strip().splitlines()
        why = said[-1] if said else f"its process ended with exit code {end.code}"
    try:
        write_atomically(folder.failure(end.job), f"{why}\n".encode())
    except OSError as error:
        if not is_full(error):
            raise
        return False
    return True
