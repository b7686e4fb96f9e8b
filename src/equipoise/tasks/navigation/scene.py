"""The scene of a task: floor, robot, all that can be touched, and the camera that follows."""

from __future__ import annotations

import mujoco

from equipoise.tasks.navigation.robots import Robot
from equipoise.tasks.navigation.world import World, add_objects

FLOOR = 3.5
"""Half the side of the floor that is drawn; the robot's floor goes on for ever (m)."""
ROBOT = (0.7, 0.12, 0.12, 1.0)
"""The robots' colour: red, green, blue and opacity."""


def build_scene(robot: Robot, world: World) -> mujoco.MjSpec:
    """Return the model of a robot in a world. Where the objects stand differs from episode to episode."""
    spec = mujoco.MjSpec()
    spec.compiler.degree = False
    spec.option.timestep, spec.option.integrator = robot.timestep, robot.integrator
    spec.default.geom.condim = 6
    spec.default.geom.rgba = ROBOT
    _add_floor(spec)
    robot.sense(spec)
    robot.build(spec)
    add_objects(spec, world, robot)
    _add_camera(spec)
    return spec


def _add_floor(spec: mujoco.MjSpec) -> None:
    spec.add_texture(
        name="floor",
        type=mujoco.mjtTexture.mjTEXTURE_2D,
        builtin=mujoco.mjtBuiltin.mjBUILTIN_CHECKER,
        rgb1=[0.86, 0.86, 0.88],
        rgb2=[0.78, 0.78, 0.81],
        width=100,
        height=100,
    )
    texture = [""] * int(mujoco.mjtTextureRole.mjNTEXROLE)
    texture[int(mujoco.mjtTextureRole.mjTEXROLE_RGB)] = "floor"
    spec.add_material(name="floor", textures=texture, texrepeat=[FLOOR, FLOOR])
    spec.worldbody.add_geom(
        name="floor",
        type=mujoco.mjtGeom.mjGEOM_PLANE,
        size=[FLOOR, FLOOR, 0.1],
        material="floor",
        rgba=[1, 1, 1, 1],
    )
    overhead = mujoco.mjtLightType.mjLIGHT_DIRECTIONAL
    spec.worldbody.add_light(pos=[0, 0, 6], dir=[0, 0, -1], type=overhead, castshadow=False)


def _add_camera(spec: mujoco.MjSpec) -> None:
    """Follow the robot from above, always from the same side."""
    spec.body("agent").add_camera(
        name="track",
        mode=mujoco.mjtCamLight.mjCAMLIGHT_TRACK,
        pos=[0, -2.2, 2.6],
        xyaxes=[1, 0, 0, 0, 0.76, 0.65],
        fovy=60,
    )
