"""A run's policy as a file for elsewhere, checked against equipoise before it is there."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from equipoise.deploy import policy as program
from equipoise.deploy.contents import Contents, contents_of
from equipoise.deploy.formats import FORMS, Acts
from equipoise.errors import UsageError, unknown
from equipoise.files import own_folder, write_atomically
from equipoise.policy import Actor
from equipoise.training.run import Run, unflattener

TOLERANCE = 1e-5
"""Most by which an action of the file may differ from equipoise's: of itself, or of half its range where that is more.
Single precision alone brings 1e-7 to 1e-6, and a few times that in wide networks, as sums are taken in another order.
"""
OBSERVATIONS = 256
"""Observations at which they are compared, each once with noise and once without."""


def export(run: Run, format: str = "npz", out: str | Path | None = None, overwrite: bool = False) -> Path:
    """Write the policy of `run` into one file that acts without equipoise, and return its path.

    The file holds the network, the normaliser, σ, the actions' ranges or choices, and a description with the limits and
    the certificate, if the run was evaluated at this very iteration. Its actions were compared with those of
    `run.policy` before it is there. Beside `npz` and `safetensors` lies `policy.py`, which acts with NumPy alone.

    Args:
        run: the run; `Run.load(…, iteration=N)` gives an earlier policy.
        format: npz, onnx (needs the extra `equipoise[onnx]`; continuous actions only) or safetensors
            (`equipoise[safetensors]`).
        out: folder for `policy.FORMAT` and `policy.py`, made if it is not there; by default `export` in the run's.
        overwrite: whether files of an earlier export may be replaced.

    Raises:
        UsageError: a format that is none or whose extra is not installed, files that are there already, and a file
            that does not act as equipoise does. Nothing is written then.
    """
    if format not in FORMS:
        raise unknown("format", format, FORMS)
    form, folder = FORMS[format], Path(out) if out is not None else run.path / "export"
    files = {folder / f"policy.{format}": b""}
    if form.has_program:
        files = {folder / "policy.py": Path(program.__file__).read_bytes(), **files}  # no file is without its program
    _demand_free(folder, files, overwrite)
    contents = contents_of(run)
    content = form.write(contents)
    demand_alike(run, contents, form.read(content))
    folder.mkdir(parents=True, exist_ok=True)
    for path, given in files.items():
        write_atomically(path, given or content)
    return folder / f"policy.{format}"


def _demand_free(folder: Path, files: dict[Path, bytes], overwrite: bool) -> None:
    """Raise `UsageError` where a file is there that would be lost: one with other words than it is to have."""
    if not own_folder(folder):
        return
    for path, content in files.items():
        there = path.exists() or path.is_symlink()
        if there and not overwrite and not (content and path.is_file() and path.read_bytes() == content):
            raise UsageError(f"{path} is there already; give another --out, or --overwrite to replace it")


def demand_alike(run: Run, contents: Contents, acts: Acts) -> float:
    """Compare what `acts` does with what the policy of `run` does, at observations like those of training.

    Returns the largest difference, as a share of the action, or of half its range where that is more; discrete actions
    are the same or not. Raises `UsageError` where that is above `TOLERANCE`.
    """
    random, learner, problem = np.random.default_rng(0), run.state.learner, run.problem
    low, high, choices = problem.action_low, problem.action_high, problem.action_choices
    unflatten = unflattener(problem) if choices else None  # of a Box an export gives vectors
    actor = Actor(learner.policy, learner.observations, low=low, high=high, unflatten=unflatten)
    arrays, unit = contents.arrays, np.asarray(problem.action_unit or 1.0)
    mean, scale = arrays["observation_mean"], arrays["observation_scale"]
    deviation = np.where(scale > 0, 1 / np.where(scale > 0, scale, 1.0), 1.0)
    # Wider than training's, so that some are clipped; in single precision, as policies see them.
    observation = (mean + 3 * deviation * random.standard_normal((OBSERVATIONS, len(mean)))).astype(np.float32)
    source = np.random.default_rng(1)
    if choices:
        noise = source.gumbel(size=(OBSERVATIONS, sum(choices))).astype(np.float32)
    else:
        noise = source.standard_normal((OBSERVATIONS, problem.action_size), np.float32)
    source = np.random.default_rng(1)
    pairs = (
        (acts(observation, np.zeros_like(noise)), np.stack([actor(one) for one in observation])),
        (acts(observation, noise), np.stack([actor.sample(one, source) for one in observation])),
    )
    least = [1.0 if choices else np.maximum(unit, np.abs(ours)) for _, ours in pairs]
    largest = max(float((np.abs(a - b) / size).max()) for (a, b), size in zip(pairs, least, strict=True))
    if not largest <= TOLERANCE:
        raise UsageError(
            f"the exported policy's actions differ from equipoise's by up to {largest:.1g} of themselves; allowed: "
            f"{TOLERANCE:g}; nothing is written"
        )
    return largest
