"""Our tasks as `gymnasium.Env`s, with the costs in `info`."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from jaxtyping import UInt8

from equipoise.environments.shared import costs_in_info, spaces_of
from equipoise.errors import UsageError, unknown
from equipoise.physics import NativePhysics
from equipoise.rendering.camera import Camera, Window
from equipoise.tasks import State, find_task


class SafetyEnv(gymnasium.Env[np.ndarray, np.ndarray]):
    """One task as a Gymnasium environment: `gymnasium.make("equipoise/SafetyHopper-v4")`.

    `info["cost"]` is the step's cost (the sum where a task has several; each is then also there under its name).
    What else a step brings is there, True, only where it has: in navigation tasks `goal_met`.
    The action is passed on as given: MuJoCo clamps it to the actuators' range, the cost does not.
    Pictures are `width` × `height`. `parameters` are those of a task of one's own.
    """

    metadata = {"render_modes": ["human", "rgb_array"], "render_fps": 50}  # noqa: RUF012 (Gymnasium's own convention)

    def __init__(
        self, task_id: str, render_mode: str | None = None, width: int = 480, height: int = 480, **parameters: Any
    ) -> None:
        if render_mode is not None and render_mode not in self.metadata["render_modes"]:
            raise unknown("render_mode", render_mode, self.metadata["render_modes"])
        self.task_id = task_id
        """The task's id in this library."""
        self._physics = NativePhysics(find_task(task_id, parameters), num_envs=1, threads=1)
        self.observation_space, self.action_space = spaces_of(self._physics)
        self.cost_names = self._physics.problem.cost_names
        self.limits = self._physics.problem.limits
        self.metadata = {**self.metadata, "render_fps": round(1 / self._physics.task.dt)}
        self.render_mode = render_mode
        self._size = width, height
        self._camera: Camera | Window | None = None

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Start an episode; `info` is empty, since no step has been charged yet."""
        super().reset(seed=seed)
        observation = self._physics.reset([0], [self.np_random])[0]
        if self.render_mode == "human":
            self.render()
        return observation, {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Step once. `RuntimeError` if the simulation diverged: reset before going on."""
        step = self._physics.step(np.asarray(action, np.float64)[None])
        if step.diverged[0]:
            raise RuntimeError("the simulation diverged (NaN or a MuJoCo warning); reset the environment")
        if self.render_mode == "human":
            self.render()
        info: dict[str, Any] = {k: float(cost) for k, cost in costs_in_info(self.cost_names, step.cost[0]).items()}
        info |= {name: True for name, where in self._physics.events().items() if where[0]}
        return step.observation[0], float(step.reward[0]), bool(step.terminated[0]), False, info

    def render(self) -> UInt8[np.ndarray, "h w 3"] | None:  # type: ignore[override]
        """Return a picture (`rgb_array`) or show the state in a window (`human`); `UsageError` where none can be."""
        if self.render_mode is None:
            raise UsageError("without a render_mode nothing is drawn; make it with render_mode='rgb_array'")
        if self._camera is None:
            kind = Window if self.render_mode == "human" else Camera
            self._camera = kind(self._physics.task, *self._size)
        state = self._physics.state_of(0)
        if isinstance(self._camera, Camera):
            return self._camera.picture(state)
        self._camera.show(state)
        return None

    def close(self) -> None:
        """Close the window, or whatever draws."""
        if self._camera is not None:
            self._camera.close()
            self._camera = None

    @property
    def state(self) -> State:
        """The simulation's positions and velocities, and what the task keeps, each with a leading axis of one."""
        return self._physics.state

    def set_state(self, qpos: np.ndarray, qvel: np.ndarray, memory: Any = None) -> np.ndarray:
        """Put the simulation into a state and return what is observed there.

        `memory` is what the task is to keep, as `state.memory` has it; by default what it keeps now.
        """
        self._physics.set_state(np.asarray(qpos)[None], np.asarray(qvel)[None], memory=memory)
        return self._physics.task.observation(self._physics.state)[0]
