"""PNGs with much beside their pixels, or with something wrong there."""

from __future__ import annotations

import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from batch_removebg.errors import SourceError
from batch_removebg.imaging import decode
from batch_removebg.imaging.format import Limits
from batch_removebg.imaging.probe import probe
from tests.support.pictures import chunk, encoded, exif, noise, swapped_profile

PHOTO = noise(9, 11)
PLAIN = encoded(PHOTO)
SIDE = {
    b"tEXt": b"a\0b",
    b"zTXt": b"a\0\0" + zlib.compress(b"x"),
    b"pHYs": struct.pack(">IIB", 11811, 11811, 1),
    b"iCCP": b"p\0\0" + zlib.compress(swapped_profile()),
    b"eXIf": exif(6).tobytes()[6:],
    b"gAMA": struct.pack(">I", 100_000),
    b"prVt": b"x",
}


def read(data: bytes) -> decode.Picture:
    return decode.read(data, Limits())


def with_chunks(*chunks: bytes, behind: bool = False) -> bytes:
    at = len(PLAIN) - 12 if behind else 33
    return PLAIN[:at] + b"".join(chunks) + PLAIN[at:]


def broken(whole: bytes) -> bytes:
    return whole[:-1] + bytes([whole[-1] ^ 1])


@pytest.mark.parametrize("behind", [False, True])
@pytest.mark.parametrize("kind", SIDE)
def test_a_chunk_beside_the_pixels_whose_checksum_is_wrong_is_left_out_and_noted(kind: bytes, behind: bool) -> None:
    picture = read(with_chunks(broken(chunk(kind, SIDE[kind])), behind=behind))
    assert np.array_equal(picture.pixels, PHOTO)
    assert (picture.icc, picture.dpi) == (None, None)
    assert picture.notes == (f"left out, since a checksum is wrong: {kind.decode()}",)


def test_several_broken_chunks_are_named_once_each_and_sound_ones_stay() -> None:
    text = broken(chunk(b"tEXt", SIDE[b"tEXt"]))
    picture = read(with_chunks(text, chunk(b"pHYs", SIDE[b"pHYs"]), text, broken(chunk(b"prVt", b"x"))))
    assert picture.notes == ("left out, since a checksum is wrong: tEXt, prVt",)
    assert picture.dpi is not None


def test_a_palettes_transparency_whose_checksum_is_wrong_is_left_out_and_noted() -> None:
    data = encoded(Image.fromarray(PHOTO).quantize(8), transparency=3)
    at = data.index(b"tRNS") + 4 + struct.unpack(">I", data[data.index(b"tRNS") - 4 :][:4])[0]
    picture = read(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
    assert (picture.alpha, picture.notes) == (None, ("left out, since a checksum is wrong: tRNS",))


@pytest.mark.parametrize("kind", [b"IHDR", b"PLTE", b"IDAT"])
def test_a_wrong_checksum_of_a_critical_chunk_refuses(kind: bytes) -> None:
    data = bytearray(encoded(Image.fromarray(PHOTO).quantize(8)))
    at = data.index(kind)
    data[at + 4 + struct.unpack(">I", data[at - 4 : at])[0]] ^= 1
    with pytest.raises(SourceError, match="damaged or cut short"):
        read(bytes(data))


@pytest.mark.parametrize(
    "data",
    [
        with_chunks(chunk(b"tEXt", b"a\0" + b"x" * (20 << 20))),
        with_chunks(chunk(b"tEXt", b"a\0hello") * 3000),
        with_chunks(chunk(b"zTXt", b"a\0\0" + zlib.compress(b"x" * (3 << 20))) * 3),
        with_chunks(chunk(b"prVt", bytes(9 << 20))),
        with_chunks(chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0<x/>" + b" " * (9 << 20))),
    ],
    ids=["long", "many", "packed", "private", "packet"],
)
def test_much_text_does_no_harm(data: bytes) -> None:
    picture = read(data)
    assert np.array_equal(picture.pixels, PHOTO)
    assert picture.notes == ()


def test_a_profile_of_some_megabytes_is_kept_and_one_beyond_all_measure_is_left_out_with_a_note() -> None:
    def data(extra: int) -> tuple[bytes, bytes]:
        profile = bytearray(swapped_profile() + bytes(extra))
        struct.pack_into(">I", profile, 0, len(profile))
        return bytes(profile), with_chunks(chunk(b"iCCP", b"p\0\0" + zlib.compress(bytes(profile))))

    profile, large = data(5_000_000)
    assert (read(large).icc, read(large).notes) == (profile, ())
    picture = read(data(50_000_000)[1])
    assert (picture.icc, picture.notes) == (None, ("colour profile ignored: it is damaged, or of more than 16 MiB",))


def test_pixels_in_pieces_some_of_them_empty_are_read() -> None:
    at = PLAIN.index(b"IDAT") - 4
    packed = PLAIN[at + 8 : -16]
    pieces = (b"", packed[:20], b"", b"", packed[20:], b"")
    assert np.array_equal(
        read(PLAIN[:at] + b"".join(chunk(b"IDAT", piece) for piece in pieces) + PLAIN[-12:]).pixels, PHOTO
    )


@pytest.mark.parametrize("data", [PLAIN[:-12], PLAIN[:-5], PLAIN + b"junk" * 100, broken(PLAIN)])
def test_the_end_of_a_png_is_not_minded(data: bytes) -> None:
    assert np.array_equal(read(data).pixels, PHOTO)
    assert probe(data, Limits()).notes == ()
