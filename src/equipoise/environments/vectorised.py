"""A vector environment of anyone's own behind the `Simulator` door, in each of Gymnasium's modes of resetting."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv, VectorEnv
from jaxtyping import Bool, Float, Num

from equipoise.environments.actions import Actions
from equipoise.environments.foreign import described, no_cost, number, problem_of, seeds_from
from equipoise.environments.observations import flatten, layout_of, place
from equipoise.errors import UsageError
from equipoise.physics.numbers import check_first, checked
from equipoise.physics.simulator import Transition
from equipoise.problem import check_cost_names


class VectorisedEnvironments:
    """A `Simulator` around a vector environment, whose `metadata["autoreset_mode"]` says how its episodes begin anew.

    - `DISABLED`: an environment is reset when it is asked to be, by `options={"reset_mask": …}`.
    - `SAME_STEP`: an episode's last step also resets. Its last observation is in `infos["final_obs"]`, and its costs in
      `infos["final_info"]`: those beside are the reset's.
    - `NEXT_STEP`: the step after an episode's last one only resets, and counts in nothing.

    In the last two, an environment whose episode is cut before the environment itself ends it idles until it does.
    Whenever the episodes of all of them are over, all are reset. Costs are looked for in `infos` under `cost_names`,
    except for "cost" where a step gives six values; a missing one is an error. The environments' noise is seeded, with
    one number, whenever all are reset.
    """

    def __init__(
        self,
        env: VectorEnv,
        num_envs: int,
        name: str,
        cost_names: tuple[str, ...] = ("cost",),
        horizon: int | None = None,
    ) -> None:
        check_cost_names(cost_names)
        self.env = env
        """The user's vector environment."""
        self.num_envs = num_envs
        self._mode = mode_of(env, name)
        self._actions = Actions(env.single_action_space, name)
        self._layout = layout_of(env.single_observation_space, name)
        self.problem = problem_of(name, self._layout, self._actions, _spec_of(env), cost_names, horizon)
        self._observation = np.zeros((num_envs, self.problem.observation_size))
        self._over, self._waiting = np.zeros(num_envs, bool), np.zeros(num_envs, bool)

    def reset(self, indices: Sequence[int], randoms: Sequence[np.random.Generator]) -> Float[np.ndarray, "n obs"]:
        """Start an episode in each environment of `indices`, at once or as soon as the vector environment does."""
        rows, seeds = list(indices), seeds_from(randoms)
        if len(rows) == self.num_envs:
            self._over[:] = self._waiting[:] = False
            self._observation = self._reset(np.ones(self.num_envs, bool), seed=seeds[0])
        elif self._mode is AutoresetMode.DISABLED:
            asked = np.zeros(self.num_envs, bool)
            asked[rows] = True
            self._observation = self._reset(asked, options={"reset_mask": asked.copy()})
        else:
            reset_already = self._over[rows] & (self._mode is AutoresetMode.SAME_STEP)
            self._waiting[rows] = ~reset_already
            self._observation[self._waiting] = 0.0  # what follows the end of an episode could be anything
        return self._observation[rows]

    def step(self, action: Num[np.ndarray, "N act"]) -> Transition:
        """Step every environment; those that wait for their reset, or are only reset, are idle."""
        resetting = self._over & (self._mode is AutoresetMode.NEXT_STEP)
        idle = self._waiting | resetting
        observations, rewards, third, terminated, truncated, infos = self._six_values(
            self.env.step(self._actions.of(action))
        )
        terminated, truncated = self._flags(terminated, "terminations"), self._flags(truncated, "truncations")
        self._over = (terminated | truncated) & ~resetting
        self._waiting &= ~(resetting if self._mode is AutoresetMode.NEXT_STEP else self._over)
        ended = self._over & ~idle
        self._observation = self._flattened(observations, "step")
        seen = self._observation.copy()
        if self._mode is AutoresetMode.SAME_STEP:
            seen[ended] = self._last(infos, np.flatnonzero(ended))
            for begun in self._observation[ended]:
                check_first(self.problem, begun, self._place)
        for begun in seen[idle & ~self._waiting]:
            check_first(self.problem, begun, self._place)
        self._observation[self._waiting] = seen[self._waiting] = 0.0
        step = Transition(
            observation=seen,
            reward=np.where(idle, 0.0, self._numbers(rewards, "its rewards")),
            cost=np.stack([self._cost(key, third, infos, ended, ~idle) for key in self.problem.cost_names], axis=1),
            terminated=terminated & ~idle,
            truncated=truncated & ~idle,
            diverged=np.zeros(self.num_envs, bool),
            idle=idle if idle.any() else None,
        )
        return checked(self.problem, step, self._place)

    def close(self) -> None:
        """Close the vector environment."""
        self.env.close()

    @property
    def render_mode(self) -> str | None:
        """How the environments draw themselves."""
        return self.env.render_mode

    @property
    def render_fps(self) -> int | float | None:
        """Pictures a second, where the environment says so."""
        return self.env.metadata.get("render_fps")

    def render(self) -> Any:
        """Return the first environment's picture."""
        pictures: Any = self.env.render()
        return pictures[0] if pictures is not None and len(pictures) else pictures

    def _place(self, index: int) -> str:
        """Name an entry of the flattened observation."""
        return place(self._layout, index) or str(index)

    def _reset(self, asked: Bool[np.ndarray, " N"], **options: Any) -> Float[np.ndarray, "N obs"]:
        """Reset, and return what is observed then; `UsageError` if others than those `asked` observe anything new."""
        name, result = self.problem.id, self.env.reset(**options)
        if not (isinstance(result, tuple) and len(result) == 2 and isinstance(result[1], dict)):
            raise UsageError(f"{name} is reset to {described(result)}; allowed: (observations, infos)")
        observation = self._flattened(result[0], "reset")
        for begun in observation[asked]:
            check_first(self.problem, begun, self._place)
        if not np.array_equal(observation[~asked], self._observation[~asked], equal_nan=True):
            raise UsageError(
                f"{name} is asked to reset some of its environments (options['reset_mask']), and others change, too; "
                "allowed in the mode DISABLED: to reset those of the mask alone"
            )
        return observation

    def _flattened(self, observations: Any, when: str) -> Float[np.ndarray, "N obs"]:
        return flatten(self._layout, observations, f"{self.problem.id}.{when}", envs=(self.num_envs,))

    def _six_values(self, step: Any) -> tuple[Any, ...]:
        """Return what a step gives, with None for the costs where they are in the infos alone."""
        if not isinstance(step, tuple) or len(step) not in (5, 6) or not isinstance(step[-1], dict):
            raise UsageError(
                f"{self.problem.id} gives {described(step)} a step; allowed: (observations, rewards, terminations, "
                "truncations, infos), or six values with the costs third"
            )
        return step if len(step) == 6 else (*step[:2], None, *step[2:])

    def _last(self, infos: dict[str, Any], ended: np.ndarray) -> Float[np.ndarray, "n obs"]:
        """Return the last observations of the episodes that ended, in whose place `step` has those of the next ones."""
        last = infos.get("final_obs", infos.get("final_observation"))  # the second is Safety-Gymnasium's
        rows = np.zeros((len(ended), self.problem.observation_size))
        for row, env in enumerate(ended):
            if last is None or last[env] is None:
                raise UsageError(
                    f"{self.problem.id} ends an episode and resets in the same step (mode SAME_STEP), and infos has no "
                    "'final_obs' of it; allowed: the last observation of every episode"
                )
            rows[row] = flatten(self._layout, last[env], f"{self.problem.id}.step")
        return rows

    def _cost(
        self,
        key: str,
        third: Any,
        infos: dict[str, Any],
        ended: Bool[np.ndarray, " N"],
        counted: Bool[np.ndarray, " N"],
    ) -> Float[np.ndarray, " N"]:
        """Return one cost of every environment, 0 where it does not count."""
        if third is not None and key == "cost":
            return np.where(counted, self._numbers(third, "its costs"), 0.0)
        cost, reported = self._reported(key, infos)
        place = "info"
        if self._mode is AutoresetMode.SAME_STEP and ended.any():
            infos = infos.get("final_info", {})
            last, reported_last = self._reported(key, infos if isinstance(infos, dict) else {})
            if not (reported_last | ~ended).all():
                place = "final_info"
            cost, reported = np.where(ended, last, cost), np.where(ended, reported_last, reported)
        if (counted & ~reported).any():
            raise no_cost(infos if isinstance(infos, dict) else {}, key, self.problem.id, place)
        return np.where(counted, cost, 0.0)

    def _reported(self, key: str, infos: dict[str, Any]) -> tuple[Float[np.ndarray, " N"], Bool[np.ndarray, " N"]]:
        """Return the numbers under `key`, and which environments report one."""
        if key not in infos:
            return np.zeros(self.num_envs), np.zeros(self.num_envs, bool)
        reported = np.asarray(infos.get(f"_{key}", np.ones(self.num_envs, bool)), bool)
        values = infos[key]
        if isinstance(values, np.ndarray) and values.dtype == object:  # of numbers of several kinds, and of None
            single = f"{self.problem.id} has {{}} as its {key!r}; allowed: one number ≥ 0"
            values = [number(value, single) if there else 0.0 for value, there in zip(values, reported, strict=True)]
        numbers = self._numbers(values, f"its {key!r}")
        if np.asarray(values).dtype.kind in "biu" and isinstance(self.env.unwrapped, SyncVectorEnv | AsyncVectorEnv):
            raise UsageError(
                f"{self.problem.id} reports {key!r} as {np.asarray(values).dtype}, a whole number, and Gymnasium's "
                f"{type(self.env.unwrapped).__name__} then cuts the fractions off what other environments report; "
                f"give float({key})"
            )
        return numbers, reported

    def _numbers(self, values: Any, what: str) -> Float[np.ndarray, " N"]:
        """Return one number for each environment."""
        try:
            array = np.asarray(values)
        except (TypeError, ValueError, RuntimeError):  # it is on another device, say
            array = np.asarray(None)
        if array.size != self.num_envs or array.dtype.kind not in "biuf":
            raise UsageError(
                f"{self.problem.id} has {described(values)} as {what}; allowed: an array of {self.num_envs} numbers, "
                "one for each environment"
            )
        return array.reshape(self.num_envs).astype(float)

    def _flags(self, values: Any, what: str) -> Bool[np.ndarray, " N"]:
        """Return one truth value for each environment."""
        flags = self._numbers(values, f"its {what}")
        if not np.isin(flags, (0.0, 1.0)).all():
            raise UsageError(f"{self.problem.id} has numbers as its {what}; allowed: True or False")
        return flags.astype(bool)


def mode_of(env: VectorEnv, name: str) -> AutoresetMode:
    """Return how a vector environment resets; `UsageError` where it does not say, or does not do what it says."""
    said = env.metadata.get("autoreset_mode")
    try:
        mode = AutoresetMode(said)
    except ValueError:
        allowed = ", ".join(f"AutoresetMode.{mode.name}" for mode in AutoresetMode)
        raise UsageError(
            f"{name} has {described(said)} as its metadata['autoreset_mode'], which says how its episodes begin anew; "
            f"allowed: {allowed}"
        ) from None
    unwrapped = env.unwrapped
    if isinstance(unwrapped, AsyncVectorEnv) and not unwrapped.shared_memory and mode is AutoresetMode.NEXT_STEP:
        raise UsageError(
            f"{name} makes an AsyncVectorEnv without shared memory, which in the mode NEXT_STEP resets twice; allowed: "
            "shared_memory=True, or another autoreset_mode"
        )
    return mode


def _spec_of(env: VectorEnv) -> Any:
    """Return what is known of the environments: that of their id, or of the first of them."""
    unwrapped = env.unwrapped
    if unwrapped.spec is None and isinstance(unwrapped, SyncVectorEnv):
        return unwrapped.envs[0].spec
    if unwrapped.spec is None and isinstance(unwrapped, AsyncVectorEnv):
        return unwrapped.get_attr("spec")[0]
    return unwrapped.spec
