"""A rover that other processes can import; it observes through a dictionary, and fails as its action asks for."""

from __future__ import annotations

import os
import signal
import time

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Dict, Discrete


class BrokenError(Exception):
    """An error that cannot be made again from its pickled form."""

    def __init__(self, part, side):
        super().__init__(f"{part} on the {side}")


class Rover(gymnasium.Env):
    """A point with a random start, whose episodes end at random; it charges its place, and its thrust.

    The second action is the number of a failure, or another one.
    """

    observation_space = Dict({"where": Box(-np.inf, np.inf, (2, 1), np.float64), "gear": Discrete(3)})
    action_space = Box(np.array([-9.0, -np.inf], np.float32), np.array([9.0, np.inf], np.float32))
    render_mode = None

    def __init__(self, chance: float = 0.1):
        self.chance = chance

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.where = self.np_random.normal(size=(2, 1))
        return self.observe(), {"cost": 99.0}  # which no step has charged

    def observe(self):
        return {"where": self.where.copy(), "gear": int(self.np_random.integers(3))}

    def step(self, action):
        if fail := FAILURES.get(round(float(action[1]))):
            fail()
        self.where = self.where + 0.1 * float(action[0]) + 0.01 * self.np_random.normal(size=(2, 1))
        info = {"cost": float(np.abs(self.where[0, 0])), "thrust": float(abs(action[0]))}
        if round(float(action[1])) == 101:
            info["cost"] = -1.0
        if round(float(action[1])) == 102:
            del info["cost"]
        reward = float("nan") if round(float(action[1])) == 103 else float(self.where[1, 0])
        return self.observe(), reward, bool(self.np_random.random() < self.chance), False, info

    def render(self):
        return np.zeros((8, 8, 3), np.uint8)


def _raise():
    raise ZeroDivisionError("a wheel came off")


def _break():
    raise BrokenError("wheel", "left")


FAILURES = {
    104: _raise,
    105: _break,
    106: lambda: os.kill(os.getpid(), signal.SIGKILL),
    107: lambda: time.sleep(60),
    108: lambda: os._exit(3),
}

gymnasium.register("Rover-v0", entry_point="rover:Rover", max_episode_steps=10)


def vectors(num_envs: int, autoreset_mode="NextStep", chance: float = 0.1):
    """Gymnasium's vector environment of rovers."""
    envs = [lambda: gymnasium.wrappers.TimeLimit(Rover(chance), 10)] * num_envs
    return gymnasium.vector.SyncVectorEnv(envs, autoreset_mode=autoreset_mode)


def not_importable():
    """A class that only this call knows."""

    class Local(Rover):
        pass

    return Local
