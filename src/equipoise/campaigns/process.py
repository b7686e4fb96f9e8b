"""The process of a run as every engine starts it."""

from __future__ import annotations

import os
import subprocess
import sys

from equipoise.campaigns.folder import CampaignFolder
from equipoise.campaigns.job import Job

SAME_EVERYWHERE = {"NPROC": "1"}
"""How many threads XLA takes for a product decides how it adds up, and so its last bits; by itself it takes one for
each core that it may use. With one in every run, results do not depend on how many runs are side by side, or where."""


def command_of(folder: CampaignFolder, job: Job, threads: int, patience: float, track: str | None = None) -> list[str]:
    """Return the command of a run's process."""
    return [
        *(sys.executable, "-m", "equipoise.campaigns.worker"),
        *(str(folder.path), job.name, str(threads), str(patience), track or ""),
    ]


def start_process(
    folder: CampaignFolder, job: Job, threads: int, patience: float = 1.0, track: str | None = None
) -> subprocess.Popen[bytes]:
    """Start a run's process. It ends when its standard input does, and so with whoever holds that.

    Args:
        folder: The campaign's folder.
        job: The run.
        threads: Threads that step the physics.
        patience: Seconds to wait for another process that is at work on the run.
        track: Name of the experiment tracker that is told of it.
    """
    with folder.log(job).open("ab") as log:
        return subprocess.Popen(
            command_of(folder, job, threads, patience, track),
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**os.environ, **SAME_EVERYWHERE},
            start_new_session=True,  # so that Ctrl-C reaches the campaign alone, which then ends its runs
        )


def end_process(process: subprocess.Popen[bytes]) -> int:
    """Let go of a run's process, which then ends if it has not; return its exit code, negative if it was killed."""
    assert process.stdin is not None
    process.stdin.close()
    return process.wait()
