"""From a task to the MuJoCo model that it is stepped on, and what the task and the learner need to know of it."""

from __future__ import annotations

import inspect
from pathlib import Path

import gymnasium
import mujoco

from equipoise.errors import UsageError, unknown
from equipoise.problem import Problem, middle_and_unit
from equipoise.tasks.task import DERIVED, Mechanism, Task

GYMNASIUM = Path(gymnasium.__file__).parent / "envs" / "mujoco" / "assets"
"""Where the Gymnasium wheel has its models."""


def load_model(task: Task) -> mujoco.MjModel:
    """Load the task's MJCF model, with MuJoCo's silent reset of bad states switched off.

    `UsageError` where there is no such file, or where MuJoCo cannot compile it.
    """
    listener = mujoco.get_mju_user_warning()
    # Some of Gymnasium's models use an attribute that MuJoCo deprecates, which nobody here can help.
    mujoco.set_mju_user_warning(lambda message: None)
    try:
        model = _compiled(task)
    finally:
        mujoco.set_mju_user_warning(listener)
    model.opt.disableflags |= mujoco.mjtDisableBit.mjDSBL_AUTORESET
    return model


def _compiled(task: Task) -> mujoco.MjModel:
    source = task.model
    try:
        if isinstance(source, mujoco.MjSpec):
            return source.compile()
        return mujoco.MjModel.from_xml_path(str(_file(task, Path(source))))
    except (ValueError, mujoco.FatalError) as error:
        if isinstance(error, UsageError):
            raise
        raise UsageError(f"{task.id}: MuJoCo cannot compile its model: {' '.join(str(error).split())}") from error


def _file(task: Task, name: Path) -> Path:
    """Return the file that a task means by `name`: beside its class, where it says itself, or in Gymnasium's wheel."""
    beside = Path(inspect.getfile(type(task))).parent / name
    for file in (beside, GYMNASIUM / name):
        if file.is_file():
            return file
    raise UsageError(f"{task.id}: there is no model {str(beside)!r}, nor one of that name in Gymnasium's wheel")


def mechanism_of(task: Task, model: mujoco.MjModel) -> Mechanism:
    """Describe `model` as `task` needs to know it."""
    sensors = [model.sensor(i) for i in range(model.nsensor)]
    return Mechanism(
        dt=task.frame_skip * model.opt.timestep,
        bodies=tuple(model.body(i).name for i in range(model.nbody)),
        mass=model.body_mass.copy(),
        timestep=model.opt.timestep,
        sensors={s.name: slice(int(s.adr[0]), int(s.adr[0] + s.dim[0])) for s in sensors if s.name},
        model=model,
    )


def problem_of(task: Task, model: mujoco.MjModel) -> Problem:
    """Describe `task` as the learner sees it; `UsageError` where an attribute that it needs is missing or wrong."""
    for name in task.fields:
        if name not in DERIVED:
            raise unknown(f"field of {task.id}", name, DERIVED)
    if model.nu == 0:
        raise UsageError(f"{task.id}: its model has no actuator, so there is nothing to be learnt")
    limits = task.limits()
    middle, unit = middle_and_unit(*model.actuator_ctrlrange.T)
    return Problem(
        id=task.id,
        observation_size=task.observation_size,
        action_size=model.nu,
        horizon=task.horizon,
        cost_names=task.cost_names,
        limits=limits or None,
        action_middle=middle,
        action_unit=unit,
    )
