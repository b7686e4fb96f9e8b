"""A selected policy on disk: a folder that is opened as a run's is."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
from pathlib import Path

from equipoise.errors import UsageError
from equipoise.files import own_folder, write_atomically
from equipoise.selection.candidates import Entrant
from equipoise.training.checkpoint import state_path, write_state
from equipoise.training.folder import policy_folder
from equipoise.training.policies import acting_part
from equipoise.training.selected import SELECTION, Selection

COPIED = ("config.json", "metrics.csv")
"""What a selected policy's folder has of its run's."""


def check_folder(folder: Path) -> None:
    """Raise `UsageError` unless a selected policy can be written to `folder`: it is new, or has an earlier one."""
    if not folder.parent.is_dir():
        raise UsageError(f"out is {folder}, but there is no folder {folder.parent}; make it first")
    if own_folder(folder) and any(folder.iterdir()) and not (folder / SELECTION).is_file():
        raise UsageError(f"{folder} exists and has no earlier selection; give another --out")


def write_selected(folder: Path, run: Path, entrant: Entrant, selection: Selection) -> None:
    """Write the policy of `entrant`, selected from the run in `run`, to `folder`; whoever looks finds it whole.

    An earlier selection there goes, with what was evaluated and filmed of it.
    """
    partial = folder.with_name(f".{folder.name}.{os.getpid()}")
    shutil.rmtree(partial, ignore_errors=True)
    policy_folder(partial).mkdir(parents=True)
    try:
        for name in COPIED:
            write_atomically(partial / name, (run / name).read_bytes())
        for state in entrant.run.mixture or (entrant.run.state,):
            write_state(state_path(policy_folder(partial), state.iteration), acting_part(state))
        content = json.dumps(dataclasses.asdict(dataclasses.replace(selection, folder="")), indent=2) + "\n"
        write_atomically(partial / SELECTION, content.encode())
        check_folder(folder)
        if folder.exists():
            shutil.rmtree(folder)
        partial.replace(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
