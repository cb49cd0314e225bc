import io

import numpy as np
import pytest
from PIL import Image, JpegImagePlugin

from batch_removebg.errors import ItemError
from batch_removebg.finish.cut import cut
from batch_removebg.finish.finish import compose
from batch_removebg.finish.options import Finish
from batch_removebg.imaging import decode, encode
from batch_removebg.imaging.arrays import Picture
from batch_removebg.imaging.format import Limits
from tests.support.pictures import encoded, exif, grey_profile, noise, opened, ramp, swapped_profile

LOSSLESS = ["png", "webp", "tiff"]
EVERY = [*LOSSLESS, "jpeg", "avif"]


def rgba(height=8, width=256):
    return np.concatenate([noise(height, width), ramp(height, width)[..., None]], axis=2)


def encoded_as(kind, pixels, finish=None, **fields):
    return encode.encode(Picture(pixels, **fields), (finish or Finish(kind, lossless=True)).encoding)


@pytest.mark.parametrize("kind", LOSSLESS)
def test_a_cutout_comes_back_exactly(kind):
    data = encoded_as(kind, rgba())
    image = opened(data)
    assert (image.format, image.mode) == (kind.upper(), "RGBA")
    assert np.array_equal(np.asarray(image), rgba())


@pytest.mark.parametrize("kind", ["png", "tiff"])
def test_grey_comes_back_as_grey_where_the_format_can(kind):
    pixels = noise(8, 9, 2)
    for array, mode in ((pixels, "LA"), (pixels[..., 0], "L")):
        again = opened(encoded_as(kind, array, icc=grey_profile()))
        assert again.mode == mode
        assert np.array_equal(np.asarray(again), array)
        assert again.info["icc_profile"] == grey_profile()


def test_webp_has_no_grey_so_its_profile_is_worked_in():
    pixels, alpha = np.array([[[0, 55]], [[0, 255]]], np.uint8)
    again = opened(encoded_as("webp", pixels, alpha=alpha, icc=grey_profile()))
    assert np.asarray(again).tolist() == [[[0, 0, 0, 0], [128, 128, 128, 255]]]
    assert again.info["icc_profile"][16:20] == b"RGB "
    assert "icc_profile" not in opened(encoded_as("webp", pixels, alpha=alpha)).info


@pytest.mark.parametrize("kind", EVERY)
def test_an_rgb_profile_survives_byte_for_byte(kind):
    again = opened(encoded_as(kind, noise(8, 8), icc=swapped_profile()))
    assert again.info["icc_profile"] == swapped_profile()


@pytest.mark.parametrize("kind", EVERY)
def test_without_a_profile_none_is_written(kind):
    assert not opened(encoded_as(kind, noise(8, 8))).info.get("icc_profile")


def test_a_profile_longer_than_a_jpeg_segment_survives():
    long = swapped_profile() + bytes(200_000)
    again = opened(encoded_as("jpeg", noise(8, 8), icc=long))
    assert again.info["icc_profile"] == long


@pytest.mark.parametrize("kind", ["png", "tiff", "jpeg"])
def test_resolution_is_kept_where_the_format_has_it(kind):
    again = opened(encoded_as(kind, noise(8, 8), dpi=(300, 150)))
    assert [round(value) for value in again.info["dpi"]] == [300, 150]


@pytest.mark.parametrize("kind", EVERY)
def test_place_camera_and_comments_of_the_source_are_not_written(kind):
    source = encoded(noise(16, 16), "JPEG", exif=exif(6), comment=b"Secret of Somebody", xmp=b"<x>Somebody</x>")
    picture = decode.read(source, Limits())
    for finish in (Finish(kind), Finish(kind, background=(1, 2, 3)), Finish(kind, mask_only=True)):
        data = encode.encode(compose(cut(picture, ramp(16, 16), finish), finish), finish.encoding)
        assert b"Somebody" not in data
        assert dict(Image.open(io.BytesIO(data)).getexif().get_ifd(0x8825)) == {}
        assert 0x0112 not in Image.open(io.BytesIO(data)).getexif()


@pytest.mark.parametrize("kind", ["tiff", "png"])
def test_tags_of_a_tiff_source_are_not_written(kind):
    source = encoded(noise(16, 16), "TIFF", exif=exif(1), tiffinfo={270: "Secret of Somebody", 305: "Somebody"})
    data = encode.encode(
        compose(cut(decode.read(source, Limits()), ramp(16, 16), Finish(kind)), Finish(kind)), Finish(kind).encoding
    )
    assert b"Somebody" not in data


def test_jpeg_is_not_subsampled_and_of_the_asked_quality():
    image = opened(encoded_as("jpeg", noise(16, 16), Finish("jpeg", quality=77)))
    assert JpegImagePlugin.get_sampling(image) == 0
    assert image.quantization == opened(encoded(noise(8, 8), "JPEG", quality=77)).quantization


def test_grey_jpeg_stays_grey():
    assert opened(encoded_as("jpeg", ramp(8, 8), icc=grey_profile())).mode == "L"


def test_webp_on_a_background_is_lossy_and_follows_quality():
    sizes = [len(encoded_as("webp", noise(64, 64), Finish("webp", background=(0, 0, 0), quality=q))) for q in (20, 90)]
    assert sizes[0] < sizes[1] < len(encoded_as("webp", rgba(64, 64)))


@pytest.mark.parametrize("kind", LOSSLESS)
def test_a_mask_is_written_without_loss(kind):
    finish = Finish(kind, mask_only=True)
    again = opened(encoded_as(kind, noise(16, 16, 1), finish))
    assert np.array_equal(np.asarray(again.convert("L")), noise(16, 16, 1))


@pytest.mark.parametrize(("kind", "longest"), [("webp", 16383), ("jpeg", 65500), ("avif", 32768)])
def test_a_picture_too_long_for_the_format_is_refused_with_a_way_out(kind, longest):
    pixels = np.zeros((1, longest + 1, 3), np.uint8)
    with pytest.raises(ItemError, match=rf"{longest + 1}×1.*{kind}.*{longest} a side.*--format png"):
        encoded_as(kind, pixels)
    assert opened(encoded_as(kind, pixels[:, 1:])).width == longest
    assert opened(encoded_as("png", pixels)).width == longest + 1


@pytest.mark.parametrize("kind", ["webp", "jpeg", "avif"])
def test_an_encoder_that_gives_up_fails_the_item_with_a_way_out(kind, monkeypatch):
    def give_up(*_: object, **__: object) -> None:
        raise ValueError("encoding error 6")

    monkeypatch.setattr(Image.Image, "save", give_up)
    with pytest.raises(ItemError, match=rf"can't be written as {kind} \(encoding error 6\): choose --format png"):
        encoded_as(kind, noise(8, 8))


@pytest.mark.parametrize("kind", EVERY)
def test_the_same_picture_gives_the_same_bytes(kind):
    first, second = (encoded_as(kind, noise(8, 8), icc=swapped_profile()) for _ in range(2))
    assert first == second


@pytest.mark.parametrize("kind", EVERY)
def test_every_effort_gives_the_picture(kind):
    for effort in range(10):
        smooth = np.dstack([ramp(16, 64)] * 3 if kind == "jpeg" else [ramp(16, 64)] * 3 + [np.full((16, 64), 255)])
        pixels = smooth.astype(np.uint8)
        image = opened(encoded_as(kind, pixels, Finish(kind, effort=effort, lossless=True)))
        again = np.asarray(image if kind == "jpeg" else image.convert("RGBA"))
        assert np.abs(again.astype(int) - pixels).max() <= (0 if kind in LOSSLESS else 8), effort


def test_transparent_webp_is_lossy_unless_lossless_is_asked_for():
    pixels = np.dstack([noise(64, 64), ramp(64, 64)])
    lossless, lossy = (encoded_as("webp", pixels, Finish("webp", quality=50, lossless=yes)) for yes in (True, False))
    assert len(lossy) < len(lossless) / 2
    assert np.array_equal(np.asarray(opened(lossy))[..., 3], pixels[..., 3])  # the alpha never is


def test_avif_is_transparent_close_to_the_source_and_follows_quality():
    y, x = np.mgrid[0:96, 0:96]
    pixels = np.dstack([x * 2, y * 2, (x + y), np.where(x < 48, 255, y)]).astype(np.uint8)
    sizes = []
    for quality in (40, 90):
        data = encoded_as("avif", pixels, Finish("avif", quality=quality))
        image = opened(data)
        assert (image.format, image.mode, image.size) == ("AVIF", "RGBA", (96, 96))
        sizes.append(len(data))
    assert np.abs(np.asarray(image).astype(int) - pixels)[:, :48].max() <= 8
    assert sizes[0] < sizes[1]


def test_avif_reads_back_as_rgb_so_a_grey_profile_is_worked_in():
    again = opened(encoded_as("avif", np.full((16, 16), 55, np.uint8), icc=grey_profile()))
    assert np.abs(np.asarray(again)[..., :3].astype(int) - 128).max() <= 2
    assert again.info["icc_profile"][16:20] == b"RGB "
