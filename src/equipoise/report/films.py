"""The films of a campaign's runs: a few small ones in the page itself, others beside it."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from equipoise.campaigns.folder import CampaignFolder
from equipoise.errors import UsageError
from equipoise.files import read_file

ROOM = 3 * 2**19
"""Bytes of all films that stand in the page itself."""


@dataclass(frozen=True)
class Film:
    """A film of a run."""

    run: str
    """The run's name."""
    source: str
    """Where a browser finds it: itself as a data address, or a file beside the page."""
    inside: bool
    """Whether it stands in the page."""


def films_of(folder: Path) -> Iterator[Film]:
    """Yield the film of every run of the campaign in `folder` that has one, `film.mp4`; links are not followed."""
    campaign = CampaignFolder.load(folder)
    room = ROOM
    for job in campaign.jobs:
        path = campaign.run_dir(job) / "film.mp4"
        if not path.is_file() or path.is_symlink():
            continue
        try:
            content = read_file(path, room)
        except UsageError:  # too large for what is left
            yield Film(job.name, quote(path.relative_to(folder).as_posix()), False)
            continue
        room -= len(content)
        yield Film(job.name, f"data:video/mp4;base64,{base64.b64encode(content).decode()}", True)
