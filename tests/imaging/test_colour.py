import numpy as np
import pytest
from PIL import Image

from batch_removebg.imaging.colour import convert, fit_profile, from_srgb, srgb_profile
from tests.support.pictures import cmyk_profile, grey_profile, swapped_profile


def plain(mode, colour, side=2):
    return np.asarray(Image.new(mode, (side, side), colour))


def colour_of(pixels):
    return tuple(pixels[0, 0].tolist())


def test_the_srgb_profile_does_not_carry_the_time_of_making():
    first = srgb_profile()
    srgb_profile.cache_clear()
    assert (srgb_profile(), len(first), first[24:36]) == (first, 588, bytes.fromhex("07d000010001000000000000"))


@pytest.mark.parametrize(
    ("mode", "stored", "icc", "srgb"),
    [
        ("RGB", (255, 0, 0), swapped_profile(), (0, 255, 0)),
        ("L", 55, grey_profile(), (128, 128, 128)),
        ("CMYK", (255, 0, 0, 0), cmyk_profile(), (0, 255, 0)),
        ("CMYK", (0, 0, 0, 255), cmyk_profile(), (0, 0, 0)),
    ],
)
def test_pixels_become_what_their_profile_says(mode, stored, icc, srgb):
    pixels, profile, notes = convert(plain(mode, stored), icc)
    assert (pixels.shape, colour_of(pixels), profile, notes) == ((2, 2, 3), srgb, srgb_profile(), ())


def test_without_a_profile_rgb_and_grey_are_taken_for_srgb():
    assert colour_of(convert(plain("RGB", (1, 2, 3)), None)[0]) == (1, 2, 3)
    pixels, profile, notes = convert(plain("L", 9), None)
    assert (colour_of(pixels), profile, notes) == ((9, 9, 9), None, ())


def test_a_broken_profile_is_ignored_with_a_note():
    broken = bytes(16) + b"RGB " + bytes(200)
    pixels, profile, notes = convert(plain("RGB", (1, 2, 3)), broken)
    assert (colour_of(pixels), profile, len(notes)) == ((1, 2, 3), None, 1)
    assert notes[0].startswith("colour profile ignored: it is broken (")


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_a_profile_of_another_colour_space_does_not_fit(mode):
    wrong = {"L": cmyk_profile(), "RGB": grey_profile(), "CMYK": swapped_profile()}[mode]
    note = f"colour profile ignored: it is not one for {mode} pixels"
    assert fit_profile(mode, wrong) == (None, False, (note,))


def test_a_backdrop_is_brought_into_the_pictures_own_profile():
    assert from_srgb((0, 255, 0), swapped_profile(), "RGB") == (255, 0, 0)
    assert from_srgb((128, 128, 128), grey_profile(), "L") == (55, 55, 55)
    assert from_srgb((1, 2, 3), None, "RGB") == (1, 2, 3)


@pytest.mark.parametrize(("icc", "mode"), [(srgb_profile(), "RGB"), (swapped_profile(), "RGB"), (grey_profile(), "L")])
def test_white_and_black_are_the_same_in_every_profile(icc, mode):
    assert from_srgb((255, 255, 255), icc, mode) == (255, 255, 255)
    assert from_srgb((0, 0, 0), icc, mode) == (0, 0, 0)


def test_a_backdrop_stays_as_asked_for_where_the_profile_leads_out_only():
    assert from_srgb((1, 2, 3), bytes(16) + b"RGB " + bytes(200), "RGB") == (1, 2, 3)


def test_srgb_pixels_survive_their_own_conversion_within_one_step():
    pixels = np.random.default_rng(0).integers(0, 256, (16, 16, 3)).astype(np.uint8)
    converted, _, _ = convert(pixels, srgb_profile())
    assert np.abs(converted.astype(int) - pixels).max() <= 1
