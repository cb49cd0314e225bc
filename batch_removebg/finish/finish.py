"""The finished file: composed from its source's bytes and an alpha, or made from a provider's cutout."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from batch_removebg.errors import NoAlpha, OutputBroken
from batch_removebg.imaging.arrays import Picture, Samples, strips, to_8_bits
from batch_removebg.imaging.colour import convert, flaw, from_srgb, means_srgb, srgb_profile
from batch_removebg.imaging.decode import read
from batch_removebg.imaging.encode import encode
from batch_removebg.imaging.format import Colour, Limits
from batch_removebg.matting.dust import cleaned
from batch_removebg.matting.foreground import foreground
from batch_removebg.matting.matte import read_output
from batch_removebg.matting.quality import Quality, measure
from batch_removebg.matting.refine import reduced, refine, resized
from batch_removebg.model import Matte

from .options import Finish, Finished

_SEGMENT = 65_000  # bytes of EXIF or XMP that fit into one segment of a JPEG, beside the segment's name


def finish(data: bytes, matte: Matte, finish: Finish, limits: Limits) -> Finished:
    """The source's own pixels with an alpha of any size, as a file; raises SourceError, or ItemError from encoding."""
    composed = compose_matte(read(data, limits, metadata=finish.metadata == "keep"), matte, finish)
    height, width = composed.pixels.shape[:2]
    quality = measure(matte)
    return Finished(encode(composed, finish.encoding), width, height, composed.notes, quality, matte.engine)


def finish_cutout(data: bytes, finish: Finish, limits: Limits) -> Finished:
    """A provider's cutout as the picture itself, where the source can't be read; raises OutputBroken, ItemError."""
    picture = read_output(data, limits)
    alpha = picture.alpha
    if alpha is None and finish.mask_only and picture.pixels.ndim == 2:
        alpha = picture.pixels
    if alpha is None:
        raise NoAlpha("the output has no alpha: the model gave back a picture without transparency")
    # The provider's own edges stay: the background isn't known here.
    own = replace(finish, edges="keep", refine="none", clean_below=0)
    composed = compose(replace(picture, alpha=None), alpha, own)
    height, width = alpha.shape
    return Finished(encode(composed, finish.encoding), width, height, composed.notes, measure(Matte(to_8_bits(alpha))))


def judged(data: bytes, limits: Limits) -> Quality | None:
    """The quality of a provider's cutout that is passed on as it is; None where that can't be decoded."""
    try:
        alpha = read_output(data, limits).alpha
    except OutputBroken:
        return None
    return None if alpha is None else measure(Matte(to_8_bits(alpha)))


def compose_matte(picture: Picture, matte: Matte, finish: Finish) -> Picture:
    """What `compose` gives of a matte; one of our own networks is refined at the size that is best for that."""
    ours = matte.engine is not None and finish.refine != "none"
    return compose(picture, reduced(matte.alpha) if ours else matte.alpha, finish)


def compose(picture: Picture, alpha: Samples, finish: Finish) -> Picture:
    """The source's own pixels with an alpha fitted to them, of the source's size and, where the format can, its depth.

    `alpha` is H×W, uint8 of any size, or uint16 of the picture's. On a background: colours·α + background·(1 − α),
    rounded. Mask only: the fitted alpha as grey of 8 bits. To save memory, the picture's own pixels may be changed.
    """
    if picture.pixels.dtype != np.uint8 and (finish.mask_only or not finish.encoding.deep):
        own = None if picture.alpha is None else to_8_bits(picture.alpha)
        lost = () if finish.mask_only else (f"16 bits a channel reduced to 8, which is what {finish.format} holds",)
        picture = replace(picture, pixels=to_8_bits(picture.pixels), alpha=own, notes=picture.notes + lost)
    if not finish.mask_only:
        picture = _in_colour_space(picture, finish)
    picture = _with_fitting_metadata(picture, finish)
    height, width = picture.pixels.shape[:2]
    fitted = alpha
    if alpha.shape != (height, width):
        small = to_8_bits(alpha)
        fitted = resized(small, height, width) if finish.refine == "none" else refine(picture.pixels, small)
    if finish.clean_below:
        fitted = cleaned(to_8_bits(fitted), finish.clean_below)
    if finish.edges == "clean" and not finish.mask_only:
        # Before the source's own transparency counts: no background shines through that.
        picture = replace(picture, pixels=foreground(picture.pixels, fitted))
    mask, notes = _with_own_alpha(fitted, picture)
    picture = replace(picture, alpha=None, notes=picture.notes + notes)
    if finish.mask_only:
        return replace(picture, pixels=mask, icc=None)
    if finish.backdrop is None:
        return replace(picture, alpha=mask)
    pixels, icc = _lay_on(finish.backdrop, picture, mask)
    # Grey, which has no profile of its own, may have become colour.
    return replace(picture, pixels=pixels, icc=srgb_profile() if finish.srgb and pixels.ndim == 3 else icc)


def _in_colour_space(picture: Picture, finish: Finish) -> Picture:
    pixels, icc, notes = picture.pixels, picture.icc, picture.notes
    if finish.srgb and icc is not None and not means_srgb(icc):
        pixels, icc, more = convert(pixels, icc)
        notes += more
    elif not finish.srgb and icc is not None and (wrong := flaw(icc)):
        notes += (f"colour profile kept, though it is broken ({wrong})",)
    if finish.srgb:
        icc = srgb_profile() if pixels.ndim == 3 else None  # grey without a profile has sRGB's tones
    return replace(picture, pixels=pixels, icc=icc, notes=notes)


def _with_fitting_metadata(picture: Picture, finish: Finish) -> Picture:
    """The picture without metadata that a JPEG's segments can't hold."""
    parts = picture.exif, picture.xmp
    exif, xmp = (part if part and len(part) <= _SEGMENT else None for part in parts)
    if finish.format != "jpeg" or (exif, xmp) == parts:
        return picture
    return replace(picture, exif=exif, xmp=xmp, notes=(*picture.notes, "metadata left out: too long for a JPEG"))


def _with_own_alpha(alpha: Samples, picture: Picture) -> tuple[Samples, tuple[str, ...]]:
    """The alpha times the source's own, as deep as the picture, and notes for people."""
    alpha = _as_deep(alpha, picture.pixels)
    notes = []
    if picture.alpha is not None and picture.alpha.min() < _white(picture.alpha):
        fitted, own = alpha, _as_deep(picture.alpha, picture.pixels)
        alpha = np.empty_like(fitted)
        for rows in strips(alpha):
            alpha[rows] = _over_white(_wide(fitted[rows]) * own[rows], alpha)
        notes.append("source had transparency: kept")
    if alpha.max() == 0:
        notes.append("nothing is left of the picture: the alpha is 0 everywhere")
    return alpha, tuple(notes)


def _as_deep(alpha: Samples, pixels: Samples) -> Samples:
    """An alpha of the pixels' depth: 255 becomes 65535."""
    if alpha.dtype == pixels.dtype:
        return alpha
    return alpha.astype(np.uint16) * np.uint16(257) if alpha.dtype == np.uint8 else to_8_bits(alpha)


def _lay_on(backdrop: Colour, picture: Picture, alpha: Samples) -> tuple[Samples, bytes | None]:
    pixels, icc = picture.pixels, picture.icc
    if pixels.ndim == 2 and len(set(backdrop)) > 1:
        pixels, icc, _ = convert(pixels, icc)
    white = _white(pixels)
    colour = [value * (white // 255) for value in from_srgb(backdrop, icc, "L" if pixels.ndim == 2 else "RGB")]
    result = np.empty_like(pixels)
    source, target = (array[..., None] if array.ndim == 2 else array for array in (pixels, result))
    for rows in strips(pixels):
        weight = _wide(alpha[rows])
        for channel in range(source.shape[2]):
            mixed = source[rows, :, channel] * weight
            mixed += weight.dtype.type(colour[channel]) * (white - weight)
            target[rows, :, channel] = _over_white(mixed, pixels)
    return result, icc


def _white(samples: Samples) -> int:
    return int(np.iinfo(samples.dtype).max)


def _wide(samples: Samples) -> npt.NDArray[Any]:
    """The samples with twice the bits, so that a product fits."""
    return samples.astype(np.uint16 if samples.dtype == np.uint8 else np.uint32)


def _over_white(product: npt.NDArray[Any], samples: Samples) -> npt.NDArray[Any]:
    """A product of two samples, or a sum weighted with such, divided by their white and rounded exactly; in place."""
    # x / (2^n − 1), for x up to (2^n − 1)², is (y + (y >> n)) >> n with y = x + 2^(n−1).
    bits = 8 * samples.itemsize
    product += product.dtype.type(1 << (bits - 1))
    product += product >> bits
    product >>= bits
    return product
