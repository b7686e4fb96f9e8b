"""The documents: their Python runs, their commands parse, and their tables are those of the code."""

from __future__ import annotations

import dataclasses
import re
import shlex
import sys
import typing
from pathlib import Path

import gymnasium
import pytest
from equipoise.algorithms.trust_region import MODES, OUTCOMES

import equipoise
from equipoise import catalogue
from equipoise.algorithms import ALGORITHMS
from equipoise.cli import main
from equipoise.gradients import AGGREGATORS
from equipoise.gradients.metric import Metric
from equipoise.theory import experiment
from equipoise.training import loop
from equipoise.training.config import VERSION, make_simulator
from equipoise.training.run import Run

ROOT = Path(__file__).parents[1]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
OWN_ENVIRONMENT = ROOT / "docs" / "your-own-environment.md"
OWN_AGGREGATOR = ROOT / "docs" / "aggregators.md"
SHELL = ("sh", "bash", "console")
FENCE = re.compile(r"^( *)```(.*?)\n(.*?)^\1```", re.MULTILINE | re.DOTALL)


def name_of(value):
    return str(value.relative_to(ROOT)) if isinstance(value, Path) else None


@pytest.fixture(autouse=True)
def no_trace_of_examples():
    """Environments and aggregators that a document's Python registers are forgotten after the test."""
    before = set(gymnasium.registry)
    yield
    forget_aggregators()
    for env_id in set(gymnasium.registry) - before:
        del gymnasium.registry[env_id]
    sys.modules.pop("my_env", None)


BUILT_IN = dict(AGGREGATORS)


def forget_aggregators():
    """Know no aggregators but the library's, as a new process does."""
    AGGREGATORS.clear()
    AGGREGATORS.update(BUILT_IN)
    sys.modules.pop("my_aggregators", None)


@pytest.fixture
def own_aggregators(tmp_path, monkeypatch):
    """The file my_aggregators.py of docs/aggregators.md, where a module is looked for."""
    *_, (_, example) = blocks(OWN_AGGREGATOR, "python")
    (tmp_path / "my_aggregators.py").write_text(example)
    monkeypatch.syspath_prepend(tmp_path)


every_document = pytest.mark.parametrize("path", DOCUMENTS, ids=name_of)


def blocks(path, *languages):
    """The tag and the text of every fenced block of `path` whose language is one of `languages`."""
    found = []
    for match in FENCE.finditer(path.read_text(encoding="utf-8")):
        indent, tag, text = match.groups()
        if tag.split()[:1] and tag.split()[0] in languages:
            found.append((tag.strip(), re.sub(f"^{indent}", "", text, flags=re.MULTILINE)))
    return found


def prose(path):
    """The text of `path` without its fenced blocks."""
    return FENCE.sub("", path.read_text(encoding="utf-8"))


def sections(path, level=2):
    """The text of every section of `path` by heading, its subsections included."""
    parts = re.split(rf"^{'#' * level} (.+)\n", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def table_rows(text):
    """The cells of every row of the tables in `text` but their headings."""
    lines = text.splitlines()
    rows = [line for i, line in enumerate(lines) if line.startswith("|") and lines[i - 1].startswith("|")]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows if not row.startswith("|---")]


def code_in(text):
    return re.findall(r"`([^`]+)`", text)


# Python


PYTHON = [
    pytest.param(tag, text, id=f"{name_of(path)}-{i}")
    for path in DOCUMENTS
    for i, (tag, text) in enumerate(blocks(path, "python"))
]


@pytest.mark.parametrize(("tag", "text"), PYTHON)
def test_python_runs_as_written(tag, text, tmp_path, monkeypatch):
    """Every block runs as a file of its own in an empty folder; one tagged `python no-run` has to compile only."""
    assert tag in ("python", "python no-run")
    program = compile(text, "<document>", "exec")
    monkeypatch.chdir(tmp_path)
    if tag == "python":
        exec(program, {"__name__": "__main__"})


def test_the_example_environment_is_short_enough_to_be_read():
    (_, example), *_ = blocks(OWN_ENVIRONMENT, "python")
    assert len(example.splitlines()) < 40


# Commands


def commands(path):
    """Every `equipoise …` command of the shell blocks of `path`, as a list of arguments."""
    found = []
    for _, text in blocks(path, *SHELL):
        for line in text.replace("\\\n", " ").splitlines():
            words = shlex.split(line.removeprefix("$ "), comments=True)
            if words[:3] == ["python", "-m", "equipoise"]:
                found.append(words[3:])
            elif words and Path(words[0]).name == "equipoise":
                found.append(words[1:])
    return found


COMMANDS = [
    pytest.param(arguments, id=f"{name_of(path)}-{' '.join(arguments)}")
    for path in DOCUMENTS
    for arguments in commands(path)
]


class Understood(BaseException):
    """Raised instead of doing what a command asks for."""


@pytest.mark.parametrize("arguments", COMMANDS)
def test_commands_are_understood(arguments, monkeypatch, capsys, own_aggregators):
    """The library's own parser reads the command, and its task and settings are allowed together."""

    def understood_training(config, run_dir, **_):
        if ":" in config.task:  # a module of the reader's own
            config.algorithm.check()
        else:
            config.check(make_simulator(config).problem)
        raise Understood

    def understood_run(*_):
        raise Understood

    monkeypatch.setattr(loop, "train", understood_training)
    monkeypatch.setattr(Run, "load", understood_run)
    monkeypatch.setattr(experiment, "theory", understood_run)
    monkeypatch.setattr(catalogue, "draw_still", lambda task, path: None)
    try:
        assert main(arguments) == 0, capsys.readouterr().err
    except Understood:
        pass
    except SystemExit as stopped:
        assert stopped.code == 0, capsys.readouterr().err


def test_there_are_commands_for_every_algorithm():
    asked = {c.values[0][1] for c in COMMANDS if c.values[0][:1] == ["train"]}
    assert set(ALGORITHMS) <= asked


def test_the_commands_for_an_own_environment_do_what_they_say(tmp_path, monkeypatch, capsys):
    (_, example), *_ = blocks(OWN_ENVIRONMENT, "python")
    (tmp_path / "my_env.py").write_text(example)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    for arguments in commands(OWN_ENVIRONMENT):
        assert main(arguments) == 0, capsys.readouterr().err
    assert {path.name for path in Path("runs/rail").iterdir()} >= {"metrics.csv", "evaluation.json", "plot.png"}


def test_the_commands_for_an_own_aggregator_do_what_they_say(tmp_path, monkeypatch, capsys, own_aggregators):
    """Each as a process of its own would; without being told so, none imports the module that the run's file names."""
    monkeypatch.chdir(tmp_path)
    quicker = {
        "train": "--num-envs 2 --steps-per-iteration 2000 --total-steps 2000 --limits 1500"
        " --slack.low -1 --slack.high 1",
        "evaluate": "--episodes 2",
        "resume": "",
        "conflict": "--episodes 4 --grid 3",
    }
    train, evaluate, resume, conflict = commands(OWN_AGGREGATOR)
    for arguments in (train, evaluate, resume, conflict):
        forget_aggregators()
        assert main([*arguments, *quicker[arguments[0]].split()]) == 0, capsys.readouterr().err
        assert ("my_aggregators" in sys.modules) == (arguments is not evaluate)
    assert [row["mode"] for row in Run.load(Path("runs/own")).metrics] == ["balance"]
    assert shlex.join(["equipoise", *resume]) in capsys.readouterr().out
    for arguments in (resume, conflict):
        forget_aggregators()
        assert main(arguments[:2]) == 2
        said = capsys.readouterr().err
        assert "is not registered; 'my_aggregators' has to be imported" in said
        assert f"(on the command line: {shlex.join(arguments[2:])})" in said
        assert said.count("\n") == 1
        assert "my_aggregators" not in sys.modules


@every_document
def test_make_targets_exist(path):
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    for _, text in blocks(path, *SHELL):
        assert set(re.findall(r"^(?:\$ )?make (\w+)", text, re.MULTILINE)) <= targets


# docs/metrics.md


def documented_columns(names):
    """The columns that docs/metrics.md promises for costs called `names`."""
    columns = []
    for heading, text in sections(ROOT / "docs" / "metrics.md", level=3).items():
        for first, *_ in table_rows(text.split("\n## ")[0]):
            written = code_in(first)
            if len(written) == 2:  # `COLUMN` or `COLUMN/NAME`
                assert written[1] == f"{written[0]}/NAME", heading
                written = written[:1] if len(names) == 1 else written[1:]
            elif not written or written[0] in OUTCOMES:
                continue
            columns += [written[0].replace("NAME", name) for name in (names if "NAME" in written[0] else names[:1])]
    return columns


def assert_documented(run):
    columns = documented_columns(run.problem.cost_names)
    assert len(columns) == len(set(columns))
    assert set(columns) == set(run.metrics[0])


def test_every_column_is_documented_for_one_constraint(tmp_path):
    options = {"total_steps": 2000, "num_envs": 2, "steps_per_iteration": 2000}
    assert_documented(equipoise.train("pcrpo", "SafetyHopper-v4", run_dir=tmp_path / "run", **options))


def test_every_column_is_documented_for_several_constraints(tmp_path):
    (_, example), *_ = blocks(OWN_ENVIRONMENT, "python")
    names = {"__name__": "my_env"}
    exec(example, names)
    costs = {"cost_names": ("far", "effort"), "limits": (10.0, 25.0), "horizon": 100}
    options = {"total_steps": 2000, "steps_per_iteration": 2000}
    assert_documented(equipoise.train("pcrpo", names["Rail"], run_dir=tmp_path / "run", **costs, **options))


def test_every_mode_and_outcome_is_documented():
    assert set(MODES) | set(OUTCOMES) <= set(code_in(prose(ROOT / "docs" / "metrics.md")))
    outcomes = sections(ROOT / "docs" / "algorithms.md")["Outcomes"]
    assert set(OUTCOMES) <= set(code_in(outcomes))


# docs/algorithms.md


def command_line_settings(kind, prefix="--"):
    """Every setting of a settings class with its default, as the command line writes them."""
    found = {}
    for field in dataclasses.fields(kind):
        name, default = field.name.replace("_", "-"), field.default
        if dataclasses.is_dataclass(default):
            found |= command_line_settings(type(default), prefix if name == "learner" else f"{prefix}{name}.")
        else:
            found[prefix + name] = " ".join(map(str, default)) if isinstance(default, tuple) else str(default)
    return found


def documented_settings(text):
    return {code_in(row[0])[0]: code_in(row[1])[0] for row in table_rows(text) if row[0].startswith("`--")}


def test_every_algorithm_has_a_section_with_all_its_settings_and_their_defaults():
    found = sections(ROOT / "docs" / "algorithms.md")
    shared = documented_settings(found["What all share"])
    assert shared == command_line_settings(equipoise.Learner)
    for name, kind in ALGORITHMS.items():
        assert name in found
        assert documented_settings(found[name]) | shared == command_line_settings(kind), name
        assert f"equipoise train {name} " in found[name]


def test_every_metric_is_described():
    text = sections(ROOT / "docs" / "algorithms.md")["The four metrics"]
    assert [code_in(row[0])[0] for row in table_rows(text)] == list(typing.get_args(Metric))


# Paths and links


def test_contributing_names_files_that_exist():
    paths = [
        word
        for word in code_in(prose(ROOT / "CONTRIBUTING.md"))
        if re.fullmatch(r"(src|tests|docs|benchmarks|\.ci)/\S*|\S+\.(py|md|toml|cff)", word)
    ]
    assert len(paths) > 20
    assert [path for path in paths if not (ROOT / path).exists()] == []


def anchors(path):
    """The anchors of the headings of `path`, made as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", prose(path), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@every_document
def test_relative_links_lead_somewhere(path):
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(path)):
        if re.match(r"[a-z]+:", target):
            continue
        file, _, anchor = target.partition("#")
        linked = (path.parent / file).resolve() if file else path
        assert linked.exists(), target
        assert not anchor or anchor in anchors(linked), target


# CHANGELOG.md and CITATION.cff


def test_the_changelog_begins_with_this_version():
    first, *_ = sections(ROOT / "CHANGELOG.md")
    assert first.split()[0] == f"[{VERSION}]"


def test_the_citation_names_the_software_and_the_paper():
    """Read line by line, as CITATION.cff uses the simplest of YAML: `key: value` and two spaces a level."""
    text = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line.strip()]
    assert all(re.fullmatch(r"(  )*(- )?([\w-]+:( .+)?|\S.*)", line) for line in lines)
    top = dict(line.split(":", 1) for line in lines if re.match(r"[\w-]+:", line))
    assert {"cff-version", "message", "title", "authors", "references"} <= set(top)
    assert top["cff-version"].strip() == "1.2.0"
    assert top["version"].strip() == VERSION
    assert f'license = "{top["license"].strip()}"' in (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    software, paper = text.split("\nreferences:\n")
    assert 'name: "The equipoise maintainers"' in software
    assert re.findall(r"family-names: (\w+)", paper) == ["Gu", "Sel", "Ding", "Wang", "Lin", "Jin", "Knoll"]
    for fact in ("Balance Reward and Safety Optimization", "2024", "arXiv:2405.01677"):
        assert fact in paper
