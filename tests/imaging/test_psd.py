"""Photoshop's files: the merged picture in colours, depths and with an alpha that Pillow does not know."""

from __future__ import annotations

import struct

import numpy as np
import pytest

from batch_removebg.errors import SourceError
from batch_removebg.imaging.decode import read
from batch_removebg.imaging.format import Limits
from batch_removebg.imaging.probe import probe
from tests.support.pictures import noise

LIMITS = Limits()
GREY, RGB, CMYK = 1, 3, 4
WITH_ALPHA = struct.pack(">Ih", 2, -1)  # fewer than no layers
MERGED = b"8BIM" + struct.pack(">HHIIB", 1057, 0, 5, 1, 1) + b"\0"


def psd(planes: np.ndarray, mode: int, *, layers: bytes = b"", resources: bytes = b"", packed: bool = False) -> bytes:
    channels, height, width = planes.shape
    head = b"8BPS" + struct.pack(">H6xHIIHH", 1, channels, height, width, 8 * planes.itemsize, mode)
    sections = b"".join(struct.pack(">I", len(section)) + section for section in (b"", resources, layers))
    stored = planes.astype(planes.dtype.newbyteorder(">"))
    if not packed:
        return head + sections + b"\0\0" + stored.tobytes()
    rows = [bytes([len(row) - 1]) + row for row in map(bytes, stored.reshape(channels * height, -1).view(np.uint8))]
    return head + sections + b"\0\1" + b"".join(struct.pack(">H", len(row)) for row in rows) + b"".join(rows)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("deep", [False, True])
@pytest.mark.parametrize(("mode", "colours"), [(GREY, 1), (RGB, 3)])
def test_grey_and_rgb_of_8_and_16_bits_come_back_exactly(mode: int, colours: int, deep: bool, packed: bool) -> None:
    stored = noise(6, 8, 8).reshape(6, 8, -1)[..., : colours + 1].astype(np.uint16 if deep else np.uint8)
    stored = stored * 257 if deep else stored
    planes = stored.transpose(2, 0, 1)
    picture = read(psd(planes[:colours], mode, packed=packed, resources=MERGED), LIMITS)
    assert np.array_equal(picture.pixels.reshape(6, 8, -1), stored[..., :colours])
    assert (picture.alpha, picture.notes) == (None, ())
    with_alpha = psd(planes, mode, layers=WITH_ALPHA, packed=packed)
    picture = read(with_alpha, LIMITS)
    assert np.array_equal(picture.pixels.reshape(6, 8, -1), stored[..., :colours])
    assert np.array_equal(picture.alpha, stored[..., colours])
    assert probe(with_alpha, LIMITS).deep == deep
    selected = read(psd(planes, mode, packed=packed), LIMITS)
    assert (selected.pixels.dtype, selected.alpha) == (stored.dtype, None)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("deep", [False, True])
def test_cmyk_with_alpha_is_read(deep: bool, packed: bool) -> None:
    planes = np.full((5, 6, 8), 255, np.uint8)  # no ink
    planes[0, :3] = 0
    planes[4] = 200
    picture = read(
        psd(planes.astype(np.uint16) * 257 if deep else planes, CMYK, layers=WITH_ALPHA, packed=packed), LIMITS
    )
    assert (picture.pixels[0, 0].tolist(), picture.pixels[5, 7].tolist()) == ([0, 255, 255], [255, 255, 255])
    assert np.unique(picture.alpha).tolist() == [200]
    assert ("16 bits a channel reduced to 8" in picture.notes) == deep


def test_a_psd_without_its_merged_picture_is_refused_with_the_remedy() -> None:
    unmerged = MERGED[:-2] + b"\0\0"
    with pytest.raises(SourceError, match=r"^is a PSD without its merged picture: save it with `Maximize compat"):
        probe(psd(noise(6, 8).transpose(2, 0, 1), RGB, resources=unmerged), LIMITS)


@pytest.mark.parametrize("packed", [False, True])
def test_a_psd_cut_short_is_refused(packed: bool) -> None:
    data = psd(noise(6, 8).transpose(2, 0, 1), RGB, packed=packed)
    with pytest.raises(SourceError, match="damaged or cut short"):
        read(data[:-9], LIMITS)


def test_what_is_no_kind_of_psd_that_can_be_read_is_named() -> None:
    with pytest.raises(SourceError, match=r"^is a PSD with pixels of a kind that can't be read here"):
        probe(psd(noise(6, 8).transpose(2, 0, 1).astype(np.float32), RGB), LIMITS)
    with pytest.raises(SourceError, match=r"^is a picture in PSB, which can't be read here: save it as PNG or TIFF"):
        probe(b"8BPS\0\2" + bytes(100), LIMITS)
