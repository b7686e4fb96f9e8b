"""Where the library is used in another way than on a developer's terminal, and what things are called there."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import equipoise
from equipoise.cli import main
from equipoise.cli.main import COMMANDS

OPTIONS = {"total_steps": 80, "num_envs": 2, "steps_per_iteration": 40}
COMMAND = ["train", "pcrpo", "rail:QuickRail-v0", "--num-envs", "2", "--steps-per-iteration", "40", "--limits", "1"]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run of two iterations."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    equipoise.train("pcrpo", "rail:QuickRail-v0", run_dir=folder, limits=(1.0,), **OPTIONS)
    return folder


def python(script, *arguments, **environment):
    """Run a script in a process of its own."""
    paths = [str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]
    environment = {"PYTHONPATH": os.pathsep.join(filter(None, paths)), **environment}
    given = {key: value for key, value in {**os.environ, **environment}.items() if value is not None}
    return subprocess.run(
        [sys.executable, "-c", script, *map(str, arguments)], env=given, capture_output=True, timeout=120
    )


CLI = "import sys; from equipoise.cli import main; sys.exit(main(sys.argv[1:]))"


# Processes that are forked

FORK = """
import multiprocessing, sys, equipoise
from equipoise.cli import main

def work(folder, answers):
    for what in (equipoise.Run.load, equipoise.resume):
        try:
            what(folder)
        except equipoise.UsageError as error:
            answers.put(str(error))

run = equipoise.Run.load(sys.argv[1])
fork = multiprocessing.get_context("fork")
answers = fork.Queue()
child = fork.Process(target=work, args=(sys.argv[1], answers), daemon=True)
child.start()
print(answers.get(timeout=60), answers.get(timeout=60))
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="nothing forks here")
def test_a_process_forked_after_jax_worked_is_told_so_and_does_not_hang(finished):
    done = python(FORK, finished)
    assert done.returncode == 0, done.stderr.decode()
    assert done.stdout.decode().count("was forked from one in which JAX had worked") == 2
    assert "spawn" in done.stdout.decode()


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="nothing forks here")
def test_a_process_forked_before_jax_worked_can_load(finished):
    script = FORK.replace("run = equipoise.Run.load(sys.argv[1])\n", "").replace("what(folder)", "answers.put('fine')")
    assert python(script, finished).stdout.decode().split() == ["fine", "fine"]


# Settings of JAX, the user and the console


@pytest.mark.slow
def test_single_precision_is_meant_whatever_jax_is_told(finished, tmp_path):
    done = python(CLI, *COMMAND, "--total-steps", 80, "--run-dir", tmp_path / "run", JAX_ENABLE_X64="1")
    assert done.returncode == 0, done.stderr.decode()[-2000:]
    rows = [[row["reward"] for row in equipoise.Run.load(run).metrics] for run in (finished, tmp_path / "run")]
    assert rows[0] == rows[1]
    evaluated = python(
        CLI, "evaluate", finished, "--episodes", 2, "--environment", "rail:QuickRail-v0", JAX_ENABLE_X64="1"
    )
    assert evaluated.returncode == 0, evaluated.stderr.decode()[-2000:]


def test_a_user_without_a_home_trains_without_a_cache(monkeypatch, tmp_path):
    import jax

    from equipoise.training import run

    def no_home():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", no_home)
    told = jax.config.jax_compilation_cache_dir
    run._cache_folder.cache_clear()
    try:
        jax.config.update("jax_compilation_cache_dir", None)
        with pytest.warns(UserWarning, match="no home folder") as warned:
            run.use_compilation_cache()
            run.use_compilation_cache()
        assert len(warned) == 1
        assert jax.config.jax_compilation_cache_dir is None
    finally:
        jax.config.update("jax_compilation_cache_dir", told)
        run._cache_folder.cache_clear()


@pytest.mark.one_in(5)
@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
@pytest.mark.parametrize(
    "arguments", [["--help"], ["evaluate", "RUN", "--episodes", "2", "--environment", "rail:QuickRail-v0"]]
)
def test_a_console_without_our_letters_shows_others(encoding, arguments, finished):
    arguments = [str(finished) if word == "RUN" else word for word in arguments]
    done = python(CLI, *arguments, PYTHONIOENCODING=encoding)
    assert done.returncode == 0, done.stderr.decode()
    done.stdout.decode(encoding)


# Names

NAMES = ("rate [/s]", "speed [m/s]", "$x^{$", "[red]", "a\\", '100 % , "x"')


def test_costs_may_have_any_name_that_can_be_printed(finished, tmp_path, capsys):
    from rich.console import Console

    from equipoise.training.display import Display, ending, summary
    from equipoise.training.metrics import MetricsLog
    from equipoise.training.rows import read_metrics

    run = equipoise.Run.load(finished)
    rows = [
        {new: value for column, value in row.items() for new in ([column.replace("/cost", f"/{n}") for n in NAMES])}
        for row in run.metrics
    ]
    log = MetricsLog(tmp_path, 0)
    for row in rows:
        log.append(row)
    log.close()
    assert repr(read_metrics(tmp_path / "metrics.csv", NAMES)) == repr(rows)
    run = dataclasses.replace(
        run, path=tmp_path, metrics=rows, problem=dataclasses.replace(run.problem, cost_names=NAMES)
    )
    equipoise.draw(run)
    console = Console(width=200)
    console.print(ending(run))
    console.print(summary(rows[-1]))
    with Display(dataclasses.replace(run.config, task="a [/title]"), shown=True) as display:
        display.show(rows[-1])
    said = "".join(capsys.readouterr())
    assert all(said.count(name) >= 3 for name in NAMES)


def test_a_cost_name_that_cannot_be_printed_is_refused(tmp_path):
    import rail

    with pytest.raises(equipoise.UsageError, match="1 to 100 printable letters"):
        equipoise.train("trpo", rail.Rail, cost_names=("a\nb",), limits=(1.0,), horizon=20, run_dir=tmp_path / "run")


# Numbers and modules on the command line


@pytest.mark.parametrize("command", ["evaluate", "conflict", "render", "watch"])
def test_a_seed_below_zero_is_told(command, finished, capsys):
    assert main([command, str(finished), "--seed", "-1", "--environment", "rail:QuickRail-v0"]) == 2
    assert capsys.readouterr().err == "equipoise: seed is -1; allowed: 0 or more\n"


@pytest.mark.parametrize(("word", "said"), [("8e1", "total_steps is 80;"), ("1_0", "total_steps is 10;")])
def test_whole_numbers_may_be_written_as_powers_of_ten(word, said, capsys):
    assert main(["train", "trpo", "SafetyHopper-v4", "--total-steps", word]) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("word", ["1.5", "many", "inf", "nan"])
def test_what_is_no_whole_number_is_told(word, capsys):
    with pytest.raises(SystemExit):
        main(["train", "trpo", "SafetyHopper-v4", "--total-steps", word])
    assert "no whole number" in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize("word", ["version", "help"])
def test_a_command_that_is_near_nothing_gets_the_list(word, capsys):
    assert main([word]) == 2
    assert f"unknown command {word!r}; known: {', '.join(sorted(COMMANDS))}" in capsys.readouterr().err


BROKEN = {
    "lacks": ("import not_installed_here", "No module named 'not_installed_here'"),
    "misspelt": ("x = (", "was never closed"),
    "fails": ("1 / 0", "ZeroDivisionError: division by zero"),
    "empty": ("", "registers no id 'SafetyHopper-v3'"),
    "other": (
        "import gymnasium\ngymnasium.register('SafetyHopper-v2', entry_point='other:X')",
        "unknown id in other 'SafetyHopper-v3'; did you mean 'SafetyHopper-v2'?",
    ),
}


@pytest.mark.parametrize("module", BROKEN)
def test_a_module_that_fails_is_told_with_its_own_cause(module, tmp_path, monkeypatch, capsys):
    import gymnasium

    code, said = BROKEN[module]
    (tmp_path / f"{module}.py").write_text(code)
    monkeypatch.chdir(tmp_path)
    try:
        assert main(["train", "trpo", f"{module}:SafetyHopper-v3", "--limits", "1"]) == 2
    finally:
        gymnasium.registry.pop("SafetyHopper-v2", None)
    told = capsys.readouterr().err
    assert said in told and "SafetyHopper-v4" not in told and told.count("\n") == 1


@pytest.mark.parametrize("task", [".:x", "a b:x", "a:b:c"])
def test_a_module_that_is_no_name_is_told(task, capsys):
    assert main(["train", "trpo", task, "--limits", "1"]) == 2
    assert "MODULE is a name" in capsys.readouterr().err


def test_an_id_whose_dependency_is_missing_is_told(capsys):
    assert main(["train", "trpo", "Hopper-v3", "--limits", "1"]) == 2
    assert "Hopper-v3 cannot be made: The mujoco v2 and v3 based environments" in capsys.readouterr().err


def test_a_foreign_aggregator_is_refused_before_the_rollouts(finished, tmp_path, monkeypatch, capsys):
    path = Path(shutil.copytree(finished, tmp_path / "run")) / "config.json"
    content = json.loads(path.read_text())
    content["algorithm"]["rule"]["balance"]["aggregator"] = "mine:own"
    path.write_text(json.dumps(content))
    monkeypatch.setattr("equipoise.conflict.analysis.collect", lambda *_: pytest.fail("a rollout"))
    assert main(["conflict", str(path.parent), "--environment", "rail:QuickRail-v0"]) == 2
    assert "'mine:own' is not registered" in capsys.readouterr().err
