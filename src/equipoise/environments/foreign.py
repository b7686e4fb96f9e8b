"""Anyone's own environment behind the `Simulator` door: any Gymnasium environment whose `info` carries a cost."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import gymnasium
import numpy as np
from jaxtyping import Float

from equipoise.environments.safety_gymnasium import FiveValues, to_five
from equipoise.errors import UsageError, unknown
from equipoise.modules import import_named
from equipoise.physics.simulator import Transition
from equipoise.problem import Problem, check_cost_names, middle_and_unit

EnvFactory = Callable[[], gymnasium.Env]
"""Whatever makes one environment: a Gymnasium id wrapped up, or a user's own function or class."""


class ForeignEnvironments:
    """A `Simulator` that loops over `num_envs` environments made by `make`; slower than native physics, and as correct.

    Each step's costs are read from `info` under `cost_names`; a missing one is an error. Where a step gives
    Safety-Gymnasium's six values, its third is `info["cost"]`. Actions are clipped to the environment's own action
    space, as most environments demand. `horizon` is needed where the environment's spec names none.
    """

    def __init__(
        self,
        make: EnvFactory,
        num_envs: int,
        name: str,
        cost_names: tuple[str, ...] = ("cost",),
        horizon: int | None = None,
    ) -> None:
        check_cost_names(cost_names)
        self.envs = [make() for _ in range(num_envs)]
        """The user's environments, stepped in turn."""
        first = self.envs[0]
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
        self.num_envs = num_envs
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

    def reset(self, indices: Sequence[int], randoms: Sequence[np.random.Generator]) -> Float[np.ndarray, "n obs"]:
        """Reset each environment of `indices` with a seed drawn from its own source of noise."""
        return np.stack([self._reset_one(self.envs[i], random) for i, random in zip(indices, randoms, strict=True)])

    def step(self, action: Float[np.ndarray, "N act"]) -> Transition:
        """Step every environment once, in turn."""
        rows = [
            self._step_one(env, a) for env, a in zip(self.envs, np.clip(action, self._low, self._high), strict=True)
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
        for env in self.envs:
            env.close()

    def _flat(self, observation: object) -> Float[np.ndarray, " obs"]:
        return np.asarray(gymnasium.spaces.flatten(self._observation_space, observation), np.float64)

    def _reset_one(self, env: gymnasium.Env, random: np.random.Generator) -> Float[np.ndarray, " obs"]:
        result = env.reset(seed=int(random.integers(2**31)))
        if not (isinstance(result, tuple) and len(result) == 2 and isinstance(result[1], dict)):
            raise UsageError(f"{self.problem.id} is reset to {_described(result)}; allowed: (observation, info)")
        return self._flat(result[0])

    def _step_one(
        self, env: gymnasium.Env, action: Float[np.ndarray, " act"]
    ) -> tuple[np.ndarray, float, list[float], bool, bool]:
        observation, reward, terminated, truncated, info = self._five_values(env, action.astype(self._low.dtype))
        cost = [self._cost(info, name) for name in self.problem.cost_names]
        return self._flat(observation), float(reward), cost, bool(terminated), bool(truncated)

    def _five_values(self, env: gymnasium.Env, action: np.ndarray) -> FiveValues:
        try:
            step: Any = env.step(action)
        except gymnasium.error.Error as error:
            if "elements returned: 6" in str(error):  # Gymnasium's own checker, which `gymnasium.make` puts around it
                raise UsageError(
                    f"{self.problem.id} gives 6 values a step, which gymnasium.make does not allow; register it inside "
                    "of equipoise.environments.safety_gymnasium.SafetyGymnasium2Gymnasium"
                ) from None
            raise
        if isinstance(step, tuple) and len(step) == 5:
            return step  # type: ignore[return-value]
        if isinstance(step, tuple) and len(step) == 6:
            return to_five(step)  # type: ignore[arg-type]
        raise UsageError(
            f"{self.problem.id} gives {_described(step)} a step; allowed: (observation, reward, terminated, truncated, "
            "info), or six values with the cost third"
        )

    def _cost(self, info: dict[str, Any], name: str) -> float:
        if name not in info:
            there = ", ".join(sorted(map(str, info))) or "nothing"
            raise UsageError(
                f"{self.problem.id} has no {name!r} in its info (there: {there}); "
                "name the keys of its costs (--cost-names KEY …)"
            )
        value = np.asarray(info[name])
        if value.ndim or value.dtype.kind not in "biuf":
            raise UsageError(f"{self.problem.id} has {_described(info[name])} as its {name!r}; allowed: one number ≥ 0")
        if value < 0:
            raise UsageError(
                f"{self.problem.id} has a cost of {value:g}; allowed: 0 or more, lower is better (if its costs are "
                "negative rewards, negate them)"
            )
        return float(value)


def _described(value: object) -> str:
    """Say in a few words what `value` is."""
    if isinstance(value, tuple):
        return f"{len(value)} values"
    if isinstance(value, np.ndarray):
        return f"an array of shape {value.shape}"
    return repr(value) if value is None or isinstance(value, str | float | int) else f"a {type(value).__name__}"


def _home(spec: gymnasium.envs.registration.EnvSpec) -> str:
    """Return the package that an environment comes from."""
    entry = spec.entry_point
    return (entry if isinstance(entry, str) else getattr(entry, "__module__", "")).split(":")[0].split(".")[0]


def gymnasium_factory(env_id: str, render_mode: str | None = None) -> EnvFactory:
    """Return a factory for the Gymnasium environment `env_id` (`module:Id` imports the module first).

    With a `render_mode` its environments draw themselves; `UsageError` where they cannot.
    """
    module, _, name = env_id.rpartition(":")
    if module:
        import_named(module, f"task {env_id!r}")
    try:
        spec = gymnasium.spec(name)
    except gymnasium.error.Error as error:
        if not module:
            raise UsageError(f"unknown task {env_id!r}: {str(error).splitlines()[0]}") from None
        there = [known for known, spec in gymnasium.registry.items() if _home(spec) == module.split(".")[0]]
        raise (
            unknown(f"id in {module}", name, there)
            if there
            else UsageError(f"{module} registers no id {name!r}, nor any other of its own")
        ) from None
    if module and isinstance(spec.entry_point, str):
        import_named(spec.entry_point.partition(":")[0], f"task {env_id!r}")

    def make() -> gymnasium.Env:
        try:
            env = gymnasium.make(name)
        except (gymnasium.error.Error, ImportError) as error:  # something it needs is not installed, say
            raise UsageError(f"{env_id} cannot be made: {str(error).splitlines()[0]}") from error
        if render_mode is None:
            return env
        modes = env.metadata.get("render_modes", [])
        env.close()
        if render_mode not in modes:
            there = ", ".join(modes) or "none"
            raise UsageError(f"{env_id} cannot be seen: its render_modes are {there}; needed: {render_mode}")
        return gymnasium.make(name, render_mode=render_mode)

    return make
