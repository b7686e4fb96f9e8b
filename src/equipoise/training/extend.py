"""A later end for a run: what changes of its configuration, and what that means for its schedules."""

from __future__ import annotations

import dataclasses
import warnings

from equipoise.errors import Notice, UsageError
from equipoise.training.config import Config


def extended(config: Config, total_steps: int | None, done: int) -> Config:
    """Return the configuration of a run of which `done` steps are done, with `total_steps` as its end.

    Where nothing follows the share of training done, the run is from then on the same as one that was that long from
    the start. Elsewhere a warning says which settings do, and the configuration remembers it (`Config.extended_at`).

    Raises:
        UsageError: an end before the one that is planned; what was learned on the way to that is not given up.
    """
    if total_steps is None or total_steps == config.total_steps:
        return config
    if total_steps < config.total_steps:
        raise UsageError(
            f"total_steps is {total_steps}; allowed: {config.total_steps}, for which this run is planned, or more"
        )
    longer = dataclasses.replace(config, total_steps=total_steps)
    names = config.algorithm.scheduled
    if not names or not done or longer.planned_steps == config.planned_steps:
        return longer
    before, after = (100 * min(done / c.planned_steps, 1.0) for c in (config, longer))
    warnings.warn(
        f"{' and '.join(names)} follow{'s' * (len(names) == 1)} the share of training done, which goes from "
        f"{before:.0f} % back to {after:.0f} %: this is not what a run of {longer.planned_steps} steps would have been",
        Notice,
        stacklevel=3,
    )
    return dataclasses.replace(longer, extended_at=(*config.extended_at, done))
