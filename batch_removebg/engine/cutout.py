"""From a picture's bytes to its matte or its cutout, all in this process."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from batch_removebg.errors import SourceError
from batch_removebg.finish import finish
from batch_removebg.finish.options import Finish
from batch_removebg.imaging import decode
from batch_removebg.imaging.arrays import to_8_bits
from batch_removebg.imaging.format import Limits
from batch_removebg.imaging.proxy import proxy as make_proxy
from batch_removebg.model import Matte, ProxySpec

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .network import Network

PROXY = ProxySpec(square=320, encoding="bmp")
"""What the network looks at; lossless and next to free, since it does not travel."""


def matte(network: Network, proxy: bytes) -> Matte:
    """A picture's matte, of the network's size; raises as `cutout` does."""
    with _about_the_image():
        return network.matte(_rgb(proxy, Limits()))


def cutout(network: Network, limits: Limits) -> Render:
    """A render that gives an RGBA PNG of the picture's own upright size; it raises SourceError, PredictionFailed."""

    def render(data: bytes) -> Rendered:
        with _about_the_image():
            seen = matte(network, make_proxy(data, PROXY, limits).data)
            done = finish.finish(data, seen, Finish(format="png"), limits)
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


@dataclass(frozen=True, slots=True)
class Rendered:
    """What a render makes of an input."""

    data: bytes
    notes: tuple[str, ...] = ()
    """What people should know about it; goes to the job's logs."""


Render = Callable[[bytes], Rendered]
"""Runs in a worker thread; may raise a BatchError, which fails the job."""
