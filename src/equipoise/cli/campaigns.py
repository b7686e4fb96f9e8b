"""Campaigns: grids of runs from one file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal

import tyro

from equipoise.cli.options import NUMBERS, TrackerName

USAGE = """\
usage: equipoise campaign FILE.toml [options]        bring all runs of the file to their ends; write their tables
       equipoise campaign status DIR                 how the campaign in a folder stands
       equipoise campaign run FILE.toml --index I    one run by itself, counting from 0: for a cluster's queue

`equipoise campaign FILE.toml --help` explains the options.
"""


def campaign(arguments: list[str]) -> None:
    """Read `FILE`, `status DIR` or `run FILE --index I`, and do it."""
    if not arguments or arguments[0] in ("-h", "--help"):
        print(USAGE, end="")
        return
    asked: dict[str, Callable[..., None]] = {"status": status, "run": run}
    if arguments[0] in asked:
        tyro.cli(asked[arguments[0]], args=arguments[1:], prog=f"equipoise campaign {arguments[0]}", registry=NUMBERS)
    else:
        tyro.cli(start, args=arguments, prog="equipoise campaign", registry=NUMBERS)


def start(
    file: Annotated[Path, tyro.conf.Positional],
    out: Path | None = None,
    workers: int | None = None,
    budget: str | None = None,
    accept_changes: bool = False,
    engine: Literal["local", "ray"] = "local",
    address: str | None = None,
    track: TrackerName = None,
) -> None:
    """Bring all runs of a campaign's file to their ends, and write their tables; exit code 1 if one is left.

    They run side by side. Started again, it goes on; finished runs are never repeated.

    Args:
        file: The campaign's file.
        out: Folder of the campaign; by default campaigns/NAME.
        workers: Runs side by side at most; by default one on each core of this machine, or of the cluster.
        budget: Start no run that would not end within this time, as in 2h or 90m; those that have started go on.
        accept_changes: Do what a changed file asks for: add runs to the folder's campaign, or leave some out.
        engine: Where runs are done: on this machine, or on the machines of a Ray cluster, of which it is one.
        address: HOST:PORT of the Ray cluster's head; by default the cluster that runs on this machine.
        track: Tell an experiment tracker of every run, too.
    """
    from equipoise.campaigns.duration import seconds_of
    from equipoise.campaigns.run import run_campaign

    seconds = None if budget is None else seconds_of(budget)
    try:
        finished = run_campaign(
            file, out, workers, seconds, accept_changes, engine=engine, address=address, track=track
        )
    except KeyboardInterrupt:
        raise KeyboardInterrupt("stopped; the same command goes on from the last iterations") from None
    if not finished:
        raise SystemExit(1)


def status(folder: Annotated[Path, tyro.conf.Positional]) -> None:
    """Show how a campaign stands: how many runs are finished, running or failed, and what they reached.

    Args:
        folder: Folder of the campaign.
    """
    from equipoise.campaigns.run import show_status

    show_status(folder)


def run(file: Annotated[Path, tyro.conf.Positional], index: int, out: Path | None = None) -> None:
    """Bring one run of a campaign's file to its end, on all cores; exit code 1 if it fails.

    Other processes may do other runs of the same campaign meanwhile.

    Args:
        file: The campaign's file.
        index: Which run, counting from 0.
        out: Folder of the campaign; by default campaigns/NAME.
    """
    from equipoise.campaigns.run import run_one

    if not run_one(file, index, out):
        raise SystemExit(1)


def report(folder: Annotated[Path, tyro.conf.Positional]) -> None:
    """Write a campaign's report: report.html, one page that opens offline, and the same as PDF and LaTeX for a paper.

    Args:
        folder: Folder of the campaign.
    """
    from equipoise.report.write import write_report

    page, *others = write_report(folder)
    kinds = {kind: sum(path.suffix == kind for path in others) for kind in (".pdf", ".tex")}
    print(f"written: {page}, {kinds['.pdf']} figures in {folder / 'figures'}, {kinds['.tex']} in {folder / 'tables'}")
