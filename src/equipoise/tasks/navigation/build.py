"""Words for building models with `mujoco.MjSpec`: geoms, joints, motors and sensors in one line each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import mujoco

Body = Any
"""A body of a `mujoco.MjSpec`."""
Numbers = Sequence[float | int]
"""Coordinates, lengths and the like."""

FOUND = 1 << int(mujoco.mjtConDataField.mjCONDATA_FOUND)
FREE_HINGE = {"slide": mujoco.mjtJoint.mjJNT_SLIDE, "hinge": mujoco.mjtJoint.mjJNT_HINGE}


def sphere(body: Body, radius: float, **rest: Any) -> None:
    """Add a sphere."""
    body.add_geom(type=mujoco.mjtGeom.mjGEOM_SPHERE, size=[radius, 0, 0], **rest)


def box(body: Body, half: Numbers, **rest: Any) -> None:
    """Add a box of the given half lengths."""
    body.add_geom(type=mujoco.mjtGeom.mjGEOM_BOX, size=half, **rest)


def cylinder(body: Body, radius: float, half: float, **rest: Any) -> None:
    """Add a cylinder of the given radius and half height, along its z axis."""
    body.add_geom(type=mujoco.mjtGeom.mjGEOM_CYLINDER, size=[radius, half, 0], **rest)


def rod(body: Body, radius: float, ends: Numbers, round_ends: bool = True, **rest: Any) -> None:
    """Add a capsule, or without round ends a cylinder, from the first to the last three coordinates of `ends`."""
    shape = mujoco.mjtGeom.mjGEOM_CAPSULE if round_ends else mujoco.mjtGeom.mjGEOM_CYLINDER
    body.add_geom(type=shape, size=[radius, 0, 0], fromto=ends, **rest)


def joint(body: Body, name: str, axis: Numbers, kind: str = "hinge", **rest: Any) -> None:
    """Add a hinge or a slide; a `damping` or a `stiffness` is one number."""
    values = {key: [value, 0, 0] if key in ("damping", "stiffness") else value for key, value in rest.items()}
    body.add_joint(name=name, type=FREE_HINGE[kind], axis=axis, **values)


def motor(
    spec: mujoco.MjSpec,
    name: str,
    target: str,
    gear: Numbers,
    control: float = 1.0,
    force: float | None = None,
    site: bool = False,
) -> Any:
    """Add an actuator of a joint, or of a site, with a control within ±`control` and a force within ±`force`."""
    trn = mujoco.mjtTrn.mjTRN_SITE if site else mujoco.mjtTrn.mjTRN_JOINT
    limits = {} if force is None else {"forcerange": [-force, force]}
    return spec.add_actuator(
        name=name,
        target=target,
        trntype=trn,
        gear=[*gear, *[0.0] * (6 - len(gear))],
        ctrlrange=[-control, control],
        **limits,
    )


def site_sensor(spec: mujoco.MjSpec, name: str, kind: str, site: str) -> None:
    """Add a sensor of a site."""
    _sensor(spec, name, kind, mujoco.mjtObj.mjOBJ_SITE, site)


def joint_sensor(spec: mujoco.MjSpec, name: str, kind: str, joint: str) -> None:
    """Add a sensor of a joint."""
    _sensor(spec, name, kind, mujoco.mjtObj.mjOBJ_JOINT, joint)


def _sensor(spec: mujoco.MjSpec, name: str, kind: str, of: Any, target: str) -> None:
    sort = getattr(mujoco.mjtSensor, f"mjSENS_{kind.upper()}")
    spec.add_sensor(name=name, type=sort, objtype=of, objname=target)


def contact_sensor(spec: mujoco.MjSpec, name: str, tree: str, body: str) -> None:
    """Add a sensor that counts the contacts between the body `tree`, all that it carries, and the geoms of `body`."""
    spec.add_sensor(
        name=name,
        type=mujoco.mjtSensor.mjSENS_CONTACT,
        objtype=mujoco.mjtObj.mjOBJ_XBODY,  # a whole subtree
        objname=tree,
        reftype=mujoco.mjtObj.mjOBJ_BODY,
        refname=body,
        intprm=[FOUND, 0, 1],
    )
