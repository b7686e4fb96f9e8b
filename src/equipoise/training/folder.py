"""A run's folder: one training at a time holds it, and it is given back when nothing came of it."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from equipoise.errors import Notice, UsageError, printable
from equipoise.files import clear_partial_files, open_file, own_folder

LOCK = ".lock"
"""The file that a training holds a lock on while it runs. The system releases it when the process ends, however."""

OWN_FILES = (
    r"start\.npz|(?:metrics|episodes|evaluation|conflict)\.csv|(?:config|evaluation|tracked)\.json|(?:plot|conflict)\.png"
    r"|film\.mp4"
)
"""What is written to a run's folder, beside checkpoints and TensorBoard's events, as a regular expression."""

CHECKPOINTS = r"[0-9]{6,9}\.npz"
"""Names of checkpoints, as a regular expression."""


START = "start.npz"
"""The state that a training began with that was started from another run's policy."""


def policy_folder(run: Path) -> Path:
    """Return the folder of the policies kept along a run, whether it is there or not; `UsageError` if it is a link."""
    folder = run / "policies"
    own_folder(folder)
    return folder


def checkpoint_folder(run: Path) -> Path:
    """Return the folder of a run's checkpoints, whether it is there or not; `UsageError` if it is a link."""
    folder = run / "checkpoints"
    own_folder(folder)
    return folder


def command(name: str, run: Path) -> str:
    """Return the command line that does `name` with a run."""
    return f"equipoise {name} {shlex.quote(str(near(run)))}"


def near(path: Path) -> Path:
    """Return `path` as seen from the working folder, if it lies in there."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path


def demand_new(run: Path) -> None:
    """Raise `UsageError` unless there is no `run` yet, or an empty folder, as schedulers make it."""
    if not run.is_dir():
        if run.exists() or run.is_symlink():
            raise UsageError(f"{run} exists and is no folder; give another --run-dir")
        return
    with _writing(run):
        there = {path.name for path in run.iterdir()} - {LOCK, START}
    there = {name for name in there if not re.fullmatch(rf"\.(?:{OWN_FILES})\.[0-9]{{1,9}}", name)}
    if "config.json" in there:
        raise UsageError(f"{run} exists; give another --run-dir, or go on with that run: {command('resume', run)}")
    if there:
        raise UsageError(f"{run} is not empty (there: {printable(min(there), 60)}); give another --run-dir")


@contextlib.contextmanager
def reserved(run: Path, new: bool) -> Iterator[None]:
    """Hold the folder `run` meanwhile; `UsageError` if another training does, or it cannot be written to.

    A `new` one is made, and goes again if it has no configuration in the end. What killed processes left half-written
    is removed.
    """
    made: list[Path] = []
    try:
        with _writing(run):
            if new:
                made = _made(run)
            file = _lock(run)
        try:
            clear_partial_files(run, OWN_FILES)
            for folder in (checkpoint_folder(run), policy_folder(run)):
                clear_partial_files(folder, CHECKPOINTS)
            if new:
                demand_new(run)
            yield
        finally:
            (run / LOCK).unlink(missing_ok=True)
            file.close()
    finally:
        if not (run / "config.json").exists():
            for folder in made:
                (folder / START).unlink(missing_ok=True)
                with contextlib.suppress(OSError):  # not empty: somebody else's by now
                    folder.rmdir()


@contextlib.contextmanager
def _writing(run: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UsageError(f"cannot write to {run}: {error.strerror}; give another --run-dir") from None


def _made(run: Path) -> list[Path]:
    """Make the folder and those it lies in; return the new ones, the innermost first."""
    missing = [folder for folder in (run, *run.parents) if not folder.exists()]
    run.mkdir(parents=True, exist_ok=True)
    return missing


def _lock(run: Path) -> IO[bytes]:
    """Open the lock and take it; `UsageError` if it is taken."""
    try:
        import fcntl
    except ImportError:  # Windows, where a file that is open cannot be removed: that is lock enough
        with contextlib.suppress(FileNotFoundError, PermissionError):
            (run / LOCK).unlink()
        return open_file(run / LOCK, "xb")
    while True:
        file = open_file(run / LOCK, "ab")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            raise UsageError(f"{run} is in use: another training writes to it; give another --run-dir") from None
        except OSError as error:
            warnings.warn(
                f"the file system of {run} has no locks ({error.strerror}): nothing keeps a second training out of it",
                Notice,
                stacklevel=2,
            )
            return file
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(file.fileno()), (run / LOCK).stat()):
                return file
        file.close()  # its holder removed it in between: what was locked is no longer the folder's lock
