"""Campaigns: the file, the folder, the processes, and the tables."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import tomllib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from equipoise.campaigns import machine, process, schedule, tables, worker
from equipoise.campaigns.check import config_of
from equipoise.campaigns.duration import seconds_of
from equipoise.campaigns.file import read_campaign
from equipoise.campaigns.folder import CampaignFolder, Standing
from equipoise.campaigns.job import NO_ROOM, Job
from equipoise.campaigns.progress import Progress
from equipoise.campaigns.run import run_campaign
from equipoise.cli import main
from equipoise.errors import DiskFullError, UsageError
from equipoise.training.config_file import VERSION
from small_campaign import read, small, without_clock
from synthetic import make_run

PAGE = Path(__file__).parents[1] / "docs" / "campaigns.md"

SMALL = (
    small("crpo", "wide")
    + """
[algorithm.wide]
base = "crpo"
critic.learning-rate = 0.01
"""
)


def write(folder, text=SMALL, **changes):
    """Write a campaign's file, with some of its lines changed."""
    for key, value in changes.items():
        text, n = re.subn(rf"^{key} = .*$", f"{key} = {value}", text, flags=re.MULTILINE)
        assert n == 1, key
    path = folder / "small.toml"
    path.write_text(text)
    return path


# The file


def test_the_first_seed_of_everything_comes_first(tmp_path):
    text = SMALL.replace("seeds = 1", "seeds = [3, 1]\nlimits_scale = [1, 0.5]")
    campaign = read_campaign(write(tmp_path, text, tasks='["SafetyReacher-v4", "SafetyHopper-v4"]'))
    assert len(campaign.jobs) == 2 * 2 * 2 * 2
    assert [job.seed for job in campaign.jobs] == [3] * 8 + [1] * 8
    assert len({job.name for job in campaign.jobs}) == 16


def test_settings_arrive_in_the_configuration(tmp_path):
    crpo, wide = read_campaign(write(tmp_path)).jobs
    config = config_of(wide)
    assert (config.num_envs, config.steps_per_iteration, config.total_steps) == (2, 2000, 6000)
    assert config.algorithm.learner.critic.learning_rate == 0.01
    assert config.algorithm_name == config_of(crpo).algorithm_name == "crpo"
    assert config_of(crpo).algorithm.learner.critic.learning_rate != 0.01


def test_a_list_of_values_is_a_dimension_and_a_list_of_numbers_is_one_value(tmp_path):
    text = SMALL.replace("num-envs = 2", "num-envs = 2\ndiscount = [0.9, 0.99]\nlimits = [100]")
    jobs = read_campaign(write(tmp_path, text)).jobs
    assert [job.varied for job in jobs] == ["discount=0.9", "discount=0.99"] * 2
    assert [config_of(job).algorithm.learner.discount for job in jobs] == [0.9, 0.99] * 2
    assert {config_of(job).limits for job in jobs} == {(100.0,)}


def test_limits_scale_may_stand_among_the_settings(tmp_path):
    jobs = read_campaign(write(tmp_path, SMALL.replace("num-envs = 2", "num-envs = 2\nlimits_scale = 0.5"))).jobs
    assert [job.limits_scale for job in jobs] == [0.5, 0.5]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("seeds = 1", "seed = 1", "unknown key 'seed'; did you mean 'seeds'?"),
        ("seeds = 1", "seeds = 0", "seeds is 0; allowed: how many"),
        ("seeds = 1", "seeds = [1, 1]", "seeds has 1 twice; name it once"),
        ("seeds = 1", "seeds = [-1]", "a seed is -1; allowed: 0 or more"),
        ('"crpo", ', '"crp", ', "unknown algorithm 'crp'; did you mean 'crpo'?"),
        ('"SafetyReacher-v4"', '"SafetyReachr-v4"', "unknown task 'SafetyReachr-v4'; did you mean 'SafetyReacher-v4'?"),
        ("num-envs", "num-env", "unknown setting of crpo 'num_env'; did you mean 'num_envs'?"),
        ("num-envs = 2", 'num-envs = "2"', "num_envs is '2'; allowed: a whole number"),
        ("num-envs = 2", "limits = 3", "limits is 3; allowed: a list, as in [3]"),
        ("num-envs = 2", "seed = 3", "seed is no setting of a campaign; give seeds"),
        ("num-envs = 2", "threads = 3", "unknown setting of crpo 'threads'"),
        (
            "num-envs = 2",
            "num-envs = 2\ndiscount = 2.0",
            "crpo on SafetyReacher-v4: discount is 2.0; allowed: from 0 to 1",
        ),
        ("num-envs = 2", 'preset = "omnisave"', "crpo has no preset 'omnisave'"),
        (
            '"crpo"\ncritic.learning-rate = 0.01',
            '"pcrpo"\nslack.schedule = "line"',
            "unknown slack.schedule 'line'; did you mean 'linear'?",
        ),
        ('base = "crpo"', 'base = "pcrp"', "unknown algorithm 'pcrp'; did you mean 'pcrpo'?"),
        ('base = "crpo"', "", "[algorithm.wide] has no base"),
        ('"crpo", "wide"', '"crpo"', "[algorithm.wide] is not trained: algorithms does not name it"),
        ("[algorithm.wide]", "[algorithm.crpo]", "has the name of one of the library's"),
        ("total_steps = 6000", "total_steps = 6e3", "total_steps is 6000.0; allowed: a whole number"),
        ("total_steps = 6000", "", "total_steps is missing; give a whole number"),
        ("total_steps = 6000", "total_steps = 60", "allowed: at least one iteration, 2000"),
        ("evaluation_episodes = 2", "evaluation_episodes = 1", "evaluation_episodes is 1; allowed: 2 or more"),
        ("seeds = 1", "seeds = 1\nlimits_scale = -1", "limits_scale is [-1]; allowed: multiples"),
        ('"small"', '"../small"', "name is '../small'; allowed: letters"),
        ("seeds = 1", "seeds =", "is no TOML"),
    ],
)
def test_a_mistake_is_one_line_before_anything_is_written(old, new, expected, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert old in SMALL
    write(tmp_path, SMALL.replace(old, new))
    assert main(["campaign", "small.toml"]) == 2
    said = capsys.readouterr().err
    assert expected in said
    assert said.startswith("equipoise: small.toml")
    assert said.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["small.toml"]


@pytest.mark.parametrize(
    ("text", "seconds"), [("2h", 7200), ("90m", 5400), ("1h30m", 5400), ("45s", 45), ("0.5h", 1800)]
)
def test_durations_are_read(text, seconds):
    assert seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["2", "h", "2 h", "2h!", ""])
def test_what_is_no_duration_is_refused(text):
    with pytest.raises(UsageError, match="allowed: a duration, as in 2h"):
        seconds_of(text)


# Processes, with others in the place of runs


def job(seed, task="task"):
    return Job(task=task, algorithm="a", base="a", seed=seed, total_steps=1)


@pytest.fixture
def stubs(tmp_path, monkeypatch):
    """Run shell commands in the place of runs; return what does so, and the runs' ends in their order."""
    monkeypatch.setattr("equipoise.campaigns.folder.provenance", dict)
    monkeypatch.setattr(schedule, "LOOK_EVERY", 0.01)

    def run(script, jobs, workers=1, budget=None, say=lambda line: None):
        folder = CampaignFolder.begin(tmp_path / "campaign", "stub", jobs, "")
        ends = []
        monkeypatch.setattr(process, "command_of", lambda folder, job, *_: ["sh", "-c", script, "sh", job.name])
        engine = machine.ThisMachine(workers)
        schedule.run_side_by_side(folder, jobs, engine, budget, lambda *end: ends.append(end), lambda: None, say)
        return folder, ends

    return run


def test_runs_start_in_their_order_and_one_that_fails_stops_no_other(stubs):
    jobs = [job(seed) for seed in range(3)]
    script = 'case "$1" in *seed1) echo some; echo the reason; exit 2;; esac'
    folder, ends = stubs(script, jobs)
    assert ends == [(jobs[0], True), (jobs[1], False), (jobs[2], True)]
    assert folder.failure(jobs[1]).read_text() == "the reason\n"
    assert folder.standing(jobs[1]).status == "failed"
    assert folder.standing(jobs[0]).status == "waiting"  # a stub leaves no run


def test_a_crash_is_tried_again_but_not_for_ever(stubs):
    folder, ends = stubs('echo try; kill -9 "$$"', [job(0)])
    assert ends == [(job(0), False)]
    assert folder.log(job(0)).read_text().count("try") == schedule.TRIES["crashed"]
    assert "killed by signal 9, 3 times" in folder.failure(job(0)).read_text()


def test_where_the_disk_is_full_all_wait_for_room_and_go_on(stubs, tmp_path, monkeypatch):
    monkeypatch.setattr(schedule, "TRY_FOR_ROOM_EVERY", 0.3)
    jobs, said = [job(seed) for seed in range(3)], []
    script = f'echo "$1" >> {tmp_path}/begun; test -e {tmp_path}/room || exit {NO_ROOM}'

    def say(line):
        assert line.startswith("the disk is full")
        said.append(len((tmp_path / "begun").read_text().splitlines()))
        if len(said) == schedule.TRIES["crashed"] + 1:  # it is no crash: it is tried for as long as it takes
            (tmp_path / "room").touch()

    folder, ends = stubs(script, jobs, say=say)
    assert ends == [(each, True) for each in jobs]
    assert said == [1, 2, 3, 4]  # while one waits, no other is begun
    assert not any(folder.failure(each).exists() for each in jobs)


@pytest.mark.slow
@pytest.mark.parametrize("where", ["training", "evaluation"])
def test_a_run_that_finds_the_disk_full_says_so_to_its_campaign(where, finished, tmp_path, monkeypatch, capsys):
    def full(*_, **__):
        raise (
            DiskFullError("the disk is full")
            if where == "training"
            else OSError(errno.ENOSPC, "No space left on device")
        )

    monkeypatch.setattr(worker, "do", full)
    monkeypatch.setattr(worker, "die_with_parent", lambda: None)
    name = CampaignFolder.load(finished[0]).jobs[0].name
    assert worker.main(str(finished[0]), name, "1", "1") == NO_ROOM
    assert "the disk is full" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/autogroup").exists(), reason="Linux's groups of processes")
def test_a_niced_campaign_s_runs_give_way_to_other_sessions():
    script = "from equipoise.campaigns.worker import stay_nice; stay_nice(); print(open('/proc/self/autogroup').read())"
    command = ["nice", "-n", "7", sys.executable, "-c", script]
    said = subprocess.run(command, capture_output=True, text=True, start_new_session=True, check=True).stdout
    assert said.strip().endswith("nice 7")


def test_a_budget_starts_nothing_that_would_not_end_in_time(stubs):
    jobs = [job(seed) for seed in range(20)]
    began = time.monotonic()
    _, ends = stubs("sleep 0.3", jobs, budget=1.0)
    assert 2 <= len(ends) <= 3
    assert time.monotonic() - began < 1.5


def test_runs_are_side_by_side(stubs):
    began = time.monotonic()
    _, ends = stubs("sleep 0.5", [job(seed) for seed in range(4)], workers=4)
    assert len(ends) == 4
    assert time.monotonic() - began < 1.5


def test_cores_are_shared_out():
    assert machine.share_out([0, 1, 2, 3, 4], 2) == [(0, 2, 4), (1, 3)]
    assert machine.share_out([0, 1], 3) == [(0,), (1,), (0,)]


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({}, "finished"),
        ({"iteration": 2}, "stopped"),
        ({"iteration": None}, "stopped"),
        ("{}", "stopped"),
        ("[", "stopped"),
        (None, "stopped"),
    ],
)
def test_a_run_is_finished_when_its_last_policy_was_evaluated(change, status, tmp_path, monkeypatch):
    monkeypatch.setattr("equipoise.campaigns.folder.provenance", dict)
    folder = CampaignFolder.begin(tmp_path / "campaign", "stub", [job(0)], "")
    path = make_run(folder.run_dir(job(0)), evaluation={"cost": np.ones(3)}) / "evaluation.json"
    written = json.loads(path.read_text())
    assert written["iteration"] == 3
    if change is None:
        path.unlink()
    else:
        path.write_text(change if isinstance(change, str) else json.dumps(written | change))
    assert folder.standing(job(0)).status == status


def test_many_processes_may_make_the_folder_at_once(tmp_path, monkeypatch):
    """A queue starts all runs of a campaign in the same second."""

    def slow():
        time.sleep(0.05)
        made.append(1)
        return {}

    made = []
    monkeypatch.setattr("equipoise.campaigns.folder.provenance", slow)
    with ThreadPoolExecutor(8) as pool:
        joined = [pool.submit(CampaignFolder.join, tmp_path / "campaign", "stub", [job(0)], "") for _ in range(8)]
    assert {each.result().path for each in joined} == {tmp_path / "campaign"}
    assert len(made) == 1


def test_a_run_by_itself_leaves_a_folder_of_other_things_alone(tmp_path):
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(UsageError, match="is no campaign and not empty; give another --out"):
        CampaignFolder.join(tmp_path, "stub", [job(0)], "")
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_tables_of_a_campaign_that_is_stopped_before_a_run_is_finished_are_empty(tmp_path, monkeypatch):
    monkeypatch.setattr("equipoise.campaigns.folder.provenance", dict)
    files = tables.write_tables(CampaignFolder.begin(tmp_path / "campaign", "stub", [job(0)], ""))
    assert [(path.name, path.read_bytes()) for path in files] == [("updates.csv", b""), ("episodes.csv", b"")]


# Whole campaigns


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The folder of a finished campaign, its file beside it, and what was printed."""
    place = tmp_path_factory.mktemp("campaign")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        write(place)
        done = subprocess.run(
            [sys.executable, "-m", "equipoise", "campaign", "small.toml"], capture_output=True, text=True, check=True
        )
    return place / "campaigns" / "small", done.stdout


def test_a_budget_knows_how_long_earlier_runs_took(finished, tmp_path):
    shutil.copytree(finished[0], tmp_path / "small")
    (tmp_path / "small" / "updates.csv").unlink()  # as if the campaign had been killed
    assert run_campaign(write(tmp_path, seeds="2"), tmp_path / "small", budget=0.5, accept_changes=True) is False
    assert {name.name[-5:] for name in (tmp_path / "small" / "runs").iterdir()} == {"seed0"}
    assert len(read(tmp_path / "small" / "updates.csv")) == 2 * 3


def test_what_a_run_will_take_is_what_is_left_of_it(tmp_path, monkeypatch):
    jobs = [Job(task=task, algorithm="a", base="a", seed=seed, total_steps=100) for task in "xy" for seed in (0, 1)]
    rows = (
        {"steps": 20, "steps_per_second": 4.0},
        {"steps": 40, "steps_per_second": 2.0},
        {"steps": 100, "steps_per_second": 6.0},
    )
    taken = [rows, rows[:2], rows[:1], ()]
    monkeypatch.setattr("equipoise.campaigns.folder.provenance", dict)
    folder = CampaignFolder.begin(tmp_path / "campaign", "stub", jobs, "")
    standing = {job.name: Standing("stopped", list(seen)) for job, seen in zip(jobs, taken, strict=True)}
    monkeypatch.setattr(folder, "standing", lambda job: standing[job.name])
    lasted = schedule._known(folder)
    assert {name: seconds for name, (_, seconds) in lasted.items()} == pytest.approx(
        {jobs[0].name: 5 + 10 + 10, jobs[1].name: 15 / 0.4, jobs[2].name: 5 / 0.2}
    )
    left = [schedule._expected(folder, job, lasted) for job in jobs]
    assert left == pytest.approx([0, 0.6 * 37.5, 0.8 * 25, 25])


def test_what_is_printed_to_a_pipe_is_a_line_a_run_and_a_table(finished):
    lines = finished[1].splitlines()
    assert lines[0].startswith("small: 2 runs, 0 of them finished; ")
    assert sum(line.startswith("finished  SafetyReacher-v4-") for line in lines) == 2
    assert "2 of 2 finished" in finished[1]
    assert "\x1b" not in finished[1]


def test_updates_are_the_runs_metrics(finished):
    folder = CampaignFolder.load(finished[0])
    rows = read(finished[0] / "updates.csv")
    assert [(row["algorithm"], row["iteration"]) for row in rows] == [
        (name, str(i)) for name in ("crpo", "wide") for i in (1, 2, 3)
    ]
    metrics = folder.standing(folder.jobs[0]).rows
    assert [float(row["reward"]) for row in rows[:3]] == [row["reward"] for row in metrics]
    assert [float(row["time/steps_per_second"]) for row in rows[:3]] == [row["steps_per_second"] for row in metrics]


def test_episodes_are_on_three_splits(finished):
    rows = read(finished[0] / "episodes.csv")
    splits = [row["split"] for row in rows if row["algorithm"] == "crpo"]
    assert splits == ["training"] * 6 + ["stochastic"] * 2 + ["deterministic"] * 2
    evaluation = json.loads((finished[0] / "runs" / "SafetyReacher-v4-crpo-seed0" / "evaluation.json").read_text())
    for split in ("stochastic", "deterministic"):
        rewards = [float(row["reward"]) for row in rows if row["algorithm"] == "crpo" and row["split"] == split]
        assert np.mean(rewards) == pytest.approx(evaluation[split]["reward"]["value"])
    assert {row["iteration"] for row in rows if row["split"] != "training"} == {"3"}
    assert {float(row["limit/cost"]) for row in rows} == {156.0}


def test_the_record_says_where_the_numbers_are_from(finished):
    content = json.loads((finished[0] / "campaign.json").read_text())
    (start,) = content["starts"]
    assert start["command"].endswith("campaign small.toml")
    assert {"python", "jax", "numpy", "mujoco", "equipoise"} <= set(start["versions"])
    assert start["machine"]["cores"] == os.cpu_count()
    assert start["commit"] is None or re.fullmatch(r"[0-9a-f]{40}(\+changes)?", start["commit"])


def test_finished_runs_are_not_repeated(finished, monkeypatch, capsys):
    monkeypatch.chdir(finished[0].parents[1])
    before = {path: path.stat().st_mtime_ns for path in (finished[0] / "runs").rglob("*")}
    assert main(["campaign", "small.toml"]) == 0
    assert "2 runs, 2 of them finished" in capsys.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in (finished[0] / "runs").rglob("*")} == before
    assert main(["campaign", "run", "small.toml", "--index", "1"]) == 0
    assert {path: path.stat().st_mtime_ns for path in (finished[0] / "runs").rglob("*")} == before


@pytest.mark.parametrize(
    ("old", "new"),
    [('"seed": 0', '"seed": 1'), ('"limits": []', '"limits": [5.0]')],
)
@pytest.mark.parametrize("command", [[], ["run", "--index", "0"]])
def test_a_run_that_was_changed_by_hand_is_refused(old, new, command, finished, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write(tmp_path)
    shutil.copytree(finished[0], tmp_path / "campaigns" / "small")
    config = tmp_path / "campaigns" / "small" / "runs" / "SafetyReacher-v4-crpo-seed0" / "config.json"
    text = config.read_text()
    assert old in text
    config.write_text(text.replace(old, new))
    assert main(["campaign", *command[:1], "small.toml", *command[1:]]) == 2
    said = capsys.readouterr().err
    assert "SafetyReacher-v4-crpo-seed0 has another configuration than the campaign's file says; remove it" in said
    assert said.count("\n") == 1


def test_status_says_how_it_stands(finished, capsys):
    assert main(["campaign", "status", str(finished[0])]) == 0
    said = capsys.readouterr().out
    assert said.count("1 of 1") == 2
    assert said.count("100 %") == 2


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"seeds": 2}, "would add 2 runs (SafetyReacher-v4-crpo-seed1, SafetyReacher-v4-wide-seed1) in"),
        ({"seeds": "[1]"}, "would add 2 runs (SafetyReacher-v4-crpo-seed1, SafetyReacher-v4-wide-seed1) and leave out"),
        ({"total_steps": 8000}, "has 2 of these runs with other settings"),
    ],
)
def test_a_changed_file_says_what_it_would_do(changes, expected, finished, tmp_path, capsys):
    file = write(tmp_path, **changes)
    assert main(["campaign", str(file), "--out", str(finished[0])]) == 2
    said = capsys.readouterr().err
    assert expected in said
    assert said.count("\n") == 1


def test_another_index_another_folder_and_no_campaign_are_told(finished, tmp_path, capsys):
    file = write(tmp_path)
    assert main(["campaign", "run", str(file), "--index", "2", "--out", str(tmp_path / "out")]) == 2
    assert "index is 2; allowed: from 0 to 1" in capsys.readouterr().err
    assert main(["campaign", str(file), "--out", str(tmp_path)]) == 2
    assert "is no campaign and not empty; give another --out" in capsys.readouterr().err
    assert main(["campaign", "status", str(tmp_path)]) == 2
    assert "is no campaign: it has no campaign.json" in capsys.readouterr().err


def test_two_campaigns_in_one_folder_are_refused(finished, monkeypatch, capsys):
    monkeypatch.chdir(finished[0].parents[1])
    with CampaignFolder.load(finished[0]).lock():
        assert main(["campaign", "small.toml"]) == 2
    assert "another process is at work in" in capsys.readouterr().err


def test_a_record_of_another_version_is_told(tmp_path, capsys):
    (tmp_path / "campaign.json").write_text('{"format": 99, "equipoise": "9.9"}')
    assert main(["campaign", "status", str(tmp_path)]) == 2
    said = "has format 99, written by equipoise 9.9; allowed: 1: install equipoise==9.9 to use it"
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("jobs", "said"),
    [
        ("3", "jobs or starts is no list"),
        ("[3]", "jobs[0] is 3; allowed: a table"),
        ('[{"name": "a"}]', "jobs[0].algorithm is missing"),
    ],
)
def test_a_damaged_record_is_told(jobs, said, tmp_path, capsys):
    (tmp_path / "campaign.json").write_text(f'{{"format": 1, "equipoise": "{VERSION}", "starts": [], "jobs": {jobs}}}')
    assert main(["campaign", "status", str(tmp_path)]) == 2
    assert f"campaign.json was not written by equipoise: {said}" in capsys.readouterr().err


def test_a_terminal_sees_a_table(finished):
    console = Console(force_terminal=True, width=160, record=True, file=open(os.devnull, "w"))  # noqa: PTH123, SIM115
    with Progress(CampaignFolder.load(finished[0]), console) as progress:
        progress.look()
        console.print(progress._picture())
    assert "2 of 2 finished" in console.export_text()


def test_parquet_has_what_csv_has(finished):
    parquet = pytest.importorskip("pyarrow.parquet")
    tables.write_tables(CampaignFolder.load(finished[0]))
    for name in ("updates", "episodes"):
        rows = read(finished[0] / f"{name}.csv")
        table = parquet.read_table(finished[0] / f"{name}.parquet")
        assert table.column_names == list(rows[0])
        assert table.column("reward").to_pylist() == [float(row["reward"]) for row in rows]
        assert table.column("algorithm").to_pylist() == [row["algorithm"] for row in rows]


def wait_until(condition, seconds=600):  # on a busy machine too: it is only there so that nothing hangs
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.slow
def test_killed_twice_a_campaign_ends_with_the_same_bits(finished, tmp_path):
    """kill -9 of the campaign, with which its runs end; and kill -9 of a run. On other cores than before."""
    write(tmp_path)
    command = [sys.executable, "-m", "equipoise", "campaign", "small.toml", "--workers", "1"]
    folder = tmp_path / "campaigns" / "small"
    first = folder / "runs" / "SafetyReacher-v4-crpo-seed0"

    campaign = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL)
    wait_until(lambda: list(first.glob("checkpoints/*.npz")))
    campaign.kill()
    campaign.wait()
    opened = CampaignFolder.load(folder)
    wait_until(lambda: opened.standing(opened.jobs[0]).status != "running", 10)
    assert opened.standing(opened.jobs[0]).status == "stopped"

    campaign = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL)
    second = folder / "runs" / "SafetyReacher-v4-wide-seed0"
    wait_until(lambda: list(second.glob("checkpoints/*.npz")))
    (pid,) = [
        int(path.parent.name)
        for path in Path("/proc").glob("[0-9]*/cmdline")
        if f"{folder.name}\0{second.name}".encode() in path.read_bytes()
    ]
    os.kill(pid, signal.SIGKILL)
    assert campaign.wait(120) == 0
    for name in ("updates.csv", "episodes.csv"):
        assert without_clock(folder / name) == without_clock(finished[0] / name)


@pytest.mark.slow
def test_tables_alone_are_enough_to_go_on(finished, tmp_path, capsys):
    """As where a campaign is committed: the run in its tables is not repeated, the other one is trained."""
    folder = tmp_path / "small"
    carry(finished[0], folder, without="wide")
    assert CampaignFolder.load(folder).standing(read_campaign(write(tmp_path)).jobs[0]).status == "finished"
    assert main(["campaign", "run", str(tmp_path / "small.toml"), "--index", "0", "--out", str(folder)]) == 0
    assert list((folder / "runs").iterdir()) == []
    assert main(["campaign", str(tmp_path / "small.toml"), "--out", str(folder)]) == 0
    assert "2 runs, 1 of them finished" in capsys.readouterr().out
    assert [path.name for path in (folder / "runs").iterdir()] == ["SafetyReacher-v4-wide-seed0"]
    for name in ("updates.csv", "episodes.csv"):
        assert without_clock(folder / name) == without_clock(finished[0] / name)
        of_both = [[row for row in read(path / name) if row["algorithm"] == "crpo"] for path in (folder, finished[0])]
        assert of_both[0] == of_both[1]  # the clock's columns too
        assert (folder / name).read_text().splitlines()[0] == (finished[0] / name).read_text().splitlines()[0]

    shutil.rmtree(folder / "runs")  # and once more, from what was just written
    assert main(["campaign", str(tmp_path / "small.toml"), "--out", str(folder)]) == 0
    assert "2 runs, 2 of them finished" in capsys.readouterr().out
    assert list((folder / "runs").iterdir()) == []
    assert without_clock(folder / "updates.csv") == without_clock(finished[0] / "updates.csv")


@pytest.mark.parametrize(
    ("table", "old", "new", "said"),
    [
        ("updates", ",crpo,", ",crpo,oops", "updates.csv lacks an iteration of SafetyReacher-v4-crpo-seed0"),
        ("updates", ",safety,", ",safest,", "updates.csv, line 2: mode is 'safest'"),
        ("updates", ",2000,", ",many,", "updates.csv, line 2: steps is 'many'; allowed: a number"),
        ("updates", "seed,", "sed,", "updates.csv, line 1: there is no column 'seed'"),
        ("episodes", None, None, "updates.csv has SafetyReacher-v4-crpo-seed0, and episodes.csv does not"),
    ],
)
def test_damaged_tables_of_earlier_runs_are_told(table, old, new, said, finished, tmp_path, capsys):
    folder = tmp_path / "small"
    carry(finished[0], folder)
    path = folder / f"{table}.csv"
    if old is None:
        path.unlink()
    else:
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new, 1))
    assert main(["campaign", "status", str(folder)]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1


def carry(campaign, folder, without=""):
    """Take what is committed of a campaign elsewhere, without the rows of an algorithm."""
    folder.mkdir()
    shutil.copy(campaign / "campaign.json", folder)
    for name in ("updates.csv", "episodes.csv"):
        lines = (campaign / name).read_text().splitlines(keepends=True)
        (folder / name).write_text("".join(line for line in lines if not without or f",{without}," not in line))


# The page


@pytest.mark.slow
def test_the_page_does_what_it_says(tmp_path, monkeypatch, capsys):
    """Its file is right as it stands, and its commands work on a smaller grid."""
    text = PAGE.read_text(encoding="utf-8")
    (file,) = re.findall(r"```toml\n(.*?)```", text, re.DOTALL)
    monkeypatch.chdir(tmp_path)
    Path("velocity-look.toml").write_text(file)
    assert len(read_campaign(Path("velocity-look.toml")).jobs) == 3 * 3 * 2

    smaller = {"total_steps": "2000", "seeds": "1", "evaluation_episodes": "2", "limits_scale": "0.5", "num_envs": "2"}
    for key, value in smaller.items():
        file, n = re.subn(rf"^{key} = \S+( \S+\])?", f"{key} = {value}", file, flags=re.MULTILINE)
        assert n == 1
    for old, new in {
        '["crpo", "pcrpo", "pcrpo-wide"]': '["pcrpo-wide"]',
        "SafetyHopperVelocity-v1": "SafetyReacher-v4",
        "critic.epochs = 10": "steps_per_iteration = 2000",  # as in `SMALL`, so that nothing new is compiled
    }.items():
        assert old in file
        file = file.replace(old, new)
    assert tomllib.loads(file)["seeds"] == 1
    Path("velocity-look.toml").write_text(file)
    commands = re.findall(r"^equipoise (campaign .*)$", text.replace('"$SLURM_ARRAY_TASK_ID"', "0"), re.MULTILINE)
    commands = [command for command in commands if "--engine ray" not in command]  # see test_campaigns_ray.py
    assert len(commands) == 3
    for command in reversed(commands):  # the run by itself first, so that the campaign finds it finished
        if "status" not in command:
            assert main(command.split()) == 0, capsys.readouterr().err
    assert main(commands[1].split()) == 0
    assert "1 of 1" in capsys.readouterr().out
    assert {"campaign.json", "campaign.toml", "updates.csv", "episodes.csv"} <= {
        path.name for path in Path("campaigns/velocity-look").iterdir()
    }
