"""Every registered task, held against formulas written again from its specification and stepped by plain MuJoCo."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest
from scipy import stats

from controllers import trained_states
from equipoise.errors import UsageError
from equipoise.physics import NativePhysics
from equipoise.tasks import TASKS, MeasuredLimit, State, Task, find_task
from equipoise.tasks.task import DERIVED
from registries import CLASSIC
from specifications import SPECS, Reference, load

NUM_ENVS = 4
every_task = pytest.mark.parametrize("task_id", CLASSIC)


@pytest.fixture(autouse=True)
def in_its_own_folder(tmp_path, monkeypatch):
    """MuJoCo writes its warnings to MUJOCO_LOG.TXT in the working folder."""
    monkeypatch.chdir(tmp_path)


def make(task_id: str, num_envs: int = NUM_ENVS) -> NativePhysics:
    """Physics whose environments stand in their first episode's start, environment i's drawn from generator i."""
    physics = NativePhysics(TASKS[task_id], num_envs, threads=1)
    physics.reset(range(num_envs), [np.random.default_rng(i) for i in range(num_envs)])
    return physics


def make_task(task_id: str) -> Task:
    return NativePhysics(TASKS[task_id], 1, threads=1).task


def actions_for(physics: NativePhysics, random: np.random.Generator, scale: float) -> np.ndarray:
    """One action an environment, uniform over the control range widened by `scale` about its middle."""
    low, high = physics.model.actuator_ctrlrange.T
    reach = scale * (high - low) / 2
    return (low + high) / 2 + random.uniform(-reach, reach, (physics.num_envs, len(low)))


def state_of(data: mujoco.MjData) -> State:
    return State(**{name: np.array(getattr(data, name)) for name in ("qpos", "qvel", *DERIVED)})


def walk(task_id: str, steps: int = 5) -> tuple[Task, State, np.ndarray, State]:
    """Return the task and one random transition (before, action, after) of each environment."""
    physics, random = make(task_id), np.random.default_rng(5)
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


def random_state(physics: NativePhysics, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Environments' states well outside of what resets give."""
    start = physics.model.qpos0
    qpos = start + random.uniform(-0.2, 0.2, (physics.num_envs, len(start)))
    return qpos, random.normal(0.0, 2.0, (physics.num_envs, physics.model.nv))


def begin(physics: NativePhysics, where: str, random: np.random.Generator) -> np.ndarray:
    """Put every environment where an episode is to begin, and return what is seen there."""
    if where == "reset":
        return physics.reset(range(NUM_ENVS), [np.random.default_rng([7, i]) for i in range(NUM_ENVS)])
    if where == "random":
        physics.set_state(*random_state(physics, random))
    else:
        qpos, qvel = trained_states(TASKS[physics.problem.id].model)
        chosen = random.choice(len(qpos), NUM_ENVS, replace=False)
        physics.set_state(qpos[chosen], qvel[chosen])
    return physics.task.observation(physics.state)


@pytest.mark.one_in(10)
@every_task
@pytest.mark.parametrize("scale", [1.0, 3.0])
@pytest.mark.parametrize("where", ["reset", "random", "trained"])
def test_steps_equal_plain_mujoco_and_the_specified_formulas(task_id, where, scale):
    physics, random = make(task_id), np.random.default_rng(1)
    references = [Reference(SPECS[task_id]) for _ in range(NUM_ENVS)]
    seen = begin(physics, where, random)
    states = zip(references, physics.state.qpos, physics.state.qvel, strict=True)
    np.testing.assert_allclose(seen, [r.set_state(*s) for r, *s in states], rtol=0, atol=1e-9)
    for _ in range(60):
        action = actions_for(physics, random, scale)
        got = physics.step(action)
        expected = [r.step(a) for r, a in zip(references, action, strict=True)]
        observation, reward, cost, terminated = (np.array(column) for column in zip(*expected, strict=True))
        assert not got.diverged.any() and not got.truncated.any()
        np.testing.assert_allclose(got.observation, observation, rtol=1e-12, atol=1e-9)
        np.testing.assert_allclose(got.reward, reward, rtol=1e-12, atol=1e-9)
        np.testing.assert_allclose(got.cost, cost, rtol=1e-12, atol=1e-9)
        np.testing.assert_array_equal(got.terminated, terminated)
        assert (got.cost >= 0).all()


@every_task
def test_mujoco_clamps_the_action_and_reward_and_cost_take_it_as_given(task_id):
    free, clipped, reference = make(task_id), make(task_id), Reference(SPECS[task_id])
    low, high = free.model.actuator_ctrlrange.T
    action = actions_for(free, np.random.default_rng(2), 3.0)
    inside = np.clip(action, low, high)
    assert (action != inside).any(axis=1).all()
    starts = free.state
    a, b = free.step(action), clipped.step(inside)
    np.testing.assert_array_equal(a.observation, b.observation)
    for i in range(NUM_ENVS):
        reference.set_state(starts.qpos[i], starts.qvel[i])
        reference.step(action[i])
        for step, given in ((a, action), (b, inside)):
            reward, costs = reference.pay(given[i])
            np.testing.assert_allclose([step.reward[i], *step.cost[i]], [reward, *costs], rtol=1e-12, atol=1e-9)


# Edges, given as numbers

HEALTH = {
    "ant.xml": [
        (("qpos", 2), 0.2, True),
        (("qpos", 2), 0.1999, False),
        (("qpos", 2), 1.0, True),
        (("qpos", 2), 1.0001, False),
        (("qpos", 0), 1e9, True),
        (("qpos", 5), np.inf, False),
        (("qpos", 0), np.nan, False),
        (("qvel", 13), -np.inf, False),
        (("qvel", 0), 1e9, True),
    ],
    "hopper.xml": [
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
    "humanoid.xml": [
        (("qpos", 2), 1.0, False),
        (("qpos", 2), 1.0001, True),
        (("qpos", 2), 1.9999, True),
        (("qpos", 2), 2.0, False),
        (("qpos", 0), 1e3, True),
        (("qvel", 3), 1e3, True),
    ],
    "walker2d.xml": [
        (("qpos", 1), 0.8, False),
        (("qpos", 1), 0.8001, True),
        (("qpos", 1), 1.9999, True),
        (("qpos", 1), 2.0, False),
        (("qpos", 2), 1.0, False),
        (("qpos", 2), -1.0, False),
        (("qpos", 2), -0.9999, True),
        (("qvel", 4), 1e3, True),
        (("qpos", 0), 1e3, True),
    ],
}
"""By model: an entry of a state that is else at rest, its value, and whether the robot is healthy then."""


def ends(task: Task, state: State) -> bool:
    return bool(task.terminated(state))


def is_charged(task: Task, state: State) -> bool:
    """Whether the last of the costs holds a 1 for bad health, with ‖a‖² = 4 charged by the weight of its task."""
    action = np.zeros(load(task.model).nu)
    free = task.cost(state, action, state)[-1]
    action[:2] = 2.0, 0.0
    effort = 0.0 if len(task.cost_names) == 2 else {"hopper.xml": 2.0, "humanoid.xml": 0.4}[task.model]
    assert task.cost(state, action, state)[-1] == pytest.approx(free + effort)
    assert free in (0.0, 1.0)
    return bool(free)


SHOWN_BY = {
    **{f"SafetyHopper{end}-v4": is_charged for end in ("", "Split")},
    **{f"SafetyHumanoid{end}-v4": is_charged for end in ("", "Split")},
    **{f"Safety{robot}Velocity-v{v}": ends for robot in ("Ant", "Hopper", "Humanoid", "Walker2d") for v in (0, 1)},
}
"""By task: what tells that its robot is not healthy."""


def at_rest(task: type[Task], change: tuple[tuple[str, int], float] | None = None) -> State:
    """The model's first state, with one entry changed."""
    model = load(task.model)
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    state = state_of(data)
    if change is not None:
        (field, entry), value = change
        getattr(state, field)[entry] = value
    return state


@pytest.mark.parametrize("task_id", SHOWN_BY)
def test_health_ends_exactly_where_it_is_specified_to(task_id):
    task = make_task(task_id)
    for entry, value, healthy in HEALTH[task.model]:
        state = at_rest(type(task), (entry, value))
        assert SHOWN_BY[task_id](task, state) is not healthy, (entry, value)


@every_task
def test_no_other_task_ends_however_absurd_the_state(task_id):
    if SHOWN_BY.get(task_id) is not ends:
        task = make_task(task_id)
        for value in (-1e6, 0.0, 1e6):
            state = on_fields(lambda x, value=value: np.full_like(x, value), at_rest(type(task)))
            assert not task.terminated(state)


@pytest.mark.parametrize(
    ("height", "angle", "bonus"),
    [
        (1.25, 0.0, 2.0),
        (0.8, 0.0, 1.0),
        (0.8001, 0.9999, 2.0),
        (1.9999, -1.0, 1.0),
        (2.0, 1.0, 0.0),
        (0.5, 2.0, 0.0),
    ],
)
def test_walker_is_paid_one_for_its_height_and_one_for_its_angle(height, angle, bonus):
    task = make_task("SafetyWalker2d-v4")
    state = at_rest(type(task), (("qpos", 1), height))
    state.qpos[2] = angle
    assert task.reward(state, np.ones(6), state) == bonus


@pytest.mark.parametrize("task_id", ["SafetyHumanoidStandup-v4", "SafetyHumanoidStandupSplit-v4"])
@pytest.mark.parametrize(
    ("force", "impact"), [(0.0, 0.0), (1000.0, 0.5), (4472.0, 9.999392), (4473.0, 10.0), (1e6, 10.0)]
)
def test_the_impact_of_body_forces_is_charged_up_to_ten(task_id, force, impact):
    task = make_task(task_id)
    state = at_rest(type(task))
    state.cfrc_ext[3, 4], state.cfrc_ext[13, 0] = 0.6 * force, -0.8 * force
    assert task.cost(state, np.zeros(17), state)[-1] == pytest.approx(impact, rel=1e-9)


PLANE, ALONG_X = "whatever its direction in the plane", "along x alone"
SPEED_LIMIT = {
    "SafetyAntVelocity-v1": (2.6222, PLANE),
    "SafetyAntVelocity-v0": (2.5745, PLANE),
    "SafetyHalfCheetahVelocity-v1": (3.2096, ALONG_X),
    "SafetyHalfCheetahVelocity-v0": (2.8795, ALONG_X),
    "SafetyHopperVelocity-v1": (0.7402, ALONG_X),
    "SafetyHopperVelocity-v0": (0.37315, ALONG_X),
    "SafetyHumanoidVelocity-v1": (1.4149, PLANE),
    "SafetyHumanoidVelocity-v0": (2.3475, PLANE),
    "SafetySwimmerVelocity-v1": (0.2282, ALONG_X),
    "SafetySwimmerVelocity-v0": (0.04845, PLANE),
    "SafetyWalker2dVelocity-v1": (2.3415, ALONG_X),
    "SafetyWalker2dVelocity-v0": (1.7075, ALONG_X),
}


def test_every_velocity_task_has_its_speed_limit_here():
    assert sorted(SPEED_LIMIT) == sorted(task_id for task_id in CLASSIC if "Velocity" in task_id)


@pytest.mark.parametrize("task_id", SPEED_LIMIT)
def test_a_speed_above_the_threshold_costs_one_and_the_limit_is_25(task_id):
    task, (threshold, direction) = make_task(task_id), SPEED_LIMIT[task_id]
    before = at_rest(type(task))
    for slower, degrees, costly in [
        (True, 0, False),
        (False, 0, True),
        (False, 180, direction == PLANE),
        (False, 90, direction == PLANE),
        (False, -60, direction == PLANE),
        (True, 30, False),
        (True, 180, False),
    ]:
        speed, angle = threshold + (-1e-6 if slower else 1e-6), np.radians(degrees)
        moved = speed * task.dt * np.array([np.cos(angle), np.sin(angle)])
        after = on_fields(np.copy, before)
        for place in (after.qpos[None, :2], after.xpos[:, :2], after.xipos[:, :2]):
            place += moved
        assert task.cost(before, np.ones(1), after).tolist() == [float(costly)], (slower, degrees)
    assert task.limits() == (25.0,)


# The same functions on any shape and in any array namespace


@every_task
def test_leading_shapes_broadcast(task_id):
    task, before, action, after = walk(task_id)
    rows = evaluate(task, before, action, after)
    for i in range(NUM_ENVS):
        one = [on_fields(lambda x, i=i: x[i], state) for state in (before, after)]
        assert_same(evaluate(task, one[0], action[i], one[1]), tuple(x[i] for x in rows), 1e-12)
    grid = [on_fields(lambda x: x.reshape(2, 2, *x.shape[1:]), state) for state in (before, after)]
    square = evaluate(task, grid[0], action.reshape(2, 2, -1), grid[1])
    assert_same(square, tuple(x.reshape(2, 2, *x.shape[1:]) for x in rows), 1e-12)


@pytest.mark.one_in(10)
@every_task
@pytest.mark.parametrize(("x64", "tolerance"), [(True, 1e-12), (False, 2e-4)])
def test_jax_gives_what_numpy_gives_also_mapped(task_id, x64, tolerance):
    task, before, action, after = walk(task_id)
    expected = evaluate(task, before, action, after)

    def arrays(state: State) -> dict:
        values = {f.name: getattr(state, f.name) for f in dataclasses.fields(state)}
        return {name: jnp.asarray(value) for name, value in values.items() if value is not None}

    def on_arrays(before: dict, action: jax.Array, after: dict) -> tuple:
        return evaluate(task, State(**before), action, State(**after))

    with jax.enable_x64(x64):
        inputs = arrays(before), jnp.asarray(action), arrays(after)
        results = jax.jit(jax.vmap(on_arrays) if x64 else on_arrays)(*inputs)
        assert all(isinstance(x, jax.Array) for x in results)
        assert results[0].dtype == (np.float64 if x64 else np.float32)
        assert_same(results, expected, tolerance)


@every_task
def test_reset_in_jax_gives_what_numpy_gives(task_id):
    task, model = make_task(task_id), load(SPECS[task_id].model)
    start = model.qpos0, np.zeros(model.nv)
    with jax.enable_x64(True):
        got = task.reset(*map(jnp.asarray, start), np.random.default_rng(3))
        assert all(isinstance(x, jax.Array) for x in got)
        assert_same(got, task.reset(*start, np.random.default_rng(3)), 1e-12)


# Resets


@pytest.mark.one_in(10)
@every_task
def test_first_states_follow_their_law(task_id):
    model, draws = load(SPECS[task_id].model), 2000
    task, random = make_task(task_id), np.random.default_rng(7)
    q0, v0 = model.qpos0 + np.linspace(0.0, 1.0, model.nq), np.linspace(-1.0, 1.0, model.nv)
    qpos, qvel = map(np.array, zip(*(task.reset(q0, v0, random) for _ in range(draws)), strict=True))
    uniforms, zeros = SPECS[task_id].start(qpos, qvel, q0, v0)
    assert (zeros == 0).all()
    assert uniforms.shape[1] + zeros.shape[1] == model.nq + model.nv, "every entry is accounted for"
    assert (uniforms >= -1e-9).all() and (uniforms <= 1 + 1e-9).all()
    assert uniforms.min(axis=0).max() < 0.01 and uniforms.max(axis=0).min() > 0.99, "the bounds are reached"
    for column in uniforms.T:
        assert stats.kstest(column, "uniform").pvalue > 1e-6
    centred = np.hstack([2 * uniforms - 1, (2 * uniforms - 1) ** 2 - 1 / 3])
    error = centred.std(axis=0) / np.sqrt(draws)
    assert abs(centred.mean(axis=0) / error).max() < 5
    assert abs(np.corrcoef(centred.T) - np.eye(centred.shape[1])).max() < 6 / np.sqrt(draws), "they are independent"


@every_task
def test_reset_is_reproducible_from_its_generator_and_leaves_its_inputs_alone(task_id):
    task, model = make_task(task_id), load(SPECS[task_id].model)
    q0, v0 = model.qpos0.copy(), np.zeros(model.nv)
    first, again, other = (task.reset(q0, v0, np.random.default_rng(seed)) for seed in (0, 0, 1))
    assert all((a == b).all() for a, b in zip(first, again, strict=True))
    assert all((a != b).any() for a, b in zip(first, other, strict=True))
    assert (q0 == model.qpos0).all() and (v0 == 0).all()


# What a task declares


def test_every_registered_task_is_specified_and_nothing_else():
    assert sorted(SPECS) == sorted(CLASSIC)


@every_task
def test_declarations_agree_with_the_specification_and_the_model(task_id):
    task, spec = TASKS[task_id], SPECS[task_id]
    assert task.id == task_id and find_task(task_id) is task
    declared = (task.model, task.frame_skip, task.observation_size, task.horizon, task.cost_names)
    assert declared == (spec.model, spec.frame_skip, spec.observation_size, spec.horizon, tuple(spec.costs))
    physics = NativePhysics(task, 1, threads=1)
    assert physics.task.dt == pytest.approx(Reference(spec).dt, rel=1e-15)
    assert physics.reset([0], [np.random.default_rng(0)]).shape == (1, spec.observation_size)
    assert physics.problem.id == task_id and physics.problem.action_size == physics.model.nu
    assert physics.step(np.zeros((1, physics.model.nu))).cost.shape == (1, len(task.cost_names))


@every_task
def test_fields_are_all_that_the_task_reads_and_no_more(task_id):
    task, before, action, after = walk(task_id)
    for name in task.fields:
        states = [
            dataclasses.replace(state, **{name: np.full_like(getattr(state, name), np.nan)})
            for state in (before, after)
        ]
        seen, reward, cost, _ = evaluate(task, states[0], action, states[1])
        assert np.isnan(seen).any() or np.isnan(reward).any() or np.isnan(cost).any(), f"{name} is never read"


@every_task
def test_docstring_says_what_is_observed_rewarded_and_charged_and_where_it_comes_from(task_id):
    text = (TASKS[task_id].__doc__ or "").lower()
    assert [word for word in ("observation", "reward", "cost", "source") if word not in text] == []


@every_task
def test_limits_lie_between_the_two_measured_scores_or_are_the_suites_own(task_id):
    task = TASKS[task_id]
    assert len(task.limits()) == len(task.cost_names) == len(set(task.cost_names)) > 0
    for limit, measured in zip(task.limits(), task.measured, strict=True):
        if task.suite == "Safety-Gymnasium velocity":
            assert limit == 25.0
            assert measured.cost_only >= 0
        else:
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
