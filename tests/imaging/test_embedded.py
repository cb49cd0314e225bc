"""Profiles that lie in a file are followed in every format that can hold one."""

from __future__ import annotations

import struct

import numpy as np
import pytest

from batch_removebg.imaging.decode import read
from batch_removebg.imaging.embedded import embedded_profile
from batch_removebg.imaging.format import Limits
from tests.support.pictures import encoded, noise, swapped_profile


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
