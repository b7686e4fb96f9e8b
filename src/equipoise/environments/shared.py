"""What our faces to Gymnasium share: a task's spaces, and its costs as `info` holds them."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from jaxtyping import Float

from equipoise.physics import NativePhysics


def spaces_of(physics: NativePhysics) -> tuple[gymnasium.spaces.Box, gymnasium.spaces.Box]:
    """Return the spaces of one environment's observation and action."""
    low, high = physics.model.actuator_ctrlrange.T.astype(np.float32)
    return (
        gymnasium.spaces.Box(-np.inf, np.inf, (physics.problem.observation_size,), np.float64),
        gymnasium.spaces.Box(low, high),
    )


def costs_in_info(names: tuple[str, ...], cost: Float[np.ndarray, "... K"]) -> dict[str, Any]:
    """Return the costs by name: `cost` is their sum, beside which several are also there one by one."""
    info = {"cost": cost.sum(-1)}
    if len(names) > 1:
        info |= {name: cost[..., k] for k, name in enumerate(names)}
    return info
