"""Which policy a run's `evaluation.json` is of, read without JAX."""

from __future__ import annotations

import json
from pathlib import Path

from equipoise.errors import UsageError
from equipoise.files import read_file

MOST_BYTES = 2**20
"""Size of an `evaluation.json`."""


def evaluated_iteration(run: Path) -> int | None:
    """Return the iteration that the last evaluation of `run` is of; None if there is no evaluation that says so."""
    try:
        iteration = json.loads(read_file(run / "evaluation.json", MOST_BYTES))["iteration"]
    except (FileNotFoundError, UsageError, ValueError, KeyError, TypeError, RecursionError):
        return None
    return iteration if type(iteration) is int else None
