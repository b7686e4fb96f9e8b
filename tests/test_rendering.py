"""Pictures of tasks: that the robot is in them, that the camera follows it, and what is said where none can be."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings

import gymnasium
import mujoco
import numpy as np
import pytest

import equipoise
from equipoise.environments.gymnasium_env import SafetyEnv
from equipoise.errors import UsageError
from equipoise.physics import NativePhysics
from equipoise.rendering import backend
from equipoise.rendering.camera import Camera
from equipoise.tasks import TASKS, State
from registries import CLASSIC, SAMPLE, SOME_NAVIGATION

ONE_OF_EACH_MODEL = sorted({TASKS[task_id].model: task_id for task_id in CLASSIC}.values())
every_model = pytest.mark.parametrize("task_id", ONE_OF_EACH_MODEL)


def start_of(task_id):
    """The model's initial state, and the model."""
    model = NativePhysics(TASKS[task_id], 1, threads=1).model
    return model.qpos0.copy(), np.zeros(model.nv), model


def different(a, b):
    """Where two pictures differ."""
    return np.abs(a.astype(int) - b.astype(int)).max(-1) > 30


# Pictures


@pytest.mark.one_in(5)
@every_model
def test_the_robot_is_seen_and_seen_to_move(task_id, drawing):
    camera = Camera(TASKS[task_id], 160, 120)
    qpos, qvel, model = start_of(task_id)
    first = camera.picture(State(qpos, qvel))
    assert first.shape == (120, 160, 3) and first.dtype == np.uint8
    np.testing.assert_array_equal(first, camera.picture(State(qpos, qvel)))
    driven = model.jnt_qposadr[model.actuator_trnid[:, 0]]
    moved = qpos.copy()
    moved[driven] += 0.6
    assert different(first, camera.picture(State(moved, qvel))).mean() > 0.001
    camera.close()


def silhouette(camera, qpos):
    """The pixels of the robot, its shadow and reflection: those that change when it is hidden."""
    model = camera._scene.model
    shown, still = model.geom_group.copy(), np.zeros(model.nv)
    seen = camera.picture(State(qpos, still))
    model.geom_group[model.geom_bodyid > 0] = 5  # which MuJoCo does not draw
    hidden = camera.picture(State(qpos, still))
    model.geom_group[:] = shown
    return different(seen, hidden)


@pytest.mark.one_in(5)
@every_model
def test_the_camera_follows_the_robot(task_id, drawing):
    camera = Camera(TASKS[task_id], 160, 120)
    qpos, *_ = start_of(task_id)
    here = silhouette(camera, qpos)
    assert 0.001 < here.mean() < 0.5
    if task_id.startswith(("SafetyPusher", "SafetyReacher")):  # arms, which stay where they are
        return
    qpos[0] += 80.0  # which is beyond the end of the models' own floors
    there = silhouette(camera, qpos)
    assert (here & there).sum() / (here | there).sum() > 0.7


@pytest.mark.parametrize("task_id", SOME_NAVIGATION)
def test_a_world_is_seen_as_it_is_laid_out(task_id, drawing):
    """What cannot be touched is drawn, too, where the memory says, and so is the robot in the midst of it."""
    physics = NativePhysics(TASKS[task_id], 2, threads=1)
    camera = Camera(TASKS[task_id], 160, 120)
    first, other = physics.state_of(0), physics.state_of(1)
    seen = camera.picture(first)
    np.testing.assert_array_equal(seen, camera.picture(first))
    assert different(seen, camera.picture(other)).mean() > 0.003
    marks = camera._scene.marks
    camera._scene.task.marks = lambda state: []
    assert marks and different(seen, camera.picture(first)).mean() > 0.001
    camera.close()


@pytest.mark.parametrize("task_id", ["SafetyReacher-v4", "SafetyPusher-v5"])
def test_an_arm_is_bright_and_large_enough_to_be_seen(task_id, drawing):
    camera = Camera(TASKS[task_id], 160, 120)
    qpos, qvel, _ = start_of(task_id)
    rows, columns = np.nonzero(silhouette(camera, qpos))
    assert np.ptp(columns) > 0.2 * 160, "a fifth of the width"
    assert np.ptp(columns) < 160 - 2 and np.ptp(rows) < 120 - 2, "and all of it"
    assert np.median(camera.picture(State(qpos, qvel))[rows, columns].max(-1)) > 90
    camera.close()


def test_the_floor_looks_as_the_models_own_and_does_not_end(drawing):
    from gymnasium.envs.mujoco.mujoco_rendering import OffScreenViewer

    qpos, qvel, model = start_of("SafetyHopper-v4")
    camera = Camera(TASKS["SafetyHopper-v4"], 160, 120)
    data = mujoco.MjData(model)
    data.qpos[:] = qpos
    mujoco.mj_forward(model, data)
    own = OffScreenViewer(model, data, 160, 120)
    near = slice(90, 120)  # the rows at the bottom: far away, their floor ends
    assert different(own.render("rgb_array", camera_id=0), camera.picture(State(qpos, qvel)))[near].mean() < 0.05
    qpos[0] += 200.0
    far = camera.picture(State(qpos, qvel))[near].astype(int).sum(-1)
    assert (far < 150).mean() > 0.2 and (far > 400).mean() > 0.2, "black and bright squares"
    camera.close()


CHEQUERED = """
<mujoco>
  <asset>
    <texture name="squares" type="2d" builtin="checker" width="64" height="64" rgb1="0 0 0" rgb2="1 1 1"/>
    <material name="squares" texture="squares" texrepeat="1 1" texuniform="true"/>
  </asset>
  <worldbody>
    <light pos="0 0 3"/>
    <geom type="plane" size="{size}" material="squares"/>
    <body pos="0 0 .5">
      <camera name="track" mode="track" pos="0 -2 1" xyaxes="1 0 0 0 .5 1"/>
      <joint name="x" type="slide" axis="1 0 0"/><geom size=".1"/>
    </body>
  </worldbody>
  <actuator><motor joint="x"/></actuator>
</mujoco>
"""


class Endless(equipoise.Task):
    """A ball over a chequered floor. Observation (1): its place. Reward: its speed."""

    id = "Endless"
    frame_skip = 1
    observation_size = 1

    def __init__(self, size: str) -> None:
        self.model = mujoco.MjSpec.from_string(CHEQUERED.format(size=size))

    def observation(self, state):
        return state.qpos

    def reward(self, before, action, after):
        return after.qvel[..., 0]


@pytest.mark.parametrize("size", ["0 0 .1", "0 1 .1"])
def test_a_floor_without_end_keeps_its_texture(size, drawing):
    camera = Camera(Endless(size), 160, 120)
    floor = camera.picture(State(np.zeros(1), np.zeros(1)))[90:].astype(int).sum(-1)
    assert (floor < 150).mean() > 0.1 and (floor > 400).mean() > 0.1, "black and bright squares"
    camera.close()


def test_cameras_side_by_side_do_not_disturb_each_other(drawing):
    (hopper, still, _), (ant, rest, _) = start_of("SafetyHopper-v4"), start_of("SafetyAnt-v4")
    first, second = Camera(TASKS["SafetyHopper-v4"], 96, 64), Camera(TASKS["SafetyAnt-v4"], 64, 96)
    alone = first.picture(State(hopper, still))
    assert second.picture(State(ant, rest)).shape == (96, 64, 3)
    np.testing.assert_array_equal(first.picture(State(hopper, still)), alone)
    second.close()
    np.testing.assert_array_equal(first.picture(State(hopper, still)), alone)
    first.close()
    first.close()


# Environments


@pytest.mark.one_in(5)
@every_model
def test_an_environment_draws_its_state(task_id, drawing):
    env = gymnasium.make(f"equipoise/{task_id}", render_mode="rgb_array", width=96, height=64)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # Gymnasium's passive checker looks at the first picture
        env.reset(seed=0)
        first = env.render()
        assert first.shape == (64, 96, 3)
        state = env.unwrapped.state
        camera = Camera(TASKS[task_id], 96, 64)
        np.testing.assert_array_equal(first, camera.picture(State(state.qpos[0], state.qvel[0])))
    camera.close()
    env.close()
    env.close()


@pytest.mark.parametrize("task_id", SAMPLE)
def test_frames_a_second_are_those_of_the_task(task_id):
    env = gymnasium.make(f"equipoise/{task_id}").unwrapped
    assert env.metadata["render_fps"] == round(1 / NativePhysics(TASKS[task_id], 1, threads=1).task.dt)


def test_a_vector_environment_draws_all_of_its_environments(drawing):
    options = {"render_mode": "rgb_array", "width": 64, "height": 48}
    envs = gymnasium.make_vec("equipoise/SafetyAnt-v4", num_envs=3, **options)
    env = gymnasium.make("equipoise/SafetyAnt-v4", **options)
    envs.reset(seed=4)
    pictures = envs.render()
    assert len(pictures) == 3
    for i, picture in enumerate(pictures):
        env.reset(seed=4 + i)
        np.testing.assert_array_equal(picture, env.render())
    envs.close(), env.close()


def test_without_a_render_mode_nothing_is_drawn():
    for env in (gymnasium.make("equipoise/SafetyAnt-v4").unwrapped, gymnasium.make_vec("equipoise/SafetyAnt-v4")):
        with pytest.raises(UsageError, match="without a render_mode nothing is drawn"):
            env.render()


def test_an_unknown_render_mode_is_refused():
    with pytest.raises(UsageError, match="unknown render_mode 'rgb_aray'; did you mean 'rgb_array'"):
        SafetyEnv("SafetyAnt-v4", render_mode="rgb_aray")


# What can draw here


@pytest.fixture
def asked(monkeypatch):
    """The backends that were tried; each works if it is in `working`."""
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.delenv("MUJOCO_GL", raising=False)
    tried, working = [], set()
    monkeypatch.setattr(backend, "_works", lambda name: tried.append(name) or name in working)
    return tried, working


def choose():
    backend.choose_backend.__wrapped__()
    return os.environ.get("MUJOCO_GL")


@pytest.mark.parametrize(
    ("works", "chosen"),
    [({"egl", "glfw", "osmesa"}, "egl"), ({"glfw", "osmesa"}, "glfw"), ({"osmesa"}, "osmesa")],
)
def test_the_first_backend_that_works_is_chosen(works, chosen, asked, monkeypatch):
    asked[1].update(works)
    monkeypatch.setenv("MUJOCO_GL", "")  # restored after the test, whatever is chosen
    assert choose() == chosen
    assert asked[0] == list(backend.BACKENDS[: backend.BACKENDS.index(chosen) + 1])


def test_what_the_user_chose_stays(asked, monkeypatch):
    asked[1].update(backend.BACKENDS)
    monkeypatch.setenv("MUJOCO_GL", "osmesa")
    assert choose() == "osmesa" and asked[0] == ["osmesa"]


def test_where_nothing_works_it_is_said_what_to_install(asked):
    with pytest.raises(UsageError, match=r"apt-get install libegl1 .*libosmesa6") as error:
        choose()
    assert "\n" not in str(error.value) and asked[0] == list(backend.BACKENDS)


@pytest.mark.parametrize(("value", "said"), [("osmesa", "does not work here; unset it"), ("off", "allowed: egl, glfw")])
def test_a_choice_that_does_not_work_is_named(value, said, asked, monkeypatch):
    monkeypatch.setenv("MUJOCO_GL", value)
    with pytest.raises(UsageError, match=f"MUJOCO_GL is '{value}'.*{said}"):
        choose()


def test_a_probe_that_dies_means_that_the_backend_does_not_work():
    """In truth: GLFW without a display."""
    code = "from equipoise.rendering.backend import _works; print(_works('glfw'))"
    hidden = {name: value for name, value in os.environ.items() if name not in ("DISPLAY", "WAYLAND_DISPLAY")}
    done = subprocess.run([sys.executable, "-c", code], env=hidden, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


@pytest.mark.parametrize(("display", "said"), [(None, "DISPLAY is not set"), (":987", "':987' does not answer")])
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="DISPLAY is X11's")
def test_a_window_without_a_display_is_refused_on_one_line(display, said, tmp_path):
    code = "import equipoise, gymnasium; gymnasium.make('equipoise/SafetyAnt-v4', render_mode='human').reset()"
    hidden = {name: value for name, value in os.environ.items() if name not in ("DISPLAY", "WAYLAND_DISPLAY")}
    shown = hidden | ({"DISPLAY": display} if display else {})
    done = subprocess.run([sys.executable, "-c", code], env=shown, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 1
    assert "UsageError: no window can be opened here: " in done.stderr.splitlines()[-1]
    assert said in done.stderr.splitlines()[-1]
