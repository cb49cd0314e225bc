"""TIFF files of our own, read back by Pillow and by libvips."""

from __future__ import annotations

import numpy as np
import pytest
import pyvips
from PIL import Image

from batch_removebg.imaging import tiff
from tests.support.pictures import exif, noise, opened, swapped_profile, write_tiff


def by_vips(data: bytes) -> np.ndarray:
    values = pyvips.Image.tiffload_buffer(data, fail_on="warning").numpy()
    return values[..., None] if values.ndim == 2 else values


@pytest.mark.parametrize("effort", [0, 2, 3, 9])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("depth", [8, 16])
def test_pixels_come_back_exactly(effort, channels, depth, monkeypatch):
    monkeypatch.setattr(tiff, "_STRIP", 700)
    pixels = noise(40, 31, channels * depth // 8).reshape(40, 31, -1).view(f"u{depth // 8}")
    data = write_tiff(pixels[..., 0] if channels == 1 else pixels, effort=effort)
    assert np.array_equal(by_vips(data), pixels)
    if depth == 8:
        image = opened(data)
        assert image.mode == {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}[channels]
        assert np.array_equal(np.asarray(image).reshape(pixels.shape), pixels)


@pytest.mark.parametrize("shape", [(1, 1), (1, 1, 4), (1, 5000, 3), (5000, 1, 4)])
def test_extreme_shapes(shape):
    pixels = np.arange(np.prod(shape)).astype(np.uint8).reshape(shape)
    assert np.array_equal(np.asarray(opened(write_tiff(pixels, effort=2))), pixels)


def test_profile_resolution_tags_and_packet_come_back():
    tags = exif(1)
    tags.get_ifd(0x8769)[0x829A] = 0.5
    data = write_tiff(
        noise(2, 2), effort=2, icc=swapped_profile(), dpi=(300, 72.5), exif=tags.tobytes()[6:], xmp=b"<x/>"
    )
    image = opened(data)
    assert image.info["icc_profile"] == swapped_profile()
    assert image.info["dpi"] == (300, 72.5)
    assert image.getexif()[0x010F] == "Camera of Somebody"
    assert image.getexif().get_ifd(0x8769)[0x829A] == 0.5
    assert image.info["xmp"] == b"<x/>"


def test_deflate_with_a_predictor_is_smaller_than_without():
    y, x = np.mgrid[0:200, 0:200]
    smooth = np.dstack([x + y, x, y]).astype(np.uint8)
    data = write_tiff(smooth, effort=2)
    assert isinstance(opened(data), Image.Image)
    assert len(data) < smooth.nbytes / 20
