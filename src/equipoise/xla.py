"""What has to be said to XLA before it starts: without a part of it that gets sums wrong.

jaxlib 0.10.2 and 0.11.0 hand some sums on CPUs to a library (YNNPACK) that, from some ten thousand numbers on, returns
wrong ones without a word (jax-ml/jax, issue 39103), crashes or never returns (issue 39257). XLA reads its flags once,
when JAX first computes something: so this is said when the package is imported.
"""

from __future__ import annotations

import os
from importlib.metadata import PackageNotFoundError, version

AFFECTED = ("0.10.2", "0.11.0")
"""Versions of jaxlib that do so."""
CURE = "--xla_cpu_experimental_ynn_fusion_type="
"""The flag that leaves that library out; older and later versions need not know it."""


def is_affected() -> bool:
    """Tell whether the installed version of jaxlib is one that gets sums wrong."""
    try:
        return version("jaxlib") in AFFECTED
    except PackageNotFoundError:
        return False


def leave_out_what_is_wrong() -> None:
    """Add the flag to XLA_FLAGS where this version needs it, also for the processes that this one starts."""
    flags = os.environ.get("XLA_FLAGS", "").split()
    if is_affected() and not any(flag.startswith(CURE) for flag in flags):
        os.environ["XLA_FLAGS"] = " ".join([*flags, CURE])
