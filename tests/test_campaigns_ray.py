"""Campaigns on many machines: a real Ray cluster of two nodes, one of which is killed while both are at work."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from equipoise.campaigns import ray_cluster, schedule
from equipoise.campaigns.engine import End
from equipoise.campaigns.folder import CampaignFolder
from equipoise.campaigns.job import Job
from equipoise.campaigns.provenance import versions
from equipoise.campaigns.ray_place import Place
from equipoise.cli import main
from equipoise.errors import UsageError
from small_campaign import small, without_clock

SMALL = small("crpo", "pcrpo")

PATIENCE = 600
"""Seconds for what takes some on a busy machine; only there so that nothing hangs."""


# A cluster of two nodes


def wait_until(condition):
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def start(folder, *options):
    """Start the campaign in `folder`; what it says goes into `said` there."""
    folder.mkdir(exist_ok=True)
    (folder / "small.toml").write_text(SMALL)
    with (folder / "said").open("w") as said:
        return subprocess.Popen(
            [sys.executable, "-m", "equipoise", "campaign", "small.toml", *options],
            cwd=folder,
            stdout=said,
            stderr=subprocess.STDOUT,
        )


def parent(pid):
    """The process that started `pid`."""
    return int(re.search(r"^PPid:\s+(\d+)", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)[1])


def is_there(pid):
    try:
        return not re.search(r"^State:\s+Z", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    except OSError:
        return False


def processes_in(folder):
    """The processes of the campaign's runs in `folder`, by the names of the runs."""
    found = {}
    for path in Path("/proc").glob("[0-9]*"):
        try:
            words = (path / "cmdline").read_bytes().decode().split("\0")
            if "equipoise.campaigns.worker" in words and (path / "cwd").resolve() == folder:
                found[words[4]] = int(path.name)
        except OSError:  # it has just ended
            continue
    return found


def children():
    """The processes that this one has started."""
    found = set()
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it has just ended
            found |= {int(path.name)} if parent(path.name) == os.getpid() else set()
    return found


def patiently(add_node, **options):
    """Add a node to a cluster: Ray gives it half a minute, which on a busy machine is not always enough."""
    for patience in reversed(range(10)):
        before = children()
        try:
            return add_node(**options)
        except Exception as error:
            if not patience or "time" not in str(error).lower():
                raise
            for pid in children() - before:
                os.kill(pid, signal.SIGKILL)


@pytest.fixture(scope="module")
def cluster():
    """Two nodes of one core each, without dashboard, as this process's children."""
    cluster_utils = pytest.importorskip("ray.cluster_utils")
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory(prefix="ray") as place:
        patch.setenv("RAY_TMPDIR", place)  # its sockets are in there, whose names have to be short
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("RAY_worker_niceness", "0")  # Ray gives way to all others, which takes for ever on a busy machine
        patch.setenv("RAY_health_check_initial_delay_ms", "1000")
        patch.setenv("RAY_health_check_period_ms", "1000")
        small = {"num_cpus": 1, "object_store_memory": 80 * 2**20, "include_dashboard": False}
        before = signal.getsignal(signal.SIGTERM)
        nodes = cluster_utils.Cluster()
        try:
            patiently(nodes.add_node, **small)
            # Another address than the head's, so that it is the head that the campaign joins.
            patiently(nodes.add_node, node_ip_address="127.0.0.2", **small)
            signal.signal(signal.SIGTERM, before)  # Ray has set its own
            yield nodes
        finally:
            nodes.shutdown()


@pytest.mark.slow
def test_stopped_and_with_a_node_killed_no_run_is_lost_and_the_bits_are_the_same(cluster, tmp_path):
    there, folder = tmp_path / "there", tmp_path / "there" / "campaigns" / "small"
    options = ("--engine", "ray", "--address", cluster.address)

    campaign = start(there, *options)
    wait_until(lambda: len(processes_in(there)) == 2 or campaign.poll() is not None)
    campaign.send_signal(signal.SIGINT)
    assert campaign.wait(PATIENCE) == 130
    assert (there / "said").read_text().endswith("stopped; the same command goes on from the last iterations\n")
    assert not processes_in(there)

    campaign = start(there, *options)
    (node,) = cluster.worker_nodes
    raylet = node.all_processes["raylet"][0].process
    wait_until(lambda: len(processes_in(there)) == 2 or campaign.poll() is not None)
    ((name, run),) = [(name, pid) for name, pid in processes_in(there).items() if parent(parent(pid)) == raylet.pid]
    wait_until(lambda: list((folder / "runs" / name).glob("checkpoints/*.npz")))
    worker = parent(run)
    raylet.kill()
    raylet.wait()
    os.kill(worker, signal.SIGKILL)
    wait_until(lambda: not is_there(run))  # its pipe has told it
    assert not (folder / "runs" / name / "evaluation.json").exists()  # it was killed on its way

    assert start(tmp_path / "here").wait(PATIENCE) == 0
    assert campaign.wait(PATIENCE) == 0, (there / "said").read_text()
    said = (there / "said").read_text()
    assert said.startswith("small: 2 runs, 0 of them finished; 2 side by side\n")
    assert f"lost  {name}  with its process on " in said
    assert "raylet" not in said  # Ray's own words would be two screens full
    for table in ("updates.csv", "episodes.csv"):
        assert without_clock(folder / table) == without_clock(tmp_path / "here" / "campaigns" / "small" / table)
    record = json.loads((folder / "campaign.json").read_text())
    assert [[machine["cores"] for machine in begun["cluster"]] for begun in record["starts"]] == [[1, 1], [1, 1]]


# What a machine looks at before it does a run


def test_a_machine_that_cannot_do_a_run_says_why(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder, needed = Path("campaigns/small"), versions()
    with pytest.raises(UsageError, match=rf"does not see {tmp_path}/campaigns/small; allowed: a folder that all"):
        Place().prepare(tmp_path, folder, {}, needed)
    folder.mkdir(parents=True)
    (folder / "campaign.json").touch()
    with pytest.raises(UsageError, match=r"has jax .*; allowed: 0\.1, as the campaign has"):
        Place().prepare(tmp_path, folder, {}, needed | {"jax": "0.1"})
    monkeypatch.setenv("JAX_CHECK", "here")
    assert Place().prepare(tmp_path, folder, {"JAX_CHECK": "there"}, needed)
    assert os.environ["JAX_CHECK"] == "there"


# What is lost


def job(seed):
    return Job(task="task", algorithm="a", base="a", seed=seed, total_steps=1)


class Losing:
    """An engine that loses the first run's machine `times` times, and does all others."""

    machines = ()

    def __init__(self, times):
        self.times, self.started, self.over = times, [], []

    def begin(self, folder, jobs, say):
        pass

    def room(self):
        return 1

    def start(self, job):
        self.started.append(job.seed)
        lost = job.seed == 0 and self.started.count(0) <= self.times
        self.over.append(End(job, None if lost else 0, where="n2"))

    def ended(self):
        over, self.over = self.over, []
        return over

    def close(self):
        pass


@pytest.mark.parametrize(("times", "finished"), [(9, True), (10, False)])
def test_a_run_whose_machine_is_lost_goes_on_but_not_for_ever(times, finished, tmp_path, monkeypatch):
    monkeypatch.setattr("equipoise.campaigns.folder.provenance", dict)
    monkeypatch.setattr(schedule, "LOOK_EVERY", 0.0)
    jobs, ends, said, engine = [job(0), job(1)], [], [], Losing(times)
    folder = CampaignFolder.begin(tmp_path / "campaign", "stub", jobs, "")
    schedule.run_side_by_side(folder, jobs, engine, None, lambda *end: ends.append(end), lambda: None, said.append)
    assert ends == [(jobs[0], finished), (jobs[1], True)]
    assert engine.started == [0] * 10 + [1]
    assert said == ["lost  task-a-seed0  with its process on n2; it goes on where a core is free"] * 9
    assert folder.failure(jobs[0]).exists() != finished


def node(name, alive=True, cores=2.0):
    return {
        "NodeID": name,
        "Alive": alive,
        "NodeManagerHostname": name,
        "NodeManagerAddress": "10.0.0.1",
        "Resources": {"CPU": cores} if alive else {},
    }


def test_a_machine_that_does_not_come_back_is_said_in_one_line(monkeypatch):
    nodes, said = [node("n1"), node("n2"), node("head", cores=0.0)], []
    ray = SimpleNamespace(
        nodes=lambda: nodes,
        remote=lambda **_: lambda cls: cls,
        get_runtime_context=lambda: SimpleNamespace(get_node_id=lambda: "head"),
    )
    monkeypatch.setattr(ray_cluster, "_connect", lambda address: ray)
    monkeypatch.setattr(ray_cluster, "COUNT_EVERY", 0.0)
    cluster = ray_cluster.RayCluster()
    cluster.begin(CampaignFolder(Path(), []), [], said.append)
    assert (cluster.room(), said) == (4, [])
    nodes[1] = node("n2", alive=False)
    cluster.ended()
    assert cluster.room() == 2
    assert said == ["gone  n2 (10.0.0.1); the campaign goes on with 2 cores"]
    nodes[0] = node("n1", alive=False)
    cluster.ended()
    assert cluster.room() == 0
    assert said[1:] == ["gone  n1 (10.0.0.1); no core is left: waiting for a machine"]
    nodes.append(node("n3"))
    cluster.ended()
    assert (cluster.room(), said[2:]) == (2, [])
    assert ray_cluster.RayCluster(workers=3).room() == 3
    nodes[2] = node("head", alive=False)
    with pytest.raises(UsageError, match="Ray is gone from this machine; start it again, and the same command goes on"):
        cluster.ended()


# Mistakes


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ("--address 10.0.0.1:6379", "--address is 10.0.0.1:6379, of a Ray cluster; give --engine ray with it"),
        ("--engine ray --address 127.0.0.1:1", "address is 127.0.0.1:1, but nobody listens there: "),
        ("--engine ray --address here", "address is 'here'; allowed: HOST:PORT of a Ray cluster's head, or auto"),
        ("--engine ray --address ray://here:1", "address is 'ray://here:1'; allowed: HOST:PORT of a Ray"),
        ("--engine ray --address here:99999", "address is here:99999, but nobody listens there: "),
        ("--engine ray --workers 0", "workers is 0; allowed: 1 or more"),
    ],
)
def test_a_mistake_is_one_line_before_anything_is_written(options, expected, tmp_path, monkeypatch, capsys):
    if "--engine ray" in options:
        pytest.importorskip("ray")
    monkeypatch.chdir(tmp_path)
    Path("small.toml").write_text(SMALL)
    assert main(["campaign", "small.toml", *options.split()]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"equipoise: {expected}")
    assert said.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["small.toml"]


def test_without_ray_it_is_said_what_to_install(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.chdir(tmp_path)
    Path("small.toml").write_text(SMALL)
    assert main(["campaign", "small.toml", "--engine", "ray"]) == 2
    assert capsys.readouterr().err == "equipoise: --engine ray needs Ray: pip install 'equipoise[ray]'\n"


def test_without_a_cluster_it_is_said_how_to_start_one(tmp_path, monkeypatch, capsys):
    ray = pytest.importorskip("ray")

    def none(**_):
        raise ConnectionError("Could not find any running Ray instance")

    monkeypatch.setattr(ray, "init", none)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.chdir(tmp_path)
    Path("small.toml").write_text(SMALL)
    assert main(["campaign", "small.toml", "--engine", "ray"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("equipoise: no Ray cluster is found on this machine; start one (ray start --head)")
    assert said.count("\n") == 1
