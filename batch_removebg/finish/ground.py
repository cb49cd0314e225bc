"""What is behind the subject and its shadow: nothing, a colour, or a picture."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from hashlib import sha256
from pathlib import Path

import numpy as np

from batch_removebg.errors import SettingsError, SourceError
from batch_removebg.imaging.arrays import Picture, Samples, strips
from batch_removebg.imaging.colour import in_profile
from batch_removebg.imaging.decode import reduced
from batch_removebg.imaging.format import Colour, Limits
from batch_removebg.imaging.probe import probe
from batch_removebg.imaging.vips import as_array, as_image

from .cut import Cut, filled, over_white, white_of, wide
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


def laid(cut: Cut, under: Cut | None, ground: Colour | BackdropFile | None) -> Picture:
    """The finished picture: the subject, what is under it on the same canvas, and the ground.

    On a ground: colours·α + ground·(1 − α), rounded, of what is under it first. Without: they share one alpha.
    """
    picture, notes = cut.picture, cut.picture.notes
    if ground is None:
        return replace(picture, alpha=cut.mask) if under is None else _over(cut, under)
    if isinstance(ground, BackdropFile):
        rgb, more = _decoded(ground, cut.mask.shape)
        if rgb.nbytes > _KEPT:
            _decoded.cache_clear()
        dtype, depth = picture.pixels.dtype, white_of(picture.pixels) // 255
        behind, notes = in_profile(rgb, picture.icc).astype(dtype) * dtype.type(depth), notes + more
    else:
        behind = filled(ground, picture, cut.mask.shape)
    for layer in (under, cut):
        behind = behind if layer is None else _mixed(behind, layer)
    return replace(picture, pixels=behind, notes=notes)


def _mixed(ground: Samples, layer: Cut) -> Samples:
    """Pixels with their mask on a ground of their shape."""
    pixels, white = layer.picture.pixels, white_of(layer.mask)
    result = np.empty_like(pixels)
    source, behind, target = (array[..., None] if array.ndim == 2 else array for array in (pixels, ground, result))
    for rows in strips(pixels):
        weight = wide(layer.mask[rows])
        for channel in range(source.shape[2]):
            mixed = source[rows, :, channel] * weight
            mixed += behind[rows, :, channel] * (white - weight)
            target[rows, :, channel] = over_white(mixed, pixels)
    return result


def _over(cut: Cut, under: Cut) -> Picture:
    """The subject and what is under it, with one alpha: 1 − (1 − a)·(1 − s)."""
    pixels, alpha, white = cut.picture.pixels.copy(), cut.mask.copy(), np.float32(white_of(cut.mask))
    for rows in strips(alpha):
        upper = alpha[rows] / white
        lower = under.mask[rows] / white * (1 - upper)
        total = upper + lower
        alpha[rows] = np.rint(total * white)
        share = lower / np.maximum(total, np.float32(1e-9))
        own, below = (np.atleast_3d(array[rows]) for array in (pixels, under.picture.pixels))
        own[...] = np.rint(own + (below.astype(np.float32) - own) * share[..., None])
    return replace(cut.picture, pixels=pixels, alpha=alpha)


@lru_cache(maxsize=2)
def _decoded(file: BackdropFile, shape: tuple[int, ...]) -> tuple[Samples, tuple[str, ...]]:
    """The background at a picture's size, in sRGB of 8 bits, and notes; raises SettingsError where it has changed."""

    def size_of(own: tuple[int, int]) -> tuple[int, int]:
        scale = (min if file.whole else max)(shape[1] / own[0], shape[0] / own[1])
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
    on_canvas = as_array(as_image(rgb).gravity("centre", shape[1], shape[0], extend="white"))
    return on_canvas, tuple(f"background: {note}" for note in notes)
