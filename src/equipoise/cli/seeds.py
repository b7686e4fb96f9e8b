"""Several seeds of one training."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Mapping
from pathlib import Path

from rich.console import Console

from equipoise.api import default_run_dir
from equipoise.cli.output import Says
from equipoise.errors import UsageError, printable
from equipoise.progress import error_console
from equipoise.terminal import open_console
from equipoise.training.config import Config
from equipoise.training.evaluation import read_evaluation_file
from equipoise.training.folder import command
from equipoise.training.record import Record


def train_seeds(
    config: Config,
    preset: str | None,
    seeds: tuple[int, ...],
    run_dir: Path | None,
    shares: Mapping[str, object],
    says: Says,
) -> None:
    """Train `config` with each of the seeds, as a campaign in a folder of its own; exit code 1 if one of them fails.

    `shares` is what one run may be told of its share of the machine: several are told nothing.
    """
    from equipoise.campaigns.folder import CampaignFolder
    from equipoise.campaigns.run import run_campaign
    from equipoise.campaigns.seeds import campaign_of, demand_all_seeds

    if config.seed != 0:
        raise UsageError(f"both seed ({config.seed}) and seeds are given; give one of them")
    for name, value in shares.items():
        if value:
            raise UsageError(f"{name} is {value}, with several seeds, which share out the machine; leave it out")
    campaign = campaign_of(config, preset, seeds)
    folder = run_dir or _default_folder(config)
    demand_all_seeds(folder, campaign)
    console = error_console() if says.json else open_console()
    console = Console(quiet=True) if says.quiet else console
    try:
        finished = run_campaign(campaign, folder, accept_changes=True, console=console, track=says.track)
    except UsageError as error:
        raise UsageError(str(error).replace("--out", "--run-dir")) from None  # what a campaign calls it
    except KeyboardInterrupt:
        raise KeyboardInterrupt("stopped; the same command goes on from the last iterations") from None
    if says.shown:
        print(f"look      {command('runs', folder)}")
        print(f"report    {command('report', folder)}")
    opened = CampaignFolder.load(folder)
    for job in opened.jobs:
        path = opened.run_dir(job)
        evaluation = read_evaluation_file(path) if opened.standing(job).status == "finished" else None
        if evaluation is not None:
            says.summary(Record.read(path), certified=evaluation.stochastic.certified)
        elif says.quiet and opened.failure(job).exists():
            why = opened.failure(job).read_text(encoding="utf-8").strip()
            print(f"equipoise: {printable(f'{job.name} failed: {why}')}", file=sys.stderr)
    if not finished:
        raise SystemExit(1)


def _default_folder(config: Config) -> Path:
    one = default_run_dir(dataclasses.replace(config, seed=0))
    return one.with_name(one.name.removesuffix("-seed0") + "-seeds")
