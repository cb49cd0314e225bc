"""Alpha and source become the finished picture."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageChops

from .alpha import Alpha
from .colour import from_srgb, to_srgb
from .decode import Picture
from .spec import Colour, Finish, parse_colour

__all__ = ["Composed", "Finish", "compose", "parse_colour"]


@dataclass(frozen=True, slots=True)
class Composed:
    """A finished picture, not yet encoded."""

    image: Image.Image
    """Mode L, LA, RGB or RGBA (straight alpha), without metadata."""
    icc: bytes | None = None
    dpi: tuple[float, float] | None = None
    notes: tuple[str, ...] = ()

    @property
    def pixels(self) -> npt.NDArray[np.uint8]:
        """A copy of the pixels: H×W grey, or H×W×C with C = 2 (grey, alpha), 3 or 4."""
        return np.asarray(self.image)


def compose(picture: Picture, alpha: Alpha, finish: Finish) -> Composed:
    """The source's own pixels with an alpha (H×W, any size) fitted to them.

    Always of the picture's size. Transparent: its colours untouched, also where nothing of them shows. On a
    background: source·a + background·(1 − a), rounded. Mask only: the fitted alpha in grey.
    """
    mask, notes = _fit(alpha, picture)
    notes = picture.notes + notes
    if finish.mask_only:
        return Composed(mask, None, picture.dpi, notes)
    if finish.backdrop is not None:
        image, icc = _lay_on(finish.backdrop, picture, mask)
        return Composed(image, icc, picture.dpi, notes)
    image = picture.base.copy()
    image.putalpha(mask)
    image.info = {}
    return Composed(image, picture.icc, picture.dpi, notes)


def _fit(alpha: Alpha, picture: Picture) -> tuple[Image.Image, tuple[str, ...]]:
    mask = Image.fromarray(alpha)
    if mask.size != picture.base.size:
        mask = mask.resize(picture.base.size, Image.Resampling.LANCZOS)
    notes = []
    if picture.mask is not None and picture.mask.getextrema() != (255, 255):
        mask = ImageChops.multiply(mask, picture.mask)
        notes.append("source had transparency: kept")
    if mask.getextrema() == (0, 0):
        notes.append("nothing is left of the picture: the alpha is 0 everywhere")
    return mask, tuple(notes)


def _lay_on(backdrop: Colour, picture: Picture, mask: Image.Image) -> tuple[Image.Image, bytes | None]:
    base, icc = picture.base, picture.icc
    if base.mode == "L" and len(set(backdrop)) > 1:
        base, icc, _ = to_srgb(base, icc)
    colour = from_srgb(backdrop, icc, base.mode)
    image = Image.new(base.mode, base.size, colour[0] if base.mode == "L" else colour)
    image.paste(base, mask=mask)
    return image, icc
