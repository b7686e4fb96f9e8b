"""Physics: how a task is stepped. One door (`Simulator`), one native implementation on `mujoco.batch`."""

from equipoise.physics.native import NativePhysics
from equipoise.physics.simulator import Simulator, Transition

__all__ = ["NativePhysics", "Simulator", "Transition"]
