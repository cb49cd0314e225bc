"""A picture as arrays: as it was read, and as it is to be written."""

from __future__ import annotations

from dataclasses import dataclass

from .arrays import Samples
from .metadata import Metadata


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


@dataclass(frozen=True, slots=True)
class Composed:
    """A finished picture, not yet encoded."""

    pixels: Samples
    """H×W grey, or H×W×C with C = 2 (grey, alpha), 3 (RGB) or 4 (RGBA); uint8 or uint16; straight alpha."""
    icc: bytes | None = None
    dpi: tuple[float, float] | None = None
    notes: tuple[str, ...] = ()
    metadata: Metadata | None = None
