"""A campaign's folder: what is to run, what has run, and who is at work in it."""

from __future__ import annotations

import contextlib
import fcntl
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal

import numpy as np

from equipoise.campaigns.earlier import EarlierRuns, put_aside
from equipoise.campaigns.job import Job
from equipoise.campaigns.provenance import provenance
from equipoise.errors import UsageError, described
from equipoise.files import read_file, write_atomically
from equipoise.training.config_file import VERSION, how_to_read, known_version
from equipoise.training.evaluation import evaluated_iteration
from equipoise.training.rows import Row, read_metrics

FORMAT = 1
"""Version of `campaign.json`; raised when a change makes older ones unreadable."""

MOST_BYTES = 2**26
"""Size of a `campaign.json`."""

BEGUN_WITHIN = 60.0
"""Seconds to wait for another process that makes the folder."""

Status = Literal["waiting", "running", "stopped", "failed", "finished"]
"""Where a run stands."""


@dataclass(frozen=True)
class Standing:
    """Where a run stands."""

    status: Status
    """Waiting, running, stopped on the way, failed, or finished and evaluated."""
    rows: list[Row]
    """Its metrics so far."""

    @property
    def steps(self) -> int:
        """Environment steps done."""
        return int(self.rows[-1]["steps"]) if self.rows else 0

    @property
    def seconds(self) -> float:
        """Seconds that its iterations took."""
        steps = np.diff([0, *(row["steps"] for row in self.rows)])
        return float(sum(steps / np.array([row["steps_per_second"] for row in self.rows])))


class CampaignFolder:
    """The folder of a campaign; see docs/campaigns.md for what is in it."""

    def __init__(self, path: Path, jobs: Sequence[Job]) -> None:
        self.path = path
        """The folder."""
        self.jobs = tuple(jobs)
        """Its runs, in the order in which they start."""
        self.earlier = EarlierRuns(path)
        """Finished runs that were left on another machine."""

    @classmethod
    def load(cls, path: Path) -> CampaignFolder:
        """Open the campaign in `path`; `UsageError` if it is none, or of another version."""
        content = read_record(path)
        return cls(path, [Job.restored(job) for job in content["jobs"]])

    @classmethod
    def begin(
        cls,
        path: Path,
        name: str,
        jobs: Sequence[Job],
        text: str,
        accept: bool = False,
        machines: Sequence[dict[str, Any]] = (),
    ) -> CampaignFolder:
        """Open the campaign in `path` for the runs `jobs`, making it if it is new.

        Raises `UsageError` where the folder has a campaign of other runs: saying what would be added and left out,
        unless that is accepted; and always where runs of the same name are to be other runs, or where another process
        brings the campaign to its end. `machines` are those of the cluster that it starts on.
        """
        if _is_locked(path / "locks" / "campaign"):
            raise UsageError(f"another process is at work in {path}; see `equipoise campaign status {path}`")
        if (path / "campaign.json").exists():
            content = read_record(path)
            _compare(path, content["jobs"], [job.described() for job in jobs], accept)
            starts = content["starts"]
        elif _names_in(path) - {"locks"}:
            raise _no_campaign(path)
        else:
            starts = []
        put_aside(path)
        for folder in ("runs", "logs", "locks"):
            (path / folder).mkdir(parents=True, exist_ok=True)
        start = provenance() | ({"cluster": list(machines)} if machines else {})
        content = {"format": FORMAT, "equipoise": VERSION, "name": name}
        content |= {"jobs": [job.described() for job in jobs], "starts": [*starts, start]}
        write_atomically(path / "campaign.toml", text.encode())
        write_atomically(path / "campaign.json", (json.dumps(content, indent=2) + "\n").encode())
        return cls(path, jobs)

    @classmethod
    def join(cls, path: Path, name: str, jobs: Sequence[Job], text: str) -> CampaignFolder:
        """Open the campaign in `path` for one of its runs, beside other processes; make it if it is new."""
        if (there := _names_in(path)) and not there & {"locks", "campaign.json"}:
            raise _no_campaign(path)
        (path / "locks").mkdir(parents=True, exist_ok=True)
        with _lock(path / "locks" / "begin", path, BEGUN_WITHIN):  # a queue starts many at once
            if not (path / "campaign.json").exists() or not (path / "runs").exists():
                return cls.begin(path, name, jobs, text)
        _compare(path, read_record(path)["jobs"], [job.described() for job in jobs], False)
        return cls(path, jobs)

    def run_dir(self, job: Job) -> Path:
        """Return the folder of a run."""
        return self.path / "runs" / job.name

    def log(self, job: Job) -> Path:
        """Return the file that a run's process writes its output to."""
        return self.path / "logs" / f"{job.name}.log"

    def failure(self, job: Job) -> Path:
        """Return the file that is there while a run's last try has failed, and says why."""
        return self.path / "logs" / f"{job.name}.failed"

    def lock(self, job: Job | None = None, patience: float = 1.0) -> contextlib.AbstractContextManager[None]:
        """Hold a run, or the whole campaign, for this process alone.

        Raises `UsageError` if another one still has it after `patience` seconds.
        """
        name = "campaign" if job is None else job.name
        return _lock(self.path / "locks" / name, self.path if job is None else self.run_dir(job), patience)

    def standing(self, job: Job) -> Standing:
        """Return where a run stands."""
        if not self.run_dir(job).exists() and self.earlier.finished(job):
            return Standing("finished", self.earlier.rows(job, "updates"))
        rows = read_metrics(self.run_dir(job) / "metrics.csv")
        steps = rows[-1]["steps"] if rows else 0
        if steps >= job.total_steps and evaluated_iteration(self.run_dir(job)) == len(rows):
            return Standing("finished", rows)
        if _is_locked(self.path / "locks" / job.name):
            return Standing("running", rows)
        if self.failure(job).exists():
            return Standing("failed", rows)
        return Standing("stopped" if self.run_dir(job).exists() else "waiting", rows)


def read_record(path: Path) -> dict[str, Any]:
    """Read the `campaign.json` in `path`; `UsageError` if it is damaged or of another version."""
    file = path / "campaign.json"
    if not file.is_file():
        raise UsageError(f"{path} is no campaign: it has no campaign.json")
    try:
        content: dict[str, Any] = json.loads(read_file(file, MOST_BYTES))
        written, version = content["format"], known_version(content["equipoise"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        if isinstance(error, UsageError):
            raise
        raise UsageError(f"{file} was not written by equipoise") from None
    if type(written) is not int or written != FORMAT:
        raise UsageError(
            f"{file} has format {described(written)}, written by equipoise {version}; allowed: {FORMAT}"
            f"{how_to_read(version)}"
        )
    try:
        jobs, starts = content.get("jobs"), content.get("starts")
        if not isinstance(jobs, list) or not isinstance(starts, list):
            raise UsageError("jobs or starts is no list")
        for i, job in enumerate(jobs):
            if not isinstance(job, dict):
                raise UsageError(f"jobs[{i}] is {described(job)}; allowed: a table")
            Job.restored(job, f"jobs[{i}]")
    except UsageError as error:
        raise UsageError(f"{file} was not written by equipoise: {error}") from None
    return content


def _names_in(path: Path) -> set[str]:
    return {entry.name for entry in path.iterdir()} if path.exists() else set()


def _no_campaign(path: Path) -> UsageError:
    return UsageError(f"{path} is no campaign and not empty; give another --out")


def _compare(path: Path, before: list[dict[str, Any]], after: list[dict[str, Any]], accept: bool) -> None:
    """Raise `UsageError` where a folder's runs are not those of the file."""
    old, new = {job["name"]: job for job in before}, {job["name"]: job for job in after}
    # Through JSON, in which a tuple is a list.
    changed = [name for name in old if name in new and old[name] != json.loads(json.dumps(new[name]))]
    if changed:
        job, other = old[changed[0]], new[changed[0]]
        fields = ", ".join(
            f"{field} was {job[field]!r} and is {other[field]!r}" for field in job if job[field] != other[field]
        )
        raise UsageError(
            f"{path} has {len(changed)} of these runs with other settings, and no run is repeated: {changed[0]}, whose "
            f"{fields}; give another --out"
        )
    added, left = [name for name in new if name not in old], [name for name in old if name not in new]
    if (added or left) and not accept:
        parts = [f"{verb} {_some(names)}" for verb, names in (("add", added), ("leave out", left)) if names]
        raise UsageError(f"this file would {' and '.join(parts)} in {path}; --accept-changes does so")


def _some(names: list[str]) -> str:
    """Name up to three runs."""
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return f"{len(names)} run{'s' if len(names) > 1 else ''} ({', '.join(names[:3])}{more})"


@contextlib.contextmanager
def _lock(path: Path, held: Path, patience: float) -> Iterator[None]:
    """Hold `path` until the end of the block, or of the process, however it ends."""
    until = time.monotonic() + patience
    with _open_lock(path) as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:  # even whoever looks whether it is held, holds it for a moment
                if time.monotonic() > until:
                    raise UsageError(f"another process is at work in {held}; wait for it, or stop it") from None
                time.sleep(0.05)
        yield


def _is_locked(path: Path) -> bool:
    if not path.exists():
        return False
    with _open_lock(path) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def _open_lock(path: Path) -> IO[str]:
    """Open a lock's file to read and to write: NFS gives a shared lock to readers only, and the other to writers."""
    return path.open("a+")
