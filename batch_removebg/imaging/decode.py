"""From a source's bytes to pixels: all of them, or the proxy that goes to the provider in their stead."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import Any

import numpy as np
from PIL import Image

from batch_removebg.model import ProxySpec

from .arrays import Picture, Samples, split, to_8_bits, upright
from .colour import convert, fit_profile, mode_of
from .format import Limits
from .header import Header, Stored, decoding
from .metadata import collect
from .png_write import write
from .probe import probe, unpack
from .vips import as_array, as_image

Sizing = Callable[[tuple[int, int]], tuple[int, int]]
_CONTENT_TYPES = {"jpeg": "image/jpeg", "bmp": "image/bmp"}
_HOLLOW = "its alpha is 0 everywhere, a tool's mistake: taken for opaque"
_LEAST = 1.5  # times the target that a JPEG is decoded at least: 1/2, 1/4 or 1/8 is several times faster than all
_GAP = 3  # times the wanted size that averaged boxes of pixels leave for the filter; the difference can't be seen


def read(data: bytes, limits: Limits, *, metadata: bool = False, hollow: bool = False) -> Picture:
    """The first frame of a picture, upright, in grey or RGB of 8 or 16 bits; raises SourceError if it can't be read.

    An alpha that is 0 everywhere is left out as a tool's mistake, unless the picture may be `hollow`.
    """
    header = probe(data, limits)
    with decoding():
        stored = unpack(header)
        pixels, alpha = upright(as_array(stored.pixels), header.orientation), None
        notes = header.notes + stored.notes
        if stored.alpha:
            pixels, alpha = split(pixels, pixels.shape[2] - 1)
            if not (hollow or alpha.any()):
                alpha, notes = None, (*notes, _HOLLOW)
        icc, as_rgb, more = fit_profile(mode_of(pixels), header.icc)
        notes += more
        if as_rgb:
            pixels = np.repeat(pixels[..., None], 3, axis=2)
        elif mode_of(pixels) == "CMYK":
            pixels, icc, more = convert(pixels, icc)
            notes += more
        exif, xmp, unkept = collect(header) if metadata else (None, None, ())
        return Picture(pixels, alpha, icc, header.dpi, notes + unkept, exif, xmp)


@dataclass(frozen=True, slots=True)
class Proxy:
    """An encoded picture: upright, sRGB without a profile, 8 bits a channel, opaque, without metadata."""

    data: bytes
    content_type: str
    width: int
    height: int
    notes: tuple[str, ...] = ()


def proxy(data: bytes, spec: ProxySpec, limits: Limits) -> Proxy:
    """The photo as `spec` wants it, on white, enlarged to a square at most; raises SourceError.

    Where `spec` asks for more than one picture, `apart` gives each.
    """
    header = probe(data, limits)
    specs = [spec, *(replace(spec, square=side) for side in spec.more)]
    specs += [replace(spec, square=None, longest=spec.zoom)] if spec.zoom else []
    unpacked = cache(lambda shrink: _kept(unpack(header, shrink)) if specs[1:] else unpack(header, shrink))
    made = [_reduced(data, header, unpacked, partial(_size, each), limits) for each in specs]
    pixels, notes = made[0]
    height, width = pixels.shape[:2]
    encoded = b"".join(_encoded(pixels, spec) for pixels, _ in made)
    return Proxy(encoded, _CONTENT_TYPES[spec.encoding], width, height, notes)


def apart(data: bytes) -> list[bytes]:
    """The pictures of a proxy: BMPs say how long they are, and another one is alone."""
    end = int.from_bytes(data[2:6], "little")
    return [data[:end], *apart(data[end:])] if data[:2] == b"BM" and 0 < end < len(data) else [data]


def reduced(data: bytes, size_of: Sizing, limits: Limits) -> tuple[Samples, tuple[str, ...]]:
    """A picture upright at another size, on white, in sRGB of 8 bits (H×W×3), and notes; raises SourceError.

    `size_of` gets the width and height as people see them, and gives the wanted ones.
    """
    header = probe(data, limits)
    return _reduced(data, header, partial(unpack, header), size_of, limits)


def _kept(stored: Stored) -> Stored:
    """The same, decoded now: libvips would decode it once only."""
    pixels = stored.pixels
    return stored if isinstance(pixels, np.ndarray) else replace(stored, pixels=pixels.copy_memory())


def _reduced(
    data: bytes, header: Header, unpacked: Callable[[int], Stored], size_of: Sizing, limits: Limits
) -> tuple[Samples, tuple[str, ...]]:
    wanted = size_of(header.upright)
    size = wanted if header.upright == header.size else wanted[::-1]
    with decoding():
        spare = min(stored / wanted for stored, wanted in zip(header.size, size, strict=True)) / _LEAST
        shrink = next((factor for factor in (8, 4, 2) if factor <= spare and header.format == "JPEG"), 1)
        stored = unpacked(shrink)
        image = as_image(stored.pixels)
        if stored.alpha:  # white in every RGB and grey profile, and no ink
            white = 255 if image.format == "uchar" else 65535
            image = image.flatten(background=[white * (image.bands < 5)] * (image.bands - 1), max_alpha=white)
        small = lanczos(image, size)
        if stored.alpha and small.min() == small.max() and (whole := read(data, limits)).alpha is None:
            return reduced(write(whole, 0), size_of, limits)[0], whole.notes
        icc, _, more = fit_profile(mode_of(small), header.icc)
        rgb, _, notes = convert(small, icc)
        return upright(rgb, header.orientation), header.notes + stored.notes + more + notes


def _size(spec: ProxySpec, own: tuple[int, int]) -> tuple[int, int]:
    if spec.square is not None:
        return spec.square, spec.square
    scale = min(1.0, spec.longest / max(own))
    width, height = (max(1, round(side * scale)) for side in own)
    return width, height


def lanczos(pixels: Any, size: tuple[int, int]) -> Samples:
    """A libvips picture or an array (grey, RGB or CMYK, 8 or 16 bits) at exactly that width and height, in 8 bits."""
    image = as_image(pixels)
    if (image.width, image.height) == size:
        return to_8_bits(as_array(pixels))
    if image.width < size[0] or image.height < size[1]:  # libvips would enlarge by another filter
        small = np.ascontiguousarray(to_8_bits(as_array(pixels)))
        stored = Image.frombuffer(mode_of(small), (image.width, image.height), small)
        return np.asarray(stored.resize(size, Image.Resampling.LANCZOS))
    across, down = size[0] / image.width, size[1] / image.height
    return to_8_bits(as_array(image.resize(across, vscale=down, kernel="lanczos3", gap=_GAP)))


def _encoded(pixels: Samples, spec: ProxySpec) -> bytes:
    if spec.encoding == "jpeg":
        return bytes(as_image(pixels).jpegsave_buffer(Q=spec.quality, subsample_mode="off", keep="none"))
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "BMP")
    return buffer.getvalue()
