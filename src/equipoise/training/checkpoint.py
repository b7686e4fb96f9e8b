"""Checkpoints: plain arrays by name, written whole or not at all, and nothing in them can execute."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from equipoise.algorithms import LearnerState
from equipoise.errors import UsageError
from equipoise.files import write_atomically
from equipoise.training.config import FORMAT, VERSION

KEPT = 10
"""Checkpoints kept along a run, evenly spaced, beside the newest."""


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


def _folder(run: Path) -> Path:
    return run / "checkpoints"


def save_checkpoint(run: Path, state: RunState, iterations: int) -> None:
    """Write the checkpoint of `state`, then drop its predecessor unless it is one of those kept along the run."""
    folder = _folder(run)
    folder.mkdir(exist_ok=True)
    arrays = {name: np.asarray(leaf) for name, leaf in _named_leaves(state)}
    header = json.dumps({"format": FORMAT, "equipoise": VERSION})
    content = io.BytesIO()
    np.savez(content, header=np.frombuffer(header.encode(), np.uint8), **arrays)  # type: ignore[arg-type]
    write_atomically(folder / f"{state.iteration:06d}.npz", content.getvalue())
    every = max(1, iterations // KEPT)
    for old in kept_iterations(run):
        if old < state.iteration and old % every:
            (folder / f"{old:06d}.npz").unlink()


def load_checkpoint(run: Path, template: RunState, iteration: int | None = None) -> RunState:
    """Read the newest checkpoint of `run` (or that of `iteration`) into the shape of `template`.

    `template` itself comes back if the run has none yet. Raises `UsageError` for a file that is truncated, or
    whose arrays are not this run's.
    """
    numbers = kept_iterations(run)
    if iteration is not None and iteration not in numbers:
        raise UsageError(f"{run} has no checkpoint of iteration {iteration}; there: {', '.join(map(str, numbers))}")
    if not numbers:
        return template
    path = _folder(run) / f"{numbers[-1] if iteration is None else iteration:06d}.npz"
    older = f"; remove it to go on from iteration {numbers[-2]}" if len(numbers) > 1 else ""
    try:
        with np.load(path, allow_pickle=False) as file:
            content = {name: file[name] for name in file.files}
        header = json.loads(content.pop("header").tobytes())
        written = header["format"]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        raise UsageError(f"{path} is truncated or no checkpoint of equipoise{older}") from None
    if written != FORMAT:
        raise UsageError(f"{path} has format {written}, written by equipoise {header['equipoise']}; install that")
    named = _named_leaves(template)
    if {name: np.shape(leaf) for name, leaf in named} != {name: a.shape for name, a in content.items()}:
        raise UsageError(f"{path} belongs to another run: its arrays are not those of this configuration{older}")
    leaves = [jnp.asarray(content[name]) if isinstance(leaf, jax.Array) else content[name] for name, leaf in named]
    restored: RunState = jax.tree.unflatten(jax.tree.structure(template), leaves)
    return restored._replace(iteration=int(restored.iteration), steps=int(restored.steps))


def kept_iterations(run: Path) -> list[int]:
    """Return the iterations of which there is a checkpoint, oldest first."""
    return sorted(int(path.stem) for path in _folder(run).glob("*.npz") if path.stem.isdigit())


def _named_leaves(state: RunState) -> list[tuple[str, Any]]:
    return [(jax.tree_util.keystr(path), leaf) for path, leaf in jax.tree_util.tree_leaves_with_path(state)]
