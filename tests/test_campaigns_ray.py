"""Campaigns on many machines: a real Ray cluster of two nodes, one of which is killed while both are at work."""

from __future__ import annotations

import csv
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import pytest

from equipoise.campaigns import schedule
from equipoise.campaigns.engine import End
from equipoise.campaigns.folder import CampaignFolder
from equipoise.campaigns.job import Job
from equipoise.cli import main

pytest.importorskip("ray")

SMALL = """\
name = "small"
algorithms = ["crpo", "pcrpo"]
tasks = ["SafetyReacher-v4"]
seeds = 1
total_steps = 8000
evaluation_episodes = 2

[settings]
num-envs = 2
steps_per_iteration = 2000
"""

PATIENCE = 300
"""Seconds for what takes some on a busy machine; only there so that nothing hangs."""


def wait_until(condition):
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def campaign(folder, *options):
    """Start the campaign in `folder`; what it says goes into `said` there."""
    (folder / "small.toml").write_text(SMALL)
    with (folder / "said").open("w") as said:
        return subprocess.Popen(
            [sys.executable, "-m", "equipoise", "campaign", "small.toml", *options],
            cwd=folder,
            stdout=said,
            stderr=subprocess.STDOUT,
        )


def without_clock(path):
    with path.open(newline="") as file:
        return [{k: v for k, v in row.items() if not k.startswith("time/")} for row in csv.DictReader(file)]


def parent(pid):
    """The process that started `pid`."""
    return int(re.search(r"^PPid:\s+(\d+)", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)[1])


def processes_of(folder):
    """The processes of a campaign's runs, by the names of the runs."""
    found = {}
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().decode().split("\0")
        except OSError:  # it has just ended
            continue
        if "equipoise.campaigns.worker" in words and words[3] == str(Path("campaigns") / "small"):
            pid = int(path.parent.name)
            if (path.parent / "cwd").resolve() == folder:
                found[words[4]] = pid
    return found


@pytest.fixture(scope="module")
def cluster():
    """Two nodes of one core each, without dashboard."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        # That a process is gone is seen at once, that a node is, after so many milliseconds without an answer.
        patch.setenv("RAY_health_check_initial_delay_ms", "1000")
        patch.setenv("RAY_health_check_period_ms", "1000")
        with tempfile.TemporaryDirectory(prefix="ray") as place:  # short: sockets are in it
            patch.setenv("RAY_TMPDIR", place)
            from ray.cluster_utils import Cluster

            small = {"num_cpus": 1, "object_store_memory": 80 * 2**20, "include_dashboard": False}
            nodes = Cluster(initialize_head=True, head_node_args=small)
            nodes.add_node(**small)
            try:
                yield nodes
            finally:
                nodes.shutdown()


def test_with_a_node_killed_no_run_is_lost_and_the_bits_are_the_same(cluster, tmp_path):
    (tmp_path / "here").mkdir()
    (tmp_path / "there").mkdir()
    away = campaign(tmp_path / "there", "--engine", "ray", "--address", cluster.address)
    folder = tmp_path / "there" / "campaigns" / "small"
    wait_until(lambda: len(list(folder.glob("runs/*/checkpoints"))) == 2 or away.poll() is not None)
    (node,) = cluster.worker_nodes
    raylet = node.all_processes["raylet"][0].process
    runs = processes_of(tmp_path / "there")
    ((name, pid),) = [(name, pid) for name, pid in runs.items() if parent(parent(pid)) == raylet.pid]
    wait_until(lambda: list((folder / "runs" / name).glob("checkpoints/*.npz")))
    assert CampaignFolder.load(folder).standing(next(j for j in CampaignFolder.load(folder).jobs if j.name == name)).status == "running"

    worker = parent(pid)
    raylet.kill()
    os.kill(worker, signal.SIGKILL)
    raylet.wait()
    wait_until(lambda: not Path(f"/proc/{pid}").exists())  # nobody has told it

    here = campaign(tmp_path / "here")
    assert here.wait(PATIENCE) == 0
    assert away.wait(PATIENCE) == 0, (tmp_path / "there" / "said").read_text()
    said = (tmp_path / "there" / "said").read_text()
    assert f"lost  {name}" in said
    for table in ("updates.csv", "episodes.csv"):
        assert without_clock(folder / table) == without_clock(tmp_path / "here" / "campaigns" / "small" / table)
    print(said)
