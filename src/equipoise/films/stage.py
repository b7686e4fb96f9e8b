"""What a film is taken of: an environment of the run's task, or one of the user's own, and its pictures."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

import gymnasium
import numpy as np
from jaxtyping import UInt8

from equipoise.environments.foreign import ForeignEnvironments
from equipoise.environments.vectorised import VectorisedEnvironments
from equipoise.errors import UsageError
from equipoise.physics import NativePhysics, Simulator
from equipoise.rendering.camera import Camera
from equipoise.training.budget import bare
from equipoise.training.config import Environment, reopen_simulator
from equipoise.training.run import Run

USUAL_FPS = 30
"""Pictures per second of an environment that does not say how many it gives: Gymnasium's own assumption."""


class Stage(NamedTuple):
    """A simulator of one environment, and how it looks."""

    simulator: Simulator
    """Where the policy acts."""
    picture: Callable[[], UInt8[np.ndarray, "h w 3"]]
    """Takes a picture of the environment as it is now."""
    dt: float
    """Seconds of one step."""
    close: Callable[[], None]
    """Releases the simulator, and whatever draws its pictures."""


def open_stage(run: Run, size: tuple[int, int], environment: Environment | None) -> Stage:
    """Set up what `run` was trained on; `UsageError` where it cannot be drawn. Only our own tasks have a `size`."""
    config = dataclasses.replace(run.config, num_envs=1)
    simulator = reopen_simulator(config, run.problem, 1, environment, render_mode="rgb_array")
    task = bare(simulator)
    if isinstance(task, NativePhysics):
        return _native_stage(simulator, task, size)
    assert isinstance(task, ForeignEnvironments | VectorisedEnvironments)
    if task.render_mode != "rgb_array":
        simulator.close()
        raise UsageError(
            f"{run.problem.id} cannot be filmed: its render_mode is {task.render_mode}; make it with "
            "render_mode='rgb_array'"
        )

    def picture() -> UInt8[np.ndarray, "h w 3"]:
        try:
            frame = np.asarray(task.render())
        except gymnasium.error.DependencyNotInstalled as error:
            raise UsageError(f"{run.problem.id} cannot be drawn: {str(error).splitlines()[0]}") from error
        if frame.ndim != 3 or frame.shape[2] != 3 or frame.dtype != np.uint8:
            raise UsageError(
                f"{run.problem.id} draws an array of shape {frame.shape} and type {frame.dtype}; allowed: height × "
                "width × 3, uint8"
            )
        return frame

    return Stage(simulator, picture, 1 / (task.render_fps or USUAL_FPS), simulator.close)


def _native_stage(simulator: Simulator, physics: NativePhysics, size: tuple[int, int]) -> Stage:
    """Set up one of our own tasks."""
    camera = Camera(physics.task, *size)

    def picture() -> UInt8[np.ndarray, "h w 3"]:
        return camera.picture(physics.state_of(0))

    return Stage(simulator, picture, physics.task.dt, camera.close)
