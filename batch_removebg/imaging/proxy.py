"""The proxy: a small picture that goes to the provider in the photo's stead."""

from __future__ import annotations

import io
from dataclasses import dataclass

from PIL import Image

from batch_removebg.errors import SettingsError
from batch_removebg.model import ProxySpec

from .colour import to_srgb
from .format import Limits
from .lanczos import lanczos
from .layers import Layers, unpack
from .probe import open_image

_CONTENT_TYPES = {"jpeg": "image/jpeg", "bmp": "image/bmp"}
_LEAST = 1.5
"""Times the target that a JPEG is decoded at least: 1/2, 1/4 or 1/8 of it is several times faster than all of it."""


@dataclass(frozen=True, slots=True)
class Proxy:
    """An encoded picture: upright, sRGB without a profile, 8 bits a channel, opaque, without metadata."""

    data: bytes
    content_type: str
    width: int
    height: int
    notes: tuple[str, ...] = ()


def proxy(data: bytes, spec: ProxySpec, limits: Limits) -> Proxy:
    """The photo as `spec` wants it, never enlarged (unless to a square); what is transparent becomes white.

    Raises SourceError if the photo is refused or damaged, SettingsError for an encoding it can't have.
    """
    if spec.encoding not in _CONTENT_TYPES:
        raise SettingsError(f"unknown proxy encoding {spec.encoding!r}: choose jpeg or bmp")
    width, height = _size(open_image(data, limits).size, spec)
    layers = unpack(data, limits, at_least=(round(_LEAST * width), round(_LEAST * height)))
    small, notes = _shrink(layers, (width, height))
    small.info = {}  # comments and profiles must not travel
    buffer = io.BytesIO()
    if spec.encoding == "jpeg":
        small.save(buffer, "JPEG", quality=spec.quality, subsampling="4:4:4")
    else:
        small.save(buffer, "BMP")
    return Proxy(buffer.getvalue(), _CONTENT_TYPES[spec.encoding], *small.size, layers.notes + notes)


def _size(stored: tuple[int, int], spec: ProxySpec) -> tuple[int, int]:
    """The proxy's size before it is turned upright, which is the same rule in both directions."""
    if spec.square is not None:
        return spec.square, spec.square
    scale = min(1.0, spec.longest / max(stored))
    width, height = (max(1, round(side * scale)) for side in stored)
    return width, height


def _shrink(layers: Layers, size: tuple[int, int]) -> tuple[Image.Image, tuple[str, ...]]:
    base = layers.base
    if layers.alpha is not None:
        base = Image.new(base.mode, base.size, "white")  # white in every RGB and grey profile
        base.paste(layers.base, mask=layers.alpha)
    small, _, notes = to_srgb(lanczos(base, size), layers.icc)
    return layers.upright(small), notes
