"""From a picture's bytes to its matte or its cutout."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

import numpy as np

from batch_removebg.errors import SourceError
from batch_removebg.finish.finish import compose, finish
from batch_removebg.finish.options import Finish, Finished
from batch_removebg.imaging.arrays import to_8_bits
from batch_removebg.imaging.decode import proxy as make_proxy
from batch_removebg.imaging.decode import read
from batch_removebg.imaging.format import Limits
from batch_removebg.imaging.pil import Image, image_of
from batch_removebg.model import Matte, ProxySpec

from .network import Network

PROXY = ProxySpec(square=320, encoding="bmp")  # for the network: lossless and cheap to encode, since it isn't sent

CUTOUT = Finish(format="png")

Render = Callable[[bytes], Awaitable[Finished]]  # what makes a cutout; may raise a BatchError


def matte(network: Network, proxy: bytes) -> Matte:
    """A picture's matte, at the network's size; raises as `cutout` does."""
    with naming_the_image():
        pixels = to_8_bits(read(proxy, Limits()).pixels)
        return network.matte(pixels if pixels.ndim == 3 else np.repeat(pixels[..., None], 3, axis=2))


def cutout(network: Network, limits: Limits, data: bytes) -> Finished:
    """An RGBA PNG of the picture, upright and at its own size; raises SourceError, PredictionFailed."""
    with naming_the_image():
        found = matte(network, make_proxy(data, PROXY, limits).data)
        return finish(data, found, CUTOUT, limits)


def cut(network: Network, data: bytes, wanted: Finish, limits: Limits) -> Image:
    """The same as a PIL image of 8 bits a channel, as `wanted`, its profile beside it."""
    with naming_the_image():
        found = matte(network, make_proxy(data, PROXY, limits).data)
        made = compose(read(data, limits), found.alpha, wanted)
    return image_of(made)


@contextmanager
def naming_the_image() -> Iterator[None]:
    """Complete the text of a SourceError about pixels ("is empty") to a sentence."""
    try:
        yield
    except SourceError as error:
        raise SourceError(f"the image {error}") from error
