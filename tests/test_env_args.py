"""Arguments for an environment of Gymnasium's: typed, checked against what it takes, and kept with the run."""

from __future__ import annotations

import json

import gymnasium
import pytest

import equipoise
import rail
from equipoise.cli import main
from equipoise.cli.train import named_again
from equipoise.environments.arguments import read_arguments, write_arguments
from equipoise.environments.registered import Registered

TASK = "rail:Sloped-v0"
SIZES = {"total_steps": 80, "num_envs": 2, "steps_per_iteration": 40, "limits": (1.0,)}
COMMAND = ["train", "trpo", TASK, "--num-envs", "2", "--steps-per-iteration", "40", "--limits", "1"]
COMMAND += ["--total-steps", "80", "--run-dir"]


class Sloped(rail.Rail):
    """The rail on a slope; every step says in its cost what it was made with."""

    made: list = []  # noqa: RUF012

    def __init__(self, slope: float = 0.0, name: str = "flat", steps: int = 1, icy: bool = False):
        Sloped.made.append((slope, name, steps, icy))
        self.slope = slope

    def step(self, action):
        *result, info = super().step(action)
        return *result, {"cost": info["cost"] + self.slope}


class Passing(Sloped):
    """Passes on what it does not know."""

    def __init__(self, depth: int = 0, **others):
        super().__init__(**others)


def open_to_all(**others):
    """Takes anything, as far as can be seen."""
    return Sloped(**others)


@pytest.fixture(autouse=True)
def registered(monkeypatch):
    """Ids of the classes above, forgotten after the test."""
    monkeypatch.setattr(Sloped, "made", [])
    entries = {"Sloped-v0": Sloped, "Passing-v0": Passing, "Open-v0": open_to_all}
    for name, entry in entries.items():
        gymnasium.register(name, entry_point=entry, max_episode_steps=20)
    yield
    for name in entries:
        del gymnasium.registry[name]


def complaint(capsys, *arguments):
    """Run a command that has to fail; return the one line it says."""
    capsys.readouterr()
    assert main(list(arguments)) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1, said
    return said


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3", 3),
        ("-0.3", -0.3),
        ("1e-3", 0.001),
        ("True", True),
        ("false", False),
        ("None", None),
        ("hills", "hills"),
        ("'3'", "3"),
        ("a=b", "a=b"),
        ("", ""),
        ("two words", "two words"),
    ],
)
def test_a_value_is_what_its_literal_says(text, value):
    (found,) = read_arguments([f"x={text}"]).values()
    assert found == value and type(found) is type(value)
    assert read_arguments(write_arguments({"x": value})) == {"x": value}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["friction"], "env_args has 'friction'; allowed: NAME=VALUE, as in friction=0.3"),
        (["=3"], "env_args has '=3'; allowed: NAME=VALUE"),
        (["a b=3"], "env_args has 'a b=3'; allowed: NAME=VALUE"),
        (["x=1", "x=2"], "env_args has 'x' twice; give it once"),
        (["x=[1, 2]"], "env_args has x=[1, 2]; allowed: a whole number, a number"),
    ],
)
def test_words_that_are_no_arguments_are_told(words, said):
    with pytest.raises(equipoise.UsageError) as told:
        read_arguments(words)
    assert said in str(told.value)


@pytest.mark.slow
def test_a_run_keeps_its_arguments_and_is_evaluated_and_resumed_with_them(tmp_path, capsys):
    run = tmp_path / "run"
    assert main([*COMMAND, str(run), "--env-args", "slope=0.3", "name=steep", "steps=4", "icy=true"]) == 0
    assert set(Sloped.made) == {(0.3, "steep", 4, True)}
    kept = json.loads((run / "config.json").read_text())["env_args"]
    assert kept == ["slope=0.3", "name=steep", "steps=4", "icy=true"]
    opened = equipoise.Run.load(run)
    assert min(row["cost/cost"] for row in opened.metrics) >= 0.3 * 20
    Sloped.made.clear()
    found = equipoise.evaluate(opened, episodes=2, environment=TASK)
    assert found.stochastic.costs[0].mean.value >= 0.3 * 20
    equipoise.resume(run, environment=TASK)
    assert set(Sloped.made) == {(0.3, "steep", 4, True)}


def test_python_gives_them_as_a_dictionary(tmp_path):
    equipoise.train("trpo", "Sloped-v0", run_dir=tmp_path / "run", env_args={"slope": 0.3, "name": "3"}, **SIZES)
    assert set(Sloped.made) == {(0.3, "3", 1, False)}
    with pytest.raises(equipoise.UsageError, match=r"env_args has slope=\[1\]; allowed: a whole number"):
        equipoise.train("trpo", "Sloped-v0", run_dir=tmp_path / "other", env_args={"slope": [1]}, **SIZES)


@pytest.mark.parametrize(
    ("task", "word", "said"),
    [
        (TASK, "friction=1", "takes no argument 'friction' here; it takes: icy, name, slope, steps"),
        (TASK, "render_mode=human", "takes no argument 'render_mode' here; it takes: icy, name, slope, steps"),
        ("Passing-v0", "friction=1", "takes no argument 'friction' here; it takes: depth, icy, name, slope, steps"),
        ("Open-v0", "friction=1", "Open-v0 cannot be made: "),
        ("Hopper-v5", "friction=1", "Hopper-v5 takes no argument 'friction' here; it takes: camera_id, "),
        ("SafetyHopper-v4", "friction=1", "is a task of the library, which takes no arguments; leave out env_args"),
        ("equipoise/SafetyHopper-v4", "friction=1", "is a task of the library, which takes no arguments"),
    ],
)
def test_arguments_that_are_not_taken_are_told_and_nothing_is_left(task, word, said, tmp_path, capsys):
    command = [task if part == TASK else part for part in COMMAND]
    assert said in complaint(capsys, *command, str(tmp_path / "run"), "--env-args", word)
    assert not list(tmp_path.iterdir())


def test_a_callable_is_given_its_own(tmp_path):
    with pytest.raises(equipoise.UsageError, match="give them where this one is made"):
        equipoise.train("trpo", Sloped, run_dir=tmp_path / "run", env_args={"slope": 1.0}, **SIZES)


def test_a_class_that_passes_arguments_on_takes_those_of_the_next():
    env = Registered("Passing-v0", None, {"depth": 1, "slope": 0.5})()
    assert env.unwrapped.slope == 0.5


def test_a_text_from_a_run_s_file_is_used_only_if_the_environment_is_named(tmp_path, capsys):
    run = tmp_path / "run"
    equipoise.train("trpo", "Sloped-v0", run_dir=run, env_args={"slope": 0.1}, **SIZES)
    assert main(["evaluate", str(run), "--episodes", "2"]) == 0  # numbers lead nowhere
    content = json.loads((run / "config.json").read_text())
    (run / "config.json").write_text(json.dumps(content | {"env_args": ["slope=0.1", "name=/etc/passwd"]}))
    Sloped.made.clear()
    said = complaint(capsys, "evaluate", str(run), "--episodes", "2")
    assert "makes its environment with name=/etc/passwd" in said and "--environment Sloped-v0" in said
    assert not Sloped.made
    assert main(["evaluate", str(run), "--episodes", "2", "--environment", "Sloped-v0"]) == 0
    assert named_again(equipoise.Run.load(run).config, "environment") == " --environment Sloped-v0"
