"""What ARCHITECTURE.md says of the house, checked on the code's own imports and sizes."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import equipoise

SOURCE = Path(equipoise.__file__).parent
FILES = sorted(SOURCE.rglob("*.py"))


def rooms_imported(path):
    """The rooms of the house that a file imports from."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("equipoise."):
            names.add(node.module.split(".")[1])
    return names


FORBIDDEN = {
    "tasks": {"policy", "numerics", "gradients", "algorithms", "training", "physics", "environments", "problem"},
    "physics": {"policy", "numerics", "gradients", "algorithms", "training", "environments"},
    "numerics": {"tasks", "physics", "environments", "algorithms", "training", "gradients", "problem"},
    "gradients": {"tasks", "physics", "environments", "algorithms", "training", "problem", "policy"},
    "algorithms": {"tasks", "physics", "environments", "training"},
    "environments": {"policy", "numerics", "gradients", "algorithms", "training"},
    "training": {"cli", "api", "conflict", "films", "rendering"},
    "rendering": {"policy", "numerics", "gradients", "algorithms", "training", "environments", "films", "problem"},
    "films": {"tasks", "numerics", "gradients", "algorithms", "conflict", "theory", "cli", "api"},
    "conflict": {"tasks", "environments", "theory", "cli", "api"},
    "theory": {"tasks", "physics", "environments", "training", "policy", "cli", "api"},
}


@pytest.mark.parametrize("room", FORBIDDEN)
def test_data_flows_one_way(room):
    for path in (SOURCE / room).glob("*.py"):
        assert not rooms_imported(path) & FORBIDDEN[room], path.name


def test_every_room_is_known():
    assert {p.name for p in SOURCE.iterdir() if p.is_dir() and p.name != "__pycache__"} == set(FORBIDDEN)


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(SOURCE)))
def test_functions_stay_short(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef):
            assert node.end_lineno - node.lineno <= 70, f"{node.name} has {node.end_lineno - node.lineno} lines"
