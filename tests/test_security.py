"""A run folder from someone else: nothing in it runs, and nothing outside of it is touched. SECURITY.md says so."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import equipoise
from equipoise.cli import main
from equipoise.files import read_file, write_atomically

TASK = "rail:QuickRail-v0"

PLANTED = (
    *("jax_plugins", "tensorflow", "torch", "tensorboard_plugin", "readline", "sitecustomize", "usercustomize"),
    *("shimmy", "gymnasium_robotics", "safety_gymnasium", "cv2", "imageio", "pandas", "IPython", "ipywidgets", "shtab"),
    *("typeguard", "numpy", "scipy", "colorama", "jaxlib_plugin", "glfw", "attr", "pydantic", "yaml", "tests"),
)
"""Modules that libraries look for by name, or that they import."""

ENTRY_POINTS = """
[gymnasium.envs]
__root__ = planted_entry:register
[jax_plugins]
planted = planted_entry
[matplotlib.backend]
planted = planted_entry
[tensorboard_plugins]
planted = planted_entry:register
"""

LAUNCHER = """
import sys
from equipoise.cli import main
for command in sys.argv[1].split(";"):
    print(command, main(command.split()), file=sys.stderr)
"""
"""What the script `equipoise` does, for several commands."""


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run of two iterations."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    options = {"total_steps": 80, "num_envs": 2, "steps_per_iteration": 40, "limits": (1.0,)}
    equipoise.train("pcrpo", TASK, run_dir=folder, **options)
    equipoise.draw(equipoise.Run.load(folder))
    return folder


@pytest.fixture
def run(finished, tmp_path):
    """A copy of it, to be spoiled."""
    return Path(shutil.copytree(finished, tmp_path / "run"))


def plant(folder, sprung):
    """Put modules, entry points and settings into `folder` that leave a trace in `sprung` when they are used."""
    trap = f"import pathlib; pathlib.Path({str(sprung)!r}).joinpath(__name__).touch()\n"
    for name in (*PLANTED, "planted_entry"):
        package = folder / name
        package.mkdir()
        (package / "__init__.py").write_text(trap)
    information = folder / "planted-1.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Name: planted\nVersion: 1.0\n")
    (information / "entry_points.txt").write_text(ENTRY_POINTS)
    (folder / "matplotlibrc").write_text("text.usetex: True\nfigure.facecolor: red\n")
    sprung.mkdir()


COMMANDS = (
    "plot .",
    f"evaluate . --episodes 2 --environment {TASK}",
    f"resume . --environment {TASK}",
    f"conflict . --episodes 4 --grid 3 --environment {TASK}",
    f"render . --environment {TASK}",
    f"watch . --environment {TASK}",
    "tasks",
    "tasks SafetyHopper-v4 --still still.png",
    "algorithms",
    f"train pcrpo {TASK} --total-steps 40 --num-envs 2 --steps-per-iteration 40 --limits 1 --run-dir new",
    "evaluate . --environment jax.numpy:x",
    "theory --problems 1",
    "--version",
    "--help",
)


def environment_of_tests():
    """The environment of a process that can import what the tests can."""
    paths = [str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}


@pytest.mark.slow
def test_no_command_runs_what_lies_in_the_working_folder(run, tmp_path):
    sprung = tmp_path / "sprung"
    plant(run, sprung)
    before = (run / "plot.png").read_bytes()
    launcher = tmp_path / "bin" / "launch.py"
    launcher.parent.mkdir()
    launcher.write_text(LAUNCHER)
    done = subprocess.run(
        [sys.executable, str(launcher), ";".join(COMMANDS)],
        cwd=run,
        env=environment_of_tests(),
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert all(f"{command} 0\n" in done.stderr for command in COMMANDS[:3]), done.stderr
    assert list(sprung.iterdir()) == []
    assert (run / "plot.png").read_bytes() == before, "the picture was drawn with settings of the working folder"


@pytest.mark.slow
def test_nor_does_python_m(run, tmp_path):
    plant(run, tmp_path / "sprung")
    command = [sys.executable, "-m", "equipoise", "evaluate", ".", "--episodes", "2", "--environment", TASK]
    done = subprocess.run(command, cwd=run, env=environment_of_tests())
    assert done.returncode == 0
    assert list((tmp_path / "sprung").iterdir()) == []


MODULE = "import helper_of_mine\nimport gymnasium\ngymnasium.register('Mine-v0', entry_point='mine:Mine')\n"


def named(folder, **environment):
    """Name a module in the working folder on the command line; return what is said."""
    (folder / "mine.py").write_text(MODULE)
    (folder / "helper_of_mine.py").write_text("raise ImportError('the helper is broken')\n")
    command = [sys.executable, "-m", "equipoise", "train", "trpo", "mine:Mine-v0", "--limits", "1", "--horizon", "20"]
    return subprocess.run(
        command, cwd=folder, capture_output=True, text=True, env={**os.environ, **environment}
    ).stderr.strip()


@pytest.mark.slow
def test_the_working_folder_serves_a_module_that_is_named_and_its_parts(tmp_path):
    assert "the helper is broken" in named(tmp_path)


@pytest.mark.slow
def test_the_working_folder_serves_nothing_where_python_has_a_safe_path(tmp_path):
    assert "No module named 'mine'" in named(tmp_path, PYTHONSAFEPATH="1")


def test_the_path_is_as_before_afterwards(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "named_once.py").write_text("x = 1\n")
    before = list(sys.path)
    assert main(["train", "named_once:Rule", "SafetyHopper-v4"]) == 2
    assert "named_once has no 'Rule'" in capsys.readouterr().err
    assert sys.path == before


# Links


def test_checkpoints_behind_a_link_are_left_alone(run, tmp_path, capsys):
    outside = tmp_path / "outside"
    shutil.move(run / "checkpoints", outside)
    (run / "checkpoints").symlink_to(outside)
    before = {path.name: path.read_bytes() for path in outside.iterdir()}
    for command in ("resume", "evaluate"):
        assert main([command, str(run), "--environment", TASK]) == 2
        assert f"{run / 'checkpoints'} is a symbolic link" in capsys.readouterr().err
    assert {path.name: path.read_bytes() for path in outside.iterdir()} == before


@pytest.mark.parametrize("name", ["config.json", "metrics.csv", "checkpoints/000002.npz", ".lock"])
def test_no_file_behind_a_link_is_read_or_written(name, run, tmp_path, capsys):
    outside = tmp_path / "outside"
    if (run / name).exists():
        shutil.move(run / name, outside)
    else:
        outside.write_text("precious")
    (run / name).symlink_to(outside)
    before = outside.read_bytes()
    assert main(["resume", str(run), "--environment", TASK]) == 2
    assert f"{run / name} is a symbolic link" in capsys.readouterr().err
    assert outside.read_bytes() == before


def test_results_replace_a_link_and_do_not_follow_it(run, tmp_path):
    outside = tmp_path / "outside"
    outside.write_text("precious")
    for name in ("evaluation.json", "plot.png", f".plot.png.{os.getpid()}"):
        (run / name).unlink(missing_ok=True)
        (run / name).symlink_to(outside)
    assert main(["evaluate", str(run), "--episodes", "2", "--environment", TASK]) == 0
    assert main(["plot", str(run)]) == 0
    assert outside.read_text() == "precious"
    assert not (run / "plot.png").is_symlink() and not (run / "evaluation.json").is_symlink()


def test_an_atomic_write_follows_no_link_of_its_own_name(tmp_path):
    outside = tmp_path / "outside"
    outside.write_text("precious")
    (tmp_path / f".file.{os.getpid()}").symlink_to(outside)
    write_atomically(tmp_path / "file", b"new")
    assert outside.read_text() == "precious"
    assert read_file(tmp_path / "file", 10) == b"new"


# Words from files


@pytest.mark.parametrize(
    "version", ["0.2 --extra-index-url http://example.org", "9.9; rm -rf ~", "9.9\x1b[2J", ["9.9"], "9" * 99, None]
)
def test_a_version_that_is_none_makes_no_command(version, run, capsys):
    import json

    content = json.loads((run / "config.json").read_text())
    (run / "config.json").write_text(json.dumps(content | {"format": 9, "equipoise": version}))
    assert main(["evaluate", str(run)]) == 2
    said = capsys.readouterr().err
    assert "install" not in said and "9.9" not in said and "\x1b" not in said and "extra" not in said


def test_escapes_of_a_terminal_are_written_out(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["evaluate", "run\x1b[2J\n\u202e"]) == 2
    assert capsys.readouterr().err == "equipoise: run\\x1b[2J\\n\\u202e is no run of equipoise: it has no config.json\n"
