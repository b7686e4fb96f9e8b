"""A training told to a tracker, row by row. What goes wrong with the tracker never costs the training anything."""

from __future__ import annotations

import contextlib
import json
import math
import re
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

from equipoise.errors import Notice, UsageError
from equipoise.files import read_file, write_atomically
from equipoise.integrations.trackers import Tracker, find_tracker
from equipoise.training.config_file import read_config_file
from equipoise.training.folder import command
from equipoise.training.rows import Row

FILE = "tracked.json"
"""The file in a run's folder that says under which id each tracker knows the run, so that `resume` goes on there."""
MOST_BYTES = 2**16
"""Size of that file."""


class Tracking:
    """A watcher of a training that tells a tracker of every iteration; to be closed when the training ends.

    The tracked run begins with the first iteration, so that nothing that is refused leaves one behind. What the tracker
    prints goes to stderr.

    Args:
        track: a name of `TRACKERS`, or a module of wandb's shape.
        run_dir: the folder of the run.

    Raises:
        UsageError: no such tracker, not installed, or it lets nobody in; and with the first iteration, where it cannot
            begin to track.
    """

    def __init__(self, track: Any, run_dir: Path) -> None:
        with _chatter_on_stderr():
            self._tracker: Tracker | None = find_tracker(track)
        self._run_dir, self._name, self._begun = run_dir.absolute(), self._tracker.name, False
        self._known = known_ids(self._run_dir)

    def __enter__(self) -> Tracking:
        return self

    def __call__(self, row: Row) -> None:
        """Tell the tracker of an iteration: every number, with the iteration as its step."""
        if self._tracker is None:
            return
        if not self._begun:
            self._begin(self._tracker)
        numbers = {name: value for name, value in row.items() if isinstance(value, int | float)}
        finite = {name: value for name, value in numbers.items() if math.isfinite(value)}
        with self._forgiven("training goes on without it"), _chatter_on_stderr():
            self._tracker.log(finite, row["iteration"])

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._tracker is not None and self._begun:
            with self._forgiven("the training itself has ended well" if error is None else ""), _chatter_on_stderr():
                self._tracker.end(finished=error is None)

    def _begin(self, tracker: Tracker) -> None:
        file = read_config_file(self._run_dir)
        config = _flat({**file.content, "problem": _described(file.problem), "equipoise": file.version})
        try:
            with _chatter_on_stderr():
                own = tracker.begin(self._run_dir.name, self._known.get(self._name), config)
        except Exception as error:
            raise UsageError(
                f"{self._name} could not begin: {error}; what is trained so far is kept: "
                f"{command('resume', self._run_dir)} goes on, with or without --track"
            ) from None
        self._begun = True
        ids = json.dumps({**self._known, self._name: own}, indent=2) + "\n"
        write_atomically(self._run_dir / FILE, ids.encode())

    @contextlib.contextmanager
    def _forgiven(self, therefore: str) -> Iterator[None]:
        """Tell of an error of the tracker once, and leave it alone from then on."""
        try:
            yield
        except Exception as error:
            self._tracker = None
            why = f"{self._name} failed ({error})" + (f"; {therefore}" if therefore else "")
            warnings.warn(why, Notice, stacklevel=3)


def tracked(track: Any, run_dir: Path) -> contextlib.AbstractContextManager[Tracking | None]:
    """Return the `Tracking` of a training, to be entered; without `track` there is none, and None is entered."""
    return contextlib.nullcontext() if track is None else Tracking(track, run_dir)


def known_ids(run_dir: Path) -> dict[str, str]:
    """Read under which id each tracker knows the run in `run_dir`; `UsageError` for a file that is damaged."""
    path = run_dir / FILE
    if not path.exists() and not path.is_symlink():
        return {}
    try:
        ids = json.loads(read_file(path, MOST_BYTES))
        sound = all(re.fullmatch(r"[A-Za-z0-9_-]{1,64}", text) for pair in ids.items() for text in pair)
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        if isinstance(error, UsageError):
            raise
        sound = False
    if not sound:
        raise UsageError(f"{path} does not name runs of trackers; remove it to track the run anew")
    found: dict[str, str] = ids
    return found


@contextlib.contextmanager
def _chatter_on_stderr() -> Iterator[None]:
    with contextlib.redirect_stdout(sys.stderr):  # stdout may be a script's, that reads JSON
        yield


def _described(problem: Any) -> dict[str, Any]:
    return {name: getattr(problem, name) for name in ("observation_size", "action_size", "horizon", "cost_names")}


def _flat(content: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return the settings of nested tables by their dotted names."""
    found: dict[str, Any] = {}
    for key, value in content.items():
        found |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
    return found
