"""A policy exported by equipoise, which acts with NumPy alone. Equipoise itself is not needed.

    from policy import Policy

    policy = Policy.load("policy.npz")             # or "policy.safetensors"
    action = policy(observation)                   # the deterministic policy: mean (or most likely) actions
    random = numpy.random.default_rng(seed=0)
    action = policy.sample(observation, random)    # the stochastic policy, which is what was trained
    print(policy)                                  # task, sizes, limits, and the certificate

`python policy.py policy.npz` prints the last. It runs on Python 3.8 and NumPy 1.20 or later.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

FORMAT = 1
"""Version of the exported files that this program reads."""

MOST_BYTES = 2**30
"""Size of an exported file."""


class Policy:
    """A policy with its normaliser: observations in, actions as the environment takes them out.

    Continuous actions are a ~ N(μ(s), diag(σ²)), discrete ones are drawn with the probabilities softmax(logits(s)).
    `policy.metadata` says what it is: the task, its observations, actions, costs and limits, where it comes from, and
    the certificate. `policy.std` is σ, and empty where actions are discrete.

    Args:
        arrays: the normaliser's mean and scale, the network's layers, σ, and what actions are clipped to.
        metadata: everything else.
    """

    def __init__(self, arrays: dict[str, np.ndarray], metadata: dict[str, Any]) -> None:
        if metadata.get("format") != FORMAT:
            raise ValueError(f"the policy has format {metadata.get('format')!r}; this program reads {FORMAT}")
        self.metadata = metadata
        self._choices = metadata["action"]["choices"]
        self.std = np.zeros(0, np.float32) if self._choices else arrays["action_std"]
        self._mean, self._scale = arrays["observation_mean"], arrays["observation_scale"]
        depth = sum(name.startswith("layers.") and name.endswith(".weight") for name in arrays)
        self._layers = [(arrays[f"layers.{i}.weight"].T.copy(), arrays[f"layers.{i}.bias"]) for i in range(depth)]
        self._low, self._high = arrays["action_low"], arrays["action_high"]
        bounds = np.concatenate([self._low, self._high])
        # Rounded to single precision, a bound might be passed.
        self._dtype = np.float32 if (bounds.astype(np.float32) == bounds).all() else np.float64

    @classmethod
    def load(cls, path: str | Path) -> Policy:
        """Read an exported `.npz` or `.safetensors`; ValueError if it is none. Nothing in it can execute."""
        path = Path(path)
        if path.suffix not in (".npz", ".safetensors"):
            raise ValueError(f"{path}: allowed: a file that ends in .npz or .safetensors")
        try:
            arrays, text = _read_npz(path) if path.suffix == ".npz" else _read_safetensors(path)
            return cls(arrays, json.loads(text))
        except OSError:
            raise
        except Exception as error:  # whatever NumPy and zipfile raise about a damaged file
            raise ValueError(f"{path} is damaged or no policy exported by equipoise ({error})") from None

    def __call__(self, observation: Any, noise: np.ndarray | None = None) -> Any:
        """Return the mean action at an observation, or at a batch of them, which have one more axis in front.

        `noise`, one standard normal number for each action, makes it the stochastic policy's action of that noise. Of
        discrete actions it is the most likely one, and noise is a Gumbel-distributed number for each logit.
        """
        outputs = self.outputs(observation)
        if self._choices:
            return self._chosen(outputs if noise is None else outputs + np.asarray(noise, np.float32))
        action = outputs if noise is None else outputs + self.std * np.asarray(noise, np.float32)
        if not self._low.size:
            return action
        return np.clip(action, self._low, self._high).astype(self._dtype)

    def sample(self, observation: Any, random: np.random.Generator) -> Any:
        """Return an action of the stochastic policy, its noise drawn from `random`: the same seed, the same actions."""
        many = self._vector(observation).shape[:-1]
        if self._choices:
            return self(observation, random.gumbel(size=(*many, sum(self._choices))))
        return self(observation, random.standard_normal((*many, len(self._layers[-1][1])), np.float32))

    def outputs(self, observation: Any) -> np.ndarray:
        """Return what the network gives: μ, which nothing has clipped yet, or the logits of all choices in a row."""
        vector = self._vector(observation)
        if vector.shape[-1:] != self._mean.shape:
            numbers = vector.shape[-1] if vector.ndim else 0
            raise ValueError(f"an observation has {numbers} number(s); allowed: {len(self._mean)}")
        clip = self.metadata["observation"]["clip"]
        hidden = ((vector.astype(np.float32) - self._mean) * self._scale).clip(-clip, clip)
        for weight, bias in self._layers[:-1]:
            hidden = np.tanh(hidden @ weight + bias)
        weight, bias = self._layers[-1]
        return hidden @ weight + bias

    def budget_at_start(self) -> np.ndarray:
        """Return what an episode begins with of each cost's budget, as a share of its limit.

        Only a policy that observes its budget has one (`metadata["budget"]`): its observation is the task's, followed
        by what is left of each. ValueError for any other.
        """
        return np.array(self._budget()["start"], float)

    def budget_left(self, left: np.ndarray, cost: np.ndarray) -> np.ndarray:
        """Return what is left after a step's costs of what was left before. ValueError as for `budget_at_start`."""
        budget = self._budget()
        if "spent_by" not in budget:
            raise ValueError("this policy's lens is a user's own, whose `left` says what is left of a budget")
        whole, cost = np.array(budget["spent_by"], float), np.asarray(cost, float)
        spent = np.where(whole > 0, cost / np.where(whole > 0, whole, 1.0), np.where(cost > 0, np.inf, 0.0))
        after = (np.asarray(left, float) - spent) / budget["discount"]
        return np.where(after > budget["rounding"], after, 0.0)

    @property
    def certificate(self) -> dict[str, Any] | None:
        """What the run's evaluation certifies of the stochastic and of the deterministic policy; None without one."""
        return self.metadata["certificate"]

    def __str__(self) -> str:
        about, action = self.metadata, self.metadata["action"]
        lines = [
            f"{about['algorithm']} on {about['task']}, seed {about['seed']}, iteration {about['iteration']} "
            f"({about['steps']} steps), exported by equipoise {about['equipoise']}",
            f"observation  {about['observation']['size']} numbers",
            f"action       {_words(action)}",
            *(f"limit        {cost['name']} {cost['limit']:.6g} per episode" for cost in about["costs"]),
        ]
        if self.certificate is None:
            lines.append(f"certificate  none: {about['why_no_certificate']}")
        for policy, found in (self.certificate or {}).items():
            said = "within the limit" if found["holds"] else "not within the limit"
            bounds = ", ".join(f"{cost['name']} ≤ {cost['upper']:.6g}" for cost in found["costs"])
            lines.append(f"certificate  {policy} policy: {said} ({bounds}, 95 %, {found['episodes']} episodes)")
        # Words from a file: nothing that a terminal would act on.
        return "\n".join("".join(c if c.isprintable() else "?" for c in line) for line in lines)

    def _chosen(self, logits: np.ndarray) -> Any:
        """Return the largest of each choice's, as the environment counts them; one Discrete action as a number."""
        parts = np.split(logits, np.cumsum(self._choices)[:-1], axis=-1)
        chosen = np.stack([part.argmax(-1) for part in parts], axis=-1)
        layout = self.metadata["action"]["layout"]
        if layout is None:
            return chosen.astype(np.int32)
        if layout[0] == "discrete":
            return (chosen[..., 0] + layout[2]).astype(np.int64)[()]
        kind, first = (np.int8, 0) if layout[0] == "binary" else (np.int64, np.array(layout[3]))
        return (chosen + first).astype(kind).reshape((*chosen.shape[:-1], *layout[1]))

    def _budget(self) -> dict[str, Any]:
        if self.metadata["budget"] is None:
            raise ValueError("this policy observes no budget")
        budget: dict[str, Any] = self.metadata["budget"]
        return budget

    def _vector(self, observation: Any) -> np.ndarray:
        """Return an observation, as the environment gives it, as a vector; a batch of arrays as one vector each."""
        layout = self.metadata["observation"]["layout"]
        if layout is None or (isinstance(observation, np.ndarray) and observation.shape == self._mean.shape):
            return np.asarray(observation)
        if layout[0] == "box" and np.ndim(observation) > len(layout[1]):
            return np.stack([self._vector(one) for one in observation])
        return _flat(layout, observation)


def _words(action: dict[str, Any]) -> str:
    if action["choices"]:
        return f"a choice of {' × '.join(map(str, action['choices']))}"
    return f"{action['size']} numbers" + (", clipped to their ranges" if action["low"] else "")


def _flat(layout: list[Any], observation: Any) -> np.ndarray:
    """Flatten an observation as Gymnasium does; `layout` is its space, written as nested lists."""
    kind = layout[0]
    if kind == "dict":
        keyed = {str(key): part for key, part in observation.items()}
        return np.concatenate([_flat(part, keyed[key]) for key, part in layout[1]])
    if kind == "tuple":
        return np.concatenate([_flat(part, given) for part, given in zip(layout[1], observation)])  # noqa: B905
    array = np.asarray(observation)
    if kind == "box":
        return array.astype(layout[2]).ravel().astype(np.float64)
    if kind == "binary":
        return array.ravel().astype(np.float64)
    if kind not in ("discrete", "choices"):
        raise ValueError(f"this program knows no space {kind!r}; give the vector")
    sizes, first = ([layout[1]], [layout[2]]) if kind == "discrete" else (layout[2], layout[3])
    places = array.ravel() - np.array(first)
    if (places < 0).any() or (places >= np.array(sizes)).any():
        raise ValueError(f"an observation has {array.ravel().tolist()} where its space has {sizes} values")
    return np.concatenate([np.eye(1, size, place)[0] for size, place in zip(sizes, places)])  # noqa: B905


def _read_npz(path: Path) -> tuple[dict[str, np.ndarray], str]:
    with np.load(path, allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    return arrays, arrays.pop("metadata").tobytes().decode()


def _read_safetensors(path: Path) -> tuple[dict[str, np.ndarray], str]:
    if path.stat().st_size > MOST_BYTES:
        raise ValueError(f"{path} has {path.stat().st_size} bytes; allowed: at most {MOST_BYTES}")
    content = path.read_bytes()
    begin = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:begin])
    text = header.pop("__metadata__")["equipoise"]
    arrays = {}
    for name, entry in header.items():
        start, end = entry["data_offsets"]
        values = np.frombuffer(content[begin + start : begin + end], {"F32": "<f4", "F64": "<f8"}[entry["dtype"]])
        arrays[name] = values.reshape(entry["shape"])
    return arrays, text


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python policy.py policy.npz")
    try:
        print(Policy.load(sys.argv[1]))
    except (OSError, ValueError) as problem:
        sys.exit(f"policy.py: {problem}")
