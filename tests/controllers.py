"""Trained policies, recorded by `tests/data/train_controllers.py`, and simpler sources of actions beside them."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from equipoise.physics import NativePhysics
from equipoise.tasks import TASKS
from registries import CLASSIC

FILE = Path(__file__).parent / "data" / "controllers.npz"
Source = Callable[[np.ndarray], np.ndarray]
"""From the environments' observations to their actions."""


class Controller(NamedTuple):
    """A trained policy's mean: an MLP of tanh layers, of the normalised observation clipped to ±10."""

    mean: np.ndarray
    deviation: np.ndarray
    weights: list[np.ndarray]
    biases: list[np.ndarray]

    def __call__(self, observation: np.ndarray) -> np.ndarray:
        hidden = ((observation - self.mean) / self.deviation).clip(-10, 10)
        for weight, bias in zip(self.weights[:-1], self.biases[:-1], strict=True):
            hidden = np.tanh(hidden @ weight + bias)
        return hidden @ self.weights[-1] + self.biases[-1]


@functools.cache
def controllers() -> dict[str, Controller]:
    """All of them by name; a name begins with that of its robot's model."""
    with np.load(FILE) as file:
        arrays = {key: file[key].astype(np.float64) for key in file.files}
    made = {}
    for name in sorted({key.split("/")[0] for key in arrays}):
        layers = range(sum(key.startswith(f"{name}/weight") for key in arrays))
        weights, biases = ([arrays[f"{name}/{part}{i}"] for i in layers] for part in ("weight", "bias"))
        made[name] = Controller(arrays[f"{name}/mean"], arrays[f"{name}/deviation"], weights, biases)
    return made


def controllers_of(model: str) -> list[Controller]:
    """Those of the robot in the file `model`."""
    robot = model.removesuffix(".xml").removesuffix("_v5")
    return [controller for name, controller in controllers().items() if name.split("-")[0] == robot]


@functools.cache
def trained_states(model: str, apart: int = 50, states: int = 4) -> tuple[np.ndarray, np.ndarray]:
    """States (qpos, qvel) along one episode of each controller of `model`, `apart` steps apart."""
    task_id = next(task_id for task_id in CLASSIC if TASKS[task_id].model == model)
    reached = []
    for controller in controllers_of(model):
        physics = NativePhysics(TASKS[task_id], 1, threads=1)
        seen = physics.reset([0], [np.random.default_rng(0)])
        for t in range(1, apart * states + 1):
            seen = physics.step(controller(seen)).observation
            if t % apart == 0:
                reached.append((physics.state.qpos[0], physics.state.qvel[0]))
    return tuple(map(np.array, zip(*reached, strict=True)))
