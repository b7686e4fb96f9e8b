"""How tests compile: soon, in a fifth of the time with jaxlib 0.10.2, or so that what is compiled also runs quickly."""

import functools
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from typing import Any

UNOPTIMISED = "--xla_backend_optimization_level=0"
PLAIN_FUSION = "--xla_cpu_use_fusion_emitters=false"
"""Newer versions of jaxlib do not know it, and would not start: it is said to the one that it was measured with."""


def quick_compiling() -> str:
    """Return what to set XLA_FLAGS to, so that XLA compiles sooner what then runs more slowly."""
    return f"{UNOPTIMISED} {PLAIN_FUSION}" if version("jaxlib") == "0.10.2" else UNOPTIMISED


@contextmanager
def compiled_for_long() -> Iterator[None]:
    """Compile updates so that they run a fifth as long as with the flags above, in twice the time that compiling takes.

    Where the flags are not what they are above, updates are compiled as these say.
    """
    from equipoise.training import update  # not above: JAX reads the environment when it is imported

    if UNOPTIMISED not in os.environ.get("XLA_FLAGS", ""):
        yield
        return
    quick = {name: getattr(update, name) for name in ("compiled_prepare", "compiled_improve", "compiled_fit")}
    for name, function in quick.items():
        setattr(update, name, _for_long(function.__wrapped__))
    try:
        yield
    finally:
        for name, function in quick.items():
            setattr(update, name, function)


@functools.cache
def _for_long(function: Callable[..., Any]) -> Callable[..., Any]:
    import jax

    return jax.jit(function, compiler_options={"xla_backend_optimization_level": 1})
