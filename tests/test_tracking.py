"""Trackers: they hear every iteration once, go on as the same run, and never cost a training anything."""

from __future__ import annotations

import json
import math
import shutil
import sqlite3
import sys
import types

import pytest

import equipoise
from equipoise.cli import main
from equipoise.errors import Notice
from equipoise.integrations.trackers import TRACKERS, MLflow, find_tracker
from equipoise.integrations.tracking import Tracking

TASK = "rail:QuickRail-v0"
SIZES = {"total_steps": 80, "num_envs": 2, "steps_per_iteration": 40, "limits": (1.0,)}
OPTIONS = ["--num-envs", "2", "--steps-per-iteration", "40", "--limits", "1", "--total-steps", "80"]


class Tracked:
    """What a fake tracker has heard of a run."""

    def __init__(self, **begun):
        self.begun, self.rows, self.exit_code = begun, [], None

    def log(self, numbers, step):
        print("chatter")
        self.rows.append((step, numbers))

    def finish(self, exit_code):
        self.exit_code = exit_code


class TrackedByName(Tracked):
    """As `Tracked`, of a module whose runs know no exit codes."""

    def finish(self):
        self.exit_code = "finished"


def fake(name):
    """A module of wandb's shape, that knows ids as wandb does, or none as trackio does; its runs are in `runs`."""
    module = types.ModuleType(name)
    module.runs = []

    def init(project, name, id, config, resume):
        print("chatter")
        module.runs.append(Tracked(project=project, name=name, id=id, config=config, resume=resume))
        return module.runs[-1]

    def init_by_name(project, name, config, resume):
        module.runs.append(TrackedByName(project=project, name=name, config=config, resume=resume))
        return module.runs[-1]

    module.init = init if name == "wandb" else init_by_name
    return module


@pytest.fixture
def wandb(monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", fake("wandb"))
    return sys.modules["wandb"]


@pytest.fixture
def trackio(monkeypatch):
    monkeypatch.setitem(sys.modules, "trackio", fake("trackio"))
    return sys.modules["trackio"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run of two iterations that nobody tracked."""
    return equipoise.train("pcrpo", TASK, run_dir=tmp_path_factory.mktemp("runs") / "run", **SIZES)


@pytest.fixture
def run(trained, tmp_path):
    """A copy of it."""
    return equipoise.Run.load(shutil.copytree(trained.path, tmp_path / "run"))


def finite(row):
    """The numbers of a row that a tracker can draw."""
    return {name: value for name, value in row.items() if isinstance(value, int | float) and math.isfinite(value)}


def tell(track, run, rows=None):
    """Tell a tracker of the run's iterations, as its training does."""
    with Tracking(track, run.path) as tracking:
        for row in run.metrics if rows is None else rows:
            tracking(row)


@pytest.mark.slow
def test_a_training_is_tracked_and_goes_on_as_the_same_run(wandb, tmp_path, monkeypatch):
    monkeypatch.delenv("WANDB_PROJECT", raising=False)
    folder = tmp_path / "run"
    equipoise.train("pcrpo", TASK, run_dir=folder, track="wandb", watch=lambda row: False, seed=3, **SIZES)
    run = equipoise.resume(folder, environment=TASK, track="wandb")
    first, second = wandb.runs
    assert (first.begun["project"], first.begun["name"], first.begun["resume"]) == ("equipoise", "run", "never")
    assert (second.begun["id"], second.begun["resume"]) == (first.begun["id"], "allow")
    assert json.loads((folder / "tracked.json").read_text()) == {"wandb": first.begun["id"]}
    assert first.rows + second.rows == [(row["iteration"], finite(row)) for row in run.metrics]
    assert first.exit_code == second.exit_code == 0
    config = first.begun["config"]
    assert (config["seed"], config["task"], config["limits"]) == (3, TASK, [1.0])
    assert config["algorithm.rule.slack.low"] == run.config.algorithm.rule.slack.low
    assert config["problem.horizon"] == 20


def test_runs_without_ids_are_known_by_their_names(trackio, run, monkeypatch):
    monkeypatch.setenv("TRACKIO_PROJECT", "rails")
    tell("trackio", run, run.metrics[:1])
    tell("trackio", run, run.metrics[1:])
    first, second = trackio.runs
    own = json.loads((run.path / "tracked.json").read_text())["trackio"]
    assert first.begun["name"] == second.begun["name"] == f"run-{own}"
    assert first.begun["project"] == "rails"
    assert [first.begun["resume"], second.begun["resume"]] == ["never", "allow"]
    assert second.exit_code == "finished"


def test_two_runs_of_one_name_are_two(trackio, run, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    other = equipoise.Run.load(shutil.copytree(run.path, tmp_path / "elsewhere" / "run"))
    tell("trackio", run)
    tell("trackio", other)
    assert trackio.runs[0].begun["name"] != trackio.runs[1].begun["name"]


def test_a_module_of_that_shape_may_be_given(run):
    module = fake("wandb")
    tell(module, run)
    assert len(module.runs[0].rows) == 2


def test_what_a_tracker_prints_is_not_on_stdout(wandb, tmp_path, capsys):
    assert main(["train", "pcrpo", TASK, "--run-dir", str(tmp_path / "run"), *OPTIONS, "--json", "--track=wandb"]) == 0
    said = capsys.readouterr()
    assert [json.loads(line)["event"] for line in said.out.splitlines()] == ["iteration", "iteration", "summary"]
    assert said.err.splitlines() == ["chatter"] * 3


def test_the_command_says_how_to_go_on_with_the_tracked_run(wandb, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["train", "pcrpo", TASK, "--run-dir", "run", *OPTIONS, "--track", "wandb"]) == 0
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("resume")]
    assert line.endswith(f"equipoise resume run --environment {TASK} --track wandb")
    assert main(line.split()[2:]) == 0  # complete: nothing to track
    assert len(wandb.runs) == 1


# What goes wrong


def test_what_is_refused_leaves_no_tracked_run(wandb, tmp_path, capsys):
    with pytest.raises(equipoise.UsageError, match="did you mean 'SafetyHopper-v4'"):
        equipoise.train("pcrpo", "SafetyHoper-v4", run_dir=tmp_path / "run", track="wandb")
    assert wandb.runs == []


def test_a_tracker_that_fails_on_the_way_costs_nothing(wandb, run, monkeypatch):
    calls = []

    def fails(self, numbers, step):
        calls.append(step)
        raise ConnectionError("no network")

    monkeypatch.setattr(Tracked, "log", fails)
    with pytest.warns(Notice, match=r"wandb failed \(no network\); training goes on without it"):
        tell("wandb", run)
    assert calls == [1]  # once is enough


def test_a_tracker_that_cannot_begin_is_told_and_the_training_can_go_on(wandb, tmp_path, monkeypatch):
    def init(**named):
        raise PermissionError("no such project")

    monkeypatch.setattr(wandb, "init", init)
    folder = tmp_path / "run"
    with pytest.raises(equipoise.UsageError, match=r"wandb could not begin: no such project; .* equipoise resume "):
        equipoise.train("pcrpo", TASK, run_dir=folder, track="wandb", **SIZES)
    assert len(equipoise.Run.load(folder).metrics) == 1
    assert len(equipoise.resume(folder, environment=TASK).metrics) == 2


def test_a_training_that_is_stopped_is_told_so(wandb, run):
    with pytest.raises(KeyboardInterrupt), Tracking("wandb", run.path) as tracking:
        tracking(run.metrics[0])
        raise KeyboardInterrupt
    assert wandb.runs[0].exit_code == 1


def test_who_is_not_let_in_is_told_before_anything_is_written(wandb, tmp_path, monkeypatch, capsys):
    def login():
        raise ValueError("no API key")

    monkeypatch.setattr(wandb, "login", login, raising=False)
    assert main(["train", "pcrpo", TASK, "--run-dir", str(tmp_path / "run"), *OPTIONS, "--track", "wandb"]) == 2
    assert capsys.readouterr().err == "equipoise: wandb cannot be used: no API key\n"
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", TRACKERS)
def test_one_that_is_not_installed_is_named_with_its_extra(name, run, monkeypatch):
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(equipoise.UsageError, match=rf"{name} is not installed: pip install 'equipoise\[{name}\]'"):
        Tracking(name, run.path)


@pytest.mark.parametrize(
    ("track", "said"),
    [("wanb", "unknown tracker 'wanb'; did you mean 'wandb'?"), (7, "track is 7; allowed: wandb, trackio, mlflow")],
)
def test_what_is_no_tracker_is_told(track, said, run):
    with pytest.raises(equipoise.UsageError, match=said.replace("?", r"\?")):
        equipoise.resume(run.path, track=track)


@pytest.mark.parametrize("content", ["[]", "{", '{"wandb": 3}', '{"wandb": "a b;c"}', "\udcff"])
def test_a_damaged_record_of_ids_is_told(content, wandb, run):
    (run.path / "tracked.json").write_text(content, errors="surrogateescape")
    with pytest.raises(equipoise.UsageError, match=r"tracked.json does not name runs of trackers; remove it"):
        Tracking("wandb", run.path)
    assert wandb.runs == []


# MLflow: a fake of its client


class Client:
    """What MLflow's client has been told."""

    def __init__(self):
        self.experiments, self.params, self.metrics, self.statuses = {}, [], [], []

    def get_experiment_by_name(self, name):
        known = self.experiments.get(name)
        return known and types.SimpleNamespace(experiment_id=known)

    def create_experiment(self, name):
        self.experiments[name] = "17"
        return "17"

    def create_run(self, experiment_id, run_name):
        assert (experiment_id, run_name) == ("17", "run")
        return types.SimpleNamespace(info=types.SimpleNamespace(run_id="a1"))

    def log_batch(self, run_id, metrics=(), params=()):
        assert run_id == "a1" and len(params) <= 100
        self.metrics += metrics
        self.params += params

    def update_run(self, run_id, status):
        self.statuses.append((run_id, status))

    def set_terminated(self, run_id, status):
        self.statuses.append((run_id, status))


@pytest.fixture
def mlflow(monkeypatch):
    module, client = types.ModuleType("mlflow"), Client()
    module.MlflowClient = lambda: client
    entities = types.SimpleNamespace(Metric=lambda *values: values, Param=lambda *values: values)
    monkeypatch.setitem(sys.modules, "mlflow", module)
    monkeypatch.setitem(sys.modules, "mlflow.entities", entities)
    return client


def test_mlflow_hears_every_iteration(mlflow, run, monkeypatch):
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "rails")
    tell("mlflow", run, run.metrics[:1])
    tell("mlflow", run, run.metrics[1:])
    assert mlflow.experiments == {"rails": "17"}
    assert mlflow.statuses == [("a1", "FINISHED"), ("a1", "RUNNING"), ("a1", "FINISHED")]
    expected = [(name, value, row["iteration"]) for row in run.metrics for name, value in finite(row).items()]
    assert [(name, value, step) for name, value, _, step in mlflow.metrics] == expected
    params = dict(mlflow.params)
    assert params["seed"] == "0" and params["algorithm.rule.slack.low"] == str(run.config.algorithm.rule.slack.low)
    assert len(params) == len(mlflow.params) > 40  # once, though begun twice


def test_mlflow_sees_letters_that_it_allows(mlflow):
    tracker = MLflow(sys.modules["mlflow"])
    tracker.begin("run", "a1", {})
    tracker.log({"cost/speed [m/s]": 1.0}, 1)
    assert mlflow.metrics[0][0] == "cost/speed _m/s_"


# The real ones, offline


def test_wandb_itself_takes_it(run, tmp_path, monkeypatch):
    pytest.importorskip("wandb")
    for name, value in {"WANDB_MODE": "offline", "WANDB_SILENT": "true"}.items():
        monkeypatch.setenv(name, value)
    for name in ("WANDB_DIR", "WANDB_CACHE_DIR", "WANDB_CONFIG_DIR", "WANDB_DATA_DIR"):
        monkeypatch.setenv(name, str(tmp_path))
    tell("wandb", run, run.metrics[:1])
    tell("wandb", run, run.metrics[1:])
    own = json.loads((run.path / "tracked.json").read_text())["wandb"]
    written = sorted(tmp_path.glob(f"wandb/offline-run-*-{own}/run-{own}.wandb"))
    assert written and b"cost/cost" in b"".join(path.read_bytes() for path in written)


def test_trackio_itself_takes_it(run, tmp_path, monkeypatch):
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "trackio"))
    pytest.importorskip("trackio")
    monkeypatch.setenv("TRACKIO_PROJECT", "rails")
    tell("trackio", run, run.metrics[:1])
    tell("trackio", run, run.metrics[1:])
    (database,) = (tmp_path / "trackio").glob("rails*.db")
    with sqlite3.connect(database) as connection:
        rows = connection.execute("SELECT run_name, step, metrics FROM metrics ORDER BY step").fetchall()
    own = json.loads((run.path / "tracked.json").read_text())["trackio"]
    assert [(name, step) for name, step, _ in rows] == [(f"run-{own}", 1), (f"run-{own}", 2)]
    assert [json.loads(text)["cost/cost"] for *_, text in rows] == [row["cost/cost"] for row in run.metrics]


def test_mlflow_itself_takes_it(run, tmp_path, monkeypatch):
    module = pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")  # its database takes ten seconds to be made
    monkeypatch.setenv("MLFLOW_TRACKING_URI", (tmp_path / "mlruns").as_uri())
    tell("mlflow", run, run.metrics[:1])
    tell("mlflow", run, run.metrics[1:])
    own = json.loads((run.path / "tracked.json").read_text())["mlflow"]
    client = module.MlflowClient()
    history = sorted((metric.step, metric.value) for metric in client.get_metric_history(own, "cost/cost"))
    assert history == [(row["iteration"], row["cost/cost"]) for row in run.metrics]
    assert client.get_run(own).data.params["task"] == TASK
    assert client.get_run(own).info.status == "FINISHED"


def test_every_tracker_is_an_extra():
    import tomllib
    from pathlib import Path

    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert set(TRACKERS) <= set(project["optional-dependencies"])
    assert find_tracker(fake("wandb")).name == "wandb"
