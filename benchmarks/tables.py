"""The tables of docs/results/ and docs/decisions/, made from the measurements in docs/results/data/.

    python benchmarks/tables.py           # write every table into its page; `make results` does the same
    python benchmarks/tables.py --check   # only name the pages whose tables are out of date

A table stands in its page between the lines `<!-- table: NAME -->` and `<!-- end of table -->`. The measurements
themselves are made by `python benchmarks/studies.py STUDY`, or by a campaign (campaign_tables.py).

Every number is a mean over seeds. `±` is its standard error; for a difference of two algorithms that were trained with
the same seeds it is the standard error of the paired difference.
"""

from __future__ import annotations

import argparse
import csv
import functools
import re
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from campaign_tables import at_a_glance, campaign_tables, committed, new_page

DOCS = Path(__file__).parents[1] / "docs"
DATA = DOCS / "results" / "data"
MARKED = re.compile(r"(<!-- table: (\S+) -->\n).*?(<!-- end of table -->)", re.DOTALL)

VELOCITY = [f"Safety{robot}Velocity-v1" for robot in ("Ant", "HalfCheetah", "Hopper", "Walker2d", "Swimmer")]
LIMITED = ["SafetyHopperVelocity-v1", "SafetyHalfCheetahVelocity-v1"]
SHORT = ["SafetyHalfCheetah-v4", "SafetyHopper-v4", *LIMITED]
COLUMNS = {"reward": 0, "cost": 1, "violation": 2, "inside": 3, "swing": 1}
"""What runs are compared by, with the decimals that are shown."""

Rows = list[dict[str, str]]
"""Rows of a CSV file."""
Table = Callable[[], list[list[str]]]
"""Makes the cells of a table, its heading first."""


@functools.cache
def read(study: str) -> tuple[dict[str, str], ...]:
    """Return the rows of a study."""
    with (DATA / f"{study}.csv").open(newline="", encoding="utf-8") as file:
        return tuple(csv.DictReader(file))


def stages(study: str, **labels: str) -> list[tuple[int, Rows]]:
    """Return the rows with these labels by stage of training: the steps done, and one row a seed."""
    found = [row for row in read(study) if all(row[name] == value for name, value in labels.items())]
    steps = sorted({int(row["steps"]) for row in found})
    by_seed = sorted(found, key=lambda row: int(row["seed"]))
    return [(step, [row for row in by_seed if int(row["steps"]) == step]) for step in steps]


def finished(study: str, **labels: str) -> Rows:
    """Return the last row of every run with these labels, by seed."""
    return stages(study, **labels)[-1][1]


def column(rows: Rows, name: str) -> np.ndarray:
    """Return one number of every run, by seed."""
    return np.array([float(row[name]) for row in rows])


def error(values: np.ndarray) -> float:
    """Return the standard error of the mean; not a number for a single value."""
    return float(values.std(ddof=1) / np.sqrt(len(values))) if len(values) > 1 else float("nan")


def number(value: float, digits: int = 0, sign: str = "") -> str:
    """Write a number with a true minus sign."""
    written = f"{value:{sign}.{digits}f}"
    return ("0" + written.lstrip("-0") if float(written) == 0 and not sign else written).replace("-", "−")


def mean(values: np.ndarray, digits: int = 0, sign: str = "") -> str:
    """Write a mean and its standard error."""
    return number(float(values.mean()), digits, sign) + (f" ± {error(values):.{digits}f}" if len(values) > 1 else "")


def share(values: np.ndarray) -> str:
    """Write a mean share as percent."""
    return f"{100 * values.mean():.0f} %"


def short(task: str) -> str:
    """Leave out what all tasks' names begin with."""
    return task.removeprefix("Safety")


def curve(study: str, columns: Sequence[str] = ("reward", "cost"), **labels: str) -> dict[int, str]:
    """Write means of `columns` at every stage of training."""
    return {
        steps: " / ".join(number(float(column(rows, name).mean())) for name in columns)
        for steps, rows in stages(study, **labels)
    }


def millions(steps: int) -> str:
    """Write a number of steps as a heading."""
    return f"{steps / 1e6:g} M"


def each(rows: Rows, name: str) -> str:
    """Write one number of every run in order of size."""
    return ", ".join(number(value) for value in sorted(column(rows, name)))


def certified(rows: Rows) -> str:
    """Count the runs whose last policy is certified."""
    return f"{(column(rows, 'eval_upper') <= column(rows, 'limit')).sum()} of {len(rows)}"


def trpo() -> list[list[str]]:
    """TRPO without limits at the default settings, beside OmniSafe's."""
    at = [steps for steps, _ in stages("trpo", task=VELOCITY[0])]
    table = [["task", "run", *map(millions, at), "reward at the end", "each seed"]]
    for task in VELOCITY:
        for name, study in (("OmniSafe, one seed", "reference"), ("equipoise", "trpo")):
            found = curve(study, task=task, algorithm="trpo")
            if found:
                last = finished(study, task=task, algorithm="trpo")
                ends = [mean(column(last, "reward")), each(last, "reward") if len(last) > 1 else ""]
                table.append([short(task), name, *(found.get(steps, "") for steps in at), *ends])
    return table


LIMIT_25 = {"CRPO": ("crpo", "0"), "PCRPO": ("pcrpo", "-0.3")}
"""Algorithm and lower end of the band of the runs with a limit of 25, by name."""


def limit_25() -> list[list[str]]:
    """CRPO and PCRPO at a limit of 25: reward and cost over training."""
    at = [steps for steps, _ in stages("safe", task=LIMITED[0])]
    table = [["task", "run", *map(millions, at), "reward at the end", "cost at the end"]]
    for task in LIMITED:
        reference = curve("reference", task=task, algorithm="crpo")
        table.append([short(task), "OmniSafe's CRPO, one seed", *(reference.get(steps, "") for steps in at), "", ""])
        for name, (algorithm, low) in LIMIT_25.items():
            found, last = (f("safe", task=task, algorithm=algorithm, low=low) for f in (curve, finished))
            ends = [mean(column(last, "reward")), mean(column(last, "cost"), 1)]
            table.append([short(task), name, *(found[steps] for steps in at), *ends])
    return table


def limit_25_kept() -> list[list[str]]:
    """CRPO and PCRPO at a limit of 25: how the limit was kept."""
    heads = ["violation", "Ĵ ≤ b", "swing", "balance", "safety", "cost of each last policy", "certified"]
    table = [["task", "run", *heads]]
    for task in LIMITED:
        for name, (algorithm, low) in LIMIT_25.items():
            last = finished("safe", task=task, algorithm=algorithm, low=low)
            table.append(
                [
                    short(task),
                    name,
                    mean(column(last, "violation"), 2),
                    share(column(last, "inside")),
                    mean(column(last, "swing"), 1),
                    share(column(last, "balance")),
                    share(column(last, "safety")),
                    each(last, "eval_cost"),
                    certified(last),
                ]
            )
    return table


def difference(first: Rows, second: Rows, paired: bool = True) -> list[str]:
    """Write how much larger the first runs' numbers are, with standard errors."""
    cells = []
    for name, digits in COLUMNS.items():
        ours, theirs = column(first, name), column(second, name)
        if name == "inside":
            ours, theirs, digits = 100 * ours, 100 * theirs, 0
        spread = error(ours - theirs) if paired else float(np.hypot(error(ours), error(theirs)))
        cells.append(f"{number(float(ours.mean() - theirs.mean()), digits, '+')} ± {spread:.{digits}f}")
    return cells


DIFFERENCES = ["reward", "cost", "violation", "Ĵ ≤ b, points", "swing"]


def limit_25_difference() -> list[list[str]]:
    """PCRPO minus CRPO at a limit of 25."""
    pairs = [[finished("safe", task=task, algorithm=a, low=low) for a, low in LIMIT_25.values()] for task in LIMITED]
    rows = [[short(task), *difference(pcrpo, crpo)] for task, (crpo, pcrpo) in zip(LIMITED, pairs, strict=True)]
    return [["task", *DIFFERENCES], *rows]


def scores() -> list[list[str]]:
    """What policies cost that were trained on the cost alone, or on the reward alone."""
    heads = ["cost, trained on cost", "cost, trained on reward", "reward, trained on cost", "reward, trained on reward"]
    names = ["cost_only", "unconstrained", "reward_of_cost_only", "reward_of_unconstrained"]
    rows = [[short(row["task"]), *(row[name].replace("-", "−") for name in names)] for row in read("scores")]
    return [["task", *heads], *rows]


def bias() -> list[list[str]]:
    """Episode costs as iterations estimate them, beside those of fresh episodes."""
    table = [["run", "fresh episodes", "20 environments", "4 environments", "episodes counted of 4 environments"]]
    for row in read("bias"):
        found = [f"{row[name]} ± {row[f'{name}_se']}" for name in ("fresh", "envs_20", "envs_4")]
        table.append([short(row["run"]), *found, row["envs_4_episodes"]])
    return table


EVERY = {
    "1": ["full_fisher"],
    "2": ["trpo", "fisher"],
    "4": ["fisher"],
}
"""The Fisher matrix is taken over every so many steps: which studies have runs of it."""


def _thinned(every: str, task: str) -> Rows:
    """Return the last rows of TRPO's runs with the Fisher matrix over every so many steps."""
    rows: Rows = []
    for study in EVERY[every]:
        labels = {"setting": every} if study == "fisher" else {}
        if stages(study, task=task, **labels):
            rows += finished(study, task=task, **labels)
    return rows


def fisher() -> list[list[str]]:
    """TRPO's reward with the Fisher matrix over all, every second and every fourth step."""
    table = [["task", "F over", "runs", "reward at the end", "each run", "difference to every step"]]
    for task in VELOCITY:
        for every in EVERY:
            last = _thinned(every, task)
            name = {"1": "every step", "2": "every 2nd step", "4": "every 4th step"}[every]
            apart = "" if every == "1" else _apart(last, _thinned("1", task))
            row = [short(task), name, str(len(last)), mean(column(last, "reward")), each(last, "reward"), apart]
            table.append(row)
    return table


def _apart(first: Rows, second: Rows) -> str:
    """Write the difference of two independent groups' rewards."""
    ours, theirs = column(first, "reward"), column(second, "reward")
    gap = number(float(ours.mean() - theirs.mean()), sign="+")
    return f"{gap} ± {np.hypot(error(ours), error(theirs)):.0f}"


def fisher_together() -> list[list[str]]:
    """The same differences, over all five tasks together."""
    table = [["F over", "sum of the five differences, each in standard errors, divided by √5"]]
    for every, name in (("2", "every 2nd step"), ("4", "every 4th step")):
        units = []
        for task in VELOCITY:
            ours, theirs = (column(_thinned(which, task), "reward") for which in (every, "1"))
            units.append((ours.mean() - theirs.mean()) / np.hypot(error(ours), error(theirs)))
        table.append([name, number(float(np.sum(units) / np.sqrt(len(units))), 1, "+")])
    return table


def epochs_trpo() -> list[list[str]]:
    """TRPO with 10 and 5 epochs of the critics."""
    table = [["task", "10 epochs", "5 epochs", "difference"]]
    for task in ("SafetyHalfCheetahVelocity-v1", "SafetySwimmerVelocity-v1", "SafetyHopperVelocity-v1"):
        ten = finished("fisher", task=task, setting="4")
        five = finished("epochs", task=task, algorithm="trpo")
        rewards = [mean(column(rows, "reward")) for rows in (ten, five)]
        table.append([short(task), *rewards, difference(five, ten)[0]])
    return table


def epochs_pcrpo() -> list[list[str]]:
    """PCRPO with 5 epochs of the critics, minus the same with 10."""
    table = [["task", *DIFFERENCES]]
    for task in SHORT:
        ten = finished("margin", task=task, algorithm="pcrpo", share="1")
        table.append([short(task), *difference(finished("epochs", task=task, algorithm="pcrpo"), ten)])
    return table


def settings() -> list[list[str]]:
    """TRPO at OmniSafe's settings and at the default ones, all with the whole Fisher matrix."""
    at = [steps for steps, _ in stages("trpo", task=VELOCITY[0])]
    table = [["task", "run", *map(millions, at)]]
    studies = {
        "OmniSafe, one seed": "reference",
        "equipoise at OmniSafe's settings, one seed": "omnisafe_settings",
        "equipoise at its own, five seeds": "full_fisher",
    }
    for task in VELOCITY:
        for name, study in studies.items():
            found = curve(study, task=task, algorithm="trpo")
            if found:
                table.append([short(task), name, *(found.get(steps, "") for steps in at)])
    return table


def hopper() -> list[list[str]]:
    """TRPO on HopperVelocity with OmniSafe's settings taken over one by one, and more damping on two tasks."""
    table = [["task", "settings", "reward at 0.6 M", "reward at 1 M", "each seed", "difference to our own"]]
    kinds = {
        "our own": ("full_fisher", {}),
        "its initial σ": ("hopper", {"setting": "sigma"}),
        "its step size and damping": ("hopper", {"setting": "others"}),
        "both": ("hopper", {"setting": "both"}),
        "our own, but damping 0.3": ("damping", {}),
    }
    for task in ("SafetyHopperVelocity-v1", "SafetyWalker2dVelocity-v1"):
        for name, (study, labels) in kinds.items():
            found = dict(stages(study, task=task, **labels))
            if found:
                last = found[1_000_000]
                rewards = [mean(column(rows, "reward")) for rows in (found[600_000], last)]
                gap = "" if study == "full_fisher" else _apart(last, finished("full_fisher", task=task))
                table.append([short(task), name, *rewards, each(last, "reward"), gap])
    return table


def _bands(task: str) -> dict[str, Rows]:
    """Return the last rows of PCRPO's short runs by the width of their band."""
    narrow = finished("margin", task=task, algorithm="pcrpo", share="1")
    wide = {low: finished("band", task=task, algorithm="pcrpo", low=f"-{low}") for low in ("0.3", "0.5")}
    return {"0.1": narrow, **wide}


def _judged(rows: Rows) -> list[str]:
    """Write what a constrained run is judged by."""
    return [
        mean(column(rows, "reward")),
        mean(column(rows, "cost"), 1),
        mean(column(rows, "violation"), 2),
        share(column(rows, "inside")),
        mean(column(rows, "swing"), 1),
        share(column(rows, "balance")),
    ]


JUDGED = ["reward", "cost", "violation", "Ĵ ≤ b", "swing", "balance"]


def band() -> list[list[str]]:
    """PCRPO with three widths of the band, half a million steps."""
    rows = [[short(task), f"{low}·b", *_judged(last)] for task in SHORT for low, last in _bands(task).items()]
    return [["task", "band", *JUDGED], *rows]


def band_difference() -> list[list[str]]:
    """The wider bands minus the narrowest."""
    table = [["task", "bands", *DIFFERENCES]]
    for task in SHORT:
        bands = _bands(task)
        for low in ("0.3", "0.5"):
            table.append([short(task), f"{low}·b − 0.1·b", *difference(bands[low], bands["0.1"])])
    return table


def band_long() -> list[list[str]]:
    """PCRPO with three widths of the band, two million steps at a limit of 25."""
    table = [["task", "band", *JUDGED, "reward of each seed", "certified"]]
    for task in LIMITED:
        groups = {"0.1": finished("narrow", task=task, algorithm="pcrpo")}
        groups |= {low: finished("safe", task=task, algorithm="pcrpo", low=f"-{low}") for low in ("0.3", "0.5")}
        for low, last in groups.items():
            ends = [each(last, "reward"), certified(last)]
            table.append([short(task), f"{low}·b", *_judged(last), *ends])
    return table


SHARES = ("0.25", "0.5", "1", "1.5", "2")
"""The limits of the margin study, as shares of the task's own."""


def _margin() -> list[tuple[str, Rows, Rows]]:
    """Return task, PCRPO's and CRPO's last rows at every limit of the margin study."""
    return [
        (task, *(finished("margin", task=task, algorithm=a, share=share) for a in ("pcrpo", "crpo")))
        for task in SHORT
        for share in SHARES
    ]


def margin() -> list[list[str]]:
    """PCRPO with a band of 0.1·b beside CRPO at 0.9·b."""
    table = [["task", "b", "reward", "difference", "cost", "difference", "violation", "difference", "balance"]]
    for task, pcrpo, crpo in _margin():
        cells = [short(task), f"{float(pcrpo[0]['limit']):g}"]
        for gap, (name, digits) in zip(difference(pcrpo, crpo), list(COLUMNS.items())[:3], strict=False):
            both = (number(float(column(rows, name).mean()), digits) for rows in (pcrpo, crpo))
            cells += [" / ".join(both), gap]
        table.append([*cells, share(column(pcrpo, "balance"))])
    return table


def margin_count() -> list[list[str]]:
    """How many of the margin study's differences stand out."""
    counts = []
    for name in ("reward", "cost", "violation"):
        gaps = [column(pcrpo, name) - column(crpo, name) for _, pcrpo, crpo in _margin()]
        counts.append([abs(gap.mean()) > 2 * error(gap) for gap in gaps])
    found = [f"{sum(flags)} of {len(flags)}" for flags in counts]
    total = f"{sum(map(sum, counts))} of {sum(map(len, counts))}"
    # Student's t with four degrees of freedom is beyond ±2 with probability 0.116.
    chance = number(0.116 * sum(map(len, counts)), 1)
    return [["reward", "cost", "violation", "together", "expected by chance"], [*found, total, chance]]


def margin_wide() -> list[list[str]]:
    """PCRPO with the default band of 0.3·b minus CRPO at 0.7·b."""
    table = [["task", *DIFFERENCES]]
    for task in SHORT:
        groups = [finished("band", task=task, algorithm=a, low="-0.3") for a in ("pcrpo", "crpo")]
        table.append([short(task), *difference(*groups)])
    return table


def _look(tasks: Sequence[str]) -> list[list[str]]:
    """Return a line for each algorithm on each of these tasks."""
    table = [["task", "algorithm", *JUDGED[:4], "certified", "minutes"]]
    for task in tasks:
        for algorithm in dict.fromkeys(row["algorithm"] for row in read("first_look") if row["task"] == task):
            last = finished("first_look", task=task, algorithm=algorithm)
            ends = [certified(last), mean(column(last, "minutes"), 1)]
            table.append([short(task), algorithm, *_judged(last)[:4], *ends])
    return table


def first_look() -> list[list[str]]:
    """Every algorithm on two velocity tasks, one seed."""
    return _look(LIMITED)


def first_look_mujoco() -> list[list[str]]:
    """Some algorithms on two tasks of Safety-MuJoCo, one seed."""
    return _look(SHORT[:2])


def _by_setting(study: str, heading: str) -> list[list[str]]:
    """Return a line for each setting of each algorithm on each task; certificates where the study has them."""
    rows = read(study)
    evaluated = "eval_upper" in rows[0]
    table = [["task", "algorithm", heading, "seeds", *JUDGED[:4], "swing", *["certified"] * evaluated]]
    runs = dict.fromkeys((row["task"], row["algorithm"], row["setting"]) for row in rows)
    for task, algorithm, setting in sorted(runs, key=lambda run: run[0]):
        last = finished(study, task=task, algorithm=algorithm, setting=setting)
        ends = [mean(column(last, "swing"), 1), *([certified(last)] if evaluated else [])]
        table.append([short(task), algorithm, setting, str(len(last)), *_judged(last)[:4], *ends])
    return table


def poise() -> list[list[str]]:
    """POISE with several settings on three tuning tasks."""
    return _by_setting("poise", "setting")


def exploring() -> list[list[str]]:
    """POISE's rivals with and without its share of a cost's gradient in log σ: their last policies, seed by seed."""
    seeds = list(dict.fromkeys(row["seed"] for row in read("exploring")))
    table = [["algorithm", "noise share", *(f"seed {seed}" for seed in seeds), "certified"]]
    for algorithm, share in dict.fromkeys((row["algorithm"], row["noise_share"]) for row in read("exploring")):
        rows = finished("exploring", algorithm=algorithm, noise_share=share)
        ends = {row["seed"]: f"{float(row['eval_reward']):.0f} at {float(row['eval_cost']):.0f}" for row in rows}
        table.append([algorithm, share, *(ends.get(seed, "") for seed in seeds), certified(rows)])
    return table


def tried() -> list[list[str]]:
    """What was tried of POISE and of the step beneath it, and is not in the library."""
    return _by_setting("tried", "what was tried")


def ppo_step() -> list[list[str]]:
    """PPO and PPO-Lagrangian with three settings of the step on the tuning tasks."""
    tasks = dict.fromkeys(row["task"] for row in read("tuning"))
    table = [["algorithm", "setting", *(f"{short(task)}: reward / cost" for task in tasks)]]
    for algorithm, setting in dict.fromkeys((row["algorithm"], row["setting"]) for row in read("tuning")):
        curves = [curve("tuning", task=task, algorithm=algorithm, setting=setting) for task in tasks]
        table.append([algorithm, setting, *(found[max(found)] for found in curves)])
    return table


def normaliser() -> list[list[str]]:
    """Early rewards and costs with networks that are carried over to the next normaliser, and without."""
    ways = list(dict.fromkeys(row["normaliser"] for row in read("normaliser")))
    table = [["task", "algorithm", "seeds", *(f"{way}: reward / cost" for way in reversed(ways))]]
    for task, algorithm in dict.fromkeys((row["task"], row["algorithm"]) for row in read("normaliser")):
        cells = []
        for way in reversed(ways):
            rows = finished("normaliser", task=task, algorithm=algorithm, normaliser=way)
            cells.append(f"{column(rows, 'reward').mean():.0f} / {column(rows, 'cost').mean():.0f}".replace("-", "−"))
        table.append([short(task), algorithm, str(len(rows)), *cells])
    return table


def update() -> list[list[str]]:
    """What an update takes, of every algorithm and piece by piece."""
    heads = ["update, or piece of one", "wall, ms", "processor, ms", "wall / physics", "wall / TRPO's update"]
    names = ("update", "wall_ms", "processor_ms", "of_physics", "of_trpo")
    return [heads, *([row[name] for name in names] for row in read("update"))]


def side_by_side() -> list[list[str]]:
    """Return what runs side by side gain."""
    heads = ["task", "runs at a time", "steps/s of the whole campaign", "beside one at a time"]
    rows = read("side_by_side")
    names = ("task", "workers", "steps_per_second", "ratio")
    return [heads, *([row[name] for name in names] for row in rows)]


def devices() -> list[list[str]]:
    """Return what an update takes on a processor and on a GPU."""
    heads = ["algorithm", "environments", "networks", "processor, ms", "GPU, ms", "GPU / processor", "step differs by"]
    table, here = [heads], {}
    for row in read("devices"):
        here[row["device"]] = row
        if row["device"] != "cpu":
            size = [row["algorithm"], row["num_envs"], row["hidden"]]
            table.append([*size, here["cpu"]["wall_ms"], row["wall_ms"], row["of_cpu"], row["difference"]])
    return table


def workers() -> list[list[str]]:
    """Return what processes gain for environments of one's own."""
    heads = ["a step of 1 ms …", "processes", "steps/s", "beside none"]
    names = ("step", "workers", "steps_per_second", "ratio")
    return [heads, *([row[name] for name in names] for row in read("workers"))]


TABLES: dict[str, Table] = {
    "first-look": first_look,
    "first-look-mujoco": first_look_mujoco,
    "what-wins": functools.partial(at_a_glance, DATA / "campaigns" / "look"),
    "poise": poise,
    "tried": tried,
    "exploring": exploring,
    "ppo-step": ppo_step,
    "normaliser": normaliser,
    "update": update,
    "side-by-side": side_by_side,
    "devices": devices,
    "workers": workers,
    "trpo": trpo,
    "limit-25": limit_25,
    "limit-25-kept": limit_25_kept,
    "limit-25-difference": limit_25_difference,
    "scores": scores,
    "bias": bias,
    "fisher": fisher,
    "fisher-together": fisher_together,
    "epochs-trpo": epochs_trpo,
    "epochs-pcrpo": epochs_pcrpo,
    "settings": settings,
    "hopper": hopper,
    "band": band,
    "band-difference": band_difference,
    "band-long": band_long,
    "margin": margin,
    "margin-count": margin_count,
    "margin-wide": margin_wide,
}
"""Every table by the name that pages call it by."""


def markdown(cells: list[list[str]]) -> str:
    """Write a table; a first cell that repeats the one above is left out."""
    head, *body = cells
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for above, row in zip([head, *body], body, strict=False):
        lines.append(f"| {' | '.join(['' if row[0] == above[0] else row[0], *row[1:]])} |")
    return "\n".join(lines) + "\n"


def names() -> list[str]:
    """Return the names of all tables: those of this file, and those of the committed campaigns."""
    return [*TABLES, *(name for folder in committed(DATA) for name in campaign_tables(folder))]


def cells_of(name: str) -> list[list[str]]:
    """Return the cells of a table by the name that pages call it by; those of a campaign are CAMPAIGN/TABLE."""
    campaign, slash, _ = name.partition("/")
    return campaign_tables(DATA / "campaigns" / campaign)[name] if slash else TABLES[name]()


def filled(text: str) -> str:
    """Return a page with all its tables made anew."""
    return MARKED.sub(lambda found: f"{found[1]}\n{markdown(cells_of(found[2]))}\n{found[3]}", text)


def pages() -> list[Path]:
    """Return the pages that hold tables."""
    return [path for path in sorted(DOCS.rglob("*.md")) if MARKED.search(path.read_text(encoding="utf-8"))]


def main() -> int:
    """Write the tables, or name the pages that need it; the exit code is then 1."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing")
    check = parser.parse_args().check
    for folder in committed(DATA):
        page = DOCS / "results" / f"{folder.name}.md"
        if not page.exists() and not check:
            page.write_text(new_page(folder), encoding="utf-8")
    stale = [path for path in pages() if filled(path.read_text(encoding="utf-8")) != path.read_text(encoding="utf-8")]
    for path in stale:
        print(f"{path.relative_to(DOCS.parent)} {'is out of date' if check else 'written'}")
        if not check:
            path.write_text(filled(path.read_text(encoding="utf-8")), encoding="utf-8")
    return int(check and bool(stale))


if __name__ == "__main__":
    raise SystemExit(main())
