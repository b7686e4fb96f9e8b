"""Our tasks as `gymnasium.Env`s, with the costs in `info`."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np

from equipoise.physics import NativePhysics
from equipoise.tasks import TASKS, State, find_task


class SafetyEnv(gymnasium.Env[np.ndarray, np.ndarray]):
    """One task as a Gymnasium environment: `gymnasium.make("equipoise/SafetyHopper-v4")`.

    `info["cost"]` is the step's cost (the sum where a task has several; each is then also there under its name).
    The action is passed on as given: MuJoCo clamps it to the actuators' range, the cost does not.
    """

    metadata = {"render_modes": [], "render_fps": 50}  # noqa: RUF012 (Gymnasium's own convention)

    def __init__(self, task_id: str, render_mode: str | None = None) -> None:
        self._physics = NativePhysics(find_task(task_id), slots=1, threads=1)
        self.render_mode = render_mode
        problem, model = self._physics.problem, self._physics.model
        self.observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (problem.observation_size,), np.float64)
        low, high = model.actuator_ctrlrange.T
        self.action_space = gymnasium.spaces.Box(low.astype(np.float32), high.astype(np.float32))
        self.cost_names = problem.cost_names
        self.limits = problem.limits

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Start an episode; `info` is empty, since no step has been charged yet."""
        super().reset(seed=seed)
        return self._physics.reset([0], [self.np_random])[0], {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Step once. `RuntimeError` if the simulation diverged: reset before going on."""
        step = self._physics.step(np.asarray(action, np.float64)[None])
        if step.diverged[0]:
            raise RuntimeError("the simulation diverged (NaN or a MuJoCo warning); reset the environment")
        info: dict[str, Any] = {"cost": float(step.cost[0].sum())}
        if len(self.cost_names) > 1:
            info |= {name: float(cost) for name, cost in zip(self.cost_names, step.cost[0], strict=True)}
        return step.observation[0], float(step.reward[0]), bool(step.terminated[0]), False, info

    @property
    def state(self) -> State:
        """The simulation's positions and velocities, each with a leading axis of one."""
        return self._physics.state

    def set_state(self, qpos: np.ndarray, qvel: np.ndarray) -> np.ndarray:
        """Put the simulation into a state and return what is observed there."""
        self._physics.set_state(np.asarray(qpos)[None], np.asarray(qvel)[None])
        return self._physics.task.observation(self._physics.state)[0]


def register() -> None:
    """Register every task with Gymnasium as `equipoise/ID`."""
    for task in TASKS.values():
        gymnasium.register(
            f"equipoise/{task.id}",
            entry_point="equipoise.environments.gymnasium_env:SafetyEnv",
            max_episode_steps=task.horizon,
            kwargs={"task_id": task.id},
        )
