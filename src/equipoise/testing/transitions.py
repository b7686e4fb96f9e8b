"""One step of a navigation task from any state: to check a transition against another implementation."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from equipoise.errors import UsageError, unknown
from equipoise.physics import NativePhysics
from equipoise.tasks import find_task
from equipoise.tasks.navigation import Navigation
from equipoise.tasks.navigation.memory import Memory

Numbers = Any
"""Numbers in a list, a tuple or an array."""
UNSEEN = ("agent", *(f"sigwall{i}" for i in range(4)))
"""Names of Safety-Gymnasium's layouts that stand for nothing that is laid out here."""


class StepFrom(NamedTuple):
    """What a step brought."""

    observation: Float[np.ndarray, " obs"]
    """What is seen after it."""
    reward: float
    """What it was paid."""
    costs: dict[str, float]
    """What it was charged, each 0 or 1, under Safety-Gymnasium's names in `info`: `cost_hazards`, …, and `cost_sum`. As
    there, `cost_buttons` is missing while the button timer runs."""
    qpos: Float[np.ndarray, " nq"]
    """Positions after it, as those given."""
    qvel: Float[np.ndarray, " nv"]
    """Velocities after it, as those given."""
    terminated: bool
    """Whether it ended the episode."""
    goal_met: bool
    """Whether the goal was reached. A new one has then been drawn, which is what the observation sees."""


def step_from(
    task_id: str,
    *,
    qpos: Numbers,
    qvel: Numbers,
    layout: Mapping[str, Numbers],
    action: Numbers,
    time: float = 0.0,
    goal: Numbers = None,
    button_timer: int = 0,
) -> StepFrom:
    """Step a navigation task once from a given state, by the very code that steps many environments.

    Args:
        task_id: a navigation task.
        qpos: positions (m, rad): the robot's, then 7 for each free body, `push_box`, `vase0`, …, `gremlin0`, …. The
            robot's are those of Safety-Gymnasium, in its order: a free joint (x, y, z, quaternion) and the other
            joints. Point's are x, y and its heading in the world; or, as there, along and across the heading that its
            episode began with, if `layout` has that beginning, `agent`: (x, y, heading).
        qvel: velocities (m/s, rad/s): the robot's, then 6 for each free body.
        layout: by name (`goal`, `hazard0`, `pillar0`, `button0`, `gremlin0`, …) where each object stands: (x, y) in m,
            or (x, y, yaw). Of a gremlin it is the middle of its circle, and its yaw is by default its body's. Free
            bodies may be left out, since `qpos` has them; so may the goal if `goal` is given, and the circle.
        action: the action.
        time: seconds since the episode's start, which say where gremlins are led.
        goal: where the goal stands (x, y), if not as in `layout`; in Button, the number of the marked button.
        button_timer: steps for which buttons are neither seen nor charged.

    Raises:
        UsageError: a name or a shape that does not belong to the task.
    """
    physics = _physics(task_id)
    task = physics.task
    assert isinstance(task, Navigation)
    start = _origin(task, layout)
    positions, velocities = np.array(qpos, float), np.array(qvel, float)
    for name, value, size in (("qpos", positions, physics.model.nq), ("qvel", velocities, physics.model.nv)):
        if value.shape != (size,):
            raise UsageError(f"{name} has shape {value.shape}; allowed: {(size,)}")
    memory = _memory(task, positions, layout, time, goal, button_timer)
    positions, velocities = _turned(positions, velocities, start)
    physics.set_state(positions[None], velocities[None], memory=memory)
    before = physics.state
    step = physics.step(np.asarray(action, float)[None])
    if step.diverged[0]:
        raise UsageError(f"{task_id}: the simulation diverged from this state")
    after = physics.state
    seen = type(after)(after.qpos, after.qvel, sensordata=after.sensordata, memory=before.memory)
    timed = button_timer > 0
    amounts = {name: float(x[0] > 0) for name, x in task.amounts(seen).items() if not (timed and name == "buttons")}
    costs = {f"cost_{name}": amount for name, amount in amounts.items()}
    costs["cost_sum"] = max(costs.values(), default=0.0)
    qpos_after, qvel_after = _turned_back(after.qpos[0], after.qvel[0], start)
    reward, terminated, met = float(step.reward[0]), bool(step.terminated[0]), bool(after.memory.met[0])
    return StepFrom(step.observation[0], reward, costs, qpos_after, qvel_after, terminated, met)


@functools.lru_cache(maxsize=8)
def _physics(task_id: str) -> NativePhysics:
    task = find_task(task_id)
    if not isinstance(task, Navigation):
        raise UsageError(f"{task_id} is no navigation task; step it with gymnasium.make and set_state")
    return NativePhysics(task, 1, threads=1)


def _memory(
    task: Navigation,
    qpos: Float[np.ndarray, " nq"],
    layout: Mapping[str, Numbers],
    time: float,
    goal: Numbers,
    timer: int,
) -> Memory:
    """Return what the task is to keep."""
    names = task.world.names
    for name in layout:
        if name not in (*names, *UNSEEN):
            raise unknown(f"object of {task.id}", name, names)
    places, yaws = np.zeros((len(names), 2)), np.zeros(len(names))
    for i, name in enumerate(names):
        if name in task.world.free:
            x, y, _, w, _, _, z = qpos[task.robot.nq + 7 * task.world.free.index(name) :][:7]
            places[i], yaws[i] = (x, y), 2 * np.arctan2(z, w)
        if name in layout:
            x, y, *yaw = np.asarray(layout[name], float).tolist()
            places[i], yaws[i] = (x, y), yaw[0] if yaw else yaws[i]
        elif name.startswith("gremlin") or name not in (*task.world.free, "goal", "circle"):
            raise UsageError(f"the layout of {task.id} has no {name!r}; it needs where it stands, (x, y)")
    button = 0
    if task.world.count("button"):
        if goal is None or np.ndim(goal) or goal not in range(task.world.count("button")):
            raise UsageError(f"goal is {goal!r}; in Button it is the number of the marked button, 0 to 3")
        button = int(np.asarray(goal))
        places[names.index("goal")] = places[names.index(f"button{button}")]
    elif goal is not None:
        places[names.index("goal")] = np.asarray(goal)[:2]
    elif "goal" in names and "goal" not in layout:
        raise UsageError(f"{task.id} needs its goal, (x, y)")
    now = np.array([button]), np.array([timer]), np.array([float(time)])
    return Memory(places[None], yaws[None], *now, met=np.zeros(1, bool), lost=np.zeros(1, bool))


def _origin(task: Navigation, layout: Mapping[str, Numbers]) -> tuple[float, float, float] | None:
    """Return where Point's own axes begin, if its positions are along them."""
    agent = layout.get("agent")
    if task.robot.free or agent is None:
        return None
    numbers = np.asarray(agent, float).tolist()
    if len(numbers) != 3:
        raise UsageError(
            f"the layout's agent is {tuple(numbers)}; for Point it is where its episode began, (x, y, heading), "
            "or leave it out and give qpos in the world"
        )
    x, y, heading = numbers
    return x, y, heading


def _turned(
    qpos: Float[np.ndarray, " nq"], qvel: Float[np.ndarray, " nv"], start: tuple[float, float, float] | None
) -> tuple[Float[np.ndarray, " nq"], Float[np.ndarray, " nv"]]:
    """Return positions and velocities in the world, where they are along the axes that Point began with."""
    if start is None:
        return qpos, qvel
    qpos, qvel, turn = qpos.copy(), qvel.copy(), _rotation(start[2])
    qpos[:2], qvel[:2] = turn @ qpos[:2] + start[:2], turn @ qvel[:2]
    qpos[2] += start[2]
    return qpos, qvel


def _turned_back(
    qpos: Float[np.ndarray, " nq"], qvel: Float[np.ndarray, " nv"], start: tuple[float, float, float] | None
) -> tuple[Float[np.ndarray, " nq"], Float[np.ndarray, " nv"]]:
    """Undo `_turned`."""
    if start is None:
        return qpos, qvel
    qpos, qvel, turn = qpos.copy(), qvel.copy(), _rotation(-start[2])
    qpos[:2], qvel[:2] = turn @ (qpos[:2] - start[:2]), turn @ qvel[:2]
    qpos[2] -= start[2]
    return qpos, qvel


def _rotation(angle: float) -> Float[np.ndarray, "2 2"]:
    return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
