"""The pages of docs/algorithms/ and the tables of logged columns, written from the registry and its docstrings.

    python docs/generate.py           # write every page
    python docs/generate.py --check   # only name the pages that are out of date

Every algorithm has a page docs/algorithms/NAME.md, which is generated except for what stands between its lines
`<!-- notes -->` and `<!-- /notes -->`. The other documents are written by hand except for what stands between their
lines `<!-- generated: BLOCK -->` and `<!-- /generated -->`.
"""

from __future__ import annotations

import argparse
import ast
import dataclasses
import functools
import inspect
import itertools
import re
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from markup import table
from scores import score

from equipoise.algorithms import ALGORITHMS, FAMILIES, Algorithm, Entry, Learner, Proximal, TrustRegion
from equipoise.algorithms.rules.unconstrained import Unconstrained
from equipoise.problem import Batch, Problem, estimate

ROOT = Path(__file__).parents[1]
PAGES = ROOT / "docs" / "algorithms"
TASK = "SafetyHopperVelocity-v1"

NOTES = re.compile(r"<!-- notes -->\n(.*?)<!-- /notes -->", re.DOTALL)
BLOCK = re.compile(r"(<!-- generated: (\w+) -->\n).*?(<!-- /generated -->)", re.DOTALL)

Part = Any
"""A rule, step, lens or learner: settings."""

STEPS: dict[type, tuple[str, str]] = {
    TrustRegion: ("trust-region step", "the-trust-region-step"),
    Proximal: ("proximal step", "the-proximal-step"),
}
"""What each kind of step is called, and the section of the index that describes it."""

RESTS = {
    "unconstrained": "It ignores limits: training rests at the optimum without them.",
    "limit": "Where a limit binds, training rests at the constrained optimum.",
    "inside": "Where a limit binds, training rests inside of it.",
}
"""What `Entry.rests` means, in a sentence."""


# Docstrings


def attribute_docs(kind: type) -> dict[str, str]:
    """Return the docstring below every attribute of a class and of its bases, on one line."""
    found: dict[str, str] = {}
    for base in reversed(kind.__mro__):
        if not base.__module__.startswith("equipoise"):
            continue
        body = ast.parse(textwrap.dedent(inspect.getsource(base))).body[0].body  # type: ignore[attr-defined]
        for field, following in itertools.pairwise(body):
            if isinstance(field, ast.AnnAssign) and isinstance(following, ast.Expr):
                found[field.target.id] = " ".join(ast.literal_eval(following.value).split())  # type: ignore[union-attr]
    return found


def as_markdown(docstring: str, level: int) -> str:
    """Write a module's docstring as Markdown: indented formulas become blocks, `Deviations:` a heading."""
    blocks: list[str] = []
    for block in re.split(r"\n\s*\n", inspect.cleandoc(docstring)):
        if block.startswith("    "):
            formula = textwrap.dedent(block)
            if blocks and blocks[-1].endswith("\n```"):
                blocks[-1] = f"{blocks[-1].removesuffix('```')}\n{formula}\n```"
            else:
                blocks.append(f"```text\n{formula}\n```")
        elif heading := re.match(r"Deviations\b[^\n:]*:", block):
            rest = block[heading.end() :].strip()
            blocks += [f"{'#' * level} Deviations", *([rest] if rest else [])]
        else:
            blocks.append(re.sub(r"<(?=[a-zA-Z/!])", r"\\<", block))
    return "\n\n".join(blocks)


def said(part: Part) -> str:
    """Return what a part is, in a sentence: the first paragraph of its class's docstring."""
    return " ".join(inspect.cleandoc(type(part).__doc__ or "").split("\n\n")[0].split())


def main_part(algorithm: Algorithm) -> Part:
    """Return what makes an algorithm what it is: its lens, or its rule if the lens changes nothing."""
    return algorithm.rule if type(algorithm.lens).__name__ == "Plain" else algorithm.lens


# Settings


def settings_of(part: Part, prefix: str) -> Iterator[tuple[str, str, str]]:
    """Yield every setting of a part as the command line writes it, with its value and its docstring."""
    docs = attribute_docs(type(part))
    for field in dataclasses.fields(part):
        name, value = prefix + field.name.replace("_", "-"), getattr(part, field.name)
        if dataclasses.is_dataclass(value):
            yield from settings_of(value, prefix if field.name == "switch" else f"{name}.")
        else:
            yield name, written(value), docs[field.name]


def written(value: Any) -> str:
    """Write a setting's value as the command line shows it."""
    return " ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def all_settings(algorithm: Algorithm) -> dict[str, tuple[str, str]]:
    """Return the value and the docstring of every setting of rule, lens and step by its option."""
    parts = ((algorithm.rule, "--"), (algorithm.lens, "--lens."), (algorithm.step, "--step."))
    return {name: (value, doc) for part, prefix in parts for name, value, doc in settings_of(part, prefix)}


def settings_table(entry: Entry) -> str:
    """Write the settings of rule, lens and step, with the values of the presets that differ."""
    own, presets = all_settings(entry.algorithm), {n: all_settings(a) for n, a in entry.presets.items()}
    rows = []
    for name, (value, doc) in own.items():
        others = [preset[name][0] if name in preset else "" for preset in presets.values()]
        rows.append([f"`{name}`", f"`{value}`", *[f"`{v}`" if v not in ("", value) else "" for v in others], doc])
    return table(["setting", "default", *[f"preset `{name}`" for name in presets], "what it is"], rows)


def learner_of_presets(entry: Entry) -> str:
    """Say what presets change in the settings that all algorithms share."""
    own = {name: value for name, value, _ in settings_of(entry.algorithm.learner, "--")}
    text = []
    for preset, algorithm in entry.presets.items():
        changed = [f"`{n} {v}`" for n, v, _ in settings_of(algorithm.learner, "--") if v != own[n]]
        text += [f"The preset `{preset}` also sets {', '.join(changed)}."] if changed else []
    return "\n".join(text)


# Columns


def shapes_of(columns: dict[str, Any], constraints: int) -> dict[str, str]:
    """Return the suffix of every column: none, one a constraint, or one an objective."""
    suffix = {(): "", (constraints,): "/NAME", (1 + constraints,): "/reward, /NAME"}
    return {name: suffix[jnp.shape(value)] for name, value in columns.items()}


@functools.cache
def own_columns(part: Part) -> dict[str, str]:
    """Return the description of every column that a part logs, by the column's name with its suffix."""
    problem = Problem("shapes", 3, 1, 2, ("a", "b"), (1.0, 1.0))
    limits = jnp.ones(2)
    if isinstance(part, TrustRegion | Proximal):
        part = TrustRegion(heldout=True) if isinstance(part, TrustRegion) else Proximal()
        algorithm = Algorithm(Unconstrained(), part)
        state = algorithm.init(problem, limits, jax.random.key(0))
        shapes = shapes_of(jax.eval_shape(algorithm.update, state, *_zeros(problem))[1].step.own, 2)
    else:
        memory = part.init(limits) if hasattr(part, "observes_budget") else part.init(2)
        shapes = shapes_of(part.columns(memory), 2)
    return {
        ", ".join(name + suffix for suffix in shapes[name].split(", ")): doc for name, doc in type(part).logs.items()
    }


def _zeros(problem: Problem) -> tuple[Any, ...]:
    """Return a rollout of nothing, and the other arguments of an update."""
    time, envs, costs = problem.horizon, 2, len(problem.cost_names)
    observation = np.zeros((time, envs, problem.observation_size), np.float32)
    no = np.zeros((time, envs), bool)
    seen = estimate(np.zeros(envs), np.zeros((envs, costs)), np.full(envs, time))
    batch = Batch(
        observation,
        np.zeros((time, envs, problem.action_size), np.float32),
        np.zeros((time, envs), np.float32),
        np.zeros((time, envs, costs), np.float32),
        observation,
        no,
        no,
        ~no,
        seen,
    )
    return batch, jnp.ones(costs), jnp.asarray(0.0), jax.random.key(0)


def columns_table(columns: dict[str, str]) -> str:
    """Write a table of columns."""
    return table(["column", "what it is"], [[code_list(name), doc] for name, doc in columns.items()])


def code_list(names: str) -> str:
    """Write names that are separated by commas as code."""
    return ", ".join(f"`{name}`" for name in names.split(", "))


# Pages


def paper(entry: Entry) -> str:
    """Write an algorithm's paper, its arXiv number as a link, and its year unless it is there."""
    text = re.sub(r"arXiv (\d{4}\.\d{5})", r"[arXiv \1](https://arxiv.org/abs/\1)", entry.paper)
    return text if str(entry.year) in entry.paper else f"{text} ({entry.year})"


def source(part: Part) -> str:
    """Link a part's class to the file that defines it."""
    file = Path(inspect.getfile(type(part))).relative_to(Path(inspect.getfile(Algorithm)).parents[2])
    return f"[`{type(part).__name__}`](../../src/{file.as_posix()})"


def made_of(algorithm: Algorithm) -> str:
    """Say which rule, step and lens an algorithm is made of."""
    text = f"It is the rule {source(algorithm.rule)} on the {step_of(algorithm)}"
    return text + (
        "." if main_part(algorithm) is algorithm.rule else f", seen through the lens {source(algorithm.lens)}."
    )


def step_of(algorithm: Algorithm) -> str:
    """Name an algorithm's step, and the settings in which it is not the step's usual one."""
    step, section = STEPS[type(algorithm.step)]
    usual = {name: value for name, value, _ in settings_of(type(algorithm.step)(), "--step.")}
    own = [f"`{n} {v}`" for n, v, _ in settings_of(algorithm.step, "--step.") if v != usual[n]]
    return f"[{step}](README.md#{section})" + (f" with {', '.join(own)}" if own else "")


def commands(name: str, entry: Entry) -> str:
    """Write the commands that train an algorithm, with its own settings and with each preset's."""
    lines = [f"equipoise train {name} {TASK}"]
    lines += [f"equipoise train {name} {TASK} --preset {preset}" for preset in entry.presets]
    return "```sh\n" + "\n".join(lines) + "\n```"


def page(name: str, before: str) -> str:
    """Write the page of an algorithm; `before` is what it was, from which the notes are taken."""
    entry = ALGORITHMS[name]
    algorithm = entry.algorithm
    notes = NOTES.search(before)
    like = f"While no limit binds it is [{entry.parent}]({entry.parent}.md), bit for bit. " if entry.parent else ""
    parts = [main_part(algorithm)] + [algorithm.rule] * (main_part(algorithm) is not algorithm.rule)
    kinds = ["The lens", "The rule"] if len(parts) > 1 else ["The update"]
    own = {**own_columns(algorithm.lens), **own_columns(algorithm.rule), **own_columns(algorithm.step)}
    texts = [
        f"# {name}",
        f"<!-- Written by docs/generate.py, except for the notes. -->\n\n{said(parts[0])}",
        f"Paper: {paper(entry)}.",
        f"{like}{RESTS[entry.rests]}\n{made_of(algorithm)}",
        commands(name, entry),
    ]
    for kind, part in zip(kinds, parts, strict=True):
        module = inspect.getmodule(type(part))
        texts.append(f"## {kind}\n\n{as_markdown(module.__doc__ or '', 3)}")  # type: ignore[union-attr]
    texts += [
        "## Settings",
        "Those that all algorithms share are in the [index](README.md#the-learner).",
        settings_table(entry),
        learner_of_presets(entry),
        "## Columns",
        "What it logs beside the [columns of all algorithms](../metrics.md):",
        columns_table(own),
        f"<!-- notes -->\n{notes[1] if notes else ''}<!-- /notes -->",
        "## Score",
        f"<!-- score -->\n\n{score(name)}\n\n<!-- /score -->",
    ]
    return "\n\n".join(wrapped(text) for text in texts if text) + "\n"


def wrapped(text: str) -> str:
    """Break the lines of a paragraph that are too long; tables, lists, headings and blocks stay as they are."""
    if re.search(r"^(\||#|```|- |<!-- (?!Written))", text, re.MULTILINE):
        return text
    return "\n\n".join(
        textwrap.fill(part, 120, break_long_words=False, break_on_hyphens=False) for part in text.split("\n\n")
    )


# Blocks in pages that are written by hand


def families() -> str:
    """Write the index of all algorithms."""
    texts = []
    for family, entries in FAMILIES.items():
        rows = [
            [
                f"[{name}]({name}.md)",
                said(main_part(entry.algorithm)),
                step_of(entry.algorithm).replace("README.md", "").replace(" step]", "]"),
                paper(entry),
                f"[{entry.parent}]({entry.parent}.md)" if entry.parent else "",
                {"unconstrained": "", "limit": "at the limit", "inside": "inside"}[entry.rests],
            ]
            for name, entry in entries.items()
        ]
        heading = ["algorithm", "what it does", "step", "paper", "while no limit binds", "training rests"]
        texts += [f"### {family[0].upper()}{family[1:]}", table(heading, rows)] if rows else []
    return "\n\n".join(texts)


def names() -> str:
    """Write the algorithms' names by family."""
    lines = []
    for family, entries in FAMILIES.items():
        linked = ", ".join(f"[{name}](docs/algorithms/{name}.md)" for name in entries)
        lines += [f"| {family} | {linked} |"] if entries else []
    return "\n".join(["| family | algorithms |", "|---|---|", *lines])


def settings_block(part: Part, prefix: str) -> Callable[[], str]:
    """Return what writes the table of one part's settings."""

    def block() -> str:
        rows = [[f"`{name}`", f"`{value}`", doc] for name, value, doc in settings_of(part, prefix)]
        return table(["setting", "default", "what it is"], rows)

    return block


def steps_columns() -> str:
    """Write the columns of the steps."""
    rows = []
    for kind, (called, _) in STEPS.items():
        rows += [[code_list(name), called, doc] for name, doc in own_columns(kind()).items()]
    return table(["column", "logged by the", "what it is"], rows)


def rules_columns() -> str:
    """Write the columns of rules and lenses, each with the algorithms that log it."""
    found: dict[tuple[str, str], list[str]] = {}
    for name, entry in ALGORITHMS.items():
        for part in (entry.algorithm.lens, entry.algorithm.rule):
            for column, doc in own_columns(part).items():
                found.setdefault((column, doc), []).append(name)
    rows = [[code_list(column), ", ".join(algorithms), doc] for (column, doc), algorithms in sorted(found.items())]
    return table(["column", "logged by", "what it is"], rows)


BLOCKS: dict[str, Callable[[], str]] = {
    "families": families,
    "names": names,
    "learner": settings_block(Learner(), "--"),
    "trust_region": settings_block(TrustRegion(), "--step."),
    "proximal": settings_block(Proximal(), "--step."),
    "steps_columns": steps_columns,
    "rules_columns": rules_columns,
}
"""What writes each generated block."""

BY_HAND = (PAGES / "README.md", ROOT / "docs" / "metrics.md", ROOT / "README.md")
"""Documents with generated blocks in them."""


def filled(text: str) -> str:
    """Return a document with its generated blocks written anew."""
    return BLOCK.sub(lambda found: f"{found[1]}\n{BLOCKS[found[2]]()}\n\n{found[3]}", text)


def pages() -> dict[Path, str]:
    """Return the content that every page should have, given the notes it has."""
    made = {}
    for name in ALGORITHMS:
        path = PAGES / f"{name}.md"
        made[path] = page(name, path.read_text(encoding="utf-8") if path.exists() else "")
    return made | {path: filled(path.read_text(encoding="utf-8")) for path in BY_HAND}


def main() -> int:
    """Write the pages, or only name those that are out of date."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; exit code 1 if a page is out of date")
    check = parser.parse_args().check
    made = pages()
    stale = [path for path, text in made.items() if not path.exists() or path.read_text(encoding="utf-8") != text]
    for path in stale:
        print(f"{'out of date' if check else 'written'}: {path.relative_to(ROOT)}")
        if not check:
            path.write_text(made[path], encoding="utf-8")
    return int(check and bool(stale))


if __name__ == "__main__":
    raise SystemExit(main())
