"""A picture as arrays: as it was read, and as it is to be written."""

from __future__ import annotations

from dataclasses import dataclass

from .arrays import Samples


@dataclass(frozen=True, slots=True)
class Picture:
    """A source, upright and at full size; or a finished picture, not yet encoded."""

    pixels: Samples
    """H×W×3 RGB, or H×W grey; uint8 or uint16; in the colours of `icc`, not premultiplied.

    Finished, it may have its alpha as a last channel: H×W×2 or H×W×4.
    """
    alpha: Samples | None = None
    """H×W, as deep as the pixels: the source's own transparency."""
    icc: bytes | None = None
    """The source's profile, byte for byte; sRGB's where the pixels had to be converted; None: taken for sRGB."""
    dpi: tuple[float, float] | None = None
    notes: tuple[str, ...] = ()
    """What did not survive, in words for people."""
    exif: bytes | None = None
    """What is kept of it: TIFF header and directories, without the prefix that JPEG has."""
    xmp: bytes | None = None
    """What is kept of it: a packet in UTF-8."""
