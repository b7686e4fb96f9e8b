"""Problems small enough to know the answer: simulators to try an algorithm on."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Num

from equipoise.physics import Transition
from equipoise.problem import Problem

Values = Num[np.ndarray, " N"]
"""One number per environment; of discrete actions, whole ones."""


class Probe:
    """A `Simulator` whose episodes all last `horizon` steps; a subclass says what a step pays.

    The observation is (1, share of the episode gone by, memory); `memory` is the first action of the episode.
    """

    ends = True
    """Whether an episode terminates at its horizon, or is truncated there."""

    def __init__(self, num_envs: int, horizon: int, costs: int = 1) -> None:
        self.num_envs = num_envs
        names = tuple(f"c{k}" for k in range(costs)) if costs > 1 else ("cost",)
        self.problem = Problem(type(self).__name__, 3, 1, horizon, names, None)
        self._age, self._memory = np.zeros(num_envs, int), np.zeros(num_envs)

    def reset(self, indices: Sequence[int], randoms: Sequence[np.random.Generator]) -> Float[np.ndarray, "n 3"]:
        """Start an episode in each environment of `indices`; there is no chance in it."""
        indices = list(indices)
        self._age[indices], self._memory[indices] = 0, 0.0
        return self._observation()[indices]

    def step(self, action: Num[np.ndarray, "N 1"]) -> Transition:
        """Step every environment once."""
        self._memory = np.where(self._age == 0, action[:, 0], self._memory)
        reward, cost = self.pay(action[:, 0], self._age, self._memory)
        self._age = self._age + 1
        no = np.zeros(self.num_envs, bool)
        over = (self._age == self.problem.horizon) & self.ends
        return Transition(self._observation(), reward, cost, over, no, no)

    def close(self) -> None:
        """Release nothing."""

    def _observation(self) -> Float[np.ndarray, "N 3"]:
        return np.stack([np.ones(self.num_envs), self._age / self.problem.horizon, self._memory], axis=1)

    def pay(self, action: Values, age: np.ndarray, memory: Values) -> tuple[Values, Float[np.ndarray, "N K"]]:
        """Return the reward and the costs of a step."""
        raise NotImplementedError


class Bandit(Probe):
    """One step an episode: reward −(a − 2)², cost a² + `floor`.

    For a ~ N(μ, σ²) the return is −(μ − 2)² − σ² and the cost μ² + σ² + floor. Under a limit b < 4 + σ² + floor the
    optimum has μ = √(b − floor − σ²), and there ∂J_r/∂μ = λ ∂J_c/∂μ with λ = (2 − μ)/μ.
    """

    def __init__(self, num_envs: int = 100, floor: float = 0.0) -> None:
        super().__init__(num_envs, horizon=1)
        self.floor = floor

    def pay(self, action: Values, age: np.ndarray, memory: Values) -> tuple[Values, Float[np.ndarray, "N K"]]:
        """Return the reward and the costs of a step."""
        return -((action - 2) ** 2), (action**2 + self.floor)[:, None]


class Arms(Probe):
    """One step an episode, a discrete action of three values, and two situations, each of half of the environments.

    The values cost 0, 1 and 3. In the first situation they pay 0, 1 and 1.5, in the second 0, 3 and 3.5. Under a limit
    b from ½ to 1 the optimum takes value 1 in the second situation, and in the first with probability 2b − 1, else 0:
    it earns 1 + b, and λ = 1. Without a limit it takes value 2, earns 2.5 and costs 3.
    """

    REWARDS = np.array([[0.0, 1.0, 1.5], [0.0, 3.0, 3.5]])
    """Of each value, by situation."""
    COSTS = np.array([0.0, 1.0, 3.0])
    """Of each value."""

    def __init__(self, num_envs: int = 100) -> None:
        super().__init__(num_envs, horizon=1)
        self.problem = dataclasses.replace(self.problem, action_choices=(3,))
        self._situation = np.arange(num_envs) % 2

    def pay(self, action: Values, age: np.ndarray, memory: Values) -> tuple[Values, Float[np.ndarray, "N K"]]:
        """Return the reward and the costs of a step."""
        return self.REWARDS[self._situation, action], self.COSTS[action][:, None]

    def _observation(self) -> Float[np.ndarray, "N 3"]:
        return np.stack([np.ones(self.num_envs), self._age, self._situation], axis=1)


class TwoLimits(Probe):
    """One step an episode: reward a, costs (a − 1)² and (a + 1)²: the second limit binds long before the first."""

    def __init__(self, num_envs: int = 100) -> None:
        super().__init__(num_envs, horizon=1, costs=2)

    def pay(self, action: Values, age: np.ndarray, memory: Values) -> tuple[Values, Float[np.ndarray, "N K"]]:
        """Return the reward and the costs of a step."""
        return action, np.stack([(action - 1) ** 2, (action + 1) ** 2], axis=1)


class Walk(Probe):
    """Ten steps, each with reward 5 − (a − 2)² and cost a²: it pays to stay in an episode for as long as it lasts.

    Under a limit b < 10·(4 + σ²) on the episode the optimum has μ = √(b/10 − σ²) in every step. Where an episode is
    ended by its cost, a policy at the unconstrained optimum μ = 2 sees little more than b/(4 + σ²) steps of it.
    """

    def __init__(self, num_envs: int = 100) -> None:
        super().__init__(num_envs, horizon=10)

    def pay(self, action: Values, age: np.ndarray, memory: Values) -> tuple[Values, Float[np.ndarray, "N K"]]:
        """Return the reward and the costs of a step."""
        return 5 - (action - 2) ** 2, (action**2)[:, None]


class NowOrLater(Probe):
    """The first action decides with weight w = sigmoid(a): cost w now, and 0.05·(1 − w) in each of 99 later steps.

    The episode's cost is w + 4.95·(1 − w), lowest at w = 1. Discounted by γ_c = 0.9 it is about w + 0.45·(1 − w),
    lowest at w = 0.
    """

    def __init__(self, num_envs: int = 100) -> None:
        super().__init__(num_envs, horizon=100)

    def pay(self, action: Values, age: np.ndarray, memory: Values) -> tuple[Values, Float[np.ndarray, "N K"]]:
        """Return the reward and the costs of a step."""
        weight = 1 / (1 + np.exp(-memory))
        return np.zeros(self.num_envs), np.where(age == 0, weight, 0.05 * (1 - weight))[:, None]


class AtTheEnd(Probe):
    """Ten steps; the cost a² of the first action is paid only in the step that the horizon truncates."""

    ends = False

    def __init__(self, num_envs: int = 100) -> None:
        super().__init__(num_envs, horizon=10)

    def pay(self, action: Values, age: np.ndarray, memory: Values) -> tuple[Values, Float[np.ndarray, "N K"]]:
        """Return the reward and the costs of a step."""
        last = age == self.problem.horizon - 1
        return np.where(age == 0, -((action - 2) ** 2), 0.0), np.where(last, memory**2, 0.0)[:, None]
