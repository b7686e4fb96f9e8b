"""Navigation tasks against what Safety-Gymnasium 1.2.0 itself did on MuJoCo 2.3.3, through `step_from`.

`data/navigation.npz` holds slices of recorded episodes: five robots under random actions, and scripted events. On
MuJoCo 4 other versions' contact solver and RK4 leave small differences; the tolerances are those that models built
from the specification were measured to have.
"""

from __future__ import annotations

import functools
from pathlib import Path

import mujoco
import numpy as np
import pytest
from scipy import stats

from equipoise.errors import UsageError
from equipoise.physics import NativePhysics
from equipoise.tasks import TASKS
from equipoise.tasks.navigation.robots import ROBOTS
from equipoise.testing import step_from

FILE = np.load(Path(__file__).parent / "data" / "navigation.npz")
TOLERANCE = {
    "PointGoal2": (1e-14, 1e-12, 1e-6),
    "CarButton1": (1e-14, 1e-12, 1e-6),
    "DoggoCircle2": (1e-14, 1e-5, 1e-4),
    "RacecarRun0": (2e-8, 2e-2, 10.0),
    "AntPush1": (1e-4, 1e-2, 0.5),
    "event_PointGoal1_goal": (1e-14, 1e-9, 1e-6),
    "event_PointGoal2_vase": (1e-2, 2e-2, 10.0),
    "event_PointButton1_press": (1e-10, 2e-2, 1e-2),
    "event_PointRun0_out": (1e-14, 1e-12, 1e-9),
    "event_CarPush1_push": (1e-2, 2e-2, 10.0),
}
"""By recording: median and largest difference of a position (m, rad), and largest of an observation."""


@functools.cache
def recording(key: str) -> dict[str, np.ndarray]:
    return {name.split("/")[1]: FILE[name] for name in FILE.files if name.split("/")[0] == key}


def layout_of(key: str, row: int) -> dict[str, np.ndarray]:
    given = recording(key)
    names = [str(name) for name in given["layout_names"]]
    layout = dict(zip(names, given["layout_xy"][row], strict=True))
    if "Point" in key:
        layout["agent"] = given["start"]  # its slides are along its first heading
    for i, yaw in enumerate(given.get("gremlin_yaw", [])):
        layout[f"gremlin{i}"] = np.array([*layout[f"gremlin{i}"], yaw])
    return layout


@pytest.mark.parametrize("key", TOLERANCE)
def test_steps_are_those_recorded(key):
    given, errors = recording(key), []
    task_id = str(given["id"])
    for row, action in enumerate(given["action"]):
        marked = {}
        if "Button" in key:
            marked = {"goal": int(given["goal_button"][row]), "button_timer": int(given["button_timer"][row])}
        step = step_from(
            task_id,
            qpos=given["qpos"][row],
            qvel=given["qvel"][row],
            layout=layout_of(key, row),
            action=action,
            time=float(given["time"][row]),
            **marked,
        )
        recorded = {name: given[name][row] for name in given if name.startswith("cost_")}
        assert step.costs == {name: cost for name, cost in recorded.items() if not np.isnan(cost)}, row
        assert step.goal_met == bool(given["goal_met"][row])
        assert not step.terminated
        seen = step.observation
        if step.goal_met:  # a new goal has been drawn: what the robot senses of itself remains
            seen = np.concatenate([seen[:12], given["next_obs"][row][12:]])
        errors.append(
            [
                np.abs(step.qpos - given["next_qpos"][row]).max(),
                np.abs(seen - given["next_obs"][row]).max(),
                abs(step.reward - given["reward"][row]),
            ]
        )
    positions, observations, rewards = np.array(errors).T
    median, largest, seen = TOLERANCE[key]
    assert np.median(positions) < median and positions.max() < largest
    assert observations.max() < seen
    assert rewards.max() < max(2e-11, largest)


# Bodies


@pytest.mark.parametrize("robot", ROBOTS, ids=lambda robot: robot.name)
def test_robots_have_the_constants_of_the_original(robot):
    model, given = (
        NativePhysics(TASKS[f"Safety{robot.name}Run0-v0"], 1, threads=1).model,
        recording(f"model_{robot.name}"),
    )
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    assert model.opt.timestep == given["timestep"] and model.opt.integrator == given["integrator"]
    for name in ("body_mass", "body_ipos", "jnt_range", "jnt_axis", "dof_armature", "actuator_gear"):
        ours = getattr(model, name)
        keep = slice(2, None) if name == "body_ipos" else slice(None)  # the first is the robot's place
        np.testing.assert_allclose(ours[keep], given[name][keep], atol=1e-9, err_msg=name)
    for name in ("actuator_ctrlrange", "actuator_forcerange"):
        np.testing.assert_allclose(getattr(model, name), given[name], atol=1e-9, err_msg=name)
    inertia = np.sort(model.body_inertia, axis=1), np.sort(given["body_inertia"], axis=1)
    np.testing.assert_allclose(*inertia, rtol=1e-6, atol=1e-14)
    for name in ("jnt_stiffness", "dof_damping"):
        ours = getattr(model, name)
        ours = ours if ours.ndim == 1 else ours[:, 0]
        np.testing.assert_allclose(ours, given[name], atol=1e-12, err_msg=name)
    hinges = slice(3, None) if robot.name == "Point" else slice(7, None)
    np.testing.assert_allclose(model.qpos_spring[hinges], given["qpos_spring"][hinges], atol=1e-9)


# Resets


@pytest.mark.parametrize("task", ["PointGoal1", "PointButton1", "PointPush1"])
def test_layouts_are_distributed_as_recorded_ones(task):
    """Distances between all pairs of groups, and from the middle, by the two-sample test of Kolmogorov and Smirnov."""
    given = recording(f"reset_{task}")
    names = [str(name) for name in given["names"]]
    physics = NativePhysics(TASKS[f"Safety{task}-v0"], 200, threads=1)
    physics.reset(range(200), [np.random.default_rng([4, env]) for env in range(200)])
    state, own = physics.state, physics.task.world.names
    ours = {"agent": state.qpos[:, :2], **{name: state.memory.places[:, i] for i, name in enumerate(own)}}
    theirs = {name: given["layout_xy"][:, i] for i, name in enumerate(names)} | {"goal": given["goal_xy"]}
    tested = [
        name
        for name in ("agent", "goal", "hazard0", "vase0", "gremlin3", "button0", "pillar0", "push_box")
        if name in ours
    ]
    values = []
    for i, one in enumerate(tested):
        far = [np.abs(x[one]).max(-1) for x in (ours, theirs)]  # a square is uniform in its largest coordinate's square
        values.append(stats.ks_2samp(*far).pvalue)
        for other in tested[:i]:
            values.append(stats.ks_2samp(*[np.hypot(*(x[one] - x[other]).T) for x in (ours, theirs)]).pvalue)
    assert min(values) > 0.01 / len(values)


# Wrong arguments

GOAL = {"qpos": np.zeros(3), "qvel": np.zeros(3), "action": np.zeros(2)}


@pytest.mark.parametrize(
    ("task_id", "changes", "message"),
    [
        ("SafetyHopper-v4", {"layout": {}}, "SafetyHopper-v4 is no navigation task"),
        ("SafetyPointGoa0-v0", {"layout": {}}, "did you mean 'SafetyPointGoal0-v0'"),
        ("SafetyPointGoal0-v0", {"layout": {}}, "SafetyPointGoal0-v0 needs its goal, (x, y)"),
        ("SafetyPointGoal0-v0", {"layout": {"gaol": (1, 1)}}, "did you mean 'goal'"),
        (
            "SafetyPointGoal0-v0",
            {"layout": {"goal": (1, 1)}, "qpos": np.zeros(4)},
            "qpos has shape (4,); allowed: (3,)",
        ),
        ("SafetyPointGoal0-v0", {"layout": {"goal": (1, 1), "agent": (1, 1)}}, "(x, y, heading)"),
        ("SafetyPointButton0-v0", {"layout": {}}, "the layout of SafetyPointButton0-v0 has no 'button0'"),
        ("SafetyPointButton0-v0", {"layout": {f"button{i}": (i, 1) for i in range(4)}, "goal": 4}, "0 to 3"),
    ],
)
def test_a_wrong_argument_is_named(task_id, changes, message):
    with pytest.raises(UsageError) as error:
        step_from(task_id, **{**GOAL, **changes})
    assert message in str(error.value)
