"""Anyone's own environment behind the `Simulator` door: any Gymnasium environment whose `info` carries a cost."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import gymnasium
import numpy as np
from gymnasium.vector import VectorEnv
from jaxtyping import Float, Num

from equipoise.environments.actions import Actions, check_actions
from equipoise.environments.observations import Layout, flatten, layout_of, length, place, to_text
from equipoise.environments.safety_gymnasium import to_five
from equipoise.errors import UsageError
from equipoise.physics.numbers import check_first, checked
from equipoise.physics.simulator import Transition
from equipoise.problem import Problem, check_cost_names

EnvFactory = Callable[..., Any]
"""Whatever makes one environment, or a vector environment of several: a Gymnasium id wrapped up (`Registered`), or a
user's own function or class."""


class ForeignEnvironments:
    """A `Simulator` that loops over `num_envs` environments made by `make`; slower than native physics, and as correct.

    Each step's costs are read from `info` under `cost_names`; a missing one is an error. Where a step gives
    Safety-Gymnasium's six values, its third is `info["cost"]`. Continuous actions are clipped to the environment's own
    action space, as most environments demand; discrete ones are given as it counts them. `horizon` is needed where the
    environment's spec names none. An error of an environment's own says which one it was, the first of them `first`.
    """

    def __init__(
        self,
        make: EnvFactory,
        num_envs: int,
        name: str,
        cost_names: tuple[str, ...] = ("cost",),
        horizon: int | None = None,
        first: int = 0,
    ) -> None:
        check_cost_names(cost_names)
        self._first_number = first
        self.envs = [make() for _ in range(num_envs)]
        """The user's environments, stepped in turn."""
        one = self.envs[0]
        check_environment(one, name)
        if len({id(env) for env in self.envs}) < num_envs or len({id(env.unwrapped) for env in self.envs}) < num_envs:
            raise UsageError(f"{name} is the same environment every time it is made; allowed: a new one each time")
        self._layout = layout_of(one.observation_space, name)
        self._actions = Actions(one.action_space, name)
        self.num_envs = num_envs
        self.problem = problem_of(name, self._layout, self._actions, one.spec, cost_names, horizon)

    def reset(self, indices: Sequence[int], randoms: Sequence[np.random.Generator]) -> Float[np.ndarray, "n obs"]:
        """Reset each environment of `indices` with a seed drawn from its own source of noise."""
        return self.begin(indices, seeds_from(randoms))

    def begin(self, indices: Sequence[int], seeds: Sequence[int]) -> Float[np.ndarray, "n obs"]:
        """Reset each environment of `indices` with its seed."""
        return np.stack([self._reset_one(i, seed) for i, seed in zip(indices, seeds, strict=True)])

    def step(self, action: Num[np.ndarray, "N act"]) -> Transition:
        """Step every environment once, in turn."""
        rows = [self._step_one(i, a) for i, a in enumerate(self._actions.each(action))]
        observation, reward, cost, terminated, truncated = (np.array(c) for c in zip(*rows, strict=True))
        nowhere = np.zeros(len(rows), bool)
        step = Transition(observation, reward, cost, terminated, truncated, diverged=nowhere)
        return checked(self.problem, step, self._place)

    def close(self) -> None:
        """Close every environment."""
        for env in self.envs:
            env.close()

    @property
    def render_mode(self) -> str | None:
        """How the first environment draws itself."""
        return self.envs[0].render_mode

    @property
    def render_fps(self) -> int | float | None:
        """Pictures a second of the first environment, where it says so."""
        return self.envs[0].metadata.get("render_fps")

    def render(self) -> Any:
        """Return the first environment's picture."""
        return self.envs[0].render()

    def _place(self, index: int) -> str:
        """Name an entry of the flattened observation."""
        return place(self._layout, index) or str(index)

    @contextlib.contextmanager
    def _named(self, i: int) -> Iterator[None]:
        """Have an error of an environment's own code say which one it is."""
        try:
            yield
        except UsageError:  # ours: one line about all of them
            raise
        except Exception as error:
            error.add_note(f"in environment {self._first_number + i} of {self.problem.id}, counted from 0")
            raise

    def _reset_one(self, i: int, seed: int) -> Float[np.ndarray, " obs"]:
        name = self.problem.id
        with self._named(i):
            result = self.envs[i].reset(seed=seed)
        if not (isinstance(result, tuple) and len(result) == 2 and isinstance(result[1], dict)):
            raise UsageError(f"{name} is reset to {described(result)}; allowed: (observation, info)")
        observation = flatten(self._layout, result[0], f"{name}.reset")
        check_first(self.problem, observation, self._place)
        return observation

    def _step_one(self, i: int, action: Any) -> tuple[np.ndarray, float, list[float], bool, bool]:
        name = self.problem.id
        with self._named(i):
            observation, reward, terminated, truncated, info = self._five_values(self.envs[i], action)
        if not isinstance(info, dict):
            raise UsageError(f"{name} has {described(info)} as its info; allowed: a dict")
        return (
            flatten(self._layout, observation, f"{name}.step"),
            number(reward, f"{name} has {{}} as its reward; allowed: one number"),
            [cost_in(info, cost, name) for cost in self.problem.cost_names],
            flag(terminated, f"{name} has {{}} as its terminated; allowed: True or False"),
            flag(truncated, f"{name} has {{}} as its truncated; allowed: True or False"),
        )

    def _five_values(self, env: gymnasium.Env, action: Any) -> tuple[Any, Any, Any, Any, Any]:
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
            return step
        if isinstance(step, tuple) and len(step) == 6:
            return to_five(step) if isinstance(step[-1], dict) else (*step[:2], *step[3:])
        raise UsageError(
            f"{self.problem.id} gives {described(step)} a step; allowed: (observation, reward, terminated, truncated, "
            "info), or six values with the cost third"
        )


def problem_of(
    name: str, observation: Layout, actions: Actions, spec: Any, cost_names: tuple[str, ...], horizon: int | None
) -> Problem:
    """Return the problem of an environment `name` of these spaces, whose `spec` may know how long an episode is.

    Raises `UsageError` where nothing says how long it is, and for a longer `horizon` than the environment's own.
    """
    known: int | None = getattr(spec, "max_episode_steps", None)
    steps = known if horizon is None else horizon
    if steps is None:
        raise UsageError(f"{name} does not say how long an episode is; give the horizon (--horizon STEPS)")
    if horizon is not None and known is not None and horizon > known:
        raise UsageError(f"{name} truncates after {known} steps, so a horizon of {horizon} is never reached")
    return Problem(
        id=name,
        observation_size=length(observation),
        horizon=steps,
        cost_names=cost_names,
        limits=None,
        observation=to_text(observation),
        **actions.described(),
    )


def seeds_from(randoms: Sequence[np.random.Generator]) -> list[int]:
    """Draw a seed from each source of noise."""
    return [int(random.integers(2**31)) for random in randoms]


def cost_in(info: dict[str, Any], key: str, name: str) -> float:
    """Return the cost that the environment `name` reports under `key`; `UsageError` if it does not."""
    if key not in info:
        raise no_cost(info, key, name)
    return number(info[key], f"{name} has {{}} as its {key!r}; allowed: one number ≥ 0")


def no_cost(info: dict[str, Any], key: str, name: str, place: str = "info") -> UsageError:
    """Build the error for a cost that is not in the info of the environment `name`."""
    there = ", ".join(sorted(str(other) for other in info if not str(other).startswith("_"))) or "nothing"
    return UsageError(
        f"{name} has no {key!r} in its {place} (there: {there}); name the keys of its costs (--cost-names KEY …)"
    )


def check_environment(env: Any, name: str) -> None:
    """Raise `UsageError` unless `env` can be trained on: what `name` makes is an environment of Gymnasium's."""
    if isinstance(env, VectorEnv):
        raise needs_no_workers(name)
    spaces = [getattr(env, space, None) for space in ("observation_space", "action_space")]
    if not all(callable(getattr(env, method, None)) for method in ("reset", "step")) or None in spaces:
        raise UsageError(f"{name} makes {described(env)}; allowed: an environment of gymnasium's")
    old = {type(space).__module__.split(".")[0] for space in spaces} & {"gym"}
    if old or not isinstance(getattr(env, "unwrapped", None), gymnasium.Env):
        raise UsageError(
            f"{name} makes {described(env)} of {'the old package gym' if old else type(env).__module__}; allowed: an "
            "environment of gymnasium's (import gymnasium in place of gym, and derive from gymnasium.Env)"
        )
    check_actions(env.action_space, name)
    takes = inspect.signature(env.unwrapped.reset).parameters
    needed = {"seed"} if env is env.unwrapped else {"seed", "options"}  # wrappers pass both on
    if not needed <= set(takes) and not any(p.kind is inspect.Parameter.VAR_KEYWORD for p in takes.values()):
        raise UsageError(
            f"{name}.reset takes no {' and no '.join(sorted(needed - set(takes)))}; allowed: "
            "reset(self, *, seed=None, options=None), and super().reset(seed=seed) first in it"
        )


def needs_no_workers(name: str) -> UsageError:
    """Build the error for a vector environment `name` that is to be shared out among processes."""
    return UsageError(
        f"{name} makes a vector environment, which steps its environments itself; allowed with workers: what makes one "
        "environment"
    )


def number(value: Any, otherwise: str) -> float:
    """Return a number, or the only one of an array; else raise `UsageError`, with what it is for {} in `otherwise`."""
    try:
        array = np.asarray(value)
    except ValueError:  # a list of lists of unlike lengths
        array = np.asarray(None)
    if array.size != 1 or array.dtype.kind not in "biuf":
        raise UsageError(otherwise.format(described(value)))
    return float(array.reshape(()))


def flag(value: Any, otherwise: str) -> bool:
    """Return a truth value, or the only one of an array; else raise `UsageError`, as `number` does."""
    given = number(value, otherwise)
    if given not in (0.0, 1.0):
        raise UsageError(otherwise.format(described(value)))
    return bool(given)


def described(value: object) -> str:
    """Say in a few words what `value` is."""
    if isinstance(value, tuple):
        return f"{len(value)} values"
    if isinstance(value, np.ndarray):
        return f"an array of shape {value.shape}"
    if value is None or isinstance(value, str | float | int | np.generic):
        return repr(value.item() if isinstance(value, np.generic) else value)[:60]
    kind = type(value).__name__
    return f"{'an' if kind[0] in 'AEIOUaeiou' else 'a'} {kind}"
