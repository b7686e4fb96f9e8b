"""A policy taken elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from equipoise.cli.options import AlgorithmName, RunFolder, open_run
from equipoise.cli.output import say_json
from equipoise.errors import printable
from equipoise.training.folder import command, near


def export(
    run: RunFolder,
    format: Literal["npz", "onnx", "safetensors"] = "npz",
    out: Path | None = None,
    iteration: int | None = None,
    overwrite: bool = False,
    algorithm: AlgorithmName = None,
    quiet: bool = False,
    json: bool = False,
) -> None:
    """Write a run's policy into one file that acts without equipoise, with its limits and its certificate in it.

    Args:
        run: Folder of the run.
        format: npz and safetensors come with policy.py, which needs NumPy alone; onnx is for any ONNX runtime.
        out: Folder to write policy.FORMAT to, made if it does not exist; by default `export` in the run's folder.
        iteration: Checkpoint to take the policy from; by default the newest.
        overwrite: Replace what an earlier export has written there.
        algorithm: For a run of an algorithm MODULE:NAME, the same again: it allows the import.
        quiet: Say nothing.
        json: Say what was written as one JSON object.
    """
    from equipoise.deploy.contents import metadata_of
    from equipoise.deploy.export import export as write

    opened = open_run(run, algorithm, iteration)
    path = write(opened, format, out, overwrite)
    program = path.with_name("policy.py") if format != "onnx" else None
    about = metadata_of(opened)
    if json:
        say_json("export", {"file": path, "program": program, **about})
    elif not quiet:
        print(f"written      {near(path)} (network, normaliser, ranges, limits, certificate)")
        if program:
            print(f"program      {near(program)}, which acts with NumPy alone")
            print(f"look         python {near(program)} {near(path)}")
        again = command("evaluate", run) + (f" --iteration {iteration}" if iteration is not None else "")
        none = f"none, as {about['why_no_certificate']}; {again}, and then export again with --overwrite"
        print(f"certificate  {printable(_verdicts(about['certificate']) or none)}")


def _verdicts(certificate: dict[str, dict[str, object]] | None) -> str:
    said = {True: "within the limit", False: "not within the limit"}
    return "; ".join(f"{name} policy {said[bool(found['holds'])]}" for name, found in (certificate or {}).items())
