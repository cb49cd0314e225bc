"""How large a subject is in its photo, by which the items of a group are given one scale."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

from batch_removebg.errors import NoAlpha
from batch_removebg.imaging.decode import read
from batch_removebg.imaging.format import Limits
from batch_removebg.matting.matte import read_output
from batch_removebg.model import Matte

from .cut import Cut, cut, cut_out, white_of
from .geometry import find
from .options import Finish


class Extent(NamedTuple):
    """A subject in its photo, in pixels of that."""

    box: tuple[int, ...]  # left, top, right, bottom; nothing where there is no subject
    touches: tuple[str, ...]  # the sides of the photo that cut it off
    area: float  # the sum of its alpha, 0–1
    size: tuple[int, int]  # the photo's width and height


def extent(data: bytes, matte: Matte, finish: Finish, limits: Limits) -> Extent:
    """The extent of what a matte takes for the subject of a source; raises SourceError."""
    return _of(cut_out(read(data, limits), matte, replace(finish, edges="keep")), finish)


def extent_of_cutout(data: bytes, finish: Finish, limits: Limits) -> Extent:
    """The extent of what a provider's cutout shows; raises OutputBroken."""
    picture = read_output(data, limits)
    if picture.alpha is None:
        raise NoAlpha("the output has no alpha: the model gave back a picture without transparency")
    own = replace(finish, edges="keep", refine="none", clean_below=0)
    return _of(cut(replace(picture, alpha=None), picture.alpha, own), finish)


def _of(found: Cut, finish: Finish) -> Extent:
    subject, mask = find(found.mask, finish.geometry)
    height, width = mask.shape
    area = round(float(mask.sum(dtype="float64")) / white_of(mask), 1)
    return Extent(subject.box if subject else (), subject.touches if subject else (), area, (width, height))
