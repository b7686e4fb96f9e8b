"""Options that several commands take."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import tyro

RunFolder = Annotated[Path, tyro.conf.Positional]
"""The folder of a run, given by position."""

EnvironmentId = Annotated[str | None, tyro.conf.arg(metavar="MODULE:ID")]
"""A user's own environment, named again to allow the import of its module."""

AggregatorName = Annotated[str | None, tyro.conf.arg(metavar="MODULE:NAME")]
"""A user's own aggregator, named again to allow the import of its module."""
