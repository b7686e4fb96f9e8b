"""Our tasks as a `gymnasium.vector.VectorEnv`: all environments are one batch of MuJoCo's, on all cores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import gymnasium
import numpy as np
from gymnasium.utils.seeding import np_random
from gymnasium.vector import AutoresetMode
from gymnasium.vector.utils import batch_space
from jaxtyping import Bool, Float, UInt8

from equipoise.environments.shared import costs_in_info, spaces_of
from equipoise.errors import UsageError, unknown
from equipoise.physics import NativePhysics
from equipoise.rendering.camera import Camera
from equipoise.tasks import find_task

Step = tuple[
    Float[np.ndarray, "N obs"], Float[np.ndarray, " N"], Bool[np.ndarray, " N"], Bool[np.ndarray, " N"], dict[str, Any]
]
"""Observations, rewards, terminations, truncations, infos."""


class SafetyVectorEnv(gymnasium.vector.VectorEnv[np.ndarray, np.ndarray, np.ndarray]):
    """`num_envs` environments of one task: `gymnasium.make_vec("equipoise/SafetyHopper-v4", num_envs=8)`.

    Steps are those of `gymnasium.vector.SyncVectorEnv`, only faster. `infos["cost"]` holds the costs that go with the
    rewards, beside `infos["_cost"]`, which is False where an environment was only reset. An environment whose
    simulation diverges is truncated, its reward and costs 0, and `infos["diverged"]` True.

    Args:
        task_id: id of the task.
        num_envs: number of environments.
        max_episode_steps: steps after which an episode is truncated; by default the task's horizon.
        autoreset_mode: `NEXT_STEP`, where the step after an episode's last one only resets and its action counts for
            nothing; or `SAME_STEP`, where `infos["final_obs"]` and `infos["final_info"]` hold what the reset hides.
        render_mode: `rgb_array`, or None for no pictures.
        width: width of the pictures.
        height: height of the pictures.
        threads: physics threads (0: all cores); results do not depend on it.
        parameters: those of a task of one's own.
    """

    metadata = {"render_modes": ["rgb_array"]}  # noqa: RUF012 (Gymnasium's own convention)

    def __init__(
        self,
        task_id: str,
        num_envs: int = 1,
        max_episode_steps: int | None = None,
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
        render_mode: str | None = None,
        width: int = 480,
        height: int = 480,
        threads: int = 0,
        **parameters: Any,
    ) -> None:
        allowed = [AutoresetMode.NEXT_STEP.value, AutoresetMode.SAME_STEP.value]
        mode = autoreset_mode.value if isinstance(autoreset_mode, AutoresetMode) else autoreset_mode
        if mode not in allowed:
            raise unknown("autoreset_mode", mode, allowed)
        if render_mode not in (None, "rgb_array"):
            raise unknown("render_mode", render_mode, ["rgb_array"])
        if num_envs < 1:
            raise UsageError(f"num_envs is {num_envs}; allowed: 1 or more")
        task = find_task(task_id, parameters)
        self._physics = NativePhysics(task, num_envs, threads)
        self.num_envs = num_envs
        self.single_observation_space, self.single_action_space = spaces_of(self._physics)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self.cost_names = self._physics.problem.cost_names
        self.limits = self._physics.problem.limits
        self._mode, self._steps = AutoresetMode(mode), max_episode_steps or task.horizon
        fps = round(1 / self._physics.task.dt)
        self.metadata = {**self.metadata, "render_fps": fps, "autoreset_mode": self._mode}
        self.render_mode = render_mode
        self._size = width, height
        self._camera: Camera | None = None
        self._randoms: tuple[np.random.Generator, ...] = ()
        self._seeds: tuple[int, ...] = ()
        self._observation: np.ndarray | None = None
        self._age = np.zeros(num_envs, int)
        self._over = np.zeros(num_envs, bool)

    def reset(  # type: ignore[override]
        self, *, seed: int | Sequence[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Start an episode everywhere, environment i from `seed` + i, or from `seed[i]`; `infos` is empty.

        Without a seed, each goes on drawing from its own source of noise.
        """
        if seed is None or isinstance(seed, int):
            seeds: list[int | None] = [None if seed is None else seed + i for i in range(self.num_envs)]
        else:
            seeds = list(seed)
        if len(seeds) != self.num_envs:
            raise UsageError(f"{len(seeds)} seeds for {self.num_envs} environments; give one number, or one for each")
        sources = [
            (self._randoms[i], self._seeds[i]) if given is None and self._randoms else np_random(given)
            for i, given in enumerate(seeds)
        ]
        self._randoms, self._seeds = (tuple(part) for part in zip(*sources, strict=True))
        self._over[:] = False
        self._observation = self._restart(np.arange(self.num_envs))
        return self._observation.copy(), {}

    def step(self, actions: np.ndarray) -> Step:
        """Step every environment, and reset those whose episode is over as `autoreset_mode` says."""
        if self._observation is None:
            raise gymnasium.error.ResetNeeded("Cannot call env.step() before calling env.reset()")
        step = self._physics.step(np.asarray(actions, np.float64))
        live = ~self._over  # the others wait for their reset: their action counts for nothing
        diverged = step.diverged & live
        counted = live & ~diverged
        reward = np.where(counted, step.reward, 0.0)
        cost = np.where(counted[:, None], step.cost, 0.0)
        observation = np.where(counted[:, None], step.observation, self._observation)
        self._age += live
        terminated = step.terminated & live
        truncated = live & (self._age >= self._steps) | diverged
        infos: dict[str, Any] = {}
        if live.any():
            infos = masked(costs_in_info(self.cost_names, cost), live)
        events = self._physics.events()
        infos |= reported(events, {name: where & counted for name, where in events.items()})
        if diverged.any():
            infos |= masked({"diverged": diverged}, live)
        ended = terminated | truncated
        if self._mode is AutoresetMode.NEXT_STEP:
            if diverged.any():
                self._restart(np.flatnonzero(diverged))  # the next step must not start from a broken state
            restarting, self._over = self._over, ended
        else:
            restarting = ended
            if ended.any():
                infos |= final(observation, infos, ended)
        if restarting.any():
            observation[restarting] = self._restart(np.flatnonzero(restarting))
        self._observation = observation
        return observation.copy(), reward, terminated, truncated, infos

    def _restart(self, indices: np.ndarray) -> Float[np.ndarray, "n obs"]:
        self._age[indices] = 0
        return self._physics.reset(indices.tolist(), [self._randoms[i] for i in indices])

    def render(self) -> tuple[UInt8[np.ndarray, "h w 3"], ...]:  # type: ignore[override]
        """Return a picture of each environment; `UsageError` where nothing can draw."""
        if self.render_mode is None:
            raise UsageError("without a render_mode nothing is drawn; make it with render_mode='rgb_array'")
        if self._camera is None:
            self._camera = Camera(self._physics.task, *self._size)
        return tuple(self._camera.picture(self._physics.state_of(env)) for env in range(self.num_envs))

    def close_extras(self, **kwargs: Any) -> None:
        """Release what draws."""
        if self._camera is not None:
            self._camera.close()
            self._camera = None

    @property  # type: ignore[misc]
    def np_random(self) -> tuple[np.random.Generator, ...]:  # type: ignore[override]
        """The environments' sources of noise; none before the first reset."""
        return self._randoms

    @property
    def np_random_seed(self) -> tuple[int, ...]:  # type: ignore[override]
        """The environments' seeds; none before the first reset."""
        return self._seeds


def reported(values: Mapping[str, np.ndarray], masks: Mapping[str, Bool[np.ndarray, " N"]]) -> dict[str, Any]:
    """Return, with its mask and blank outside of it, each of `values` that any environment reports."""
    infos: dict[str, Any] = {}
    for key, mask in masks.items():
        if mask.any():
            infos |= masked({key: np.where(mask, values[key], values[key].dtype.type())}, mask)
    return infos


def masked(info: dict[str, Any], mask: Bool[np.ndarray, " N"]) -> dict[str, Any]:
    """Add to every entry its mask `_key`, True where an environment reports it: Gymnasium's convention."""
    return info | {f"_{key}": mask.copy() for key in info}


def final(
    observation: Float[np.ndarray, "N obs"], infos: dict[str, Any], ended: Bool[np.ndarray, " N"]
) -> dict[str, Any]:
    """Return what a reset within the step hides: the episodes' last observations and infos, as Gymnasium has them."""
    last = np.full(len(ended), None, dtype=object)
    for i in np.flatnonzero(ended):
        last[i] = observation[i].copy()
    info = reported(infos, {key: infos[f"_{key}"] & ended for key in infos if key[0] != "_"})
    return masked({"final_obs": last, "final_info": info}, ended)
