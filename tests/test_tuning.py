"""The page on tuning: its program runs, prunes, and knows what is certified."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import equipoise
from equipoise.training.evaluation import read_evaluation_file

PAGE = Path(__file__).parents[1] / "docs" / "tuning.md"
SHORTER = {
    "total_steps=300_000": "total_steps=6000, num_envs=2, steps_per_iteration=2000",
    "n_startup_trials=5, n_warmup_steps=4": "n_startup_trials=1, n_warmup_steps=0",
    "n_trials=30": "n_trials=4",
    "episodes=100": "episodes=2",
}


@pytest.mark.slow
def test_the_program_of_the_page_tunes(tmp_path, monkeypatch, capsys):
    optuna = pytest.importorskip("optuna")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    program = re.search(r"```python no-run\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)[1]
    for long, short in SHORTER.items():
        assert long in program
        program = program.replace(long, short)
    monkeypatch.chdir(tmp_path)
    names: dict = {"__name__": "__main__"}
    exec(compile(program, "tune.py", "exec", dont_inherit=True), names)
    trials = names["study"].trials
    states = [trial.state.name for trial in trials]
    assert len(trials) == 4 and set(states) <= {"COMPLETE", "PRUNED"}
    for trial in trials:
        run = equipoise.Run.load(f"tuning/trial{trial.number}")
        step = run.config.algorithm.step
        assert step.max_kl == trial.params["step.max_kl"]
        assert run.config.algorithm.rule.slack.low == trial.params["slack.low"]
        rows = run.metrics
        assert trial.intermediate_values == {row["iteration"]: names["score"](row) for row in rows}
        assert (len(rows) < 3) <= (trial.state.name == "PRUNED")
        if trial.state.name == "PRUNED":
            assert trial.constraints == names["excess"](rows[-1])
        else:
            cost = read_evaluation_file(run.path).stochastic.costs[0]
            assert trial.constraints == {"cost": cost.upper / cost.limit - 1} and trial.value is not None
    assert "PRUNED" in states and "COMPLETE" in states
    assert capsys.readouterr().out == ""  # nothing is certified after so little
    row = {"reward": 3.0, "cost/a": 2.0, "limit/a": 4.0, "cost/b": 6.0, "limit/b": 4.0}
    assert names["excess"](row) == {"a": -0.5, "b": 0.5} and names["score"](row) == -1.5e6
    assert names["score"](row | {"cost/b": 4.0}) == 3.0
