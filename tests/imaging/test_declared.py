"""What a file says of its depth, its profile and its colours is minded where its library doesn't hand it over."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from PIL import Image

from batch_removebg.imaging.declared import embedded_profile, stored_bits
from batch_removebg.imaging.decode import read
from batch_removebg.imaging.format import Limits
from batch_removebg.imaging.probe import probe
from tests.support.pictures import chunk, encoded, noise, png, swapped_profile

SIZ = b"\xff\x4f\xff\x51"
ROWS = bytes(3 * 4 + 1) * 3


def deep_avif(bits: int) -> bytes:
    """Written by libvips."""
    import pyvips

    stored = noise(32, 48).astype(np.uint16) * 257
    image = pyvips.Image.new_from_memory(stored.tobytes(), 48, 32, 3, "ushort").copy(interpretation="rgb16")
    written: bytes = image.write_to_buffer(".avif", bitdepth=bits)
    return written


def deep_jpeg2000(bits: int) -> bytes:
    """A codestream of 8 bits that says it had more."""
    data = bytearray(encoded(noise(32, 48), "JPEG2000"))
    first = data.index(SIZ) + 42
    for component in range(3):
        data[first + 3 * component] = bits - 1
    return bytes(data)


@pytest.mark.parametrize("bits", [10, 12])
def test_an_avif_of_more_than_eight_bits_says_so(bits: int) -> None:
    data = deep_avif(bits)
    note = f"{bits} bits a channel reduced to 8"
    assert note in probe(data, Limits()).notes
    assert note in read(data, Limits()).notes


def test_a_jpeg_2000_of_more_than_eight_bits_says_so() -> None:
    assert "12 bits a channel reduced to 8" in read(deep_jpeg2000(12), Limits()).notes


def test_a_ppm_of_more_than_eight_bits_says_so() -> None:
    data = b"P6 # by hand\n2 1\n# 10 bits\n1023\n" + bytes(12)
    assert read(data, Limits()).notes == ("10 bits a channel reduced to 8",)


@pytest.mark.parametrize("kind", ["AVIF", "JPEG2000", "JPEG", "PNG", "PPM"])
def test_eight_bits_are_no_cause_for_a_note(kind: str) -> None:
    assert probe(encoded(noise(32, 48), kind), Limits()).notes == ()


def test_grey_of_16_bits_stays_and_nothing_is_said() -> None:
    data = encoded(noise(9, 7, 2).view(np.uint16)[..., 0], "JPEG2000")
    assert stored_bits("JPEG2000", data) == 16
    assert read(data, Limits()).pixels.dtype == np.uint16
    assert probe(data, Limits()).notes == ()


@pytest.mark.parametrize("kind", ["AVIF", "HEIF", "JPEG2000", None])
def test_a_file_cut_short_anywhere_says_nothing_wrong(kind: str | None) -> None:
    for cut in range(0, 60, 7):
        for data in (b"pixi\0\0\0\0\x03\x0a\x0a\x0a", SIZ + bytes(36) + b"\0\x01" + b"\x0b\0\0"):
            assert stored_bits(kind, data[:cut]) in (8, 10, 12), cut


def box(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body) + 8) + kind + body


def jpeg_2000(method: int = 2) -> bytes:
    """With a profile in the place of the word for sRGB."""
    data = encoded(noise(8, 8), "JPEG2000")
    at = data.index(b"jp2h") - 4
    length = int.from_bytes(data[at : at + 4], "big")
    head = data[at + 8 : at + length]
    told = head.index(b"colr") - 4
    kept = head[:told] + head[told + int.from_bytes(head[told : told + 4], "big") :]
    return (
        data[:at] + box(b"jp2h", kept + box(b"colr", bytes([method, 0, 0]) + swapped_profile())) + data[at + length :]
    )


def bitmap(space: bytes = b"DEBM") -> bytes:
    """Of the fifth version, the profile behind the pixels."""
    rows = noise(4, 4).tobytes()
    profile = swapped_profile()
    header = struct.pack("<IiiHHIIiiII", 124, 4, 4, 1, 24, 0, len(rows), 0, 0, 0, 0)
    header += struct.pack("<4I4s48xIIII", 0, 0, 0, 0, space, 4, 124 + len(rows), len(profile), 0)
    return struct.pack("<2sIII", b"BM", 14 + 124 + len(rows) + len(profile), 0, 138) + header + rows + profile


@pytest.mark.parametrize("data", [jpeg_2000(), jpeg_2000(3), bitmap()], ids=["jp2", "jpx", "bmp"])
def test_a_profile_that_pillow_does_not_hand_over_is_kept(data: bytes) -> None:
    picture = read(data, Limits())
    assert (picture.icc, picture.notes) == (swapped_profile(), ())


@pytest.mark.parametrize(
    "data", [jpeg_2000(1), bitmap(b"KNIL"), encoded(noise(4, 4), "BMP")], ids=["jp2", "link", "v3"]
)
def test_what_is_no_profile_is_not_taken_for_one(data: bytes) -> None:
    assert read(data, Limits()).icc is None


@pytest.mark.parametrize(("kind", "whole"), [("JPEG2000", jpeg_2000()), ("BMP", bitmap())])
def test_a_file_cut_short_anywhere_has_a_whole_profile_or_none(kind: str, whole: bytes) -> None:
    for cut in np.linspace(0, len(whole), 200).astype(int):
        assert embedded_profile(kind, whole[:cut]) in (None, swapped_profile())


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
