"""What holds at every door behind which JAX works: single precision, right sums, no process forked from JAX's own."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import jax
import numpy as np

from equipoise import xla
from equipoise.errors import UsageError, printable

P = ParamSpec("P")
T = TypeVar("T")


class _Process:
    """What this process has done with JAX."""

    used = False
    has_device = False
    sums_are_right = False
    forked_after_use = False

    @classmethod
    def note_fork(cls) -> None:
        cls.forked_after_use = cls.used


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_Process.note_fork)


def _demand_a_device() -> None:
    """Raise `UsageError` where JAX finds nothing to compute on, as when JAX_PLATFORMS names a GPU that is not there."""
    if _Process.has_device:
        return
    try:
        _Process.has_device = bool(jax.devices())
    except (RuntimeError, AssertionError):  # the latter for CUDA without its plugin
        asked = printable(os.environ.get("JAX_PLATFORMS", ""))
        raise UsageError(
            f"JAX has nothing to compute on: JAX_PLATFORMS is {asked!r}; allowed: cpu, and platforms whose plugin is "
            "installed (for an NVIDIA GPU, 'equipoise[cuda]')"
        ) from None


def _demand_right_sums() -> None:
    """Raise `UsageError` where JAX had begun to compute before a version that gets sums wrong was told of it."""
    if _Process.sums_are_right:
        return
    if xla.is_affected():
        v = (np.arange(120_000, dtype=np.float32) % 7).reshape(2, 20_000, 3)  # whole numbers: sums are exact
        p = v[0]
        found = jax.jit(jax.vmap(lambda v: p * (v - (p * v).sum(-1, keepdims=True))))(v)
        if (np.asarray(found) != p * (v - (p * v).sum(-1, keepdims=True))).any():
            raise UsageError(
                "this version of jaxlib gets sums wrong, and JAX had begun to compute before equipoise was imported; "
                f"import equipoise first, or set XLA_FLAGS={xla.CURE} in the environment"
            )
    _Process.sums_are_right = True


def uses_jax(function: Callable[P, T]) -> Callable[P, T]:
    """Let `function` compute in single precision, whatever JAX_ENABLE_X64 says: what is learned does not depend on it.

    In a process that was forked from one that had used JAX, it raises `UsageError` instead: JAX's threads are not there
    any more, and it would wait for them for ever. It does so, too, where JAX finds no device to compute on, and where
    its sums are wrong (`equipoise.xla`).
    """

    @functools.wraps(function)
    def inside(*arguments: P.args, **options: P.kwargs) -> T:
        if _Process.forked_after_use:
            raise UsageError(
                "this process was forked from one in which JAX had worked, and would hang; start processes with "
                'multiprocessing.get_context("spawn"), or before anything is trained or loaded'
            )
        _Process.used = True
        _demand_a_device()
        with jax.enable_x64(False):
            _demand_right_sums()
            return function(*arguments, **options)

    return inside
