"""A run's folder: one training at a time, nothing lost on resuming, nothing left when nothing came of it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import equipoise
from equipoise.cli import main
from equipoise.files import write_atomically
from equipoise.training.folder import LOCK, reserved
from equipoise.training.rows import read_metrics
from equipoise.training.run import read_config, resumed_state

TASK = "rail:QuickRail-v0"
QUICK = {"total_steps": 120, "num_envs": 2, "steps_per_iteration": 40, "limits": (1.0,)}
COMMAND = ["train", "trpo", TASK, "--num-envs", "2", "--steps-per-iteration", "40", "--limits", "1", "--total-steps"]


def resume(folder):
    return equipoise.resume(folder, environment=TASK)


def start(*arguments, cwd=None):
    """Start the command line in a process of its own."""
    paths = [str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]
    return subprocess.Popen(
        [sys.executable, "-m", "equipoise", *COMMAND, *arguments],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))},
        cwd=cwd,
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run of three iterations."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    equipoise.train("trpo", TASK, run_dir=folder, **QUICK)
    return folder


def checkpoints(folder):
    return sorted((folder / "checkpoints").glob("*.npz"))


def content(folder):
    """Every file below a folder with its bytes."""
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# Rows and checkpoints belong together


@pytest.mark.slow
def test_rows_without_a_checkpoint_are_an_error_and_stay(run):
    for path in checkpoints(run):
        path.unlink()
    before = content(run)
    with pytest.raises(equipoise.UsageError, match="no checkpoint"):
        equipoise.Run.load(run)
    with pytest.raises(equipoise.UsageError, match="has 3 rows"):
        resume(run)
    assert content(run) == before


def test_a_checkpoint_without_its_rows_is_an_error_on_resuming(run):
    lines = (run / "metrics.csv").read_text().splitlines(keepends=True)
    (run / "metrics.csv").write_text("".join(lines[:2]))
    before = content(run)
    with pytest.raises(equipoise.UsageError, match="has 1 rows"):
        resume(run)
    assert content(run) == before


def test_a_run_killed_before_its_first_checkpoint_begins_anew(run, finished):
    lines = (run / "metrics.csv").read_text().splitlines(keepends=True)
    (run / "metrics.csv").write_text("".join(lines[:2]))
    shutil.rmtree(run / "checkpoints")
    resumed = resume(run)
    assert [row["reward"] for row in resumed.metrics] == [row["reward"] for row in equipoise.Run.load(finished).metrics]


def test_an_older_checkpoint_makes_the_rows_after_it_again(run, finished):
    for path in checkpoints(run)[1:]:
        path.unlink()
    resumed = resume(run)
    assert [row["reward"] for row in resumed.metrics] == [row["reward"] for row in equipoise.Run.load(finished).metrics]


def test_a_checkpoint_under_another_number_is_refused(run):
    first, *_, last = checkpoints(run)
    last.write_bytes(first.read_bytes())
    with pytest.raises(equipoise.UsageError, match="is of iteration 1"):
        equipoise.Run.load(run)


# A run that is complete


def test_a_complete_run_needs_no_environment_to_say_that_nothing_is_left(run, capsys):
    before = content(run)
    assert main(["resume", str(run)]) == 0
    told = capsys.readouterr()
    assert "was complete, nothing is left to be done: 120 steps of 120" in told.out
    assert "equipoise resume" not in told.out and "allow that" not in told.err
    resumed = equipoise.resume(run)
    assert resumed.state.iteration == 3
    assert {name: data for name, data in content(run).items() if name != Path("plot.png")} == before


# A watcher that ends a run


def until(iteration, answer):
    """A watcher that answers from an iteration on, and remembers what it saw."""
    seen = []

    def watch(row):
        seen.append(row["iteration"])
        return answer if row["iteration"] >= iteration else None

    return watch, seen


@pytest.mark.parametrize("answer", [False, np.False_])
def test_a_watcher_that_returns_false_ends_the_run_cleanly_and_it_can_go_on(answer, finished, tmp_path):
    watch, seen = until(2, answer)
    run = equipoise.train("trpo", TASK, run_dir=tmp_path / "cut", watch=watch, **QUICK)
    assert seen == [1, 2] == [row["iteration"] for row in run.metrics]
    assert run.state.iteration == 2
    assert not (tmp_path / "cut" / LOCK).exists()
    watch, seen = until(3, answer)
    resumed = equipoise.resume(tmp_path / "cut", environment=TASK, watch=watch)
    assert seen == [3]
    whole = equipoise.Run.load(finished)
    assert [row["reward"] for row in resumed.metrics] == [row["reward"] for row in whole.metrics]
    observation = np.array([0.3, -0.2])
    assert np.array_equal(resumed.policy(observation), whole.policy(observation))


@pytest.mark.parametrize("answer", [None, True, 0, "", []])
def test_any_other_answer_of_a_watcher_changes_nothing(answer, tmp_path):
    watch, seen = until(1, answer)
    equipoise.train("trpo", TASK, run_dir=tmp_path / "run", watch=watch, **QUICK)
    assert seen == [1, 2, 3]


# Earlier checkpoints


def test_an_earlier_checkpoint_is_opened_and_evaluated_as_what_it_is(run, tmp_path, capsys):
    cut = equipoise.train("trpo", TASK, run_dir=tmp_path / "cut", **{**QUICK, "total_steps": 80})
    early = equipoise.Run.load(run, iteration=2)
    observation = np.array([0.3, -0.2])
    assert np.array_equal(early.policy(observation), cut.policy(observation))
    assert not np.array_equal(early.policy(observation), equipoise.Run.load(run).policy(observation))
    found = equipoise.evaluate(early, episodes=4, environment=TASK)
    written = json.loads((run / "evaluation.json").read_text())
    assert (written["iteration"], written["steps"]) == (found.iteration, found.steps) == (2, 80)
    assert main(["evaluate", str(run), "--environment", TASK, "--episodes", "4", "--iteration", "2"]) == 0
    assert json.loads((run / "evaluation.json").read_text()) == written
    assert "iteration 2," in capsys.readouterr().out
    assert equipoise.evaluate(equipoise.Run.load(run), episodes=4, environment=TASK).iteration == 3


@pytest.mark.parametrize("command", ["evaluate", "render", "watch", "conflict"])
def test_a_checkpoint_that_is_not_kept_is_told_with_those_that_are(command, run, capsys):
    for kept in (checkpoints(run)[1], run / "policies" / checkpoints(run)[1].name):
        kept.unlink()
    before = content(run)
    assert main([command, str(run), "--environment", TASK, "--iteration", "20"]) == 2
    said = capsys.readouterr().err
    assert said == f"equipoise: {run} has no checkpoint of iteration 20; there: 1, 3; nearest: 3\n"
    assert content(run) == before


# One training at a time


def test_a_folder_in_use_is_refused_to_a_new_run_and_to_resume(tmp_path, run):
    new = tmp_path / "new"
    with reserved(new, new=True), pytest.raises(equipoise.UsageError, match="is in use: another training writes"):
        equipoise.train("trpo", TASK, run_dir=new, **QUICK)
    assert not new.exists()
    with reserved(run, new=False), pytest.raises(equipoise.UsageError, match="is in use: another training writes"):
        resume(run)


@pytest.mark.slow
def test_of_two_trainings_started_together_one_runs(tmp_path):
    both = [start("120", "--run-dir", str(tmp_path / "run"), "--seed", str(i)) for i in range(2)]
    said = [process.communicate()[1] for process in both]
    assert sorted(process.returncode for process in both) == [0, 2]
    (refused,) = (text for process, text in zip(both, said, strict=True) if process.returncode)
    assert "is in use" in refused or "exists" in refused
    seed = equipoise.Run.load(tmp_path / "run").config.seed
    assert both[seed].returncode == 0
    assert len(read_metrics(tmp_path / "run" / "metrics.csv")) == 3


def test_a_lock_of_a_killed_process_keeps_nobody_out(tmp_path, run):
    new = tmp_path / "new"
    new.mkdir()
    for folder in (new, run):
        (folder / LOCK).touch()
    (new / ".config.json.4711").write_text("{")
    equipoise.train("trpo", TASK, run_dir=new, **{**QUICK, "total_steps": 40})
    resume(run)
    assert not list(new.rglob(".*")) and not list(run.rglob(".*"))


def test_an_empty_folder_is_taken_and_given_back(tmp_path):
    class StopError(Exception):
        pass

    def stop(random):
        raise StopError

    import gymnasium

    class Broken(gymnasium.Env):
        observation_space = gymnasium.spaces.Box(-1, 1, (2,))
        action_space = gymnasium.spaces.Box(-1, 1, (1,))
        reset = stop

    for folder, made in ((tmp_path / "a" / "b" / "new", False), (tmp_path / "schedulers", True)):
        if made:
            folder.mkdir()
        with pytest.raises((StopError, TypeError)):
            equipoise.train("trpo", Broken, run_dir=folder, horizon=50, limits=(1.0,), **QUICK)
        assert folder.exists() == made and not (made and list(folder.iterdir()))
    assert not (tmp_path / "a").exists()


def test_what_killed_processes_left_half_written_goes_on_the_next_start(run):
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    left = [run / f".metrics.csv.{dead.pid}", run / "checkpoints" / f".000002.npz.{dead.pid}"]
    kept = [run / ".metrics.csv.notes", run / f".gitignore.{dead.pid}", run / f".plot.png.{os.getppid()}"]
    for path in (*left, *kept):
        path.touch()
    resume(run)
    assert not any(path.exists() for path in left)
    assert all(path.exists() for path in kept)


def test_writing_a_file_clears_what_was_left_of_it(tmp_path):
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    (tmp_path / f".film.mp4.{dead.pid}").touch()
    (tmp_path / f".film.mp4.{os.getpid()}").touch()
    write_atomically(tmp_path / "film.mp4", b"film")
    assert [path.name for path in tmp_path.iterdir()] == ["film.mp4"]


# Stopping


@pytest.mark.slow
def test_ctrl_c_says_what_is_there_and_how_to_go_on(tmp_path):
    def stopped(when):
        process = start("1000000", "--run-dir", "my run", cwd=tmp_path)
        while not when() and process.poll() is None:
            time.sleep(0.005)
        process.send_signal(signal.SIGINT)
        said = process.communicate()[1]
        assert process.returncode == 130, said
        return [line for line in said.splitlines() if line.startswith("equipoise: ")]

    folder = tmp_path / "my run"
    said = stopped(lambda: (folder / LOCK).exists())
    assert said == ["equipoise: stopped in the first iteration: nothing is kept, and no folder is left"]
    assert not folder.exists()
    said = stopped(lambda: checkpoints(folder))
    way_on = f"equipoise resume 'my run' --environment {TASK}"
    assert said == [f"equipoise: stopped; this goes on from the last iteration: {way_on}"]
    state = resumed_state(folder, *read_config(folder))
    assert state.iteration >= 1


# Folders that cannot be written to, or are looked at from elsewhere


def test_a_run_can_be_used_after_the_working_folder_changed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    trained = equipoise.train("trpo", TASK, run_dir="run", **{**QUICK, "total_steps": 40})
    loaded = equipoise.Run.load("run")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    for opened in (trained, loaded):
        equipoise.evaluate(opened, episodes=2, environment=TASK)
    assert (tmp_path / "run" / "evaluation.json").exists()
    assert not list((tmp_path / "elsewhere").iterdir())


def read_only(monkeypatch, folder):
    """Make a folder read-only, as a file system can be, even for the superuser."""

    def refuse_below(function):
        def refusing(path, *args, **kwargs):
            if path.is_relative_to(folder) and (function is not Path.open or args[:1] == ("xb",)):
                raise OSError(30, "Read-only file system", str(path))
            return function(path, *args, **kwargs)

        return refusing

    for name in ("open", "mkdir"):
        monkeypatch.setattr(Path, name, refuse_below(getattr(Path, name)))


def test_a_folder_that_cannot_be_written_to_is_told_before_the_first_iteration(tmp_path, monkeypatch, capsys):
    read_only(monkeypatch, tmp_path)
    monkeypatch.setattr("equipoise.training.loop.iterate", lambda *_: pytest.fail("an iteration was begun"))
    assert main([*COMMAND, "40", "--run-dir", str(tmp_path / "run")]) == 2
    said = capsys.readouterr().err
    assert "cannot write to" in said and "Read-only file system" in said and said.count("\n") == 1


def test_a_run_on_a_read_only_file_system_can_be_evaluated(run, monkeypatch, capsys):
    read_only(monkeypatch, run)
    assert main(["evaluate", str(run), "--episodes", "2", "--environment", TASK]) == 0
    said = capsys.readouterr()
    assert "certificate" in said.out
    assert "written" not in said.out
    assert "evaluation.json is not written: Read-only file system" in said.err
    assert main(["plot", str(run)]) == 2
    assert "Read-only file system" in capsys.readouterr().err


def test_where_there_are_no_locks_that_is_said(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr("fcntl.flock", refuse)
    with pytest.warns(UserWarning, match="has no locks"), reserved(tmp_path / "run", new=True):
        pass


def test_the_loaded_policy_is_the_trained_one(tmp_path):
    trained = equipoise.train("trpo", TASK, run_dir=tmp_path / "run", **{**QUICK, "total_steps": 40})
    observation = np.linspace(-1, 1, trained.problem.observation_size)
    assert np.array_equal(trained.policy(observation), equipoise.Run.load(tmp_path / "run").policy(observation))
