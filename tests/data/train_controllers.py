"""Train the policies that the tests act with, and write them to `controllers.npz` beside this file.

    python tests/data/train_controllers.py                      # all of them, hours
    python tests/data/train_controllers.py hopper-run           # only these; the others stay as they are
    python tests/data/train_controllers.py hopper-run=RUN       # the same from a finished run

A policy is wanted for where it goes, which random actions do not (fast, upright, at the target), and not for its score:
another training gives another policy, which serves as well if the tests pass. It is kept in half precision, its
normaliser in single precision.
"""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import Any

import numpy as np

import equipoise
from equipoise.tasks import TASKS
from equipoise.tasks.safety_velocity import SafetyHumanoidVelocity, SafetySwimmerVelocityV0
from equipoise.training.run import Run

FILE = Path(__file__).parent / "controllers.npz"


class HumanoidSprint(SafetyHumanoidVelocity):
    """SafetyHumanoidVelocity-v1 that pays little for being alive and much for speed."""

    id = "HumanoidSprint"

    def reward(self, before: Any, action: Any, after: Any) -> Any:
        """Return 4·min(vx, 3 m/s) + 1 − 0.02·‖a‖²."""
        return 4.0 * np.clip(self.velocity(before, after)[..., 0], -3.0, 3.0) + 1.0 - 0.02 * (action**2).sum(-1)


class SwimmerBrake(SafetySwimmerVelocityV0):
    """SafetySwimmerVelocity-v0 for as long as it takes to come to rest, rewarded for that alone."""

    id = "SwimmerBrake"
    horizon = 200

    def reward(self, before: Any, action: Any, after: Any) -> Any:
        """Return −min(speed, 0.15 m/s)/0.05 − cost."""
        speed = np.linalg.norm(self.velocity(before, after), axis=-1)
        return -np.minimum(speed, 0.15) / 0.05 - self.cost(before, action, after)[..., 0]


@dataclasses.dataclass(frozen=True)
class Recipe:
    """What a policy was trained with."""

    algorithm: str
    task: str
    total_steps: int = 1_000_000
    limits: tuple[float, ...] = ()


RECIPES = {
    "ant-run": Recipe("trpo", "SafetyAntVelocity-v1"),
    "half_cheetah-level": Recipe("crpo", "SafetyHalfCheetah-v4", limits=(0.0,)),
    "half_cheetah-run": Recipe("trpo", "SafetyHalfCheetahVelocity-v1"),
    "hopper-run": Recipe("trpo", "SafetyHopperVelocity-v1"),
    "hopper-stand": Recipe("crpo", "SafetyHopper-v4", limits=(0.0,)),
    "humanoid-run": Recipe("trpo", "HumanoidSprint", 3_000_000),
    "humanoidstandup-rise": Recipe("trpo", "SafetyHumanoidStandup-v4"),
    "pusher-push": Recipe("trpo", "SafetyPusher-v5"),
    "reacher-reach": Recipe("trpo", "SafetyReacher-v4"),
    "swimmer-brake": Recipe("trpo", "SwimmerBrake"),
    "swimmer-swim": Recipe("trpo", "SafetySwimmerVelocity-v1"),
    "walker2d-run": Recipe("trpo", "SafetyWalker2dVelocity-v1"),
}
"""By name, which begins with that of the robot's model."""


def train(name: str) -> Run:
    """Train the policy called `name`."""
    recipe = RECIPES[name]
    return equipoise.train(
        recipe.algorithm,
        recipe.task,
        total_steps=recipe.total_steps,
        limits=recipe.limits,
        run_dir=Path("runs") / "controllers" / name,
    )


def arrays(run: Run) -> dict[str, np.ndarray]:
    """Return a run's policy as `tests/controllers.py` reads it."""
    policy = run.policy
    kept = {"mean": np.float32(policy._mean), "deviation": np.float32(policy._deviation)}
    for i, (weight, bias) in enumerate(policy._layers):
        kept |= {f"weight{i}": np.float16(weight), f"bias{i}": np.float16(bias)}
    return kept


def main(wanted: list[str]) -> None:
    """Write what is wanted into the file, and keep what else is in it."""
    TASKS.update({task.id: task() for task in (HumanoidSprint, SwimmerBrake)})
    kept = dict(np.load(FILE)) if FILE.exists() else {}
    for name, _, folder in (word.partition("=") for word in wanted or RECIPES):
        run = Run.load(folder) if folder else train(name)
        kept |= {f"{name}/{key}": value for key, value in arrays(run).items()}
        np.savez_compressed(FILE, **kept)


if __name__ == "__main__":
    main(sys.argv[1:])
