"""The camera that follows a task's robot, for pictures and for a window."""

from __future__ import annotations

from typing import Any, NamedTuple

import mujoco
import numpy as np
from jaxtyping import Float, UInt8

from equipoise.physics.models import load_model, mechanism_of
from equipoise.rendering.backend import choose_backend, require_display
from equipoise.tasks import Mark, State, Task

SHADOW_RESOLUTION = 1024
"""A quarter of MuJoCo's own along each side: without a GPU a picture then takes half the time."""


BRIGHT = {"ambient": 0.35, "diffuse": 0.7}
"""The light at the camera in scenes without a light of their own worth the name."""


class View(NamedTuple):
    """From where a robot that stays in place is looked at."""

    lookat: tuple[float, float, float]
    """The point in the middle of the picture, in metres."""
    distance: float
    """Metres from there."""
    azimuth: float
    """Degrees around the vertical axis."""
    elevation: float
    """Degrees above the horizon, negative for a view from above."""


VIEWS = {"reacher.xml": View((0.0, 0.0, 0.0), 0.78, 90.0, -70.0), "pusher": View((0.4, -0.3, -0.1), 2.1, 90.0, -45.0)}
"""The views of the robots whose models have no camera, by how their models' names begin."""


SHAPES = {
    "sphere": mujoco.mjtGeom.mjGEOM_SPHERE,
    "box": mujoco.mjtGeom.mjGEOM_BOX,
    "cylinder": mujoco.mjtGeom.mjGEOM_CYLINDER,
}
"""MuJoCo's words for the shapes of marks."""


def rotation(yaw: float) -> Float[np.ndarray, "3 3"]:
    """Return the matrix of a turn by `yaw` about the vertical axis."""
    cos, sin = np.cos(yaw), np.sin(yaw)
    return np.array([[cos, -sin, 0.0], [sin, cos, 0.0], [0.0, 0.0, 1.0]])


class Scene:
    """A task's model in a state that somebody else has simulated, to be looked at."""

    def __init__(self, task: Task) -> None:
        self.model = load_model(task)
        """The model, by itself: whoever draws it may change how it looks."""
        self.task = task.on(mechanism_of(task, self.model))
        """The task, bound to it."""
        self.marks: list[Mark] = []
        """What is to be drawn beside the model in the state that is seen."""
        self.data = mujoco.MjData(self.model)
        """The state that is seen."""
        mujoco.mj_forward(self.model, self.data)  # whoever looks first aims at the middle of what is there
        self.tracking: int = mujoco.mj_name2id(self.model, mujoco.mjtObj.mjOBJ_CAMERA, "track")
        """The model's own camera, which follows the robot; −1 where there is none, since the robot stays in place."""
        self.view = next((view for name, view in VIEWS.items() if str(task.model).startswith(name)), None)
        """From where it is looked at, where there is no such camera."""
        if self.tracking >= 0:
            self._extend_floor()
        else:
            self._light_up()

    def _light_up(self) -> None:
        """Light the scene from the camera: the models of the arms are all but dark otherwise."""
        light = self.model.vis.headlight
        light.ambient[:], light.diffuse[:] = BRIGHT["ambient"], BRIGHT["diffuse"]

    def _extend_floor(self) -> None:
        """Let the floor go on for ever: in pictures it ends after 20 to 40 m, and a fast robot runs on in the air."""
        for floor in np.flatnonzero(self.model.geom_type == mujoco.mjtGeom.mjGEOM_PLANE):
            size = self.model.geom_size[floor, :2]
            # An endless plane repeats its texture so many times in two metres, any other plane over its whole size.
            if self.model.geom_matid[floor] >= 0:
                repeats = self.model.mat_texrepeat[self.model.geom_matid[floor]]
                np.divide(repeats, size, out=repeats, where=size > 0)  # a size of 0 is endless already
            size[:] = 0.0

    def show(self, state: State) -> None:
        """Put the scene into a state."""
        self.data.qpos[:], self.data.qvel[:] = state.qpos, state.qvel
        if self.model.nmocap:
            self.data.mocap_pos[:], self.data.mocap_quat[:] = self.task.mocap_pose(state.memory)
        mujoco.mj_forward(self.model, self.data)
        self.marks = self.task.marks(state)

    def add_marks(self, scene: Any) -> None:
        """Add the marks to an `MjvScene` that holds none yet."""
        scene.ngeom = 0
        for mark, geom in zip(self.marks, scene.geoms, strict=False):
            mujoco.mjv_initGeom(
                geom,
                SHAPES[mark.shape],
                mark.size,
                mark.position,
                rotation(mark.yaw).ravel(),
                np.array(mark.colour, np.float32),
            )
            scene.ngeom += 1

    def follow(self, camera: Any) -> None:
        """Make a free `camera`, which a user can turn, follow the robot as the model's own does, or look at it."""
        if self.tracking >= 0:
            camera.type = mujoco.mjtCamera.mjCAMERA_TRACKING
            camera.trackbodyid = self.model.cam_bodyid[self.tracking]
            camera.distance, camera.azimuth, camera.elevation = 4.0, 90.0, -10.0
        elif self.view is not None:
            camera.lookat[:] = self.view.lookat
            camera.distance, camera.azimuth, camera.elevation = self.view[1:]


class Camera:
    """Takes pictures of a task's robot, `width` × `height`; `UsageError` where nothing can draw."""

    def __init__(self, task: Task, width: int, height: int) -> None:
        choose_backend()
        # Only now: it needs MUJOCO_GL, and brings the libraries that draw.
        from gymnasium.envs.mujoco.mujoco_rendering import OffScreenViewer

        self._scene = Scene(task)
        look = self._scene.model.vis
        look.global_.offwidth, look.global_.offheight = width, height
        look.quality.shadowsize = SHADOW_RESOLUTION
        self._viewer: Any = OffScreenViewer(self._scene.model, self._scene.data, width, height)
        if self._scene.tracking >= 0:
            self._viewer.cam.type = mujoco.mjtCamera.mjCAMERA_FIXED
            self._viewer.cam.fixedcamid = self._scene.tracking
        else:
            self._scene.follow(self._viewer.cam)

    def picture(self, state: State) -> UInt8[np.ndarray, "h w 3"]:
        """Return what is seen in a state."""
        self._scene.show(state)
        _mark(self._viewer, self._scene)
        viewer = self._viewer
        viewer.make_context_current()  # another camera's may be
        # An endless floor is laid out around the place where the camera was last: without this, in the picture before.
        mujoco.mjv_updateCamera(self._scene.model, self._scene.data, viewer.cam, viewer.scn)
        return viewer.render("rgb_array").copy()

    def close(self) -> None:
        """Release what draws, in its own context: freed in another's, it would take that one's textures along."""
        if self._viewer is not None:
            self._viewer.make_context_current()
            self._viewer.con.free()
            self._viewer.free()
            self._viewer = None


def _mark(viewer: Any, scene: Scene) -> None:
    """Hand the marks to one of Gymnasium's viewers, which draws them once."""
    viewer._markers.clear()
    for mark in scene.marks:
        viewer.add_marker(
            type=SHAPES[mark.shape], size=mark.size, pos=mark.position, mat=rotation(mark.yaw).ravel(), rgba=mark.colour
        )


class Window:
    """Shows a task's robot in a window; `UsageError` where there is no display."""

    def __init__(self, task: Task, width: int, height: int) -> None:
        require_display()
        from gymnasium.envs.mujoco.mujoco_rendering import WindowViewer

        self._scene = Scene(task)
        self._viewer: Any = WindowViewer(self._scene.model, self._scene.data, width, height)
        self._scene.follow(self._viewer.cam)

    def show(self, state: State) -> None:
        """Show a state."""
        self._scene.show(state)
        _mark(self._viewer, self._scene)
        self._viewer.render()

    def close(self) -> None:
        """Close the window."""
        self._viewer.free()
