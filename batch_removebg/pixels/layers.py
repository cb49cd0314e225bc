"""A stored picture taken apart: 8-bit colour or grey on one side, its own transparency on the other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from .colour import fit_profile
from .header import decoding, header_notes, is_deep, open_image, orientation
from .spec import Limits

_TURN = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What puts a picture upright, by EXIF orientation (CIPA DC-008, tag 0x0112)."""


@dataclass(frozen=True, slots=True)
class Layers:
    """A decoded picture as it is stored: not turned, its colours not converted."""

    base: Image.Image
    """Mode L, RGB, CMYK or LAB; not premultiplied."""
    alpha: Image.Image | None
    """Mode L; None where the picture has no transparency."""
    icc: bytes | None
    """A profile for pixels of that mode."""
    dpi: tuple[float, float] | None
    turn: Image.Transpose | None
    """What puts it upright."""
    notes: tuple[str, ...]

    def upright(self, layer: Image.Image) -> Image.Image:
        """A layer of this picture, turned as people see it."""
        return layer if self.turn is None else layer.transpose(self.turn)


def unpack(data: bytes, limits: Limits, *, at_least: tuple[int, int] | None = None) -> Layers:
    """Decode a picture; a JPEG may come reduced, but not below `at_least` (width, height as stored).

    Raises SourceError if it is refused, damaged or cut short.
    """
    image = open_image(data, limits)
    with decoding():
        notes = header_notes(image)
        deep = is_deep(image)
        if at_least is not None:
            image.draft(None, at_least)
        image.load()
        turn = _TURN.get(orientation(image))
        base, alpha, more = _split(image, deep=deep)
        base, icc, mismatch = fit_profile(base, image.info.get("icc_profile") or None)
        return Layers(base, alpha, icc, _dpi(image, turn), turn, notes + more + mismatch)


def _split(image: Image.Image, *, deep: bool) -> tuple[Image.Image, Image.Image | None, tuple[str, ...]]:
    mode = image.mode
    if mode in ("I", "F") or mode.startswith("I;16"):
        return _narrow(image)
    key = image.info.get("transparency")
    if deep and mode == "RGB" and isinstance(key, tuple):
        image.info["transparency"] = tuple(channel >> 8 for channel in key)  # Pillow keeps 16 bits of the key alone
    if image.has_transparency_data:
        target = "LA" if mode in ("1", "L", "LA", "La") else "RGBA"
        whole = image if mode == target else image.convert(target)
        base = whole.getchannel("L") if whole.mode == "LA" else whole.convert("RGB")
        return base, whole.getchannel("A"), ()
    if mode in ("L", "RGB", "CMYK", "LAB"):
        return image, None, ()
    return image.convert("L" if mode == "1" else "RGB"), None, ()


def _narrow(image: Image.Image) -> tuple[Image.Image, Image.Image | None, tuple[str, ...]]:
    """Grey of 16 bits, 32 bits or floats, scaled to 8 bits; Pillow's own conversion would clip it."""
    values: npt.NDArray[Any] = np.asarray(image)
    notes: tuple[str, ...] = ()
    if image.mode == "F":
        grey, note = _from_floats(values)
        notes = (note,)
    elif image.mode == "I":
        # Plugins deliver 16-bit grey in this mode too; only what does not fit is taken for the full 31 bits.
        wide = values.max() > 0xFFFF
        grey = (values.clip(min=0) >> (23 if wide else 8)).astype(np.uint8)
        notes = ("32 bits reduced to 8" if wide else "16 bits a channel reduced to 8",)
    else:
        grey = (values >> 8).astype(np.uint8)
    key = image.info.get("transparency")
    alpha = Image.fromarray(np.where(values == key, 0, 255).astype(np.uint8)) if isinstance(key, int) else None
    return Image.fromarray(grey), alpha, notes


def _from_floats(values: npt.NDArray[np.float32]) -> tuple[npt.NDArray[np.uint8], str]:
    finite = np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0)
    peak = float(finite.max())
    white = next((white for white in (1.0, 255.0, 65535.0) if peak <= white), peak)
    grey = np.rint(finite.clip(min=0) * (255 / white)).astype(np.uint8)
    return grey, f"floating point: 0 to {white:g} taken for black to white"


def _dpi(image: Image.Image, turn: Image.Transpose | None) -> tuple[float, float] | None:
    """Dots per inch, horizontally and vertically upright; None unless both make sense."""
    try:
        x, y = (float(value) for value in image.info["dpi"])
    except (LookupError, TypeError, ValueError, ArithmeticError):
        return None
    if not (1 <= x <= 65535 and 1 <= y <= 65535):
        return None
    sideways = turn in (_TURN[5], _TURN[6], _TURN[7], _TURN[8])
    return (y, x) if sideways else (x, y)
