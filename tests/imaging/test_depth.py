"""What is stored deeper than it is handed over is told."""

from __future__ import annotations

import numpy as np
import pytest

from batch_removebg.imaging.decode import read
from batch_removebg.imaging.depth import stored_bits
from batch_removebg.imaging.format import Limits
from batch_removebg.imaging.probe import probe
from tests.support.pictures import encoded, noise

SIZ = b"\xff\x4f\xff\x51"


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


@pytest.mark.parametrize("cut", range(0, 60, 7))
@pytest.mark.parametrize("kind", ["AVIF", "HEIF", "JPEG2000", None])
def test_a_file_cut_short_anywhere_says_nothing_wrong(kind: str | None, cut: int) -> None:
    for data in (b"pixi\0\0\0\0\x03\x0a\x0a\x0a", SIZ + bytes(36) + b"\0\x01" + b"\x0b\0\0"):
        assert stored_bits(kind, data[:cut]) in (8, 10, 12)
