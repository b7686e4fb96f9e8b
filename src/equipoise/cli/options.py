"""Options that several commands take."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

if TYPE_CHECKING:
    from equipoise.training.run import Run

RunFolder = Annotated[Path, tyro.conf.Positional]
"""The folder of a run, given by position."""

EnvironmentId = Annotated[str | None, tyro.conf.arg(metavar="MODULE:ID")]
"""A user's own environment, named again to allow the import of its module."""

AlgorithmName = Annotated[str | None, tyro.conf.arg(metavar="MODULE:NAME")]
"""A user's own algorithm, named again to allow the import of its module."""

AggregatorName = Annotated[str | None, tyro.conf.arg(metavar="MODULE:NAME")]
"""A user's own aggregator, named again to allow the import of its module."""


def open_run(folder: Path, algorithm: str | None) -> Run:
    """Open a run; its algorithm is imported only if the command line names it."""
    from equipoise.algorithms.own import load_algorithm
    from equipoise.training.run import Run

    return Run.load(folder, None if algorithm is None else load_algorithm(algorithm))
