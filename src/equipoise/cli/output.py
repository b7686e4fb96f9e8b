"""How much commands say, and what they say to scripts: one JSON object a line, on stdout."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from equipoise.training.record import Record
    from equipoise.training.rows import Row


@dataclass(frozen=True)
class Says:
    """What a training says, by the options `--quiet`, `--json` and `--track`."""

    quiet: bool
    """Nothing but mistakes, and in JSON the summary."""
    json: bool
    """JSON instead of words."""
    track: str | None = None
    """The tracker that is told, too."""

    @property
    def shown(self) -> bool:
        """Whether there are words, tables and bars."""
        return not (self.quiet or self.json)

    @property
    def track_again(self) -> str:
        """The option with which `resume` goes on with the tracked run."""
        return f" --track {self.track}" if self.track else ""

    def iteration(self, row: Row) -> None:
        """Say an iteration's row of metrics."""
        if self.json and not self.quiet:
            say_json("iteration", row)

    def summary(self, run: Record, **more: Any) -> None:
        """Say what a run has come to, and `more`."""
        if self.json:
            say_json("summary", {**summary_of(run), **more})


def summary_of(run: Record) -> dict[str, Any]:
    """Return what a run of at least one iteration has come to: its last row, and whether that is within the limits."""
    last = run.metrics[-1]
    costs = {
        name: {"mean": last[f"cost/{name}"], "se": last[f"cost_se/{name}"], "limit": last[f"limit/{name}"]}
        for name in run.problem.cost_names
    }
    return {
        "run": run.path,
        "task": run.problem.id,
        "algorithm": run.algorithm_name,
        "seed": run.seed,
        "iteration": last["iteration"],
        "steps": last["steps"],
        "reward": {"mean": last["reward"], "se": last["reward_se"]},
        "costs": costs,
        "within_limits": all(cost["mean"] <= cost["limit"] for cost in costs.values()),
    }


def say_json(event: str, content: dict[str, Any]) -> None:
    """Print one line: a JSON object of what happened, under `event`, and `content`.

    A number that is not finite is null, as JSON has no word for it.
    """
    print(json.dumps(_plain({"event": event, **content}), ensure_ascii=False, allow_nan=False), flush=True)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return str(value) if isinstance(value, Path) else value
