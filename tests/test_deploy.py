"""A policy taken elsewhere acts as it does here, says what it is, and needs nothing of equipoise."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import equipoise
from equipoise.algorithms.lenses import Saute
from equipoise.cli import main
from equipoise.deploy import formats
from equipoise.deploy.policy import Policy
from equipoise.environments.observations import flatten, from_text
from equipoise.integrations.onnx import run_onnx
from equipoise.policy import CategoricalPolicy, GaussianPolicy
from equipoise.training.rows import read_evaluation

TASK = "rail:QuickRail-v0"
SIZES = {"total_steps": 80, "num_envs": 2, "steps_per_iteration": 40, "limits": (1.0,)}
BOX = ["box", [2, 2], "<f4"]
DICT = ["dict", [["arm", ["box", [1], "<f8"]], ["mode", ["discrete", 2, 3]], ["on", ["binary", [1]]]]]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run of two iterations, not evaluated."""
    return equipoise.train("pcrpo", TASK, run_dir=tmp_path_factory.mktemp("runs") / "run", **SIZES)


@pytest.fixture
def run(trained, tmp_path):
    """A copy of the run, to be evaluated and exported."""
    return equipoise.Run.load(shutil.copytree(trained.path, tmp_path / "run"))


def variant(run, layout=None, low=(), high=(), size=4, lens=None):
    """The run with another policy of 2 actions: of any layout, clipped to anything, far from its first weights."""
    middle, unit = (0.0, 5.0), (1.0, 0.25)
    policy = GaussianPolicy.create(jax.random.key(3), size, 2, (8, 6), log_std=-0.7, middle=middle, unit=unit)
    policy = eqx.tree_at(lambda p: p.network.layers[-1].weight, policy, policy.network.layers[-1].weight * 1e3)
    variance = jnp.asarray([4.0, 0.0, 0.25, 1.0, 0.04][:size])  # one entry has been constant
    moments = run.state.learner.observations._replace(mean=jnp.arange(float(size)), variance=variance)
    problem = dataclasses.replace(
        run.problem,
        observation_size=size,
        action_size=2,
        action_middle=middle,
        action_unit=unit,
        action_low=low,
        action_high=high,
        observation=json.dumps(layout) if layout else "",
    )
    learner = run.state.learner._replace(policy=policy, observations=moments)
    config = run.config
    if lens is not None:
        config = dataclasses.replace(config, algorithm=dataclasses.replace(config.algorithm, lens=lens))
    return dataclasses.replace(run, problem=problem, config=config, state=run.state._replace(learner=learner))


VARIANTS = {
    "free": {},
    "clipped": {"low": (-0.5, 4.75), "high": (0.5, 5.25)},
    "clipped at no float": {"low": (-0.1, 4.9), "high": (0.1, 5.1)},
    "boxes": {"layout": BOX, "low": (-0.5, 4.75), "high": (0.5, 5.25)},
    "dictionary": {"layout": DICT},
}
OBSERVATIONS = 40


def observations(layout):
    """Observations as an environment gives them, and the vectors that they are."""
    random = np.random.default_rng(5)
    vectors = (np.arange(4.0) + 3 * random.standard_normal((OBSERVATIONS, 4))).astype(np.float32)
    if layout is None:
        return vectors, vectors
    if layout is BOX:
        return vectors.reshape(-1, 2, 2), vectors
    given = [{"mode": 3 + i % 2, "on": np.array([i % 3 > 0]), "arm": np.array([0.1 * i])} for i in range(OBSERVATIONS)]
    return given, np.stack([flatten(from_text(json.dumps(layout), 4), one, "the test") for one in given])


@pytest.mark.one_in(5)
@pytest.mark.parametrize("kind", ["npz", "safetensors"])
@pytest.mark.parametrize("name", VARIANTS)
def test_the_program_acts_as_equipoise_does_to_the_last_bit(name, kind, trained, tmp_path):
    if kind == "safetensors":
        pytest.importorskip("safetensors")
    run = variant(trained, **VARIANTS[name])
    policy = Policy.load(equipoise.export(run, kind, tmp_path))
    ours, theirs = np.random.default_rng(7), np.random.default_rng(7)
    clipped = 0
    for observation in observations(VARIANTS[name].get("layout"))[0]:
        for mine, other in (
            (run.policy(observation), policy(observation)),
            (run.policy.sample(observation, ours), policy.sample(observation, theirs)),
        ):
            assert mine.dtype == other.dtype
            np.testing.assert_array_equal(mine, other)
            clipped += bool(np.isin(mine, [*run.problem.action_low, *run.problem.action_high]).any())
    assert (clipped > 10) == bool(run.problem.action_low)


CHOICES = {
    "one from 5": ((3,), ["discrete", 3, 5]),
    "a table": ((2, 3), ["choices", [1, 2], [2, 3], [-4, 1]]),
    "bits": ((2, 2), ["binary", [2]]),
    "numbers from 0": ((2, 3), None),
}


def choosing(run, choices, layout):
    """The run with a policy of discrete actions that depend on what it observes."""
    policy = CategoricalPolicy.create(jax.random.key(3), 4, choices, (8, 6))
    policy = eqx.tree_at(lambda p: p.network.layers[-1].weight, policy, policy.network.layers[-1].weight * 2e3)
    sizes = {"action_size": len(choices), "action_choices": choices, "action": json.dumps(layout) if layout else ""}
    nothing = dict.fromkeys(("action_middle", "action_unit", "action_low", "action_high"), ())
    moments = run.state.learner.observations._replace(mean=jnp.arange(4.0), variance=jnp.ones(4))
    problem = dataclasses.replace(run.problem, observation_size=4, observation="", **sizes, **nothing)
    learner = run.state.learner._replace(policy=policy, observations=moments)
    return dataclasses.replace(run, problem=problem, state=run.state._replace(learner=learner))


@pytest.mark.parametrize("kind", ["npz", "safetensors"])
@pytest.mark.parametrize("name", CHOICES)
def test_the_program_chooses_as_equipoise_does(name, kind, trained, tmp_path):
    if kind == "safetensors":
        pytest.importorskip("safetensors")
    run = choosing(trained, *CHOICES[name])
    policy = Policy.load(equipoise.export(run, kind, tmp_path))
    given, _ = observations(None)
    ours, theirs = np.random.default_rng(7), np.random.default_rng(7)
    chosen = []
    for observation in given:
        for mine, other in (
            (run.policy(observation), policy(observation)),
            (run.policy.sample(observation, ours), policy.sample(observation, theirs)),
        ):
            assert type(mine) is type(other) and mine.dtype == other.dtype
            np.testing.assert_array_equal(mine, other)
            chosen.append(str(mine))
    assert chosen[::2] != chosen[1::2] and len(set(chosen[::2])) > 1
    np.testing.assert_array_equal(policy(given), run.policy(given))
    assert f"action       a choice of {' × '.join(map(str, run.problem.action_choices))}" in str(policy)


def test_a_choice_that_is_not_equipoises_is_never_there(trained, monkeypatch, tmp_path):
    def spoiled(contents):
        bias = contents.arrays["layers.2.bias"] + np.array([9, 0, 0], np.float32)
        return right.write(dataclasses.replace(contents, arrays=contents.arrays | {"layers.2.bias": bias}))

    right = formats.FORMS["npz"]
    monkeypatch.setitem(formats.FORMS, "npz", right._replace(write=spoiled))
    with pytest.raises(equipoise.UsageError, match=r"actions differ from equipoise's by up to .*; nothing is written"):
        equipoise.export(choosing(trained, *CHOICES["one from 5"]), out=tmp_path / "out")
    with pytest.raises(equipoise.UsageError, match=r"^a policy of discrete actions has no onnx form; allowed: npz or"):
        equipoise.export(choosing(trained, *CHOICES["one from 5"]), "onnx", out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["free", "boxes"])
def test_many_observations_are_one_call(name, trained, tmp_path):
    run = variant(trained, **VARIANTS[name])
    given, _ = observations(VARIANTS[name].get("layout"))
    policy = Policy.load(equipoise.export(run, out=tmp_path))
    np.testing.assert_array_equal(policy(given), run.policy(given))
    sampled = policy.sample(given, np.random.default_rng(1))
    np.testing.assert_array_equal(sampled, run.policy.sample(given, np.random.default_rng(1)))
    assert sampled.shape == (OBSERVATIONS, 2)


@pytest.mark.parametrize("name", VARIANTS)
def test_onnx_acts_as_equipoise_does(name, trained, tmp_path):
    pytest.importorskip("onnxruntime"), pytest.importorskip("onnx")
    run = variant(trained, **VARIANTS[name])
    content = equipoise.export(run, "onnx", tmp_path).read_bytes()
    given, vectors = observations(VARIANTS[name].get("layout"))
    vectors = vectors.astype(np.float32)
    noise = np.random.default_rng(7).standard_normal((OBSERVATIONS, 2), np.float32)
    source = np.random.default_rng(7)
    unit = np.array(run.problem.action_unit)
    for drawn, ours in (
        (np.zeros_like(noise), np.stack([run.policy(one) for one in given])),
        (noise, np.stack([run.policy.sample(one, source) for one in given])),
    ):
        theirs = run_onnx(content, vectors, drawn)
        assert np.abs((theirs - ours) / np.maximum(unit, np.abs(ours))).max() <= 1e-6
        if run.problem.action_low:  # a bound that is no single-precision number is not passed either
            inside = theirs.astype(float)
            assert (inside >= run.problem.action_low).all() and (inside <= run.problem.action_high).all()


def test_onnx_has_the_metadata(trained, tmp_path):
    onnx = pytest.importorskip("onnx")
    path = equipoise.export(trained, "onnx", tmp_path)
    model = onnx.load(path)
    assert json.loads({entry.key: entry.value for entry in model.metadata_props}["equipoise"])["task"] == TASK
    assert {path.name for path in tmp_path.iterdir()} == {"policy.onnx"}


ALONE = """
import sys
class NumPyAlone:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] not in {*sys.stdlib_module_names, "numpy", "policy"}:
            raise ImportError(f"{name} is imported")
sys.meta_path.insert(0, NumPyAlone())
sys.path.insert(0, sys.argv[1])
import numpy as np
from policy import Policy
policy = Policy.load(sys.argv[1] + "/" + sys.argv[2])
observation = np.linspace(-1.0, 3.0, 4)
print(policy(observation).tobytes().hex())
print(policy.sample(observation, np.random.default_rng(3)).tobytes().hex())
assert not any(name.startswith(("equipoise", "jax", "gymnasium")) for name in sys.modules)
print(policy)
"""


@pytest.mark.parametrize("kind", ["npz", "safetensors"])
def test_the_program_needs_numpy_alone(kind, trained, tmp_path):
    if kind == "safetensors":
        pytest.importorskip("safetensors")
    run = variant(trained, low=(-0.1, 4.9), high=(0.1, 5.1))
    path = equipoise.export(run, kind, tmp_path)
    (tmp_path / "alone.py").write_text(ALONE)
    asked = [sys.executable, "-I", str(tmp_path / "alone.py"), str(tmp_path), path.name]
    mean, sample, *said = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.splitlines()
    observation = np.linspace(-1.0, 3.0, 4)
    assert mean == run.policy(observation).tobytes().hex()
    assert sample == run.policy.sample(observation, np.random.default_rng(3)).tobytes().hex()
    assert f"pcrpo on {TASK}, seed 0, iteration 2 (80 steps)" in said[0]
    assert "limit        cost 1 per episode" in said
    assert said[-1] == "certificate  none: the run was not evaluated"


def test_the_certificate_is_that_of_the_evaluation_of_this_policy(run):
    evaluation = equipoise.evaluate(run, episodes=4, environment=TASK)
    policy = Policy.load(equipoise.export(run))
    for name in ("stochastic", "deterministic"):
        (told,) = policy.certificate[name]["costs"]
        (found,) = getattr(evaluation, name).costs
        costs = [row["cost/cost"] for row in read_evaluation(run.path / "evaluation.csv", ("cost",))]
        mean = np.mean(costs[:4] if name == "stochastic" else costs[4:])
        assert told["mean"] == pytest.approx(mean)
        assert told["upper"] == found.upper and told["limit"] == 1.0 and told["holds"] == found.certified
        assert policy.certificate[name]["holds"] == (found.upper <= 1.0)
        assert policy.certificate[name]["episodes"] == 4
    assert "stochastic policy: within the limit (cost ≤ " in str(policy)
    assert policy.metadata["why_no_certificate"] is None


def test_an_evaluation_of_another_iteration_certifies_nothing(run):
    equipoise.evaluate(run, episodes=2, environment=TASK)
    earlier = equipoise.Run.load(run.path, iteration=1)
    policy = Policy.load(equipoise.export(earlier))
    assert policy.certificate is None
    assert "evaluation is of iteration 2, and this is the policy of iteration 1" in str(policy)


def test_what_is_there_is_not_lost(run, tmp_path):
    out = tmp_path / "out"
    path = equipoise.export(run, out=out)
    before = path.read_bytes()
    with pytest.raises(equipoise.UsageError, match=r"policy.npz is there already; give another --out, or --overwrite"):
        equipoise.export(equipoise.Run.load(run.path, iteration=1), out=out)
    assert path.read_bytes() == before
    (out / "policy.py").write_text("# mine\n")
    path.unlink()
    with pytest.raises(equipoise.UsageError, match=r"policy.py is there already"):
        equipoise.export(run, out=out)
    assert {file.name for file in out.iterdir()} == {"policy.py"}
    equipoise.export(equipoise.Run.load(run.path, iteration=1), out=out, overwrite=True)
    assert Policy.load(path).metadata["iteration"] == 1
    assert "# mine" not in (out / "policy.py").read_text()


def test_a_file_that_does_not_act_alike_is_never_there(run, monkeypatch, tmp_path):
    def spoiled(contents):
        arrays = contents.arrays | {"layers.0.bias": contents.arrays["layers.0.bias"] + 1.0}
        return right.write(dataclasses.replace(contents, arrays=arrays))

    right = formats.FORMS["npz"]
    monkeypatch.setitem(formats.FORMS, "npz", right._replace(write=spoiled))
    with pytest.raises(equipoise.UsageError, match=r"actions differ from equipoise's by up to .*; nothing is written"):
        equipoise.export(variant(run), out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("kind", "module", "extra"),
    [("onnx", "onnx", "onnx"), ("onnx", "onnxruntime", "onnx"), ("safetensors", "safetensors.numpy", "safetensors")],
)
def test_a_missing_extra_is_named(kind, module, extra, run, monkeypatch, capsys):
    if kind == "onnx":
        pytest.importorskip("onnx")
    monkeypatch.setitem(sys.modules, module, None)
    assert main(["export", str(run.path), "--format", kind]) == 2
    name = module.partition(".")[0]
    assert capsys.readouterr().err == f"equipoise: {name} is not installed: pip install 'equipoise[{extra}]'\n"
    assert not (run.path / "export").exists()


def test_an_unknown_format_is_named(run):
    with pytest.raises(equipoise.UsageError, match="unknown format 'safetensor'; did you mean 'safetensors'"):
        equipoise.export(run, "safetensor")


@pytest.mark.parametrize("discount", [1.0, 0.995])
def test_a_policy_that_observes_its_budget_brings_it(discount, trained, tmp_path):
    lens = Saute(budget_discount=discount)
    policy = Policy.load(equipoise.export(variant(trained, size=5, lens=lens), out=tmp_path))
    left = policy.budget_at_start()
    assert left.tolist() == [1.0]
    for cost in (0.0, 0.25, 0.5, 1.0):
        (expected,) = lens.left(left[None], np.array([[cost]]), np.array([1.0]), trained.problem.horizon)
        left = policy.budget_left(left, np.array([cost]))
        np.testing.assert_array_equal(left, expected)
    assert left.tolist() == [0.0]
    with pytest.raises(ValueError, match="observes no budget"):
        Policy.load(equipoise.export(variant(trained), out=tmp_path / "none")).budget_at_start()


def test_a_wrong_observation_is_told(trained, tmp_path):
    policy = Policy.load(equipoise.export(variant(trained, layout=DICT), out=tmp_path))
    with pytest.raises(ValueError, match=r"an observation has 3 number\(s\); allowed: 4"):
        Policy.load(equipoise.export(variant(trained), out=tmp_path / "free"))(np.zeros(3))
    with pytest.raises(ValueError, match=r"has \[5\] where its space has \[2\] values"):
        policy({"arm": [0.0], "mode": 5, "on": [1]})


def test_a_damaged_file_is_told_in_a_line(run, tmp_path):
    path = equipoise.export(run, out=tmp_path)
    for content in (b"", path.read_bytes()[:200], path.read_bytes().replace(b"metadata", b"metodata")):
        path.write_bytes(content)
        with pytest.raises(ValueError, match="is damaged or no policy exported by equipoise"):
            Policy.load(path)
    asked = [sys.executable, "-I", str(tmp_path / "policy.py"), str(path)]
    done = subprocess.run(asked, capture_output=True, text=True)
    assert done.returncode == 1 and done.stderr.startswith("policy.py: ") and done.stderr.count("\n") == 1


def test_the_command_says_what_it_wrote(run, monkeypatch, capsys):
    monkeypatch.chdir(run.path.parent)
    assert main(["export", "run"]) == 0
    written, program, look, certificate = capsys.readouterr().out.splitlines()
    assert written.startswith("written      run/export/policy.npz")
    assert program == "program      run/export/policy.py, which acts with NumPy alone"
    assert look == "look         python run/export/policy.py run/export/policy.npz"
    assert certificate.startswith("certificate  none, as the run was not evaluated; equipoise evaluate run, and then")
    assert main(["export", "run", "--overwrite", "--quiet"]) == 0
    assert capsys.readouterr() == ("", "")
    assert main(["export", "run", "--out", "elsewhere", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["event"], said["file"], said["task"]) == ("export", str(Path("elsewhere/policy.npz")), TASK)
    assert main(["export", "run"]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_the_page_names_everything_that_is_in_a_file(trained, tmp_path):
    page = (Path(__file__).parents[1] / "docs" / "deploy.md").read_text(encoding="utf-8")
    named = {
        name for row in re.findall(r"^\| (`.+?) \|", page, re.MULTILINE) for name in re.findall(r"`(\w[\w.]*)`", row)
    }
    path = equipoise.export(variant(trained), out=tmp_path)
    about = Policy.load(path).metadata
    assert set(about) <= named
    with np.load(path) as file:
        assert {name for name in file.files if not name.startswith(("layers.1", "layers.2", "metadata"))} <= named
    assert named - set(about) - set(np.load(path).files) == {"npz", "safetensors", "onnx"}
