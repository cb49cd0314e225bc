"""What a header says is read where it stands, and nothing broken is passed on."""

from __future__ import annotations

import struct

import pytest

from batch_removebg.errors import SourceError
from batch_removebg.imaging.colour import srgb_profile
from batch_removebg.imaging.decode import read
from batch_removebg.imaging.format import Limits
from batch_removebg.imaging.probe import probe
from tests.support.pictures import encoded, noise

LIMITS = Limits()
PICTURE = noise(20, 30)
JFIF = encoded(PICTURE, "JPEG", dpi=(240, 240))
START, APP0, REST = JFIF[:2], JFIF[2:20], JFIF[20:]
COMMENT = b"\xff\xfe" + struct.pack(">H", 7) + b"hello"


@pytest.mark.parametrize(
    "data",
    [JFIF, START + COMMENT + APP0 + REST, START + b"\xff\xff" + APP0 + REST, START + COMMENT * 3 + APP0 + REST],
    ids=["first", "after a comment", "after fill bytes", "after comments"],
)
def test_a_jpegs_resolution_is_read_wherever_its_segment_stands(data: bytes) -> None:
    assert probe(data, LIMITS).dpi == (240.0, 240.0)


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_a_profile_of_which_a_part_is_missing_is_no_profile(kind: str) -> None:
    profile = srgb_profile()
    assert probe(encoded(PICTURE, kind, icc_profile=profile), LIMITS).icc == profile
    assert probe(encoded(PICTURE, kind, icc_profile=profile[:-50]), LIMITS).icc is None


def test_a_gif_whose_data_end_early_is_refused() -> None:
    data = encoded(PICTURE, "GIF")
    with pytest.raises(SourceError, match="damaged or cut short"):
        read(data[: len(data) // 2], LIMITS)


def test_what_is_wrong_with_one_picture_is_not_said_of_the_next() -> None:
    odd = JFIF[:-2] + b"extraneous bytes before the end" + JFIF[-2:]
    read(odd, LIMITS)
    with pytest.raises(SourceError) as error:
        read(encoded(PICTURE, "PNG")[:200], LIMITS)
    assert "Jpeg" not in str(error.value)
