"""An environment of discrete actions that is quick to train, as a user's own module: `switch:Switch-v0`."""

from __future__ import annotations

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Discrete

FIRST = 5
"""The number that its actions begin with."""


class Switch(gymnasium.Env):
    """Observation (level, steps); of the actions 5, 6 and 7 the last pays 1 and costs 1, the one before pays 0.8."""

    observation_space = Box(-np.inf, np.inf, (2,), np.float64)
    action_space = Discrete(3, start=FIRST)
    metadata = {"render_modes": ["rgb_array"], "render_fps": 10}  # noqa: RUF012 (as Gymnasium writes it)
    render_mode = "rgb_array"

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.level, self.steps = self.np_random.normal(), 0
        return self.observe(), {}

    def observe(self):
        return np.array([self.level, self.steps], np.float64)

    def step(self, action):
        assert self.action_space.contains(action), f"{action!r} is no action"
        self.steps += 1
        number = int(action) - FIRST
        return self.observe(), (0.0, 0.8, 1.0)[number], False, False, {"cost": float(number == 2)}

    def render(self):
        return np.full((64, 64, 3), 40 * self.steps, np.uint8)


gymnasium.register("Switch-v0", entry_point="switch:Switch", max_episode_steps=5)
