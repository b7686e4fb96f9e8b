"""Gymnasium's robots as both suites use them: what is seen of them, how they start, and where they are healthy.

A task is a robot and a suite's reward and costs: `class SafetyHopper(Hopper, Task)`.

Source: Gymnasium's MuJoCo environments, version 4, with their default arguments.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from equipoise.tasks.task import Mechanism, Model, Random, Start, State, namespace

Array = Any


def uniform_start(qpos: Float[Array, " nq"], qvel: Float[Array, " nv"], random: Random, width: float) -> Start:
    """Add U(−width, width) to every position and velocity."""
    return qpos + random.uniform(-width, width, qpos.shape[-1]), qvel + random.uniform(-width, width, qvel.shape[-1])


def normal_start(qpos: Float[Array, " nq"], qvel: Float[Array, " nv"], random: Random) -> Start:
    """Add U(−0.1, 0.1) to every position and 0.1·N(0, 1) to every velocity."""
    return qpos + random.uniform(-0.1, 0.1, qpos.shape[-1]), qvel + 0.1 * random.standard_normal(qvel.shape[-1])


class Ant:
    """Four legs and a torso. Observation (27): qpos[2:], qvel. Healthy: torso between 0.2 and 1 m, state finite."""

    mechanism: Mechanism
    dt: float
    model: Model = "ant.xml"
    frame_skip = 5
    fields: tuple[str, ...] = ("xpos",)
    observation_size = 27

    def reset(self, qpos: Float[Array, " nq"], qvel: Float[Array, " nv"], random: Random) -> Start:
        """Add U(−0.1, 0.1) to every position and 0.1·N(0, 1) to every velocity."""
        return normal_start(qpos, qvel, random)

    def observation(self, state: State) -> Float[Array, "... obs"]:
        """Return qpos without the position in the plane, and qvel."""
        return namespace(state.qpos).concatenate([state.qpos[..., 2:], state.qvel], axis=-1)

    def velocity(self, before: State, after: State) -> Float[Array, "... 2"]:
        """Return the torso's mean velocity in the plane over the step, in m/s."""
        torso = self.mechanism.bodies.index("torso")
        return (after.xpos[..., torso, :2] - before.xpos[..., torso, :2]) / self.dt

    def healthy(self, state: State) -> Bool[Array, ...]:
        """Return where the torso is between 0.2 and 1 m high and the state is finite."""
        xp, height = namespace(state.qpos), state.qpos[..., 2]
        finite = xp.isfinite(state.qpos).all(-1) & xp.isfinite(state.qvel).all(-1)
        return finite & (height >= 0.2) & (height <= 1.0)


class HalfCheetah:
    """A planar runner that cannot fall over for good. Observation (17): qpos[1:], qvel. Always healthy."""

    dt: float
    model: Model = "half_cheetah.xml"
    frame_skip = 5
    observation_size = 17

    def reset(self, qpos: Float[Array, " nq"], qvel: Float[Array, " nv"], random: Random) -> Start:
        """Add U(−0.1, 0.1) to every position and 0.1·N(0, 1) to every velocity."""
        return normal_start(qpos, qvel, random)

    def observation(self, state: State) -> Float[Array, "... obs"]:
        """Return qpos without the forward position, and qvel."""
        return namespace(state.qpos).concatenate([state.qpos[..., 1:], state.qvel], axis=-1)

    def velocity(self, before: State, after: State) -> Float[Array, "... 1"]:
        """Return the root's mean forward velocity over the step, in m/s."""
        return (after.qpos[..., :1] - before.qpos[..., :1]) / self.dt


class Hopper:
    """A planar leg. Observation (11): qpos[1:], qvel clipped to ±10. Healthy: standing, and the state bounded."""

    dt: float
    model: Model = "hopper.xml"
    frame_skip = 4
    observation_size = 11

    def reset(self, qpos: Float[Array, " nq"], qvel: Float[Array, " nv"], random: Random) -> Start:
        """Add U(−0.005, 0.005) to every position and velocity."""
        return uniform_start(qpos, qvel, random, 5e-3)

    def observation(self, state: State) -> Float[Array, "... obs"]:
        """Return qpos without the forward position, and qvel clipped to ±10."""
        xp = namespace(state.qpos)
        return xp.concatenate([state.qpos[..., 1:], xp.clip(state.qvel, -10.0, 10.0)], axis=-1)

    def velocity(self, before: State, after: State) -> Float[Array, "... 1"]:
        """Return the root's mean forward velocity over the step, in m/s."""
        return (after.qpos[..., :1] - before.qpos[..., :1]) / self.dt

    def healthy(self, state: State) -> Bool[Array, ...]:
        """Return where it is higher than 0.7 m, within 0.2 rad of upright, and the rest of the state within ±100."""
        height, angle = state.qpos[..., 1], state.qpos[..., 2]
        bounded = (abs(state.qpos[..., 2:]) < 100.0).all(-1) & (abs(state.qvel) < 100.0).all(-1)
        return bounded & (height > 0.7) & (abs(angle) < 0.2)


class Humanoid:
    """A body of 13 parts. Observation (376): qpos[2:], qvel, cinert, cvel, qfrc_actuator, cfrc_ext. Healthy: up."""

    mechanism: Mechanism
    dt: float
    model: Model = "humanoid.xml"
    frame_skip = 5
    fields: tuple[str, ...] = ("xipos", "cinert", "cvel", "qfrc_actuator", "cfrc_ext")
    observation_size = 376

    def reset(self, qpos: Float[Array, " nq"], qvel: Float[Array, " nv"], random: Random) -> Start:
        """Add U(−0.01, 0.01) to every position and velocity."""
        return uniform_start(qpos, qvel, random, 0.01)

    def observation(self, state: State) -> Float[Array, "... obs"]:
        """Return qpos without the position in the plane, qvel, inertias, body velocities, actuator and body forces."""
        flat = (*state.qpos.shape[:-1], -1)
        bodies = [x.reshape(flat) for x in (state.cinert, state.cvel)]
        parts = [state.qpos[..., 2:], state.qvel, *bodies, state.qfrc_actuator, state.cfrc_ext.reshape(flat)]
        return namespace(state.qpos).concatenate(parts, axis=-1)

    @cached_property
    def _shares(self) -> Float[np.ndarray, " nbody"]:
        """The bodies' shares of the mass."""
        return self.mechanism.mass / self.mechanism.mass.sum()

    def velocity(self, before: State, after: State) -> Float[Array, "... 2"]:
        """Return the centre of mass's mean velocity in the plane over the step, in m/s."""
        moved = after.xipos - before.xipos
        return (namespace(moved).asarray(self._shares, dtype=moved.dtype) @ moved)[..., :2] / self.dt

    def healthy(self, state: State) -> Bool[Array, ...]:
        """Return where the torso is between 1 and 2 m high."""
        height = state.qpos[..., 2]
        return (height > 1.0) & (height < 2.0)


class Swimmer:
    """Three links in a viscous fluid. Observation (8): qpos[2:], qvel. Always healthy."""

    dt: float
    model: Model = "swimmer.xml"
    frame_skip = 4
    observation_size = 8

    def reset(self, qpos: Float[Array, " nq"], qvel: Float[Array, " nv"], random: Random) -> Start:
        """Add U(−0.1, 0.1) to every position and velocity."""
        return uniform_start(qpos, qvel, random, 0.1)

    def observation(self, state: State) -> Float[Array, "... obs"]:
        """Return qpos without the position in the plane, and qvel."""
        return namespace(state.qpos).concatenate([state.qpos[..., 2:], state.qvel], axis=-1)

    def velocity(self, before: State, after: State) -> Float[Array, "... 2"]:
        """Return the first link's mean velocity in the plane over the step, in m/s."""
        return (after.qpos[..., :2] - before.qpos[..., :2]) / self.dt


class Walker2d:
    """Two planar legs. Observation (17): qpos[1:], qvel clipped to ±10. Healthy: upright."""

    dt: float
    model: Model = "walker2d.xml"
    frame_skip = 4
    observation_size = 17

    def reset(self, qpos: Float[Array, " nq"], qvel: Float[Array, " nv"], random: Random) -> Start:
        """Add U(−0.005, 0.005) to every position and velocity."""
        return uniform_start(qpos, qvel, random, 5e-3)

    def observation(self, state: State) -> Float[Array, "... obs"]:
        """Return qpos without the forward position, and qvel clipped to ±10."""
        xp = namespace(state.qpos)
        return xp.concatenate([state.qpos[..., 1:], xp.clip(state.qvel, -10.0, 10.0)], axis=-1)

    def velocity(self, before: State, after: State) -> Float[Array, "... 1"]:
        """Return the root's mean forward velocity over the step, in m/s."""
        return (after.qpos[..., :1] - before.qpos[..., :1]) / self.dt

    def healthy_height(self, state: State) -> Bool[Array, ...]:
        """Return where the torso is between 0.8 and 2 m high."""
        height = state.qpos[..., 1]
        return (height > 0.8) & (height < 2.0)

    def healthy_angle(self, state: State) -> Bool[Array, ...]:
        """Return where the torso is within 1 rad of upright."""
        return abs(state.qpos[..., 2]) < 1.0

    def healthy(self, state: State) -> Bool[Array, ...]:
        """Return where both height and angle are healthy."""
        return self.healthy_height(state) & self.healthy_angle(state)
