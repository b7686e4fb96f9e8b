"""What Ray has on each of its machines: a place, where the process of one run is started and waited for."""

from __future__ import annotations

import os
import platform
import time
from pathlib import Path

from equipoise.campaigns.folder import CampaignFolder
from equipoise.campaigns.job import Job
from equipoise.campaigns.process import end_process, start_process
from equipoise.campaigns.provenance import versions
from equipoise.errors import UsageError

LOCK_KEPT = 120.0
"""Seconds to wait for the lock of a run whose machine is gone: a file server keeps it until it misses the machine."""

DECISIVE = ("JAX_", "XLA_")
"""How the variables begin that can decide a result, and so go along from the campaign's environment."""


class Place:
    """Does one run, in a process of its own, so that nothing in it can take Ray's process with it.

    That process ends with this one, however this one does: it holds the other end of its pipe.
    """

    def prepare(self, working: Path, folder: Path, environment: dict[str, str], needed: dict[str, str]) -> str:
        """Make this process like the campaign's; return the machine's name. `UsageError` if it cannot do its runs."""
        here = platform.node()
        if not working.is_dir() or not (working / folder / "campaign.json").is_file():
            raise UsageError(f"{here} does not see {working / folder}; allowed: a folder that all machines share")
        for name, version in versions().items():
            if version != needed[name]:
                raise UsageError(f"{here} has {name} {version}; allowed: {needed[name]}, as the campaign has")
        os.chdir(working)
        os.environ.update(environment)
        return here

    def do(self, _prepared: str, folder: Path, job: Job) -> tuple[int, float]:
        """Bring a run to its end; return its process's exit code, negative if it was killed, and the seconds it took.

        `_prepared` is what `prepare` has returned: without it, this is not begun.
        """
        began = time.monotonic()
        process = start_process(CampaignFolder(folder, ()), job, threads=1, patience=LOCK_KEPT)
        process.wait()
        return end_process(process), time.monotonic() - began
