"""The process of one run: it trains, or goes on, and evaluates."""

from __future__ import annotations

import contextlib
import os
import platform
import sys
import threading
from pathlib import Path

from equipoise.campaigns.check import check_same, has_begun, whole_config_of
from equipoise.campaigns.folder import CampaignFolder
from equipoise.campaigns.job import NO_ROOM, Job
from equipoise.campaigns.provenance import processor
from equipoise.errors import DiskFullError, UsageError
from equipoise.files import is_full
from equipoise.integrations.tracking import tracked
from equipoise.modules import served_from
from equipoise.training import loop
from equipoise.training.config import Config, name_to_repeat
from equipoise.training.evaluate import evaluate
from equipoise.training.run import Run


def do(folder: CampaignFolder, job: Job, threads: int = 0, patience: float = 1.0, track: str | None = None) -> None:
    """Bring a run to its end, from wherever it stands; a finished one is left as it is. `track` is told of it.

    Raises `UsageError` if another process is still at work on it after `patience` seconds.
    """
    with folder.lock(job, patience):
        folder.failure(job).unlink(missing_ok=True)
        if folder.standing(job).status == "finished":
            return
        config = whole_config_of(job)
        run = _train(config, folder.run_dir(job), threads, track)
        evaluate(run, job.evaluation_episodes, environment=name_to_repeat(config), threads=threads)


def _train(config: Config, path: Path, threads: int, track: str | None) -> Run:
    with tracked(track, path) as tracking:
        if not has_begun(path):
            return loop.train(config, path, threads=threads, watch=tracking)
        check_same(path, config)
        environment = name_to_repeat(config)
        return loop.resume(path, environment=environment, algorithm=config.algorithm, threads=threads, watch=tracking)


def die_with_parent() -> None:
    """End this process at once when the campaign that started it is gone, however it went: its pipe then closes."""

    def watch() -> None:
        os.read(0, 1)  # not through sys.stdin, which Python wants for itself when it ends
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def stay_nice(group: Path = Path("/proc/self/autogroup")) -> None:
    """Give way to other programs as much as the campaign was told to (`nice equipoise campaign …`).

    Linux shares the processor out among sessions, of which each run is one, and a process's own niceness counts only
    within its session.
    """
    niceness = os.nice(0) if hasattr(os, "nice") else 0
    if niceness > 0 and group.exists():
        with contextlib.suppress(OSError):  # no such groups here
            group.write_text(f"{niceness}\n")


def main(path: str, name: str, threads: str, patience: str, track: str = "") -> int:
    """Do the run `name` of the campaign in `path`: the process that a campaign starts."""
    die_with_parent()
    stay_nice()
    print(f"on {platform.node()}, {processor()}", flush=True)
    folder = CampaignFolder.load(Path(path))
    try:
        job = next(job for job in folder.jobs if job.name == name)
        do(folder, job, int(threads), float(patience), track or None)
    except DiskFullError as error:
        print(f"equipoise: {error}")
        return NO_ROOM
    except UsageError as error:
        print(f"equipoise: {error}")
        return 2
    except OSError as error:
        if not is_full(error):
            raise
        print(f"equipoise: the disk is full: {error}")
        return NO_ROOM
    return 0


if __name__ == "__main__":
    with served_from(Path.cwd()):  # as on the command line: a module of the user's own
        sys.exit(main(*sys.argv[1:]))
