"""Every task's default limit can be met and can be violated: a policy is known that does, for each constraint."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from controllers import Source, controllers
from equipoise.physics import NativePhysics
from equipoise.tasks import TASKS
from registries import CLASSIC

EPISODES = 2
MORE_TO_MEET = {"SafetyHumanoidSplit-v4": 4, "SafetySwimmerVelocity-v0": 8}
MORE_TO_VIOLATE = {"SafetyAntVelocity-v1": 40, "SafetyAntVelocity-v0": 20, "SafetyHumanoidVelocity-v0": 16}
"""Episodes, where a mean of two is not five standard errors from its limit: walking is chaotic, and a processor that
rounds differently walks differently."""
every_task = pytest.mark.parametrize("task_id", CLASSIC)


def idle(physics: NativePhysics) -> Source:
    """Do nothing."""
    return lambda seen: np.zeros((len(seen), physics.model.nu))


def thrash(physics: NativePhysics) -> Source:
    """Every motor at three times its full force, forwards or backwards at random in every step."""
    random, (low, high) = np.random.default_rng(0), physics.model.actuator_ctrlrange.T
    return lambda seen: 3 * np.where(random.random((len(seen), len(low))) < 0.5, low, high)


def flail(physics: NativePhysics) -> Source:
    """Uniformly random actions."""
    random, (low, high) = np.random.default_rng(0), physics.model.actuator_ctrlrange.T
    return lambda seen: random.uniform(low, high, (len(seen), len(low)))


def trained(name: str) -> Callable[[NativePhysics], Source]:
    """Follow a recorded policy's mean."""
    return lambda physics: controllers()[name]


def until_it_falls(name: str) -> Callable[[NativePhysics], Source]:
    """Follow a recorded policy's mean while the root is more than a metre high, and do nothing then."""
    return lambda physics: lambda seen: np.where(seen[:, :1] > 1.0, controllers()[name](seen), 0.0)


STAND = {"Hopper": trained("hopper-stand"), "Humanoid": until_it_falls("humanoid-run")}
RUN = {
    "Ant": trained("ant-run"),
    "HalfCheetah": trained("half_cheetah-run"),
    "Hopper": trained("hopper-run"),
    "Humanoid": trained("humanoid-run"),
    "Swimmer": trained("swimmer-swim"),
    "Walker2d": trained("walker2d-run"),
}
VELOCITY = {f"Safety{robot}Velocity-v{v}": run for robot, run in RUN.items() for v in (0, 1)}

MEETS = {
    "SafetyAnt-v4": idle,
    "SafetyHalfCheetah-v4": trained("half_cheetah-level"),
    **{f"Safety{robot}{end}-v4": stand for robot, stand in STAND.items() for end in ("", "Split")},
    "SafetyHumanoidStandup-v4": idle,
    "SafetyHumanoidStandupSplit-v4": idle,
    "SafetyPusher-v4": idle,
    "SafetyPusher-v5": idle,
    "SafetyReacher-v4": idle,
    "SafetyWalker2d-v4": idle,
    **dict.fromkeys(VELOCITY, idle),
    "SafetySwimmerVelocity-v0": trained("swimmer-brake"),  # it starts above this threshold, and idle it drifts on
}
"""By task: a policy that keeps all its limits at once."""

VIOLATES = {**{task_id: thrash for task_id in CLASSIC if task_id not in VELOCITY}, **VELOCITY}
"""By task: a policy that breaks all its limits at once."""


def costs_so_far(task_id: str, make: Callable[[NativePhysics], Source], episodes: int):
    """The mean costs of some episodes after each step. They never fall, since costs are ≥ 0."""
    physics = NativePhysics(TASKS[task_id], episodes, threads=1)
    act, total, running = make(physics), np.zeros((episodes, len(TASKS[task_id].cost_names))), np.ones(episodes, bool)
    seen = physics.reset(range(episodes), [np.random.default_rng(i) for i in range(episodes)])
    for _ in range(TASKS[task_id].horizon):
        step = physics.step(act(seen))
        assert not step.diverged.any() and (step.cost >= 0).all()
        total[running] += step.cost[running]
        running &= ~step.terminated
        seen = step.observation
        yield total.mean(axis=0)
        if not running.any():
            break


@pytest.mark.one_in(10)
@every_task
def test_a_policy_is_known_that_keeps_every_limit(task_id):
    *_, costs = costs_so_far(task_id, MEETS[task_id], MORE_TO_MEET.get(task_id, EPISODES))
    assert (costs <= TASKS[task_id].limits()).all(), costs


@pytest.mark.one_in(10)
@every_task
def test_a_policy_is_known_that_breaks_every_limit(task_id):
    limits = TASKS[task_id].limits()
    for costs in costs_so_far(task_id, VIOLATES[task_id], MORE_TO_VIOLATE.get(task_id, EPISODES)):
        if (costs > limits).all():
            return
    pytest.fail(f"costs of {costs} in an episode, limits of {limits}")


TRAINED_FOR = {
    "ant-run": "SafetyAntVelocity-v1",
    "half_cheetah-run": "SafetyHalfCheetahVelocity-v1",
    "hopper-run": "SafetyHopperVelocity-v1",
    "humanoid-run": "SafetyHumanoidVelocity-v1",
    "humanoidstandup-rise": "SafetyHumanoidStandup-v4",
    "pusher-push": "SafetyPusher-v5",
    "reacher-reach": "SafetyReacher-v4",
    "swimmer-swim": "SafetySwimmerVelocity-v1",
    "walker2d-run": "SafetyWalker2dVelocity-v1",
}


def mean_reward(task_id: str, make: Callable[[NativePhysics], Source], steps: int = 200) -> float:
    """The mean reward of some episodes' first steps; a reacher's hangs most on where its target is."""
    episodes = {"SafetyReacher-v4": 64, "SafetySwimmerVelocity-v1": 16}.get(task_id, 4)
    physics = NativePhysics(TASKS[task_id], episodes, threads=1)
    act, total, running = make(physics), 0.0, np.ones(episodes, bool)
    seen = physics.reset(range(episodes), [np.random.default_rng(i) for i in range(episodes)])
    for _ in range(steps):
        step = physics.step(act(seen))
        total += step.reward[running].sum() / episodes
        running &= ~step.terminated
        seen = step.observation
    return total


@pytest.mark.one_in(5)
@pytest.mark.parametrize("name", TRAINED_FOR)
def test_recorded_policies_get_further_than_untrained_ones(name):
    task_id = TRAINED_FOR[name]
    assert mean_reward(task_id, trained(name)) > max(mean_reward(task_id, source) for source in (idle, flail))


def test_every_recorded_policy_has_its_use():
    held = {*TRAINED_FOR, "half_cheetah-level", "hopper-stand", "swimmer-brake"}
    assert held == set(controllers())
