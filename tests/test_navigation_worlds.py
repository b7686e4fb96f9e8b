"""Layouts, goals, lidar and memory of the navigation tasks."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import mujoco.batch
import numpy as np
import pytest

import equipoise
from equipoise.errors import UsageError
from equipoise.physics import NativePhysics
from equipoise.tasks import TASKS
from equipoise.tasks.navigation.layout import draw_layouts
from equipoise.tasks.navigation.lidar import lidar
from navigation_reference import CONTENTS, names_of, parts
from registries import NAVIGATION

PLAIN = [task_id for task_id in NAVIGATION if "Split" not in task_id]


@pytest.fixture(autouse=True)
def in_its_own_folder(tmp_path, monkeypatch):
    """MuJoCo writes its warnings to MUJOCO_LOG.TXT in the working folder."""
    monkeypatch.chdir(tmp_path)


def bound(task_id: str):
    return NativePhysics(TASKS[task_id], 1, threads=1).task


def sources(number: int, seed: int = 0) -> list[np.random.Generator]:
    return [np.random.default_rng([seed, i]) for i in range(number)]


# Layouts: ten thousand resets in all


@pytest.mark.one_in(10)
@pytest.mark.parametrize("task_id", PLAIN)
def test_objects_keep_apart_and_stay_inside(task_id):
    robot, family, level, _ = parts(task_id)
    extent, kinds, _ = CONTENTS[f"{family}{level}"]
    number = 20 if (family, level) in (("Button", 1), ("Button", 2)) else 200
    task = bound(task_id)
    qpos, qvel, memory = task.begin(sources(number))
    assert not qvel.any() and not memory.lost.any() and not memory.time.any()
    names, agent = names_of(f"{family}{level}"), qpos[:, :2]
    if family in ("Circle", "Run"):
        x, y = agent.T
        assert (abs(x) <= (0.8 if family == "Circle" else 0.2)).all()
        assert (abs(y) <= 0.8).all() if family == "Circle" else (y == 16.5).all()
        assert not memory.places.any()
        return
    keepouts = [keepout for _, count, keepout in kinds for _ in range(count)]
    keepouts = [0.125 if (name, robot) == ("push_box", "Car") else k for name, k in zip(names, keepouts, strict=True)]
    points = {"agent": (agent, 0.4), **{n: (memory.places[:, i], keepouts[i]) for i, n in enumerate(names)}}
    if family == "Button":
        marked = memory.places[np.arange(number), memory.button]
        np.testing.assert_array_equal(points.pop("goal")[0], marked)
    listed = list(points.values())
    for i, (one, keepout) in enumerate(listed):
        assert (abs(one) <= extent - keepout).all()
        for other, another in listed[:i]:
            assert (np.hypot(*(one - other).T) >= keepout + another - 1e-12).all()


@pytest.mark.parametrize("task_id", [t for t in PLAIN if "Car" in t and t[-4] in "12"])
def test_nothing_is_charged_at_the_start(task_id):
    physics = NativePhysics(TASKS[task_id], 20, threads=1)
    physics.reset(range(20), sources(20))
    state = physics.state
    assert not any(cost.any() for cost in physics.task.costs(state, np.zeros((20, 2)), state).values())


def test_a_world_does_not_depend_on_the_others_drawn_with_it():
    task = bound("SafetyPointButton1-v0")  # in which most layouts have to be drawn anew
    together = task.begin(sources(6))
    for i in (0, 5):
        alone = task.begin(sources(6)[i : i + 1])
        np.testing.assert_array_equal(alone[0][0], together[0][i])
        np.testing.assert_array_equal(alone[2].places[0], together[2].places[i])


def test_a_layout_without_room_is_an_error():
    low, high = np.full((3, 2), -0.1), np.full((3, 2), 0.1)
    with pytest.raises(UsageError, match="no layout of 3 objects"):
        draw_layouts(sources(1), low, high, np.full(3, 0.5))


def test_a_goal_is_uniform_where_there_is_room():
    """The drawn goal against rejection from the square, one world of Goal1 over and over."""
    task = bound("SafetyPointGoal1-v0")
    qpos, _, memory = task.begin(sources(1))
    many, random = 3000, np.random.default_rng(5)
    memory = type(memory)(*(np.repeat(part, many, axis=0) for part in memory))
    places = np.repeat(qpos, many, axis=0)
    goals = task.renew(places, memory, np.ones(many, bool), [random] * many).places[:, 0]
    uniform = random.uniform(-1.195, 1.195, (60_000, 2))
    taken = [(qpos[0, :2], 0.705), *((memory.places[0, i], 0.305 + (0.15 if i == 9 else 0.18)) for i in range(1, 10))]
    free = np.all([np.hypot(*(uniform - place).T) >= least for place, least in taken], axis=0)
    edges = np.linspace(-1.195, 1.195, 4)
    drawn, expected = (np.histogram2d(*x.T, bins=[edges, edges])[0] for x in (goals, uniform[free]))
    share = expected / expected.sum()
    assert (abs(drawn - many * share) <= 4.5 * np.sqrt(many * share * (1 - share)) + 25).all()
    assert len({tuple(goal) for goal in goals}) == many


def test_a_marked_button_is_any_of_the_four_also_the_same():
    task = bound("SafetyPointButton0-v0")
    qpos, _, memory = task.begin(sources(400))
    again = task.renew(qpos, memory, np.ones(400, bool), sources(400, seed=1))
    assert (abs(np.bincount(again.button, minlength=4) - 100) < 40).all()
    assert 60 < (again.button == memory.button).sum() < 140


# Lidar


@pytest.mark.parametrize("array", [np.asarray, jnp.asarray])
def test_lidar_reads_the_worked_example(array):
    with jax.enable_x64(True):
        seen = lidar(array(np.array([[1.0, 0.5], [-0.4, 0.3]])), 3.0)
    expected = np.zeros(16)
    expected[[1, 2, 0]] = 0.627322, 0.113338, 0.513984
    expected[[6, 7, 5]] = 0.833333, 0.301115, 0.532218
    np.testing.assert_allclose(np.asarray(seen), expected, atol=5e-7)


def test_a_direction_that_is_rounded_to_a_full_turn_is_in_the_first_bin():
    seen = lidar(np.array([[1.5, -1e-17]]), 3.0)
    np.testing.assert_array_equal(np.flatnonzero(seen), [0, 15])
    assert seen[0] == 0.5


def test_what_is_out_of_range_is_not_seen():
    assert not lidar(np.array([[3.0, 0.0], [2.0, 2.5]]), 3.0).any()


# Time


def test_buttons_are_hidden_and_uncharged_for_ten_steps():
    physics = NativePhysics(TASKS["SafetyPointButton1-v0"], 1, threads=1)
    seen = [physics.reset([0], sources(1))[0]]
    seen += [physics.step(np.zeros((1, 2))).observation[0] for _ in range(11)]
    hidden = [not x[12:28].any() for x in seen]
    assert hidden == [True] * 10 + [False] * 2
    assert all(x[28:44].any() for x in seen), "the goal is never hidden"
    state = physics.state
    touched = state.sensordata.copy()
    first = physics.task.mechanism.sensors["contact_button0"].start
    touched[:, first : first + 4] = 1.0
    for timer, charged in ((1, 0.0), (0, 1.0)):
        given = type(state)(
            state.qpos, state.qvel, sensordata=touched, memory=state.memory._replace(timer=np.array([timer]))
        )
        assert physics.task.costs(given, np.zeros((1, 2)), given)["buttons"].tolist() == [charged]


def test_gremlins_follow_a_circle_around_where_they_were_laid_out():
    """Their closed form: a soft weld to a point that circles, integrated as MuJoCo does, without any contact."""
    physics = NativePhysics(TASKS["SafetyPointButton1-v0"], 1, threads=1)
    physics.reset([0], sources(1, seed=3))
    names = physics.task.world.names
    centre = physics.state.memory.places[0, names.index("gremlin0")]
    x, v, dt = np.zeros(2), np.zeros(2), physics.model.opt.timestep
    for step in range(60):
        physics.step(np.zeros((1, 2)))
        for k in range(10):
            time = (10 * step + k) * dt
            v = v + dt * (-100 * v - (x - 0.35 * np.array([np.sin(time), np.cos(time)])) / 0.0009)
            x = x + dt * v
    body = physics.task.body(physics.state, "gremlin0")[0]
    np.testing.assert_allclose(body[:2] - centre, x, atol=1e-3)
    assert np.hypot(*(body[:2] - centre)) == pytest.approx(0.349, abs=2e-3)
    assert body[2] == pytest.approx(0.199559, abs=1e-4)


def test_a_vase_at_rest_is_not_charged_for_moving():
    physics = NativePhysics(TASKS["SafetyPointGoal2Split-v0"], 4, threads=1)
    physics.reset(range(4), sources(4))
    for _ in range(30):
        step = physics.step(np.zeros((4, 2)))
        assert not step.cost[:, 2].any()


def test_an_ant_that_lies_low_is_dead():
    physics = NativePhysics(TASKS["SafetyAntRun0-v0"], 2, threads=1)
    physics.reset(range(2), sources(2))
    state = physics.state
    for height, dead in ((0.08, True), (0.0801, False)):
        state.qpos[:, 2] = height
        assert physics.task.terminated(state).tolist() == [dead] * 2


# Memory


@pytest.mark.parametrize("task_id", ["SafetyCarButton1-v0", "SafetyPointGoal2-v0", "SafetyAntPush1-v0"])
def test_a_state_with_its_memory_goes_on_as_it_would_have(task_id):
    physics, random = NativePhysics(TASKS[task_id], 3, threads=1), np.random.default_rng(0)
    physics.reset(range(3), sources(3))
    low, high = physics.model.actuator_ctrlrange.T
    for _ in range(5):
        physics.step(random.uniform(low, high, (3, len(low))))
    state, action = physics.state, random.uniform(low, high, (3, len(low)))
    physics.set_state(state.qpos, state.qvel, memory=state.memory)
    first = physics.step(action)
    other = NativePhysics(TASKS[task_id], 3, threads=1)
    other.reset(range(3), sources(3, seed=8))
    order = [2, 0, 1]
    moved = type(state.memory)(*(part[order] for part in state.memory))
    other.set_state(state.qpos[order], state.qvel[order], memory=moved)
    second = other.step(action[order])
    for x, y in zip(first[:4], second[:4], strict=True):
        np.testing.assert_array_equal(x[order], y)


def test_a_memory_that_does_not_fit_is_named():
    physics = NativePhysics(TASKS["SafetyPointGoal0-v0"], 2, threads=1)
    state = physics.state
    with pytest.raises(UsageError, match=r"memory\.time has shape"):
        physics.set_state(state.qpos, state.qvel, memory=state.memory._replace(time=np.zeros(1)))
    with pytest.raises(UsageError, match="the memory given is a tuple"):
        physics.set_state(state.qpos, state.qvel, memory=(1, 2))
    hopper = NativePhysics(TASKS["SafetyHopper-v4"], 2, threads=1)
    with pytest.raises(UsageError, match="keeps nothing"):
        hopper.set_state(hopper.state.qpos, hopper.state.qvel, memory=state.memory)


@pytest.mark.slow
def test_a_run_is_resumed_bit_for_bit(tmp_path):
    """Goals are drawn anew within episodes: their sources of noise belong to the iteration, as all others."""
    options = {"num_envs": 2, "steps_per_iteration": 2000, "total_steps": 4000}
    task = "SafetyPointGoal0-v0"
    whole = equipoise.train("crpo", task, run_dir=tmp_path / "whole", **options)
    equipoise.train("crpo", task, run_dir=tmp_path / "part", watch=lambda row: False, **options)
    resumed = equipoise.resume(tmp_path / "part")
    for mine, theirs in zip(resumed.metrics, whole.metrics, strict=True):
        for name in ("reward", "reward_se", "cost/cost", "kl", "episodes"):
            assert repr(mine[name]) == repr(theirs[name]), name
    np.testing.assert_array_equal(resumed.policy(np.ones(28)), whole.policy(np.ones(28)))


GOING_ON = [
    f"Safety{robot}{world}-v0" for robot in ("Point", "Car", "Doggo", "Racecar", "Ant") for world in ("Goal1", "Push2")
]


@pytest.mark.parametrize("task_id", GOING_ON)
def test_a_step_that_goes_on_from_the_last_evaluation_has_the_bits_of_one_that_begins_anew(task_id, monkeypatch):
    """Resets, states put in from outside and other actions in between."""
    batch = mujoco.batch.Batch
    going_on = NativePhysics(TASKS[task_id], 3, threads=1)
    assert going_on._batch.persistent
    monkeypatch.setattr(mujoco.batch, "Batch", lambda *given, persistent: batch(*given, persistent=False))
    anew = NativePhysics(TASKS[task_id], 3, threads=1)
    assert not anew._batch.persistent
    actions = np.random.default_rng(0).uniform(-1, 1, (12, 3, going_on.model.nu))
    for simulator in (going_on, anew):
        simulator.reset(range(3), [np.random.default_rng(seed) for seed in range(3)])
    for t, action in enumerate(actions):
        now, then = going_on.step(action), anew.step(action)
        for found, expected in zip(now, then, strict=True):
            np.testing.assert_array_equal(found, expected)
        if t == 4:
            for simulator in (going_on, anew):
                simulator.reset([1], [np.random.default_rng(7)])
        if t == 8:
            for simulator in (going_on, anew):
                simulator.set_state(simulator.state.qpos[:1] + 0.01, simulator.state.qvel[:1], [0])
