"""The device that JAX computes on: a processor, a GPU, a TPU."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator

import jax

from equipoise.errors import UsageError

CUDA = "for an NVIDIA GPU, install 'equipoise[cuda]'"


def find_device(name: str) -> jax.Device:
    """Return JAX's device of that name: a platform, as in `cpu` or `gpu`, or one of its devices, as in `gpu:1`.

    Raises `UsageError`, with the devices that there are, for any other.
    """
    form = re.fullmatch(r"([a-z]+)(?::(\d{1,6}))?", name)
    try:
        found = jax.devices(form[1]) if form else []
    except (RuntimeError, AssertionError):  # what JAX raises for a platform that this machine, or its JAX, lacks
        found = []
    number = int(form[2] or 0) if form else 0
    if number >= len(found):
        raise UsageError(f"device is {name!r}; JAX has {', '.join(_names()) or 'none'} here; {CUDA}")
    return found[number]


def _names() -> list[str]:
    """Return the names of all devices that JAX has here."""
    names: list[str] = []
    for platform in ("cpu", "gpu", "tpu"):
        with contextlib.suppress(RuntimeError, AssertionError):
            names += [f"{platform}:{number}" for number in range(len(jax.devices(platform)))]
    return names


@contextlib.contextmanager
def computing_on(name: str | None) -> Iterator[None]:
    """Compute on the device of that name; on the one that JAX takes by itself, for None."""
    if name is None:
        yield
        return
    with jax.default_device(find_device(name)):
        yield
