"""The command line as a user meets it; each mistake is one clear line, exit code 2, and leaves nothing behind."""

from __future__ import annotations

import errno
import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import equipoise
from equipoise.algorithms import ALGORITHMS
from equipoise.cli import main
from equipoise.tasks import TASKS
from equipoise.training import checkpoint, config, metrics
from registries import CLASSIC, NAVIGATION

SMALL = ["--total-steps", "4000", "--num-envs", "2", "--steps-per-iteration", "2000"]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A finished run, made by the command line."""
    run = tmp_path_factory.mktemp("runs") / "run"
    assert main(["train", "pcrpo", "SafetyHopper-v4", "--run-dir", str(run), *SMALL]) == 0
    return run


@pytest.fixture
def copy(finished, tmp_path):
    """A copy of the finished run, to be spoiled."""
    import shutil

    return Path(shutil.copytree(finished, tmp_path / "copy"))


def complaint(capsys, *arguments):
    """Run a command that has to fail; return the one line it says, beside those about iterations before."""
    capsys.readouterr()
    assert main(list(arguments)) == 2
    lines = capsys.readouterr().err.splitlines(keepends=True)
    said = "".join(line for line in lines if not line.startswith("iteration "))
    assert said.startswith("equipoise: ")
    assert said.count("\n") == 1, said
    return said


def test_a_run_leaves_all_it_promises(finished):
    names = {path.name for path in finished.iterdir()}
    assert {"config.json", "metrics.csv", "checkpoints", "plot.png"} <= names
    assert (finished / "plot.png").read_bytes().startswith(b"\x89PNG")
    assert any(name.startswith("events.out.tfevents") for name in names)


def test_the_command_line_and_the_api_do_the_same(finished, tmp_path):
    options = {"total_steps": 4000, "num_envs": 2, "steps_per_iteration": 2000}
    run = equipoise.train("pcrpo", "SafetyHopper-v4", run_dir=tmp_path / "run", **options)
    other = equipoise.Run.load(finished)
    assert run.config == other.config
    assert [row["reward"] for row in run.metrics] == [row["reward"] for row in other.metrics]


def test_evaluate_says_everything(finished, capsys):
    assert main(["evaluate", str(finished), "--episodes", "4"]) == 0
    said = capsys.readouterr().out
    for word in ("reward", "cost (limit", "upper 95 % bound", "certificate", "episodes inside", "stochastic"):
        assert word in said
    written = json.loads((finished / "evaluation.json").read_text())
    for policy in ("stochastic", "deterministic"):
        cost = written[policy]["costs"][0]
        assert cost["mean"]["low"] < cost["mean"]["value"] < cost["upper"] < cost["mean"]["high"]


@pytest.mark.parametrize("command", ["plot", "resume"])
def test_a_finished_run_can_be_drawn_and_resumed(command, copy, capsys):
    (copy / "plot.png").unlink()
    assert main([command, str(copy)]) == 0
    assert (copy / "plot.png").exists()


def test_lists_name_everything(capsys):
    main(["tasks"])
    main(["algorithms"])
    said = capsys.readouterr().out
    assert all(name in said for name in [*CLASSIC, *(TASKS[name].family for name in NAVIGATION), *ALGORITHMS])


@pytest.mark.one_in(10)
@pytest.mark.parametrize("name", ALGORITHMS)
def test_help_explains_every_field(name, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["train", name, "--help"])
    assert stopped.value.code == 0
    said = capsys.readouterr().out
    parts = re.split(r"^\W{0,3}(--[a-z][\w.-]+)", said, flags=re.MULTILINE)[1:]
    explained = dict(zip(parts[::2], parts[1::2], strict=True))
    assert {"--total-steps", "--run-dir", "--discount", "--critic.epochs", "--preset"} <= set(explained)
    for option, text in explained.items():
        words = re.findall(r"\b[A-Za-z]{3,}\b", text.split("(default")[0])
        assert len(words) >= 2, option
        assert "(default" in text, option


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["train", "pcrpo", "SafetyHoper-v4"], "unknown task 'SafetyHoper-v4'; did you mean 'SafetyHopper-v4'?"),
        (["train", "pcrp", "SafetyHopper-v4"], "unknown algorithm 'pcrp'; did you mean 'pcrpo'?"),
        (["trian"], "unknown command 'trian'; did you mean 'train'?"),
        (["train", "trpo", "SafetyHopper-v4", "--total-steps", "-5"], "total_steps is -5; allowed: at least"),
        (["train", "trpo", "SafetyHopper-v4", "--total-steps", "10"], "allowed: at least one iteration, 20000"),
        (["train", "trpo", "SafetyHopper-v4", "--steps-per-iteration", "31000"], "nearest: 40000"),
        (["train", "trpo", "SafetyHopper-v4", "--num-envs", "1"], "num_envs is 1; allowed: 2 or more"),
        (["train", "trpo", "SafetyHopper-v4", "--limits", "1", "2"], "1 constraint(s) (cost) but 2 limit(s)"),
        (["train", "trpo", "SafetyHopper-v4", "--limits", "-1"], "allowed: a finite number ≥ 0"),
        (["train", "trpo", "SafetyHopper-v4", "--limits", "nan"], "allowed: a finite number ≥ 0"),
        (["train", "trpo", "SafetyHopper-v4", "--limits", "1", "--limits-per-step", "1"], "give one of them"),
        (["train", "trpo", "SafetyHopper-v4", "--seed", "-1"], "seed is -1; allowed: 0 to 2**63 - 1"),
        (["train", "trpo", "SafetyHopper-v4", "--discount", "1.5"], "discount is 1.5; allowed: from 0 to 1"),
        (["train", "trpo", "SafetyHopper-v4", "--horizon", "10"], "states its own costs and horizon"),
        (
            [
                "train",
                "pcrpo",
                "SafetyHopper-v4",
                "--slack.schedule",
                "constant",
                "--slack.low",
                "0.1",
                "--slack.high",
                "0",
            ],
            "h⁻ = 0.1 is above its high bound h⁺ = 0",
        ),
        (["train", "trpo", "Pendulum-v1"], "Pendulum-v1 has no limits of its own"),
        (["train", "pcrpo", "SafetyHopper-v4", "--balance.aggregator", "cagrd"], "did you mean 'cagrad'?"),
        (["train", "pcrpo", "SafetyHopper-v4", "--balance.aggregator", "nomod:up"], "cannot import 'nomod'"),
        (["train", "nomod:Mine", "SafetyHopper-v4"], "cannot import 'nomod' for algorithm 'nomod:Mine'"),
        (["train", "equipoise.algorithms.rules.crpo:CRP", "SafetyHopper-v4"], "did you mean 'CRPO'?"),
        (["train", "ppo", "SafetyHopper-v4", "--preset", "omnisave"], "ppo has no preset 'omnisave'; there: omnisafe"),
        (["train", "pcrpo", "SafetyHopper-v4", "--slots", "4"], "--slots is called --num-envs now"),
        (["train", "pcrpo", "SafetyHopper-v4", "--trust-region.harm", "1"], "is called --step.allowed-loss now"),
        (["train", "pcrpo", "SafetyHopper-v4", "--trust-region.max-kl", "1"], "is called --step.max-kl now"),
        (["evaluate", "nowhere"], "nowhere is no run of equipoise"),
        (["resume", "nowhere"], "nowhere is no run of equipoise"),
        (["plot", "nowhere"], "nowhere is no run of equipoise"),
    ],
)
def test_mistakes_are_told_in_one_line_and_leave_nothing(arguments, expected, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert expected in complaint(capsys, *arguments)
    assert not list(tmp_path.iterdir())


MISTAKES_IN_PYTHON = {
    'equipoise.PCRPO(metric="fischer"), hopper': "unknown metric 'fischer'; did you mean 'fisher'?",
    'equipoise.Algorithm(equipoise.PCRPO(metric="steps")), hopper': "unknown metric 'steps'; did you mean 'step'?",
    "3, hopper": "algorithm is 3; allowed: a Rule, an Algorithm, or the name of one",
    'equipoise.PCRPO(balance=equipoise.Balance("upgrade")), hopper': (
        "unknown aggregator 'upgrade'; did you mean 'upgrad'? (one of your own has to be registered first)"
    ),
    "equipoise.PCRPO(balance=equipoise.Balance(3)), hopper": "balance.aggregator is 3; allowed: a name",
    'equipoise.PCRPO(slack=equipoise.Slack("line")), hopper': "unknown slack.schedule 'line'; did you mean 'linear'?",
    '"trpo", hopper, limits=10.0': "limits is 10.0; allowed: one for each, as in (10.0,)",
    '"trpo", hopper, total_steps=4e4': "total_steps is 40000.0; allowed: a whole number",
    '"trpo", hopper, totalsteps=4': "unknown option 'totalsteps'; did you mean 'total_steps'?",
    '"trpo", 3': "task is 3; allowed: a name, or a callable that makes an environment",
    '"trpo", "Pendulum-v1", cost_names=("a", "a")': "the cost name 'a' is taken; give every cost a name of its own",
    '"trpo", "Pendulum-v1", cost_names=("reward",)': (
        "the cost name 'reward' is taken; give every cost a name of its own"
    ),
    '"trpo", "Pendulum-v1", cost_names=tuple("abcdefgh")': "8 costs (a, b, c, d, e, f, g, h); allowed: 1 to 7",
    '"trpo", "Pendulum-v1", horizon=0': "horizon is 0; allowed: 1 or more",
}


@pytest.mark.slow
def test_mistakes_in_python_are_told_and_leave_nothing(tmp_path):
    """In a process of its own: a user's Python has no run-time type checker to catch them first."""
    script = ["import equipoise", 'hopper = "SafetyHopper-v4"']
    for call in MISTAKES_IN_PYTHON:
        script += ["try:", f"    equipoise.train({call})", "except equipoise.UsageError as e:", "    print(e)"]
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(script)], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines() == list(MISTAKES_IN_PYTHON.values())
    assert not list(tmp_path.iterdir())


def test_a_ctrl_c_that_python_ignores_is_heard(monkeypatch, capsys):
    """One that comes while a destructor runs is dropped by Python; a training would go on, or a command wait."""
    waited = []

    class Interrupted:
        def __del__(self):
            signal.raise_signal(signal.SIGINT)

    def train(_):
        begin = time.monotonic()
        try:
            Interrupted()
            time.sleep(60)
        finally:
            waited.append(time.monotonic() - begin)

    monkeypatch.setattr(sys.modules["equipoise.cli.main"], "_function", lambda _: train)
    assert main(["train"]) == 130
    assert capsys.readouterr().err == "\nequipoise: stopped\n"
    assert waited[0] < 30  # seconds: what waits is woken


def test_a_run_folder_that_exists_is_not_touched(tmp_path, capsys):
    run = tmp_path / "my run"
    run.mkdir()
    (run / "thesis.tex").write_text("years")
    said = complaint(capsys, "train", "trpo", "SafetyHopper-v4", "--run-dir", str(run), *SMALL)
    assert "is not empty (there: thesis.tex); give another --run-dir" in said
    (run / "config.json").write_text("{}")
    said = complaint(capsys, "train", "trpo", "SafetyHopper-v4", "--run-dir", str(run), *SMALL)
    assert f"exists; give another --run-dir, or go on with that run: equipoise resume '{run}'" in said
    assert {path.name for path in run.iterdir()} == {"thesis.tex", "config.json"}


def newest(run):
    return sorted((run / "checkpoints").glob("*.npz"))[-1]


@pytest.mark.parametrize("length", [0, 10, 5000, -1])
def test_a_truncated_checkpoint_is_named(length, copy, capsys):
    path = newest(copy)
    path.write_bytes(path.read_bytes()[:length])
    said = complaint(capsys, "resume", str(copy))
    assert f"{path} is truncated or no checkpoint of equipoise; remove it to go on from iteration 1" in said


def test_a_foreign_checkpoint_is_named(copy, capsys):
    np.savez(newest(copy), weights=np.zeros(3))
    assert "is truncated or no checkpoint of equipoise" in complaint(capsys, "evaluate", str(copy))


@pytest.mark.slow
def test_a_checkpoint_of_another_run_is_named(copy, tmp_path, capsys):
    other = tmp_path / "other"
    assert main(["train", "trpo", "SafetyHalfCheetah-v4", "--run-dir", str(other), *SMALL]) == 0
    newest(copy).write_bytes(newest(other).read_bytes())
    assert "belongs to another run" in complaint(capsys, "resume", str(copy))


def test_no_checkpoint_can_execute_code(copy, capsys, tmp_path):
    class Trap:
        def __reduce__(self):
            return Path.touch, (tmp_path / "sprung",)

    np.savez(newest(copy), header=np.array([Trap()], dtype=object))
    complaint(capsys, "resume", str(copy))
    assert not (tmp_path / "sprung").exists()


def test_a_run_does_not_import_a_module_because_its_file_names_it(copy, capsys):
    content = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps(content | {"task": "antigravity:Env-v0"}))
    said = complaint(capsys, "evaluate", str(copy))
    assert "imports 'antigravity'; allow that by naming it: --environment antigravity:Env-v0" in said
    newest(copy).unlink()  # a complete run has nothing to import for
    assert "imports 'antigravity'" in complaint(capsys, "resume", str(copy))


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"format": config.FORMAT + 1, "equipoise": "9.9"}, "install equipoise==9.9"),
        ({"unheard_of": 1}, "does not fit equipoise"),
        ({"algorithm": {"rule": {"kind": "Sorcery"}}}, "has a rule of the user's own, Sorcery"),
        ({"algorithm": {"rule": 3}}, "does not fit equipoise"),
        ({"format": 2, "equipoise": "0.1.0"}, "in format 2; this is"),
        ({"seed": "many"}, "does not fit equipoise"),
    ],
)
def test_a_config_from_another_version_is_named(change, expected, copy, capsys):
    content = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps(content | change))
    assert expected in complaint(capsys, "resume", str(copy))


def test_a_config_that_is_none_is_named(copy, capsys):
    (copy / "config.json").write_text("{")
    assert "is no configuration written by equipoise" in complaint(capsys, "resume", str(copy))


def full_disk(*_, **__):
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.one_in(2)
@pytest.mark.parametrize("where", [(checkpoint, "write_atomically"), (metrics.MetricsLog, "append")])
def test_a_full_disk_is_told_and_the_run_goes_on_later(where, finished, tmp_path, monkeypatch, capsys):
    run = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr(*where, full_disk)
        said = complaint(capsys, "train", "pcrpo", "SafetyHopper-v4", "--run-dir", str(run), *SMALL)
    assert "the disk is full" in said
    assert f"equipoise resume {run}" in said
    assert main(["resume", str(run)]) == 0
    rewards = [[row["reward"] for row in metrics.read_metrics(r / "metrics.csv")] for r in (run, finished)]
    assert rewards[0] == rewards[1]


def test_an_atomic_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    from equipoise.files import write_atomically

    path = tmp_path / "file"
    write_atomically(path, b"old")
    monkeypatch.setattr("os.fsync", full_disk)
    with pytest.raises(OSError, match="No space"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]
