"""Safety-MuJoCo (Gu et al., AAAI 2024, arXiv 2405.01677): rewards and costs of the authors' environments.

The authors report cost as a negative number; here it is its negation, so cost ≥ 0 and lower is better. No task of
this suite terminates; an episode is truncated after 1000 steps. An action `a` is charged as given, before MuJoCo
clamps it to the actuators' range. Where the authors add up two costs, an id ending in `Split` has them apart, as two
constraints.

Source: SafeRL-Lab/Safety-MuJoCo; observations, starts and healthy regions are Gymnasium's.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Float, Int

from equipoise.tasks.robots import Ant, HalfCheetah, Hopper, Humanoid, Walker2d
from equipoise.tasks.task import MeasuredLimit, Model, Random, Start, State, Task, length, namespace, square

Array = Any
SUITE = "Safety-MuJoCo"


def effort(action: Float[Array, "... act"]) -> Float[Array, "... 1"]:
    """Return ‖a‖², as one cost."""
    return square(action)[..., None]


def side_by_side(*costs: Float[Array, "... 1"]) -> Float[Array, "... K"]:
    """Return single costs as one array."""
    return namespace(costs[0]).concatenate(costs, axis=-1)


class SafetyAnt(Ant, Task):
    """Run forward as fast as possible with little effort.

    Observation (27): qpos[2:] (m, quaternion, rad), qvel (m/s, rad/s). Reward: vx of the torso in m/s.
    Cost: 0.5·‖a‖². Source: SafetyAnt-v4.
    """

    id = "SafetyAnt-v4"
    suite = SUITE
    measured = (MeasuredLimit(cost_only=9.65, unconstrained=1817.0),)

    def reward(self, before: State, action: Float[Array, "... act"], after: State) -> Float[Array, ...]:
        """Return vx in m/s."""
        return self.velocity(before, after)[..., 0]

    def cost(self, before: State, action: Float[Array, "... act"], after: State) -> Float[Array, "... K"]:
        """Return 0.5·‖a‖²."""
        return 0.5 * effort(action)


class SafetyHalfCheetah(HalfCheetah, Task):
    """Run forward at 0.3 m/s while the root stays at the height it rests at.

    Observation (17): qpos[1:] (m, rad), qvel (m/s, rad/s). Reward: −|vx − 0.3| with vx in m/s. Cost: |z|, the
    root's height above its rest, in metres. Source: SafetyHalfCheetah-v4.
    """

    id = "SafetyHalfCheetah-v4"
    suite = SUITE
    target_velocity = 0.3
    measured = (MeasuredLimit(cost_only=7.98, unconstrained=110.6),)

    def reward(self, before: State, action: Float[Array, "... act"], after: State) -> Float[Array, ...]:
        """Return −|vx − 0.3 m/s|."""
        return -abs(self.velocity(before, after)[..., 0] - self.target_velocity)

    def cost(self, before: State, action: Float[Array, "... act"], after: State) -> Float[Array, "... K"]:
        """Return |z| of the root, in metres."""
        return abs(after.qpos[..., 1:2])


class SafetyHopper(Hopper, Task):
    """Hop forward as fast as possible, with little effort and upright.

    Observation (11): qpos[1:] (m, rad), qvel clipped to ±10 (m/s, rad/s). Reward: vx in m/s. Cost: 0.5·‖a‖² plus 1
    in every step that ends unhealthy: height ≤ 0.7 m, |torso angle| ≥ 0.2 rad, or an entry of the state from the
    torso angle on outside (−100, 100). Source: SafetyHopper-v4.
    """

    id = "SafetyHopper-v4"
    suite = SUITE
    measured: ClassVar[tuple[MeasuredLimit, ...]] = (MeasuredLimit(cost_only=6.8, unconstrained=2219.0),)

    def reward(self, before: State, action: Float[Array, "... act"], after: State) -> Float[Array, ...]:
        """Return vx in m/s."""
        return self.velocity(before, after)[..., 0]

    def cost(self, before: State, action: Float[Array, "... act"], after: State) -> Float[Array, "... K"]:
        """Return 0.5·‖a‖² + [unhealthy]."""
        return 0.5 * effort(action) + ~self.healthy(after)[..., None]


class SafetyHopperSplit(SafetyHopper):
    """SafetyHopper-v4 with its two costs apart: effort and unhealthiness, each with a limit of its own.

    Observation (11) and reward are SafetyHopper-v4's. Costs: `control`, 0.5·‖a‖²; `unhealthy`, 1 in every step that
    ends unhealthy. Source: SafetyHopper-v4, whose cost is their sum.
    """

    id = "SafetyHopperSplit-v4"
    cost_names = ("control", "unhealthy")
    measured = (
        MeasuredLimit(cost_only=3.04, unconstrained=1634.0),
        MeasuredLimit(cost_only=0.0, unconstrained=970.1),
    )

    def cost(self, before: State, action: Float[Array, "... act"], after: State) -> Float[Array, "... K"]:
        """Return 0.5·‖a‖² and [unhealthy]."""
        return side_by_side(0.5 * effort(action), 1.0 * ~self.healthy(after)[..., None])


class SafetyHumanoid(Humanoid, Task):
    """Walk forward as fast as possible, with little effort and upright.

    Observation (376): qpos[2:], qvel, bodies' inertias `cinert` and velocities `cvel`, actuators' forces
    `qfrc_actuator`, external body forces `cfrc_ext`. Reward: 1.25·vx of the centre of mass, in m/s. Cost: 0.1·‖a‖²
    plus 1 in every step that ends with the torso not between 1 and 2 m high. Source: SafetyHumanoid-v4.
    """

    id = "SafetyHumanoid-v4"
    suite = SUITE
    measured: ClassVar[tuple[MeasuredLimit, ...]] = (MeasuredLimit(cost_only=985.9, unconstrained=1087.0),)

    def reward(self, before: State, action: Float[Array, "... act"], after: State) -> Float[Array, ...]:
        """Return 1.25·vx, vx in m/s."""
        return 1.25 * self.velocity(before, after)[..., 0]

    def cost(self, before: State, action: Float[Array, "... act"], after: State) -> Float[Array, "... K"]:
        """Return 0.1·‖a‖² + [unhealthy]."""
        return 0.1 * effort(action) + ~self.healthy(after)[..., None]


class SafetyHumanoidSplit(SafetyHumanoid):
    """SafetyHumanoid-v4 with its two costs apart: effort and unhealthiness, each with a limit of its own.

    Observation (376) and reward are SafetyHumanoid-v4's. Costs: `control`, 0.1·‖a‖²; `unhealthy`, 1 in every step
    that ends with the torso not between 1 and 2 m high. Source: SafetyHumanoid-v4, whose cost is their sum.
    """

    id = "SafetyHumanoidSplit-v4"
    cost_names = ("control", "unhealthy")
    measured = (
        MeasuredLimit(cost_only=83.4, unconstrained=117.0),
        MeasuredLimit(cost_only=902.5, unconstrained=970.5),
    )

    def cost(self, before: State, action: Float[Array, "... act"], after: State) -> Float[Array, "... K"]:
        """Return 0.1·‖a‖² and [unhealthy]."""
        return side_by_side(0.1 * effort(action), 1.0 * ~self.healthy(after)[..., None])


class SafetyHumanoidStandup(Humanoid, Task):
    """Stand up from lying on the back, with little effort and without hard impacts.

    Observation (376): as SafetyHumanoid-v4. Reward: height of the torso over the model's time step, in m/s. Cost:
    0.1·‖a‖² plus min(0.5e-6·‖cfrc_ext‖², 10), the impact. Source: SafetyHumanoidStandup-v4.
    """

    id = "SafetyHumanoidStandup-v4"
    suite = SUITE
    model: Model = "humanoidstandup.xml"
    fields: tuple[str, ...] = ("cinert", "cvel", "qfrc_actuator", "cfrc_ext")
    measured: ClassVar[tuple[MeasuredLimit, ...]] = (MeasuredLimit(cost_only=45.7, unconstrained=280.0),)

    def reward(self, before: State, action: Float[Array, "... act"], after: State) -> Float[Array, ...]:
        """Return z over the model's time step."""
        return after.qpos[..., 2] * (self.frame_skip / self.dt)

    def impact(self, after: State) -> Float[Array, "... 1"]:
        """Return min(0.5e-6·‖cfrc_ext‖², 10)."""
        return namespace(after.qpos).minimum(0.5e-6 * (after.cfrc_ext**2).sum((-2, -1)), 10.0)[..., None]

    def cost(self, before: State, action: Float[Array, "... act"], after: State) -> Float[Array, "... K"]:
        """Return 0.1·‖a‖² + impact."""
        return 0.1 * effort(action) + self.impact(after)


class SafetyHumanoidStandupSplit(SafetyHumanoidStandup):
    """SafetyHumanoidStandup-v4 with its two costs apart: effort and impact, each with a limit of its own.

    Observation (376) and reward are SafetyHumanoidStandup-v4's. Costs: `control`, 0.1·‖a‖²; `impact`,
    min(0.5e-6·‖cfrc_ext‖², 10). Source: SafetyHumanoidStandup-v4, whose cost is their sum.
    """

    id = "SafetyHumanoidStandupSplit-v4"
    cost_names = ("control", "impact")
    measured = (
        MeasuredLimit(cost_only=15.96, unconstrained=118.4),
        MeasuredLimit(cost_only=29.76, unconstrained=161.6),
    )

    def cost(self, before: State, action: Float[Array, "... act"], after: State) -> Float[Array, "... K"]:
        """Return 0.1·‖a‖² and the impact."""
        return side_by_side(0.1 * effort(action), self.impact(after))


class SafetyPusher(Task):
    """Push a cylinder to a goal with little effort, as the authors have it.

    On current MuJoCo the cylinder of Gymnasium's version-4 model weighs 1e-8 kg, so that it flies off at a touch: for
    comparison with the authors only, otherwise use SafetyPusher-v5.

    Observation (23): the arm's qpos and qvel (7 each), positions of the arm's tip, the object and the goal (m).
    Reward: −‖object − goal‖ − 0.5·‖object − tip‖, in metres, both before the step. Cost: 0.1·‖a‖².
    Source: SafetyPusher-v4.
    """

    id = "SafetyPusher-v4"
    suite = SUITE
    model = "pusher.xml"
    frame_skip = 5
    fields = ("xpos",)
    observation_size = 23
    measured = (MeasuredLimit(cost_only=8.16, unconstrained=1533.0),)
    caution = "its object weighs 1e-8 kg on current MuJoCo; SafetyPusher-v5 has the repaired model"

    def reset(self, qpos: Float[Array, " nq"], qvel: Float[Array, " nv"], random: Random) -> Start:
        """Put the goal at 0, and the cylinder at (U(−0.3, 0), U(±0.2)) more than 0.17 m away from it; arm velocities
        gain U(−0.005, 0.005), the rest is at rest.
        """
        xp = namespace(qpos)

        def draw() -> Float[Array, " 2"]:
            return xp.concatenate([random.uniform(-0.3, 0.0, 1), random.uniform(-0.2, 0.2, 1)])

        cylinder = draw()
        while cylinder @ cylinder <= 0.17**2:
            cylinder = draw()
        moving = qvel + random.uniform(-5e-3, 5e-3, qvel.shape[-1])
        return (
            xp.concatenate([qpos[:-4], cylinder, xp.zeros_like(qpos[-2:])]),
            xp.concatenate([moving[:-4], xp.zeros_like(qvel[-4:])]),
        )

    @cached_property
    def _seen(self) -> Int[np.ndarray, " 3"]:
        """Numbers of the bodies whose positions count: tip, object and goal."""
        return np.array([self.mechanism.bodies.index(name) for name in ("tips_arm", "object", "goal")])

    def observation(self, state: State) -> Float[Array, "... obs"]:
        """Return the arm's qpos and qvel, and the positions of tip, object and goal."""
        positions = state.xpos[..., self._seen, :].reshape(*state.qpos.shape[:-1], 9)
        return namespace(positions).concatenate([state.qpos[..., :7], state.qvel[..., :7], positions], axis=-1)

    def reward(self, before: State, action: Float[Array, "... act"], after: State) -> Float[Array, ...]:
        """Return −‖object − goal‖ − 0.5·‖object − tip‖, in metres, before the step."""
        positions = before.xpos[..., self._seen, :]
        from_tip_and_goal = length(positions[..., 1:2, :] - positions[..., ::2, :])
        return -from_tip_and_goal[..., 1] - 0.5 * from_tip_and_goal[..., 0]

    def cost(self, before: State, action: Float[Array, "... act"], after: State) -> Float[Array, "... K"]:
        """Return 0.1·‖a‖²."""
        return 0.1 * effort(action)


class SafetyPusherV5(SafetyPusher):
    """Push a cylinder to a goal with little effort, on Gymnasium's version-5 model, whose cylinder has a real mass.

    Observation (23), reward, cost and start are SafetyPusher-v4's. Source: SafetyPusher-v4; Gymnasium's Pusher-v5.
    """

    id = "SafetyPusher-v5"
    model = "pusher_v5.xml"
    measured = (MeasuredLimit(cost_only=7.92, unconstrained=1471.0),)
    caution = ""


class SafetyReacher(Task):
    """Reach a target with the fingertip of a two-link arm, with little effort.

    Observation (11): cos θ and sin θ of both joints, the target's position (m), the joints' velocities (rad/s),
    fingertip − target (m, in space). Reward: −‖fingertip − target‖ in metres, before the step. Cost: ‖a‖².
    Source: SafetyReacher-v4.
    """

    id = "SafetyReacher-v4"
    suite = SUITE
    model = "reacher.xml"
    frame_skip = 2
    fields = ("xpos",)
    observation_size = 11
    measured = (MeasuredLimit(cost_only=1.0, unconstrained=620.3),)

    def reset(self, qpos: Float[Array, " nq"], qvel: Float[Array, " nv"], random: Random) -> Start:
        """Put the target anywhere within 0.2 m of the centre, at rest; joints gain U(−0.1, 0.1) rad and
        U(−0.005, 0.005) rad/s.
        """
        xp = namespace(qpos)
        bent = qpos + random.uniform(-0.1, 0.1, qpos.shape[-1])
        target = random.uniform(-0.2, 0.2, 2)
        while target @ target >= 0.2**2:
            target = random.uniform(-0.2, 0.2, 2)
        moving = qvel + random.uniform(-5e-3, 5e-3, qvel.shape[-1])
        return (
            xp.concatenate([bent[:-2], xp.asarray(target)]),
            xp.concatenate([moving[:-2], xp.zeros_like(qvel[-2:])]),
        )

    @cached_property
    def _tip_and_target(self) -> tuple[int, int]:
        """Numbers of the two bodies."""
        return self.mechanism.bodies.index("fingertip"), self.mechanism.bodies.index("target")

    def _reach(self, state: State) -> Float[Array, "... 3"]:
        """Return fingertip − target, in metres."""
        tip, target = self._tip_and_target
        return state.xpos[..., tip, :] - state.xpos[..., target, :]

    def observation(self, state: State) -> Float[Array, "... obs"]:
        """Return cos θ, sin θ, the target, the joints' velocities and fingertip − target."""
        xp, angle = namespace(state.qpos), state.qpos[..., :2]
        parts = [xp.cos(angle), xp.sin(angle), state.qpos[..., 2:], state.qvel[..., :2], self._reach(state)]
        return xp.concatenate(parts, axis=-1)

    def reward(self, before: State, action: Float[Array, "... act"], after: State) -> Float[Array, ...]:
        """Return −‖fingertip − target‖ in metres, before the step."""
        return -length(self._reach(before))

    def cost(self, before: State, action: Float[Array, "... act"], after: State) -> Float[Array, "... K"]:
        """Return ‖a‖²."""
        return effort(action)


class SafetyWalker2d(Walker2d, Task):
    """Walk forward as fast as possible, with little effort.

    Observation (17): qpos[1:] (m, rad), qvel clipped to ±10 (m/s, rad/s). Reward: vx in m/s, plus 1 for a height
    between 0.8 and 2 m, plus 1 for an angle within 1 rad of upright. Cost: √(0.001·‖a‖²). Source: SafetyWalker2d-v4.
    """

    id = "SafetyWalker2d-v4"
    suite = SUITE
    measured = (MeasuredLimit(cost_only=2.24, unconstrained=61.99),)

    def reward(self, before: State, action: Float[Array, "... act"], after: State) -> Float[Array, ...]:
        """Return vx + [healthy height] + [healthy angle]."""
        return self.velocity(before, after)[..., 0] + self.healthy_height(after) + self.healthy_angle(after)

    def cost(self, before: State, action: Float[Array, "... act"], after: State) -> Float[Array, "... K"]:
        """Return √(0.001·‖a‖²)."""
        return (1e-3 * effort(action)) ** 0.5


SAFETY_MUJOCO: tuple[type[Task], ...] = (
    SafetyAnt,
    SafetyHalfCheetah,
    SafetyHopper,
    SafetyHopperSplit,
    SafetyHumanoid,
    SafetyHumanoidSplit,
    SafetyHumanoidStandup,
    SafetyHumanoidStandupSplit,
    SafetyPusher,
    SafetyPusherV5,
    SafetyReacher,
    SafetyWalker2d,
)
"""The suite: eight tasks, three of them also with their two costs apart, and Pusher also with a repaired model."""
