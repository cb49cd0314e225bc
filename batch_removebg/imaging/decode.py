"""From a source's bytes to pixels."""

from __future__ import annotations

import numpy as np

from .arrays import Picture, split, upright
from .colour import convert, fit_profile, mode_of
from .format import Limits
from .header import decoding
from .metadata import collect
from .probe import probe, unpack
from .vips import as_array


def read(data: bytes, limits: Limits, *, metadata: bool = False) -> Picture:
    """The first frame of a picture, upright, in grey or RGB of 8 or 16 bits; raises SourceError if it can't be read."""
    header = probe(data, limits)
    with decoding():
        stored = unpack(header)
        pixels, alpha = upright(as_array(stored.pixels), header.orientation), None
        if stored.alpha:
            pixels, alpha = split(pixels, pixels.shape[2] - 1)
        icc, as_rgb, more = fit_profile(mode_of(pixels), header.icc)
        notes = header.notes + stored.notes + more
        if as_rgb:
            pixels = np.repeat(pixels[..., None], 3, axis=2)
        elif mode_of(pixels) == "CMYK":
            pixels, icc, more = convert(pixels, icc)
            notes += more
        exif, xmp, unkept = collect(header) if metadata else (None, None, ())
        return Picture(pixels, alpha, icc, header.dpi, notes + unkept, exif, xmp)
