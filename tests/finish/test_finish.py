import numpy as np
import pytest
from PIL import Image

from batch_removebg.errors import OutputBroken, SourceError
from batch_removebg.finish import finish as module
from batch_removebg.finish.options import Finish
from batch_removebg.finish.passthrough import as_it_is
from batch_removebg.imaging import decode
from batch_removebg.imaging.colour import srgb_profile
from batch_removebg.imaging.format import EXTENSIONS, Limits
from batch_removebg.model import Matte
from tests.support.pictures import (
    cmyk_profile,
    deep_tiff,
    encoded,
    exif,
    grey_profile,
    noise,
    opened,
    png,
    ramp,
    swapped_profile,
    write_png,
)

LIMITS = Limits()
OWN = {"edges": "keep", "refine": "none", "clean_below": 0, "colours": "keep", "lossless": True}
PLAIN = Finish(**OWN)


def finish(data, alpha, how, limits, *, peak=None):
    return module.finish(data, Matte(alpha, peak), [how], limits)[0]


def finish_cutout(data, how, limits):
    return as_it_is(data, how, limits) or module.finish_cutout(data, [how], limits)[0]


def cutout(height=20, width=30):
    return cut(noise(height, width), ramp(height, width))


def cut(pixels, alpha):
    return np.dstack([np.where(alpha[..., None], pixels, 0), alpha])


@pytest.mark.parametrize("kind", ["png", "webp", "tiff"])
def test_source_pixels_profile_and_size_survive_from_file_to_file(kind):
    pixels = noise(20, 30)
    result = finish(encoded(pixels, icc_profile=swapped_profile()), ramp(20, 30), Finish(kind, **OWN), LIMITS)
    image = opened(result.data)
    assert (image.format, image.size, result.width, result.height) == (kind.upper(), (30, 20), 30, 20)
    assert np.array_equal(np.asarray(image), cut(pixels, ramp(20, 30)))
    assert (image.info["icc_profile"], result.notes) == (swapped_profile(), ())


@pytest.mark.parametrize("kind", ["png", "webp", "tiff", "jpeg"])
def test_the_result_is_upright_and_says_nothing_of_turning(kind):
    for orientation in range(1, 9):
        source = encoded(noise(20, 30), exif=exif(orientation))
        result = finish(source, ramp(8, 8), Finish(kind), LIMITS)
        image = opened(result.data)
        assert image.size == (result.width, result.height) == ((20, 30) if orientation >= 5 else (30, 20)), orientation
        assert image.getexif().get(0x0112, 1) == 1, orientation


@pytest.mark.parametrize("kind", ["png", "webp", "tiff", "jpeg"])
def test_cmyk_leaves_as_srgb_and_says_so(kind):
    source = encoded(Image.new("CMYK", (4, 4), (255, 0, 0, 0)), "TIFF", icc_profile=cmyk_profile())
    image = opened(finish(source, np.full((4, 4), 255, np.uint8), Finish(kind, lossless=True), LIMITS).data)
    assert image.info["icc_profile"] == srgb_profile()
    assert np.abs(np.asarray(image)[0, 0, :3].astype(int) - [0, 255, 0]).max() <= (3 if kind == "jpeg" else 0)


def test_dust_is_cleared_from_picture_and_mask_but_a_providers_own_cutout_stays():
    alpha = np.zeros((200, 300), np.uint8)
    alpha[80:120, 100:200] = 255
    dusty = alpha.copy()
    dusty[:20, :40] = 9
    for wanted in (Finish(), Finish(mask_only=True)):
        made = np.asarray(opened(finish(encoded(noise(200, 300)), dusty, wanted, LIMITS).data))
        assert np.array_equal(made if wanted.mask_only else made[..., 3], alpha)
    whole = np.asarray(opened(finish(encoded(noise(200, 300)), dusty, Finish(clean_below=0), LIMITS).data))
    theirs = finish_cutout(encoded(cut(noise(200, 300), dusty)), Finish("tiff"), LIMITS).data
    assert np.array_equal(whole[..., 3], dusty)
    assert np.array_equal(np.asarray(opened(theirs))[..., 3], dusty)


def test_a_finished_picture_is_judged_by_the_alpha_that_was_bought():
    alpha = np.zeros((32, 32), np.uint8)
    alpha[8:24, 8:24] = 255
    quality = finish(encoded(noise(200, 300)), alpha, Finish(), LIMITS, peak=0.98).quality
    assert (quality.coverage, quality.peak, quality.components, quality.touches) == (0.25, 0.98, 1, ())
    assert finish(encoded(noise(200, 300)), alpha, Finish(), LIMITS).quality.peak is None


def test_a_providers_cutout_keeps_its_edges_and_is_judged():
    made = opened(finish_cutout(encoded(cutout(200, 300)), Finish("tiff"), LIMITS).data)
    assert np.array_equal(np.asarray(made), cutout(200, 300))
    assert finish_cutout(encoded(cutout()), Finish("tiff"), LIMITS).quality is not None
    passed = finish_cutout(encoded(cutout()), Finish(), LIMITS)
    assert passed.quality is None
    assert module.judged(passed.data, LIMITS) == module.finish_cutout(passed.data, [Finish("tiff")], LIMITS)[0].quality


@pytest.mark.parametrize("data", [encoded(noise(4, 4)), encoded(cutout())[:-20], b"<html>"])
def test_a_cutout_that_cannot_be_judged_is_not_refused(data):
    assert module.judged(data, LIMITS) is None


@pytest.mark.parametrize("name", EXTENSIONS)
def test_the_extension_is_that_of_the_bytes(name):
    for fields in [{}, {"mask_only": True}, {"background": (1, 2, 3)}, {"quality": 50, "lossless": True}]:
        wanted = Finish(name, **fields)
        for data in (
            finish(encoded(noise(20, 30)), ramp(8, 8), wanted, LIMITS).data,
            finish_cutout(encoded(cutout()), wanted, LIMITS).data,
            finish_cutout(encoded(cutout(), "WEBP", lossless=True), wanted, LIMITS).data,
        ):
            kind = opened(data).format
            assert Image.registered_extensions()[f".{wanted.extension}"] == kind == name.upper(), fields


def test_notes_of_reading_and_composing_come_together():
    source = png(1, 1, 16, 6, bytes(8) + b"\1")
    result = finish(source, np.full((1, 1), 9, np.uint8), Finish("webp"), LIMITS)
    assert result.notes == (
        "16 bits a channel reduced to 8, which is what webp holds",
        "source had transparency: kept",
        "nothing is left of the picture: the alpha is 0 everywhere",
    )


def test_a_source_that_cannot_be_read_is_refused():
    with pytest.raises(SourceError, match="empty"):
        finish(b"", ramp(2, 2), PLAIN, LIMITS)


def test_a_cutout_that_shall_be_a_plain_png_stays_byte_for_byte():
    data = encoded(cutout(), icc_profile=swapped_profile())
    result = finish_cutout(data, PLAIN, LIMITS)
    assert (result.data, result.width, result.height, result.notes) == (data, 30, 20, ())
    deep = png(1, 1, 16, 6, b"\x00\x9c\x40" + bytes(6))
    assert finish_cutout(deep, PLAIN, LIMITS).data == deep


@pytest.mark.parametrize("kind", ["webp", "tiff"])
def test_a_cutout_in_another_format_has_the_same_pixels(kind):
    image = opened(finish_cutout(encoded(cutout()), Finish(kind, lossless=True), LIMITS).data)
    assert image.format == kind.upper()
    assert np.array_equal(np.asarray(image), cutout())


def test_a_cutout_of_another_format_becomes_png():
    result = finish_cutout(encoded(cutout(), "WEBP", lossless=True, exact=True), PLAIN, LIMITS)
    assert opened(result.data).format == "PNG"
    assert np.array_equal(np.asarray(opened(result.data)), cutout())


def test_a_cutouts_alpha_counts_once():
    result = finish_cutout(encoded(np.full((2, 2, 4), 100, np.uint8)), Finish("tiff"), LIMITS)
    assert (np.asarray(opened(result.data)) == 100).all()
    assert result.notes == ()


def test_a_cutout_can_be_laid_on_a_background_or_give_its_mask():
    data = encoded(cutout())
    flat = np.asarray(opened(finish_cutout(data, Finish(background=(1, 2, 3)), LIMITS).data))
    assert (flat[:, 0].tolist(), flat.shape) == ([[1, 2, 3]] * 20, (20, 30, 3))
    mask = opened(finish_cutout(data, Finish(mask_only=True), LIMITS).data)
    assert np.array_equal(np.asarray(mask), ramp(20, 30))


def test_what_a_provider_wrote_about_the_place_is_not_passed_on():
    data = encoded(cutout(), exif=exif(6))
    result = finish_cutout(data, PLAIN, LIMITS)
    assert b"Camera" not in result.data
    assert (result.width, result.height) == (20, 30)
    assert np.array_equal(np.asarray(opened(result.data)), cutout()[::-1].swapaxes(0, 1))


def test_a_grey_mask_will_do_for_mask_only_and_for_nothing_else():
    data = encoded(ramp(4, 9), icc_profile=grey_profile())
    mask = opened(finish_cutout(data, Finish(mask_only=True), LIMITS).data)
    assert np.array_equal(np.asarray(mask), ramp(4, 9))
    with pytest.raises(OutputBroken, match="no alpha"):
        finish_cutout(data, PLAIN, LIMITS)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "^the output is empty"),
        (b"<html>", "^the output is not a picture"),
        (encoded(cutout())[:-60], "^the output is damaged or cut short"),
        (encoded(noise(4, 4)), "^the output has no alpha"),
        (png(60000, 60000, 8, 6, bytes(9)), "--max-pixels"),
    ],
)
def test_an_output_that_is_no_cutout_is_the_providers_fault(data, message):
    with pytest.raises(OutputBroken, match=message):
        finish_cutout(data, PLAIN, LIMITS)


@pytest.mark.parametrize("source", ["png", "tiff"])
@pytest.mark.parametrize("kind", ["png", "tiff"])
def test_sixteen_bits_survive_from_file_to_file(source, kind):
    for channels in [1, 2, 3, 4]:
        pixels = noise(20, 30, 2 * channels).view(np.uint16)
        profile = grey_profile() if channels < 3 else swapped_profile()
        data = deep_tiff(pixels, icc=profile) if source == "tiff" else write_png(pixels, effort=2, icc=profile)
        opaque = np.full((20, 30), 255, np.uint8)
        result = finish(data, opaque, Finish(kind), LIMITS)
        again = decode.read(result.data, LIMITS)
        colours = pixels[..., 0] if channels < 3 else pixels[..., :3]
        alpha = pixels[..., -1] if channels in (2, 4) else opaque * np.uint16(257)
        assert np.array_equal(again.pixels, np.where(alpha[(..., None)[: colours.ndim - 1]], colours, 0)), channels
        assert np.array_equal(again.alpha, alpha), channels
        assert again.icc == profile, channels
        assert result.notes == (("source had transparency: kept",) if channels in (2, 4) else ()), channels
