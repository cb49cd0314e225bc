"""Makers of small pictures and colour profiles, for tests."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from batch_removebg.imaging import png_write, tiff
from batch_removebg.imaging.arrays import Picture
from batch_removebg.imaging.colour import srgb_profile

Array = npt.NDArray[np.uint8]


def encoded(picture: Image.Image | Array, format: str = "PNG", **options: Any) -> bytes:  # noqa: A002  # Pillow's word
    """The bytes of a file."""
    image = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def write_png(pixels: npt.NDArray[Any], effort: int, texts: dict[str, str] | None = None, **fields: Any) -> bytes:
    """A PNG of our own writer; `fields` are those of `Picture`."""
    return png_write.write(Picture(pixels, **fields), effort, texts)


def write_tiff(pixels: npt.NDArray[Any], effort: int, **fields: Any) -> bytes:
    """A TIFF of our own writer; `fields` are those of `Picture`."""
    return tiff.write(Picture(pixels, **fields), effort)


def opened(data: bytes) -> Image.Image:
    """A file read back by Pillow alone."""
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


def noise(height: int, width: int, channels: int = 3, seed: int = 0) -> Array:
    """Pixels that compress badly and that no two places share."""
    shape = (height, width, channels) if channels > 1 else (height, width)
    return np.random.default_rng(seed).integers(0, 256, shape).astype(np.uint8)


def ramp(height: int, width: int) -> Array:
    """An alpha that takes every value from 0 to 255, left to right."""
    return np.tile(np.linspace(0, 255, width).round().astype(np.uint8), (height, 1))


def exif(orientation: int) -> Image.Exif:
    """EXIF with an orientation, a camera and a place."""
    tags = Image.Exif()
    tags[0x0112] = orientation
    tags[0x010F] = "Camera of Somebody"
    tags.get_ifd(0x8825)[1] = "N"
    return tags


def chunk(kind: bytes, body: bytes) -> bytes:
    """A PNG chunk with its checksum."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(width: int, height: int, depth: int, colour_type: int, rows: bytes, *extra: bytes) -> bytes:
    """A PNG put together by hand: `rows` are the filtered scan lines, `extra` goes between IHDR and IDAT."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour_type, 0, 0, 0)
    body = chunk(b"IHDR", header) + b"".join(extra) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def deep_tiff(
    stored: npt.NDArray[np.uint16],
    options: str = "",
    orientation: int = 1,
    *,
    premultiplied: bool = False,
    interpretation: str = "",
    icc: bytes | None = None,
) -> bytes:
    """A TIFF of 16 bits a channel, H×W×C, written by libvips."""
    import pyvips

    height, width, bands = stored.shape
    image = pyvips.Image.new_from_memory(stored.tobytes(), width, height, bands, "ushort")
    image = image.copy(interpretation=interpretation or ("grey16" if bands < 3 else "rgb16"))
    image.set_type(pyvips.GValue.gint_type, "orientation", orientation)
    if icc is not None:
        image.set_type(pyvips.GValue.blob_type, "icc-profile-data", icc)
    written: bytes = image.write_to_buffer(f".tif[{options}{',' * bool(options)}premultiply={premultiplied}]")
    return written


def swapped_profile() -> bytes:
    """sRGB with red and green in each other's place: red pixels mean green light."""
    profile = srgb_profile()
    at = {name: profile.index(name, 128) for name in (b"rXYZ", b"gXYZ")}
    table = bytearray(profile)
    table[at[b"rXYZ"] : at[b"rXYZ"] + 4] = b"gXYZ"
    table[at[b"gXYZ"] : at[b"gXYZ"] + 4] = b"rXYZ"
    return bytes(table)


ADOBE_RGB = ((0.60974, 0.31111, 0.01947), (0.20528, 0.62567, 0.06087), (0.14919, 0.06322, 0.74457))
DISPLAY_P3 = ((0.51512, 0.24120, -0.00105), (0.29198, 0.69225, 0.04189), (0.15710, 0.06657, 0.78407))
SRGB = ((0.43607, 0.22249, 0.01392), (0.38515, 0.71687, 0.09708), (0.14307, 0.06061, 0.71410))
"""Red, green and blue in XYZ, adapted to D50 (Adobe RGB (1998), 4.3; Apple's Display P3; IEC 61966-2-1)."""


def matrix_profile(
    colorants: Sequence[Sequence[float]], gamma: float | None = None, curve: bytes | None = None
) -> bytes:
    """An RGB profile of three colorants with a curve (the tag's body), a gamma, or sRGB's curve."""
    if curve is not None:
        pass
    elif gamma is not None:
        curve = b"curv" + bytes(4) + struct.pack(">IH", 1, round(gamma * 256)) + bytes(2)
    else:
        steps = np.rint(srgb_to_light(np.linspace(0, 1, 1024)) * 65535).astype(">u2").tobytes()
        curve = b"curv" + bytes(4) + struct.pack(">I", 1024) + steps
    tags = dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve)
    for name, colorant in zip((b"rXYZ", b"gXYZ", b"bXYZ"), colorants, strict=True):
        tags[name] = b"XYZ " + bytes(4) + struct.pack(">3i", *(round(value * 65536) for value in colorant))
    return _icc(b"mntr", b"RGB ", b"XYZ ", tags)


def srgb_to_light(encoded_values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The transfer function of IEC 61966-2-1, 0–1 to 0–1."""
    v = np.asarray(encoded_values, float)
    return np.where(v <= 0.04045, v / 12.92, ((v + 0.055) / 1.055) ** 2.4)


def light_to_srgb(light: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Its inverse; what lies outside of sRGB is clipped."""
    v = np.clip(light, 0, 1)
    return np.where(v <= 0.0031308, v * 12.92, 1.055 * v ** (1 / 2.4) - 0.055)


def grey_profile(gamma: float = 1.0) -> bytes:
    """A grey profile with one curve: the default says that values are linear light."""
    curve = b"curv" + bytes(4) + struct.pack(">IH", 1, round(gamma * 256)) + bytes(2)
    return _icc(b"mntr", b"GRAY", b"XYZ ", {b"kTRC": curve})


def cmyk_profile() -> bytes:
    """A CMYK profile of a strange press: cyan ink prints pure green, all else goes by the black ink."""
    grid = []
    for node in range(16):
        cyan, black = node & 8, node & 1  # the first channel varies slowest
        grid += [round(0.877 * 255), 128 - 86, 128 + 83] if cyan and not black else [0 if black else 255, 128, 128]
    identity = bytes(range(256))
    unit = struct.pack(">9i", 65536, 0, 0, 0, 65536, 0, 0, 0, 65536)
    table = b"mft1" + bytes(4) + bytes([4, 3, 2, 0]) + unit + identity * 4 + bytes(grid) + identity * 3
    return _icc(b"prtr", b"CMYK", b"Lab ", {b"A2B0": table})


def _icc(kind: bytes, space: bytes, connection: bytes, tags: dict[bytes, bytes]) -> bytes:
    """An ICC profile of version 2 (ICC.1:2001-04)."""
    d50 = struct.pack(">3i", 63190, 65536, 54061)
    text = b"test\x00"
    tags = {
        b"desc": b"desc" + bytes(4) + struct.pack(">I", len(text)) + text + bytes(78),
        b"cprt": b"text" + bytes(4) + b"none\x00",
        b"wtpt": b"XYZ " + bytes(4) + d50,
        **tags,
    }
    directory, body = struct.pack(">I", len(tags)), b""
    for name, content in tags.items():
        content += bytes(-len(content) % 4)
        directory += name + struct.pack(">II", 132 + 12 * len(tags) + len(body), len(content))
        body += content
    head = b"lcms" + struct.pack(">I", 0x02400000) + kind + space + connection + bytes(12) + b"acsp" + bytes(28) + d50
    head += bytes(124 - len(head))
    return struct.pack(">I", 128 + len(directory + body)) + head + directory + body
