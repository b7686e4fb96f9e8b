"""Going on: a run with a later end, a training that starts from another run's policy, and settings from a file."""

from __future__ import annotations

import dataclasses
import json
import shutil
import warnings
from pathlib import Path

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import equipoise
from equipoise.algorithms import Algorithm, Learner, Rule, single
from equipoise.algorithms.critics import create_critics, values
from equipoise.cli import main
from equipoise.errors import Notice, UsageError
from equipoise.policy import Actor
from equipoise.settings import settings
from equipoise.testing import contract
from equipoise.training import loop
from equipoise.training.config import Config, make_simulator
from equipoise.training.policies import kept_policies
from equipoise.training.rollout import collect
from equipoise.training.run import read_config
from equipoise.training.start import with_known

TASK = "rail:QuickRail-v0"
QUICK = {"total_steps": 120, "num_envs": 2, "steps_per_iteration": 40, "limits": (1.0,)}
TIMINGS = {"steps_per_second", "time/physics", "time/policy", "time/update"}


def numbers(run):
    """All metrics but the timings, as text."""
    return [{name: repr(value) for name, value in row.items() if name not in TIMINGS} for row in run.metrics]


def content(folder):
    """Every file below a folder with its bytes."""
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run of three iterations."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    equipoise.train("pcrpo", TASK, run_dir=folder, **QUICK)
    return folder


# A later end


@pytest.mark.slow
def test_a_finished_run_that_goes_on_is_bit_for_bit_the_longer_run(run, tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        longer = equipoise.resume(run, total_steps=240, environment=TASK)
    whole = equipoise.train("pcrpo", TASK, run_dir=tmp_path / "whole", **QUICK | {"total_steps": 240})
    assert longer.state.iteration == 6
    assert numbers(longer) == numbers(whole)
    for file in ("config.json", "episodes.csv", "checkpoints/000006.npz"):
        assert (run / file).read_bytes() == (whole.path / file).read_bytes(), file


@pytest.mark.slow
def test_a_schedule_is_named_remembered_and_makes_another_run(tmp_path):
    algorithm = equipoise.PCRPO(slack=equipoise.Slack("linear"))
    short = equipoise.train(algorithm, TASK, run_dir=tmp_path / "short", **QUICK)
    whole = equipoise.train(algorithm, TASK, run_dir=tmp_path / "whole", **QUICK | {"total_steps": 240})
    with pytest.warns(Notice, match=r"slack\.schedule follows .* from 100 % back to 50 %.* 240 steps"):
        longer = equipoise.resume(short.path, total_steps=240, environment=TASK)
    assert longer.config.extended_at == (120,)
    assert dataclasses.replace(longer.config, extended_at=()) == whole.config
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # the same command once more, as after an interruption
        assert equipoise.resume(short.path, total_steps=240, environment=TASK).config == longer.config


@pytest.mark.parametrize(
    ("changed", "names"),
    [
        ({"rule": equipoise.PCRPO()}, ()),
        ({"rule": equipoise.PCRPO(slack=equipoise.Slack("calibrated"))}, ()),
        ({"rule": equipoise.PCRPO(slack=equipoise.Slack("exponential", warm_up=0.1))}, ("schedule", "warm_up")),
        ({"rule": equipoise.CRPO(), "step": equipoise.Proximal()}, ("decay",)),
        ({"rule": equipoise.CRPO(), "step": equipoise.Proximal(decay=False)}, ()),
    ],
)
def test_which_settings_follow_the_share_of_training(changed, names):
    assert tuple(name.rpartition(".")[2] for name in Algorithm(**changed).scheduled) == names


@settings
class Fading(Rule):
    """A rule with a schedule that it does not declare."""

    def plan(self, memory, seen):
        return memory, single(1, jnp.stack([seen.fraction, 1 - seen.fraction]))


@settings
class Declared(Fading):
    @property
    def scheduled(self):
        return ("fading",)


def test_the_contract_notices_a_schedule_that_is_not_declared():
    with pytest.raises(AssertionError, match="scheduled"):
        contract.check_schedule_is_declared(Algorithm(Fading()))
    contract.check_schedule_is_declared(Algorithm(Declared()))


def test_an_earlier_end_is_refused_and_nothing_changes(run, capsys):
    before = content(run)
    assert main(["resume", str(run), "--total-steps", "80", "--environment", TASK]) == 2
    said = capsys.readouterr().err
    assert "total_steps is 80; allowed: 120" in said and said.count("\n") == 1
    assert content(run) == before


def test_the_command_line_gives_a_run_a_later_end(run, capsys):
    assert main(["resume", str(run), "--total-steps", "160", "--environment", TASK]) == 0
    assert "160 steps" in capsys.readouterr().out
    assert read_config(run)[0].total_steps == 160


def test_runs_of_before_there_were_these_settings_are_read(run):
    path = run / "config.json"
    older = json.loads(path.read_text())
    for name in ("start_from", "keep_policies", "extended_at"):
        del older[name]
    path.write_text(json.dumps(older))
    assert read_config(run)[0].start_from == ""


# Policies along a run


@pytest.mark.parametrize(
    ("keep", "kept"), [(50, [1, 2, 3, 4, 5, 6]), (3, [2, 4, 6]), (4, [2, 4, 6]), (1, [6]), (0, [])]
)
def test_policies_are_kept_evenly(keep, kept, tmp_path):
    options = QUICK | {"total_steps": 240, "keep_policies": keep}
    equipoise.train("trpo", TASK, run_dir=tmp_path / "run", **options)
    assert kept_policies(tmp_path / "run") == kept


def test_a_policy_that_was_kept_is_its_checkpoints(run):
    observation = np.array([0.3, -0.1])
    acts = [equipoise.Run.load(run, iteration=i).policy(observation) for i in (1, 2, 3)]
    shutil.rmtree(run / "checkpoints")
    again = [equipoise.Run.load(run, iteration=i).policy(observation) for i in (1, 2, 3)]
    assert acts == again
    assert acts[0] != acts[1]
    (run / "policies" / "000002.npz").write_bytes((run / "policies" / "000001.npz").read_bytes())
    with pytest.raises(UsageError, match=r"000002\.npz is of iteration 1"):
        equipoise.Run.load(run, iteration=2)
    with pytest.raises(UsageError, match="no checkpoint of iteration 9; there: 1, 2, 3; nearest: 3"):
        equipoise.Run.load(run, iteration=9)


# From another run's policy


def test_the_first_iteration_is_that_of_the_other_runs_policy(run, tmp_path):
    origin = equipoise.Run.load(run)
    options = QUICK | {"total_steps": 40, "seed": 7}
    new = equipoise.train("trpo", TASK, run_dir=tmp_path / "new", start_from=origin, **options)
    simulator = make_simulator(origin.config)
    learner = origin.state.learner
    expected = collect(simulator, Actor(learner.policy, learner.observations), 20, (7, 0)).batch.estimate
    assert new.metrics[0]["reward"] == float(expected.reward)
    assert new.metrics[0]["cost/cost"] == float(expected.cost[0])
    drawn = equipoise.train("trpo", TASK, run_dir=tmp_path / "drawn", **options)
    assert drawn.metrics[0]["reward"] != new.metrics[0]["reward"]


def test_a_killed_run_needs_the_other_run_no_more(run, tmp_path):
    options = QUICK | {"start_from": run}
    whole = equipoise.train("trpo", TASK, run_dir=tmp_path / "whole", **options)
    shutil.copytree(whole.path, tmp_path / "cut")
    shutil.rmtree(run)
    lines = (tmp_path / "cut" / "metrics.csv").read_text().splitlines(keepends=True)
    (tmp_path / "cut" / "metrics.csv").write_text("".join(lines[:2]))  # killed before its first checkpoint
    shutil.rmtree(tmp_path / "cut" / "checkpoints")
    assert numbers(equipoise.resume(tmp_path / "cut", environment=TASK)) == numbers(whole)


def test_critics_come_along_by_their_costs_names():
    observation = jnp.asarray(np.random.default_rng(0).normal(size=(5, 3)), jnp.float32)
    own, given = (create_critics(jax.random.key(i), 3, 3, (4,)) for i in (0, 1))
    own, given = own._replace(deviation=jnp.full(3, 2.0)), given._replace(mean=jnp.arange(3.0), deviation=jnp.ones(3))
    both = values(with_known(own, given, ("near", "far"), ("far", "new")), observation)
    mine, theirs = values(own, observation), values(given, observation)
    assert np.array_equal(both[:, 0], theirs[:, 0])
    assert np.array_equal(both[:, 1], theirs[:, 2])
    assert np.array_equal(both[:, 2], mine[:, 2])


class Wide(gymnasium.Env):
    """An environment of another shape."""

    observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (3,), np.float32)
    action_space = gymnasium.spaces.Box(-1.0, 1.0, (1,), np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return np.zeros(3, np.float32), {}

    def step(self, action):
        return np.zeros(3, np.float32), 0.0, False, False, {"cost": 0.0}


class Strong(Wide):
    """One whose actions have a wider range."""

    observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (2,), np.float64)
    action_space = gymnasium.spaces.Box(-2.0, 2.0, (1,), np.float32)


@pytest.mark.parametrize(
    ("algorithm", "task", "said"),
    [
        ("pcrpo", Wide, "observations of size 2; Wide has 3"),
        ("pcrpo", Strong, "actions in units of 1.0; Strong has 2.0"),
        (Algorithm(equipoise.PCRPO(), learner=Learner(hidden=(8, 8))), TASK, "give --hidden 64 64"),
        ("trpo_saute", TASK, "observations of size 2"),
    ],
)
def test_what_does_not_fit_is_refused_and_nothing_is_written(algorithm, task, said, run, tmp_path):
    options = QUICK | ({"horizon": 20} if task != TASK else {})
    with pytest.raises(UsageError) as error:
        equipoise.train(algorithm, task, run_dir=tmp_path / "new", start_from=run, **options)
    assert said in str(error.value) and "\n" not in str(error.value)
    assert not (tmp_path / "new").exists()


def test_no_run_to_start_from_is_said_in_a_line(tmp_path, capsys):
    assert main(["train", "pcrpo", TASK, "--from", str(tmp_path / "nothing"), "--limits", "1", *SMALL]) == 2
    said = capsys.readouterr().err
    assert "is no run of equipoise" in said and said.count("\n") == 1


SMALL = ["--num-envs", "2", "--steps-per-iteration", "40", "--total-steps", "40"]


# Settings from a file


@pytest.fixture
def asked(monkeypatch):
    """The configurations that trainings were asked for; none is done."""
    found = []

    class AskedError(Exception):
        pass

    def train(config, run_dir, **_):
        found.append((config, run_dir))
        raise AskedError

    monkeypatch.setattr(loop, "train", train)

    def ask(*arguments):
        with pytest.raises(AskedError):
            main(["train", *arguments])
        return found[-1]

    return ask


def test_a_printed_file_gives_the_same_configuration(asked, tmp_path, capsys):
    words = ["pcrpo", "SafetyHopper-v4", "--slack.low", "-0.1", "--hidden", "32", "16", "--limits", "5", "--seed", "3"]
    words += ["--env-args", 'a="b\\c 🤖', "é=1", "--step.max-kl", "1e-05", "--step.no-line-search"]
    config, _ = asked(*words)
    assert main(["train", *words, "--print-config"]) == 0
    (tmp_path / "file.toml").write_text(capsys.readouterr().out)
    assert asked("--config", str(tmp_path / "file.toml"))[0] == config


def test_the_command_line_wins_over_the_file_and_the_file_over_the_preset(asked, tmp_path):
    (tmp_path / "file.toml").write_text(
        'algorithm = "cpo"\ntask = "SafetyHopper-v4"\npreset = "omnisafe"\nrun-dir = "here"\nseed = 3\n'
        "total_steps = 40_000\n[step]\nmax-kl = 0.02\n[critic]\nepochs = 3\n"
    )
    file = ["--config", str(tmp_path / "file.toml")]
    config, run_dir = asked(*file)
    assert (config.algorithm_name, config.task, config.seed, config.total_steps) == (
        "cpo",
        "SafetyHopper-v4",
        3,
        40_000,
    )
    assert (config.algorithm.step.max_kl, config.algorithm.step.cg_iterations) == (0.02, 15)
    assert config.algorithm.learner.critic.epochs == 3
    assert run_dir == Path("here")
    changed, _ = asked("pcpo", "SafetyAnt-v4", *file, "--seed", "4", "--step.max-kl=0.03")
    assert (changed.algorithm_name, changed.task, changed.seed) == ("pcpo", "SafetyAnt-v4", 4)
    assert changed.algorithm.step.max_kl == 0.03


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('task = "SafetyHopper-v4"', "no algorithm"),
        ('algorithm = "pcrpo"\ntask = 3', "task is 3; allowed: a text"),
        ('algorithm = "pcrpo"\nslack.lo = 1', "unknown setting 'slack.lo'; did you mean 'slack.low'?"),
        ('algorithm = "pcrpo"\nslack.low = "a"', "slack.low is 'a'; allowed: a number"),
        ('algorithm = "pcrpo"\nextended_at = [3]', "unknown setting 'extended_at'"),
        ('algorithm = "pcrpoo"', "did you mean 'pcrpo'?"),
        ("algorithm = pcrpo", "is no TOML"),
    ],
)
def test_mistakes_in_a_file_are_said_in_a_line(text, said, tmp_path, capsys):
    (tmp_path / "file.toml").write_text(text)
    assert main(["train", "--config", str(tmp_path / "file.toml")]) == 2
    err = capsys.readouterr().err
    assert said in err and err.count("\n") == 1


def test_a_file_that_is_not_there(capsys):
    assert main(["train", "pcrpo", "--config", "nothing.toml"]) == 2
    assert "there is no file nothing.toml" in capsys.readouterr().err


def test_every_setting_of_a_configuration_can_be_in_a_file(tmp_path, capsys):
    assert main(["train", "pcrpo", "SafetyHopper-v4", "--horizon", "5", "--print-config"]) == 0
    printed = {line.split(" = ")[0] for line in capsys.readouterr().out.splitlines()}
    named = {"algorithm_name", "extended_at", "start_from"}
    assert {field.name for field in dataclasses.fields(Config)} - named <= printed
    assert "from" in printed
