"""The finished file: made of its source's bytes and an alpha, or of a provider's cutout."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby

import numpy as np

from batch_removebg.errors import NoAlpha, OutputBroken
from batch_removebg.imaging.arrays import Picture, Samples, strips, to_8_bits
from batch_removebg.imaging.colour import convert, from_srgb, srgb_profile
from batch_removebg.imaging.decode import read
from batch_removebg.imaging.encode import encode
from batch_removebg.imaging.format import Colour, Limits
from batch_removebg.matting.matte import read_output
from batch_removebg.matting.quality import Quality, measure
from batch_removebg.model import Matte

from .compliance import brief, failed, judge
from .cut import Cut, cut, cut_out, over_white, white_of, wide
from .facts import measure_file
from .options import Finish, Finished
from .presets import known

_SEGMENT = 65_000  # bytes of EXIF or XMP that fit into one segment of a JPEG, beside the segment's name


def finish(data: bytes, matte: Matte, finishes: Sequence[Finish], limits: Limits) -> list[Finished]:
    """The source's own pixels with an alpha of any size, as files; raises SourceError, or ItemError from encoding.

    What finishes have in common is made once: they are best given with those next to each other whose `cut` is alike.
    """
    picture = read(data, limits, metadata=any(finish.metadata == "keep" for finish in finishes))
    groups = [list(group) for _, group in groupby(finishes, key=lambda finish: finish.cut)]
    quality, made = measure(matte), list[Finished]()
    for nth, group in enumerate(groups):
        last = nth == len(groups) - 1  # else the picture's pixels are needed once more
        own = picture if last else replace(picture, pixels=picture.pixels.copy())
        shared = cut_out(own, matte, group[0])
        for finish in group:
            made.append(_file(shared, finish, quality, matte.engine))
    return made


def finish_cutout(data: bytes, finishes: Sequence[Finish], limits: Limits) -> list[Finished]:
    """A provider's cutout as the picture itself, where the source can't be read; raises OutputBroken, ItemError."""
    picture = read_output(data, limits)
    alpha = picture.alpha
    if alpha is None and all(finish.mask_only for finish in finishes) and picture.pixels.ndim == 2:
        alpha = picture.pixels
    if alpha is None:
        raise NoAlpha("the output has no alpha: the model gave back a picture without transparency")
    quality, made = measure(Matte(to_8_bits(alpha))), list[Finished]()
    for finish in finishes:
        # The provider's own edges stay: the background isn't known here.
        own = replace(finish, edges="keep", refine="none", clean_below=0)
        shared = cut(replace(picture, alpha=None), alpha, own)
        made.append(_file(shared, own, quality))
    return made


def judged(data: bytes, limits: Limits) -> Quality | None:
    """The quality of a provider's cutout that is passed on as it is; None where that can't be decoded."""
    try:
        alpha = read_output(data, limits).alpha
    except OutputBroken:
        return None
    return None if alpha is None else measure(Matte(to_8_bits(alpha)))


def compose(cut: Cut, finish: Finish) -> Picture:
    """The picture that a cut becomes, to be encoded; the cut stays as it is.

    On a background: colours·α + background·(1 − α), rounded. Mask only: the mask as grey of 8 bits.
    """
    picture, mask = _with_fitting_metadata(cut.picture, finish), cut.mask
    if finish.mask_only:
        return replace(picture, pixels=mask, icc=None)
    if finish.backdrop is None:
        return replace(picture, alpha=mask)
    pixels, icc = _lay_on(finish.backdrop, picture, mask)
    # Grey, which has no profile of its own, may have become colour.
    return replace(picture, pixels=pixels, icc=srgb_profile() if finish.srgb and pixels.ndim == 3 else icc)


def _file(cut: Cut, finish: Finish, quality: Quality, engine: str | None = None) -> Finished:
    composed = compose(cut, finish)
    height, width = composed.pixels.shape[:2]
    data = encode(composed, finish.encoding)
    made = Finished(data, width, height, composed.notes, quality, engine)
    return _judged(made, finish, cut.mask) if finish.preset else made


def _judged(made: Finished, finish: Finish, mask: Samples) -> Finished:
    """With what became of its preset's rules; the flags name those that are required and were not met."""
    preset = known(finish.preset_file or finish.preset)
    limits = Limits(made.width * made.height)
    alpha = mask if mask.shape == (made.height, made.width) else None
    checks = judge(measure_file(made.data, preset.asked, limits, alpha=alpha), preset)
    flags = tuple(f"{preset.preset}:{rule}" for rule in failed(checks))
    return replace(made, flags=made.flags + flags, checks=brief(checks))


def _with_fitting_metadata(picture: Picture, finish: Finish) -> Picture:
    """The picture without metadata that a JPEG's segments can't hold."""
    if finish.metadata == "strip":  # others of the same source may keep it
        return replace(picture, exif=None, xmp=None)
    parts = picture.exif, picture.xmp
    exif, xmp = (part if part and len(part) <= _SEGMENT else None for part in parts)
    if finish.format != "jpeg" or (exif, xmp) == parts:
        return picture
    return replace(picture, exif=exif, xmp=xmp, notes=(*picture.notes, "metadata left out: too long for a JPEG"))


def _lay_on(backdrop: Colour, picture: Picture, alpha: Samples) -> tuple[Samples, bytes | None]:
    pixels, icc = picture.pixels, picture.icc
    if pixels.ndim == 2 and len(set(backdrop)) > 1:
        pixels, icc, _ = convert(pixels, icc)
    white = white_of(pixels)
    colour = [value * (white // 255) for value in from_srgb(backdrop, icc, "L" if pixels.ndim == 2 else "RGB")]
    result = np.empty_like(pixels)
    source, target = (array[..., None] if array.ndim == 2 else array for array in (pixels, result))
    for rows in strips(pixels):
        weight = wide(alpha[rows])
        for channel in range(source.shape[2]):
            mixed = source[rows, :, channel] * weight
            mixed += weight.dtype.type(colour[channel]) * (white - weight)
            target[rows, :, channel] = over_white(mixed, pixels)
    return result, icc
