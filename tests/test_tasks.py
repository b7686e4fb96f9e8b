"""Every registered task, held against formulas written again from its specification and stepped by plain MuJoCo."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import gymnasium
import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest
from scipy import stats

from equipoise.errors import UsageError
from equipoise.physics import NativePhysics
from equipoise.tasks import TASKS, MeasuredLimit, State, Task, find_task

ASSETS = Path(gymnasium.__file__).parent / "envs" / "mujoco" / "assets"
SLOTS = 4
every_task = pytest.mark.parametrize("task_id", TASKS)


@dataclasses.dataclass(frozen=True)
class Spec:
    """A task as its specification has it; `before` and `after` are one simulation's MjData, `dt` a step's seconds."""

    model: str
    frame_skip: int
    observation_size: int
    observation: Callable  # (data) -> vector
    reward: Callable  # (before, action, after, dt) -> number
    effort: Callable  # (action) -> what the cost charges for the action alone
    state_cost: Callable  # (before, after) -> the rest of the cost
    qpos_noise: Callable  # (size) -> distribution of qpos − q0
    qvel_noise: Callable  # (size) -> distribution of qvel − v0
    terminated: Callable = lambda data: False
    horizon: int = 1000


def uniform(width: float) -> Callable:
    return lambda size: [stats.uniform(-width, 2 * width)] * size


def normal(deviation: float) -> Callable:
    return lambda size: [stats.norm(0, deviation)] * size


def forward_velocity(before: mujoco.MjData, after: mujoco.MjData, dt: float) -> float:
    return (after.qpos[0] - before.qpos[0]) / dt


def hopper_is_healthy(data: mujoco.MjData) -> bool:
    rest = np.concatenate([data.qpos, data.qvel])[2:]
    return bool(np.all((rest > -100) & (rest < 100)) and data.qpos[1] > 0.7 and -0.2 < data.qpos[2] < 0.2)


SPECS = {
    "SafetyHalfCheetah-v4": Spec(
        model="half_cheetah.xml",
        frame_skip=5,
        observation_size=17,
        observation=lambda data: np.concatenate([data.qpos[1:], data.qvel]),
        reward=lambda before, action, after, dt: -abs(forward_velocity(before, after, dt) - 0.3),
        effort=lambda action: 0.0,
        state_cost=lambda before, after: abs(after.qpos[1]),
        qpos_noise=uniform(0.1),
        qvel_noise=normal(0.1),
    ),
    "SafetyHopper-v4": Spec(
        model="hopper.xml",
        frame_skip=4,
        observation_size=11,
        observation=lambda data: np.concatenate([data.qpos[1:], np.clip(data.qvel, -10, 10)]),
        reward=lambda before, action, after, dt: forward_velocity(before, after, dt),
        effort=lambda action: 0.5 * np.dot(action, action),
        state_cost=lambda before, after: 0.0 if hopper_is_healthy(after) else 1.0,
        qpos_noise=uniform(0.005),
        qvel_noise=uniform(0.005),
    ),
}
"""By task id. A registered task without an entry here fails: its specification is to be written a second time."""


@pytest.fixture(autouse=True)
def in_its_own_folder(tmp_path, monkeypatch):
    """MuJoCo writes its warnings to MUJOCO_LOG.TXT in the working folder."""
    monkeypatch.chdir(tmp_path)


class Reference:
    """One environment on plain MuJoCo: no batch, no vectorised formula, nothing of the library."""

    def __init__(self, task_id: str) -> None:
        self.spec = SPECS[task_id]
        self.model = mujoco.MjModel.from_xml_path(str(ASSETS / self.spec.model))
        self.data, self.before = mujoco.MjData(self.model), mujoco.MjData(self.model)
        self.dt = self.spec.frame_skip * self.model.opt.timestep

    def set_state(self, qpos: np.ndarray, qvel: np.ndarray) -> np.ndarray:
        mujoco.mj_resetData(self.model, self.data)
        self.data.qpos[:], self.data.qvel[:] = qpos, qvel
        mujoco.mj_forward(self.model, self.data)
        return self.spec.observation(self.data)

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, float, bool]:
        before, spec = self.before, self.spec
        mujoco.mj_copyData(before, self.model, self.data)
        self.data.ctrl[:] = action
        for _ in range(spec.frame_skip):
            mujoco.mj_step(self.model, self.data)
        mujoco.mj_rnePostConstraint(self.model, self.data)
        cost = spec.effort(action) + spec.state_cost(before, self.data)
        reward = spec.reward(before, action, self.data, self.dt)
        return spec.observation(self.data), reward, cost, spec.terminated(self.data)


def actions_for(physics: NativePhysics, random: np.random.Generator, scale: float) -> np.ndarray:
    """One action a slot, uniform over the control range widened by `scale` about its middle."""
    low, high = physics.model.actuator_ctrlrange.T
    reach = scale * (high - low) / 2
    return (low + high) / 2 + random.uniform(-reach, reach, (physics.slots, len(low)))


def random_state(physics: NativePhysics, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Slots' states well outside of what resets give."""
    start = physics.model.qpos0
    qpos = start + random.uniform(-0.2, 0.2, (physics.slots, len(start)))
    return qpos, random.normal(0.0, 2.0, (physics.slots, physics.model.nv))


def walk(task_id: str, steps: int = 5) -> tuple[Task, State, np.ndarray, State]:
    """Return the task and one random transition (before, action, after) of each slot."""
    physics, random = NativePhysics(TASKS[task_id], SLOTS, threads=1), np.random.default_rng(5)
    physics.reset(range(SLOTS), [np.random.default_rng(i) for i in range(SLOTS)])
    for _ in range(steps):
        before, action = physics.state, actions_for(physics, random, 1.5)
        physics.step(action)
    return physics.task, before, action, physics.state


def evaluate(task: Task, before: State, action: object, after: State) -> tuple:
    return (
        task.observation(after),
        task.reward(before, action, after),
        task.cost(before, action, after),
        task.terminated(after),
    )


def on_fields(change: Callable, state: State) -> State:
    """Apply `change` to every array of `state`; a field that the task leaves out stays None."""
    values = {f.name: getattr(state, f.name) for f in dataclasses.fields(state)}
    return State(**{name: None if value is None else change(value) for name, value in values.items()})


def assert_same(got: tuple, expected: tuple, tolerance: float) -> None:
    for a, b in zip(got, expected, strict=True):
        assert np.shape(a) == np.shape(b)
        np.testing.assert_allclose(np.asarray(a, float), np.asarray(b, float), rtol=tolerance, atol=tolerance)


# Parity with plain MuJoCo


@every_task
@pytest.mark.parametrize("scale", [1.0, 3.0])
def test_200_steps_equal_plain_mujoco_and_the_specified_formulas(task_id, scale):
    physics, random = NativePhysics(TASKS[task_id], SLOTS, threads=1), np.random.default_rng(1)
    references = [Reference(task_id) for _ in range(SLOTS)]
    for t in range(200):
        if t % 50 == 0:
            if t % 100 == 0:
                seen = physics.reset(range(SLOTS), [np.random.default_rng([t, i]) for i in range(SLOTS)])
            else:
                physics.set_state(*random_state(physics, random))
                seen = physics.task.observation(physics.state)
            states = zip(references, physics.state.qpos, physics.state.qvel, strict=True)
            np.testing.assert_allclose(seen, [r.set_state(*s) for r, *s in states], rtol=0, atol=1e-9)
        action = actions_for(physics, random, scale)
        got = physics.step(action)
        expected = [r.step(a) for r, a in zip(references, action, strict=True)]
        observation, reward, cost, terminated = (np.array(column) for column in zip(*expected, strict=True))
        assert not got.diverged.any() and not got.truncated.any()
        np.testing.assert_allclose(got.observation, observation, rtol=1e-12, atol=1e-9)
        np.testing.assert_allclose(got.reward, reward, rtol=1e-12, atol=1e-9)
        np.testing.assert_allclose(got.cost, cost.reshape(SLOTS, -1), rtol=1e-12, atol=1e-9)
        np.testing.assert_array_equal(got.terminated, terminated)
        assert (got.cost >= 0).all()


@every_task
def test_mujoco_clamps_the_action_and_the_cost_charges_it_as_given(task_id):
    free, clipped = (NativePhysics(TASKS[task_id], SLOTS, threads=1) for _ in range(2))
    low, high = free.model.actuator_ctrlrange.T
    for physics in (free, clipped):
        physics.reset(range(SLOTS), [np.random.default_rng(i) for i in range(SLOTS)])
    action = actions_for(free, np.random.default_rng(2), 3.0)
    inside = np.clip(action, low, high)
    assert (action != inside).any()
    a, b = free.step(action), clipped.step(inside)
    np.testing.assert_array_equal(a.observation, b.observation)
    effort = SPECS[task_id].effort
    extra = [effort(x) - effort(y) for x, y in zip(action, inside, strict=True)]
    np.testing.assert_allclose((a.cost - b.cost).sum(-1), extra, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    ("entry", "value", "healthy"),
    [
        (("qpos", 1), 0.7, False),
        (("qpos", 1), 0.7001, True),
        (("qpos", 1), 1e3, True),
        (("qpos", 2), 0.2, False),
        (("qpos", 2), -0.2, False),
        (("qpos", 2), -0.1999, True),
        (("qpos", 3), 100.0, False),
        (("qpos", 5), -99.9, True),
        (("qvel", 0), -100.0, False),
        (("qvel", 5), 100.0, False),
        (("qvel", 1), 99.9, True),
        (("qpos", 0), 1e3, True),
    ],
)
def test_hopper_is_charged_exactly_outside_its_healthy_region(entry, value, healthy):
    task = TASKS["SafetyHopper-v4"](dt=0.008)
    state = State(qpos=np.array([0.0, 1.25, 0.0, 0.0, 0.0, 0.0]), qvel=np.zeros(6))
    getattr(state, entry[0])[entry[1]] = value
    cost = task.cost(state, np.array([1.0, 2.0, -1.0]), state)
    assert cost.tolist() == [3.0 if healthy else 4.0]


# The same functions on any shape and in any array namespace


@every_task
def test_leading_shapes_broadcast(task_id):
    task, before, action, after = walk(task_id)
    rows = evaluate(task, before, action, after)
    for i in range(SLOTS):
        one = [on_fields(lambda x, i=i: x[i], state) for state in (before, after)]
        assert_same(evaluate(task, one[0], action[i], one[1]), tuple(x[i] for x in rows), 1e-12)
    grid = [on_fields(lambda x: x.reshape(2, 2, *x.shape[1:]), state) for state in (before, after)]
    square = evaluate(task, grid[0], action.reshape(2, 2, -1), grid[1])
    assert_same(square, tuple(x.reshape(2, 2, *x.shape[1:]) for x in rows), 1e-12)


@every_task
@pytest.mark.parametrize(("x64", "tolerance"), [(True, 1e-12), (False, 2e-4)])
def test_jax_gives_what_numpy_gives_also_compiled_and_mapped(task_id, x64, tolerance):
    task, before, action, after = walk(task_id)
    expected = evaluate(task, before, action, after)

    def arrays(state: State) -> dict:
        values = {f.name: getattr(state, f.name) for f in dataclasses.fields(state)}
        return {name: jnp.asarray(value) for name, value in values.items() if value is not None}

    def on_arrays(before: dict, action: jax.Array, after: dict) -> tuple:
        return evaluate(task, State(**before), action, State(**after))

    with jax.enable_x64(x64):
        inputs = arrays(before), jnp.asarray(action), arrays(after)
        for function in (on_arrays, jax.jit(on_arrays), jax.jit(jax.vmap(on_arrays))):
            results = function(*inputs)
            assert all(isinstance(x, jax.Array) for x in results)
            assert results[0].dtype == (np.float64 if x64 else np.float32)
            assert_same(results, expected, tolerance)


@every_task
def test_reset_in_jax_gives_what_numpy_gives(task_id):
    model = Reference(task_id).model
    task, start = TASKS[task_id](dt=0.01), (model.qpos0, np.zeros(model.nv))
    with jax.enable_x64(True):
        got = task.reset(*map(jnp.asarray, start), np.random.default_rng(3))
        assert all(isinstance(x, jax.Array) for x in got)
        assert_same(got, task.reset(*start, np.random.default_rng(3)), 1e-12)


# Resets


@every_task
def test_reset_noise_follows_its_documented_distribution(task_id):
    model, draws = Reference(task_id).model, 1000
    task, random = TASKS[task_id](dt=0.01), np.random.default_rng(7)
    q0, v0 = model.qpos0 + 0.0, np.linspace(-1.0, 1.0, model.nv)
    qpos, qvel = map(np.array, zip(*(task.reset(q0, v0, random) for _ in range(draws)), strict=True))
    noise = np.concatenate([qpos - q0, qvel - v0], axis=1)
    spec = SPECS[task_id]
    laws = spec.qpos_noise(model.nq) + spec.qvel_noise(model.nv)
    assert noise.shape == (draws, len(laws))
    for column, law in zip(noise.T, laws, strict=True):
        low, high = law.support()
        assert low - 1e-12 <= column.min() and column.max() <= high + 1e-12
        if np.isfinite(high - low):
            assert max(column.min() - low, high - column.max()) < 0.02 * (high - low), "the bounds are reached"
        assert stats.kstest(column, law.cdf).pvalue > 1e-5
        assert abs(column.std() / law.std() - 1) < 0.1
    correlation = np.corrcoef(noise.T) - np.eye(len(laws))
    assert abs(correlation).max() < 6 / np.sqrt(draws), "entries of the noise are independent"


@every_task
def test_reset_is_reproducible_from_its_generator_and_leaves_its_inputs_alone(task_id):
    model = Reference(task_id).model
    task, q0, v0 = TASKS[task_id](dt=0.01), model.qpos0.copy(), np.zeros(model.nv)
    first, again, other = (task.reset(q0, v0, np.random.default_rng(seed)) for seed in (0, 0, 1))
    assert all((a == b).all() for a, b in zip(first, again, strict=True))
    assert all((a != b).any() for a, b in zip(first, other, strict=True))
    assert (q0 == model.qpos0).all() and (v0 == 0).all()


# What a task declares


def test_every_registered_task_is_specified_here_and_nothing_else():
    assert sorted(SPECS) == sorted(TASKS)


@every_task
def test_declarations_agree_with_the_specification_and_the_model(task_id):
    task, spec = TASKS[task_id], SPECS[task_id]
    assert task.id == task_id and find_task(task_id) is task
    declared = (task.model, task.frame_skip, task.observation_size, task.horizon)
    assert declared == (spec.model, spec.frame_skip, spec.observation_size, spec.horizon)
    physics = NativePhysics(task, 1, threads=1)
    assert physics.task.dt == pytest.approx(Reference(task_id).dt, rel=1e-15)
    assert physics.reset([0], [np.random.default_rng(0)]).shape == (1, spec.observation_size)
    assert physics.problem.id == task_id and physics.problem.action_size == physics.model.nu
    assert physics.step(np.zeros((1, physics.model.nu))).cost.shape == (1, len(task.cost_names))


@every_task
def test_docstring_says_what_is_observed_rewarded_and_charged_and_where_it_comes_from(task_id):
    text = (TASKS[task_id].__doc__ or "").lower()
    assert [word for word in ("observation", "reward", "cost", "source") if word not in text] == []


@every_task
def test_limits_lie_between_the_two_measured_scores_one_a_constraint(task_id):
    task = TASKS[task_id]
    assert len(task.limits()) == len(task.measured) == len(task.cost_names) == len(set(task.cost_names)) > 0
    for limit, measured in zip(task.limits(), task.measured, strict=True):
        assert 0 <= measured.cost_only < limit < measured.unconstrained


@pytest.mark.parametrize(
    ("cost_only", "unconstrained", "limit"),
    [(10.0, 90.0, 30.0), (0.0, 1.0, 0.25), (1234.5, 4321.0, 2010.0), (0.0, 0.49384, 0.123)],
)
def test_limit_is_a_quarter_of_the_way_up_to_three_digits(cost_only, unconstrained, limit):
    assert MeasuredLimit(cost_only, unconstrained).limit == limit


def test_unknown_task_names_the_nearest():
    with pytest.raises(UsageError, match=r"unknown task 'SafetyHoper-v4'; did you mean 'SafetyHopper-v4'\?"):
        find_task("SafetyHoper-v4")
