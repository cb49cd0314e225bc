"""From a source's bytes to pixels; the front door to everything that reads pictures."""

from __future__ import annotations

from .arrays import as_array
from .colour import to_srgb
from .format import Limits
from .layers import DeepLayers, unpack_whole
from .picture import Picture
from .probe import decoding


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
