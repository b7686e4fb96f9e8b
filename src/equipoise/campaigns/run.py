"""A campaign from its file to its tables."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Literal

from rich.console import Console

from equipoise.campaigns.check import check_begun
from equipoise.campaigns.engine import Engine
from equipoise.campaigns.file import Campaign, read_campaign
from equipoise.campaigns.folder import CampaignFolder
from equipoise.campaigns.machine import ThisMachine
from equipoise.campaigns.progress import Progress, overview
from equipoise.campaigns.ray_cluster import RayCluster
from equipoise.campaigns.schedule import run_side_by_side
from equipoise.campaigns.tables import has_pyarrow, write_tables
from equipoise.errors import DiskFullError, UsageError
from equipoise.files import is_full
from equipoise.integrations.trackers import find_tracker
from equipoise.terminal import open_console


def _tables(folder: CampaignFolder) -> list[Path]:
    try:
        return write_tables(folder)
    except OSError as error:
        if not is_full(error):
            raise
        raise DiskFullError(
            "the disk is full: tables are not written; make room, and the same command writes them"
        ) from None


def default_folder(name: str) -> Path:
    """Return the folder of a campaign when none is named."""
    return Path("campaigns") / name


EngineName = Literal["local", "ray"]
"""Where runs are done: on this machine, or on a Ray cluster."""


def _open_engine(name: EngineName, address: str | None, workers: int | None, track: str | None) -> Engine:
    if workers is not None and workers < 1:
        raise UsageError(f"workers is {workers}; allowed: 1 or more")
    if track is not None:
        if name == "ray":
            raise UsageError(f"--track is {track}, and --engine ray tracks no runs; leave one of them out")
        find_tracker(track)  # what is wrong with it is said before anything runs
    if name == "ray":
        return RayCluster(address, workers)
    if address is not None:
        raise UsageError(f"--address is {address}, of a Ray cluster; give --engine ray with it")
    return ThisMachine(workers, track)


def run_campaign(
    file: Path | Campaign,
    out: Path | None = None,
    workers: int | None = None,
    budget: float | None = None,
    accept_changes: bool = False,
    console: Console | None = None,
    engine: EngineName = "local",
    address: str | None = None,
    track: str | None = None,
) -> bool:
    """Bring all runs of a campaign's file to their ends and write its tables; return whether all are finished.

    Finished runs stay as they are, and the others go on from where they stand.

    Args:
        file: The campaign's file, or what was read from one.
        out: Its folder; by default campaigns/NAME.
        workers: Runs side by side at most; by default one on each core of this machine or of the cluster.
        budget: Seconds after which no further run starts.
        accept_changes: Whether the file may add runs to the folder's campaign, or leave some out.
        console: Where to show how it goes.
        engine: Where runs are done: on this machine, or on a Ray cluster of which it is one.
        address: HOST:PORT of the Ray cluster's head; by default the cluster that runs on this machine.
        track: Name of an experiment tracker that is told of each run.

    Raises:
        UsageError: anything in the file, or about the folder, that is not allowed, before anything runs.
    """
    console = console or open_console()
    campaign = file if isinstance(file, Campaign) else read_campaign(file)
    out = out or default_folder(campaign.name)
    with closing(_open_engine(engine, address, workers, track)) as where:
        folder = CampaignFolder.begin(
            out, campaign.name, campaign.jobs, campaign.text, accept_changes, machines=where.machines
        )
        with folder.lock():
            check_begun(folder, folder.jobs)
            left = [job for job in folder.jobs if folder.standing(job).status != "finished"]
            done = len(folder.jobs) - len(left)
            console.print(
                f"{campaign.name}: {len(folder.jobs)} runs, {done} of them finished; "
                f"{min(where.room(), max(len(left), 1))} side by side",
                highlight=False,
                soft_wrap=True,
            )
            try:
                with Progress(folder, console) as progress:
                    run_side_by_side(folder, left, where, budget, progress.ended, progress.look, progress.say)
            finally:
                files = _tables(folder)
    standings = {job.name: folder.standing(job) for job in folder.jobs}
    console.print(overview(folder, standings))
    console.print(f"tables    {', '.join(map(str, files))}", highlight=False, soft_wrap=True)
    if not has_pyarrow():
        console.print(
            "no .parquet: pyarrow is not installed (pip install 'equipoise[campaigns]')", highlight=False, markup=False
        )
    return all(standing.status == "finished" for standing in standings.values())


def run_one(file: Path, index: int, out: Path | None = None, console: Console | None = None) -> bool:
    """Bring one run of a campaign's file to its end, `index` counting from 0; return whether it is finished.

    Other processes may do others meanwhile. Raises `UsageError` as `run_campaign` does.
    """
    console = console or open_console()
    campaign = read_campaign(file)
    if not 0 <= index < len(campaign.jobs):
        raise UsageError(f"index is {index}; allowed: from 0 to {len(campaign.jobs) - 1}, the runs of {file}")
    folder = CampaignFolder.join(out or default_folder(campaign.name), campaign.name, campaign.jobs, campaign.text)
    job = campaign.jobs[index]
    check_begun(folder, [job])
    if folder.standing(job).status != "finished":
        with Progress(folder, console) as progress:
            run_side_by_side(folder, [job], ThisMachine(1), None, progress.ended, progress.look, progress.say)
    return folder.standing(job).status == "finished"


def show_status(path: Path, console: Console | None = None) -> None:
    """Show how the campaign in the folder `path` stands, and why runs failed."""
    console = console or open_console()
    folder = CampaignFolder.load(path)
    standings = {job.name: folder.standing(job) for job in folder.jobs}
    console.print(overview(folder, standings))
    for job in folder.jobs:
        if standings[job.name].status == "failed":
            why = folder.failure(job).read_text(encoding="utf-8").strip()
            console.print(
                f"failed    {job.name}: {why} ({folder.log(job)})", highlight=False, markup=False, soft_wrap=True
            )
