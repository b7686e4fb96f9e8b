"""Every navigation task against the same written a second time: a step, from starts and from states among obstacles."""

from __future__ import annotations

import numpy as np
import pytest

from equipoise.physics import NativePhysics
from equipoise.tasks import TASKS
from equipoise.tasks.navigation.memory import Memory
from navigation_reference import CONTENTS, CONTROL_DT, OWN_SIZE, Original, names_of, parts
from registries import NAVIGATION

every_task = pytest.mark.parametrize("task_id", NAVIGATION)
WORLDS = 4
APART = {"vase": 0.27, "pillar": 0.33, "button": 0.23, "push_box": 0.36, "gremlin": 0.27, "hazard": 0.1, "goal": 0.2}
"""About how far robots are put from an object of a kind, so that some touch it and some do not (m)."""


@pytest.fixture(autouse=True)
def in_its_own_folder(tmp_path, monkeypatch):
    """MuJoCo writes its warnings to MUJOCO_LOG.TXT in the working folder."""
    monkeypatch.chdir(tmp_path)


def test_the_suite_is_the_products_of_robots_and_levels():
    plain = [task_id for task_id in NAVIGATION if "Split" not in task_id]
    assert plain == [
        f"Safety{robot}{task}-v0" for robot in ("Point", "Car", "Doggo", "Racecar", "Ant") for task in CONTENTS
    ]
    assert len(plain) == 65
    split = [f"{robot}{task}" for robot in OWN_SIZE for task, (_, _, charged) in CONTENTS.items() if len(charged) > 1]
    assert {f"Safety{name}Split-v0" for name in split} == set(NAVIGATION) - set(plain)


@every_task
def test_sizes_costs_and_limits_are_as_specified(task_id):
    robot, family, level, split = parts(task_id)
    task, (_, kinds, charged) = TASKS[task_id], CONTENTS[f"{family}{level}"]
    assert task.observation_size == OWN_SIZE[robot] + 16 * len(kinds)
    assert task.cost_names == (tuple(charged) if split else ("cost",))
    assert task.limits() == (25.0,) * len(task.cost_names)
    assert task.horizon == (500 if family in ("Circle", "Run") else 1000)
    assert task.frame_skip == 10 and 10 * task.robot.timestep == pytest.approx(CONTROL_DT[robot])


def put_near_something(physics: NativePhysics, random: np.random.Generator) -> np.ndarray:
    """Positions in which each robot stands near an object, or near a wall."""
    qpos, memory = physics.state.qpos, physics.state.memory
    _, family, level, _ = parts(physics.problem.id)
    names = names_of(f"{family}{level}")
    for env in range(len(qpos)):
        if family in ("Circle", "Run"):
            wall = 0.5 if family == "Run" else 1.125
            qpos[env, :2] = random.uniform(0.95 * wall, 1.05 * wall, 2) * random.choice([-1, 1], 2)
            continue
        i = random.integers(len(names))
        kind = names[i].rstrip("0123456789")
        angle, far = random.uniform(0, 2 * np.pi), APART[kind] * random.uniform(0.9, 1.3)
        qpos[env, :2] = memory.places[env, i] + far * np.array([np.cos(angle), np.sin(angle)])
    return qpos


def originals(physics: NativePhysics, memory: Memory) -> list[Original]:
    _, family, level, _ = parts(physics.problem.id)
    names, made = names_of(f"{family}{level}"), []
    for env in range(physics.num_envs):
        places = {name: (*memory.places[env, i], memory.yaws[env, i]) for i, name in enumerate(names)}
        now = memory.button[env], memory.timer[env], memory.time[env]
        made.append(Original(physics.problem.id, places, (0.3, -0.2, 0.7), *(x.item() for x in now)))
    return made


@pytest.mark.one_in(10)
@every_task
@pytest.mark.parametrize("where", ["start", "later", "near"])
def test_a_step_is_that_of_the_specification(task_id, where):
    physics, random = NativePhysics(TASKS[task_id], WORLDS, threads=1), np.random.default_rng(NAVIGATION.index(task_id))
    physics.reset(range(WORLDS), [np.random.default_rng([9, env]) for env in range(WORLDS)])
    low, high = physics.model.actuator_ctrlrange.T
    for _ in range(12 if where == "later" else 0):
        physics.step(random.uniform(low, high, (WORLDS, len(low))))
    state = physics.state
    memory = state.memory._replace(timer=np.arange(WORLDS) % 3) if where == "near" else state.memory
    qpos = put_near_something(physics, random) if where == "near" else state.qpos
    physics.set_state(qpos, state.qvel, memory=memory)
    action = random.uniform(1.2 * low, 1.2 * high, (WORLDS, len(low)))
    step, after = physics.step(action), physics.state
    for env, original in enumerate(originals(physics, memory)):
        original.set(qpos[env], state.qvel[env])
        reward, costs, met = original.step(action[env])
        # Where a box touches a cylinder, its place among several that are as deep depends on the last bits.
        precise = 1e-5 if original.touches("pillar") else 1e-9
        assert step.reward[env] == pytest.approx(reward, abs=precise)
        charged = [costs.get(name, 0.0) for name in physics.problem.cost_names if name != "cost"]
        assert step.cost[env].tolist() == (charged or [max(costs.values(), default=0.0)])
        if met:
            for i, name in enumerate(names_of(original.task)):
                original.places[name] = (*after.memory.places[env, i], 0.0)
            original.button = int(after.memory.button[env])
        if original.family == "Button":
            assert after.memory.timer[env] == original.timer
        seen = 1e-9 if precise == 1e-9 else 1e-2
        np.testing.assert_allclose(step.observation[env], original.observation(), rtol=seen, atol=seen)
