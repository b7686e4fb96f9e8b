"""Environments in processes of their own: the bits of the looped ones, and nobody left behind."""

from __future__ import annotations

import functools
import gc
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

import equipoise
import rover
from equipoise.cli import main
from equipoise.environments.foreign import ForeignEnvironments
from equipoise.environments.opening import open_environments
from equipoise.environments.processes import ProcessEnvironments
from equipoise.environments.registered import Registered
from equipoise.errors import UsageError
from equipoise.films.play import play
from equipoise.modules import served_from
from equipoise.physics import Simulator

COSTS = ("thrust", "cost")
SIZES = {"total_steps": 160, "num_envs": 4, "steps_per_iteration": 80, "limits": (1.0, 1.0), "cost_names": COSTS}


def generators(seeds) -> list[np.random.Generator]:
    return [np.random.default_rng(seed) for seed in seeds]


def assert_same_step(step, other) -> None:
    for one, two in zip(step, other, strict=True):
        np.testing.assert_array_equal(one, two, strict=isinstance(one, np.ndarray))


@pytest.fixture(scope="module")
def shared():
    """Five rovers in two processes: three in the first, two in the second."""
    simulator = open_environments(Registered("rover:Rover-v0"), 5, "Rover", COSTS, workers=2)
    yield simulator
    simulator.close()


@pytest.fixture
def begun(shared):
    shared.reset(range(5), generators(range(5)))
    return shared


def actions(failure: float = 0.0, env: int = 4) -> np.ndarray:
    """Actions of five rovers, of which `env` fails."""
    action = np.random.default_rng(0).uniform(-1, 1, (5, 2)).astype(np.float32)
    action[:, 1] = 0.0
    action[env, 1] = failure
    return action


def processes_of(simulator) -> list:
    return [worker.process for worker in simulator._workers]


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return "Z" not in Path(f"/proc/{pid}/stat").read_text().split()[2] if Path("/proc").is_dir() else True


def is_alive_in(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def wait_until(holds, seconds: float = 30.0) -> bool:
    due = time.monotonic() + seconds
    while not holds() and time.monotonic() < due:
        time.sleep(0.02)
    return holds()


# The same bits


def test_it_stands_behind_the_simulator_door(shared):
    assert isinstance(shared, ProcessEnvironments) and isinstance(shared, Simulator)
    assert [len(worker.envs) for worker in shared._workers] == [3, 2]
    assert os.getpid() not in [process.pid for process in processes_of(shared)]


def test_resets_and_steps_are_those_of_the_looped_environments(begun):
    looped = ForeignEnvironments(Registered("rover:Rover-v0"), 5, "Rover", COSTS)
    assert begun.problem == looped.problem
    for indices in (range(5), [4, 1], [0], [3, 2, 0, 4]):
        pair = generators(indices), generators(indices)
        np.testing.assert_array_equal(begun.reset(indices, pair[0]), looped.reset(indices, pair[1]), strict=True)
        for _ in range(3):
            assert_same_step(begun.step(actions()), looped.step(actions()))


def test_a_broken_number_is_told_as_in_one_process(begun):
    looped = ForeignEnvironments(Registered("rover:Rover-v0"), 5, "Rover", COSTS)
    looped.reset(range(5), generators(range(5)))
    step, other = begun.step(actions(103)), looped.step(actions(103))
    assert step.diverged.tolist() == [False] * 4 + [True]
    assert step.reason == other.reason and step.reason.startswith("Rover.step gives a reward of nan")


@pytest.fixture(scope="module")
def looped(tmp_path_factory):
    """A run on rovers that were stepped in one process."""
    return equipoise.train("trpo", "rover:Rover-v0", run_dir=tmp_path_factory.mktemp("runs") / "looped", **SIZES)


@pytest.mark.slow
def test_a_run_is_the_same_bit_for_bit_also_when_it_is_resumed(looped, tmp_path):
    whole, path = looped, tmp_path / "shared"
    options = {**SIZES, "run_dir": path, "workers": 2}
    half = equipoise.train("trpo", "rover:Rover-v0", watch=lambda row: row["iteration"] < 1, **options)
    assert len(half.metrics) == 1
    resumed = equipoise.resume(path, environment="rover:Rover-v0", workers=3)
    for name in ("episodes.csv", "config.json"):
        assert (looped.path / name).read_bytes() == (path / name).read_bytes()
    observation = rover.Rover().reset(seed=0)[0]
    assert whole.policy(observation).tobytes() == resumed.policy(observation).tobytes()
    found = [equipoise.evaluate(whole, 4, 0, "rover:Rover-v0", workers=workers) for workers in (0, 2)]
    assert found[0] == found[1]


def test_a_policy_is_played_where_an_observation_is_a_dictionary(looped):
    simulator = ForeignEnvironments(rover.Rover, 1, "Rover", COSTS, 10)
    for deterministic in (True, False):
        *_, last = play(looped, simulator, 1, 0, deterministic)
        assert last.end and len(last.returns) == last.steps + 1 > 1


# Failures


def test_an_error_of_an_environment_arrives_as_it_is_with_its_traceback_and_its_number(begun):
    with pytest.raises(ZeroDivisionError, match="a wheel came off") as caught:
        begun.step(actions(104))
    assert caught.value.__notes__ == ["in environment 4 of Rover, counted from 0"]
    assert "rover.py" in str(caught.value.__cause__) and "in _raise" in str(caught.value.__cause__)


def test_an_error_that_cannot_be_sent_still_tells_its_traceback(begun):
    with pytest.raises(RuntimeError, match="an environment of Rover failed in another process") as caught:
        begun.step(actions(105))
    assert "BrokenError: wheel on the left" in str(caught.value.__cause__)


@pytest.mark.parametrize(
    ("failure", "said"),
    [
        (101, r"^Rover has a cost of -1 \(cost\); allowed: 0 or more"),
        (102, r"^Rover has no 'cost' in its info \(there: thr"),
    ],
)
def test_a_users_mistake_is_the_one_line_that_it_is_in_one_process(failure, said, begun):
    with pytest.raises(UsageError, match=said) as caught:
        begun.step(actions(failure))
    assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    ("failure", "how"), [(106, r"killed by SIGKILL, perhaps for want of memory"), (108, "exit code 3")]
)
def test_a_process_that_ends_is_noticed_and_the_others_end_too(failure, how):
    simulator = ProcessEnvironments(rover.Rover, 5, "Rover", horizon=10, workers=2)
    simulator.reset(range(5), generators(range(5)))
    with pytest.raises(UsageError, match=rf"^the process of environments 3 to 4 of Rover ended \({how}\)"):
        simulator.step(actions(failure))
    with pytest.raises(UsageError, match="ended"):
        simulator.step(actions())
    simulator.close()
    assert not any(process.is_alive() for process in processes_of(simulator))
    gc.collect()  # Python 3.12.1 crashed here, on what the tracebacks above keep


def test_a_process_that_does_not_end_by_itself_is_ended(monkeypatch):
    monkeypatch.setattr("equipoise.environments.processes.PATIENCE", 0.2)
    simulator = ProcessEnvironments(rover.Rover, 2, "Rover", horizon=10, workers=2)
    simulator.reset(range(2), generators(range(2)))
    threading.Timer(0.5, os.kill, [os.getpid(), signal.SIGINT]).start()
    with pytest.raises(KeyboardInterrupt):
        simulator.step(actions(107)[-2:])
    simulator.close()
    assert not any(process.is_alive() for process in processes_of(simulator))


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: rover.Rover(), "Rover cannot be sent to another process (Can't "),
        (rover.not_importable(), "Rover cannot be sent to another process (Can't "),
        (functools.partial(rover.vectors, 3), "Rover makes a vector environment, which steps its environments itself"),
        (dict, "Rover makes a dict; allowed: an environment of gymnasium's"),
    ],
)
def test_what_no_other_process_can_make_is_told_on_one_line(make, said):
    with pytest.raises(UsageError) as caught:
        ProcessEnvironments(make, 3, "Rover", horizon=10, workers=2)
    assert str(caught.value).startswith(said) and "\n" not in str(caught.value)


def test_an_id_that_only_this_process_knows_is_told():
    import gymnasium

    gymnasium.register("equipoise-test/Here-v0", entry_point=rover.Rover, max_episode_steps=10)
    try:
        with pytest.raises(UsageError, match=r"another process does not find what makes the environment .*Here-v0"):
            ProcessEnvironments(Registered("equipoise-test/Here-v0"), 2, "Here", workers=1)
    finally:
        del gymnasium.registry["equipoise-test/Here-v0"]


def test_there_are_never_more_processes_than_environments():
    simulator = ProcessEnvironments(rover.Rover, 2, "Rover", horizon=10, workers=9)
    assert len(processes_of(simulator)) == 2
    simulator.close()


@pytest.mark.parametrize(
    ("task", "workers", "said"),
    [
        ("SafetyHopper-v4", "2", "SafetyHopper-v4 is stepped on threads (--threads), and needs no workers"),
        ("rover:Rover-v0", "-1", "workers is -1; allowed: 0 (this process alone) or more"),
    ],
)
def test_workers_that_are_not_allowed_are_told_and_nothing_is_left(task, workers, said, tmp_path, capsys):
    command = ["train", "trpo", task, "--limits", "1", "--run-dir", str(tmp_path / "run"), "--workers", workers]
    assert main(command) == 2
    told = capsys.readouterr().err
    assert said in told and told.count("\n") == 1
    assert not list(tmp_path.iterdir())


# The folder that serves modules, and nobody else's


def test_a_module_of_the_working_folder_is_found_and_no_other_is_taken_from_there(tmp_path, monkeypatch):
    source = Path(rover.__file__).read_text().replace("Rover-v0", "Served-v0").replace("rover:", "served_rover:")
    (tmp_path / "served_rover.py").write_text(source)
    (tmp_path / "pickle.py").write_text("raise RuntimeError('taken from the working folder')")
    (tmp_path / "multiprocessing.py").write_text("raise RuntimeError('taken from the working folder')")
    monkeypatch.chdir(tmp_path)
    with served_from(tmp_path):
        simulator = ProcessEnvironments(Registered("served_rover:Served-v0"), 2, "Served", workers=1)
    assert simulator.reset(range(2), generators(range(2))).shape == (2, 5)
    simulator.close()
    assert "PYTHONSAFEPATH" not in os.environ or os.environ["PYTHONSAFEPATH"] == ""


# Nobody is left behind

PROGRAM = """
import os, signal, sys, time
import numpy as np
sys.path.insert(0, {tests!r})
import rover
from equipoise.environments.processes import ProcessEnvironments

if __name__ != "__main__":
    os.write(1, b"importing\\n")  # in one piece, as two processes say it at once
    time.sleep(1.0)
if __name__ == "__main__":
    simulator = ProcessEnvironments(rover.Rover, 2, "Rover", horizon=10, workers=2)
    print(*[worker.process.pid for worker in simulator._workers], flush=True)
    simulator.reset(range(2), [np.random.default_rng(i) for i in range(2)])
    try:
        while True:
            simulator.step(np.zeros((2, 2), np.float32))
    finally:
        simulator.close()
"""


@pytest.mark.one_in(5)
@pytest.mark.skipif(not hasattr(os, "killpg"), reason="signals of POSIX")
@pytest.mark.parametrize(
    ("ending", "early"), [("SIGINT", True), ("SIGINT", False), ("SIGKILL", False), ("SIGTERM", False)]
)
def test_processes_end_with_whoever_started_them_and_say_nothing(ending, early, tmp_path):
    (tmp_path / "program.py").write_text(PROGRAM.format(tests=str(Path(__file__).parent)))
    program = subprocess.Popen(
        [sys.executable, "program.py"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    while (line := program.stdout.readline()) == "importing\n" and not early:
        pass
    pids = [program.pid] if early else [int(word) for word in line.split()]
    assert len(pids) == (1 if early else 2)
    time.sleep(0.3)
    if ending == "SIGINT":
        os.killpg(program.pid, signal.SIGINT)  # as a terminal sends it: to all of them
    else:
        program.send_signal(signal.Signals[ending])
    _, err = program.communicate(timeout=60)
    assert err.count("Traceback") == (ending == "SIGINT"), "the program's own, and none of its processes'"
    assert wait_until(lambda: not any(map(is_alive, pids)) and not is_alive_in(program.pid))


@pytest.mark.slow
def test_a_program_without_its_guard_is_told_what_to_do(tmp_path):
    source = PROGRAM.format(tests=str(Path(__file__).parent)).replace('if __name__ == "__main__":', "if True:")
    (tmp_path / "program.py").write_text(source)
    ran = subprocess.run([sys.executable, "program.py"], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert ran.returncode == 1
    last = ran.stderr.strip().splitlines()[-1]
    assert "ended before they were made (exit code 1)" in last and 'if __name__ == "__main__":' in last
