"""A trained policy filmed and watched: what is in the film, how fast it runs, and what is said where it cannot be."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import av
import gymnasium
import mujoco.viewer
import numpy as np
import pytest

import equipoise
from equipoise.cli import main
from equipoise.errors import UsageError
from equipoise.films import overlay
from equipoise.films import watch as watching
from equipoise.films.film import above
from equipoise.films.overlay import FOOT, HEADER, ROW, Panel
from equipoise.films.play import Episode, play
from equipoise.films.scale import Scale, round_up, scales_of
from equipoise.films.video import encode
from equipoise.palette import INK, INSIDE, OVER
from equipoise.physics import NativePhysics
from equipoise.tasks import TASKS

ENDING = "SafetyHopperVelocity-v1"
"""A task that a fresh policy ends early."""
TINY = {"size": (64, 64)}


class Rail(gymnasium.Env):
    """A cart on a rail with two costs, which draws where it is, 25 pictures a second, of an odd size."""

    metadata = {"render_modes": ["rgb_array", "human"], "render_fps": 25}  # noqa: RUF012
    observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (1,), np.float32)
    action_space = gymnasium.spaces.Box(-1.0, 1.0, (1,), np.float32)

    def __init__(self, render_mode=None):
        self.render_mode = render_mode

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.place = float(self.np_random.normal())
        return np.array([self.place], np.float32), {}

    def step(self, action):
        self.place += 0.1 * float(action[0])
        info = {"far": abs(self.place), "effort": float(action[0] ** 2)}
        return np.array([self.place], np.float32), self.place, False, False, info

    def render(self):
        if self.render_mode == "human":
            return None
        picture = np.zeros((51, 33, 3), np.uint8)
        picture[:, int(np.clip(16 + 4 * self.place, 0, 32))] = 255
        return picture


def draws():
    return Rail("rgb_array")


@pytest.fixture(scope="module")
def hopper(tmp_path_factory):
    """A short run on a task of ours."""
    options = {"total_steps": 4000, "num_envs": 2, "steps_per_iteration": 2000}
    return equipoise.train("pcrpo", ENDING, run_dir=tmp_path_factory.mktemp("films") / "hopper", **options)


@pytest.fixture(scope="module")
def rail(tmp_path_factory):
    """A short run on a user's own environment."""
    options = {"total_steps": 1000, "steps_per_iteration": 1000, "horizon": 40, "num_envs": 5}
    costs = {"cost_names": ("far", "effort"), "limits": (1.0, 99.0)}
    return equipoise.train("pcrpo", Rail, run_dir=tmp_path_factory.mktemp("films") / "rail", **options, **costs)


def frames_of(path):
    with av.open(path) as file:
        rate = float(file.streams.video[0].average_rate)
        return [frame.to_ndarray(format="rgb24") for frame in file.decode(video=0)], rate


def episodes_of(run, simulator, episodes=1, seed=0, deterministic=False):
    """Every episode as it ended."""
    return [e for e in play(run, simulator, episodes, seed, deterministic) if e.end]


@pytest.mark.slow
def test_a_watcher_that_returns_false_ends_the_film_there(rail, tmp_path):
    path = equipoise.film(rail, tmp_path / "cut.mp4", environment=draws, watch=lambda episode: episode.steps < 3)
    frames, _ = frames_of(path)
    assert len(frames) == 4  # the start, and three steps


# Play


@pytest.mark.slow
def test_an_episode_sums_up_what_its_steps_brought(hopper):
    physics = NativePhysics(TASKS[ENDING], 1, threads=1)
    step, seen = physics.step, []
    physics.step = lambda action: seen.append(step(action)) or seen[-1]
    (episode,) = episodes_of(hopper, physics)
    assert episode.end == "terminated" and 5 < episode.steps == len(seen) < 1000
    np.testing.assert_allclose(np.diff(episode.returns), [s.reward[0] for s in seen], atol=1e-12)
    np.testing.assert_allclose(np.diff(episode.costs, axis=0), [s.cost[0] for s in seen], atol=1e-12)
    assert [bool(s.terminated[0]) for s in seen] == [False] * (len(seen) - 1) + [True]


def test_an_episode_is_truncated_at_the_horizon(rail):
    from equipoise.environments.foreign import ForeignEnvironments

    cart = ForeignEnvironments(Rail, 1, "Rail", ("far", "effort"), 40)
    assert [(e.number, e.steps, e.end) for e in episodes_of(rail, cart, 2)] == [
        (1, 40, "truncated"),
        (2, 40, "truncated"),
    ]


def test_a_diverged_step_counts_for_nothing_and_ends_the_episode(hopper):
    physics = NativePhysics(TASKS[ENDING], 1, threads=1)
    seen = []
    for episode in play(hopper, physics, 1, 0, False):
        seen.append((episode.steps, episode.end))
        if episode.steps == 3 and not episode.end:
            physics.set_state(physics.state.qpos, np.full_like(physics.state.qvel, 1e9))
    assert seen[-2:] == [(3, ""), (3, "diverged")] and np.isfinite(episode.returns).all()


def test_the_seed_and_the_kind_of_policy_decide_the_episodes(hopper):
    physics = NativePhysics(TASKS[ENDING], 1, threads=1)
    first = episodes_of(hopper, physics, 2)
    assert [e.returns for e in first] == [e.returns for e in episodes_of(hopper, physics, 2)]
    assert first[0].returns != first[1].returns
    assert first[0].returns != episodes_of(hopper, physics, seed=1)[0].returns
    assert first[0].returns != episodes_of(hopper, physics, deterministic=True)[0].returns


# Panel


def panel_at(costs, limits=(10.0, 10.0), names=("far", "effort"), returns=(0.0, 1.0, 3.0)):
    episode = Episode(1, [np.array(row, float) for row in costs], list(returns))
    return Panel("PCRPO", names, limits, horizon=10, dt=0.1, width=480).draw(episode)


def coloured(picture, colour):
    wanted = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
    return (picture == wanted).all(-1)


def test_each_cost_has_a_row_in_the_colour_of_its_state():
    panel = panel_at([[0, 0], [5, 5], [9, 11]])
    assert panel.shape == (HEADER + 3 * ROW + FOOT, 480, 3)
    first, second = panel[HEADER + ROW : HEADER + 2 * ROW], panel[HEADER + 2 * ROW : -FOOT]
    assert coloured(first, INSIDE).sum() > 200 and not coloured(first, OVER).any()
    assert coloured(second, OVER).sum() > 200 and not coloured(second, INSIDE).any()


def test_exactly_the_limit_is_within_it():
    assert not coloured(panel_at([[0, 0], [5, 5], [10, 10]]), OVER).any()


def test_the_curve_ends_where_the_episode_is_and_crosses_the_limit_when_it_is_over():
    def end(panel):
        """The middle of the dot at the curve's end."""
        area = panel[HEADER + ROW : HEADER + 2 * ROW, overlay.CURVE :]
        rows, columns = np.nonzero(coloured(area, INSIDE) | coloured(area, OVER))
        last = columns >= columns.max() - 4
        return rows[last].mean(), columns.max()

    inside, over = panel_at([[0, 0], [4, 0], [8, 0]]), panel_at([[0, 0], [6, 0], [12, 0]])
    area = inside[HEADER + ROW : HEADER + 2 * ROW, overlay.CURVE :]
    (limit,) = [row for row in range(len(area)) if coloured(area, INK)[row].sum() > 50]
    assert end(over)[0] < limit < end(inside)[0]
    width = 480 - overlay.CURVE - 10
    assert end(inside)[1] == pytest.approx(0.2 * width, abs=5), "2 steps of 10"


@pytest.mark.parametrize(
    ("value", "rounded"), [(0.0, 0.0), (1.0, 1.0), (1.01, 1.5), (33.6, 40.0), (0.071, 0.08), (999.0, 1000.0)]
)
def test_a_scale_ends_at_round_numbers(value, rounded):
    assert round_up(value) == pytest.approx(rounded)
    scale = Scale(-value, value)
    assert (scale.low, scale.high) == (pytest.approx(-rounded), pytest.approx(rounded))


def test_a_scale_is_known_before_the_film_begins_and_stays(rail, drawing):
    """What is drawn at the same place in all pictures: the numbers beside the curves."""
    wide = scales_of(rail)
    assert all(scale.high > scale.low for scale in wide)
    row = rail.metrics[-1]
    assert wide[0].low <= row["reward"] <= wide[0].high
    assert wide[1].high >= max(row["cost/far"], 1.25) and wide[2].high >= 1.25 * 99
    frames, _ = frames_of(equipoise.film(rail, out="scaled.mp4", environment=draws))
    numbers = [frame[52 + HEADER : -FOOT, overlay.TEXT : overlay.CURVE - 4] for frame in frames]
    assert (numbers[0] < 200).any(), "there are numbers"
    assert max(np.abs(numbers[0].astype(int) - later).mean() for later in numbers) < 3, "to what the coding changes"


def test_a_curve_beyond_its_scale_makes_it_longer_and_nothing_makes_it_shorter():
    scale = Scale(0.0, 40.0)
    scale.cover(-3.0, 12.0)
    assert (scale.low, scale.high) == (-3.0, 40.0)
    scale.cover(0.0, 41.0)
    assert (scale.low, scale.high) == (-3.0, 50.0)


def test_a_panel_of_seven_costs_and_one_of_an_episodes_start_are_drawn():
    names = tuple("abcdefg")
    start = Panel("PCRPO", names, (0.0,) * 7, horizon=10, dt=0.1, width=480).draw(Episode(1, [np.zeros(7)]))
    assert start.shape == (HEADER + 8 * ROW + FOOT, 480, 3) and not coloured(start, OVER).any()


def test_the_picture_is_above_the_panel_and_the_whole_of_even_size():
    picture, panel = np.full((51, 33, 3), 7, np.uint8), np.full((100, 480, 3), 9, np.uint8)
    both = above(picture, panel)
    assert both.shape == (152, 480, 3)
    assert (both == 7).all(-1).sum() == 51 * 33 and (both[52:] == 9).all()


# Film


def test_a_film_shows_the_policy_in_real_time(hopper, drawing):
    path = equipoise.film(hopper, out="hopper.mp4", **TINY)
    assert path == Path("hopper.mp4") and list(Path().iterdir()) == [path]
    frames, rate = frames_of(path)
    (episode,) = episodes_of(hopper, NativePhysics(TASKS[ENDING], 1, threads=1))
    assert rate == pytest.approx(125 / 3, rel=1e-3), "every third of 125 steps a second"
    shown = 1 + episode.steps // 3 + (episode.steps % 3 > 0)
    assert len(frames) == shown - 1 + 42, "the last one stays for a second"
    assert len(frames) / rate - 1 == pytest.approx(episode.steps * 0.008, abs=0.05)
    assert {frame.shape for frame in frames} == {(64 + HEADER + 2 * ROW + FOOT, 480, 3)}
    first, last = frames[0].astype(int), frames[-1].astype(int)
    assert np.abs(first - last)[:64].max() > 60, "the robot moves"
    assert np.abs(first - last)[64:].max() > 60, "the panel changes"


@pytest.mark.slow
def test_the_same_seed_gives_the_same_pictures_and_episodes_follow_each_other(hopper, drawing, monkeypatch):
    """To the bit, but before they are coded: x264 does not code the same pictures as the same bytes every time."""
    films = []

    def keep(frames, fps):
        films.append(np.stack(list(frames)))
        return encode(iter(films[-1]), fps)

    monkeypatch.setattr("equipoise.films.film.encode", keep)
    for name, options in {"one": {}, "again": {}, "other": {"seed": 1}, "two": {"episodes": 2}}.items():
        equipoise.film(hopper, out=f"{name}.mp4", **TINY, **options)
    one, again, other, two = films
    np.testing.assert_array_equal(one, again)
    assert one.shape != other.shape or (one != other).any()
    assert len(two) > len(one) + 42
    np.testing.assert_array_equal(two[: len(one)], one)


def test_an_environment_of_ones_own_is_filmed_as_it_draws_itself(rail, tmp_path):
    frames, rate = frames_of(equipoise.film(rail, environment=draws))
    assert (rail.path / "film.mp4").exists() and rate == 25
    assert len(frames) == 40 + 25 and frames[0].shape == (52 + HEADER + 3 * ROW + FOOT, 480, 3)
    assert frames[0][:52].max() > 200


@pytest.mark.slow
def test_an_environment_that_is_named_is_made_with_a_render_mode(rail, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("rail_env.py").write_text(
        "import gymnasium\nfrom test_films import Rail\n"
        "class Blind(Rail):\n    metadata = {'render_modes': []}\n"
        "for env_id, kind in (('Rail-v0', Rail), ('Blind-v0', Blind)):\n"
        "    gymnasium.register(env_id, entry_point=kind, max_episode_steps=40)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    train = ["--cost-names", "far", "effort", "--limits", "1", "9", "--num-envs", "5"]
    steps = ["--steps-per-iteration", "1000", "--total-steps", "1000"]
    for name in ("Rail-v0", "Blind-v0"):
        assert main(["train", "pcrpo", f"rail_env:{name}", *train, *steps, "--run-dir", name]) == 0
    try:
        assert main(["render", "Rail-v0", "--environment", "rail_env:Rail-v0"]) == 0
        assert capsys.readouterr().out.endswith("written: Rail-v0/film.mp4\n")
        assert main(["render", "Rail-v0"]) == 2
        assert "allow that by naming it: --environment rail_env:Rail-v0" in capsys.readouterr().err
        assert main(["render", "Blind-v0", "--environment", "rail_env:Blind-v0"]) == 2
        said = capsys.readouterr().err
        assert "rail_env:Blind-v0 cannot be seen: its render_modes are none; needed: rgb_array" in said
    finally:
        for name in ("Rail-v0", "Blind-v0"):
            del gymnasium.registry[name]


def test_an_environment_without_pictures_is_told(rail):
    with pytest.raises(UsageError, match="Rail cannot be filmed: its render_mode is None; make it with"):
        equipoise.film(rail, environment=Rail)

    class Strange(Rail):
        def render(self):
            return [[1.0, 2.0]]

    with pytest.raises(UsageError, match=r"Rail draws an array of shape \(1, 2\) and type float64; allowed: height"):
        equipoise.film(rail, environment=lambda: Strange("rgb_array"))


def test_a_simulation_that_breaks_down_is_not_shown_but_told(rail, drawing):
    class Broken(Rail):
        def step(self, action):
            observation, *rest = super().step(action)
            return np.full_like(observation, np.nan), *rest

    path = equipoise.film(rail, out="broken.mp4", environment=lambda: Broken("rgb_array"))
    frames, _ = frames_of(path)
    assert len(frames) == 1 + 25
    first, last = (frame.astype(int) for frame in (frames[0], frames[-1]))
    assert np.abs(first - last)[:52].max() < 60, "the picture of the last good state"
    assert np.abs(first - last)[52 : 52 + HEADER].max() > 60, "and a word about the end"


def test_a_film_that_fails_leaves_the_old_one_alone(rail):
    path = equipoise.film(rail, environment=draws)
    before = path.read_bytes()

    class Failing(Rail):
        def step(self, action):
            raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        equipoise.film(rail, environment=lambda: Failing("rgb_array"))
    assert path.read_bytes() == before
    assert [p.name for p in rail.path.iterdir() if "film" in p.name] == ["film.mp4"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--out", "film.avi"], "out is film.avi; allowed: a file ending in .mp4"),
        (["--out", "no/film.mp4"], "out is no/film.mp4, but there is no folder no; make it first"),
        (["--episodes", "0"], "episodes is 0; allowed: 1 or more"),
        (["--seed", "-1"], "seed is -1; allowed: 0 or more"),
        (["--size", "641", "480"], "size is 641 480; allowed: even numbers from 64 to 4096"),
        (["--environment", "x:Y-v0"], "this run is of SafetyHopperVelocity-v1, not of x:Y-v0"),
    ],
)
def test_mistakes_are_told_in_one_line_and_leave_nothing(options, said, hopper, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["render", str(hopper.path), *options]) == 2
    complaint = capsys.readouterr().err
    assert said in complaint and complaint.count("\n") == 1
    assert not list(tmp_path.iterdir()) and not (hopper.path / "film.mp4").exists()


def test_a_video_holds_its_frames_at_its_rate(tmp_path):
    frames = [np.full((64, 96, 3), shade, np.uint8) for shade in range(0, 250, 10)]
    path = tmp_path / "shades.mp4"
    path.write_bytes(encode(iter(frames), 125 / 3))
    shown, rate = frames_of(path)
    assert len(shown) == 25 and rate == pytest.approx(125 / 3, rel=1e-4)
    np.testing.assert_allclose([frame.mean() for frame in shown], [frame.mean() for frame in frames], atol=6)


# Watch


class Viewer:
    """Takes the place of MuJoCo's viewer; closed by its user after 20 pictures."""

    def __init__(self, model, data, **options):
        self.user_scn = mujoco.MjvScene(model, 10)
        self.model, self.data, self.cam = model, data, mujoco.MjvCamera()
        self.texts, self.places, self.times = [], [], []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.closed = True

    def lock(self):
        return self

    def is_running(self):
        return len(self.places) < 20

    def set_texts(self, texts):
        self.texts.append(texts)

    def sync(self):
        self.places.append(self.data.qpos.copy())
        self.times.append(time.monotonic())


@pytest.fixture
def viewers(monkeypatch):
    opened = []
    monkeypatch.setattr(watching, "require_display", lambda: None)
    monkeypatch.setattr(mujoco.viewer, "launch_passive", lambda *a, **k: opened.append(Viewer(*a, **k)) or opened[-1])
    return opened


@pytest.mark.slow
def test_the_viewer_shows_the_policy_in_real_time_until_it_is_closed(hopper, viewers):
    began = time.monotonic()
    equipoise.watch(hopper, seed=0)
    (viewer,) = viewers
    physics = NativePhysics(TASKS[ENDING], 1, threads=1)
    played = [physics.state.qpos[0] for _, _ in zip(play(hopper, physics, None, 0, False), range(5000), strict=False)]
    steps = [next(i for i, qpos in enumerate(played) if (qpos == place).all()) for place in viewer.places]
    assert steps[0] == 0 and (np.diff(steps) > 0).all() and steps[-1] > 20, "not every step, but one after the other"
    for step, when in zip(steps, viewer.times, strict=True):
        assert when - began >= step * 0.008, "never ahead of real time"
    names, values = viewer.texts[-1][2:]
    assert names.splitlines() == ["episode", "reward", "cost"]
    assert values.splitlines()[2].endswith("of 25, within the limit")
    assert viewer.cam.type == mujoco.mjtCamera.mjCAMERA_TRACKING


def test_an_environment_of_ones_own_shows_itself(rail, viewers):
    steps = []

    class ClosedError(Exception):
        """How a window ends a program."""

    class Shown(Rail):
        def step(self, action):
            steps.append(action)
            if len(steps) == 5:
                raise ClosedError
            return super().step(action)

    with pytest.raises(ClosedError):
        equipoise.watch(rail, environment=lambda: Shown("human"))
    with pytest.raises(UsageError, match="Rail cannot be watched: its render_mode is None"):
        equipoise.watch(rail, environment=Rail)
    assert not viewers


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="DISPLAY is X11's")
def test_without_a_display_it_is_said_on_one_line(hopper):
    hidden = {name: value for name, value in os.environ.items() if name not in ("DISPLAY", "WAYLAND_DISPLAY")}
    command = [sys.executable, "-m", "equipoise", "watch", str(hopper.path)]
    done = subprocess.run(command, env=hidden, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr == (
        "equipoise: no window can be opened here: DISPLAY is not set; a film needs no display: equipoise render RUN\n"
    )
