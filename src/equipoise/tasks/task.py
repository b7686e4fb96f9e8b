"""What a task is: pure functions of arrays, told apart from how it is stepped.

Every function works on any leading shape and in the array namespace of its inputs (NumPy while the native
physics steps, jax.numpy when an accelerator does), so each task is written once.
"""

from __future__ import annotations

import abc
from dataclasses import dataclass
from types import ModuleType
from typing import Any, ClassVar, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float

Array = Any
"""A NumPy or JAX array: tasks never care which."""


def namespace(array: Array) -> ModuleType:
    """Return the module (NumPy or jax.numpy) whose functions work on `array`."""
    return array.__array_namespace__()


def square(vectors: Float[Array, "... n"]) -> Float[Array, ...]:
    """Return ‖v‖² of `vectors`; for a few short ones, half the time of a sum over squares."""
    return namespace(vectors).vecdot(vectors, vectors)


def length(vectors: Float[Array, "... n"]) -> Float[Array, ...]:
    """Return ‖v‖ of `vectors`; for a few short ones, half the time of `linalg.norm`."""
    return namespace(vectors).sqrt(square(vectors))


@dataclass(frozen=True)
class State:
    """The simulated quantities a task may read, each with the same leading shape `...`.

    All except the first two are there only for tasks that list them in `Task.fields`, and otherwise None. They are what
    MuJoCo holds right after a step, as in Gymnasium's environments: derived where its integrator evaluated the dynamics
    last, which is the state before the last substep (Euler) or almost the one after it (Runge–Kutta).
    """

    qpos: Float[Array, "... nq"]
    """Generalised positions (m, rad), MuJoCo's `qpos`."""
    qvel: Float[Array, "... nv"]
    """Generalised velocities (m/s, rad/s), MuJoCo's `qvel`."""
    xpos: Float[Array, "... nbody 3"] | Any = None
    """Positions of the bodies' frames in the world (m)."""
    xipos: Float[Array, "... nbody 3"] | Any = None
    """Positions of the bodies' centres of mass in the world (m)."""
    cinert: Float[Array, "... nbody 10"] | Any = None
    """Bodies' inertias about the centre of mass of their kinematic tree (kg, kg·m, kg·m²)."""
    cvel: Float[Array, "... nbody 6"] | Any = None
    """Bodies' velocities about the centre of mass of their kinematic tree: rotation (rad/s), translation (m/s)."""
    qfrc_actuator: Float[Array, "... nv"] | Any = None
    """Actuators' generalised forces (N, N·m)."""
    cfrc_ext: Float[Array, "... nbody 6"] | Any = None
    """External forces on the bodies: torque (N·m), force (N). Zero after a reset, since no step has been taken."""


@dataclass(frozen=True)
class Mechanism:
    """What a task needs to know of its model beside the state."""

    dt: float
    """Seconds of one step: the task's `frame_skip` × the model's time step."""
    bodies: tuple[str, ...]
    """Names of the bodies, in MuJoCo's order."""
    mass: Float[np.ndarray, " nbody"]
    """Masses of the bodies (kg)."""


@runtime_checkable
class Random(Protocol):
    """The source of reset noise; `numpy.random.Generator` is one."""

    def uniform(self, low: float, high: float, size: int) -> Array:
        """Draw `size` numbers uniformly from [low, high)."""

    def standard_normal(self, size: int) -> Array:
        """Draw `size` numbers from the standard normal distribution."""


@dataclass(frozen=True)
class MeasuredLimit:
    """Two scores to compare a task's default limit with: measured once, then frozen.

    Each the stochastic policy's mean episode cost after one million steps, of a policy that only lowers the cost and of
    unconstrained TRPO. Where a suite has no limit of its own, limit = cost_only + 0.25 · (unconstrained − cost_only).
    """

    cost_only: float
    """Episode cost of the policy trained on the cost alone."""
    unconstrained: float
    """Episode cost of unconstrained TRPO."""

    @property
    def limit(self) -> float:
        """The frozen limit on the mean episode cost, rounded to three significant digits."""
        return float(f"{self.cost_only + 0.25 * (self.unconstrained - self.cost_only):.3g}")


class Task(abc.ABC):
    """A constrained task on a MuJoCo model; a subclass is a handful of class attributes and array functions."""

    id: ClassVar[str]
    """Name in the registry, as in `SafetyHopper-v4`."""
    suite: ClassVar[str]
    """The benchmark that the task belongs to."""
    model: ClassVar[str]
    """File name of the MJCF model in the Gymnasium wheel."""
    frame_skip: ClassVar[int]
    """Physics substeps per step, under a constant control."""
    fields: ClassVar[tuple[str, ...]] = ()
    """Fields of `State` that the task reads beside `qpos` and `qvel`; nothing else is computed."""
    horizon: ClassVar[int] = 1000
    """Steps after which an episode is truncated."""
    observation_size: ClassVar[int]
    """Length of the observation."""
    cost_names: ClassVar[tuple[str, ...]] = ("cost",)
    """One name for each constraint."""
    measured: ClassVar[tuple[MeasuredLimit, ...]]
    """For each constraint, two scores: its default limit was frozen from them, unless the suite has one of its own."""
    caution: ClassVar[str] = ""
    """What a user should know before choosing the task, in one line; empty where there is nothing."""

    def __init__(self, mechanism: Mechanism) -> None:
        self.mechanism = mechanism
        """What whoever steps the task knows of its model."""
        self.dt = mechanism.dt
        """Seconds of one step."""

    @classmethod
    def limits(cls) -> tuple[float, ...]:
        """Return the default limits on the mean episode cost (undiscounted sum of costs), one per constraint."""
        return tuple(m.limit for m in cls.measured)

    @abc.abstractmethod
    def reset(
        self, qpos: Float[Array, " nq"], qvel: Float[Array, " nv"], random: Random
    ) -> tuple[Float[Array, " nq"], Float[Array, " nv"]]:
        """Draw an episode's first positions and velocities around the model's initial `qpos` and `qvel`."""

    @abc.abstractmethod
    def observation(self, state: State) -> Float[Array, "... obs"]:
        """Return what the policy sees of `state`."""

    @abc.abstractmethod
    def reward(self, before: State, action: Float[Array, "... act"], after: State) -> Float[Array, ...]:
        """Return the reward of the step from `before` to `after` under `action`."""

    @abc.abstractmethod
    def cost(self, before: State, action: Float[Array, "... act"], after: State) -> Float[Array, "... K"]:
        """Return the costs (each ≥ 0) of the step, on the action as given, never on a clipped one."""

    def terminated(self, after: State) -> Bool[Array, ...]:
        """Return where the episode ends for good; by default nowhere."""
        return namespace(after.qpos).zeros(after.qpos.shape[:-1], dtype=bool)
