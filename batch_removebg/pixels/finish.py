"""From the source's bytes, or a provider's cutout, to the finished file."""

from __future__ import annotations

from dataclasses import replace

from batch_removebg.errors import OutputBroken

from .alpha import Alpha, Told, as_output
from .compose import compose
from .decode import read
from .deep import to_8_bits
from .encode import encode
from .png import as_it_is
from .quality import measure
from .spec import Finish, Finished, Limits


def finish(data: bytes, alpha: Alpha, finish: Finish, limits: Limits, *, told: Told | None = None) -> Finished:
    """The source's own pixels with an alpha (H×W, any size), as a file of the source's upright size.

    `told`: what is known of the alpha. Raises SourceError if the source can't be read, ItemError if the format can't
    hold it.
    """
    told = told or Told()
    composed = compose(read(data, limits, metadata=finish.metadata == "keep"), alpha, finish)
    height, width = composed.pixels.shape[:2]
    return Finished(encode(composed, finish), width, height, composed.notes, measure(alpha, told.peak), told.engine)


def finish_cutout(data: bytes, finish: Finish, limits: Limits) -> Finished:
    """A provider's cutout as the picture itself, where the source's pixels are not at hand.

    A PNG that is to be a plain PNG stays byte for byte. Raises OutputBroken if it can't be read or has no alpha
    (a grey mask will do for mask only), ItemError if the format can't hold it.
    """
    untouched = as_it_is(data, finish, limits)
    if untouched is not None:
        return untouched
    with as_output():
        picture = read(data, limits)
    alpha = picture.alpha
    if alpha is None and finish.mask_only and picture.pixels.ndim == 2:
        alpha = picture.pixels
    if alpha is None:
        raise OutputBroken("the output has no alpha: the model gave back a picture without transparency")
    # Its edges are the provider's own: what the background was is not known here.
    composed = compose(replace(picture, alpha=None), alpha, replace(finish, edges="keep", refine="none"))
    height, width = alpha.shape
    return Finished(encode(composed, finish), width, height, composed.notes, measure(to_8_bits(alpha)))
