"""A run's single episodes on disk: those that its metrics and its evaluation are the means of."""

from __future__ import annotations

import re
import shutil

import numpy as np
import pytest

import equipoise
from equipoise.errors import UsageError
from equipoise.training import loop
from equipoise.training.episodes import EpisodeLog
from equipoise.training.rows import read_episodes, read_evaluation

SMALL = {"total_steps": 8000, "steps_per_iteration": 4000, "num_envs": 2}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return equipoise.train("crpo", "SafetyReacher-v4", run_dir=tmp_path_factory.mktemp("runs") / "run", **SMALL)


@pytest.mark.slow
def test_the_means_of_the_episodes_are_the_rows_of_the_metrics(run):
    episodes = read_episodes(run.path / "episodes.csv", ["cost"])
    for row in run.metrics:
        mine = [episode for episode in episodes if episode["iteration"] == row["iteration"]]
        assert len(mine) == row["episodes"] == 4
        for column in ("reward", "cost/cost"):
            assert np.mean([episode[column] for episode in mine]) == pytest.approx(row[column], rel=1e-12)


@pytest.mark.slow
def test_the_means_of_the_evaluated_episodes_are_the_evaluation(run):
    found = equipoise.evaluate(run, episodes=3)
    rows = read_evaluation(run.path / "evaluation.csv", ["cost"])
    for policy in ("stochastic", "deterministic"):
        mine, said = [row for row in rows if row["policy"] == policy], getattr(found, policy)
        assert len(mine) == 3
        assert np.mean([row["reward"] for row in mine]) == pytest.approx(said.reward.value, rel=1e-12)
        assert np.mean([row["cost/cost"] for row in mine]) == pytest.approx(said.costs[0].mean.value, rel=1e-12)


@pytest.mark.slow
def test_a_run_that_was_cut_has_the_same_episodes(run, tmp_path):
    def stop(row):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        equipoise.train("crpo", "SafetyReacher-v4", run_dir=tmp_path / "cut", watch=stop, **SMALL)
    log = tmp_path / "cut" / "episodes.csv"
    log.write_text(log.read_text() + "2,1.0,1.0\n2,1.")  # of an iteration that was never checkpointed, and torn
    loop.resume(tmp_path / "cut")
    assert log.read_text() == (run.path / "episodes.csv").read_text()


@pytest.mark.slow
def test_a_run_whose_episodes_are_gone_is_not_gone_on_with(run, tmp_path):
    shutil.copytree(run.path, tmp_path / "run")
    (tmp_path / "run" / "episodes.csv").unlink()
    with pytest.raises(UsageError, match=r"episodes\.csv has no episodes of the 1 iterations before"):
        EpisodeLog(tmp_path / "run", 1, ["cost"])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("iteration,reward\n", "line 1: 'iteration,reward'; allowed: iteration,reward,cost/cost"),
        (
            "iteration,reward,cost/cost\n2,0.0,1.0\n1,0.0,1.0\n",
            "line 3: iteration is 1; allowed: a whole number from 2 on",
        ),
        ("iteration,reward,cost/cost\n1,0.0,dear\n", "line 2: cost/cost is 'dear'; allowed: a number"),
    ],
)
def test_episodes_that_no_run_writes_are_refused(text, said, tmp_path):
    (tmp_path / "episodes.csv").write_text(text)
    with pytest.raises(UsageError, match=re.escape(said)):
        read_episodes(tmp_path / "episodes.csv", ["cost"])
