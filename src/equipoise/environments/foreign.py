"""Anyone's own environment behind the `Simulator` door: any Gymnasium environment whose `info` carries a cost."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import gymnasium
import numpy as np
from gymnasium.envs.registration import EnvSpec, load_env_creator
from jaxtyping import Float, Num

from equipoise.environments.actions import DISCRETE, layout_of_actions, own_action
from equipoise.environments.arguments import Argument, demand_taken
from equipoise.environments.observations import choices, flatten, layout_of, length, place, to_text
from equipoise.environments.safety_gymnasium import to_five
from equipoise.errors import UsageError, unknown
from equipoise.modules import import_named
from equipoise.physics.numbers import check_first, checked
from equipoise.physics.simulator import Transition
from equipoise.problem import NO_BOUND, Problem, check_cost_names, middle_and_unit

EnvFactory = Callable[[], gymnasium.Env]
"""Whatever makes one environment: a Gymnasium id wrapped up, or a user's own function or class."""


class ForeignEnvironments:
    """A `Simulator` that loops over `num_envs` environments made by `make`; slower than native physics, and as correct.

    Each step's costs are read from `info` under `cost_names`; a missing one is an error. Where a step gives
    Safety-Gymnasium's six values, its third is `info["cost"]`. Continuous actions are clipped to the environment's own
    action space, as most environments demand; discrete ones are given as it counts them. `horizon` is needed where the
    environment's spec names none.
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
        check_environment(first, name)
        if len({id(env) for env in self.envs}) < num_envs or len({id(env.unwrapped) for env in self.envs}) < num_envs:
            raise UsageError(f"{name} is the same environment every time it is made; allowed: a new one each time")
        self._layout = layout_of(first.observation_space, name)
        self._space: Any = first.action_space
        self._choices = layout_of_actions(self._space, name)
        known: int | None = getattr(first.spec, "max_episode_steps", None)
        steps = known if horizon is None else horizon
        if steps is None:
            raise UsageError(f"{name} does not say how long an episode is; give the horizon (--horizon STEPS)")
        if horizon is not None and known is not None and horizon > known:
            raise UsageError(f"{name} truncates after {known} steps, so a horizon of {horizon} is never reached")
        self.num_envs = num_envs
        self.problem = Problem(
            id=name,
            observation_size=length(self._layout),
            horizon=steps,
            cost_names=cost_names,
            limits=None,
            observation=to_text(self._layout),
            **self._about_actions(),
        )

    def reset(self, indices: Sequence[int], randoms: Sequence[np.random.Generator]) -> Float[np.ndarray, "n obs"]:
        """Reset each environment of `indices` with a seed drawn from its own source of noise."""
        return np.stack([self._reset_one(self.envs[i], random) for i, random in zip(indices, randoms, strict=True)])

    def step(self, action: Num[np.ndarray, "N act"]) -> Transition:
        """Step every environment once, in turn."""
        rows = [self._step_one(env, a) for env, a in zip(self.envs, self._own(action), strict=True)]
        observation, reward, cost, terminated, truncated = (np.array(c) for c in zip(*rows, strict=True))
        nowhere = np.zeros(len(rows), bool)
        step = Transition(observation, reward, cost, terminated, truncated, diverged=nowhere)
        return checked(self.problem, step, self._place)

    def close(self) -> None:
        """Close every environment."""
        for env in self.envs:
            env.close()

    def _about_actions(self) -> dict[str, Any]:
        """Return the fields of the problem that describe its actions."""
        if self._choices is not None:
            sizes = tuple(choices(self._choices)[0])
            return {"action_size": len(sizes), "action_choices": sizes, "action": to_text(self._choices)}
        low, high = self._space.low, self._space.high
        middle, unit = middle_and_unit(low, high)
        return {
            "action_size": len(low),
            "action_middle": middle,
            "action_unit": unit,
            "action_low": tuple(np.maximum(low.astype(float), -NO_BOUND).tolist()),
            "action_high": tuple(np.minimum(high.astype(float), NO_BOUND).tolist()),
        }

    def _own(self, action: Num[np.ndarray, "N act"]) -> Any:
        """Return a policy's actions as the environments take them."""
        if self._choices is not None:
            return own_action(self._choices, action)
        return np.clip(action, self._space.low, self._space.high).astype(self._space.dtype)

    def _place(self, index: int) -> str:
        """Name an entry of the flattened observation."""
        return place(self._layout, index) or str(index)

    def _reset_one(self, env: gymnasium.Env, random: np.random.Generator) -> Float[np.ndarray, " obs"]:
        name = self.problem.id
        result = env.reset(seed=int(random.integers(2**31)))
        if not (isinstance(result, tuple) and len(result) == 2 and isinstance(result[1], dict)):
            raise UsageError(f"{name} is reset to {described(result)}; allowed: (observation, info)")
        observation = flatten(self._layout, result[0], f"{name}.reset")
        check_first(self.problem, observation, self._place)
        return observation

    def _step_one(self, env: gymnasium.Env, action: Any) -> tuple[np.ndarray, float, list[float], bool, bool]:
        name = self.problem.id
        observation, reward, terminated, truncated, info = self._five_values(env, action)
        if not isinstance(info, dict):
            raise UsageError(f"{name} has {described(info)} as its info; allowed: a dict")
        return (
            flatten(self._layout, observation, f"{name}.step"),
            number(reward, f"{name} has {{}} as its reward; allowed: one number"),
            [self._cost(info, cost) for cost in self.problem.cost_names],
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

    def _cost(self, info: dict[str, Any], name: str) -> float:
        if name not in info:
            there = ", ".join(sorted(map(str, info))) or "nothing"
            raise UsageError(
                f"{self.problem.id} has no {name!r} in its info (there: {there}); "
                "name the keys of its costs (--cost-names KEY …)"
            )
        return number(info[name], f"{self.problem.id} has {{}} as its {name!r}; allowed: one number ≥ 0")


def check_environment(env: Any, name: str) -> None:
    """Raise `UsageError` unless `env` can be trained on: what `name` makes is an environment of Gymnasium's."""
    spaces = [getattr(env, space, None) for space in ("observation_space", "action_space")]
    if not all(callable(getattr(env, method, None)) for method in ("reset", "step")) or None in spaces:
        raise UsageError(f"{name} makes {described(env)}; allowed: an environment of gymnasium's")
    old = {type(space).__module__.split(".")[0] for space in spaces} & {"gym"}
    if old or not isinstance(getattr(env, "unwrapped", None), gymnasium.Env):
        raise UsageError(
            f"{name} makes {described(env)} of {'the old package gym' if old else type(env).__module__}; allowed: an "
            "environment of gymnasium's (import gymnasium in place of gym, and derive from gymnasium.Env)"
        )
    action_space = env.action_space
    vector = isinstance(action_space, gymnasium.spaces.Box) and len(action_space.shape) == 1
    if not vector and not isinstance(action_space, DISCRETE):
        raise UsageError(
            f"{name} has the action space {action_space}; allowed: a one-dimensional Box, Discrete, MultiDiscrete or "
            "MultiBinary"
        )
    takes = inspect.signature(env.unwrapped.reset).parameters
    needed = {"seed"} if env is env.unwrapped else {"seed", "options"}  # wrappers pass both on
    if not needed <= set(takes) and not any(p.kind is inspect.Parameter.VAR_KEYWORD for p in takes.values()):
        raise UsageError(
            f"{name}.reset takes no {' and no '.join(sorted(needed - set(takes)))}; allowed: "
            "reset(self, *, seed=None, options=None), and super().reset(seed=seed) first in it"
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


def _home(spec: EnvSpec) -> str:
    """Return the package that an environment comes from."""
    entry = spec.entry_point
    return (entry if isinstance(entry, str) else getattr(entry, "__module__", "")).split(":")[0].split(".")[0]


def gymnasium_factory(
    env_id: str, render_mode: str | None = None, arguments: Mapping[str, Argument] | None = None
) -> EnvFactory:
    """Return a factory for the Gymnasium environment `env_id` (`module:Id` imports the module first).

    With a `render_mode` its environments draw themselves; `UsageError` where they cannot. They are made with
    `arguments` beside those that the id was registered with; `UsageError` for one that they do not take.
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

    given = arguments or {}
    made: EnvSpec | str = _with_arguments(env_id, spec, given) if given else name

    def make() -> gymnasium.Env:
        try:
            env = gymnasium.make(made)
        except (gymnasium.error.Error, ImportError) as error:  # something it needs is not installed, say
            raise _not_made(env_id, error) from error
        except TypeError as error:
            if not any(f"'{argument}'" in str(error) for argument in given):
                raise
            raise _not_made(env_id, error) from error
        if render_mode is None:
            return env
        modes = env.metadata.get("render_modes", [])
        env.close()
        if render_mode not in modes:
            there = ", ".join(modes) or "none"
            raise UsageError(f"{env_id} cannot be seen: its render_modes are {there}; needed: {render_mode}")
        return gymnasium.make(made, render_mode=render_mode)

    return make


def _with_arguments(env_id: str, spec: EnvSpec, arguments: Mapping[str, Argument]) -> EnvSpec:
    """Return `spec` with further arguments of the environment's own."""
    entry: Any = spec.entry_point
    try:
        demand_taken(env_id, load_env_creator(entry) if isinstance(entry, str) else entry, arguments)
    except (gymnasium.error.Error, ImportError) as error:
        raise _not_made(env_id, error) from error
    # In the specification, since `gymnasium.make` has parameters of its own, which an argument could be called like.
    changed = copy.deepcopy(spec)
    changed.kwargs.update(arguments)
    return changed


def _not_made(env_id: str, error: Exception) -> UsageError:
    return UsageError(f"{env_id} cannot be made: {str(error).splitlines()[0]}")
