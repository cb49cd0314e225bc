"""Files within limits of bytes."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from batch_removebg.errors import SettingsError
from batch_removebg.finish import weight
from batch_removebg.finish.options import TRIES, Finish
from batch_removebg.finish.weight import weighed
from batch_removebg.imaging.arrays import Picture
from batch_removebg.imaging.colour import srgb_profile
from batch_removebg.imaging.encode import encode
from tests.support.pictures import noise, opened


@cache
def scene(channels=3):
    """Something between a photo and noise."""
    rough = np.kron(noise(30, 40, channels), np.ones((8, 8, 1) if channels > 1 else (8, 8), np.uint8))
    return Picture(
        np.clip(rough.astype(int) + noise(*rough.shape[:2], channels, seed=1) // 8 - 16, 0, 255).astype(np.uint8)
    )


@pytest.fixture
def encoded(monkeypatch):
    """How often a picture was encoded."""
    calls = []

    def counted(*given):
        calls.append(given)
        return encode(*given)

    monkeypatch.setattr(weight, "encode", counted)
    return calls


def bytes_at(quality, form="jpeg"):
    return len(encode(scene(), Finish(form, quality=quality).encoding))


def test_without_limits_a_picture_is_encoded_once_and_as_it_is(encoded):
    made, data = weighed(scene(), Finish("jpeg"))
    assert (made, data, len(encoded)) == (scene(), encode(scene(), Finish("jpeg").encoding), 1)


@pytest.mark.parametrize("form", ["jpeg", "webp", "avif"])
@pytest.mark.parametrize("quality", [64, 75, 89])
def test_the_highest_quality_that_keeps_to_the_limit_is_taken(encoded, form, quality):
    made, data = weighed(scene(), Finish(form, bytes_most=(most := bytes_at(quality, form))))
    assert len(data) <= most < bytes_at(90, form)
    found = int(made.notes[0].split()[1])
    assert found == 90 or bytes_at(found + 1, form) > most >= bytes_at(found, form) == len(data)
    assert len(encoded) <= TRIES


@pytest.mark.parametrize("quality", [91, 96, 100])
def test_the_lowest_quality_that_reaches_the_limit_is_taken(encoded, quality):
    made, data = weighed(scene(), Finish("jpeg", bytes_least=bytes_at(quality)))
    assert (len(data), made.notes) == (
        bytes_at(quality),
        (f"quality {quality} instead of 90, for the limits of bytes",),
    )
    assert len(encoded) <= TRIES


@pytest.mark.parametrize("form", ["jpeg", "png", "webp"])
def test_pixels_are_given_up_last(encoded, form):
    most = (bytes_at(60, form) if form != "png" else len(encode(scene(), Finish().encoding))) // 3
    made, data = weighed(scene(), Finish(form, bytes_most=most))
    assert most * 0.7 < len(data) <= most
    image = opened(data)
    assert image.size == made.pixels.shape[1::-1] < (320, 240)
    assert made.notes[-1] == f"reduced to {image.width}×{image.height} pixels, for the limits of bytes"
    assert ("quality 60" in made.notes[0]) == (form != "png")
    assert len(encoded) <= TRIES


def test_alpha_is_reduced_with_its_colours():
    alpha = np.zeros((240, 320), np.uint8)
    alpha[:, 160:] = 255
    made, _ = weighed(Picture(scene().pixels, alpha), Finish(bytes_most=30_000))
    assert made.alpha.shape == made.pixels.shape[:2] < (240, 320)
    assert made.alpha[:, -made.alpha.shape[1] // 2 + 3 :].min() == 255


@pytest.mark.parametrize("most", [4000, 6000, 20_000])
def test_pixels_are_given_up_until_the_limit_is_kept_however_much_of_it_a_profile_takes(encoded, most):
    picture = replace(scene(), icc=srgb_profile() + bytes(2600))
    made, data = weighed(picture, Finish("jpeg", bytes_most=most))
    assert len(data) <= most
    assert (max(made.pixels.shape) > 12, made.flags, len(encoded) <= TRIES) == (True, (), True)


def test_limits_that_exclude_each_other_are_refused():
    with pytest.raises(SettingsError, match="bytes_least"):
        Finish("jpeg", bytes_least=5000, bytes_most=4999)


@pytest.mark.parametrize(
    ("wanted", "what"),
    [
        ({"bytes_most": 900, "side_least": 300}, "more than 900"),
        ({"bytes_most": 900, "side_least": 5000}, "more than 900"),
        ({"bytes_least": 10**6}, "less than 1,000,000"),
        ({"bytes_least": 40, "bytes_most": 50, "side_least": 320}, "more than 50"),
        ({"format": "png", "bytes_least": 10**6}, "less than 1,000,000"),
    ],
)
def test_limits_that_cannot_be_met_are_said_with_what_comes_nearest(encoded, wanted, what):
    finish = Finish(**{"format": "jpeg"} | wanted)
    made, data = weighed(scene(), finish)
    assert made.notes[-1] == f"the file has {len(data):,} bytes, {what}: no nearer one was found"
    assert made.flags == ("bytes",)
    if finish.bytes_most:
        assert max(made.pixels.shape) == min(320, max(finish.side_least, 300))
        assert "quality 60" in made.notes[0]
    elif finish.format == "jpeg":
        assert len(data) == bytes_at(100)
    assert len(encoded) <= TRIES


def test_between_two_limits_neither_is_overstepped_for_the_other():
    least, most = bytes_at(95) + 1, bytes_at(96) - 1
    made, data = weighed(scene(), Finish("jpeg", bytes_least=least, bytes_most=most))
    assert len(data) == bytes_at(95)
    assert "less than" in made.notes[-1]
