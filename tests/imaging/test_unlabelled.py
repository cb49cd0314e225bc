"""Colours that no profile tells are taken for sRGB, and where a picture says otherwise a note says so."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from PIL import Image

from batch_removebg.imaging.format import Limits
from batch_removebg.imaging.probe import probe
from tests.support.pictures import chunk, encoded, noise, png, swapped_profile

ROWS = bytes(3 * 4 + 1) * 3


def notes(data: bytes) -> tuple[str, ...]:
    return probe(data, Limits()).notes


def said(told: str) -> tuple[str, ...]:
    return (f"its colours are {told}, and no profile says so: taken for sRGB",)


def points(*red_and_green: int) -> bytes:
    """cHRM with sRGB's white and blue."""
    return chunk(b"cHRM", struct.pack(">8I", 31_270, 32_900, *red_and_green, 15_000, 6_000))


def test_an_avif_of_p3_by_its_box_alone_says_so() -> None:
    data = encoded(noise(16, 16), "AVIF")
    at = data.index(b"colrnclx") + 8
    assert notes(data) == ()
    assert notes(data[:at] + struct.pack(">H", 12) + data[at + 2 :]) == said("Display P3 by its nclx box")
    assert notes(data[: at + 2] + struct.pack(">H", 16) + data[at + 4 :]) == said("RGB in PQ by its nclx box")


@pytest.mark.parametrize(
    ("extra", "told"),
    [
        (chunk(b"cICP", bytes([12, 13, 0, 1])), "Display P3 by its cICP chunk"),
        (chunk(b"cICP", bytes([9, 16, 0, 1])), "BT.2020 in PQ by its cICP chunk"),
        (chunk(b"cICP", bytes([1, 18, 0, 1])), "RGB in HLG by its cICP chunk"),
        (points(64_000, 33_000, 21_000, 71_000), "of other primaries by its cHRM chunk"),
        (chunk(b"gAMA", struct.pack(">I", 100_000)), "of gamma 1 by its gAMA chunk"),
    ],
)
def test_a_png_whose_chunks_tell_other_colours_says_so(extra: bytes, told: str) -> None:
    assert notes(png(4, 3, 8, 2, ROWS, extra)) == said(told)


@pytest.mark.parametrize(
    "extra",
    [
        chunk(b"cICP", bytes([1, 13, 0, 1])),
        chunk(b"gAMA", struct.pack(">I", 45_455)),
        chunk(b"gAMA", struct.pack(">I", 100_000)) + chunk(b"sRGB", b"\0"),
        chunk(b"cICP", bytes([1, 13, 0, 1])) + chunk(b"gAMA", struct.pack(">I", 100_000)),
        points(64_000, 33_000, 30_000, 60_000),
        points(64_850, 33_090, 30_000, 60_000),  # as some programs round them
        points(64_000, 33_000, 21_000, 71_000) + chunk(b"sRGB", b"\0"),
        chunk(b"cICP", b""),
    ],
)
def test_a_png_whose_chunks_tell_srgb_or_nothing_says_nothing(extra: bytes) -> None:
    assert notes(png(4, 3, 8, 2, ROWS, extra)) == ()


def test_a_jpeg_of_adobe_rgb_by_exif_alone_says_so_and_one_with_a_profile_does_not() -> None:
    tags = Image.Exif()
    tags.get_ifd(0x8769).update({0xA001: 0xFFFF, 0xA005: {1: "R03"}})
    picture = np.zeros((8, 8, 3), np.uint8)
    assert notes(encoded(picture, "JPEG", exif=tags)) == said("Adobe RGB by its EXIF")
    assert notes(encoded(picture, "JPEG", exif=tags, icc_profile=swapped_profile())) == ()
