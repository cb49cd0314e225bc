"""Photoshop's merged picture of 8 or 16 bits a channel, with its alpha, of which Pillow reads RGB's of 8 bits alone.

By Adobe's Photoshop File Formats Specification: behind the header lie the sections of the palette, of resources and of
layers, each after its length in four bytes, then the merged picture's planes.
"""

from __future__ import annotations

import numpy as np
from PIL import Image

from batch_removebg.errors import SourceError

from .arrays import to_8_bits
from .header import Stored, unknown_pixels

_COLOURS = {1: 1, 3: 3, 4: 4, 8: 1}  # channels of colour by mode: grey, RGB, CMYK, and duotone as grey
_CMYK, _PACKBITS = 4, 1
_VERSION = b"8BIM\x04\x21\0\0"  # resource 1057 without a name: its length and version follow, and whether it is merged
_WITH_ALPHA = b"8BIMMtrn", b"8BIMMt16"


def _number(data: bytes, at: int, size: int = 2) -> int:
    return int.from_bytes(data[at : at + size], "big")


def for_pillow(data: bytes) -> bytes:
    """The file as Pillow opens it, or as one that it opens where `stored` reads it; raises SourceError."""
    version = data.find(_VERSION, 26, 1 << 20)
    if version > 0 and data[version + 16 : version + 17] == b"\0":
        raise SourceError("is a PSD without its merged picture: save it with `Maximize compatibility`, or as PNG")
    colours = _COLOURS.get(_number(data, 24))
    if not colours or _number(data, 22) not in (8, 16):
        return data
    return data[:12] + colours.to_bytes(2, "big") + data[14:22] + b"\0\x08" + data[24:]


def stored(data: bytes, width: int, height: int) -> Stored | None:
    """The pixels, decoded; None where Pillow reads them."""
    channels, depth, mode = (_number(data, at) for at in (12, 22, 24))
    colours = _COLOURS.get(mode)
    if not colours or depth not in (8, 16):
        return None
    layers = at = 26
    for _ in range(3):
        layers, at = at, at + 4 + _number(data, at, 4)
    packing, start, deep = _number(data, at), at + 2, depth // 8
    # Fewer than no layers: the first channel behind the colours is alpha, and else what somebody has once selected.
    alpha = channels > colours and (
        (at > layers + 8 and data[layers + 8] >> 7 > 0) or any(data.find(m, layers, at) > 0 for m in _WITH_ALPHA)
    )
    taken = colours + alpha
    if packing == _PACKBITS:
        packed = data[start + 2 * channels * height :]
        plain = Image.frombytes("L", (width * deep, height * taken), packed, "packbits", "L").tobytes()
    elif packing:
        raise unknown_pixels("PSD")
    else:
        plain = data[start : start + taken * height * width * deep]
    values = np.moveaxis(np.frombuffer(plain, f">u{deep}").reshape(taken, height, width), 0, 2)
    pixels = values.astype(values.dtype.newbyteorder("="))
    if mode != _CMYK:
        return Stored(pixels[..., 0] if taken == 1 else pixels, alpha)
    pixels = to_8_bits(pixels)
    pixels[..., :colours] ^= 255  # paper is white
    return Stored(pixels, alpha, ("16 bits a channel reduced to 8",) * (deep - 1))
