"""Light on surfaces, and the grain of materials: colours as functions of place."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from PIL import Image

from tests.bench.matting.drawing import Colour, Field, Floats


def mixed(first: Floats | Colour, second: Floats | Colour, share: Floats) -> Floats:
    """H×W×3: the second's share (H×W, 0…1) over the first."""
    a, b = np.asarray(first, np.float32), np.asarray(second, np.float32)
    return a + (b - a) * share[..., None]


def lit(colour: Colour | Floats, light: Floats, gloss: Floats | float = 0.0) -> Floats:
    """A colour in light (1: as it is), with white gloss (0…1) over it."""
    shaded = np.asarray(colour, np.float32) * light[..., None]
    return shaded + (255 - shaded) * np.asarray(gloss, np.float32)[..., None]


def bump(x: Floats, centre: float, width: float) -> Floats:
    """A soft stripe: 1 at the centre, next to nothing two widths away."""
    return np.exp(-(((x - centre) / width) ** 2)).astype(np.float32)


def step(x: Floats, at: float, soft: float = 0.01) -> Floats:
    """0 before, 1 after, with a soft ramp between."""
    return np.clip((x - at) / soft + 0.5, 0, 1).astype(np.float32)


def cylinder(colour: Colour, radius: Callable[[np.ndarray], np.ndarray], gloss: float = 0.8) -> Field:
    """A turned body, lit from the left by a strip light."""

    def shade(u: Floats, v: Floats) -> Floats:
        across = np.clip(u / np.maximum(radius(v), 1e-3), -1, 1).astype(np.float32)
        light = 0.42 + 0.62 * np.sqrt(1 - (0.85 * across + 0.2 * (1 - across**2)) ** 2)
        return lit(colour, light, gloss * bump(across, -0.55, 0.09) + 0.35 * gloss * bump(across, 0.72, 0.07))

    return shade


def sphere(colour: Colour | Field, u0: float, v0: float, radius: float, gloss: float = 0.8) -> Field:
    """A ball, lit from above left."""

    def shade(u: Floats, v: Floats) -> Floats:
        x, y = (u - u0) / radius, (v - v0) / radius
        z = np.sqrt(np.clip(1 - x**2 - y**2, 0, 1))
        light = 0.3 + 0.8 * np.clip(-0.45 * x - 0.6 * y + 0.66 * z, 0, 1)
        spot = np.exp(-((x + 0.42) ** 2 + (y + 0.5) ** 2) / 0.02)
        base = colour(u, v) if callable(colour) else colour
        return lit(base, light, gloss * spot)

    return shade


def slope(first: Colour, second: Colour, angle: float = 0.9) -> Field:
    """From one colour to another over the unit square, in that direction."""

    def shade(u: Floats, v: Floats) -> Floats:
        return mixed(first, second, np.clip(0.5 + 0.5 * (u * np.cos(angle) + v * np.sin(angle)), 0, 1))

    return shade


def grainy(field: Field, rng: np.random.Generator, strength: float, cells: int = 120) -> Field:
    """The same with an uneven surface: fabric, leather, leaves."""
    tile = rng.standard_normal((cells, cells)).astype(np.float32)

    def shade(u: Floats, v: Floats) -> Floats:
        base = field(u, v)
        height, width = base.shape[:2]
        span = np.ptp(v) / 2 * cells, np.ptp(u) / 2 * cells
        part = tile[: max(2, min(cells, int(span[0]))), : max(2, min(cells, int(span[1])))]
        rough = np.asarray(Image.fromarray(part).resize((width, height), Image.Resampling.BICUBIC))
        return base * (1 + np.float32(strength) * rough[..., None])

    return shade


def fractal(rng: np.random.Generator, width: int, height: int, cells: tuple[float, float], octaves: int) -> Floats:
    """Cloudy noise, H×W, of deviation about 1: so many cells over width and height, doubled in each octave."""
    total = np.zeros((height, width), np.float32)
    for octave in range(octaves):
        across, down = (
            max(2, min(limit, round(c * 2**octave))) for c, limit in zip(cells, (width, height), strict=True)
        )
        grid = Image.fromarray(rng.standard_normal((down, across)).astype(np.float32))
        total += np.asarray(grid.resize((width, height), Image.Resampling.BICUBIC)) * np.float32(0.55**octave)
    return total
