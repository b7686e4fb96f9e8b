"""Several seeds of one training: the same runs as a campaign's, in one folder, that goes on and grows."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

import equipoise
from equipoise.algorithms import ALGORITHMS
from equipoise.algorithms.own import load_algorithm
from equipoise.campaigns import run as campaigns
from equipoise.campaigns import seeds
from equipoise.campaigns.check import begin, whole_config_of
from equipoise.campaigns.folder import CampaignFolder
from equipoise.campaigns.options import options_of, set_option
from equipoise.cli import main
from equipoise.training.config import Config
from equipoise.training.settings_file import toml

SMALL = ["SafetyReacher-v4", "--total-steps", "2000", "--num-envs", "2", "--steps-per-iteration", "2000"]
QUICK = ["rail:QuickRail-v0", "--num-envs", "2", "--steps-per-iteration", "40", "--limits", "1", "--total-steps", "80"]


@pytest.mark.slow
def test_every_setting_arrives(monkeypatch):
    """Whatever option is changed, the runs have the configuration that was asked for, except for the seed."""
    monkeypatch.setattr("equipoise.campaigns.file.check", lambda jobs: None)  # any value will do
    for name in ("pcrpo", "cup", "ppo_simmer", "c_trpo"):  # each step, and a lens
        usual = begin(name, None, "SafetyReacher-v4")
        changed = {"limits": [1.0, 2.5], "env_args": ['text="ü \\"', "n=3"], "horizon": 7, "cost_names": ["a b"]}
        for option, place in options_of(usual).items():
            value = usual
            for field in place.path:
                value = getattr(value, field)
            if place.kind is float:
                changed[option] = value / 3 + 0.1
            elif place.kind in (int, bool) and option not in ("seed", "total_steps"):
                changed[option] = not value if place.kind is bool else value + 1
        config = dataclasses.replace(usual, total_steps=123_456)
        for option, value in changed.items():
            config = set_option(config, option, value)
        jobs = seeds.campaign_of(config, None, [5, 0]).jobs
        assert [whole_config_of(job) for job in jobs] == [dataclasses.replace(config, seed=seed) for seed in (5, 0)]


def test_a_preset_and_what_changes_it_arrive():
    config = Config("SafetyHopper-v4", load_algorithm("cpo", "omnisafe"), "cpo")
    config = set_option(config, "discount", 0.9)
    (job,) = seeds.campaign_of(config, "omnisafe", [1]).jobs
    assert job.settings == {"discount": 0.9} and job.preset == "omnisafe"
    assert whole_config_of(job) == dataclasses.replace(config, seed=1)


def test_infinity_is_a_number_of_a_campaign_too():
    config = Config("SafetyHopper-v4", ALGORITHMS["pcrpo"].algorithm, "pcrpo")
    text = seeds.campaign_of(set_option(config, "slack.low", -1e-300), None, [0]).text
    assert "slack.low = -1e-300" in text
    assert toml([float("inf"), True, "ü"]) == '[inf, true, "ü"]'


FAKE = """
import json, os
class Run:
    def __init__(self, name): self.name = name
    def log(self, numbers, step):
        with open(os.environ["HEARD"], "a") as file: file.write(json.dumps([self.name, step]) + "\\n")
    def finish(self): pass
def init(project, name, config, resume): return Run(name)
"""


@pytest.mark.slow
def test_seeds_are_trained_evaluated_tracked_and_added_to(tmp_path, monkeypatch, capsys):
    (tmp_path / "trackio.py").write_text(FAKE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{Path(__file__).parent}", prepend=":")
    monkeypatch.setenv("HEARD", str(tmp_path / "heard"))
    monkeypatch.chdir(tmp_path)
    assert main(["train", "pcrpo", *QUICK, "--seeds", "1", "--quiet"]) == 0
    assert capsys.readouterr() == ("", "")
    folder = Path("runs/rail-QuickRail-v0-pcrpo-seeds")
    assert main(["train", "pcrpo", *QUICK, "--seeds", "0", "1", "--json", "--track", "trackio"]) == 0
    said = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(line["event"], line["seed"], line["steps"]) for line in said] == [
        ("summary", 0, 80),
        ("summary", 1, 80),
    ]
    opened = CampaignFolder.load(folder)
    assert [opened.standing(job).status for job in opened.jobs] == ["finished"] * 2
    for job, line in zip(opened.jobs, said, strict=True):
        run = equipoise.Run.load(opened.run_dir(job))
        assert run.config.seed == line["seed"] and run.config.num_envs == 2
        certificate = json.loads((run.path / "evaluation.json").read_text())["stochastic"]["costs"][0]
        assert line["certified"] == (certificate["upper"] <= certificate["limit"])
    heard = [json.loads(line) for line in (tmp_path / "heard").read_text().splitlines()]
    assert [step for _, step in heard] == [1, 2]  # the new seed alone: the other was finished
    assert heard[0][0].startswith("rail-QuickRail-v0-pcrpo-seed0-")
    assert main(["train", "pcrpo", *QUICK, "--seeds", "0"]) == 2
    assert "also has rail-QuickRail-v0-pcrpo-seed1; name all of its seeds, or give" in capsys.readouterr().err
    assert main(["train", "pcrpo", *QUICK, "--seeds", "0", "1", "--discount", "0.9"]) == 2
    error = capsys.readouterr().err
    assert "with other settings, and no run is repeated" in error and "give another --run-dir" in error


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--seeds", "0", "0"], "seeds has 0 twice; name it once"),
        (["--seeds", "0", "-1"], "a seed is -1; allowed: 0 or more"),
        (["--seeds", "0", "1", "--seed", "3"], "both seed (3) and seeds are given; give one of them"),
        (["--seeds", "0", "1", "--threads", "2"], "threads is 2, with several seeds, which share out the machine"),
        (["--seeds", "0", "1", "--device", "cpu"], "device is cpu, with several seeds, which share out the machine"),
        (["--seeds", "0", "1", "--total-steps", "5"], "total_steps is 5; allowed: at least one iteration, 2000"),
        (["--seeds", "0", "--track", "wandb"], "wandb is not installed: pip install 'equipoise[wandb]'"),
    ],
)
def test_a_mistake_is_told_and_leaves_nothing(options, expected, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(__import__("sys").modules, "wandb", None)
    monkeypatch.chdir(tmp_path)
    assert main(["train", "pcrpo", *SMALL, *options]) == 2
    error = capsys.readouterr().err
    assert expected in error and error.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_ctrl_c_says_how_to_go_on(tmp_path, monkeypatch, capsys):
    def stopped(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(campaigns, "run_side_by_side", stopped)
    monkeypatch.chdir(tmp_path)
    assert main(["train", "pcrpo", *SMALL, "--seeds", "0", "1"]) == 130
    assert "the same command goes on from the last iterations" in capsys.readouterr().err


def test_ray_tracks_nothing_and_says_so(tmp_path, capsys):
    (tmp_path / "small.toml").write_text(seeds.campaign_of(begin("pcrpo", None, "SafetyReacher-v4"), None, [0]).text)
    command = ["campaign", str(tmp_path / "small.toml"), "--engine", "ray", "--track", "trackio"]
    assert main([*command, "--out", str(tmp_path / "out")]) == 2
    assert "--track is trackio, and --engine ray tracks no runs" in capsys.readouterr().err


def test_a_run_that_fails_is_told_also_where_all_is_quiet(tmp_path, monkeypatch, capsys):
    def failing(folder, jobs, *_):
        folder.failure(jobs[0]).write_text("out of luck\n")

    monkeypatch.setattr(campaigns, "run_side_by_side", failing)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stopped:
        main(["train", "pcrpo", *SMALL, "--seeds", "0", "1", "--quiet"])
    assert stopped.value.code == 1
    assert capsys.readouterr() == ("", "equipoise: SafetyReacher-v4-pcrpo-seed0 failed: out of luck\n")
