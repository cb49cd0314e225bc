"""From a source's bytes to pixels; the front door to everything that reads pictures."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .alpha import Alpha, alpha_of, decode_alpha, encode_alpha, peak_of
from .colour import Pixels, to_srgb
from .header import Probe, cost, decoding, probe
from .layers import unpack
from .proxy import Proxy, proxy
from .spec import Limits

__all__ = [
    "Alpha",
    "Limits",
    "Picture",
    "Pixels",
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
    """A source, upright and at full size."""

    pixels: Pixels
    """H×W×3 RGB, or H×W grey; uint8; in the colours of `icc`, not premultiplied."""
    alpha: Alpha | None = None
    """H×W: the source's own transparency."""
    icc: bytes | None = None
    """The source's profile, byte for byte; sRGB's where the pixels had to be converted; None: taken for sRGB."""
    dpi: tuple[float, float] | None = None
    notes: tuple[str, ...] = ()
    """What did not survive, in words for people."""


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
        alpha = None if layers.alpha is None else np.asarray(layers.upright(layers.alpha))
        return Picture(np.asarray(layers.upright(base)), alpha, icc, layers.dpi, notes)
