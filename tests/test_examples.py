"""The examples that need other libraries run; each is skipped where its library is not installed."""

from __future__ import annotations

import runpy
from pathlib import Path

import numpy as np
import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"


def test_stable_baselines3_trains_on_a_task(tmp_path, monkeypatch):
    pytest.importorskip("stable_baselines3")
    monkeypatch.chdir(tmp_path)  # MuJoCo writes its warnings into the working folder
    example = runpy.run_path(str(EXAMPLES / "stable_baselines3_ppo.py"))
    env_id = "equipoise/SafetyHopperVelocity-v1"
    model = example["train"](env_id, steps=8192)
    assert model.num_timesteps == 8192 and model.get_env().num_envs == 4
    reward, cost = example["evaluate"](model, env_id, episodes=2)
    assert np.isfinite(reward) and 0 <= cost <= 1000
