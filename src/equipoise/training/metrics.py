"""Metrics: one row an iteration, to `metrics.csv` and to TensorBoard."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.event_file_writer import EventFileWriter

from equipoise.algorithms.algorithm import Report
from equipoise.algorithms.rule import MODES
from equipoise.algorithms.steps.report import OUTCOMES
from equipoise.errors import UsageError
from equipoise.files import append, write_atomically
from equipoise.training.episodes import encode
from equipoise.training.rollout import Rollout
from equipoise.training.rows import Row, read_metrics


def per_cost(column: str, names: Sequence[str], values: Any) -> Row:
    """Return `column/NAME` for every cost."""
    return {f"{column}/{name}": float(v) for name, v in zip(names, values, strict=True)}


def per_objective(column: str, names: Sequence[str], values: Any) -> Row:
    """Return `column/reward`, and `column/NAME` for every cost."""
    return {f"{column}/reward": float(values[0]), **per_cost(column, names, values[1:])}


def own_columns(names: Sequence[str], own: dict[str, Any]) -> Row:
    """Return what a step, a rule or a policy logs besides: one number in all, per constraint, or per objective."""
    row: Row = {}
    for column, value in own.items():
        value = np.asarray(value)
        if value.ndim == 0:
            row[column] = value.item()
        else:
            row |= (per_cost if len(value) == len(names) else per_objective)(column, names, value)
    return row


def in_own_sense(gain: Any) -> np.ndarray:
    """Turn changes of which up is better into changes of the reward and of the costs themselves."""
    return np.asarray(gain) * np.where(np.arange(len(gain)) == 0, 1.0, -1.0)


def measure(
    rollout: Rollout,
    report: Report,
    names: Sequence[str],
    limits: Sequence[float],
    last_estimate: np.ndarray,
    violation: np.ndarray,
) -> Row:
    """Describe an iteration. Rewards and costs are per episode; docs/metrics.md explains every column.

    `violation` is the running mean of (Ĵ − b)⁺/b, `last_estimate` the Ĵ_r and Ĵ_k of the iteration before.
    """
    seen, step = rollout.batch.estimate, report.step
    change = np.concatenate([[seen.reward], seen.cost]) - last_estimate
    return {
        "reward": float(seen.reward),
        "reward_se": float(seen.reward_se),
        **per_cost("cost", names, seen.cost),
        **per_cost("cost_se", names, seen.cost_se),
        **per_cost("limit", names, limits),
        "episodes": int(seen.episodes),
        "diverged": rollout.diverged,
        "mode": MODES[int(step.mode)],
        "outcome": OUTCOMES[int(step.outcome)],
        **per_cost("cos", names, step.cos),
        **per_objective("predicted_change", names, in_own_sense(step.gain)),
        **per_objective("change", names, change),
        "kl": float(step.kl),
        **own_columns(names, {**step.own, **report.rule}),
        **own_columns(names, report.policy),
        **per_objective("explained", names, report.explained),
        **per_cost("violation", names, violation),
    }


class MetricsLog:
    """The run's metrics on disk; opening it forgets rows after `iteration`, which a killed run may have left."""

    def __init__(self, run: Path, iteration: int) -> None:
        self._path = run / "metrics.csv"
        rows = [row for row in read_metrics(self._path) if row["iteration"] <= iteration]
        self._columns = list(rows[0]) if rows else []
        if self._path.exists():
            write_atomically(self._path, encode(rows, header=True) if rows else b"")
        self._events = EventFileWriter(str(run))
        self._events.add_event(
            Event(step=iteration + 1, wall_time=time.time(), session_log=SessionLog(status=SessionLog.START))
        )

    def append(self, row: Row) -> None:
        """Add a row. Raises `OSError` if it does not fit on the disk, and then adds nothing."""
        header = not self._columns
        self._columns = self._columns or list(row)
        if set(row) != set(self._columns):
            other = ", ".join(sorted(set(row) ^ set(self._columns)))
            raise UsageError(f"{self._path} has other columns than this run writes ({other}); allowed: the same")
        # Before its checkpoint, which is never without its row.
        append(self._path, encode([row], header, self._columns))
        numbers = {name: value for name, value in row.items() if isinstance(value, int | float)}
        values = [Summary.Value(tag=name, simple_value=value) for name, value in numbers.items()]
        self._events.add_event(Event(step=row["iteration"], wall_time=time.time(), summary=Summary(value=values)))
        self._events.flush()

    def close(self) -> None:
        """Flush what TensorBoard has not yet been given."""
        self._events.close()
