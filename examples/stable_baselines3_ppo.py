"""Trains Stable-Baselines3's PPO on a task of equipoise, and says what it earns and what it costs.

    pip install stable-baselines3
    python examples/stable_baselines3_ppo.py

PPO sees the reward only: the cost is in `info`, which it ignores. So this is what the limit is up against.
"""

from __future__ import annotations

import argparse

import gymnasium
import numpy as np
from stable_baselines3 import PPO
from stable_baselines3.common.env_util import make_vec_env

import equipoise  # noqa: F401 (registers the tasks with Gymnasium)


def train(env_id: str, steps: int, seed: int = 0) -> PPO:
    """Train PPO with its default settings in four environments."""
    model = PPO("MlpPolicy", make_vec_env(env_id, n_envs=4, seed=seed), seed=seed, device="cpu")
    return model.learn(total_timesteps=steps)


def evaluate(model: PPO, env_id: str, episodes: int = 10) -> tuple[float, float]:
    """Return the mean reward and the mean cost of whole episodes, actions drawn from the policy as in training."""
    env = gymnasium.make(env_id)
    rewards, costs = np.zeros(episodes), np.zeros(episodes)
    for episode in range(episodes):
        observation, _ = env.reset(seed=episode)
        over = False
        while not over:
            action, _ = model.predict(observation)
            observation, reward, terminated, truncated, info = env.step(action)
            rewards[episode] += reward
            costs[episode] += info["cost"]
            over = terminated or truncated
    return float(rewards.mean()), float(costs.mean())


def main() -> None:
    """Read the command line, train, and say how good the policy was before and after."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--task", default="SafetyHopperVelocity-v1")
    parser.add_argument("--steps", type=int, default=100_000)
    options = parser.parse_args()
    env_id = f"equipoise/{options.task}"
    limit = sum(gymnasium.make(env_id).unwrapped.limits)
    for steps in (0, options.steps):
        reward, cost = evaluate(train(env_id, steps), env_id)
        print(f"after {steps:>7,} steps: reward {reward:8.1f}   cost {cost:6.1f}   (limit {limit:g})")


if __name__ == "__main__":
    main()
