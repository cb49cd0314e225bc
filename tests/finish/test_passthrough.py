"""A PNG is passed on unread only where its own checksums say that it is whole, and that it is a plain cutout."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from batch_removebg.errors import OutputBroken
from batch_removebg.finish import finish, passthrough
from batch_removebg.finish.kinds import parse_shadow
from batch_removebg.finish.options import Finish, Finished
from batch_removebg.imaging.format import Limits
from tests.support.pictures import chunk, encoded, exif, noise, ramp

LIMITS, PLAIN, SHADED = Limits(), Finish(), Finish(shadow=parse_shadow("drop"))
HEAD = b"\x89PNG\r\n\x1a\n"
END = chunk(b"IEND", b"")
PIXELS = chunk(b"IDAT", b"pixels")


def ihdr(width: int = 3, height: int = 2, depth: int = 8, colour: int = 6, last: bytes = bytes(3)) -> bytes:
    return chunk(b"IHDR", struct.pack(">IIBB", width, height, depth, colour) + last)


def whole(*chunks: bytes, header: bytes | None = None) -> bytes:
    return HEAD + (ihdr() if header is None else header) + b"".join(chunks) + END


def wrong_checksum(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


PALETTE, SEEN_THROUGH = chunk(b"PLTE", bytes(6)), chunk(b"tRNS", b"\x00\xff")
GOOD = whole(PIXELS)


@pytest.mark.parametrize(
    ("data", "how"),
    [
        (HEAD, "it has no end"),
        (HEAD[:7] + b"?" + GOOD[8:], None),
        (GOOD[:-12], "it has no end"),
        (GOOD[:-1], "it has no end"),
        (GOOD[:-13], "a chunk reaches beyond its end"),
        (GOOD[:-4], "it has no end"),
        (GOOD[:40], "it has no end"),
        (wrong_checksum(GOOD, 20), r"a checksum is wrong \(b'IHDR'\)"),
        (wrong_checksum(GOOD, 43), r"a checksum is wrong \(b'IDAT'\)"),
        (wrong_checksum(GOOD, len(GOOD) - 1), r"a checksum is wrong \(b'IEND'\)"),
        (HEAD + ihdr() + struct.pack(">I", 0xFFFFFFFF) + b"IDAT" + END, "a chunk reaches beyond its end"),
        (whole(), "it has no pixels"),
        (whole(PIXELS, header=b""), "it has no header"),
        (whole(PIXELS, header=chunk(b"IHDR", bytes(12))), "it has no header"),
        (whole(PIXELS, header=ihdr(width=0)), "its header makes no sense"),
        (whole(PIXELS, header=ihdr(height=0)), "its header makes no sense"),
        (whole(PIXELS, header=ihdr(width=1 << 31)), "its header makes no sense"),
        (whole(PIXELS, header=ihdr(depth=4)), "its header makes no sense"),
        (whole(PIXELS, header=ihdr(colour=5)), "its header makes no sense"),
        (whole(PIXELS, header=ihdr(last=b"\x01\x00\x00")), "its header makes no sense"),
        (whole(PIXELS, header=ihdr(last=b"\x00\x00\x02")), "its header makes no sense"),
        (whole(ihdr(), PIXELS), r"out of order \(b'IHDR'\)"),
        (whole(PIXELS, chunk(b"tEXt", b"a\0b"), PIXELS), "its pixels are torn apart"),
        (whole(PIXELS, header=ihdr(colour=3)), "it has no palette"),
        (whole(PIXELS, PALETTE, header=ihdr(colour=2)), r"out of order \(b'PLTE'\)"),
        (whole(PALETTE, PALETTE, PIXELS, header=ihdr(colour=3)), r"out of order \(b'PLTE'\)"),
        (whole(PALETTE, PIXELS, SEEN_THROUGH, header=ihdr(colour=3)), r"out of order \(b'tRNS'\)"),
        (whole(chunk(b"CODE", b""), PIXELS), r"a critical chunk that no decoder knows \(b'CODE'\)"),
        (
            HEAD + ihdr() + chunk(b"teSt", b"") * (passthrough.CHUNKS + 1),
            f"it has more than {passthrough.CHUNKS} chunks",
        ),
    ],
)
def test_a_png_that_is_not_whole_is_refused_and_says_how(data: bytes, how: str | None) -> None:
    if how is None:
        assert passthrough.as_it_is(data, PLAIN, LIMITS) is None  # no PNG: the decoder's to judge
        return
    with pytest.raises(OutputBroken, match=f"^the output is damaged or cut short: .*{how}"):
        passthrough.as_it_is(data, PLAIN, LIMITS)


@pytest.mark.parametrize(
    "data",
    [
        GOOD,
        whole(PIXELS, PIXELS, PIXELS),
        whole(PIXELS, header=ihdr(depth=16)),
        whole(PIXELS, header=ihdr(colour=4)),
        whole(PIXELS, header=ihdr(depth=16, colour=4)),
        whole(PIXELS, header=ihdr(last=b"\x00\x00\x01")),
        whole(PALETTE, SEEN_THROUGH, PIXELS, header=ihdr(colour=3)),
        whole(chunk(b"tRNS", bytes(6)), PIXELS, header=ihdr(colour=2)),
        whole(chunk(b"tRNS", bytes(2)), PIXELS, header=ihdr(colour=0, depth=1)),
        whole(chunk(b"iCCP", b"sRGB\0\0"), chunk(b"tEXt", b"Software\0x"), PIXELS, chunk(b"tIME", bytes(7))),
    ],
)
def test_a_plain_cutout_is_passed_on_byte_for_byte(data: bytes) -> None:
    assert passthrough.as_it_is(data, PLAIN, LIMITS) == Finished(data, 3, 2)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"<html>",
        whole(PIXELS, header=ihdr(colour=2)),
        whole(PIXELS, header=ihdr(colour=0)),
        whole(PALETTE, PIXELS, header=ihdr(colour=3)),
        whole(chunk(b"acTL", bytes(8)), PIXELS),
        whole(chunk(b"eXIf", b"MM"), PIXELS),
        whole(PIXELS, chunk(b"eXIf", b"MM")),
        whole(chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0<x/>"), PIXELS),
        whole(PIXELS, chunk(b"zTXt", b"Raw profile type exif\0\0x")),
        GOOD + b"\n",
        whole(PIXELS, header=ihdr(width=60_000, height=60_000)),
    ],
)
def test_what_has_to_be_looked_at_more_closely_is_not_passed_on(data: bytes) -> None:
    assert passthrough.as_it_is(data, PLAIN, LIMITS) is None


@pytest.mark.parametrize("wanted", [Finish("webp"), Finish(mask_only=True), Finish(background=(1, 2, 3)), SHADED])
def test_another_picture_than_the_cutout_itself_is_made_by_decoding(wanted: Finish) -> None:
    assert passthrough.as_it_is(GOOD, wanted, LIMITS) is None
    assert passthrough.as_it_is(GOOD, PLAIN, Limits(max_pixels=6)) is not None
    assert passthrough.as_it_is(GOOD, PLAIN, Limits(max_pixels=5)) is None


CUTOUT = np.dstack([noise(20, 30), ramp(20, 30)])


@pytest.mark.parametrize("kind", ["RGBA", "LA", "P"])
@pytest.mark.parametrize("orientation", [1, 6])
def test_what_real_encoders_write_ends_as_the_decoder_would_see_it(kind: str, orientation: int) -> None:
    image = Image.fromarray(CUTOUT).convert(kind)
    options = {"transparency": 0} if kind == "P" else {}
    plain = encoded(image, **options)
    assert passthrough.as_it_is(plain, PLAIN, LIMITS) == Finished(plain, 30, 20)
    written = encoded(image, exif=exif(orientation), **options)
    assert passthrough.as_it_is(written, PLAIN, LIMITS) is None
    [result] = finish.finish_cutout(written, [PLAIN], LIMITS)
    assert b"Camera" not in result.data
    assert (result.width, result.height) == ((30, 20) if orientation == 1 else (20, 30))


def test_what_follows_the_end_of_a_picture_is_cut_off() -> None:
    data = encoded(CUTOUT) + b"something else"
    assert passthrough.as_it_is(data, PLAIN, LIMITS) is None
    [result] = finish.finish_cutout(data, [PLAIN], LIMITS)
    assert b"something else" not in result.data
    shown = CUTOUT * (CUTOUT[..., 3:] > 0)
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(result.data))), shown)


@given(at=st.integers(8, len(encoded(CUTOUT[:4, :4])) - 1), bit=st.integers(0, 7))
def test_no_flipped_bit_behind_the_signature_is_passed_on(at: int, bit: int) -> None:
    data = bytearray(encoded(CUTOUT[:4, :4]))
    data[at] ^= 1 << bit
    with pytest.raises(OutputBroken):
        passthrough.as_it_is(bytes(data), PLAIN, LIMITS)


@given(end=st.integers(8, len(encoded(CUTOUT[:4, :4])) - 1))
def test_no_picture_cut_short_is_passed_on(end: int) -> None:
    with pytest.raises(OutputBroken):
        passthrough.as_it_is(encoded(CUTOUT[:4, :4])[:end], PLAIN, LIMITS)
