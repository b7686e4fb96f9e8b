"""What ARCHITECTURE.md says of the layers, checked on the code's own imports and sizes."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import equipoise

SOURCE = Path(equipoise.__file__).parent
FILES = sorted(SOURCE.rglob("*.py"))

GROUND = {
    "drawing",
    "errors",
    "files",
    "modules",
    "notebook",
    "palette",
    "progress",
    "registry",
    "settings",
    "statistics",
    "terminal",
    "xla",
}
"""Root modules that every folder may import."""

MAY_IMPORT = {
    "errors": set(),
    "xla": set(),
    "terminal": set(),
    "drawing": set(),
    "files": {"errors"},
    "modules": {"errors"},
    "palette": set(),
    "notebook": set(),
    "progress": {"notebook"},
    "statistics": set(),
    "registry": {"errors", "modules"},
    "settings": {"errors"},
    "problem": {"errors"},
    "numerics": GROUND,
    "gradients": GROUND | {"numerics"},
    "policy": {"errors", "numerics"},
    "tasks": GROUND,
    "physics": GROUND | {"problem", "tasks"},
    "rendering": GROUND | {"tasks", "physics"},
    "environments": GROUND | {"problem", "tasks", "physics", "rendering"},
    "catalogue": GROUND | {"tasks", "physics", "rendering"},
    "algorithms": GROUND | {"problem", "numerics", "gradients", "policy"},
    "training": GROUND
    | {"problem", "numerics", "gradients", "policy", "tasks", "physics", "environments", "algorithms"},
    "selection": GROUND | {"physics", "training"},
    "integrations": GROUND | {"training"},
    "deploy": GROUND | {"policy", "environments", "algorithms", "training", "integrations"},
    "campaigns": GROUND | {"problem", "gradients", "algorithms", "training", "integrations"},
    "runs": GROUND | {"problem", "training"},
    "report": GROUND | {"training", "campaigns"},
    "testing": {"errors", "problem", "policy", "tasks", "physics", "algorithms", "training"},
    "films": GROUND | {"problem", "policy", "physics", "rendering", "environments", "training"},
    "conflict": GROUND | {"problem", "numerics", "gradients", "policy", "physics", "algorithms", "training"},
    "theory": GROUND | {"problem", "numerics", "gradients", "algorithms"},
    "api": {"errors", "settings", "algorithms", "training", "integrations"},
    "cli": GROUND
    | {"gradients", "tasks", "catalogue", "algorithms", "training", "campaigns", "runs", "report", "films", "selection"}
    | {"conflict", "theory", "deploy", "integrations", "api"},
    "__init__": {
        "errors",
        "xla",
        "environments",
        "tasks",
        "algorithms",
        "training",
        "selection",
        "films",
        "conflict",
        "deploy",
        "api",
    },
    "__main__": {"cli"},
}
"""For every folder and root module, the others it may import; listed from the ground up."""


def layer_of(path, source):
    """The layer that a file belongs to."""
    return path.relative_to(source).parts[0].removesuffix(".py")


def layers_imported(path):
    """The layers that a file imports from, in whatever form; a relative import is given as its dots."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level:
            found.add("." * node.level)
            continue
        elif isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for package, *rest in (name.split(".") for name in names):
            if package == "equipoise":
                found.add(rest[0] if rest and rest[0] in MAY_IMPORT else "__init__")
    return found


def trespasses(source):
    """Every import in the tree `source` that the table does not allow, as (file, layer)."""
    return [
        (str(path.relative_to(source)), layer)
        for path in sorted(source.rglob("*.py"))
        for layer in sorted(layers_imported(path) - {layer_of(path, source)} - MAY_IMPORT[layer_of(path, source)])
    ]


def test_data_flows_one_way():
    assert trespasses(SOURCE) == []


def test_no_layer_may_import_a_later_one():
    layers = list(MAY_IMPORT)
    for number, layer in enumerate(layers):
        assert MAY_IMPORT[layer] <= set(layers[:number]), layer


def test_every_layer_is_known():
    layers = {path.name for path in SOURCE.iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert layers | {path.stem for path in SOURCE.glob("*.py")} == set(MAY_IMPORT)


@pytest.mark.parametrize(
    ("file", "line", "layer"),
    [
        ("numerics/fisher.py", "from equipoise.policy import GaussianPolicy", "policy"),
        ("numerics/deep/down/fisher.py", "from equipoise import policy", "policy"),
        ("gradients/projection.py", "import equipoise.theory.cmdp", "theory"),
        ("algorithms/rules/cpo.py", "def late():\n    from equipoise.training import loop", "training"),
        ("problem.py", "from equipoise import train", "__init__"),
        ("theory/cmdp.py", "from ..training import loop", ".."),
    ],
)
def test_a_trespass_is_seen(file, line, layer, tmp_path):
    path = tmp_path / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"from equipoise.errors import UsageError\n{line}\n")
    assert trespasses(tmp_path) == [(file, layer)]


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(SOURCE)))
def test_functions_stay_short(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef):
            assert node.end_lineno - node.lineno <= 70, f"{node.name} has {node.end_lineno - node.lineno} lines"
