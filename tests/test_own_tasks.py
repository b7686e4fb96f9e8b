"""Tasks of a user's own on their own models: registered, checked, stepped, and given parameters."""

from __future__ import annotations

import re
from typing import NamedTuple

import gymnasium
import mujoco
import numpy as np
import pytest

import equipoise
from equipoise.cli import main
from equipoise.errors import UsageError
from equipoise.physics import NativePhysics
from equipoise.tasks import TASKS

CART = """
<mujoco>
  <option timestep="0.01"/>
  <worldbody>
    <body name="cart"><joint name="x" type="slide" axis="1 0 0"/><geom name="cart" size=".1" mass="1"/></body>
    <body name="wall" pos="0.5 0 0"><geom name="wall" type="box" size=".1 1 1"/></body>
  </worldbody>
  <actuator><motor joint="x" ctrlrange="-1 1" gear="10"/></actuator>
  <sensor>
    <accelerometer name="felt" site="s"/>
    <contact name="hit" subtree1="cart" body2="wall" data="found"/>
  </sensor>
</mujoco>
""".replace('<geom name="cart"', '<site name="s"/><geom name="cart"')


class Kept(NamedTuple):
    steps: np.ndarray
    drawn: np.ndarray


class Cart(equipoise.Task):
    """Push a cart. Observation (4): place, speed, acceleration, steps so far. Reward: speed. Costs: effort, hit."""

    model = mujoco.MjSpec.from_string(CART)
    frame_skip = 3
    observation_size = 5
    horizon = 20
    cost_names = ("effort", "hit")
    fields = ("sensordata",)
    current = True

    def __init__(self, push: float = 1.0):
        self.push = push

    def begin(self, randoms):
        n = len(randoms)
        return np.zeros((n, 1)), np.zeros((n, 1)), Kept(np.zeros(n, int), np.array([r.uniform(0, 1) for r in randoms]))

    def remember(self, before, action, after, randoms):
        drawn = np.array([random.uniform(0, 1) for random in randoms])
        return Kept(after.memory.steps + 1, drawn)

    def observation(self, state):
        felt = state.sensordata[..., self.mechanism.sensors["felt"]][..., :1]
        kept = state.memory.steps[..., None], state.memory.drawn[..., None]
        return np.concatenate([state.qpos, state.qvel, felt, *kept], axis=-1)

    def reward(self, before, action, after):
        return self.push * after.qvel[..., 0]

    def costs(self, before, action, after):
        hit = after.sensordata[..., self.mechanism.sensors["hit"]][..., 0]
        return {"hit": 1.0 * (hit > 0), "effort": (action**2).sum(-1)}


@pytest.fixture(autouse=True)
def registry(tmp_path, monkeypatch):
    """Tasks that a test registers are forgotten after it."""
    monkeypatch.chdir(tmp_path)
    before, known = set(gymnasium.registry), set(TASKS)
    yield
    for env_id in set(gymnasium.registry) - before:
        del gymnasium.registry[env_id]
    for task_id in set(TASKS) - known:
        del TASKS[task_id]


def changed(**attributes) -> type[Cart]:
    return type("Changed", (Cart,), attributes)


def test_a_step_is_plain_mujocos_and_its_sensors_belong_to_the_state_after_it():
    physics, random = NativePhysics(equipoise.register_task(Cart)(), 3, threads=1), np.random.default_rng(0)
    physics.reset(range(3), [np.random.default_rng(i) for i in range(3)])
    plain = [mujoco.MjData(physics.model) for _ in range(3)]
    for t in range(15):
        action = random.uniform(0, 1, (3, 1))
        step = physics.step(action)
        for env, data in enumerate(plain):
            data.ctrl[:] = action[env]
            mujoco.mj_step(physics.model, data, 3)
            mujoco.mj_forward(physics.model, data)
            seen = [data.qpos[0], data.qvel[0], data.sensordata[0], t + 1]
            np.testing.assert_allclose(step.observation[env, :4], seen, rtol=1e-9, atol=1e-9)
            touching = any({c.geom1, c.geom2} == {0, 1} for c in data.contact)
            np.testing.assert_allclose(step.cost[env], [action[env, 0] ** 2, touching], atol=1e-12)
    assert step.cost[:, 1].all(), "all have reached the wall"


def test_each_environment_draws_from_its_own_source_within_an_episode():
    task = equipoise.register_task(Cart)()
    together, alone = NativePhysics(task, 3, threads=1), NativePhysics(task, 1, threads=1)
    together.reset(range(3), [np.random.default_rng(i) for i in range(3)])
    alone.reset([0], [np.random.default_rng(2)])
    for _ in range(3):
        np.testing.assert_array_equal(
            together.step(np.zeros((3, 1))).observation[2], alone.step(np.zeros((1, 1))).observation[0]
        )


def test_it_is_an_environment_with_parameters():
    equipoise.register_task(Cart)
    envs = [gymnasium.make("equipoise/Cart", **given) for given in ({}, {"push": 3.0})]
    one, three = (float((env.reset(seed=0), env.step(np.ones(1, np.float32)))[1][1]) for env in envs)
    assert three == pytest.approx(3 * one) and one > 0
    info = envs[0].step(np.ones(1, np.float32))[4]
    assert info == {"cost": 1.0, "effort": 1.0, "hit": 0.0}
    assert envs[0].spec.max_episode_steps == 20
    vector = gymnasium.make_vec("equipoise/Cart", num_envs=2, push=2.0)
    vector.reset(seed=0)
    assert vector.step(np.ones((2, 1), np.float32))[1] == pytest.approx([2 * one] * 2)


def test_an_own_task_is_trained_and_resumed_bit_for_bit(tmp_path):
    equipoise.register_task(Cart)
    options = {"num_envs": 2, "steps_per_iteration": 80, "total_steps": 160, "limits": (5.0, 1.0)}
    whole = equipoise.train("crpo", "Cart", run_dir=tmp_path / "whole", env_args={"push": 2.0}, **options)
    equipoise.train(
        "crpo", "Cart", run_dir=tmp_path / "part", env_args={"push": 2.0}, watch=lambda row: False, **options
    )
    resumed = equipoise.resume(tmp_path / "part")
    np.testing.assert_array_equal(resumed.policy(np.ones(5)), whole.policy(np.ones(5)))
    assert resumed.metrics[-1]["reward"] == whole.metrics[-1]["reward"]


def test_registering_the_same_class_anew_replaces_it_and_another_may_not_take_its_name():
    equipoise.register_task(Cart)
    equipoise.register_task(Cart)
    with pytest.raises(UsageError, match="there is a task 'SafetyHopper-v4' already"):
        equipoise.register_task(changed(id="SafetyHopper-v4"))
    with pytest.raises(UsageError, match="is no task"):
        equipoise.register_task(dict)


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({"fields": ("sensor",)}, "unknown field of Changed 'sensor'"),
        ({"model": "no_such.xml"}, "Changed: there is no model"),
        ({"model": mujoco.MjSpec.from_string("<mujoco/>")}, "Changed: its model has no actuator"),
        ({"observation_size": 7}, "the observation of 2 environments has shape (2, 5); its attributes say (2, 7)"),
        ({"reward": lambda self, before, action, after: 0.0}, "the reward of 2 environments has shape ()"),
        ({"costs": lambda self, before, action, after: {}}, "Changed has no 'effort' in its costs (there: nothing)"),
    ],
)
def test_a_mistake_is_said_in_one_line_before_anything_is_stepped(attributes, message):
    kind = changed(id="Changed", **attributes)
    with pytest.raises(UsageError) as error:
        NativePhysics(kind(), 2, threads=1)
    assert message in str(error.value) and "\n" not in str(error.value)


def test_its_page_names_its_module(capsys):
    equipoise.register_task(Cart)
    assert main(["tasks", "Cart"]) == 0
    said = capsys.readouterr().out
    assert f"equipoise train pcrpo {__name__}:Cart\n" in re.sub(r" +\n", "\n", said)
    assert f'gymnasium.make("{__name__}:equipoise/Cart")' in said and f"equipoise tasks {__name__}:Cart --still" in said


def test_what_is_missing_is_named_when_it_is_registered():
    class Bare(equipoise.Task):
        frame_skip = 1
        observation_size = 1

        def observation(self, state):
            return state.qpos

        def reward(self, before, action, after):
            return after.qpos[..., 0]

    with pytest.raises(UsageError, match="Bare has no model"):
        equipoise.register_task(Bare)


def test_the_librarys_tasks_take_no_parameters():
    with pytest.raises(UsageError, match="takes no arguments"):
        gymnasium.make("equipoise/SafetyHopper-v4", gravity=1.0)


def test_a_task_derived_from_a_registered_one_has_a_name_of_its_own():
    class Wagon(equipoise.register_task(Cart)):
        pass

    class Named(Cart):
        id = "Barrow"

    class Renamed(Named):
        pass

    assert equipoise.register_task(Wagon)().id == "Wagon" and equipoise.register_task(Named)().id == "Barrow"
    assert {"Cart", "Wagon", "Barrow"} <= set(TASKS)
    with pytest.raises(UsageError, match="Barrow"):
        equipoise.register_task(Renamed)


def stepped(**changes):
    """A step of three environments of a changed task, in the second of which something is wrong."""
    physics = NativePhysics(equipoise.register_task(changed(**changes))(), 3, threads=1)
    physics.reset(range(3), [np.random.default_rng(i) for i in range(3)])
    return physics.step(np.zeros((3, 1)))


def only_in_the_second(function, value):
    """The same function of a task, but for what it gives of the second environment once an episode is on its way."""

    def wrong(self, *arguments):
        given, after = function(self, *arguments), arguments[-1]
        where = (after.memory.steps > 0) if function is Cart.observation else np.ones(len(after.qpos), bool)
        where = where & (np.arange(len(after.qpos)) == 1)
        return given | {"hit": np.where(where, value, given["hit"])} if isinstance(given, dict) else put(given, where)

    def put(given, where):
        given = np.array(given)
        given[(where, 2) if given.ndim > 1 else where] = value
        return given

    return wrong


@pytest.mark.parametrize("value", [np.nan, np.inf, -1e39])
@pytest.mark.parametrize(
    "name, what",
    [("observation", "an observation with .* at 2"), ("reward", "a reward of .*"), ("costs", "a 'hit' of .*")],
)
def test_a_number_that_is_none_breaks_that_environments_episode_and_is_named(name, what, value):
    step = stepped(**{name: only_in_the_second(getattr(Cart, name), value)})
    assert step.diverged.tolist() == [False, True, False]
    assert re.match(rf"Changed\.step gives {what}; allowed: finite numbers", step.reason)


def test_a_negative_cost_is_refused_by_its_name():
    with pytest.raises(UsageError, match=r"Changed has a cost of -0\.5 \(hit\); allowed: 0 or more"):
        stepped(costs=only_in_the_second(Cart.costs, -0.5))


def test_a_first_observation_that_is_no_number_is_refused():
    with pytest.raises(UsageError, match=r"Changed\.reset gives an observation with nan at 4; allowed: finite"):
        stepped(observation=lambda self, state: Cart.observation(self, state) * [1, 1, 1, 1, np.nan])
