"""Flags with which XLA compiles sooner what then runs more slowly: jaxlib 0.10.2 in a fifth of the time."""

from importlib.metadata import version

UNOPTIMISED = "--xla_backend_optimization_level=0"
PLAIN_FUSION = "--xla_cpu_use_fusion_emitters=false"
"""Newer versions of jaxlib do not know it, and would not start: it is said to the one that it was measured with."""


def quick_compiling() -> str:
    """Return what to set XLA_FLAGS to."""
    return f"{UNOPTIMISED} {PLAIN_FUSION}" if version("jaxlib") == "0.10.2" else UNOPTIMISED
