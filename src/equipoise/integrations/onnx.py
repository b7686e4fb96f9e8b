"""A Gaussian policy as an ONNX model, and ONNX models run: with `pip install 'equipoise[onnx]'`."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
from jaxtyping import Float

from equipoise.errors import UsageError

OPSET = 17
"""Version of ONNX's operators: those of 2021, which every runtime has."""
IR_VERSION = 8
"""Version of the file format, of the same time."""


def needed(module: str) -> Any:
    """Import `onnx` or `onnxruntime`; `UsageError` saying how to install it where it is not there."""
    try:
        return importlib.import_module(module)
    except ImportError:
        raise UsageError(f"{module} is not installed: pip install 'equipoise[onnx]'") from None


def onnx_model(arrays: dict[str, np.ndarray], clip: float, metadata: str) -> bytes:
    """Return the ONNX model of a Gaussian policy, all of it in single precision.

    Its inputs are `observation` (batch × obs) and `noise` (batch × act): standard normal numbers, or zeros for the mean
    action. Its output is `action` (batch × act). `metadata` is kept in it under the key `equipoise`.

    Args:
        arrays: what `equipoise.policy.Actor.arrays` returns.
        clip: what normalised observations are clipped to.
        metadata: any text.
    """
    onnx = needed("onnx")
    node, tensor = onnx.helper.make_node, onnx.numpy_helper.from_array
    size, actions = len(arrays["observation_mean"]), len(arrays["action_std"])
    constants = {name: value for name, value in arrays.items() if not name.startswith("action_")}
    constants |= {"clip_low": np.array(-clip), "clip_high": np.array(clip), "action_std": arrays["action_std"]}
    nodes = [
        node("Sub", ["observation", "observation_mean"], ["centred"]),
        node("Mul", ["centred", "observation_scale"], ["scaled"]),
        node("Clip", ["scaled", "clip_low", "clip_high"], ["hidden.0"]),
    ]
    depth = sum(name.startswith("layers.") and name.endswith(".weight") for name in arrays)
    for i in range(depth):
        last, inputs = i == depth - 1, [f"hidden.{i}", f"layers.{i}.weight", f"layers.{i}.bias"]
        nodes.append(node("Gemm", inputs, ["mean" if last else f"affine.{i}"], transB=1))
        nodes += [] if last else [node("Tanh", [f"affine.{i}"], [f"hidden.{i + 1}"])]
    bounded = bool(arrays["action_low"].size)
    nodes.append(node("Mul", ["noise", "action_std"], ["deviation"]))
    nodes.append(node("Add", ["mean", "deviation"], ["drawn" if bounded else "action"]))
    if bounded:
        constants |= dict(zip(("action_low", "action_high"), _rounded_inwards(arrays), strict=True))
        nodes.append(node("Max", ["drawn", "action_low"], ["above"]))  # Clip knows one bound for all
        nodes.append(node("Min", ["above", "action_high"], ["action"]))
    real = onnx.TensorProto.FLOAT
    value = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        nodes,
        "equipoise",
        inputs=[value("observation", real, ["batch", size]), value("noise", real, ["batch", actions])],
        outputs=[value("action", real, ["batch", actions])],
        initializer=[tensor(np.asarray(array, np.float32), name) for name, array in constants.items()],
    )
    model = onnx.helper.make_model(graph, ir_version=IR_VERSION, opset_imports=[onnx.helper.make_opsetid("", OPSET)])
    model.producer_name = "equipoise"
    onnx.helper.set_model_props(model, {"equipoise": metadata})
    onnx.checker.check_model(model, full_check=True)
    content: bytes = model.SerializeToString()
    return content


def _rounded_inwards(arrays: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Return the actions' bounds in single precision, never outside of what they are."""
    low, high = arrays["action_low"], arrays["action_high"]
    rounded_low, rounded_high = low.astype(np.float32), high.astype(np.float32)
    up, down = np.float32(np.inf), np.float32(-np.inf)
    return (
        np.where(rounded_low < low, np.nextafter(rounded_low, up), rounded_low),
        np.where(rounded_high > high, np.nextafter(rounded_high, down), rounded_high),
    )


def run_onnx(
    content: bytes, observation: Float[np.ndarray, "n obs"], noise: Float[np.ndarray, "n act"]
) -> Float[np.ndarray, "n act"]:
    """Return the actions of an ONNX model of a policy, computed by onnxruntime on the processor."""
    runtime = needed("onnxruntime")
    session = runtime.InferenceSession(content, providers=["CPUExecutionProvider"])
    actions: np.ndarray
    (actions,) = session.run(["action"], {"observation": observation, "noise": noise})
    return actions
