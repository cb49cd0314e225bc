"""What is behind the subject and its shadow: nothing, a colour, or a picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from batch_removebg.errors import SettingsError, SourceError
from batch_removebg.imaging.arrays import Picture, Samples, strips
from batch_removebg.imaging.colour import convert, from_srgb, in_profile, srgb_profile
from batch_removebg.imaging.decode import reduced
from batch_removebg.imaging.format import Colour, Limits
from batch_removebg.imaging.probe import probe

from .cut import Cut, Layer, over_white, white_of, wide
from .options import BackdropFile

_KEPT = 16_000_000  # pixels up to which a background stays decoded for the next pictures of its size
_CHECKED = Limits(max_pixels=1 << 62)  # a file with the digest of one that was read within the run's own


def backdrop_file(path: Path, limits: Limits, *, whole: bool = False) -> BackdropFile:
    """A background picture, its file read and its header checked; raises SettingsError."""
    try:
        data = path.read_bytes()
        probe(data, limits)
    except OSError as error:
        raise SettingsError(f"{path} can't be read: {error.strerror}") from error
    except SourceError as error:
        raise SettingsError(f"{path} {error}") from error
    return BackdropFile(str(path.absolute()), sha256(data).hexdigest(), whole)


def laid(cut: Cut, layer: Layer | None, ground: Colour | BackdropFile | None, *, srgb: bool) -> Picture:
    """The finished picture: the subject, a layer under it, and the ground; `srgb`: its colours are sRGB's.

    On a ground: colours·α + ground·(1 − α), rounded, of the layer first. Without: they share one alpha.
    """
    picture, mask = cut.picture, cut.mask
    if ground is None:
        return replace(picture, alpha=mask) if layer is None else _with_layer(picture, mask, layer)
    pixels, icc, notes = picture.pixels, picture.icc, picture.notes
    if pixels.ndim == 2 and (isinstance(ground, BackdropFile) or len(set(ground)) > 1):
        pixels, icc, _ = convert(pixels, icc)
    white, under = white_of(pixels), np.empty(0, pixels.dtype)
    if isinstance(ground, BackdropFile):
        rgb, more = _decoded(ground, mask.shape)
        under = in_profile(rgb, icc).astype(pixels.dtype) * pixels.dtype.type(white // 255)
        notes += more
    else:
        colour = [value * (white // 255) for value in from_srgb(ground, icc, "L" if pixels.ndim == 2 else "RGB")]
        if layer is None:
            result = _mixed(colour, pixels, mask)
        else:
            under = np.empty_like(pixels)
            under[...] = colour if pixels.ndim == 3 else colour[0]
    if under.size:
        if layer is not None:
            part = _part(layer)
            over = layer.pixels if layer.pixels.ndim == pixels.ndim else np.repeat(layer.pixels[..., None], 3, axis=2)
            under[part] = _mixed(under[part], over, layer.opacity)
        result = _mixed(under, pixels, mask)
    # Grey, which has no profile of its own, may have become colour.
    return replace(picture, pixels=result, icc=srgb_profile() if srgb and result.ndim == 3 else icc, notes=notes)


def _part(layer: Layer) -> tuple[slice, slice]:
    height, width = layer.opacity.shape
    return slice(layer.top, layer.top + height), slice(layer.left, layer.left + width)


def _mixed(ground: Sequence[int] | Samples, pixels: Samples, alpha: Samples) -> Samples:
    """Pixels with an alpha on a ground: a value for each channel, or a picture of the same shape."""
    white = white_of(pixels)
    result = np.empty_like(pixels)
    source, target = (array[..., None] if array.ndim == 2 else array for array in (pixels, result))
    for rows in strips(pixels):
        weight = wide(alpha[rows])
        rest = white - weight
        for channel in range(source.shape[2]):
            behind: Any
            if isinstance(ground, np.ndarray):
                behind = ground[rows, :, channel] if ground.ndim == 3 else ground[rows]
            else:
                behind = weight.dtype.type(ground[channel])
            mixed = source[rows, :, channel] * weight
            mixed += behind * rest
            target[rows, :, channel] = over_white(mixed, pixels)
    return result


def _with_layer(picture: Picture, mask: Samples, layer: Layer) -> Picture:
    """The subject and what is under it, with one alpha: 1 − (1 − a)·(1 − s)."""
    part = _part(layer)
    pixels, alpha, white = picture.pixels.copy(), mask.copy(), white_of(mask)
    colours, shares = pixels[part], alpha[part]
    for rows in strips(colours):
        upper = shares[rows].astype(np.float32) / white
        lower = layer.opacity[rows].astype(np.float32) / white * (1 - upper)
        total = upper + lower
        shares[rows] = np.rint(total * white)
        both = lower > 0
        share = np.divide(lower, total, out=np.zeros_like(total), where=both)
        own, under = colours[rows], layer.pixels[rows]
        if own.ndim == 3:
            share = share[..., None]
        own[both] = np.rint(own + (under.astype(np.float32) - own) * share)[both]
    return replace(picture, pixels=pixels, alpha=alpha)


def _decoded(file: BackdropFile, shape: tuple[int, ...]) -> tuple[Samples, tuple[str, ...]]:
    """The background at a picture's size, in sRGB of 8 bits, and notes; raises SettingsError where it has changed."""
    height, width = shape
    decode = _fitted if height * width <= _KEPT else _fitted.__wrapped__
    return decode(file, width, height)


@lru_cache(maxsize=2)
def _fitted(file: BackdropFile, width: int, height: int) -> tuple[Samples, tuple[str, ...]]:
    def size_of(own: tuple[int, int]) -> tuple[int, int]:
        ratios = width / own[0], height / own[1]
        scale = min(ratios) if file.whole else max(ratios)
        return max(1, round(own[0] * scale)), max(1, round(own[1] * scale))

    try:
        data = Path(file.path).read_bytes()
    except OSError as error:
        raise SettingsError(f"--background: {file.path} can't be read any more: {error.strerror}") from error
    if sha256(data).hexdigest() != file.sha256:
        raise SettingsError(f"--background: {file.path} has changed since the run began: start it again")
    try:
        rgb, notes = reduced(data, size_of, _CHECKED)
    except SourceError as error:
        raise SettingsError(f"--background: {file.path} {error}") from error
    result = np.full((height, width, 3), 255, np.uint8)
    # Whole or not, both are centred: a negative place is what is cut off.
    (top, rows), (left, columns) = (_centred(*sides) for sides in zip(result.shape[:2], rgb.shape[:2], strict=True))
    result[top, left] = rgb[rows, columns]
    result.flags.writeable = False
    return result, tuple(f"background: {note}" for note in notes)


def _centred(room: int, size: int) -> tuple[slice, slice]:
    """Where a size goes in a room of another, and which part of it."""
    shown, ahead = min(room, size), abs(room - size) // 2
    place, part = (ahead, 0) if room > size else (0, ahead)
    return slice(place, place + shown), slice(part, part + shown)
