"""What commands say to scripts, and that they can be silent."""

from __future__ import annotations

import json
import math
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import equipoise
from equipoise.cli import main
from equipoise.cli.output import say_json
from equipoise.training.evaluation import read_evaluation_file

TASK = "rail:QuickRail-v0"
PAGE = Path(__file__).parents[1] / "docs" / "watching.md"
OPTIONS = ["--num-envs", "2", "--steps-per-iteration", "40", "--limits", "1", "--total-steps", "80"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run of two iterations, trained without a word."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    assert main(["train", "pcrpo", TASK, "--run-dir", str(folder), *OPTIONS, "--quiet"]) == 0
    return folder


@pytest.fixture
def folder(trained, tmp_path):
    """A copy of it."""
    return shutil.copytree(trained, tmp_path / "run")


def objects(capsys):
    """What was said on stdout, where nothing is on stderr."""
    said = capsys.readouterr()
    assert said.err == ""
    return [json.loads(line, parse_constant=pytest.fail) for line in said.out.splitlines()]


@pytest.mark.slow
def test_quiet_says_nothing(folder, tmp_path, capsys):
    assert main(["train", "pcrpo", TASK, "--run-dir", str(tmp_path / "other"), *OPTIONS, "--quiet"]) == 0
    assert main(["resume", str(folder), "--quiet"]) == 0
    assert main(["evaluate", str(folder), "--environment", TASK, "--episodes", "2", "--quiet"]) == 0
    assert capsys.readouterr() == ("", "")
    assert (tmp_path / "other" / "plot.png").exists() and (folder / "evaluation.json").exists()


def test_quiet_still_tells_mistakes(folder, capsys):
    assert main(["train", "pcrpo", TASK, "--run-dir", str(folder), *OPTIONS, "--quiet"]) == 2
    assert capsys.readouterr().err.startswith("equipoise: ")


def test_json_is_every_iteration_and_a_summary(tmp_path, capsys):
    folder = tmp_path / "run"
    assert main(["train", "pcrpo", TASK, "--run-dir", str(folder), *OPTIONS, "--json"]) == 0
    *iterations, summary = objects(capsys)
    rows = equipoise.Run.load(folder).metrics
    assert [said.pop("event") for said in iterations] == ["iteration"] * 2
    finite = [{name: None if value != value else value for name, value in row.items()} for row in rows]
    assert iterations == finite and any(math.isnan(row["change/reward"]) for row in rows)
    last = rows[-1]
    assert summary == {
        "event": "summary",
        "run": str(folder),
        "task": TASK,
        "algorithm": "pcrpo",
        "seed": 0,
        "iteration": 2,
        "steps": 80,
        "reward": {"mean": last["reward"], "se": last["reward_se"]},
        "costs": {"cost": {"mean": last["cost/cost"], "se": last["cost_se/cost"], "limit": 1.0}},
        "within_limits": last["cost/cost"] <= 1.0,
    }
    (row,) = re.findall(r"^\| `summary`.*", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert set(re.findall(r"`(\w+)`", row)) >= {*summary, *summary["costs"]["cost"]} - {"event"}


def test_the_page_names_every_event():
    source = "".join(
        path.read_text(encoding="utf-8") for path in (Path(equipoise.__file__).parent / "cli").glob("*.py")
    )
    rows = re.findall(r"^\| (`\w+`(?:, `\w+`)*) \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert set(re.findall(r'say_json\(\s*"(\w+)"', source)) == set(re.findall(r"\w+", " ".join(rows))) - {"event"}


def test_json_and_quiet_is_the_summary_alone(folder, capsys):
    shutil.rmtree(folder / "checkpoints")
    (folder / "metrics.csv").unlink()
    assert main(["resume", str(folder), "--environment", TASK, "--json", "--quiet"]) == 0
    (summary,) = objects(capsys)
    assert (summary["event"], summary["iteration"]) == ("summary", 2)


def test_an_evaluation_in_json_is_what_its_file_says(folder, capsys):
    assert main(["evaluate", str(folder), "--environment", TASK, "--episodes", "2", "--json"]) == 0
    (said,) = objects(capsys)
    evaluation = read_evaluation_file(folder)
    written = json.loads((folder / "evaluation.json").read_text())
    assert {name: said[name] for name in written} == written
    assert said["event"] == "evaluation" and said["certified"] == evaluation.stochastic.certified


def test_runs_in_json_are_one_a_line(folder, tmp_path, capsys):
    shutil.copytree(folder, tmp_path / "spoiled")
    (tmp_path / "spoiled" / "config.json").write_text("{}")
    shutil.copytree(folder, tmp_path / "bare")
    (tmp_path / "bare" / "metrics.csv").unlink()
    assert main(["runs", str(tmp_path), "--json"]) == 0
    said = {line["run"].rpartition("/")[2]: line for line in objects(capsys)}
    assert {name: line["event"] for name, line in said.items()} == {
        "bare": "begun",
        "run": "summary",
        "spoiled": "damaged",
    }
    assert said["run"]["certified"] is None and "config.json" in said["spoiled"]["why"]


def test_a_number_that_is_none_is_null(capsys):
    say_json("test", {"a": [math.inf, -math.inf, math.nan, 1.5], "b": (1, "ü\n")})
    assert capsys.readouterr().out == '{"event": "test", "a": [null, null, null, 1.5], "b": [1, "ü\\n"]}\n'


@pytest.mark.slow
def test_a_reader_that_goes_ends_the_command_without_a_word(folder):
    command = [sys.executable, "-m", "equipoise", "runs", str(folder), "--json"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdout.close()
    assert process.stderr.read() == b"" and process.wait() == 141
    process.stderr.close()
