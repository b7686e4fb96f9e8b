"""Several seeds of one training, as a campaign: with its schedule, its folder, and its way of going on."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from equipoise.campaigns.check import begin
from equipoise.campaigns.file import Campaign, parse_campaign
from equipoise.campaigns.folder import CampaignFolder
from equipoise.campaigns.options import APART, options_of
from equipoise.errors import UsageError
from equipoise.training.config import Config
from equipoise.training.options import value_at
from equipoise.training.settings_file import toml


def campaign_of(config: Config, preset: str | None, seeds: Sequence[int]) -> Campaign:
    """Return the campaign of runs that differ from `config` in the seed alone; its text is a campaign's file.

    Raises `UsageError` for a seed that is there twice, and for all that such a file may not say.
    """
    before, paths = begin(config.algorithm_name, preset, config.task), options_of(config)
    found = {name: (value_at(config, option), value_at(before, option)) for name, option in paths.items()}
    settings = {name: value for name, (value, usual) in found.items() if name not in APART and value != usual}
    if preset is not None:
        settings["preset"] = preset
    content: dict[str, Any] = {
        "name": re.sub(r"[^\w.-]", "-", f"{config.task}-{config.algorithm_name}").lstrip(".-"),
        "algorithms": [config.algorithm_name],
        "tasks": [config.task],
        "seeds": list(seeds),
        "total_steps": config.total_steps,
    }
    lines = [f"{key} = {toml(value)}" for key, value in content.items()]
    lines += ["", "[settings]", *(f"{name} = {toml(value)}" for name, value in settings.items())]
    return parse_campaign("\n".join(lines) + "\n")


def demand_all_seeds(folder: Path, campaign: Campaign) -> None:
    """Raise `UsageError` where the runs that are in `folder` are not all among the campaign's. Others may be new."""
    if not (folder / "campaign.json").exists():
        return
    names = {job.name for job in campaign.jobs}
    left = [job.name for job in CampaignFolder.load(folder).jobs if job.name not in names]
    if left:
        raise UsageError(
            f"{folder} also has {', '.join(left[:3])}{' …' if len(left) > 3 else ''}; name all of its seeds, or give "
            "another --run-dir"
        )
