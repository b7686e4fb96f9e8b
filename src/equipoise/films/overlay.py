"""The panel under a film's picture: reward so far, and each cost so far against its limit."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageDraw, ImageFont

from equipoise.films.play import Episode
from equipoise.films.scale import Scale, plain_scales
from equipoise.palette import FAINT, INK, INSIDE, OVER, PAPER, REWARD, RULE

HEADER, ROW, FOOT = 34, 66, 20
"""Heights of the headline, of a row, and of the time's scale under them, in pixels."""
TEXT, CURVE = 216, 268
"""Where a row's text ends and where its curve begins, from the left; the numbers of its scale are between."""


@functools.cache
def font(size: int, bold: bool = False) -> ImageFont.FreeTypeFont:
    """Return the sans-serif font that Matplotlib brings along, so that films look the same everywhere."""
    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return ImageFont.truetype(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / name, size)


class Panel:
    """Draws panels for a film `width` wide of a policy under `limits` on the costs called `names`.

    `scales` are those of reward and costs, if they are known; else they grow with what is drawn.
    """

    def __init__(
        self,
        title: str,
        names: tuple[str, ...],
        limits: tuple[float, ...],
        horizon: int,
        dt: float,
        width: int,
        scales: Sequence[Scale] = (),
    ) -> None:
        self._title, self._names, self._limits = title, names, limits
        self._horizon, self._dt = horizon, dt
        self._size = width, HEADER + ROW * (1 + len(names)) + FOOT
        self._scales = list(scales) or plain_scales(limits)

    def draw(self, episode: Episode) -> UInt8[np.ndarray, "h w 3"]:
        """Draw the panel of an episode as far as it has come."""
        image = Image.new("RGB", self._size, PAPER)
        pen = ImageDraw.Draw(image)
        pen.text((10, HEADER / 2), self._title, INK, font(13, bold=True), anchor="lm")
        clock = f"episode {episode.number}   {episode.steps * self._dt:.1f} s"
        if episode.end:
            clock += f", {episode.end}"
        pen.text((self._size[0] - 10, HEADER / 2), clock, INK, font(13), anchor="rm")
        returns = np.array(episode.returns)
        self._row(pen, 0, "reward", REWARD, "", returns)
        for k, (name, limit) in enumerate(zip(self._names, self._limits, strict=True)):
            sums = np.array([costs[k] for costs in episode.costs])
            inside = sums[-1] <= limit
            state = "within the limit" if inside else "over the limit"
            self._row(pen, k + 1, name, INSIDE if inside else OVER, state, sums, limit)
        self._time(pen)
        return np.asarray(image)

    def _row(
        self,
        pen: ImageDraw.ImageDraw,
        row: int,
        name: str,
        colour: str,
        state: str,
        sums: np.ndarray,
        limit: float | None = None,
    ) -> None:
        """Draw one quantity: its name, its sum so far, its last step, and the curve of its sums over the episode."""
        top = HEADER + ROW * row
        of_limit = "" if limit is None else f" of {limit:.4g}"
        pen.line([(10, top), (self._size[0] - 10, top)], RULE)
        pen.text((10, top + 8), name, FAINT, font(12))
        if len(sums) > 1:
            pen.text((TEXT - 10, top + 8), f"this step {sums[-1] - sums[-2]:+.3f}", FAINT, font(12), anchor="ra")
        pen.text((10, top + 25), f"{sums[-1]:.4g}{of_limit}", colour, font(17, bold=True))
        pen.text((10, top + 47), state, colour, font(12))
        self._curve(pen, top, colour, sums, self._scales[row], limit)

    def _time(self, pen: ImageDraw.ImageDraw) -> None:
        """Write under the curves how long an episode is."""
        top, right = self._size[1] - FOOT, self._size[0] - 10
        pen.text((CURVE, top + 2), "0 s", FAINT, font(10))
        pen.text((right, top + 2), f"{self._horizon * self._dt:g} s", FAINT, font(10), anchor="ra")

    def _curve(
        self, pen: ImageDraw.ImageDraw, top: int, colour: str, sums: np.ndarray, scale: Scale, limit: float | None
    ) -> None:
        """Draw the sums over the whole episode's steps with their scale, and the limit as a dashed line."""
        left, right, high, low = CURVE, self._size[0] - 10, top + 8, top + ROW - 8
        scale.cover(float(sums.min()), float(sums.max()))

        def place(step: int, value: float) -> tuple[float, float]:
            return left + (right - left) * step / self._horizon, low - (low - high) * (value - scale.low) / scale.span

        ends = [scale.low, scale.high]
        for value in ends if min(map(abs, ends)) < 0.2 * scale.span else [*ends, 0.0]:  # numbers that have room
            _, level = place(0, value)
            pen.line([(left, level), (right, level)], RULE)
            pen.text((left - 5, level), f"{value:.4g}", FAINT, font(10), anchor="rm")
        if limit is not None:
            _, level = place(0, limit)
            for dash in range(left, right, 8):
                pen.line([(dash, level), (min(dash + 4, right), level)], INK)
        pen.line([place(step, value) for step, value in enumerate(sums)], colour, 2)
        x, y = place(len(sums) - 1, sums[-1])
        pen.ellipse([x - 3, y - 3, x + 3, y + 3], colour)
