"""From a source's bytes to pixels; the front door to everything that reads pictures."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

from .alpha import Alpha, alpha_of, decode_alpha, encode_alpha, peak_of
from .colour import to_srgb
from .header import Probe, cost, decoding, probe
from .layers import unpack
from .proxy import Proxy, proxy
from .spec import Limits

__all__ = [
    "Alpha",
    "Limits",
    "Picture",
    "Probe",
    "Proxy",
    "alpha_of",
    "cost",
    "decode_alpha",
    "encode_alpha",
    "peak_of",
    "probe",
    "proxy",
    "read",
]


@dataclass(frozen=True, slots=True)
class Picture:
    """A source, upright and at full size, 8 bits a channel."""

    base: Image.Image
    """Mode RGB, or L for grey; in the colours of `icc`."""
    mask: Image.Image | None = None
    """Mode L: the source's own transparency; the base is not premultiplied by it."""
    icc: bytes | None = None
    """The source's profile, byte for byte; sRGB's where the pixels had to be converted; None: taken for sRGB."""
    dpi: tuple[float, float] | None = None
    notes: tuple[str, ...] = ()
    """What did not survive, in words for people."""

    @property
    def pixels(self) -> npt.NDArray[np.uint8]:
        """A copy of the pixels: H×W×3 RGB, or H×W grey."""
        return np.asarray(self.base)

    @property
    def alpha(self) -> Alpha | None:
        """A copy of the source's own transparency: H×W, or None."""
        return None if self.mask is None else np.asarray(self.mask)


def read(data: bytes, limits: Limits) -> Picture:
    """The first frame of a picture in full.

    EXIF orientation applied; palettes, CMYK and CIELAB become RGB; 16 bits become 8. Raises SourceError if the
    picture is refused, damaged or cut short.
    """
    layers = unpack(data, limits)
    base, icc, notes = layers.base, layers.icc, layers.notes
    with decoding():
        if base.mode not in ("L", "RGB"):
            base, icc, more = to_srgb(base, icc)
            notes += more
        mask = None if layers.alpha is None else layers.upright(layers.alpha)
        return Picture(layers.upright(base), mask, icc, layers.dpi, notes)
