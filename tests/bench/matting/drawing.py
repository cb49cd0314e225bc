"""A subject as it is drawn: parts laid over each other, their cover counted at several times the size.

A part is an outline in the subject's own units (-1…1, v grows downwards), a colour and an opacity. What comes out
is alpha and premultiplied colour, blurred together as a lens does it: each edge pixel has one colour and one alpha.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

Floats = NDArray[np.float32]
Points = NDArray[np.float64]
"""N×2: u, v."""
Field = Callable[[Floats, Floats], Floats]
"""Of u (1×W) and v (H×1): a plane H×W, or colours H×W×3 in 0–255."""
Colour = tuple[float, float, float]


@dataclass(slots=True)
class Box:
    """A window of the picture in pixels; right and bottom are past the end."""

    left: int
    top: int
    right: int
    bottom: int

    @property
    def size(self) -> tuple[int, int]:
        return self.right - self.left, self.bottom - self.top

    @property
    def window(self) -> tuple[slice, slice]:
        return slice(self.top, self.bottom), slice(self.left, self.right)


@dataclass
class Canvas:
    """The picture's size, where the subject lies in it, and what has been drawn so far."""

    width: int
    height: int
    x: float
    y: float
    scale: float
    """Pixels to one unit; (x, y) is the unit's origin."""
    rng: np.random.Generator
    alpha: Floats = field(init=False)
    premultiplied: Floats = field(init=False)

    def __post_init__(self) -> None:
        self.alpha = np.zeros((self.height, self.width), np.float32)
        self.premultiplied = np.zeros((self.height, self.width, 3), np.float32)

    @cached_property
    def finer(self) -> int:
        """How many times the size covers are counted at: 64 samples a pixel, 16 where pixels are plenty."""
        return 8 if self.width * self.height < 2_000_000 else 4

    def grid(self, box: Box) -> tuple[Floats, Floats]:
        """u (1×W) and v (H×1) of the window's pixel centres."""
        u = (np.arange(box.left, box.right, dtype=np.float32) + np.float32(0.5 - self.x)) / np.float32(self.scale)
        v = (np.arange(box.top, box.bottom, dtype=np.float32) + np.float32(0.5 - self.y)) / np.float32(self.scale)
        return u[None, :], v[:, None]

    def around(self, outlines: Sequence[Points], margin: float = 0.0) -> Box | None:
        """The window that holds them; None where they lie outside the picture."""
        every = np.concatenate(outlines)
        low, high = every.min(axis=0) * self.scale - margin, every.max(axis=0) * self.scale + margin
        left, top = max(0, math.floor(self.x + low[0]) - 1), max(0, math.floor(self.y + low[1]) - 1)
        right, bottom = (
            min(self.width, math.ceil(self.x + high[0]) + 1),
            min(self.height, math.ceil(self.y + high[1]) + 1),
        )
        return Box(left, top, right, bottom) if left < right and top < bottom else None

    def fine(self, points: Points, box: Box) -> list[tuple[float, float]]:
        """The points on the finer grid of the window."""
        at = (points * self.scale + (self.x - box.left, self.y - box.top)) * self.finer
        return [(float(x), float(y)) for x, y in at]

    def part(
        self,
        outlines: Points | Sequence[Points],
        colour: Colour | Field,
        opacity: float | Field = 1.0,
        holes: Sequence[Points] = (),
    ) -> None:
        """Lay a part over what is there: the union of its outlines, less the holes."""
        outlines = [outlines] if isinstance(outlines, np.ndarray) else list(outlines)
        box = self.around(outlines)
        if box is None:
            return
        cover = Image.new("L", (box.size[0] * self.finer, box.size[1] * self.finer))
        draw = ImageDraw.Draw(cover)
        for ink, shapes in ((255, outlines), (0, holes)):
            for shape in shapes:
                draw.polygon(self.fine(shape, box), fill=ink)
        self.lay(box, reduced(cover, self.finer), colour, opacity)

    def lay(self, box: Box, cover: Floats, colour: Colour | Field | Floats, opacity: float | Field = 1.0) -> None:
        """Lay a cover (H×W, 0…1) of some colour over the window."""
        u, v = self.grid(box)
        alpha = cover * (opacity(u, v) if callable(opacity) else np.float32(opacity))
        shade = colour(u, v) if callable(colour) else np.asarray(colour, np.float32)
        rest = 1 - alpha
        window = box.window
        self.premultiplied[window] *= rest[..., None]
        self.premultiplied[window] += np.clip(shade, 0, 255) * alpha[..., None]
        self.alpha[window] *= rest
        self.alpha[window] += alpha

    def cut(self, outline: Points) -> None:
        """Take a hole out of all that is there."""
        box = self.around([outline])
        if box is None:
            return
        cover = Image.new("L", (box.size[0] * self.finer, box.size[1] * self.finer))
        ImageDraw.Draw(cover).polygon(self.fine(outline, box), fill=255)
        rest = 1 - reduced(cover, self.finer)
        self.premultiplied[box.window] *= rest[..., None]
        self.alpha[box.window] *= rest

    def finish(self, sigma: float) -> tuple[NDArray[np.uint16], NDArray[np.uint8]]:
        """Alpha (H×W, uint16, 65535 is opaque) and colour (H×W×3, uint8), as a lens of that blur shows them."""
        alpha = np.clip(blurred(self.alpha, sigma), 0, 1)
        kept = np.round(alpha * 65535).astype(np.uint16)
        colour = np.empty((self.height, self.width, 3), np.uint8)
        under = np.maximum(alpha, 1e-4)
        for channel in range(3):
            plane = blurred(self.premultiplied[..., channel], sigma) / under
            colour[..., channel] = np.round(np.clip(plane, 0, 255))
        colour[kept == 0] = 0
        return kept, colour


def reduced(cover: Image.Image, finer: int) -> Floats:
    """The finer picture's means: H×W, 0…1."""
    return np.asarray(cover.reduce(finer), np.float32) / np.float32(255)


def blurred(plane: Floats, sigma: float) -> Floats:
    """Gaussian blur of a plane, its borders continued; sigma in pixels."""
    if sigma <= 0:
        return plane
    radius = math.ceil(3 * sigma)
    weights = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    weights /= weights.sum()
    for axis in (0, 1):
        padded = np.pad(plane, [(radius, radius) if a == axis else (0, 0) for a in (0, 1)], mode="edge")
        size = plane.shape[axis]
        plane = np.zeros_like(plane)
        for offset, weight in enumerate(weights):
            window = slice(offset, offset + size)
            plane += np.float32(weight) * (padded[window] if axis == 0 else padded[:, window])
    return plane
