"""A cart on a rail that is quick to train, as a user's own module: `rail:QuickRail-v0`."""

from __future__ import annotations

import gymnasium
import numpy as np
from gymnasium.spaces import Box


class Rail(gymnasium.Env):
    """Observation (place, velocity); reward is the place, and what lies beyond 0.2 costs."""

    observation_space = Box(-np.inf, np.inf, (2,), np.float64)
    action_space = Box(-1.0, 1.0, (1,), np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.state = self.np_random.normal(scale=0.1, size=2)
        return self.state.copy(), {}

    def step(self, action):
        place, velocity = self.state
        velocity += 0.1 * float(action[0])
        self.state = np.array([place + 0.1 * velocity, velocity])
        return self.state.copy(), float(self.state[0]), False, False, {"cost": max(0.0, float(self.state[0]) - 0.2)}


gymnasium.register("QuickRail-v0", entry_point="rail:Rail", max_episode_steps=20)
