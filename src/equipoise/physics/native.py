"""Tasks stepped by `mujoco.batch.Batch`: many simulations on a C++ thread pool, no Python loop over them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import gymnasium
import mujoco
import mujoco.batch
import numpy as np
from jaxtyping import Float

from equipoise.errors import UsageError
from equipoise.physics.simulator import Transition
from equipoise.problem import Problem, middle_and_unit
from equipoise.tasks import Mechanism, State, Task


def load_model(task: type[Task]) -> mujoco.MjModel:
    """Load the task's MJCF model from the Gymnasium wheel, with MuJoCo's silent reset of bad states switched off."""
    assets = Path(gymnasium.__file__).parent / "envs" / "mujoco" / "assets"
    listener = mujoco.get_mju_user_warning()
    # Some of Gymnasium's models use an attribute that MuJoCo deprecates, which nobody here can help.
    mujoco.set_mju_user_warning(lambda message: None)
    try:
        model = mujoco.MjModel.from_xml_path(str(assets / task.model))
    finally:
        mujoco.set_mju_user_warning(listener)
    model.opt.disableflags |= mujoco.mjtDisableBit.mjDSBL_AUTORESET
    return model


def mechanism_of(task: type[Task], model: mujoco.MjModel) -> Mechanism:
    """Describe `model` as `task` needs to know it."""
    return Mechanism(
        dt=task.frame_skip * model.opt.timestep,
        bodies=tuple(model.body(i).name for i in range(model.nbody)),
        mass=model.body_mass.copy(),
    )


def problem_of(task: type[Task], model: mujoco.MjModel) -> Problem:
    """Describe `task` as the learner sees it."""
    middle, unit = middle_and_unit(*model.actuator_ctrlrange.T)
    return Problem(
        id=task.id,
        observation_size=task.observation_size,
        action_size=model.nu,
        horizon=task.horizon,
        cost_names=task.cost_names,
        limits=task.limits(),
        action_middle=middle,
        action_unit=unit,
    )


class NativePhysics:
    """A `Simulator` of `num_envs` simulations of `task` on `threads` threads (0: all cores).

    Results do not depend on the number of threads. A simulation that diverges (NaN, MuJoCo warning or error) is
    reported in `Transition.diverged` and disturbs no other.
    """

    def __init__(self, task: type[Task], num_envs: int, threads: int = 0) -> None:
        self.model = load_model(task)
        self.problem = problem_of(task, self.model)
        self.num_envs = num_envs
        self._all_indices = frozenset(range(num_envs))
        self.task = task(mechanism_of(task, self.model))
        # MuJoCo computes body forces on demand only, from all that a step leaves behind.
        self._batch = mujoco.batch.Batch(self.model, num_envs, threads, persistent="cfrc_ext" in task.fields)
        self._qpos = self._batch.bind("qpos")
        self._qvel = self._batch.bind("qvel")
        self._derived = {name: self._batch.bind(name) for name in task.fields if name != "cfrc_ext"}
        if "cfrc_ext" in task.fields:
            self._derived["cfrc_ext"] = np.zeros((num_envs, self.model.nbody, 6))
        self._live = State(self._qpos, self._qvel, **self._derived)
        """Every environment's state as it is now: the arrays themselves, which the next step overwrites."""
        self._states = self._batch.state
        """MuJoCo's row of each environment: time, qpos, qvel, and what else it integrates."""
        self._states_before = self._states.copy()
        _, qpos, qvel, _ = np.split(self._states_before, np.cumsum([1, self.model.nq, self.model.nv]), axis=1)
        self._before = State(qpos, qvel, **{name: value.copy() for name, value in self._derived.items()})
        """Every environment's state before the last step, in arrays that the next step overwrites."""
        self._control = self._batch.bind("ctrl")
        self._warmstart = self._batch.bind("qacc_warmstart")
        self._warnings = self._batch.warning[..., 1]
        self._nowhere = np.zeros(num_envs, bool)
        self._nowhere.setflags(write=False)  # it is handed out at every step
        self._broken = np.zeros(num_envs, bool)
        """Environments whose simulation diverged since their last reset."""
        self._frame_skip = task.frame_skip
        self._initial, self._scratch = mujoco.MjData(self.model), mujoco.MjData(self.model)
        self._batch.forward()

    @property
    def state(self) -> State:
        """A copy of every environment's state."""
        derived = {name: value.copy() for name, value in self._derived.items()}
        return State(self._qpos.copy(), self._qvel.copy(), **derived)

    def set_state(
        self,
        qpos: Float[np.ndarray, "n nq"],
        qvel: Float[np.ndarray, "n nv"],
        indices: Sequence[int] | None = None,
    ) -> None:
        """Put the environments `indices` (default: all) into the given states, and clear all else that matters."""
        rows = self._rows(range(self.num_envs) if indices is None else indices)
        for name, value, size in (("qpos", qpos, self.model.nq), ("qvel", qvel, self.model.nv)):
            if np.shape(value) != (len(rows), size):
                raise UsageError(f"{name} has shape {np.shape(value)}; allowed: {(len(rows), size)}")
            if not _finite(value):
                raise UsageError(f"{name} holds {_first_not_finite(value)}; allowed: finite numbers")
        self._place(rows, qpos, qvel)

    def _rows(self, indices: Sequence[int]) -> list[int]:
        rows = list(indices)
        if len(set(rows)) < len(rows) or not self._all_indices.issuperset(rows):
            raise UsageError(f"indices holds {rows}; allowed: distinct numbers from 0 to {self.num_envs - 1}")
        return rows

    def _place(self, rows: list[int], qpos: Float[np.ndarray, "n nq"], qvel: Float[np.ndarray, "n nv"]) -> None:
        # What a sound simulation does next depends on what is written below alone. A call that clears the rest, too,
        # takes up to a tenth of a step of all environments, and where robots fall early one comes at nearly every step.
        if np.count_nonzero(self._broken) or np.count_nonzero(self._warnings):
            self._batch.reset(sorted(rows), stage=mujoco.mjtStage.mjSTAGE_NONE)
            self._broken[rows] = False
        self._qpos[rows], self._qvel[rows], self._warmstart[rows], self._control[rows] = qpos, qvel, 0.0, 0.0
        if self._derived:
            self._batch.forward(sorted(rows))
        if "cfrc_ext" in self._derived:
            self._derived["cfrc_ext"][rows] = 0.0

    def reset(self, indices: Sequence[int], randoms: Sequence[np.random.Generator]) -> Float[np.ndarray, "n obs"]:
        """Start a new episode in each environment of `indices`, drawn by the task from that one's own `randoms`."""
        starts = [self.task.reset(self._initial.qpos, self._initial.qvel, random) for random in randoms]
        qpos, qvel = (np.array(part) for part in zip(*starts, strict=True))
        rows = self._rows(indices)
        self._place(rows, qpos, qvel)
        return self.task.observation(State(qpos, qvel, **{name: x[rows] for name, x in self._derived.items()}))

    def step(self, action: Float[np.ndarray, "N act"]) -> Transition:
        """Step every environment by `frame_skip` substeps under `action`, which MuJoCo clamps but the cost does not."""
        if action.shape != self._control.shape:
            raise UsageError(f"the action has shape {action.shape}; allowed: {self._control.shape}")
        if not _finite(action):
            raise UsageError(f"the action holds {_first_not_finite(action)}; allowed: finite numbers")
        action = np.asarray(action, np.float64)
        np.copyto(self._states_before, self._states)
        for name, value in self._derived.items():
            np.copyto(getattr(self._before, name), value)
        self._control[:] = action
        failed: Sequence[int] = ()
        try:
            self._batch.step(nstep=self._frame_skip)
        except mujoco.batch.SimulationError as error:
            failed = error.ids
        if "cfrc_ext" in self._derived:
            self._compute_body_forces()
        if not len(failed) and _finite(self._states) and not np.count_nonzero(self._warnings):
            return self._transition(action)
        diverged = ~(np.isfinite(self._qpos).all(-1) & np.isfinite(self._qvel).all(-1)) | self._warnings.any(-1)
        diverged[list(failed)] = True
        self._broken |= diverged
        with np.errstate(over="ignore", invalid="ignore"):  # what diverged may overflow, and means nothing
            transition = self._transition(action)
        return transition._replace(terminated=transition.terminated & ~diverged, diverged=diverged)

    def _transition(self, action: Float[np.ndarray, "N act"]) -> Transition:
        """Return what the task makes of the last step, where no simulation diverged."""
        before, after = self._before, self._live
        return Transition(
            observation=self.task.observation(after),
            reward=self.task.reward(before, action, after),
            cost=self.task.cost(before, action, after),
            terminated=self.task.terminated(after),
            truncated=self._nowhere,
            diverged=self._nowhere,
        )

    def _compute_body_forces(self) -> None:
        """Fill `cfrc_ext` as after `mj_rnePostConstraint`, which `mj_step` leaves out."""
        for env in range(self.num_envs):
            self._batch.get_data(env, self._scratch)
            mujoco.mj_rnePostConstraint(self.model, self._scratch)
            self._derived["cfrc_ext"][env] = self._scratch.cfrc_ext

    def close(self) -> None:
        """Release nothing: MuJoCo frees the batch with the object."""


def _finite(value: Float[np.ndarray, ...]) -> bool:
    """Tell whether all entries are finite. Nearly always ‖x‖² tells, at a third of the price; but it may overflow."""
    return math.isfinite(np.vdot(value, value)) or bool(np.isfinite(value).all())


def _first_not_finite(value: Float[np.ndarray, ...]) -> str:
    """Name the first entry of `value` that is not finite."""
    where = np.argwhere(~np.isfinite(value))[0]
    return f"{np.asarray(value)[tuple(where)]} at {[int(i) for i in where]}"
