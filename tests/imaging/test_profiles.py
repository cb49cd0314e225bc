"""Colours from file to file: profiles are embedded as they are, or converted by; checked by their own arithmetic."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
from PIL import Image, ImageCms

from batch_removebg.finish.finish import finish
from batch_removebg.finish.options import Finish
from batch_removebg.imaging import decode
from batch_removebg.imaging.colour import flaw, means_srgb, srgb_profile
from batch_removebg.imaging.format import Limits
from batch_removebg.imaging.shaper import shaper
from batch_removebg.model import Matte
from tests.support.pictures import (
    ADOBE_RGB,
    DISPLAY_P3,
    SRGB,
    cmyk_profile,
    encoded,
    grey_profile,
    light_to_srgb,
    matrix_profile,
    noise,
    opened,
    srgb_to_light,
    swapped_profile,
    write_png,
    write_tiff,
)

LIMITS = Limits()
EVERY = ["png", "webp", "tiff", "jpeg", "avif"]
OPAQUE = np.full((4, 4), 255, np.uint8)
P3, ADOBE = matrix_profile(DISPLAY_P3), matrix_profile(ADOBE_RGB, 563 / 256)
WIDE = {"Display P3": P3, "Adobe RGB": ADOBE}
BROKEN = bytes(16) + b"RGB " + bytes(200)


def exact_srgb(values: np.ndarray, name: str) -> np.ndarray:
    """0–1 in a wide space to 0–1 in sRGB: curve, matrix, the other matrix backwards, the other curve."""
    light = srgb_to_light(values) if name == "Display P3" else values ** (563 / 256)
    xyz = light @ np.array(DISPLAY_P3 if name == "Display P3" else ADOBE_RGB)
    return light_to_srgb(xyz @ np.linalg.inv(np.array(SRGB)))


def made(data: bytes, kind: str = "png", **fields) -> tuple[Image.Image, tuple[str, ...]]:
    result = finish(data, Matte(OPAQUE), [Finish(kind, **fields)], LIMITS)[0]
    return opened(result.data), result.notes


@pytest.mark.parametrize("kind", EVERY)
@pytest.mark.parametrize("profile", [P3, ADOBE, swapped_profile()], ids=["P3", "Adobe", "swapped"])
def test_a_profile_that_is_kept_is_embedded_byte_for_byte(kind, profile):
    image, notes = made(encoded(noise(8, 8), icc_profile=profile), kind, colours="keep", lossless=True)
    assert (image.info["icc_profile"], notes) == (profile, ())
    if kind in ("png", "webp", "tiff"):
        assert np.array_equal(np.asarray(image.convert("RGB")), noise(8, 8))


@pytest.mark.parametrize("name", WIDE)
def test_srgb_converts_by_the_profiles_own_arithmetic(name):
    pixels = noise(64, 64)
    image, notes = made(encoded(pixels, icc_profile=WIDE[name]), colours="srgb")
    assert (image.info["icc_profile"], notes) == (srgb_profile(), ())
    expected = exact_srgb(pixels / 255, name) * 255
    assert np.abs(np.asarray(image)[..., :3] - expected).max() <= 1


@pytest.mark.parametrize("name", WIDE)
@pytest.mark.parametrize("write", [write_png, write_tiff])
def test_sixteen_bits_are_converted_in_sixteen(name, write):
    pixels = noise(64, 64, 6).view(np.uint16)
    data = finish(write(pixels, effort=2, icc=WIDE[name]), Matte(OPAQUE), [Finish(colours="srgb")], LIMITS)[0].data
    picture = decode.read(data, LIMITS)
    assert (picture.pixels.dtype, picture.icc) == (np.uint16, srgb_profile())
    expected = exact_srgb(pixels / 65535, name) * 65535
    assert np.median(np.abs(picture.pixels - expected)) <= 4  # eight bits would be 64 off
    assert np.abs(picture.pixels - expected).max() <= 160  # next to black, where the curve is steep


PARAMETRIC = {
    0: ([2.2], lambda x: x**2.2),
    1: ([2.0, 0.9, 0.1], lambda x: (0.9 * x + 0.1) ** 2),
    2: ([2.0, 0.8, 0.1, 0.15], lambda x: (0.8 * x + 0.1) ** 2 + 0.15),
    3: ([2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045], srgb_to_light),
    4: (
        [2.4, 0.9, 0.05, 0.07, 0.04, 0.01, 0.002],
        lambda x: np.where(x >= 0.04, (0.9 * x + 0.05) ** 2.4 + 0.01, 0.07 * x + 0.002),
    ),
}


@pytest.mark.parametrize("kind", PARAMETRIC)
def test_parametric_curves_are_calculated_as_the_standard_says(kind):
    numbers, formula = PARAMETRIC[kind]
    curve = (
        b"para"
        + bytes(4)
        + struct.pack(">HH", kind, 0)
        + struct.pack(f">{len(numbers)}i", *(round(v * 65536) for v in numbers))
    )
    found = shaper(matrix_profile(SRGB, curve=curve))
    off = np.abs(found.curves[0] - formula(np.linspace(0, 1, 65536)))
    assert np.sort(off)[-3] < 1e-4  # where two pieces meet, to a step of the profile's numbers


def test_a_profile_of_tables_or_in_pieces_is_no_shaper():
    assert shaper(cmyk_profile()) is None
    assert shaper(BROKEN) is None
    assert shaper(P3[:200]) is None


@pytest.mark.parametrize("kind", EVERY)
def test_by_default_jpeg_and_webp_are_srgb_and_the_others_keep_the_photos_profile(kind):
    image, _ = made(encoded(np.full((16, 16, 3), (200, 100, 50), np.uint8), icc_profile=P3), kind)
    converted = kind in ("jpeg", "webp")
    assert image.info["icc_profile"] == (srgb_profile() if converted else P3)
    expected = exact_srgb(np.array([[200, 100, 50]]) / 255, "Display P3")[0] * 255 if converted else (200, 100, 50)
    assert np.abs(np.asarray(image)[8, 8, :3] - expected).max() <= (4 if kind in ("jpeg", "webp", "avif") else 0)
    assert len(srgb_profile()) < 700


@pytest.mark.parametrize("kind", EVERY)
def test_srgb_is_embedded_in_every_format(kind):
    image, _ = made(encoded(np.full((16, 16, 3), (200, 100, 50), np.uint8), icc_profile=P3), kind, colours="srgb")
    assert image.info["icc_profile"] == srgb_profile()
    expected = exact_srgb(np.array([[200, 100, 50]]) / 255, "Display P3")[0] * 255
    assert np.abs(np.asarray(image)[8, 8, :3] - expected).max() <= (4 if kind in ("jpeg", "webp", "avif") else 1)


def test_a_converted_colour_is_littlecms_within_a_step():
    pixels = noise(64, 64)
    theirs = ImageCms.profileToProfile(
        Image.fromarray(pixels),
        ImageCms.ImageCmsProfile(io.BytesIO(ADOBE)),
        ImageCms.createProfile("sRGB"),
        renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
        flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
    )
    image, _ = made(encoded(pixels, icc_profile=ADOBE), colours="srgb")
    assert np.abs(np.asarray(image)[..., :3].astype(int) - np.asarray(theirs)).max() <= 1


def test_what_is_srgb_already_stays_bit_for_bit():
    own = matrix_profile(SRGB)
    assert own != srgb_profile()
    assert [means_srgb(profile) for profile in (own, srgb_profile(), P3, ADOBE, grey_profile(), BROKEN)] == [
        True,
        True,
        False,
        False,
        False,
        False,
    ]
    image, _ = made(encoded(noise(16, 16), icc_profile=own), colours="srgb")
    assert np.array_equal(np.asarray(image)[..., :3], noise(16, 16))
    assert image.info["icc_profile"] == srgb_profile()


def test_without_a_profile_srgb_is_what_it_is_taken_for():
    image, notes = made(encoded(noise(8, 8)), colours="srgb")
    assert np.array_equal(np.asarray(image)[..., :3], noise(8, 8))
    assert (image.info["icc_profile"], notes) == (srgb_profile(), ())
    grey, _ = made(encoded(noise(8, 8, 1)), colours="srgb")
    assert (grey.mode, "icc_profile" in grey.info) == ("LA", False)


@pytest.mark.parametrize("deep", [False, True])
def test_grey_is_converted_by_its_profile(deep):
    data = write_png(np.full((4, 4), 55 * 257 if deep else 55, np.uint16 if deep else np.uint8), effort=2)
    plain = finish(data, Matte(OPAQUE), [Finish(colours="srgb")], LIMITS)[0].data
    assert decode.read(plain, LIMITS).pixels[0, 0] == (55 * 257 if deep else 55)
    tagged = write_png(decode.read(data, LIMITS).pixels, effort=2, icc=grey_profile())
    picture = decode.read(finish(tagged, Matte(OPAQUE), [Finish(colours="srgb")], LIMITS)[0].data, LIMITS)
    expected = light_to_srgb(np.array(55 / 255)) * (65535 if deep else 255)
    assert np.abs(picture.pixels[0, 0] - expected).max() <= (64 if deep else 1)
    assert picture.icc == srgb_profile()
    kept = decode.read(finish(tagged, Matte(OPAQUE), [Finish()], LIMITS)[0].data, LIMITS)
    assert (kept.icc, kept.pixels.ndim) == (grey_profile(), 2)


@pytest.mark.parametrize("kind", EVERY)
@pytest.mark.parametrize("colours", ["keep", "srgb"])
def test_cmyk_is_converted_by_its_profile_never_naively(kind, colours):
    source = encoded(Image.new("CMYK", (16, 16), (255, 0, 0, 0)), "TIFF", icc_profile=cmyk_profile())
    image, notes = made(source, kind, colours=colours, lossless=True)
    assert (image.info["icc_profile"], notes) == (srgb_profile(), ())
    tolerance = {"jpeg": 3, "avif": 8}.get(kind, 0)
    assert np.abs(np.asarray(image)[8, 8, :3].astype(int) - [0, 255, 0]).max() <= tolerance  # naively cyan: 0, 255, 255


@pytest.mark.parametrize("deep", [False, True])
def test_a_broken_profile_is_noted_and_nothing_is_made_of_it(deep):
    pixels = noise(8, 8, 6).view(np.uint16) if deep else noise(8, 8)
    data = write_png(pixels, effort=2, icc=BROKEN)
    kept = finish(data, Matte(OPAQUE), [Finish()], LIMITS)[0]
    assert opened(kept.data).info["icc_profile"] == BROKEN
    assert kept.notes[0].startswith("colour profile kept, though it is broken (")
    converted = finish(data, Matte(OPAQUE), [Finish(colours="srgb")], LIMITS)[0]
    assert np.array_equal(decode.read(converted.data, LIMITS).pixels, pixels)
    assert opened(converted.data).info["icc_profile"] == srgb_profile()
    assert converted.notes[0].startswith("colour profile ignored: it is broken (")
    assert flaw(srgb_profile()) is flaw(P3) is flaw(grey_profile()) is None


def test_a_mask_has_no_colours_to_convert_or_to_complain_of():
    for profile in (P3, BROKEN):
        image, notes = made(encoded(noise(8, 8), icc_profile=profile), colours="srgb", mask_only=True)
        assert (image.mode, "icc_profile" in image.info, notes) == ("L", False, ())


def test_a_background_looks_as_asked_for_after_conversion():
    data = encoded(noise(4, 4), icc_profile=swapped_profile())
    clear = np.zeros((4, 4), np.uint8)
    result = finish(data, Matte(clear), [Finish(colours="srgb", background=(255, 0, 0))], LIMITS)[0]
    assert opened(result.data).getpixel((0, 0)) == (255, 0, 0)
