"""Nothing long is silent, on stderr; and what Python's functions return is shown in a line."""

from __future__ import annotations

import base64
import dataclasses
import io
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

import equipoise
from equipoise import progress
from equipoise.cli import main
from equipoise.notebook import Output
from equipoise.progress import Progress
from equipoise.training import display, views
from equipoise.training.config import Config
from equipoise.training.record import Record

TASK = "rail:QuickRail-v0"
SIZES = {"total_steps": 80, "num_envs": 2, "steps_per_iteration": 40, "limits": (1.0,)}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run of two iterations."""
    return equipoise.train("pcrpo", TASK, run_dir=tmp_path_factory.mktemp("runs") / "run", **SIZES)


@pytest.fixture
def every_step(monkeypatch):
    """Say a line at every occasion, instead of one every few seconds."""
    monkeypatch.setattr(progress, "LINE_EVERY", 0.0)


def said(capsys):
    """What was said on stderr, line by line."""
    return capsys.readouterr().err.splitlines()


# Lines in a pipe


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "title"),
    [
        (["evaluate", "--episodes", "2"], f"evaluating {TASK}: "),
        (["conflict", "--episodes", "30", "--grid", "3"], f"conflict in {TASK}: "),
    ],
)
def test_a_command_says_in_a_pipe_how_far_it_is(arguments, title, run, every_step, capsys):
    command, *options = arguments
    assert main([command, str(run.path), "--environment", TASK, *options]) == 0
    lines = said(capsys)
    assert lines[0] == f"{title}begins"
    shares = [int(line.removeprefix(title).split(" %")[0]) for line in lines[1:]]
    assert shares == sorted(shares) and shares[-1] == 100 and len(set(shares)) > 5


@pytest.mark.slow
def test_conflict_says_what_it_is_doing(run, every_step, capsys):
    assert main(["conflict", str(run.path), "--environment", TASK, "--episodes", "30", "--grid", "3"]) == 0
    lines = "\n".join(said(capsys))
    assert "(checkpoint of iteration 1, of 2)" in lines
    assert "(map of 3 × 3 policies around iteration 2)" in lines


def test_a_line_comes_now_and_then_only(capsys, monkeypatch):
    clock = iter([100.0, *(100.0 + i for i in range(1, 26))])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    with Progress("work", shown=True) as shown:
        for i in range(1, 26):
            shown.reach(i / 25, "a part")
    assert said(capsys) == [
        "work: begins",
        "work: 40 % (a part), 10 s, about 15 s left",
        "work: 80 % (a part), 20 s, about 5 s left",
    ]


def test_the_theory_says_how_far_it_is(every_step, monkeypatch, capsys, tmp_path):
    from equipoise.theory import experiment

    def reproduce(times, problems, seed, watch):
        watch(0.5)
        raise KeyboardInterrupt

    monkeypatch.setattr(experiment, "reproduce", reproduce)
    assert main(["theory", "--out", str(tmp_path / "theory")]) == 130
    assert said(capsys)[:2] == ["100 problems: begins", "100 problems: 50 %, 0 s, about 0 s left"]


def test_training_says_its_iterations_on_stderr(tmp_path, capsys):
    options = ["--num-envs", "2", "--steps-per-iteration", "40", "--limits", "1", "--total-steps", "80"]
    assert main(["train", "pcrpo", TASK, "--run-dir", str(tmp_path / "run"), *options]) == 0
    assert said(capsys)[0].startswith("iteration    1  reward ")


def test_an_iteration_that_takes_long_is_not_silent(run, monkeypatch, capsys):
    monkeypatch.setattr(views, "LINE_EVERY", 0.02)
    with display.Display(run.config, shown=True) as shown:
        time.sleep(0.2)
        shown.show(run.metrics[0])
        time.sleep(0.2)
    lines = said(capsys)
    assert lines[0] == f"pcrpo on {TASK}: at work, no iteration is over yet"
    assert lines[-1] == f"pcrpo on {TASK}: after iteration 1"
    time.sleep(0.1)
    assert said(capsys) == []


def test_an_iteration_of_no_steps_is_told_in_a_line(tmp_path, capsys):
    command = ["train", "pcrpo", "SafetyHopper-v4", "--run-dir", str(tmp_path / "run")]
    assert main([*command, "--steps-per-iteration", "0"]) == 2
    assert "0 steps an iteration are no whole number of episodes" in capsys.readouterr().err


# Python's functions: where somebody looks


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self):
        return True


def test_python_is_silent_where_nobody_looks(run, tmp_path, every_step, capsys):
    equipoise.evaluate(run, episodes=2, environment=TASK)
    equipoise.train("pcrpo", TASK, run_dir=tmp_path / "run", **SIZES)
    assert capsys.readouterr() == ("", "")


def test_python_says_how_far_it_is_where_it_is_told_to(run, tmp_path, every_step, capsys):
    equipoise.train("pcrpo", TASK, run_dir=tmp_path / "run", progress=True, **SIZES)
    assert said(capsys)[0].startswith("iteration    1  reward ")
    equipoise.evaluate(run, episodes=2, environment=TASK, progress=True)
    assert said(capsys)[0] == f"evaluating {TASK}: begins"


def test_a_watch_replaces_what_is_shown_or_stands_beside_it(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(display, "somebody_looks", lambda: True)
    seen = []
    equipoise.train("pcrpo", TASK, run_dir=tmp_path / "run", watch=seen.append, **SIZES)
    assert said(capsys) == [] and [row["iteration"] for row in seen] == [1, 2]
    equipoise.train("pcrpo", TASK, run_dir=tmp_path / "other", watch=seen.append, progress=True, **SIZES)
    assert said(capsys)[0].startswith("iteration    1  reward ") and len(seen) == 4
    equipoise.train("pcrpo", TASK, run_dir=tmp_path / "third", progress=False, **SIZES)
    assert said(capsys) == []


def test_lines_say_how_much_is_left_and_hold_no_control_characters(run, monkeypatch, capsys):
    now = iter([0.0, *[10.0] * 4, *[20.0] * 4, *[1e6] * 9])
    monkeypatch.setattr(time, "monotonic", lambda: next(now))
    with display.Display(dataclasses.replace(run.config, total_steps=160), shown=True) as shown:
        for row in run.metrics:
            shown.show(row)
    first, second = said(capsys)
    assert first.startswith("iteration    1  reward ") and first.endswith(" steps/s  25 %  about 30 s left")
    assert second.endswith("  50 %  about 20 s left")
    assert first.isprintable() and second.isprintable()


def test_an_iteration_that_was_written_down_before_foretells_nothing(run, capsys):
    with display.Display(run.config, steps=40, shown=True) as shown:
        shown.show(run.metrics[0])
    (line,) = said(capsys)
    assert line.endswith(" steps/s  50 %")


# Notebooks


@pytest.fixture
def notebook(monkeypatch):
    """A process that is a notebook's; the outputs of its cell, each a list of what was shown there."""
    outputs = []

    def show(bundle, raw, display_id):
        assert raw and display_id
        output = [bundle]
        outputs.append(output)
        return SimpleNamespace(update=lambda bundle, raw: output.append(bundle))

    shell = type("ZMQInteractiveShell", (), {})()
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
    monkeypatch.setitem(sys.modules, "IPython.display", SimpleNamespace(display=show))
    return outputs


def test_a_notebook_sees_a_bar_and_a_live_picture_of_a_training(notebook, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(views, "PICTURE_EVERY", 0.0)
    monkeypatch.setattr(views, "PICTURE_SHARE", 1e9)
    run = equipoise.train("pcrpo", TASK, run_dir=tmp_path / "run", **SIZES)
    bar, picture = notebook
    assert len(bar) == 3  # before, and after each iteration
    assert "0/80 steps" in bar[0]["text/plain"]
    last = run.metrics[-1]
    for kind in ("text/plain", "text/html"):
        assert f"{last['reward']:.4g}" in bar[-1][kind] and "80/80" in bar[-1][kind].replace("</span>", "")
    images = [base64.b64decode(shown["image/png"]) for shown in picture]
    assert len(images) == 2 and images[0] != images[1]  # of one iteration, and of two
    assert images[1] == equipoise.draw(run).read_bytes()
    assert capsys.readouterr() == ("", "")


def test_pictures_are_seldom_and_the_last_one_is_there_in_the_end(notebook, run, monkeypatch):
    with display.Display(run.config, shown=True, run_dir=run.path) as shown:
        for row in run.metrics * 5:
            shown.show(row)
        assert len(notebook[1]) == 1
    bar, picture = notebook
    assert (len(bar), len(picture)) == (11, 2)


def test_a_notebook_sees_a_bar_of_other_work(notebook, run, capsys):
    equipoise.evaluate(run, episodes=2, environment=TASK)
    (bar,) = notebook
    assert f"evaluating {TASK}" in bar[0]["text/plain"] and "  0%" in bar[0]["text/plain"]
    assert "100%" in bar[-1]["text/plain"]
    assert capsys.readouterr() == ("", "")


def test_ipython_takes_what_is_shown():
    display_of_ipython = pytest.importorskip("IPython.display")
    published = []
    publisher = SimpleNamespace(publish=lambda **named: published.append(named))
    shell = SimpleNamespace(display_pub=publisher)
    output = Output()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("IPython.core.display_functions.InteractiveShell", None, raising=False)
        patch.setattr("IPython.core.interactiveshell.InteractiveShell.initialized", classmethod(lambda cls: True))
        patch.setattr("IPython.core.interactiveshell.InteractiveShell.instance", classmethod(lambda cls: shell))
        output.show("half")
        output.show("whole")
    assert display_of_ipython is not None
    first, second = published
    assert "half" in first["data"]["text/plain"] and "whole" in second["data"]["text/html"]
    assert first["transient"]["display_id"] == second["transient"]["display_id"] and second["update"]


def test_a_terminal_sees_a_bar(run, every_step, monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    equipoise.evaluate(run, episodes=2, environment=TASK)
    assert "\x1b" in terminal.getvalue() and f"evaluating {TASK}" in terminal.getvalue()


NOTEBOOK = """
import sys, types
class ZMQInteractiveShell: pass
sys.modules["IPython"] = types.SimpleNamespace(get_ipython=lambda: ZMQInteractiveShell())
from equipoise.progress import somebody_looks
print(somebody_looks())
"""


def test_a_notebook_is_known_as_one():
    colab = NOTEBOOK.replace("=lambda: ZMQ", "=lambda: type('Shell', (ZMQ").replace("Shell())", "Shell,), {})())")
    for script, looks in ((NOTEBOOK, "True"), (colab, "True"), (NOTEBOOK.replace("ZMQ", "Terminal"), "False")):
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
        assert done.stdout.strip() == looks


# What is returned, as a notebook or a prompt shows it


def everything_returned(run):
    """Everything that Python's functions return, and its parts."""
    evaluation = equipoise.evaluate(run, episodes=2, environment=TASK)
    report = evaluation.stochastic
    conflict = equipoise.analyse_conflict(run, episodes=30, grid=3, environment=TASK)
    around = conflict.around
    return [
        *(run, run.config, run.problem, run.state, run.policy, evaluation, report, report.reward, report.costs[0]),
        *(conflict, conflict.history, conflict.checkpoints[0], around, around.landscape),
        Record.read(run.path),
    ]


@pytest.mark.slow
def test_what_python_returns_is_shown_in_a_line(run):
    for value in everything_returned(run):
        shown = repr(value)
        assert "\n" not in shown and len(shown) <= 300 + len(str(run.path)), shown
        assert type(value).__name__ in shown


def test_a_run_says_what_it_is_and_how_it_stands(run):
    last = run.metrics[-1]
    assert repr(run) == (
        f"<Run of pcrpo on {TASK}, seed 0: 2 iterations, reward {last['reward']:.4g}, "
        f"cost {last['cost/cost']:.4g} of 1, in {run.path}>"
    )
    assert "opened at iteration 1, 2 iterations" in repr(equipoise.Run.load(run.path, iteration=1))
    assert "no iteration yet" in repr(dataclasses.replace(run, metrics=[], path=Path("run")))
    config = Config("SafetyHopper-v4", run.config.algorithm, "pcrpo")
    assert repr(config) == "<Config of pcrpo on SafetyHopper-v4: 1,000,000 steps, seed 0>"
