"""What stays of a source: its own colours without background spill, and the mask that fits them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from batch_removebg.errors import NoAlpha
from batch_removebg.imaging.arrays import Picture, Samples, strips, to_8_bits
from batch_removebg.imaging.colour import convert, flaw, from_srgb, means_srgb, mode_of, srgb_profile
from batch_removebg.imaging.format import Colour
from batch_removebg.matting.dust import cleaned
from batch_removebg.matting.foreground import foreground
from batch_removebg.matting.matte import Alpha, pixels_of
from batch_removebg.matting.refine import SMALL, reduced, refine, resized
from batch_removebg.model import Box, Matte

from .measures import Size
from .options import Finish


@dataclass(frozen=True, slots=True)
class Cut:
    """A picture and its mask, before anything is laid out."""

    picture: Picture  # without alpha
    mask: Samples  # H×W, as deep as the picture
    found: dict[Any, Any] = field(default_factory=dict)  # what was measured of it for one finish, for the others
    factor: float = 0.0  # of one that is laid out: the largest that its layout allows without `scale`
    area: int = 0  # of its subject, in pixels of the photo


def cut_out(picture: Picture, matte: Matte, finish: Finish) -> Cut:
    """As `cut`, with a matte; one of our own networks is refined at the size that is best for that."""
    return cut(picture, _best(picture, matte, finish.refine), finish, matte.part)


def full_size(picture: Picture, matte: Matte, refine: str) -> Alpha:
    """The alpha that `cut_out` fits to the picture (H×W), before dust is cleared; `refine` is one of `Refine`."""
    return to_8_bits(_fitted(picture.pixels, _best(picture, matte, refine), refine, matte.part))


def _best(picture: Picture, matte: Matte, how: str) -> Alpha:
    part, (height, width) = matte.part, picture.pixels.shape[:2]
    if matte.engine is None or how == "none":
        return matte.alpha
    # A part may have fewer pixels than the network has made of it: the photo's edges are found by a smaller alpha.
    return reduced(matte.alpha, SMALL if part is None else min(SMALL, part[2] * part[3] * height * width / 4))


def _fitted(pixels: Samples, alpha: Samples, how: str, part: Box | None) -> Samples:
    """The alpha, of all or of a part, at the size of the pixels; itself where it has that."""
    height, width = pixels.shape[:2]
    here = pixels_of(part, height, width)
    fitted, guide = alpha, pixels[here]
    if alpha.shape != guide.shape[:2]:
        small = to_8_bits(alpha)
        fitted = resized(small, *guide.shape[:2]) if how == "none" else refine(guide, small)
    if part is None:
        return fitted
    whole = np.zeros((height, width), fitted.dtype)
    whole[here] = fitted
    return whole


def cut(picture: Picture, alpha: Samples, finish: Finish, part: Box | None = None) -> Cut:
    """The source's own pixels with an alpha fitted to them: H×W, uint8 of any size, or uint16 of the picture's.

    `part`: what the alpha is of. The depth stays where the format can hold it. To save memory, the picture's own pixels
    may be changed.
    """
    if picture.pixels.dtype != np.uint8 and (finish.mask_only or not finish.encoding.deep):
        own = None if picture.alpha is None else to_8_bits(picture.alpha)
        lost = () if finish.mask_only else (f"16 bits a channel reduced to 8, which is what {finish.format} holds",)
        picture = replace(picture, pixels=to_8_bits(picture.pixels), alpha=own, notes=picture.notes + lost)
    if not finish.mask_only:
        picture = _in_colour_space(picture, finish)
    fitted = _fitted(picture.pixels, alpha, finish.refine, part)
    if finish.clean_below:
        fitted = cleaned(to_8_bits(fitted), finish.clean_below)
    if finish.edges == "clean" and not finish.mask_only:
        # Before the source's own transparency counts: no background shines through that.
        picture = replace(picture, pixels=foreground(picture.pixels, fitted))
    mask, notes = _as_deep(fitted, picture.pixels), picture.notes
    if picture.alpha is not None and picture.alpha.min() < white_of(picture.alpha):
        mask, notes = _times(mask, _as_deep(picture.alpha, mask)), (*notes, "source had transparency: kept")
    if mask.max() == 0:
        notes = (*notes, "nothing is left of the picture: the alpha is 0 everywhere")
    return Cut(replace(picture, alpha=None, notes=notes), mask)


def cut_again(picture: Picture, finish: Finish) -> Cut:
    """A provider's cutout with its own edges, for the background isn't known; raises NoAlpha.

    For a mask, a grey picture without alpha will do.
    """
    alpha = picture.alpha
    if alpha is None and finish.mask_only and picture.pixels.ndim == 2:
        alpha = picture.pixels
    if alpha is None:
        raise NoAlpha("the output has no alpha: the model gave back a picture without transparency")
    own = replace(finish, edges="keep", refine="none", clean_below=0)
    return cut(replace(picture, alpha=None), alpha, own)


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


def _times(alpha: Samples, own: Samples) -> Samples:
    result = np.empty_like(alpha)
    for rows in strips(alpha):
        result[rows] = over_white(wide(alpha[rows]) * own[rows], alpha)
    return result


def _as_deep(alpha: Samples, pixels: Samples) -> Samples:
    """An alpha of the pixels' depth: 255 becomes 65535."""
    if alpha.dtype == pixels.dtype:
        return alpha
    return alpha.astype(np.uint16) * np.uint16(257) if alpha.dtype == np.uint8 else to_8_bits(alpha)


def pasted(cut: Cut, canvas: Size, left: int, top: int) -> Cut:
    """The cut on an empty canvas, its corner at that column and row; what lies beyond is cut off."""
    rows, columns = (slice(max(0, at), max(0, at + side)) for at, side in zip((top, left), cut.mask.shape, strict=True))
    laid = []
    for values in (cut.picture.pixels, cut.mask):
        laid.append(np.zeros((*canvas[::-1], *values.shape[2:]), values.dtype))
        part = laid[-1][rows, columns]
        part[...] = values[max(0, -top) :, max(0, -left) :][: part.shape[0], : part.shape[1]]
    return Cut(replace(cut.picture, pixels=laid[0]), laid[1])


def filled(colour: Colour, picture: Picture, shape: tuple[int, ...]) -> Samples:
    """An sRGB colour as pixels of such a picture, in its profile and depth; all of the shape (H×W) one in memory."""
    pixels = picture.pixels
    dot = np.array(from_srgb(colour, picture.icc, mode_of(pixels)), pixels.dtype) * (white_of(pixels) // 255)
    return np.broadcast_to(dot if pixels.ndim == 3 else dot[0], shape + pixels.shape[2:])


def white_of(samples: Samples) -> int:
    """The largest value that samples of this type have."""
    return int(np.iinfo(samples.dtype).max)


def wide(samples: Samples) -> npt.NDArray[Any]:
    """The samples with twice the bits, so that a product fits."""
    return samples.astype(np.uint16 if samples.dtype == np.uint8 else np.uint32)


def over_white(product: npt.NDArray[Any], samples: Samples) -> npt.NDArray[Any]:
    """A product of two samples, or a sum weighted with such, divided by their white and rounded exactly; in place."""
    # x / (2^n − 1), for x up to (2^n − 1)², is (y + (y >> n)) >> n with y = x + 2^(n−1).
    bits = 8 * samples.itemsize
    product += product.dtype.type(1 << (bits - 1))
    product += product >> bits
    product >>= bits
    return product
