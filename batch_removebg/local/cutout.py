"""From a picture's bytes to its matte or its cutout, all in this process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

from batch_removebg.errors import SourceError
from batch_removebg.model import ProxySpec
from batch_removebg.pixels import decode, finish
from batch_removebg.pixels.deep import to_8_bits
from batch_removebg.pixels.spec import Finish, Limits

from .jobs import Render, Rendered

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .engine import Network

PROXY = ProxySpec(square=320, encoding="bmp")
"""What the network looks at; lossless and next to free, since it does not travel."""


def matte(network: Network, proxy: bytes) -> bytes:
    """A picture's alpha with its peak and the engine, a grey PNG of the network's size; raises as `cutout` does."""
    with _about_the_image():
        found = network.matte(_rgb(proxy, Limits()))
        return decode.encode_alpha(found.alpha, decode.Told(found.peak, network.used))


def cutout(network: Network, limits: Limits) -> Render:
    """A render that gives an RGBA PNG of the picture's own upright size; it raises SourceError, PredictionFailed."""

    def render(data: bytes) -> Rendered:
        with _about_the_image():
            alpha = network.matte(_rgb(decode.proxy(data, PROXY, limits).data, limits)).alpha
            done = finish.finish(data, alpha, Finish(format="png"), limits)
        return Rendered(done.data, done.notes)

    return render


def _rgb(data: bytes, limits: Limits) -> NDArray[np.uint8]:
    pixels = to_8_bits(decode.read(data, limits).pixels)
    return pixels if pixels.ndim == 3 else np.repeat(pixels[..., None], 3, axis=2)


@contextmanager
def _about_the_image() -> Iterator[None]:
    """Give a SourceError of `pixels`, which is a predicate, its subject."""
    try:
        yield
    except SourceError as error:
        raise SourceError(f"the image {error}") from error
