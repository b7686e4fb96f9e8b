"""Safety-Gymnasium's face: a step gives six values, the cost third, before `terminated`.

In a program written for Safety-Gymnasium, `from equipoise.environments import safety_gymnasium` takes the place of
`import safety_gymnasium`, and `safety_gymnasium.make("SafetyHopperVelocity-v1")` stays as it is. `reset` is
Gymnasium's.

Source: PKU-Alignment/safety-gymnasium, utils/registration.py, vector/ and wrappers/gymnasium_conversion.py.
"""

from __future__ import annotations

from typing import Any

import gymnasium
from gymnasium.vector import AutoresetMode, VectorEnv, VectorWrapper

from equipoise.errors import UsageError
from equipoise.tasks import find_task

FiveValues = tuple[Any, Any, Any, Any, dict[str, Any]]
"""Gymnasium's step: observation, reward, terminated, truncated, info."""
SixValues = tuple[Any, Any, Any, Any, Any, dict[str, Any]]
"""Safety-Gymnasium's step: observation, reward, cost, terminated, truncated, info."""


def to_five(step: SixValues) -> FiveValues:
    """Move the cost into `info["cost"]`, where it takes the place of whatever was there."""
    observation, reward, cost, terminated, truncated, info = step
    return observation, reward, terminated, truncated, {**info, "cost": cost}


def to_six(step: FiveValues) -> SixValues:
    """Give the cost of `info["cost"]` a place of its own; `info` keeps it. `UsageError` if there is none."""
    observation, reward, terminated, truncated, info = step
    if "cost" not in info:
        raise UsageError(f"there is no 'cost' in the info (there: {', '.join(sorted(info)) or 'nothing'})")
    return observation, reward, info["cost"], terminated, truncated, info


class SafetyGymnasium2Gymnasium(gymnasium.Wrapper):
    """Makes an environment whose step gives six values one of Gymnasium's, with the cost in `info["cost"]`."""

    def step(self, action: Any) -> FiveValues:
        """Step, and return five values."""
        return to_five(self.env.step(action))  # type: ignore[arg-type]


class Gymnasium2SafetyGymnasium(gymnasium.Wrapper):
    """Makes an environment with `info["cost"]` one of Safety-Gymnasium's, whose step gives six values."""

    def step(self, action: Any) -> SixValues:  # type: ignore[override]
        """Step, and return six values."""
        return to_six(self.env.step(action))


class Gymnasium2SafetyGymnasiumVector(VectorWrapper):
    """Makes a vector environment one of Safety-Gymnasium's: costs third, last observations in `final_observation`."""

    def step(self, actions: Any) -> SixValues:  # type: ignore[override]
        """Step, and return six values."""
        *rest, infos = to_six(self.env.step(actions))
        if "final_obs" in infos:
            infos = {**infos, "final_observation": infos["final_obs"], "_final_observation": infos["_final_obs"]}
        return *rest, infos  # type: ignore[return-value]


def make(task_id: str, **options: Any) -> gymnasium.Env:
    """Make a task with Safety-Gymnasium's step; `options` are those of `gymnasium.make`."""
    return Gymnasium2SafetyGymnasium(gymnasium.make(f"equipoise/{find_task(task_id).id}", **options))


def make_vec(task_id: str, num_envs: int = 1, **options: Any) -> VectorEnv:
    """Make a vector environment with Safety-Gymnasium's step, which resets within an episode's last step.

    It stands for `safety_gymnasium.vector.make`; `options` are those of `SafetyVectorEnv`.
    """
    options = {"autoreset_mode": AutoresetMode.SAME_STEP, **options}
    env = gymnasium.make_vec(f"equipoise/{find_task(task_id).id}", num_envs=num_envs, **options)
    return Gymnasium2SafetyGymnasiumVector(env)
