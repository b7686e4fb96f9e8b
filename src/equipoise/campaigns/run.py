"""A campaign from its file to its tables."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from equipoise.campaigns.file import read_campaign
from equipoise.campaigns.folder import CampaignFolder
from equipoise.campaigns.machine import cores_of_this_machine, run_side_by_side
from equipoise.campaigns.progress import Progress, overview
from equipoise.campaigns.tables import has_pyarrow, write_tables
from equipoise.errors import DiskFullError, UsageError
from equipoise.files import is_full

WIDE = 160
"""Columns of a table that is written to a file or a pipe."""


def _console() -> Console:
    """Return the terminal, or what its output is piped to, where a table needs no folding."""
    console = Console()
    return console if console.is_terminal else Console(width=WIDE)


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


def run_campaign(
    file: Path,
    out: Path | None = None,
    workers: int | None = None,
    budget: float | None = None,
    accept_changes: bool = False,
    console: Console | None = None,
) -> bool:
    """Bring all runs of a campaign's file to their ends and write its tables; return whether all are finished.

    Finished runs stay as they are, and the others go on from where they stand.

    Args:
        file: The campaign's file.
        out: Its folder; by default campaigns/NAME.
        workers: Runs side by side; by default one on each core.
        budget: Seconds after which no further run starts.
        accept_changes: Whether the file may add runs to the folder's campaign, or leave some out.
        console: Where to show how it goes.

    Raises:
        UsageError: anything in the file, or about the folder, that is not allowed, before anything runs.
    """
    if workers is not None and workers < 1:
        raise UsageError(f"workers is {workers}; allowed: 1 or more")
    console = console or _console()
    campaign = read_campaign(file)
    folder = CampaignFolder.begin(
        out or default_folder(campaign.name), campaign.name, campaign.jobs, campaign.text, accept_changes
    )
    with folder.lock():
        left = [job for job in folder.jobs if folder.standing(job).status != "finished"]
        side_by_side = min(workers or len(cores_of_this_machine()), max(len(left), 1))
        done = len(folder.jobs) - len(left)
        console.print(
            f"{campaign.name}: {len(folder.jobs)} runs, {done} of them finished; {side_by_side} side by side",
            highlight=False,
            soft_wrap=True,
        )
        try:
            with Progress(folder, console) as progress:
                run_side_by_side(folder, left, side_by_side, budget, progress.ended, progress.look, progress.full)
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
    console = console or _console()
    campaign = read_campaign(file)
    if not 0 <= index < len(campaign.jobs):
        raise UsageError(f"index is {index}; allowed: from 0 to {len(campaign.jobs) - 1}, the runs of {file}")
    folder = CampaignFolder.join(out or default_folder(campaign.name), campaign.name, campaign.jobs, campaign.text)
    job = campaign.jobs[index]
    if folder.standing(job).status != "finished":
        with Progress(folder, console) as progress:
            run_side_by_side(folder, [job], 1, None, progress.ended, progress.look, progress.full)
    return folder.standing(job).status == "finished"


def show_status(path: Path, console: Console | None = None) -> None:
    """Show how the campaign in the folder `path` stands, and why runs failed."""
    console = console or _console()
    folder = CampaignFolder.load(path)
    standings = {job.name: folder.standing(job) for job in folder.jobs}
    console.print(overview(folder, standings))
    for job in folder.jobs:
        if standings[job.name].status == "failed":
            why = folder.failure(job).read_text(encoding="utf-8").strip()
            console.print(
                f"failed    {job.name}: {why} ({folder.log(job)})", highlight=False, markup=False, soft_wrap=True
            )
