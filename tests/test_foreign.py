"""Anyone's own Gymnasium environment behind the `Simulator` door."""

from __future__ import annotations

import dataclasses
import re

import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Discrete, Tuple

import equipoise  # noqa: F401 (registers the tasks)
from equipoise.environments.foreign import ForeignEnvironments
from equipoise.environments.registered import Registered
from equipoise.environments.safety_gymnasium import SafetyGymnasium2Gymnasium
from equipoise.errors import UsageError
from equipoise.physics import NativePhysics, Simulator
from equipoise.tasks import TASKS
from equipoise.training.run import unflattener


class Cart(gymnasium.Env):
    """A point pushed along a line from a random place; it reports everything it was given."""

    observation_space = Box(-np.inf, np.inf, (2,), np.float64)
    action_space = Box(np.array([-1.0, -0.5], np.float32), np.array([1.0, 2.0], np.float32))

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.place, self.steps = self.np_random.normal(), 0
        return self.observe(), {}

    def observe(self):
        return np.array([self.place, self.steps], np.float64)

    def step(self, action):
        assert self.action_space.contains(action), f"{action!r} is outside of the action space"
        self.place, self.steps = self.place + float(action[0]), self.steps + 1
        info = {"cost": abs(self.place), "energy": float(np.square(action).sum()), "steps": self.steps}
        return self.observe(), self.reward(action), self.steps == 3, self.steps == 5, info

    def reward(self, action):
        return float(action[0] - 10 * action[1])


def foreign(env=Cart, num_envs: int = 2, **settings) -> ForeignEnvironments:
    simulator = ForeignEnvironments(env, num_envs, "Cart", **{"horizon": 5, **settings})
    simulator.reset(range(num_envs), generators(range(num_envs)))
    return simulator


def generators(seeds) -> list[np.random.Generator]:
    return [np.random.default_rng(seed) for seed in seeds]


@pytest.fixture
def registered():
    """Ids of `Cart` with an episode of 7 steps and with none; forgotten again after the test."""
    gymnasium.register("equipoise-test/Cart-v0", entry_point=Cart, max_episode_steps=7)
    gymnasium.register("equipoise-test/Endless-v0", entry_point=Cart)
    yield "equipoise-test/Cart-v0", "equipoise-test/Endless-v0"
    for env_id in ("equipoise-test/Cart-v0", "equipoise-test/Endless-v0"):
        del gymnasium.registry[env_id]


# What comes through


def test_observation_reward_and_costs_are_the_environments_own():
    simulator, own = foreign(cost_names=("energy", "cost")), [Cart(), Cart()]
    seeds = [int(random.integers(2**31)) for random in generators([0, 1])]
    starts = [env.reset(seed=seed)[0] for env, seed in zip(own, seeds, strict=True)]
    np.testing.assert_array_equal(simulator.reset([0, 1], generators([0, 1])), starts)
    action = np.array([[0.5, 0.25], [-1.0, 2.0]], np.float32)
    step = simulator.step(action)
    for i, env in enumerate(own):
        observation, reward, terminated, truncated, info = env.step(action[i])
        np.testing.assert_array_equal(step.observation[i], observation)
        assert step.reward[i] == reward
        assert step.cost[i].tolist() == [info["energy"], info["cost"]]
        assert (step.terminated[i], step.truncated[i], step.diverged[i]) == (terminated, truncated, False)


def test_problem_describes_the_environment():
    problem = foreign(cost_names=("energy", "cost")).problem
    assert (problem.id, problem.observation_size, problem.action_size, problem.horizon) == ("Cart", 2, 2, 5)
    assert problem.cost_names == ("energy", "cost") and problem.limits is None


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_action_is_clipped_to_the_environments_space_and_keeps_its_dtype(dtype):
    class Typed(Cart):
        action_space = Box(np.array([-1.0, -0.5], dtype), np.array([1.0, 2.0], dtype), dtype=dtype)

        def reward(self, action):
            assert action.dtype == dtype
            return super().reward(action)

    step = foreign(Typed).step(np.array([[5.0, -7.0], [-3.0, 9.0]]))
    np.testing.assert_array_equal(step.reward, [1.0 + 5.0, -1.0 - 20.0])


def test_terminated_and_truncated_are_told_apart():
    simulator = foreign(num_envs=1)
    steps = [simulator.step(np.zeros((1, 2))) for _ in range(5)]
    assert [bool(step.terminated[0]) for step in steps] == [False, False, True, False, False]
    assert [bool(step.truncated[0]) for step in steps] == [False, False, False, False, True]


def test_nothing_resets_by_itself_and_a_reset_touches_only_its_slots():
    simulator = foreign(num_envs=3)
    for _ in range(4):
        simulator.step(np.zeros((3, 2)))
    seen = simulator.reset([2, 0], generators([0, 1]))
    after = simulator.step(np.zeros((3, 2)))
    np.testing.assert_array_equal(after.observation[:, 1], [1, 5, 1])
    np.testing.assert_array_equal(after.observation[[2, 0], 0], seen[:, 0])


class Nested(Cart):
    """The same point, observed through a dictionary."""

    observation_space = Dict({"wheel": Discrete(3), "body": Dict({"b": Box(-9, 9, (2, 2)), "a": Box(-9, 9, (1,))})})

    def observe(self):
        body = {"a": np.array([self.steps], np.float32), "b": np.full((2, 2), 7, np.float32)}
        return {"wheel": np.int64(1), "body": body}


def test_a_nested_observation_is_flattened_as_gymnasium_flattens_it():
    simulator = foreign(Nested)
    assert simulator.problem.observation_size == 8
    row = [0.0, 7.0, 7.0, 7.0, 7.0, 0.0, 1.0, 0.0]  # body a, b, then the wheel one-hot
    assert simulator.reset([1], generators([0])).tolist() == [row]
    assert simulator.step(np.zeros((2, 2))).observation.tolist() == [[1.0, *row[1:]]] * 2


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e39])
@pytest.mark.parametrize("where", ["reward", "cost", "observation"])
def test_a_number_that_is_not_finite_means_diverged_in_its_slot_alone(where, value):
    class Broken(Cart):
        def step(self, action):
            observation, reward, terminated, truncated, info = super().step(action)
            if action[0] > 0.9:
                reward = value if where == "reward" else reward
                info["cost"] = value if where == "cost" else info["cost"]
                observation = np.array([value, 0.0]) if where == "observation" else observation
            return observation, reward, terminated, truncated, info

    step = foreign(Broken, num_envs=3).step(np.array([[0.0, 0.0], [1.0, 0.0], [0.5, 0.0]]))
    assert step.diverged.tolist() == [False, True, False]
    what = {"reward": f"a reward of {value}", "cost": f"a 'cost' of {value}"}
    said = what.get(where, f"an observation with {value} at [0]")
    assert step.reason.startswith(f"Cart.step gives {said}; allowed: finite numbers")
    assert not foreign(Broken, num_envs=3).step(np.zeros((3, 2))).reason


def test_the_same_generators_give_the_same_episodes():
    def episode(seeds):
        simulator = foreign()
        observations = [simulator.reset([0, 1], generators(seeds))]
        return np.stack(observations + [simulator.step(np.full((2, 2), 0.1)).observation for _ in range(4)])

    np.testing.assert_array_equal(episode([0, 1]), episode([0, 1]))
    np.testing.assert_array_equal(episode([0, 1])[:, 0], episode([0, 5])[:, 0])
    assert (episode([0, 1])[0, 1] != episode([0, 5])[0, 1]).any()
    random = np.random.default_rng(0)
    simulator = foreign()
    first, second = (simulator.reset([0], [random]) for _ in range(2))
    assert (first != second).any(), "a generator's second episode starts elsewhere"


def test_our_own_task_through_the_foreign_door_is_native_physics(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # MuJoCo writes its warnings into the working folder
    simulator = ForeignEnvironments(Registered("equipoise/SafetyHopper-v4"), 1, "SafetyHopper-v4")
    physics = NativePhysics(TASKS["SafetyHopper-v4"], 1, threads=1)
    assert simulator.problem.horizon == physics.problem.horizon
    seed = int(np.random.default_rng(0).integers(2**31))
    start = physics.reset([0], [gymnasium.utils.seeding.np_random(seed)[0]])
    np.testing.assert_array_equal(simulator.reset([0], generators([0])), start)
    for action in np.random.default_rng(1).uniform(-1, 1, (10, 1, 3)).astype(np.float32):
        a, b = simulator.step(action), physics.step(action)
        np.testing.assert_array_equal(a.observation, b.observation)
        assert (a.reward, a.cost) == (b.reward, b.cost)


def test_close_closes_every_environment():
    closed = []

    class Closing(Cart):
        def close(self):
            closed.append(self)

    foreign(Closing, num_envs=3).close()
    assert len(set(map(id, closed))) == 3


def test_it_stands_behind_the_simulator_door():
    assert isinstance(foreign(), Simulator)


# What is refused


def test_a_missing_cost_is_an_error_naming_what_is_there():
    simulator = foreign(cost_names=("energy", "danger"))
    with pytest.raises(UsageError, match=r"Cart has no 'danger' in its info \(there: cost, energy, steps\)"):
        simulator.step(np.zeros((2, 2)))


def test_an_empty_info_is_an_error_too():
    class Silent(Cart):
        def step(self, action):
            return *super().step(action)[:4], {}

    with pytest.raises(UsageError, match=r"no 'cost' in its info \(there: nothing\)"):
        foreign(Silent).step(np.zeros((2, 2)))


@pytest.mark.parametrize("space", [Box(-1, 1, (0, 2)), Dict({"a": Box(-1, 1, (2,))}), Tuple((Discrete(2),))])
def test_an_action_space_of_another_kind_is_refused(space):
    class Other(Cart):
        action_space = space

    with pytest.raises(UsageError, match=r"Cart has the action space .*; allowed: a Box of numbers, Discrete, "):
        foreign(Other)


@pytest.mark.parametrize(
    ("space", "vector", "given"),
    [
        (Box(-1, 1, (3, 1)), [0.5, -3.0, 0.0], [[0.5], [-1.0], [0.0]]),
        (Box(-1, 1, (2, 2), np.float64), [0.1, 0.2, 0.3, 9.0], [[0.1, 0.2], [0.3, 1.0]]),
        (Box(-1, 1, ()), [0.25], 0.25),
        (Box(-2, 5, (3,), np.int64), [1.6, -0.6, 7.2], [2, -1, 5]),
        (Box(0, 9, (2, 1), np.uint8), [-1.0, 8.7], [[0], [9]]),
    ],
)
def test_an_action_comes_in_the_shape_and_the_kind_of_its_space_and_the_policys_does_too(space, vector, given):
    class Recording(Cart):
        action_space = space
        seen: list = []  # noqa: RUF012

        def step(self, action):
            assert self.action_space.contains(action), f"{action!r} is outside of the action space"
            self.seen.append(action)
            return self.observe(), 0.0, False, False, {"cost": 0.0}

    simulator = foreign(Recording)
    simulator.step(np.array([vector, vector]))
    problem = simulator.problem
    acted = unflattener(dataclasses.replace(problem))(np.clip(vector, problem.action_low, problem.action_high))
    for action in (*Recording.seen, acted):
        np.testing.assert_array_equal(action, np.asarray(given, space.dtype), strict=True)


@pytest.mark.parametrize("form", ['["tuple", []]', '["box", [2]]', '["box", [2], "O"]', '["box", [3], "<f4"]', "{"])
def test_a_form_of_actions_from_a_file_that_is_none_is_refused(form):
    with pytest.raises(UsageError, match=r"is no description of an (action|observation) of"):
        unflattener(dataclasses.replace(foreign().problem, action=form))


def test_an_error_of_an_environments_own_says_which_one_it_was_and_stays_what_it_is():
    class Fragile(Cart):
        def step(self, action):
            if action[0] > 0.9:
                raise ZeroDivisionError("a wheel came off")
            return super().step(action)

    simulator = ForeignEnvironments(Fragile, 3, "Cart", horizon=5, first=10)
    simulator.reset(range(3), generators(range(3)))
    with pytest.raises(ZeroDivisionError, match="a wheel came off") as caught:
        simulator.step(np.array([[0.0, 0.0], [0.0, 0.0], [1.0, 0.0]]))
    assert caught.value.__notes__ == ["in environment 12 of Cart, counted from 0"]


def test_an_episode_of_unknown_length_is_refused(registered):
    for make in (Cart, Registered(registered[1])):
        with pytest.raises(UsageError, match=r"does not say how long an episode is; give the horizon"):
            foreign(make, horizon=None)
        assert foreign(make, horizon=4).problem.horizon == 4


def test_the_horizon_is_the_registered_one_or_a_shorter_one(registered):
    make = Registered(registered[0])
    assert foreign(make, horizon=None).problem.horizon == 7
    assert foreign(make, horizon=6).problem.horizon == 6
    with pytest.raises(UsageError, match="truncates after 7 steps, so a horizon of 8 is never reached"):
        foreign(make, horizon=8)


@pytest.mark.parametrize(
    ("env_id", "said"),
    [
        ("NoSuchTask-v0", "unknown task 'NoSuchTask-v0'"),
        ("equipoise/SafetyHoper-v4", "unknown task 'equipoise/SafetyHoper-v4'"),
        ("no_such_module:Task-v0", "cannot import 'no_such_module' for task 'no_such_module:Task-v0'"),
    ],
)
def test_an_unknown_id_is_a_usage_error_on_one_line(env_id, said):
    with pytest.raises(UsageError, match=said) as error:
        Registered(env_id)
    assert "\n" not in str(error.value)


# What a step gives


def stepping(change):
    """A `Cart` whose step gives what `change` makes of Gymnasium's five values."""

    class Changed(Cart):
        def step(self, action):
            return change(*super().step(action))

    return Changed


def test_the_cost_of_six_values_is_their_third():
    six = stepping(lambda o, r, te, tr, info: (o, r, 7.0 + abs(o[0]), te, tr, {}))
    simulator, five = foreign(six), foreign()
    action = np.array([[0.5, 0.25], [-1.0, 2.0]])
    step, expected = simulator.step(action), five.step(action)
    np.testing.assert_array_equal(step.cost, 7.0 + expected.cost)
    np.testing.assert_array_equal(step.observation, expected.observation)
    assert step.reward.tolist() == expected.reward.tolist()
    assert step.truncated.tolist() == expected.truncated.tolist()


def test_six_values_may_hold_further_costs_in_info():
    six = stepping(lambda o, r, te, tr, info: (o, r, 7.0, te, tr, info))
    step = foreign(six, cost_names=("energy", "cost")).step(np.array([[0.5, 0.0], [-1.0, 2.0]]))
    assert step.cost.tolist() == [[0.25, 7.0], [5.0, 7.0]]


@pytest.mark.parametrize(
    ("values", "said"), [((0, 1, 2, {}), "4 values"), ((), "0 values"), ([0.0] * 5, "a list"), (None, "None")]
)
def test_any_other_number_of_values_is_refused(values, said):
    with pytest.raises(UsageError, match=rf"^Cart gives {said} a step; allowed: .*or six values with the cost third$"):
        foreign(stepping(lambda *_: values)).step(np.zeros((2, 2)))


@pytest.mark.parametrize(
    ("cost", "said"),
    [
        (None, "None"),
        (np.array([1.0, 2.0]), r"an array of shape \(2,\)"),
        (np.zeros(0), r"an array of shape \(0,\)"),
        (1j, "a complex"),
        ([[1.0], [1.0, 2.0]], "a list"),
        (np.zeros((2, 3)), r"an array of shape \(2, 3\)"),
        ([1.0, 2.0], "a list"),
        ({"danger": 1.0}, "a dict"),
        ("0.5", "'0.5'"),
    ],
)
@pytest.mark.parametrize("third", [False, True])
def test_a_cost_that_is_no_number_is_refused_on_one_line(cost, said, third):
    def change(o, r, te, tr, info):
        return (o, r, cost, te, tr, info) if third else (o, r, te, tr, {"cost": cost})

    with pytest.raises(UsageError, match=rf"^Cart has {said} as its 'cost'; allowed: one number ≥ 0$"):
        foreign(stepping(change)).step(np.zeros((2, 2)))


@pytest.mark.parametrize("cost", [1, 1.5, True, np.float32(1.5), np.array(1.5), np.int64(3), np.array([1.5]), [2]])
def test_any_kind_of_number_is_a_cost_a_reward_and_a_flag(cost):
    step = foreign(stepping(lambda o, r, te, tr, info: (o, r, te, tr, {"cost": cost}))).step(np.zeros((2, 2)))
    value = float(np.ravel(cost)[0])
    assert step.cost.tolist() == [[value]] * 2
    step = foreign(stepping(lambda o, r, te, tr, info: (o, cost, te, tr, info))).step(np.zeros((2, 2)))
    assert step.reward.tolist() == [value] * 2


@pytest.mark.parametrize("yes", [True, 1, np.True_, np.array([True]), np.array(1.0)])
def test_any_kind_of_truth_is_a_flag(yes):
    step = foreign(stepping(lambda o, r, te, tr, info: (o, r, yes, not yes, info))).step(np.zeros((2, 2)))
    assert step.terminated.tolist() == [True] * 2 and step.truncated.tolist() == [False] * 2


@pytest.mark.parametrize("name", ["reward", "terminated", "truncated", "info"])
@pytest.mark.parametrize(
    ("value", "said"), [(None, "None"), ("1", "'1'"), (np.zeros(2), r"an array of shape \(2,\)"), (0.5, "0.5")]
)
def test_any_other_value_of_a_step_is_refused_naming_it(name, value, said):
    if name == "reward" and said == "0.5":
        pytest.skip("it is a number")
    place = ["observation", "reward", "terminated", "truncated", "info"].index(name)
    with pytest.raises(UsageError, match=rf"^Cart has {said} as its {name}; allowed: "):
        foreign(stepping(lambda *five: (*five[:place], value, *five[place + 1 :]))).step(np.zeros((2, 2)))


def test_a_reset_without_info_is_refused():
    class Old(Cart):
        def reset(self, *, seed=None, options=None):
            return super().reset(seed=seed)[0]

    with pytest.raises(
        UsageError, match=r"^Cart is reset to an array of shape \(2,\); allowed: \(observation, info\)$"
    ):
        foreign(Old)


def test_six_values_behind_gymnasiums_checker_are_told_how_to_come_in():
    six = stepping(lambda o, r, te, tr, info: (o, r, 7.0, te, tr, info))
    for env_id, make in (("six-v0", six), ("five-v0", lambda: SafetyGymnasium2Gymnasium(six()))):
        gymnasium.register(f"equipoise-test/{env_id}", entry_point=make, max_episode_steps=7)
    try:
        with pytest.raises(UsageError, match=r"gives 6 values a step.*SafetyGymnasium2Gymnasium"):
            foreign(Registered("equipoise-test/six-v0")).step(np.zeros((2, 2)))
        step = foreign(Registered("equipoise-test/five-v0")).step(np.zeros((2, 2)))
        assert step.cost.tolist() == [[7.0], [7.0]]
    finally:
        del gymnasium.registry["equipoise-test/six-v0"], gymnasium.registry["equipoise-test/five-v0"]


# What is made


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e39])
def test_a_start_that_is_not_finite_is_refused_naming_the_entry(value):
    class Blind(Cart):
        def reset(self, *, seed=None, options=None):
            super().reset(seed=seed)
            return np.array([self.place, value]), {}

    said = re.escape(f"Cart.reset gives an observation with {value:g} at [1]; allowed: finite")
    with pytest.raises(UsageError, match=f"^{said}"):
        foreign(Blind)


@pytest.mark.parametrize("short", ["reset", "step"])
def test_an_observation_that_does_not_fit_its_space_is_refused_where_it_first_comes(short):
    class Short(Cart):
        def reset(self, *, seed=None, options=None):
            observation, info = super().reset(seed=seed)
            return observation[:1] if short == "reset" else observation, info

        def step(self, action):
            observation, *rest = super().step(action)
            return observation[:1], *rest

    said = re.escape(f"Cart.{short} gives an observation of shape (1,); its space says (2,)")
    with pytest.raises(UsageError, match=f"^{said}$"):
        foreign(Short).step(np.zeros((2, 2)))


def test_the_same_environment_in_every_place_is_refused():
    one = Cart()
    for make in (lambda: one, lambda: gymnasium.wrappers.TimeLimit(one, 5)):
        with pytest.raises(UsageError, match=r"^Cart is the same environment every time it is made"):
            foreign(make)


class OldSpace:
    """A space of the package gym."""


OldSpace.__module__ = "gym.spaces.box"


class Unseeded(Cart):
    def reset(self):
        return super().reset()


class Optionless(Cart):
    def reset(self, seed=None):
        return super().reset(seed=seed)


class Bare:
    observation_space, action_space = Cart.observation_space, Cart.action_space

    def reset(self, *, seed=None, options=None):
        return np.zeros(2), {}

    def step(self, action):
        return np.zeros(2), 0.0, False, False, {"cost": 0.0}


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: None, "Cart makes None; allowed: an environment of gymnasium's"),
        (dict, "Cart makes a dict; allowed: an environment of gymnasium's"),
        (Bare, "Cart makes a Bare of test_foreign; allowed: an environment of gymnasium's (import gymnasium in place"),
        (
            type("Old", (Cart,), {"action_space": OldSpace()}),
            "Cart makes an Old of the old package gym; allowed: an environment of gymnasium's (import gymnasium in",
        ),
        (Unseeded, "Cart.reset takes no seed; allowed: reset(self, *, seed=None, options=None), and super()"),
        (
            lambda: gymnasium.wrappers.TimeLimit(Optionless(), 5),
            "Cart.reset takes no options; allowed: reset(self, *, seed=None, options=None), and super()",
        ),
    ],
)
def test_what_is_no_environment_of_gymnasiums_is_refused_naming_what_it_is(make, said):
    with pytest.raises(UsageError) as error:
        foreign(make)
    assert str(error.value).startswith(said)


def test_a_reset_that_only_its_own_caller_calls_needs_no_options():
    assert foreign(Optionless).problem.observation_size == 2


@pytest.mark.parametrize("huge", [np.inf, np.finfo(np.float32).max])
def test_a_bound_that_is_none_leaves_the_unit_of_actions_at_one(huge):
    class Free(Cart):
        action_space = Box(np.array([-huge, -1], np.float32), np.array([huge, 3], np.float32))

    problem = foreign(Free).problem
    assert (problem.action_middle, problem.action_unit) == ((0.0, 1.0), (1.0, 2.0))
    assert (problem.action_low[1], problem.action_high[1]) == (-1.0, 3.0)
    assert np.isfinite([problem.action_low, problem.action_high]).all()
