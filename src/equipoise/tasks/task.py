"""What a task is: pure functions of arrays, told apart from how it is stepped.

A task is an instance: its parameters are attributes, and `on` binds it to the model that it is stepped on. Every
function works on any leading shape and in the array namespace of its inputs (NumPy while the native physics steps,
jax.numpy when an accelerator does), so each task is written once. What differs from environment to environment beside
the physics (a goal, a timer) is `State.memory`, which the task draws in `begin` and carries on in `remember`.
"""

from __future__ import annotations

import abc
import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar, Literal, NamedTuple, Protocol, runtime_checkable

import mujoco
import numpy as np
from jaxtyping import Bool, Float

from equipoise.errors import UsageError

Array = Any
"""A NumPy or JAX array: tasks never care which."""
Model = str | Path | mujoco.MjSpec
"""An MJCF model: a file, or what compiles to one."""


def namespace(array: Array) -> ModuleType:
    """Return the module (NumPy or jax.numpy) whose functions work on `array`."""
    # NumPy takes as long to answer as to subtract a few numbers, and is asked twenty times a step.
    return np if type(array) is np.ndarray else array.__array_namespace__()


def square(vectors: Float[Array, "... n"]) -> Float[Array, ...]:
    """Return ‖v‖² of `vectors`; for a few short ones, half the time of a sum over squares."""
    return namespace(vectors).vecdot(vectors, vectors)


def length(vectors: Float[Array, "... n"]) -> Float[Array, ...]:
    """Return ‖v‖ of `vectors`; for a few short ones, half the time of `linalg.norm`."""
    return namespace(vectors).sqrt(square(vectors))


@dataclass(frozen=True)
class State:
    """The simulated quantities a task may read, each with the same leading shape `...`.

    All except the first two and `memory` are there only for tasks that list them in `Task.fields`, and otherwise None.
    For a task that says so (`Task.current`) they belong to the state after the step. Otherwise they are what MuJoCo
    holds right after a step, as in Gymnasium's environments: derived where its integrator evaluated the dynamics last,
    which is the state before the last substep (Euler) or almost the one after it (Runge–Kutta).
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
    xquat: Float[Array, "... nbody 4"] | Any = None
    """Rotations of the bodies' frames in the world, as quaternions (w, x, y, z)."""
    xmat: Float[Array, "... nbody 9"] | Any = None
    """The same as matrices, row by row."""
    geom_xpos: Float[Array, "... ngeom 3"] | Any = None
    """Positions of the geoms in the world (m)."""
    site_xpos: Float[Array, "... nsite 3"] | Any = None
    """Positions of the sites in the world (m)."""
    actuator_force: Float[Array, "... nu"] | Any = None
    """Actuators' forces (N, N·m)."""
    sensordata: Float[Array, "... nsensordata"] | Any = None
    """Readings of all sensors of the model; `Mechanism.sensors` says which are whose. A contact is read by a contact
    sensor, which counts those between two bodies, or gives their force."""
    memory: Any = None
    """What the task itself keeps of each environment, a NamedTuple of arrays; None for tasks that keep nothing."""


DERIVED = tuple(name for name in State.__dataclass_fields__ if name not in ("qpos", "qvel", "memory"))
"""What `Task.fields` may name."""


def one(state: State, index: int) -> State:
    """Return the state of one environment of several."""
    values = {name: getattr(state, name) for name in State.__dataclass_fields__ if name != "memory"}
    memory = state.memory and type(state.memory)(*(part[index] for part in state.memory))
    return State(**{name: None if value is None else value[index] for name, value in values.items()}, memory=memory)


class Mark(NamedTuple):
    """Something to be drawn that is no part of the physics: where a goal is, say."""

    shape: Literal["sphere", "box", "cylinder"]
    size: tuple[float, float, float]
    """Of a sphere its radius, of a box its half lengths, of a cylinder radius and half height (m); the rest is 0."""
    position: tuple[float, float, float]
    """Centre in the world (m)."""
    colour: tuple[float, float, float, float]
    """Red, green, blue and opacity, each from 0 to 1."""
    yaw: float = 0.0
    """Turn about the vertical axis (rad)."""


@dataclass(frozen=True)
class Mechanism:
    """What a task needs to know of its model beside the state."""

    dt: float
    """Seconds of one step: the task's `frame_skip` × the model's time step."""
    bodies: tuple[str, ...]
    """Names of the bodies, in MuJoCo's order."""
    mass: Float[np.ndarray, " nbody"]
    """Masses of the bodies (kg)."""
    timestep: float
    """Seconds of one substep."""
    sensors: Mapping[str, slice]
    """Where each named sensor's readings are in `State.sensordata`."""
    model: mujoco.MjModel
    """The model itself, for whatever else a task looks up; it is not to be changed."""


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


Start = tuple[Float[Array, " nq"], Float[Array, " nv"]]
"""An episode's first positions and velocities."""


class Task(abc.ABC):
    """A constrained task on a MuJoCo model; a subclass is a handful of attributes and array functions.

    What is annotated as an attribute may be one of the class or, where it depends on parameters, of the instance.
    """

    id: str
    """Name in the registry, as in `SafetyHopper-v4`."""
    suite: str = "own"
    """The benchmark that the task belongs to."""
    family: str = ""
    """Of a suite that is too long for a list: all ids of tasks like this one, as a shell would write them."""
    model: Model
    """The MJCF model: a file beside that of the task's class, or elsewhere by its absolute path; a file of Gymnasium's
    wheel by its name; or a `mujoco.MjSpec`."""
    frame_skip: int
    """Physics substeps per step, under a constant control."""
    fields: tuple[str, ...] = ()
    """Fields of `State` that the task reads beside `qpos` and `qvel`; nothing else is computed."""
    current: ClassVar[bool] = False
    """Whether `fields` belong to the state after the step, at the price of one more evaluation of the dynamics, instead
    of to the last substep."""
    moves_mocap: bool = False
    """Whether mocap bodies move within an episode, along `mocap_path`."""
    horizon: int = 1000
    """Steps after which an episode is truncated."""
    observation_size: int
    """Length of the observation."""
    cost_names: tuple[str, ...] = ("cost",)
    """One name for each constraint."""
    measured: ClassVar[tuple[MeasuredLimit, ...]] = ()
    """For each constraint, two scores: its default limit was frozen from them, unless the suite has one of its own."""
    caution: ClassVar[str] = ""
    """What a user should know before choosing the task, in one line; empty where there is nothing."""

    mechanism: Mechanism
    """What whoever steps the task knows of its model; there once the task is bound to one."""
    dt: float
    """Seconds of one step."""

    def on(self, mechanism: Mechanism) -> Task:
        """Return the same task, bound to its model."""
        bound = copy.copy(self)
        bound.mechanism, bound.dt = mechanism, mechanism.dt
        return bound

    def limits(self) -> tuple[float, ...]:
        """Return the default limits on the mean episode cost (undiscounted sum of costs), one per constraint.

        None at all means that whoever trains has to give them.
        """
        return tuple(m.limit for m in self.measured)

    def reset(self, qpos: Float[Array, " nq"], qvel: Float[Array, " nv"], random: Random) -> Start:
        """Draw an episode's first positions and velocities around the model's initial `qpos` and `qvel`.

        By default they are the initial ones.
        """
        return qpos, qvel

    def begin(self, randoms: Sequence[Random]) -> tuple[Float[Array, "n nq"], Float[Array, "n nv"], Any]:
        """Draw the first states of several episodes, each from its own of `randoms`, and what is kept of each.

        By default `reset` is asked for one after the other, and nothing is kept (None).
        """
        model = self.mechanism.model
        starts = [self.reset(model.qpos0.copy(), np.zeros(model.nv), random) for random in randoms]
        qpos, qvel = (np.array(part) for part in zip(*starts, strict=True))
        return qpos, qvel, None

    def remember(
        self, before: State, action: Float[Array, "... act"], after: State, randoms: Sequence[Random]
    ) -> tuple[Array, ...]:
        """Return what is kept after a step: asked for when it is paid and charged, before it is observed.

        `after` still holds the memory of before. Only asked of a task that keeps something; by default it stays.
        """
        return after.memory

    @abc.abstractmethod
    def observation(self, state: State) -> Float[Array, "... obs"]:
        """Return what the policy sees of `state`."""

    @abc.abstractmethod
    def reward(self, before: State, action: Float[Array, "... act"], after: State) -> Float[Array, ...]:
        """Return the reward of the step from `before` to `after` under `action`."""

    def costs(self, before: State, action: Float[Array, "... act"], after: State) -> dict[str, Float[Array, ...]]:
        """Return the costs (each ≥ 0) of the step by name, on the action as given, never on a clipped one."""
        raise UsageError(f"{type(self).__name__} charges nothing; it needs costs(self, before, action, after)")

    def cost(self, before: State, action: Float[Array, "... act"], after: State) -> Float[Array, "... K"]:
        """Return the same as an array, in the order of `cost_names`."""
        costs = self.costs(before, action, after)
        for name in self.cost_names:
            if name not in costs:
                there = ", ".join(sorted(costs)) or "nothing"
                raise UsageError(f"{self.id} has no {name!r} in its costs (there: {there})")
        return namespace(after.qpos).stack([costs[name] for name in self.cost_names], axis=-1)

    def terminated(self, after: State) -> Bool[Array, ...]:
        """Return where the episode ends for good; by default nowhere."""
        return namespace(after.qpos).zeros(after.qpos.shape[:-1], dtype=bool)

    def events(self, after: State) -> dict[str, Bool[Array, ...]]:
        """Return by name what a step can bring, and where it has: `info` of our environments then says so.

        Asked for after `remember`; by default nothing. It is neither observed nor paid.
        """
        return {}

    def mocap_pose(self, memory: Any) -> tuple[Float[Array, "... nmocap 3"], Float[Array, "... nmocap 4"]]:
        """Return where the model's mocap bodies are: positions (m) and quaternions. By default where the model says."""
        model = self.mechanism.model
        bodies = np.flatnonzero(model.body_mocapid >= 0)
        return model.body_pos[bodies], model.body_quat[bodies]

    def mocap_path(self, memory: Any) -> Float[Array, "... substep nmocap 3"]:
        """Return the positions of the mocap bodies before each substep of the next step, if they move at all."""
        raise NotImplementedError

    def marks(self, state: State) -> list[Mark]:
        """Return what is to be drawn of one environment's `state` beside the model; by default nothing."""
        return []
