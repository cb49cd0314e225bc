"""What subjects stand before: studio papers, walls, wood, and photographs out of focus."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
from PIL import Image, ImageFilter, ImageOps

from tests.bench.material import PHOTOGRAPHS
from tests.bench.matting.drawing import Canvas, Colour, Floats
from tests.bench.matting.shades import bump, fractal, mixed, step

CROPS: Mapping[str, tuple[str, tuple[float, float, float, float]]] = MappingProxyType(
    {
        "table": ("coffee.jpg", (0.82, 0.05, 1.0, 0.75)),
        "field": ("photographer.jpg", (0.62, 0.25, 1.0, 0.8)),
        "flag": ("astronaut.jpg", (0.0, 0.0, 0.3, 0.55)),
        "hangar": ("astronaut.jpg", (0.55, 0.0, 1.0, 0.65)),
        "night": ("rocket.jpg", (0.0, 0.45, 0.45, 1.0)),
        "blanket": ("chelsea the cat.jpg", (0.78, 0.3, 1.0, 1.0)),
    }
)
"""Photographs, and the part of them that is taken: left, top, right, bottom."""


def studio(tone: Colour, falloff: float = 0.22) -> Callable[[Canvas], Floats]:
    """Seamless paper under soft light."""

    def draw(canvas: Canvas) -> Floats:
        x, y = _unit(canvas)
        light = 1 + 0.05 * bump(y, -0.2, 0.8) - falloff * (0.35 * x**2 + 0.4 * (y - 0.1) ** 2)
        floor = 1 - 0.1 * bump(y, 0.42, 0.18)
        return np.asarray(tone, np.float32) * (light * floor)[..., None]

    return draw


def wall(tone: Colour, rough: float = 6.0) -> Callable[[Canvas], Floats]:
    """Plaster, lit from the left."""

    def draw(canvas: Canvas) -> Floats:
        x, y = _unit(canvas)
        grain = fractal(canvas.rng, canvas.width, canvas.height, (10, 10), 6)
        light = 1 - 0.13 * x - 0.06 * y**2
        return np.asarray(tone, np.float32) * light[..., None] + np.float32(rough) * grain[..., None]

    return draw


def wood(tone: Colour) -> Callable[[Canvas], Floats]:
    """Boards."""

    def draw(canvas: Canvas) -> Floats:
        rng, (x, y) = canvas.rng, _unit(canvas)
        boards = 5
        grain = fractal(rng, canvas.width, canvas.height, (3, 60), 4)
        board = np.floor((y + 1) / 2 * boards).astype(int)
        shades = rng.uniform(0.84, 1.08, boards + 1).astype(np.float32)[np.clip(board, 0, boards)]
        gap = np.abs((y + 1) / 2 * boards - np.round((y + 1) / 2 * boards))
        light = shades * (1 - 0.45 * (1 - step(gap, 0.012, 0.012))) * (1 - 0.1 * x)
        return np.asarray(tone, np.float32) * (light * (1 + 0.055 * grain))[..., None]

    return draw


def photograph(name: str, blur: float) -> Callable[[Canvas], Floats]:
    """A part of a photograph, out of focus by so much of the picture's width."""
    file, (left, top, right, bottom) = CROPS[name]

    def draw(canvas: Canvas) -> Floats:
        with Image.open(PHOTOGRAPHS[file]) as opened:
            upright = ImageOps.exif_transpose(opened).convert("RGB")
        w, h = upright.size
        part = upright.crop((round(left * w), round(top * h), round(right * w), round(bottom * h)))
        if canvas.rng.integers(2):
            part = ImageOps.mirror(part)
        # Blurred small and enlarged after: what is out of focus has no detail to lose.
        small = ImageOps.fit(part, (640, max(1, round(640 * canvas.height / canvas.width))), Image.Resampling.BICUBIC)
        soft = small.filter(ImageFilter.GaussianBlur(640 * blur))
        return np.asarray(soft.resize((canvas.width, canvas.height), Image.Resampling.BICUBIC), np.float32)

    return draw


BACKDROPS: Mapping[str, Callable[[Canvas], Floats]] = MappingProxyType(
    {
        "white": studio((243, 243, 241)),
        "grey": studio((168, 170, 174), 0.35),
        "dark": studio((58, 60, 66), 0.5),
        "cream": studio((232, 220, 200)),
        "blue": studio((112, 150, 190), 0.35),
        "green wall": wall((72, 142, 84)),
        "plaster": wall((196, 188, 176), 7.0),
        "brick red": wall((150, 84, 66), 9.0),
        "oak": wood((186, 138, 92)),
        "walnut": wood((104, 74, 54)),
        **{name: photograph(name, 0.012) for name in CROPS},
    }
)


def shadowed(backdrop: Floats, canvas: Canvas, foot: float, spread: float, depth: float) -> Floats:
    """With the soft shadow of something that stands at `foot` (units), `spread` wide on each side."""
    x = (np.arange(canvas.width, dtype=np.float32)[None, :] - canvas.x) / canvas.scale
    y = (np.arange(canvas.height, dtype=np.float32)[:, None] - canvas.y) / canvas.scale - foot
    wide = np.exp(-(((x - 0.12) / (1.3 * spread)) ** 2) - (y / 0.16) ** 2)
    near = np.exp(-((x / spread) ** 2) - (y / 0.05) ** 2)
    return mixed(backdrop, (8, 8, 10), (depth * (0.6 * wide + 0.5 * near)).astype(np.float32))


def _unit(canvas: Canvas) -> tuple[Floats, Floats]:
    """-1…1 over the picture: x is 1×W, y is H×1."""
    return (
        np.linspace(-1, 1, canvas.width, dtype=np.float32)[None, :],
        np.linspace(-1, 1, canvas.height, dtype=np.float32)[:, None],
    )
