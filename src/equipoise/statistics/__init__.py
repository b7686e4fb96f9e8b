"""The statistics that results are judged by: arrays in, intervals out."""

from equipoise.statistics.episodes import cvar, relative_excess, shortfall, violating_excess, violation_share
from equipoise.statistics.front import hypervolume, on_front
from equipoise.statistics.intervals import (
    Interval,
    exact_share_interval,
    mean_interval,
    mean_upper_bound,
    share_interval,
)
from equipoise.statistics.over_runs import (
    Scores,
    interquartile_mean,
    interquartile_mean_interval,
    normalise,
    performance_profile,
    performance_profile_band,
    probability_of_improvement,
    probability_of_improvement_interval,
)

__all__ = [
    "Interval",
    "Scores",
    "cvar",
    "exact_share_interval",
    "hypervolume",
    "interquartile_mean",
    "interquartile_mean_interval",
    "mean_interval",
    "mean_upper_bound",
    "normalise",
    "on_front",
    "performance_profile",
    "performance_profile_band",
    "probability_of_improvement",
    "probability_of_improvement_interval",
    "relative_excess",
    "share_interval",
    "shortfall",
    "violating_excess",
    "violation_share",
]
