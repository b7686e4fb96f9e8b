"""The formats of an exported policy: what is in the file, and how the file acts, to be compared with equipoise."""

from __future__ import annotations

import importlib
import io
import json
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from equipoise.deploy.contents import Contents
from equipoise.deploy.policy import Policy
from equipoise.errors import UsageError
from equipoise.integrations.onnx import onnx_model, run_onnx

Acts = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""Maps a batch of observation vectors and the noise of each, which is 0 for mean or most likely actions, to actions."""


class Form(NamedTuple):
    """One format."""

    write: Callable[[Contents], bytes]
    """Returns the content of the file."""
    read: Callable[[bytes], Acts]
    """Returns how that content acts, for whoever has the file alone."""
    has_program: bool
    """Whether policy.py reads it."""


def _metadata(contents: Contents) -> str:
    return json.dumps(contents.metadata)


def _write_npz(contents: Contents) -> bytes:
    content = io.BytesIO()
    text = np.frombuffer(_metadata(contents).encode(), np.uint8)
    np.savez(content, allow_pickle=False, **contents.arrays, metadata=text)  # type: ignore[arg-type]
    return content.getvalue()


def _write_safetensors(contents: Contents) -> bytes:
    try:
        numpy = importlib.import_module("safetensors.numpy")
    except ImportError:
        raise UsageError("safetensors is not installed: pip install 'equipoise[safetensors]'") from None
    arrays = {name: np.ascontiguousarray(array) for name, array in contents.arrays.items()}
    content: bytes = numpy.save(arrays, {"equipoise": _metadata(contents)})
    return content


def _write_onnx(contents: Contents) -> bytes:
    if contents.metadata["action"]["choices"]:
        raise UsageError("a policy of discrete actions has no onnx form; allowed: npz or safetensors")
    return onnx_model(contents.arrays, contents.metadata["observation"]["clip"], _metadata(contents))


def _program(ending: str) -> Callable[[bytes], Acts]:
    """Return what reads the content of a file of that ending as policy.py does."""

    def read(content: bytes) -> Acts:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"policy.{ending}"
            path.write_bytes(content)
            policy = Policy.load(path)

        def act(observation: np.ndarray, noise: np.ndarray) -> np.ndarray:
            return np.stack([policy(*pair) for pair in zip(observation, noise, strict=True)])

        return act

    return read


FORMS: dict[str, Form] = {
    "npz": Form(_write_npz, _program("npz"), True),
    "onnx": Form(_write_onnx, lambda content: partial(run_onnx, content), False),
    "safetensors": Form(_write_safetensors, _program("safetensors"), True),
}
"""Every format by name, which is the ending of its file."""
