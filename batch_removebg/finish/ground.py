"""What is behind the subject and its shadow: nothing, a colour, or a picture."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from batch_removebg.errors import SettingsError, SourceError
from batch_removebg.imaging.arrays import Picture, Samples, strips
from batch_removebg.imaging.colour import convert, from_srgb, in_profile, mode_of, srgb_profile
from batch_removebg.imaging.decode import reduced
from batch_removebg.imaging.format import Colour, Limits
from batch_removebg.imaging.probe import probe

from .cut import Cut, Layer, over_white, white_of, wide
from .options import BackdropFile

_KEPT = 48 << 20  # bytes up to which a background stays decoded for the next pictures of its size
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
    depth, behind = white_of(pixels) // 255, np.empty(0, pixels.dtype)
    if isinstance(ground, BackdropFile):
        rgb, more = _decoded(ground, mask.shape)
        if rgb.nbytes > _KEPT:
            _decoded.cache_clear()
        behind, notes = in_profile(rgb, icc).astype(pixels.dtype) * pixels.dtype.type(depth), notes + more
    else:
        colour = wide(np.array(from_srgb(ground, icc, mode_of(pixels)), pixels.dtype)) * depth
        behind = np.broadcast_to(colour if pixels.ndim == 3 else colour[0], pixels.shape)
    if layer is not None:
        part, behind = _part(layer), behind.astype(pixels.dtype)
        upper = layer.pixels if layer.pixels.ndim == pixels.ndim else np.repeat(layer.pixels[..., None], 3, axis=2)
        behind[part] = _mixed(behind[part], upper, layer.opacity)
    result = _mixed(behind, pixels, mask)
    # Grey, which has no profile of its own, may have become colour.
    return replace(picture, pixels=result, icc=srgb_profile() if srgb and result.ndim == 3 else icc, notes=notes)


def _part(layer: Layer) -> tuple[slice, slice]:
    height, width = layer.opacity.shape
    return slice(layer.top, layer.top + height), slice(layer.left, layer.left + width)


def _mixed(ground: npt.NDArray[Any], pixels: Samples, alpha: Samples) -> Samples:
    """Pixels with an alpha on a ground of their shape."""
    white = white_of(pixels)
    result = np.empty_like(pixels)
    source, behind, target = (array[..., None] if array.ndim == 2 else array for array in (pixels, ground, result))
    for rows in strips(pixels):
        weight = wide(alpha[rows])
        for channel in range(source.shape[2]):
            mixed = source[rows, :, channel] * weight
            mixed += behind[rows, :, channel] * (white - weight)
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
        share = lower / np.maximum(total, np.float32(1e-9))
        own, under = (np.atleast_3d(array[rows]) for array in (colours, layer.pixels))
        own[...] = np.rint(own + (under.astype(np.float32) - own) * share[..., None])
    return replace(picture, pixels=pixels, alpha=alpha)


@lru_cache(maxsize=2)
def _decoded(file: BackdropFile, shape: tuple[int, ...]) -> tuple[Samples, tuple[str, ...]]:
    """The background at a picture's size, in sRGB of 8 bits, and notes; raises SettingsError where it has changed."""

    def size_of(own: tuple[int, int]) -> tuple[int, int]:
        ratios = shape[1] / own[0], shape[0] / own[1]
        scale = min(ratios) if file.whole else max(ratios)
        return max(1, round(own[0] * scale)), max(1, round(own[1] * scale))

    try:
        data = Path(file.path).read_bytes()
        if sha256(data).hexdigest() != file.sha256:
            raise SettingsError(f"--background: {file.path} has changed since the run began: start it again")
        rgb, notes = reduced(data, size_of, _CHECKED)
    except OSError as error:
        raise SettingsError(f"--background: {file.path} can't be read any more: {error.strerror}") from error
    except SourceError as error:
        raise SettingsError(f"--background: {file.path} {error}") from error
    room = [max(0, side - own) for side, own in zip(shape, rgb.shape[:2], strict=True)]
    rgb = np.pad(rgb, [*((part // 2, part - part // 2) for part in room), (0, 0)], constant_values=255)
    top, left = ((own - side) // 2 for own, side in zip(rgb.shape[:2], shape, strict=True))
    return rgb[top : top + shape[0], left : left + shape[1]], tuple(f"background: {note}" for note in notes)
