"""Checkpoints: plain arrays by name, written whole or not at all, and nothing in them can execute."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from equipoise.algorithms import LearnerState
from equipoise.errors import UsageError
from equipoise.files import write_atomically
from equipoise.training.arrays import read_arrays
from equipoise.training.config_file import FORMAT, VERSION
from equipoise.training.folder import CHECKPOINTS, checkpoint_folder

KEPT = 10
"""Checkpoints kept along a run, evenly spaced, beside the newest."""

ALWAYS_FINITE = (".learner.policy", ".learner.critics", ".learner.observations", ".violation")
"""Parts of a state whose numbers are finite in every run."""


class RunState(NamedTuple):
    """All that a run carries from one iteration to the next."""

    learner: LearnerState
    """What was learned."""
    iteration: int
    """Iterations done."""
    steps: int
    """Environment steps done."""
    violation: Float[np.ndarray, " K"]
    """Sum over iterations of (Ĵ_k − b_k)⁺/b_k."""
    last_estimate: Float[np.ndarray, " m"]
    """The last iteration's Ĵ_r and Ĵ_k; NaN before the first."""

    def __repr__(self) -> str:
        return f"<RunState after iteration {self.iteration}, {self.steps:,} steps>"


def save_checkpoint(run: Path, state: RunState, iterations: int) -> None:
    """Write the checkpoint of `state`, then drop its predecessor unless it is one of those kept along the run."""
    folder = checkpoint_folder(run)
    folder.mkdir(exist_ok=True)
    write_state(state_path(folder, state.iteration), state)
    every = max(1, iterations // KEPT)
    for old in kept_iterations(run):
        if old < state.iteration and old % every:
            state_path(folder, old).unlink()


def state_path(folder: Path, iteration: int) -> Path:
    """Return the file in `folder` of what was learned by the end of an iteration."""
    return folder / f"{iteration:06d}.npz"


def write_state(path: Path, state: RunState) -> None:
    """Write all arrays of `state` to the file `path`."""
    arrays = {name: np.asarray(leaf) for name, leaf in _named_leaves(state)}
    header = json.dumps({"format": FORMAT, "equipoise": VERSION})
    content = io.BytesIO()
    np.savez(content, header=np.frombuffer(header.encode(), np.uint8), **arrays)  # type: ignore[arg-type]
    write_atomically(path, content.getvalue())


def read_state(path: Path, template: RunState, instead: str = "") -> RunState:
    """Read what `write_state` wrote to `path`, in the shape of `template`: of its leaves only shapes and types count.

    Raises `UsageError`, which ends with what can be done `instead`, for a file that is damaged or whose arrays are not
    those of the template, and `FileNotFoundError` where there is none.
    """
    shapes = {name: jax.ShapeDtypeStruct(np.shape(leaf), _dtype(leaf)) for name, leaf in _named_leaves(template)}
    content = read_arrays(path, shapes, instead)
    for name, array in content.items():
        if name.startswith(ALWAYS_FINITE) and not np.isfinite(array).all():
            raise UsageError(f"{path}: {name} has entries that are no finite numbers{instead}")
    leaves = [content[name] if _by_loop(name) else jnp.asarray(content[name]) for name in shapes]
    restored: RunState = jax.tree.unflatten(jax.tree.structure(template), leaves)
    return restored._replace(iteration=int(restored.iteration), steps=int(restored.steps))


def check_number(path: Path, state: RunState, number: int, instead: str = "") -> None:
    """Raise `UsageError` unless the `state` that was read from `path` is that of iteration `number`."""
    if state.iteration != number or state.steps < number:
        raise UsageError(
            f"{path} is of iteration {state.iteration} and step {state.steps}; its name says {number}{instead}"
        )


def load_checkpoint(run: Path, template: RunState, iteration: int | None = None) -> RunState:
    """Read the newest checkpoint of `run` (or that of `iteration`) into the shape of `template`.

    Of the template's leaves only shapes and types count. Raises `UsageError` if there is no such checkpoint, for a file
    that is damaged, and for one whose arrays are not this run's.
    """
    numbers = kept_iterations(run)
    number = find_iteration(run, numbers, iteration)
    path = state_path(checkpoint_folder(run), number)
    older = f"; remove it to go on from iteration {numbers[-2]}" if number == numbers[-1] and len(numbers) > 1 else ""
    try:
        state = read_state(path, template, older)
    except FileNotFoundError:
        if iteration is not None:
            raise UsageError(f"{path} is gone: a training has dropped it in between") from None
        return load_checkpoint(run, template)  # a training has put a newer one in its place
    check_number(path, state, number, older)
    return state


def find_iteration(run: Path, kept: Sequence[int], iteration: int | None = None) -> int:
    """Return `iteration`, or by default the newest, if it is one of those `kept` in `run`.

    Raises `UsageError` naming those that are, and the nearest: only some are kept along a run.
    """
    if not kept:
        raise UsageError(f"{run} has no checkpoint: there is nothing that was learned")
    if iteration is None:
        return kept[-1]
    if iteration not in kept:
        nearest = min(kept, key=lambda number: abs(number - iteration))
        raise UsageError(
            f"{run} has no checkpoint of iteration {iteration}; there: {', '.join(map(str, kept))}; nearest: {nearest}"
        )
    return iteration


def kept_iterations(run: Path) -> list[int]:
    """Return the iterations of which there is a checkpoint, oldest first."""
    return numbers_in(checkpoint_folder(run))


def numbers_in(folder: Path) -> list[int]:
    """Return the iterations of which there is a file in `folder`, oldest first."""
    names = (path.name for path in folder.iterdir()) if folder.is_dir() else ()
    return sorted(int(name[:-4]) for name in names if re.fullmatch(CHECKPOINTS, name) and int(name[:-4]) > 0)


def _named_leaves(state: RunState) -> list[tuple[str, Any]]:
    return [(jax.tree_util.keystr(path), leaf) for path, leaf in jax.tree_util.tree_leaves_with_path(state)]


def _by_loop(name: str) -> bool:
    """Tell whether a leaf is the loop's own, a NumPy array; the learner's are JAX's."""
    return not name.startswith(".learner")


def _dtype(leaf: Any) -> np.dtype:
    return np.dtype(leaf.dtype) if hasattr(leaf, "dtype") else np.asarray(leaf).dtype
