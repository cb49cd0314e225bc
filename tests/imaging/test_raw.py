"""Cameras' raw files are developed where the extra is there, and named where it isn't, whatever they are called."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from batch_removebg.errors import SourceError
from batch_removebg.imaging.decode import proxy, read
from batch_removebg.imaging.format import Limits
from batch_removebg.imaging.probe import probe
from batch_removebg.model import ProxySpec
from tests.support.pictures import noise, opened, srgb_profile
from tests.support.tiffs import LONG, SHORT, Page, dng, tiff_of

LIMITS = Limits()
NEEDED = "raw files need the extra: pip install 'batch-removebg[raw]'"
ORANGE, WHITE, DARK = (30_000, 10_000, 3_000), (60_000, 60_000, 60_000), (500, 500, 500)


def scene() -> np.ndarray:
    """What a sensor sees: white at the top left, dark at the bottom right, orange elsewhere."""
    light = np.full((64, 96, 3), ORANGE, np.uint16)
    light[:32, :48], light[32:, 48:] = WHITE, DARK
    mosaic = np.empty((64, 96), np.uint16)
    for row, column, channel in ((0, 0, 0), (0, 1, 1), (1, 0, 1), (1, 1, 2)):
        mosaic[row::2, column::2] = light[row::2, column::2, channel]
    return mosaic


@pytest.mark.parametrize(
    "data",
    [
        dng(scene()),
        dng(scene(), order=">"),
        tiff_of(Page(noise(3, 4), {254: (LONG, [1])}, [Page(noise(6, 8), {259: (SHORT, [34713])})])),
        b"II*\0\x10\0\0\0CR\2\0" + bytes(100),
        b"FUJIFILMCCD-RAW 0201" + bytes(100),
        b"IIRO\x08\0\0\0" + bytes(100),
        b"IIU\0\x18\0\0\0" + bytes(100),
        b"\0\0\0\x18ftypcrx \0\0\0\1crx isom" + bytes(100),
    ],
    ids=["DNG", "DNG of the other order", "NEF", "CR2", "RAF", "ORF", "RW2", "CR3"],
)
def test_without_the_extra_a_raw_file_is_named_with_both_remedies(data: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rawpy", None)
    with pytest.raises(
        SourceError, match=r"^is a camera's raw file: develop it to TIFF or JPEG first, or pip install .*raw"
    ):
        probe(data, LIMITS)


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_a_raw_file_is_developed_to_srgb_of_16_bits_and_upright(orientation: int, order: str) -> None:
    pytest.importorskip("rawpy", reason=NEEDED)
    data = dng(scene(), orientation=orientation, order=order)
    picture = read(data, LIMITS, metadata=True)
    turns = {1: 0, 3: 2, 6: 3, 8: 1}[orientation]
    seen = np.rot90(picture.pixels, -turns).astype(int) >> 8
    assert seen.shape == (64, 96, 3)
    assert probe(data, LIMITS).upright == picture.pixels.shape[1::-1]
    assert (seen[10, 10].tolist(), picture.pixels.dtype) == ([255, 255, 255], np.uint16)
    # 1/2, 1/6 and 1/20 of white, and 1/120, by sRGB's curve.
    assert np.abs(seen[10, -10] - [188, 113, 63]).max() <= 2
    assert np.abs(seen[-10, -10] - 23).max() <= 2
    assert (picture.icc, picture.alpha, picture.notes) == (srgb_profile(), None, ())
    assert b"Camera of Somebody" in (picture.exif or b"")


def test_the_proxy_of_a_raw_file_shows_the_developed_picture() -> None:
    pytest.importorskip("rawpy", reason=NEEDED)
    small = proxy(dng(scene(), orientation=6), ProxySpec(longest=48, encoding="bmp"), LIMITS)
    assert (small.width, small.height) == (32, 48)
    assert np.asarray(opened(small.data))[5, -5].tolist() == [255, 255, 255]


def test_a_raw_file_that_libraw_cannot_read_is_refused() -> None:
    pytest.importorskip("rawpy", reason=NEEDED)
    with pytest.raises(
        SourceError, match=r"^is a camera's raw file that LibRaw can't read \(.+\): develop it to TIFF or JPEG first"
    ):
        read(b"FUJIFILMCCD-RAW 0201" + bytes(100), LIMITS)


def test_a_raw_file_beyond_the_limit_is_refused_before_it_is_developed() -> None:
    pytest.importorskip("rawpy", reason=NEEDED)
    with pytest.raises(SourceError, match="--max-pixels"):
        read(dng(scene()), Limits(max_pixels=6000))
