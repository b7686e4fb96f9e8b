"""Policies: distributions of actions whose parameters are an MLP of the normalised observation.

Continuous actions are drawn from a diagonal Gaussian, discrete ones from a categorical distribution. What acts with
either, in NumPy, is an `Actor`.
"""

from equipoise.policy.actor import Actor
from equipoise.policy.base import Draws, Policy
from equipoise.policy.categorical import CategoricalDraws, CategoricalPolicy
from equipoise.policy.gaussian import GaussianDraws, GaussianPolicy
from equipoise.policy.network import Dense, TanhMLP

__all__ = [
    "Actor",
    "CategoricalDraws",
    "CategoricalPolicy",
    "Dense",
    "Draws",
    "GaussianDraws",
    "GaussianPolicy",
    "Policy",
    "TanhMLP",
]
