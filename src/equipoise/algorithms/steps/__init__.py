"""Policy steps: how the policy moves once a rule has said what for."""

from equipoise.algorithms.steps.proximal import Proximal
from equipoise.algorithms.steps.trust_region import TrustRegion

__all__ = ["Proximal", "TrustRegion"]
