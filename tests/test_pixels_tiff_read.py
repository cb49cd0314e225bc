"""What TIFF says in tags that Pillow minds in part."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, TiffImagePlugin

from batch_removebg.pixels.decode import read
from batch_removebg.pixels.spec import Limits
from tests.pictures import encoded, noise

WHITE_IS_ZERO = 0


def tiff(pixels: np.ndarray, **tags: object) -> bytes:
    directory = TiffImagePlugin.ImageFileDirectory_v2()
    for name, value in tags.items():
        directory[int(name[1:])] = value
    return encoded(Image.fromarray(pixels), "TIFF", tiffinfo=directory)


def white_is_zero(data: bytes) -> bytes:
    """The same samples under the other PhotometricInterpretation (tag 262, SHORT, one value)."""
    entry = b"\x06\x01\x03\x00\x01\x00\x00\x00\x01"
    assert data.count(entry) == 1
    return data.replace(entry, entry[:-1] + b"\x00")


def test_where_white_is_zero_16_bits_are_turned_round_as_8_bits_are() -> None:
    deep = noise(6, 5, 2).view(np.uint16)[..., 0]
    assert np.array_equal(read(white_is_zero(tiff(deep)), Limits()).pixels, 65535 - deep)
    shallow = noise(6, 5, 1)
    assert np.array_equal(read(white_is_zero(tiff(shallow)), Limits()).pixels, 255 - shallow)


def test_a_tiff_without_a_resolution_has_none() -> None:
    assert read(tiff(noise(6, 5)), Limits()).dpi is None


@pytest.mark.parametrize("orientation", [1, 5, 6, 7, 8])
@pytest.mark.parametrize("deep", [False, True])
def test_an_uneven_resolution_is_turned_with_the_picture(orientation: int, deep: bool) -> None:
    pixels = noise(6, 5, 2).view(np.uint16)[..., 0] if deep else noise(6, 5)
    data = tiff(pixels, t274=orientation, t282=300.0, t283=150.0, t296=2)
    assert read(data, Limits()).dpi == ((300, 150) if orientation == 1 else (150, 300))


@pytest.mark.parametrize("kind", ["WEBP", "AVIF"])
def test_a_resolution_that_exif_alone_tells_counts(kind: str) -> None:
    tags = Image.Exif()
    tags[282], tags[283], tags[296] = 100.0, 50.0, 3  # by the centimetre
    assert read(encoded(noise(16, 16), kind, exif=tags.tobytes()), Limits()).dpi == (254, 127)
