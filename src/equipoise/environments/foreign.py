"""Anyone's own environment behind the `Simulator` door: any Gymnasium environment whose `info` carries a cost."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence

import gymnasium
import numpy as np
from jaxtyping import Float

from equipoise.errors import UsageError
from equipoise.physics.simulator import Transition
from equipoise.problem import Problem, check_cost_names, middle_and_unit

EnvFactory = Callable[[], gymnasium.Env]
"""Whatever makes one environment: a Gymnasium id wrapped up, or a user's own function or class."""


class ForeignEnvironments:
    """A `Simulator` that loops over `slots` environments made by `make`; slower than native physics, and as correct.

    Each step's costs are read from `info` under `cost_names`; a missing one is an error. Actions are clipped to the
    environment's own action space, as most environments demand. `horizon` is needed where the environment's spec
    names none.
    """

    def __init__(
        self,
        make: EnvFactory,
        slots: int,
        name: str,
        cost_names: tuple[str, ...] = ("cost",),
        horizon: int | None = None,
    ) -> None:
        check_cost_names(cost_names)
        self._envs = [make() for _ in range(slots)]
        first = self._envs[0]
        self._observation_space = first.observation_space
        action_space = first.action_space
        if not isinstance(action_space, gymnasium.spaces.Box) or len(action_space.shape) != 1:
            raise UsageError(f"{name} has the action space {action_space}; allowed: a one-dimensional Box")
        self._low, self._high = action_space.low, action_space.high
        known: int | None = getattr(first.spec, "max_episode_steps", None)
        steps = known if horizon is None else horizon
        if steps is None:
            raise UsageError(f"{name} does not say how long an episode is; give the horizon (--horizon STEPS)")
        if horizon is not None and known is not None and horizon > known:
            raise UsageError(f"{name} truncates after {known} steps, so a horizon of {horizon} is never reached")
        self.slots = slots
        middle, unit = middle_and_unit(self._low, self._high)
        self.problem = Problem(
            id=name,
            observation_size=gymnasium.spaces.flatdim(self._observation_space),
            action_size=action_space.shape[0],
            horizon=steps,
            cost_names=cost_names,
            limits=None,
            action_middle=middle,
            action_unit=unit,
        )

    def reset(self, slots: Sequence[int], randoms: Sequence[np.random.Generator]) -> Float[np.ndarray, "n obs"]:
        """Reset each of `slots` with a seed drawn from its own source of noise."""
        return np.stack(
            [
                self._flat(self._envs[slot].reset(seed=int(random.integers(2**31)))[0])
                for slot, random in zip(slots, randoms, strict=True)
            ]
        )

    def step(self, action: Float[np.ndarray, "N act"]) -> Transition:
        """Step every environment once, in turn."""
        rows = [
            self._step_one(env, a) for env, a in zip(self._envs, np.clip(action, self._low, self._high), strict=True)
        ]
        observation, reward, cost, terminated, truncated = (np.array(c) for c in zip(*rows, strict=True))
        numbers = np.concatenate([observation, reward[:, None], cost], axis=1)
        return Transition(
            observation=observation,
            reward=reward,
            cost=cost,
            terminated=terminated,
            truncated=truncated,
            diverged=~np.isfinite(numbers).all(-1),
        )

    def close(self) -> None:
        """Close every environment."""
        for env in self._envs:
            env.close()

    def _flat(self, observation: object) -> Float[np.ndarray, " obs"]:
        return np.asarray(gymnasium.spaces.flatten(self._observation_space, observation), np.float64)

    def _step_one(
        self, env: gymnasium.Env, action: Float[np.ndarray, " act"]
    ) -> tuple[np.ndarray, float, list[float], bool, bool]:
        observation, reward, terminated, truncated, info = env.step(action.astype(self._low.dtype))
        missing = [name for name in self.problem.cost_names if name not in info]
        if missing:
            raise UsageError(
                f"{self.problem.id} has no {missing[0]!r} in its info (there: {', '.join(sorted(info)) or 'nothing'}); "
                "name the keys of its costs (--cost-names KEY …)"
            )
        cost = [float(info[name]) for name in self.problem.cost_names]
        if min(cost) < 0:
            raise UsageError(
                f"{self.problem.id} has a cost of {min(cost):g}; allowed: 0 or more, lower is better (if its costs are "
                "negative rewards, negate them)"
            )
        return self._flat(observation), float(reward), cost, bool(terminated), bool(truncated)


def gymnasium_factory(env_id: str) -> EnvFactory:
    """Return a factory for the Gymnasium environment `env_id` (`module:Id` imports the module first)."""
    module, _, name = env_id.rpartition(":")
    try:
        if module:
            importlib.import_module(module)
        gymnasium.spec(name)
    except (gymnasium.error.Error, ImportError) as error:
        raise UsageError(f"unknown task {env_id!r}: {str(error).splitlines()[0]}") from None
    return lambda: gymnasium.make(name)
