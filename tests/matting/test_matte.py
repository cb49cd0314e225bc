import io
import struct

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from batch_removebg.errors import OutputBroken, Verdict
from batch_removebg.imaging.format import Limits
from batch_removebg.matting.matte import decode_matte, encode_matte, matte_of
from batch_removebg.model import Matte
from tests.support.pictures import chunk, encoded, noise, png, ramp

ALPHA = ramp(4, 256)


def alpha_of(data, width=256, height=4, limits=Limits()):  # noqa: B008  # frozen
    return matte_of(data, width=width, height=height, limits=limits).alpha


def with_alpha(mode, alpha=ALPHA):
    image = Image.new(mode, alpha.shape[::-1])
    image.putalpha(Image.fromarray(alpha))
    return image


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_the_alpha_channel_is_taken_as_it_is(kind, mode):
    options = {"lossless": True} if kind == "WEBP" else {}
    alpha = alpha_of(encoded(with_alpha(mode), kind, **options))
    assert alpha.dtype == np.uint8
    assert np.array_equal(alpha, ALPHA)


def test_a_grey_picture_is_the_mask_itself():
    assert np.array_equal(alpha_of(encoded(ALPHA)), ALPHA)
    assert alpha_of(png(8, 1, 1, 0, b"\x00\xf0"), 8, 1).tolist() == [[255] * 4 + [0] * 4]


def test_a_palette_may_carry_the_alpha():
    data = png(3, 1, 8, 3, bytes([0, 0, 1, 2]), chunk(b"PLTE", bytes(9)), chunk(b"tRNS", bytes([0, 99])))
    assert alpha_of(data, 3, 1).tolist() == [[0, 99, 255]]


def test_sixteen_bit_alpha_is_scaled():
    assert alpha_of(png(1, 1, 16, 6, b"\x00" + struct.pack(">4H", 1, 2, 3, 40000)), 1, 1).tolist() == [[156]]
    assert alpha_of(png(1, 1, 16, 0, b"\x00" + struct.pack(">H", 40000)), 1, 1).tolist() == [[156]]


def test_colour_without_transparency_has_no_alpha():
    with pytest.raises(OutputBroken, match="no alpha") as raised:
        alpha_of(encoded(noise(4, 256)))
    assert raised.value.verdict is Verdict.RESUBMIT


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", r"^the output is empty \(0 bytes\)$"),
        (b"<html>Bad gateway</html>", "^the output is not a picture"),
        (encoded(with_alpha("RGB"))[:-40], "^the output is damaged or cut short"),
    ],
)
def test_an_output_that_is_no_whole_picture_is_the_providers_fault(data, message):
    with pytest.raises(OutputBroken, match=message):
        alpha_of(data)


def test_the_limits_hold_for_outputs_too():
    with pytest.raises(OutputBroken, match="--max-pixels"):
        alpha_of(encoded(ALPHA), limits=Limits(max_pixels=1023))
    assert alpha_of(encoded(ALPHA), limits=Limits(max_pixels=1024)).shape == (4, 256)


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((320, 240), (320, 240)),
        ((1024, 683), (2048, 1365)),  # a model that shrinks
        ((4096, 2730), (2048, 1365)),  # one that enlarges
        ((1000, 685), (1500, 1014)),  # within 2 %
        ((9, 10), (10, 10)),  # one pixel
        ((1024, 2), (2048, 3)),
        ((1, 1), (1, 1)),
    ],
)
def test_another_size_of_the_same_aspect_is_accepted(size, expected):
    alpha = alpha_of(encoded(np.zeros(size[::-1], np.uint8)), *expected)
    assert alpha.shape == size[::-1]


@pytest.mark.parametrize(
    ("size", "expected"),
    [((240, 320), (320, 240)), ((1024, 1024), (2048, 1365)), ((1000, 692), (1500, 1014)), ((8, 10), (10, 10))],
)
def test_another_aspect_is_refused_with_both_sizes(size, expected):
    with pytest.raises(OutputBroken, match=f"{size[0]}×{size[1]} pixels.*{expected[0]}×{expected[1]}"):
        alpha_of(encoded(np.zeros(size[::-1], np.uint8)), *expected)


@pytest.mark.parametrize("shape", [(1, 1), (7, 5), (300, 2)])
def test_a_kept_alpha_comes_back_exactly(shape):
    alpha = noise(*shape, 1)
    again = decode_matte(encode_matte(Matte(alpha))).alpha
    assert again.dtype == np.uint8
    assert np.array_equal(again, alpha)


END = 12
"""Bytes of PNG's IEND chunk, which says nothing."""


def refused(data):
    try:
        decode_matte(data)
    except OutputBroken:
        return True
    return False


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
def test_a_kept_alpha_with_any_bit_flipped_is_refused():
    data = encode_matte(Matte(noise(3, 5, 1)))
    bits = [(at, 1 << bit) for at in range(len(data) - END) for bit in range(8)]
    assert all(refused(data[:at] + bytes([data[at] ^ bit]) + data[at + 1 :]) for at, bit in bits)


def test_a_kept_alpha_cut_anywhere_is_refused():
    data = encode_matte(Matte(noise(3, 5, 1)))
    assert all(refused(data[:length]) for length in range(len(data) - END))
    assert not refused(data)


@pytest.mark.parametrize("data", [encoded(noise(2, 2)), encoded(noise(2, 2, 1), "TIFF")])
def test_another_picture_is_not_a_kept_alpha(data):
    with pytest.raises(OutputBroken, match="not a kept alpha"):
        decode_matte(data)


@pytest.mark.parametrize(
    ("given", "told"), [(0.9987654321, 0.998765), (0.0, 0.0), (1.0, 1.0), (3e-7, 3e-7), (None, None)]
)
def test_a_kept_alpha_still_knows_its_peak(given, told):
    alpha = noise(3, 5, 1)
    data = encode_matte(Matte(alpha, given))
    assert decode_matte(data).peak == told
    assert np.array_equal(decode_matte(data).alpha, alpha)


def test_a_kept_alpha_still_knows_where_looks_disagreed():
    boxes = ((0.0, 0.5, 1.0, 0.025), (0.125, 0.25, 0.5, 0.75))
    again = decode_matte(encode_matte(Matte(noise(3, 5, 1), doubt=0.125, suspect=boxes)))
    assert (again.doubt, again.suspect) == (0.125, boxes)


@pytest.mark.parametrize(
    ("said", "told"),
    [("", ()), ("0.1 0.2 0.3 0.4", ()), ("nan nan nan nan", ()), ("2.000 0.000 0.000 0.000", ()), ("0.100 " * 40, 3)],
)
def test_boxes_that_are_none_are_left_out_and_three_kept_at_most(said, told):
    info = PngInfo()
    info.add_text("batch-removebg:suspect", said)
    buffer = io.BytesIO()
    Image.fromarray(noise(3, 5, 1)).save(buffer, "PNG", pnginfo=info)
    again = decode_matte(buffer.getvalue())
    assert (again.doubt, again.suspect) == (None, told if told == () else ((0.1,) * 4,) * told)


@pytest.mark.parametrize(
    ("keyword", "said"),
    [
        *(("peak", said) for said in ("", "high", "nan", "inf", "1,0")),
        *(("engine", said) for said in ("", "x" * 101, "a\nb", "\x1b[31m", "é")),
    ],
)
def test_a_peak_that_is_no_number_and_an_engine_that_is_no_short_name_are_none(keyword, said):
    told = PngInfo()
    told.add_text(f"batch-removebg:{keyword}", said)
    buffer = io.BytesIO()
    Image.fromarray(noise(3, 5, 1)).save(buffer, "PNG", pnginfo=told)
    again = decode_matte(buffer.getvalue())
    assert (again.peak, again.engine) == (None, None)


def test_what_is_no_picture_is_the_providers_fault():
    with pytest.raises(OutputBroken, match=r"^the output is not a picture"):
        decode_matte(b"<html>not found</html>")
