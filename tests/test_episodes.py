"""A run's single episodes on disk: those that its metrics and its evaluation are the means of."""

from __future__ import annotations

import errno

import numpy as np
import pytest

import equipoise
from equipoise import files
from equipoise.training import loop
from equipoise.training.metrics import read_metrics

SMALL = {"total_steps": 8000, "steps_per_iteration": 4000, "num_envs": 2}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return equipoise.train("crpo", "SafetyReacher-v4", run_dir=tmp_path_factory.mktemp("runs") / "run", **SMALL)


def test_the_means_of_the_episodes_are_the_rows_of_the_metrics(run):
    episodes = read_metrics(run.path / "episodes.csv")
    for row in run.metrics:
        mine = [episode for episode in episodes if episode["iteration"] == row["iteration"]]
        assert len(mine) == row["episodes"] == 4
        for column in ("reward", "cost/cost"):
            assert np.mean([episode[column] for episode in mine]) == pytest.approx(row[column], rel=1e-12)


def test_the_means_of_the_evaluated_episodes_are_the_evaluation(run):
    found = equipoise.evaluate(run, episodes=3)
    rows = read_metrics(run.path / "evaluation.csv")
    for policy in ("stochastic", "deterministic"):
        mine, said = [row for row in rows if row["policy"] == policy], getattr(found, policy)
        assert len(mine) == 3
        assert np.mean([row["reward"] for row in mine]) == pytest.approx(said.reward.value, rel=1e-12)
        assert np.mean([row["cost/cost"] for row in mine]) == pytest.approx(said.costs[0].mean.value, rel=1e-12)


def test_a_run_that_was_cut_has_the_same_episodes(run, tmp_path):
    def stop(row):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        equipoise.train("crpo", "SafetyReacher-v4", run_dir=tmp_path / "cut", watch=stop, **SMALL)
    log = tmp_path / "cut" / "episodes.csv"
    log.write_text(log.read_text() + "2,1.0,1.0\n2,1.")  # of an iteration that was never checkpointed, and torn
    loop.resume(tmp_path / "cut")
    assert log.read_text() == (run.path / "episodes.csv").read_text()


def test_a_full_disk_leaves_what_was_there(tmp_path, monkeypatch):
    path = tmp_path / "log"
    files.append_or_nothing(path, b"one\n")
    opened = type(path).open

    def full(self, mode, *rest):
        file = opened(self, mode, *rest)
        file.write(b"half")
        file.close()
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(type(path), "open", full)
    with pytest.raises(OSError, match="No space"):
        files.append_or_nothing(path, b"two\n")
    monkeypatch.undo()
    assert path.read_bytes() == b"one\n"
