"""Native physics: deterministic whatever the threads, exact after `set_state`, and safe when it diverges."""

from __future__ import annotations

import dataclasses

import mujoco
import mujoco.batch
import numpy as np
import pytest

from equipoise.errors import UsageError
from equipoise.physics import NativePhysics, Simulator, Transition
from equipoise.physics.native import ONE_THREAD, _finite
from equipoise.tasks import TASKS
from registries import CLASSIC, SAMPLE

every_task = pytest.mark.parametrize("task_id", CLASSIC)
every_kind = pytest.mark.parametrize("task_id", SAMPLE)


@pytest.fixture(autouse=True)
def in_its_own_folder(tmp_path, monkeypatch):
    """MuJoCo writes its warnings to MUJOCO_LOG.TXT in the working folder."""
    monkeypatch.chdir(tmp_path)


def make(task_id: str, num_envs: int, threads: int = 1) -> NativePhysics:
    """Physics whose environments stand in their first episode's start, environment i's drawn from generator i."""
    physics = NativePhysics(TASKS[task_id], num_envs, threads)
    physics.reset(range(num_envs), generators(range(num_envs)))
    return physics


def generators(seeds) -> list[np.random.Generator]:
    return [np.random.default_rng(seed) for seed in seeds]


def random_actions(physics: NativePhysics, steps: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-1.5, 1.5, (steps, physics.num_envs, physics.model.nu))


def run(physics: NativePhysics, actions: np.ndarray) -> Transition:
    """Step through `actions`; every array of the result with time as its first axis."""
    return Transition(*map(np.stack, zip(*(arrays(physics.step(action)) for action in actions), strict=True)))


def arrays(transition: Transition) -> tuple[np.ndarray, ...]:
    """All of a transition that has an entry for every environment."""
    return tuple(x for x in transition if isinstance(x, np.ndarray))


def assert_identical(a: Transition, b: Transition) -> None:
    for name, x, y in zip(Transition._fields, arrays(a), arrays(b), strict=False):
        np.testing.assert_array_equal(x, y, err_msg=name, strict=True)


def rows(transition: Transition, num_envs) -> Transition:
    return Transition(*(x[:, num_envs] for x in arrays(transition)))


# Determinism


@pytest.mark.one_in(10)
@every_kind
@pytest.mark.parametrize("threads", [2, 0])
def test_bits_do_not_depend_on_the_number_of_threads(task_id, threads):
    one, many = make(task_id, num_envs=5, threads=1), make(task_id, num_envs=5, threads=threads)
    actions = random_actions(one, steps=60)
    assert_identical(run(one, actions), run(many, actions))


@pytest.mark.one_in(10)
@every_kind
def test_a_slot_does_not_depend_on_the_other_slots(task_id):
    together = make(task_id, num_envs=5)
    actions = random_actions(together, steps=60)
    results = run(together, actions)
    for num_envs in ([0], [0, 1, 2]):
        fewer = make(task_id, len(num_envs))
        assert_identical(run(fewer, actions[:, num_envs]), rows(results, num_envs))
    alone = NativePhysics(TASKS[task_id], 1, threads=1)
    alone.reset([0], generators([4]))
    assert_identical(run(alone, actions[:, [4]]), rows(results, [4]))


@pytest.mark.one_in(10)
@every_kind
def test_resetting_a_slot_disturbs_no_other_and_forgets_what_was_before(task_id):
    undisturbed, physics, fresh = make(task_id, 3), make(task_id, 3), NativePhysics(TASKS[task_id], 1, 1)
    actions = random_actions(physics, steps=60)
    expected = run(undisturbed, actions)
    before = run(physics, actions[:30])
    physics.reset([1], generators([9]))
    fresh.reset([0], generators([9]))
    after = run(physics, actions[30:])
    assert_identical(rows(before, [0, 1, 2]), Transition(*(x[:30] for x in arrays(expected))))
    assert_identical(rows(after, [0, 2]), rows(Transition(*(x[30:] for x in arrays(expected))), [0, 2]))
    assert_identical(rows(after, [1]), run(fresh, actions[30:, [1]]))


@every_kind
def test_reset_returns_what_is_observed_in_the_new_states_in_the_order_asked_for(task_id):
    physics = make(task_id, 3)
    run(physics, random_actions(physics, steps=5))
    seen = physics.reset([2, 0], generators([1, 2]))
    np.testing.assert_array_equal(seen, physics.task.observation(physics.state)[[2, 0]])
    assert not (seen[0] == seen[1]).all()


# Setting states


def some_states(physics: NativePhysics, num_envs: int, seed: int = 3) -> tuple[np.ndarray, np.ndarray]:
    random, model = np.random.default_rng(seed), physics.model
    qpos = model.qpos0 + random.uniform(-0.1, 0.1, (num_envs, model.nq))
    return qpos, random.normal(0.0, 1.0, (num_envs, model.nv))


@every_task
def test_after_set_state_a_step_is_exactly_that_of_fresh_data(task_id):
    physics = make(task_id, 3)
    run(physics, random_actions(physics, steps=20))  # leaves warm starts, controls and time behind
    qpos, qvel = some_states(physics, 2)
    physics.set_state(qpos, qvel, indices=[2, 0])
    action = random_actions(physics, steps=1, seed=4)[0]
    physics.step(action)
    for env, q, v in zip([2, 0], qpos, qvel, strict=True):
        data = mujoco.MjData(physics.model)
        data.qpos[:], data.qvel[:] = q, v
        mujoco.mj_forward(physics.model, data)
        data.ctrl[:] = action[env]
        mujoco.mj_step(physics.model, data, TASKS[task_id].frame_skip)
        np.testing.assert_array_equal(physics.state.qpos[env], data.qpos)
        np.testing.assert_array_equal(physics.state.qvel[env], data.qvel)


@every_task
def test_after_set_state_derived_quantities_are_those_of_the_new_state(task_id):
    physics = make(task_id, 3)
    run(physics, random_actions(physics, steps=5))
    before, (qpos, qvel) = physics.state, some_states(physics, 2)
    physics.set_state(qpos, qvel, indices=[2, 0])
    for name in TASKS[task_id].fields:
        got = getattr(physics.state, name)
        np.testing.assert_array_equal(got[1], getattr(before, name)[1], err_msg=name)
        for env, q, v in zip([2, 0], qpos, qvel, strict=True):
            data = mujoco.MjData(physics.model)
            data.qpos[:], data.qvel[:] = q, v
            mujoco.mj_forward(physics.model, data)
            np.testing.assert_array_equal(got[env], getattr(data, name), err_msg=name)


@every_kind
def test_set_state_writes_the_slots_named_or_all_and_no_other(task_id):
    physics = make(task_id, 3)
    before, (qpos, qvel) = physics.state, some_states(physics, 3)
    physics.set_state(qpos[:1], qvel[:1], indices=[1])
    np.testing.assert_array_equal(physics.state.qpos, [before.qpos[0], qpos[0], before.qpos[2]])
    np.testing.assert_array_equal(physics.state.qvel, [before.qvel[0], qvel[0], before.qvel[2]])
    physics.set_state(qpos, qvel)
    np.testing.assert_array_equal(physics.state.qpos, qpos)
    np.testing.assert_array_equal(physics.state.qvel, qvel)


@every_kind
def test_what_was_returned_does_not_change_with_later_steps(task_id):
    physics = make(task_id, 2)
    actions = random_actions(physics, steps=2)
    state, step = physics.state, physics.step(actions[0])
    kept = [np.copy(x) for x in (state.qpos, state.qvel, *arrays(step))]
    physics.step(actions[1])
    state.qpos[:] = 7.0
    assert not (physics.state.qpos == 7.0).any()
    for x, y in zip((state.qvel, *arrays(step)), kept[1:], strict=True):
        np.testing.assert_array_equal(x, y)


# Derived quantities

FORCED = [task_id for task_id in CLASSIC if "cfrc_ext" in TASKS[task_id].fields]


@every_task
def test_the_state_holds_the_fields_that_the_task_lists_and_no_others(task_id):
    state = make(task_id, 1).state
    held = {field.name for field in dataclasses.fields(state) if getattr(state, field.name) is not None}
    assert held == {"qpos", "qvel", *TASKS[task_id].fields}


class Plain:
    """One simulation of plain MuJoCo, its body forces computed after every step."""

    def __init__(self, physics: NativePhysics) -> None:
        self.model, self.data = physics.model, mujoco.MjData(physics.model)
        self.frame_skip = physics.task.frame_skip

    def set_state(self, qpos: np.ndarray, qvel: np.ndarray) -> None:
        mujoco.mj_resetData(self.model, self.data)
        self.data.qpos[:], self.data.qvel[:] = qpos, qvel
        mujoco.mj_forward(self.model, self.data)

    def step(self, action: np.ndarray) -> None:
        self.data.ctrl[:] = action
        mujoco.mj_step(self.model, self.data, self.frame_skip)
        mujoco.mj_rnePostConstraint(self.model, self.data)


def assert_same_fields(physics: NativePhysics, plain: list[Plain], fields: tuple[str, ...]) -> None:
    state = physics.state
    for name in fields:
        expected = [getattr(simulation.data, name) for simulation in plain]
        np.testing.assert_array_equal(getattr(state, name), expected, err_msg=name)


@pytest.mark.one_in(10)
@every_task
@pytest.mark.parametrize("threads", [1, 3])
def test_derived_quantities_are_those_of_plain_mujoco_in_every_slot_also_after_some_are_reset(task_id, threads):
    num_envs, fields = 5, ("qpos", "qvel", *TASKS[task_id].fields)
    physics = make(task_id, num_envs, threads)
    plain = [Plain(physics) for _ in range(num_envs)]
    resets = {0: list(range(num_envs)), 20: [3, 1], 30: [4, 0]}
    for t, action in enumerate(random_actions(physics, steps=36)):
        if t in resets:
            physics.reset(resets[t], generators(resets[t]))
            state = physics.state
            for env in resets[t]:
                plain[env].set_state(state.qpos[env], state.qvel[env])
                assert not plain[env].data.cfrc_ext.any(), "no step has been taken"
            assert_same_fields(physics, plain, fields)
        physics.step(action)
        for simulation, a in zip(plain, action, strict=True):
            simulation.step(a)
        assert_same_fields(physics, plain, fields)


def test_only_tasks_that_read_body_forces_pay_for_them(monkeypatch):
    def never(model: mujoco.MjModel, data: mujoco.MjData) -> None:
        raise AssertionError

    monkeypatch.setattr(mujoco, "mj_rnePostConstraint", never)
    for task_id in SAMPLE:
        physics = make(task_id, 1)
        action = np.zeros((1, physics.model.nu))
        if task_id in FORCED:
            with pytest.raises(AssertionError):
                physics.step(action)
        else:
            physics.step(action)


# Wrong arguments


def wrong_value(array: np.ndarray, value: float) -> np.ndarray:
    array = array.copy()
    array[1, 2] = value
    return array


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", ["action", "qpos", "qvel"])
def test_a_number_that_is_not_finite_is_named_with_its_place(name, value):
    physics = make("SafetyHopper-v4", 2)
    before, (qpos, qvel) = physics.state, some_states(physics, 2)
    with pytest.raises(UsageError, match=rf"{name} holds {value} at \[1, 2\]; allowed: finite numbers"):
        if name == "action":
            physics.step(wrong_value(np.zeros((2, 3)), value))
        elif name == "qpos":
            physics.set_state(wrong_value(qpos, value), qvel)
        else:
            physics.set_state(qpos, wrong_value(qvel, value))
    np.testing.assert_array_equal(physics.state.qpos, before.qpos)
    np.testing.assert_array_equal(physics.state.qvel, before.qvel)


@pytest.mark.parametrize("shape", [(2, 4), (2, 2), (3, 3), (1, 3)])
def test_a_wrong_action_shape_is_named_with_the_one_allowed(shape):
    physics = make("SafetyHopper-v4", 2)
    message = rf"action has shape \({shape[0]}, {shape[1]}\); allowed: \(2, 3\)"
    with pytest.raises(UsageError, match=message):
        physics.step(np.zeros(shape))


@pytest.mark.parametrize(
    ("name", "qpos_shape", "qvel_shape", "num_envs", "allowed"),
    [
        ("qpos", (2, 5), (2, 6), None, (2, 6)),
        ("qvel", (2, 6), (2, 7), None, (2, 6)),
        ("qpos", (1, 6), (1, 6), None, (2, 6)),
        ("qpos", (2, 6), (2, 6), [1], (1, 6)),
    ],
)
def test_a_wrong_state_shape_is_named_with_the_one_allowed(name, qpos_shape, qvel_shape, num_envs, allowed):
    physics = make("SafetyHopper-v4", 2)
    shape = qpos_shape if name == "qpos" else qvel_shape
    with pytest.raises(UsageError) as error:
        physics.set_state(np.zeros(qpos_shape), np.zeros(qvel_shape), num_envs)
    assert f"{name} has shape {shape}; allowed: {allowed}" in str(error.value)


@pytest.mark.parametrize("num_envs", [[0, 2], [0, -1], [1, 1]])
def test_slots_that_are_not_there_or_named_twice_are_refused(num_envs):
    physics = make("SafetyHopper-v4", 2)
    with pytest.raises(UsageError, match=r"indices holds .*; allowed: distinct numbers from 0 to 1"):
        physics.set_state(*some_states(physics, 2), indices=num_envs)


# Divergence


def absurd(physics: NativePhysics, field: str, value: float) -> tuple[np.ndarray, np.ndarray]:
    qpos, qvel = physics.model.qpos0[None].copy(), np.zeros((1, physics.model.nv))
    (qpos if field == "qpos" else qvel)[:] = value
    return qpos, qvel


@pytest.mark.one_in(10)
@every_task
@pytest.mark.parametrize("field", ["qpos", "qvel"])
@pytest.mark.parametrize("value", [1e9, -1e12, 1e200])
def test_a_diverged_slot_is_reported_disturbs_no_other_and_works_again_after_its_reset(task_id, field, value):
    healthy, physics, fresh = (
        make(task_id, 4),
        make(task_id, 4, threads=2),
        NativePhysics(TASKS[task_id], 1, 1),
    )
    actions = random_actions(physics, steps=12)
    physics.set_state(*absurd(physics, field, value), indices=[2])
    expected, got = run(healthy, actions), run(physics, actions)
    assert got.diverged[:, 2].all(), "from its first step on, until it is reset"
    assert not got.terminated[:, 2].any()
    assert not np.allclose(physics.state.qpos[2], physics.model.qpos0, atol=10), "MuJoCo resets nothing silently"
    assert_identical(rows(got, [0, 1, 3]), rows(expected, [0, 1, 3]))
    physics.reset([2], generators([8]))
    fresh.reset([0], generators([8]))
    again = run(physics, actions)
    assert not again.diverged.any()
    assert_identical(rows(again, [2]), run(fresh, actions[:, [2]]))
    assert_identical(rows(again, [0, 1, 3]), rows(run(healthy, actions), [0, 1, 3]))


@every_task
def test_a_state_that_breaks_down_before_any_step_is_forgotten_at_the_reset(task_id):
    physics = make(task_id, 3)
    physics.set_state(*absurd(physics, "qvel", 1e200), indices=[1])
    physics.reset([1], generators([8]))
    assert not run(physics, random_actions(physics, steps=2)).diverged.any()


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("field", ["qpos", "qvel"])
def test_a_slot_whose_state_is_not_finite_has_diverged_though_mujoco_says_nothing(monkeypatch, field, value):
    physics = make("SafetyHopper-v4", 3)
    batch = physics._batch

    class Silent:
        def step(self, **asked) -> None:
            batch.step(**asked)
            batch.bind(field)[1, -1] = value

    monkeypatch.setattr(physics, "_batch", Silent())
    step = physics.step(np.zeros((3, 3)))
    assert step.diverged.tolist() == [False, True, False]
    assert not step.terminated[1]


@pytest.mark.parametrize("size", [1, ONE_THREAD, ONE_THREAD + 1])
def test_no_number_that_is_not_finite_is_overlooked(size):
    for value in (np.nan, np.inf, -np.inf):
        for place in (0, size // 2, size - 1):
            values = np.ones((1, size))
            values[0, place] = value
            assert not _finite(values)
    assert _finite(np.full((1, size), 1e300)), "though its square overflows"


def test_large_states_are_not_shared_out_among_the_threads_of_blas(monkeypatch):
    sizes = []
    multiply = np.vdot
    monkeypatch.setattr(np, "vdot", lambda a, b: (sizes.append(a.size), multiply(a, b))[1])
    for size in (ONE_THREAD, ONE_THREAD + 1):
        assert _finite(np.ones(size))
    assert sizes == [ONE_THREAD]


def test_a_slot_in_which_mujoco_raises_has_diverged(monkeypatch):
    physics = make("SafetyHopper-v4", 3)

    class Raising:
        def step(self, **asked) -> None:
            raise mujoco.batch.SimulationError(np.array([1]), "stack overflow")

    monkeypatch.setattr(physics, "_batch", Raising())
    assert physics.step(np.zeros((3, 3))).diverged.tolist() == [False, True, False]


def test_it_stands_behind_the_simulator_door():
    assert isinstance(NativePhysics(TASKS["SafetyHopper-v4"], 1, threads=1), Simulator)
