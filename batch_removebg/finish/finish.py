"""The finished file, made from the source's bytes or from a provider's cutout."""

from __future__ import annotations

from dataclasses import replace

from batch_removebg.errors import OutputBroken
from batch_removebg.imaging.arrays import to_8_bits
from batch_removebg.imaging.decode import read
from batch_removebg.imaging.encode import encode
from batch_removebg.imaging.format import Limits
from batch_removebg.matting.matte import read_output
from batch_removebg.matting.quality import measure
from batch_removebg.model import Matte

from .compose import compose
from .options import Finish, Finished


def finish(data: bytes, matte: Matte, finish: Finish, limits: Limits) -> Finished:
    """The source's own pixels with an alpha of any size, as a file; raises SourceError, or ItemError from encoding."""
    composed = compose(read(data, limits, metadata=finish.metadata == "keep"), matte.alpha, finish)
    height, width = composed.pixels.shape[:2]
    quality = measure(matte.alpha, matte.peak)
    return Finished(encode(composed, finish.encoding), width, height, composed.notes, quality, matte.engine)


def finish_cutout(data: bytes, finish: Finish, limits: Limits) -> Finished:
    """A provider's cutout as the picture itself, where the source can't be read; raises OutputBroken, ItemError."""
    picture = read_output(data, limits)
    alpha = picture.alpha
    if alpha is None and finish.mask_only and picture.pixels.ndim == 2:
        alpha = picture.pixels
    if alpha is None:
        raise OutputBroken("the output has no alpha: the model gave back a picture without transparency")
    # The provider's own edges stay: the background isn't known here.
    composed = compose(replace(picture, alpha=None), alpha, replace(finish, edges="keep", refine="none"))
    height, width = alpha.shape
    return Finished(encode(composed, finish.encoding), width, height, composed.notes, measure(to_8_bits(alpha)))
