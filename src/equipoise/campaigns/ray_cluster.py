"""The engine on many machines: Ray finds each run a core, and says when a machine is lost."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from equipoise.campaigns.engine import End, Say
from equipoise.campaigns.folder import CampaignFolder
from equipoise.campaigns.job import Job
from equipoise.campaigns.provenance import versions
from equipoise.campaigns.ray_place import DECISIVE, Place
from equipoise.errors import UsageError

ANSWER_WITHIN = 10.0
"""Seconds in which somebody has to listen at an address."""

COUNT_EVERY = 2.0
"""Seconds between two counts of the machines."""

GONE_WITHIN = 10.0
"""Seconds to wait until runs have ended that were told to."""


@dataclass(frozen=True)
class Away:
    """A run on some machine."""

    job: Job
    """The run."""
    place: Any
    """Ray's handle of its place."""
    machine: Any
    """What will be the machine's name."""
    end: Any
    """What will be the exit code and the seconds that it took."""


class RayCluster:
    """Does runs on the cluster at `address` (HOST:PORT, or Ray's `auto`), a core each.

    As many are side by side as the cluster has cores, or `workers`, some of which Ray then may let wait.
    """

    def __init__(self, address: str | None = None, workers: int | None = None) -> None:
        self._ray = _connect(address or os.environ.get("RAY_ADDRESS") or "auto")
        # Whether a run is tried again is for the schedule to say.
        self._place = self._ray.remote(num_cpus=1, max_restarts=0, max_task_retries=0)(Place)
        self._workers = workers
        self._away: list[Away] = []
        self._say: Say = lambda _: None
        self._here = self._ray.get_runtime_context().get_node_id()
        self._nodes = self._alive()
        self._counted = time.monotonic()

    @property
    def machines(self) -> list[dict[str, Any]]:
        """The machines of the cluster."""
        return [{"name": node["NodeManagerHostname"], "cores": _cores(node)} for node in self._nodes.values()]

    def begin(self, folder: CampaignFolder, jobs: Sequence[Job], say: Say) -> None:
        """Get ready for runs of a folder, which all machines have to see."""
        self._folder, self._say = folder, say
        if not self._cores():
            say("the cluster has no core for a run: waiting for a machine")

    def room(self) -> int:
        """Return how many runs are to be side by side now."""
        return self._workers or self._cores()

    def start(self, job: Job) -> None:
        """Have Ray start a run, where it finds a core."""
        place = self._place.remote()
        environment = {name: value for name, value in os.environ.items() if name.startswith(DECISIVE)}
        machine = place.prepare.remote(Path.cwd(), self._folder.path, environment, versions())
        self._away.append(Away(job, place, machine, place.do.remote(machine, self._folder.path, job)))

    def ended(self) -> list[End]:
        """Return the runs that have ended or were lost since the last call.

        Raises `UsageError` where a machine cannot do the campaign's runs, as it could do none of them; and where Ray is
        gone from this one.
        """
        if time.monotonic() - self._counted >= COUNT_EVERY:
            self._count()
        if not self._away:
            return []
        ready, _ = self._ray.wait([away.end for away in self._away], num_returns=len(self._away), timeout=0)
        over = [away for away in self._away if away.end in ready]
        self._away = [away for away in self._away if away.end not in ready]
        return [self._end_of(away) for away in over]

    def close(self) -> None:
        """End what is still running, and leave the cluster."""
        for away in self._away:
            self._ray.kill(away.place)
        until = time.monotonic() + GONE_WITHIN
        while any(self._folder.standing(away.job).status == "running" for away in self._away):
            if time.monotonic() > until:
                break
            time.sleep(0.05)
        self._away = []
        self._ray.shutdown()

    def _end_of(self, away: Away) -> End:
        code, seconds, where = None, 0.0, "its machine"
        try:
            code, seconds = self._ray.get(away.end)
        except self._ray.exceptions.RayTaskError as error:
            cause = error.cause if isinstance(error.cause, UsageError) else _last_line(error)
            raise UsageError(f"a machine of the cluster cannot do a run: {cause}") from None
        except self._ray.exceptions.RayError:
            with contextlib.suppress(self._ray.exceptions.RayError):  # lost before it could say
                where = self._ray.get(away.machine, timeout=0)
        self._ray.kill(away.place)
        return End(away.job, code, seconds, where)

    def _count(self) -> None:
        """Count the machines, and say which are gone. Ray has another name for one that comes back.

        Raises `UsageError` where Ray is gone from this machine, as it then starts nothing for it any more.
        """
        before, self._nodes, self._counted = self._nodes, self._alive(), time.monotonic()
        if self._here not in self._nodes:
            raise UsageError("Ray is gone from this machine; start it again, and the same command goes on")
        left = self._cores()
        then = f"the campaign goes on with {left} cores" if left else "no core is left: waiting for a machine"
        for name, node in before.items():
            if name not in self._nodes:
                self._say(f"gone  {node['NodeManagerHostname']} ({node['NodeManagerAddress']}); {then}")

    def _alive(self) -> dict[str, dict[str, Any]]:
        return {node["NodeID"]: node for node in self._ray.nodes() if node["Alive"]}

    def _cores(self) -> int:
        return sum(map(_cores, self._nodes.values()))


def _cores(node: dict[str, Any]) -> int:
    return int(node["Resources"].get("CPU", 0))


def _connect(address: str) -> Any:
    """Join the cluster at `address`; return Ray. `UsageError` if it is not installed, or there is no cluster."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ImportError:
        raise UsageError("--engine ray needs Ray: pip install 'equipoise[ray]'") from None
    if address != "auto":
        _knock(address)
    # Ray prints twenty lines of its own on standard output for a lost machine, whatever its settings; we say it in one.
    ray._private.worker._worker_logs_enabled = False
    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.CRITICAL)
    except (ConnectionError, RuntimeError, ValueError, SystemExit) as error:  # Ray ends the process if none answers
        ray.shutdown()
        if address == "auto":
            raise UsageError(
                "no Ray cluster is found on this machine; start one (ray start --head), or give --address HOST:PORT"
            ) from None
        why = "no Ray answers there" if isinstance(error, SystemExit) else _last_line(error)
        joins = f"this machine has to be one of it (ray start --address {address})"
        raise UsageError(f"cannot join the cluster at {address}: {why}; {joins}") from None
    return ray


def _knock(address: str) -> None:
    """Raise `UsageError` unless somebody listens at `address`. Ray itself would wait for minutes."""
    parts = re.fullmatch(r"\[?([^\[\]/]+?)\]?:([0-9]{1,5})", address)
    if not parts:
        raise UsageError(f"address is {address!r}; allowed: HOST:PORT of a Ray cluster's head, or auto")
    try:
        socket.create_connection((parts[1], int(parts[2])), timeout=ANSWER_WITHIN).close()
    except (OSError, OverflowError) as error:
        raise UsageError(f"address is {address}, but nobody listens there: {error}") from None


def _last_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[-1].strip() if lines else type(error).__name__
