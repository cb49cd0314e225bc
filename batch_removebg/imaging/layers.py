"""A stored picture taken apart: colour or grey on one side, its own transparency on the other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import ExifTags, Image, ImageFile

from . import deep
from .colour import fit_profile
from .deep import Deep, to_8_bits
from .embedded import embedded_profile
from .format import Limits
from .metadata import Metadata, collect
from .probe import UNREADABLE, decoding, has_deep_channels, header_notes, open_image, orientation

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

_X = ExifTags.Base.XResolution
_PER_LENGTH = (1, 2)
"""Units of a JFIF density that are an inch and a centimetre; 0 tells a pixel's shape only (ITU-T T.871, 10.1)."""
_SIDEWAYS = (_TURN[5], _TURN[6], _TURN[7], _TURN[8])
_REDUCED = "16 bits a channel reduced to 8"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Stored:
    """A decoded picture as it is stored: not turned, its colours not converted."""

    icc: bytes | None
    """A profile for pixels of that kind."""
    dpi: tuple[float, float] | None
    """Upright."""
    turn: Image.Transpose | None
    """What puts it upright."""
    notes: tuple[str, ...]
    metadata: Metadata | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Layers(_Stored):
    """One of 8 bits a channel."""

    base: Image.Image
    """Mode L, RGB, CMYK or LAB; not premultiplied."""
    alpha: Image.Image | None
    """Mode L; None where the picture has no transparency."""

    def upright(self, layer: Image.Image) -> Image.Image:
        """A layer of this picture, turned as people see it."""
        return layer if self.turn is None else layer.transpose(self.turn)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeepLayers(_Stored):
    """One of 16 bits a channel."""

    base: Deep
    """H×W grey or H×W×3 RGB; not premultiplied."""
    alpha: Deep | None
    """H×W; None where the picture has no transparency."""

    def upright(self, layer: Deep) -> Deep:
        """A layer of this picture, turned as people see it."""
        return _turned(layer, self.turn)

    def in_8_bits(self) -> Layers:
        """The same, scaled."""
        alpha = None if self.alpha is None else Image.fromarray(to_8_bits(self.alpha))
        base = Image.fromarray(to_8_bits(self.base))
        return Layers(base=base, alpha=alpha, icc=self.icc, dpi=self.dpi, turn=self.turn, notes=self.notes)


_TURNED: dict[Image.Transpose, Callable[[Deep], Deep]] = {
    Image.Transpose.FLIP_LEFT_RIGHT: lambda stored: stored[:, ::-1],
    Image.Transpose.ROTATE_180: lambda stored: stored[::-1, ::-1],
    Image.Transpose.FLIP_TOP_BOTTOM: lambda stored: stored[::-1],
    Image.Transpose.TRANSPOSE: lambda stored: stored.swapaxes(0, 1),
    Image.Transpose.ROTATE_270: lambda stored: stored[::-1].swapaxes(0, 1),
    Image.Transpose.TRANSVERSE: lambda stored: stored[::-1, ::-1].swapaxes(0, 1),
    Image.Transpose.ROTATE_90: lambda stored: stored.swapaxes(0, 1)[::-1],
}


def _turned(layer: Deep, turn: Image.Transpose | None) -> Deep:
    return layer if turn is None else np.ascontiguousarray(_TURNED[turn](layer))


def _both_turned(layers: tuple[Deep, Deep | None], turn: Image.Transpose | None) -> tuple[Deep, Deep | None]:
    base, alpha = layers
    return _turned(base, turn), None if alpha is None else _turned(alpha, turn)


def unpack(data: bytes, limits: Limits, *, at_least: tuple[int, int] | None = None) -> Layers:
    """Decode a picture to 8 bits; a JPEG may come reduced, but not below `at_least` (width, height as stored).

    Raises SourceError if it is refused, damaged or cut short.
    """
    layers = unpack_whole(data, limits, at_least=at_least)
    return layers.in_8_bits() if isinstance(layers, DeepLayers) else layers


def unpack_whole(
    data: bytes, limits: Limits, *, at_least: tuple[int, int] | None = None, metadata: bool = False
) -> Layers | DeepLayers:
    """Like `unpack`, with 16 bits a channel where they are stored and can be had; with metadata where asked for."""
    image = open_image(data, limits)
    with decoding():
        notes = header_notes(image, data)
        is_deep = has_deep_channels(image)
        turn = _TURN.get(orientation(image))
        dpi, icc = _dpi(image, turn), image.info.get("icc_profile") or embedded_profile(image.format, data)
        if at_least is not None:
            image.draft(None, at_least)
        loaded = deep.load(image, data) if is_deep or image.mode == "I" else None
        if loaded is None:
            image.load()
        if image.format == "TIFF":
            # Its size is the upright picture's from the start, and what Pillow has loaded is turned already.
            loaded = loaded and _both_turned(loaded, _TURN.get(orientation(image)))
            turn = None
        kept, unkept = collect(image) if metadata else (None, ())
        notes += unkept
        if loaded is not None:
            values, own = loaded
            icc, as_rgb, more = fit_profile("L" if values.ndim == 2 else "RGB", icc)
            values = np.repeat(values[..., None], 3, axis=2) if as_rgb else values
            return DeepLayers(base=values, alpha=own, icc=icc, dpi=dpi, turn=turn, notes=notes + more, metadata=kept)
        base, alpha, more = _split(image)
        more += (_REDUCED,) if is_deep else ()
        icc, as_rgb, mismatch = fit_profile(base.mode, icc)
        base = base.convert("RGB") if as_rgb else base
        notes += more + mismatch
        return Layers(base=base, alpha=alpha, icc=icc, dpi=dpi, turn=turn, notes=notes, metadata=kept)


def _split(image: Image.Image) -> tuple[Image.Image, Image.Image | None, tuple[str, ...]]:
    mode = image.mode
    if mode in ("I", "F"):
        return _narrow(image)
    if image.has_transparency_data:
        target = "LA" if mode in ("1", "L", "LA", "La") else "RGBA"
        whole = image if mode == target else image.convert(target)
        base = whole.getchannel("L") if whole.mode == "LA" else whole.convert("RGB")
        return base, whole.getchannel("A"), ()
    if mode in ("L", "RGB", "CMYK", "LAB"):
        return image, None, ()
    return image.convert("L" if mode == "1" else "RGB"), None, ()


def _narrow(image: Image.Image) -> tuple[Image.Image, Image.Image | None, tuple[str, ...]]:
    """Grey of 32 bits or floats, scaled to 8 bits; Pillow's own conversion would clip it."""
    values = deep.whole_numbers(image)
    if image.mode == "F":
        grey, note = _from_floats(values)
    else:
        spare = 24 if values.dtype == np.uint32 else 23
        grey, note = (values.clip(min=0) >> spare).astype(np.uint8), "32 bits reduced to 8"
    key = image.info.get("transparency")
    alpha = Image.fromarray(np.where(values == key, 0, 255).astype(np.uint8)) if isinstance(key, int) else None
    return Image.fromarray(grey), alpha, (note,)


def _from_floats(values: npt.NDArray[np.float32]) -> tuple[npt.NDArray[np.uint8], str]:
    finite = np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0)
    peak = float(finite.max())
    white = next((white for white in (1.0, 255.0, 65535.0) if peak <= white), peak)
    grey = np.rint(finite.clip(min=0) * (255 / white)).astype(np.uint8)
    return grey, f"floating point: 0 to {white:g} taken for black to white"


def _dpi(image: ImageFile.ImageFile, turn: Image.Transpose | None) -> tuple[float, float] | None:
    """Dots per inch, horizontally and vertically upright; None unless both make sense."""
    try:
        x, y = (float(value) for value in _told_dpi(image))
    except UNREADABLE:
        return None
    if not (1 <= x <= 65535 and 1 <= y <= 65535):
        return None
    return (y, x) if turn in _SIDEWAYS else (x, y)


def _told_dpi(image: ImageFile.ImageFile) -> tuple[Any, Any]:
    """What the file says, or its EXIF."""
    if _tells_dpi(image):
        x, y = image.info["dpi"]
        return x, y
    exif = Image.Image.getexif(image)
    scale = {2: 1.0, 3: 2.54}[exif.get(ExifTags.Base.ResolutionUnit, 2)]  # by the inch, by the centimetre, or neither
    return float(exif[_X]) * scale, float(exif[ExifTags.Base.YResolution]) * scale


def _tells_dpi(image: ImageFile.ImageFile) -> bool:
    """Whether the file itself does; where it does not, Pillow says 1 of a TIFF, and 72 of a JPEG that has EXIF."""
    if image.format == "TIFF":
        return _X in getattr(image, "tag_v2", {})
    if image.format in ("JPEG", "MPO"):
        return image.info.get("jfif_unit") in _PER_LENGTH
    return "dpi" in image.info
