"""From a source's bytes to pixels; the front door to everything that reads pictures."""

from __future__ import annotations

from dataclasses import dataclass

from .alpha import Alpha, Told, alpha_of, decode_alpha, encode_alpha, told_of
from .arrays import as_array
from .colour import to_srgb
from .deep import Samples
from .header import Probe, cost, decoding, probe
from .layers import DeepLayers, unpack_whole
from .metadata import Metadata
from .proxy import Proxy, proxy
from .spec import Limits

__all__ = [
    "Alpha",
    "Limits",
    "Metadata",
    "Picture",
    "Probe",
    "Proxy",
    "Samples",
    "Told",
    "alpha_of",
    "cost",
    "decode_alpha",
    "encode_alpha",
    "probe",
    "proxy",
    "read",
    "told_of",
]


@dataclass(frozen=True, slots=True)
class Picture:
    """A source, upright and at full size."""

    pixels: Samples
    """H×W×3 RGB, or H×W grey; uint8 or uint16; in the colours of `icc`, not premultiplied."""
    alpha: Samples | None = None
    """H×W, as deep as the pixels: the source's own transparency."""
    icc: bytes | None = None
    """The source's profile, byte for byte; sRGB's where the pixels had to be converted; None: taken for sRGB."""
    dpi: tuple[float, float] | None = None
    notes: tuple[str, ...] = ()
    """What did not survive, in words for people."""
    metadata: Metadata | None = None
    """What is kept besides."""


def read(data: bytes, limits: Limits, *, metadata: bool = False) -> Picture:
    """The first frame of a picture in full, with its metadata where asked for.

    EXIF orientation applied; palettes, CMYK and CIELAB become RGB; 16 bits stay 16 in grey and RGB of PNG and TIFF.
    Raises SourceError if the picture is refused, damaged or cut short.
    """
    layers = unpack_whole(data, limits, metadata=metadata)
    with decoding():
        if isinstance(layers, DeepLayers):
            own = None if layers.alpha is None else layers.upright(layers.alpha)
            base, icc, dpi = layers.upright(layers.base), layers.icc, layers.dpi
            return Picture(base, own, icc, dpi, layers.notes, layers.metadata)
        image, icc, notes = layers.base, layers.icc, layers.notes
        if image.mode not in ("L", "RGB"):
            image, icc, more = to_srgb(image, icc)
            notes += more
        alpha = None if layers.alpha is None else as_array(layers.upright(layers.alpha))
        return Picture(as_array(layers.upright(image)), alpha, icc, layers.dpi, notes, layers.metadata)
