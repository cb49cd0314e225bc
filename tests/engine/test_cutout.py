"""From bytes to matte and cutout."""

from __future__ import annotations

import io
from functools import partial

import numpy as np
import pytest
from PIL import Image

from batch_removebg.engine import cutout, network, weights
from batch_removebg.errors import PredictionFailed, SourceError
from batch_removebg.imaging.format import Limits
from batch_removebg.model import ProxySpec
from tests.support.local_doubles import GivesUp, LeftHalf, picture


def test_a_matte_is_of_the_networks_size() -> None:
    alpha = network.matte(LeftHalf(), picture(320, 320, kind="BMP")).alpha
    assert (alpha.dtype, alpha.shape) == (np.uint8, (320, 320))
    assert (alpha[:, :160] == 255).all()
    assert (alpha[:, 160:] == 0).all()


def test_a_cutout_has_the_pictures_own_size_and_colours() -> None:
    network = LeftHalf()
    image = Image.open(io.BytesIO(cutout.cutout(network, Limits(), picture(48, 32)).data))
    assert (image.format, image.mode, image.size) == ("PNG", "RGBA", (48, 32))
    assert network.seen == [(320, 320, 3)]
    assert image.getpixel((5, 16)) == (200, 60, 20, 255)
    assert image.getpixel((40, 16))[3] == 0  # type: ignore[index]  # RGBA gives a tuple


def test_a_photo_taken_sideways_comes_out_upright() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # orientation: the camera was turned by a quarter
    buffer = io.BytesIO()
    Image.new("RGB", (48, 32), "red").save(buffer, "JPEG", exif=exif)
    image = Image.open(io.BytesIO(cutout.cutout(LeftHalf(), Limits(), buffer.getvalue()).data))
    assert image.size == (32, 48)


def test_grey_pictures_reach_the_network_in_three_channels() -> None:
    double = LeftHalf()
    cutout.cutout(double, Limits(), picture(mode="L"))
    network.matte(double, picture(320, 320, mode="L", kind="BMP"))
    assert double.seen == [(320, 320, 3)] * 2


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "the image is empty"),
        (b"<html>not found</html>", "the image is not a picture"),
        (picture()[:60], "the image is damaged or cut short|the image looks like PNG"),
    ],
)
def test_what_is_no_picture_is_said_of_the_image(data: bytes, said: str) -> None:
    for attempt in (partial(cutout.cutout, LeftHalf(), Limits()), partial(network.matte, LeftHalf())):
        with pytest.raises(SourceError, match=f"^({said})"):
            attempt(data)


def test_a_picture_beyond_the_pixel_limit_is_refused() -> None:
    with pytest.raises(SourceError, match="the image has 48×32 pixels"):
        cutout.cutout(LeftHalf(), Limits(max_pixels=1000), picture(48, 32))


def test_a_runtime_that_gives_up_fails_the_prediction() -> None:
    with pytest.raises(PredictionFailed, match=r"^onnxruntime gave up: no memory$"):
        cutout.cutout(GivesUp(), Limits(), picture())


def test_the_proxy_is_what_the_network_wants() -> None:
    assert weights.MODELS["isnet"].proxy == ProxySpec(square=512, encoding="bmp")
    assert weights.MODELS["best"].proxy == ProxySpec(square=1024, encoding="bmp")  # as the largest of its looks
