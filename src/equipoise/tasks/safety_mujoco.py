"""Safety-MuJoCo (Gu et al., AAAI 2024, arXiv 2405.01677): rewards and costs of the authors' environments.

The authors report cost as a negative number; here it is its negation, so cost ≥ 0 and lower is better. No task of
this suite terminates; an episode is truncated after 1000 steps.
"""

from __future__ import annotations

from typing import Any

from jaxtyping import Bool, Float

from equipoise.tasks.task import MeasuredLimit, Random, State, Task, namespace

Array = Any


class SafetyMujoco(Task):
    """What the suite's tasks share."""

    suite = "Safety-MuJoCo"

    def forward_velocity(self, before: State, after: State) -> Float[Array, ...]:
        """Return the root's mean forward velocity over the step, (x′ − x)/dt, in m/s."""
        return (after.qpos[..., 0] - before.qpos[..., 0]) / self.dt


class SafetyHalfCheetah(SafetyMujoco):
    """Run forward at 0.3 m/s while the root stays at the height it rests at.

    Observation (17): qpos[1:] (m, rad), qvel (m/s, rad/s). Reward: −|vx − 0.3| with vx in m/s. Cost: |z|, the
    root's height above its rest, in metres.

    Source: SafeRL-Lab/Safety-MuJoCo, SafetyHalfCheetah-v4.
    """

    id = "SafetyHalfCheetah-v4"
    model = "half_cheetah.xml"
    frame_skip = 5
    observation_size = 17
    target_velocity = 0.3
    measured = (MeasuredLimit(cost_only=7.98, unconstrained=110.6),)

    def reset(
        self, qpos: Float[Array, " nq"], qvel: Float[Array, " nv"], random: Random
    ) -> tuple[Float[Array, " nq"], Float[Array, " nv"]]:
        """Add U(−0.1, 0.1) to every position and 0.1·N(0, 1) to every velocity."""
        return (
            qpos + random.uniform(-0.1, 0.1, qpos.shape[-1]),
            qvel + 0.1 * random.standard_normal(qvel.shape[-1]),
        )

    def observation(self, state: State) -> Float[Array, "... obs"]:
        """Return qpos without the forward position, and qvel."""
        return namespace(state.qpos).concatenate([state.qpos[..., 1:], state.qvel], axis=-1)

    def reward(self, before: State, action: Float[Array, "... act"], after: State) -> Float[Array, ...]:
        """Return −|vx − 0.3 m/s|."""
        return -abs(self.forward_velocity(before, after) - self.target_velocity)

    def cost(self, before: State, action: Float[Array, "... act"], after: State) -> Float[Array, "... K"]:
        """Return |z| of the root, in metres."""
        return abs(after.qpos[..., 1:2])


class SafetyHopper(SafetyMujoco):
    """Hop forward as fast as possible, with little effort and upright.

    Observation (11): qpos[1:] (m, rad), qvel clipped to ±10 (m/s, rad/s). Reward: vx in m/s. Cost: 0.5·‖a‖² plus 1
    in every step that ends unhealthy: height ≤ 0.7 m, |torso angle| ≥ 0.2 rad, or an entry of the state from the
    torso angle on outside (−100, 100).

    Source: SafeRL-Lab/Safety-MuJoCo, SafetyHopper-v4; the healthy region is Gymnasium's Hopper-v4.
    """

    id = "SafetyHopper-v4"
    model = "hopper.xml"
    frame_skip = 4
    observation_size = 11
    measured = (MeasuredLimit(cost_only=6.8, unconstrained=2219.0),)

    def reset(
        self, qpos: Float[Array, " nq"], qvel: Float[Array, " nv"], random: Random
    ) -> tuple[Float[Array, " nq"], Float[Array, " nv"]]:
        """Add U(−0.005, 0.005) to every position and velocity."""
        return (
            qpos + random.uniform(-5e-3, 5e-3, qpos.shape[-1]),
            qvel + random.uniform(-5e-3, 5e-3, qvel.shape[-1]),
        )

    def observation(self, state: State) -> Float[Array, "... obs"]:
        """Return qpos without the forward position, and qvel clipped to ±10."""
        xp = namespace(state.qpos)
        return xp.concatenate([state.qpos[..., 1:], xp.clip(state.qvel, -10.0, 10.0)], axis=-1)

    def reward(self, before: State, action: Float[Array, "... act"], after: State) -> Float[Array, ...]:
        """Return vx in m/s."""
        return self.forward_velocity(before, after)

    def healthy(self, state: State) -> Bool[Array, ...]:
        """Return where the hopper stands within its healthy region."""
        height, angle = state.qpos[..., 1], state.qpos[..., 2]
        bounded = (abs(state.qpos[..., 2:]) < 100.0).all(-1) & (abs(state.qvel) < 100.0).all(-1)
        return bounded & (height > 0.7) & (abs(angle) < 0.2)

    def cost(self, before: State, action: Float[Array, "... act"], after: State) -> Float[Array, "... K"]:
        """Return 0.5·‖a‖² + [unhealthy]."""
        return (0.5 * (action**2).sum(-1) + ~self.healthy(after))[..., None]
