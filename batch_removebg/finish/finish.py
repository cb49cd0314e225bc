"""The finished file: made of its source's bytes and an alpha, or of a provider's cutout."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import PurePath

from batch_removebg.errors import OutputBroken
from batch_removebg.imaging.arrays import Picture, Samples, to_8_bits
from batch_removebg.imaging.colour import convert, srgb_profile
from batch_removebg.imaging.decode import read
from batch_removebg.imaging.format import Limits
from batch_removebg.matting.matte import read_output
from batch_removebg.matting.quality import Quality, measure
from batch_removebg.model import Matte

from .compliance import brief, failed, judge
from .cut import Cut, cut_again, cut_out
from .facts import measure_file
from .geometry import placed
from .ground import laid
from .options import Finish, Finished
from .presets import known
from .shadow import shade
from .weight import weighed

_SEGMENT = 65_000  # bytes of EXIF or XMP that fit into one segment of a JPEG, beside the segment's name


def finish(data: bytes, matte: Matte, finishes: Sequence[Finish], limits: Limits) -> list[Finished]:
    """The source's own pixels with an alpha of any size, as files; raises SourceError, or ItemError from encoding.

    What finishes have in common is made once.
    """
    picture = read(data, limits, metadata=any(finish.metadata == "keep" for finish in finishes))
    alike, made, quality = defaultdict[object, list[Finish]](list), dict[Finish, Finished](), measure(matte)
    for finish in finishes:
        alike[finish.cut].append(finish)
    for nth, group in enumerate(alike.values(), 1):
        # The pixels may be changed, and all but the last are needed once more.
        own = picture if nth == len(alike) else replace(picture, pixels=picture.pixels.copy())
        shared = cut_out(own, matte, group[0])
        made |= {finish: _file(shared, finish, limits, quality, matte.engine) for finish in group}
    return [made[finish] for finish in finishes]


def finish_cutout(data: bytes, finishes: Sequence[Finish], limits: Limits, edit: Matte | None = None) -> list[Finished]:
    """A provider's cutout as the picture itself, where the source can't be read; raises OutputBroken, ItemError.

    `edit`: an alpha in the place of its own.
    """
    picture, made, quality = read_output(data, limits), list[Finished](), None
    if edit is not None:
        picture = replace(picture, alpha=edit.alpha)
    for finish in finishes:
        shared = cut_again(picture, finish)
        quality = quality or measure(Matte(to_8_bits(shared.mask)))
        made.append(_file(shared, finish, limits, quality))
    return made


def judged(data: bytes, limits: Limits) -> Quality | None:
    """The quality of a provider's cutout that is passed on as it is; None where that can't be decoded."""
    try:
        alpha = read_output(data, limits).alpha
    except OutputBroken:
        return None
    return None if alpha is None else measure(Matte(to_8_bits(alpha)))


def compose(cut: Cut, finish: Finish) -> Picture:
    """The picture that a cut becomes, to be encoded; the cut stays as it is. Mask only: the mask, grey, of 8 bits."""
    return _composed(_placed(cut, finish), finish)[0]


def _placed(cut: Cut, finish: Finish, limits: Limits | None = None) -> Cut:
    cut = replace(cut, picture=_with_fitting_metadata(cut.picture, finish))
    return placed(cut, finish.geometry, partial(finish.require_room, limits=limits) if limits else None)


def _composed(cut: Cut, finish: Finish) -> tuple[Picture, Samples]:
    """The picture, and the subject's mask on it."""
    if finish.mask_only:
        return replace(cut.picture, pixels=cut.mask, icc=None), cut.mask
    picture, under = cut.picture, None
    if finish.coloured and picture.pixels.ndim == 2:
        pixels, icc, _ = convert(picture.pixels, picture.icc)
        icc = srgb_profile() if finish.srgb else icc  # grey had none of its own
        cut = replace(cut, picture=replace(picture, pixels=pixels, icc=icc))
    if finish.shadow is not None:
        cut, under = shade(cut, finish.shadow, fixed=finish.geometry.canvas is not None)
    return laid(cut, under, finish.backdrop), cut.mask


def _file(cut: Cut, finish: Finish, limits: Limits, quality: Quality, engine: str | None = None) -> Finished:
    """The file; of one for a preset, notes and flags name that, and say what its rules make of the file."""
    laid_out = _placed(cut, finish, limits)
    composed, mask = _composed(laid_out, finish)
    composed, data = weighed(composed, finish)
    (height, width), common = composed.pixels.shape[:2], cut.picture.notes
    made = Finished(data, width, height, composed.notes, composed.flags, quality, engine)
    made = replace(made, factor=laid_out.factor, area=laid_out.area)
    if not finish.preset:
        return made
    preset, alpha = known(finish.preset_file or finish.preset), mask if mask.shape == (height, width) else None
    name = PurePath(finish.output) if finish.output else None
    checks = judge(measure_file(data, Limits(width * height), name=name, alpha=alpha), preset)
    notes = (*common, *(f"{finish.preset}: {note}" for note in composed.notes[len(common) :]))
    flags = tuple(f"{finish.preset}:{flag}" for flag in dict.fromkeys((*composed.flags, *failed(checks))))
    return replace(made, notes=notes, flags=flags, checks=brief(checks))


def _with_fitting_metadata(picture: Picture, finish: Finish) -> Picture:
    """The picture without metadata that a JPEG's segments can't hold."""
    if finish.metadata == "strip":  # others of the same source may keep it
        return replace(picture, exif=None, xmp=None)
    parts = picture.exif, picture.xmp
    exif, xmp = (part if part and len(part) <= _SEGMENT else None for part in parts)
    if finish.format != "jpeg" or (exif, xmp) == parts:
        return picture
    return replace(picture, exif=exif, xmp=xmp, notes=(*picture.notes, "metadata left out: too long for a JPEG"))
