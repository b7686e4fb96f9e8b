"""Tasks stepped by `mujoco.batch.Batch`: many simulations on a C++ thread pool, no Python loop over them."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import mujoco
import mujoco.batch
import numpy as np
from jaxtyping import Bool, Float

from equipoise.errors import UsageError
from equipoise.physics.models import load_model, mechanism_of, problem_of
from equipoise.physics.numbers import check_first, checked
from equipoise.physics.simulator import Transition
from equipoise.tasks import is_own
from equipoise.tasks.task import State, Task, one

MOVED = int(mujoco.mjtState.mjSTATE_CTRL | mujoco.mjtState.mjSTATE_MOCAP_POS)
"""What is given anew at every substep where mocap bodies move."""
ONE_THREAD = 8192
"""So many numbers at most are multiplied by BLAS: it shares out 10 000 among threads, whose wait for one another, where
other work has the cores, is thousands of times as long as the sum."""


class NativePhysics:
    """A `Simulator` of `num_envs` simulations of `task` on `threads` threads (0: all cores).

    Results do not depend on the number of threads. A simulation that diverges (NaN, MuJoCo warning or error) is
    reported in `Transition.diverged` and disturbs no other.
    """

    def __init__(self, task: Task, num_envs: int, threads: int = 0) -> None:
        self.model = load_model(task)
        self.problem = problem_of(task, self.model)
        self.num_envs = num_envs
        self._all_indices = frozenset(range(num_envs))
        self.task = task.on(mechanism_of(task, self.model))
        # MuJoCo computes body forces on demand only, from all that a step leaves behind. And where it has evaluated the
        # state after a step, the next one begins with that, which saves up to half of the evaluation; unless mocap
        # bodies have moved in between.
        persistent = "cfrc_ext" in task.fields or (task.current and not task.moves_mocap)
        self._batch = mujoco.batch.Batch(self.model, num_envs, threads, persistent=persistent)
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
        nq, nv = self.model.nq, self.model.nv
        _, qpos, qvel, _ = np.split(self._states_before, np.cumsum([1, nq, nv]), axis=1)
        self._before = State(qpos, qvel, **{name: value.copy() for name, value in self._derived.items()})
        """Every environment's state before the last step, in arrays that the next step overwrites."""
        self._control = self._batch.bind("ctrl")
        self._mocap = (self._batch.bind("mocap_pos"), self._batch.bind("mocap_quat")) if self.model.nmocap else None
        self._stage = mujoco.mjtStage.mjSTAGE_ACC if task.current else mujoco.mjtStage.mjSTAGE_NONE
        self._warmstart = self._batch.bind("qacc_warmstart")
        self._warnings = self._batch.warning[..., 1]
        self._nowhere = np.zeros(num_envs, bool)
        self._nowhere.setflags(write=False)  # it is handed out at every step
        self._broken = np.zeros(num_envs, bool)
        """Environments whose simulation diverged since their last reset."""
        self._frame_skip = task.frame_skip
        self._scratch = mujoco.MjData(self.model)
        self._randoms = [np.random.default_rng(env) for env in range(num_envs)]
        """What each environment's task draws from: the source given with its last reset."""
        self._batch.forward()
        self._remember_first()

    def _remember_first(self) -> None:
        """Make room for what the task keeps, and check the shapes of what it gives, on a first episode everywhere."""
        qpos, qvel, memory = self.task.begin([np.random.default_rng(env) for env in range(self.num_envs)])
        if memory is not None:
            kept = type(memory)(*(np.array(part) for part in memory))
            self._live = dataclasses.replace(self._live, memory=kept)
            self._before = dataclasses.replace(self._before, memory=type(kept)(*(part.copy() for part in kept)))
            self._place(list(range(self.num_envs)), qpos, qvel, kept)
        action, one = np.zeros((self.num_envs, self.model.nu)), (self.num_envs,)
        step = self._paid(action)
        for name, value, shape in (
            ("observation", self.task.observation(self._live), (*one, self.problem.observation_size)),
            ("reward", step[0], one),
            ("cost", step[1], (*one, len(self.problem.cost_names))),
            ("terminated", self.task.terminated(self._live), one),
        ):
            if np.shape(value) != shape:
                raise UsageError(
                    f"{self.problem.id}: the {name} of {self.num_envs} environments has shape {np.shape(value)}; "
                    f"its attributes say {shape}"
                )

    @property
    def state(self) -> State:
        """A copy of every environment's state."""
        derived = {name: value.copy() for name, value in self._derived.items()}
        return State(self._qpos.copy(), self._qvel.copy(), **derived, memory=_copy(self._live.memory))

    def state_of(self, index: int) -> State:
        """Return a copy of one environment's state, without a leading axis."""
        return one(self.state, index)

    def set_state(
        self,
        qpos: Float[np.ndarray, "n nq"],
        qvel: Float[np.ndarray, "n nv"],
        indices: Sequence[int] | None = None,
        memory: Any = None,
    ) -> None:
        """Put the environments `indices` (default: all) into the given states, and clear all else that matters.

        `memory` is what the task is to keep of each, as `State.memory` has it; by default what it keeps now.
        """
        rows = self._rows(range(self.num_envs) if indices is None else indices)
        for name, value, size in (("qpos", qpos, self.model.nq), ("qvel", qvel, self.model.nv)):
            if np.shape(value) != (len(rows), size):
                raise UsageError(f"{name} has shape {np.shape(value)}; allowed: {(len(rows), size)}")
            if not _finite(value):
                raise UsageError(f"{name} holds {_first_not_finite(value)}; allowed: finite numbers")
        self._place(rows, qpos, qvel, self._checked(memory, rows))

    def _checked(self, memory: Any, rows: list[int]) -> Any:
        """Return the given memory of the environments `rows`, or their own."""
        own = self._live.memory
        if memory is None:
            return own and type(own)(*(part[rows] for part in own))
        if type(memory) is not type(own):
            kind = "nothing" if own is None else f"a {type(own).__name__}"
            raise UsageError(f"{self.problem.id} keeps {kind}; the memory given is a {type(memory).__name__}")
        for name, given, kept in zip(own._fields, memory, own, strict=True):
            if np.shape(given) != (len(rows), *kept.shape[1:]):
                raise UsageError(f"memory.{name} has shape {np.shape(given)}; allowed: {(len(rows), *kept.shape[1:])}")
        return memory

    def _rows(self, indices: Sequence[int]) -> list[int]:
        rows = list(indices)
        if len(set(rows)) < len(rows) or not self._all_indices.issuperset(rows):
            raise UsageError(f"indices holds {rows}; allowed: distinct numbers from 0 to {self.num_envs - 1}")
        return rows

    def _place(
        self, rows: list[int], qpos: Float[np.ndarray, "n nq"], qvel: Float[np.ndarray, "n nv"], memory: Any
    ) -> None:
        # What a sound simulation does next depends on what is written below alone. A call that clears the rest, too,
        # takes up to a tenth of a step of all environments, and where robots fall early one comes at nearly every step.
        if np.count_nonzero(self._broken) or np.count_nonzero(self._warnings):
            self._batch.reset(sorted(rows), stage=mujoco.mjtStage.mjSTAGE_NONE)
            self._broken[rows] = False
        self._qpos[rows], self._qvel[rows], self._warmstart[rows], self._control[rows] = qpos, qvel, 0.0, 0.0
        if memory is not None:
            for kept, given in zip(self._live.memory, memory, strict=True):
                kept[rows] = given
        if self._mocap:
            self._mocap[0][rows], self._mocap[1][rows] = self.task.mocap_pose(memory)
        if self._derived:
            self._batch.forward(sorted(rows))
        if "cfrc_ext" in self._derived:
            self._derived["cfrc_ext"][rows] = 0.0

    def reset(self, indices: Sequence[int], randoms: Sequence[np.random.Generator]) -> Float[np.ndarray, "n obs"]:
        """Start a new episode in each environment of `indices`, drawn by the task from that one's own `randoms`."""
        rows = self._rows(indices)
        for row, random in zip(rows, randoms, strict=True):
            self._randoms[row] = random
        qpos, qvel, memory = self.task.begin(randoms)
        self._place(rows, qpos, qvel, memory)
        derived = {name: x[rows] for name, x in self._derived.items()}
        observation = self.task.observation(State(qpos, qvel, **derived, memory=memory))
        if is_own(self.task):
            for row in observation:
                check_first(self.problem, row)
        return observation

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
        for kept, now in zip(self._before.memory or (), self._live.memory or (), strict=True):
            np.copyto(kept, now)
        failed = self._advance(action)
        if "cfrc_ext" in self._derived:
            self._compute_body_forces()
        if not len(failed) and _finite(self._states) and not np.count_nonzero(self._warnings):
            return self._checked_if_own(self._transition(action))
        diverged = ~(np.isfinite(self._qpos).all(-1) & np.isfinite(self._qvel).all(-1)) | self._warnings.any(-1)
        diverged[list(failed)] = True
        self._broken |= diverged
        with np.errstate(over="ignore", invalid="ignore"):  # what diverged may overflow, and means nothing
            transition = self._transition(action)
        return self._checked_if_own(
            transition._replace(terminated=transition.terminated & ~diverged, diverged=diverged)
        )

    def _checked_if_own(self, transition: Transition) -> Transition:
        """Look through the numbers of a user's own task; the library's are tested to be sound."""
        return checked(self.problem, transition) if is_own(self.task) else transition

    def events(self) -> dict[str, Bool[np.ndarray, " N"]]:
        """Return by name what the last step can have brought, and where it has: the task's own `events`."""
        return {name: np.array(where, bool) for name, where in self.task.events(self._live).items()}

    def _advance(self, action: Float[np.ndarray, "N act"]) -> Sequence[int]:
        """Step the simulations under `action`, and return those that failed."""
        self._control[:] = action
        failed: set[int] = set()
        try:
            if self.task.moves_mocap:
                path = self.task.mocap_path(self._live.memory)
                inputs = np.empty((*path.shape[:2], self.model.nu + 3 * self.model.nmocap))
                inputs[..., : self.model.nu] = action[:, None]
                inputs[..., self.model.nu :] = path.reshape(*path.shape[:2], -1)
                self._batch.rollout(self._frame_skip, inputs, MOVED, [])
            else:
                self._batch.step(nstep=self._frame_skip, stage=self._stage)
        except mujoco.batch.SimulationError as error:
            failed.update(int(env) for env in error.ids)
        if self.task.moves_mocap and self.task.current:
            try:
                self._batch.forward()
            except mujoco.batch.SimulationError as error:
                failed.update(int(env) for env in error.ids)
        return sorted(failed)

    def _paid(self, action: Float[np.ndarray, "N act"]) -> tuple[Any, Any]:
        """Return reward (N) and costs (N × K) of the last step, as the task gives them."""
        before, after = self._before, self._live
        return self.task.reward(before, action, after), self.task.cost(before, action, after)

    def _transition(self, action: Float[np.ndarray, "N act"]) -> Transition:
        """Return what the task makes of the last step, where no simulation diverged."""
        before, after = self._before, self._live
        reward, cost = self._paid(action)
        if after.memory is not None:
            memory = self.task.remember(before, action, after, self._randoms)
            for kept, new in zip(after.memory, memory, strict=True):
                if new is not kept:
                    np.copyto(kept, new)
        return Transition(
            observation=self.task.observation(after),
            reward=reward,
            cost=cost,
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


def _copy(memory: Any) -> Any:
    return memory and type(memory)(*(part.copy() for part in memory))


def _finite(value: Float[np.ndarray, ...]) -> bool:
    """Tell whether all entries are finite. Nearly always ‖x‖² tells, at a third of the price; but it may overflow."""
    return (value.size <= ONE_THREAD and math.isfinite(np.vdot(value, value))) or bool(np.isfinite(value).all())


def _first_not_finite(value: Float[np.ndarray, ...]) -> str:
    """Name the first entry of `value` that is not finite."""
    where = np.argwhere(~np.isfinite(value))[0]
    return f"{np.asarray(value)[tuple(where)]} at {[int(i) for i in where]}"
