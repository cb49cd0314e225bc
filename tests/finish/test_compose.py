from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from batch_removebg.finish.cut import cut, cut_out
from batch_removebg.finish.finish import compose
from batch_removebg.finish.options import Finish
from batch_removebg.imaging.arrays import Picture, joined
from batch_removebg.imaging.colour import srgb_profile
from batch_removebg.model import Matte
from tests.matting.test_refine import RED as CRIMSON
from tests.matting.test_refine import as_the_network_sees_it, disc, photo
from tests.support.pictures import grey_profile, noise, ramp, swapped_profile

OWN = {"edges": "keep", "refine": "none", "clean_below": 0}
"""The photo's own colours, and the alpha as it is."""
PLAIN = Finish(**OWN)
RED = (255, 0, 0)


def picture(pixels, **fields):
    return Picture(pixels, **fields)


def composed(source, alpha, finish):
    """The finished picture, its alpha as a last channel as in the file."""
    result = compose(cut(replace(source, pixels=source.pixels.copy()), alpha, finish), finish)
    return replace(result, pixels=joined(result.pixels, result.alpha), alpha=None)


def mask(values):
    return np.array(values, np.uint8)


def test_green_under_an_alpha_of_one_is_kept_exactly():
    green = picture(np.full((3, 5, 3), (0, 255, 0), np.uint8))
    result = composed(green, np.full((3, 5), 1, np.uint8), PLAIN)
    assert (result.pixels == (0, 255, 0, 1)).all()


def test_colours_are_the_sources_at_every_alpha():
    pixels, alpha = noise(4, 256), ramp(4, 256)
    result = composed(picture(pixels), alpha, PLAIN).pixels
    assert np.array_equal(result[:, 1:, :3], pixels[:, 1:])
    assert np.array_equal(result[..., 3], alpha)


@pytest.mark.parametrize("pixels", [noise(300, 1100), noise(300, 1100, 1)])
def test_colours_are_the_sources_wherever_anything_shows_and_zero_where_nothing_does(pixels):
    alpha = (noise(300, 1100, 1, seed=1) // 64) * 85
    result = composed(picture(pixels), alpha, PLAIN).pixels
    colours = result[..., :-1].reshape(pixels.shape)
    assert np.array_equal(colours[alpha > 0], pixels[alpha > 0])
    assert not colours[alpha == 0].any()
    assert np.array_equal(result[..., -1], alpha)


def test_grey_stays_grey():
    pixels, alpha = noise(4, 256, 1), ramp(4, 256)
    result = composed(picture(pixels, icc=grey_profile()), alpha, PLAIN)
    assert np.array_equal(result.pixels, np.stack([np.where(alpha, pixels, 0), alpha], axis=2))
    assert result.icc == grey_profile()


@pytest.mark.parametrize(
    "finish", [PLAIN, Finish("jpeg", **OWN), Finish(background=RED, **OWN), Finish(mask_only=True, **OWN)]
)
@pytest.mark.parametrize("shape", [(1, 1), (50, 40), (320, 320), (10, 6000)])
def test_the_result_has_the_sources_size_whatever_the_alphas(finish, shape):
    result = composed(picture(noise(50, 40)), np.full(shape, 200, np.uint8), finish)
    assert result.pixels.shape[:2] == (50, 40)


def test_an_alpha_of_another_size_is_fitted_by_lanczos():
    alpha = noise(8, 8, 1)
    result = composed(picture(noise(50, 40)), alpha, PLAIN)
    expected = Image.fromarray(alpha).resize((40, 50), Image.Resampling.LANCZOS)
    assert np.array_equal(result.pixels[..., 3], np.asarray(expected))


@pytest.mark.parametrize("level", [0, 1, 254, 255])
def test_an_even_alpha_is_still_even_when_fitted(level):
    result = composed(picture(noise(50, 40)), np.full((7, 9), level, np.uint8), PLAIN)
    assert (result.pixels[..., 3] == level).all()


def test_an_alpha_of_the_right_size_is_not_touched_dust_and_all():
    alpha = mask([[0, 1, 2, 3, 252, 253, 254, 255]])
    assert np.array_equal(composed(picture(noise(1, 8)), alpha, PLAIN).pixels[..., 3], alpha)


def test_the_sources_own_transparency_multiplies():
    own = mask([[255, 128, 0, 128]])
    result = composed(picture(noise(1, 4), alpha=own), mask([[100, 100, 255, 255]]), PLAIN)
    assert result.pixels[..., 3].tolist() == [[100, 50, 0, 128]]
    assert result.notes == ("source had transparency: kept",)


def test_two_alphas_multiply_to_the_nearest_whole_step():
    ours, own = np.mgrid[0:256, 0:256].astype(np.uint8)
    result = composed(picture(noise(256, 256), alpha=own), ours, PLAIN).pixels[..., 3]
    assert np.array_equal(result, np.floor(ours * own.astype(float) / 255 + 0.5))


def test_an_opaque_alpha_channel_of_the_source_is_no_transparency():
    own = np.full((1, 4), 255, np.uint8)
    result = composed(picture(noise(1, 4), alpha=own), mask([[0, 1, 2, 3]]), PLAIN)
    assert (result.pixels[..., 3].tolist(), result.notes) == ([[0, 1, 2, 3]], ())


def test_an_empty_result_is_noted():
    result = composed(picture(noise(2, 2)), np.zeros((2, 2), np.uint8), PLAIN)
    assert result.notes == ("nothing is left of the picture: the alpha is 0 everywhere",)


@pytest.mark.parametrize(
    "finish", [Finish("jpeg", **OWN), Finish("jpeg", background=RED, **OWN), Finish(background=(1, 128, 254), **OWN)]
)
def test_a_background_is_mixed_by_the_formula_for_every_alpha(finish):
    pixels, alpha = noise(40, 256), ramp(40, 256)
    result = composed(picture(pixels), alpha, finish).pixels
    weight = alpha[..., None].astype(int)
    backdrop = np.array(finish.background or (255, 255, 255))
    exact = (pixels * weight + backdrop * (255 - weight)) / 255
    assert np.array_equal(result, np.floor(exact + 0.5).astype(np.uint8))
    assert np.array_equal(result[:, 255], pixels[:, 255])
    assert (result[:, 0] == backdrop).all()


def test_grey_on_grey_stays_grey_and_on_a_colour_becomes_rgb():
    grey = picture(mask([[100, 100, 100]]))
    alpha = mask([[0, 51, 255]])
    assert composed(grey, alpha, Finish("jpeg", **OWN)).pixels.tolist() == [[255, 224, 100]]
    result = composed(grey, alpha, Finish(background=RED, **OWN)).pixels
    assert result.tolist() == [[[255, 0, 0], [224, 20, 20], [100, 100, 100]]]


def test_a_grey_profile_does_not_end_up_on_rgb_pixels():
    grey = picture(mask([[55, 55]]), icc=grey_profile())
    result = composed(grey, mask([[255, 0]]), Finish(background=RED, **OWN))
    assert result.pixels.tolist() == [[[128, 128, 128], [255, 0, 0]]]
    assert result.icc == srgb_profile()
    result = composed(grey, mask([[255, 0]]), Finish(background=(128, 128, 128), **OWN))
    assert (result.pixels.tolist(), result.icc) == ([[55, 55]], grey_profile())


def test_a_background_looks_as_asked_for_in_the_pictures_own_profile():
    result = composed(picture(noise(1, 1), icc=swapped_profile()), mask([[0]]), Finish(background=RED, **OWN))
    assert (result.pixels.tolist(), result.icc) == ([[[0, 255, 0]]], swapped_profile())


def test_mask_only_is_the_alpha_in_grey_without_a_profile():
    alpha = ramp(2, 256)
    finish = Finish(mask_only=True, background=RED, **OWN)
    result = composed(picture(noise(2, 256), icc=swapped_profile(), dpi=(300, 300)), alpha, finish)
    assert np.array_equal(result.pixels, alpha)
    assert (result.icc, result.dpi) == (None, (300, 300))


def test_neither_the_picture_nor_the_alpha_is_changed():
    source, alpha = picture(noise(5, 5), alpha=noise(5, 5, 1)), ramp(5, 5)
    before = source.pixels.copy(), source.alpha.copy(), alpha.copy()
    for finish in (PLAIN, Finish("jpeg", **OWN), Finish(mask_only=True, **OWN)):
        composed(source, alpha, finish)
    assert all(np.array_equal(*pair) for pair in zip(before, (source.pixels, source.alpha, alpha), strict=True))


def small_and_soft(height, width):
    """A photo of a red disc on green, its alpha, and the alpha as a network sees it."""
    truth = disc(height, width)
    return photo(truth), truth, as_the_network_sees_it(truth)


def test_by_default_the_edge_is_the_photos_and_what_is_opaque_stays_bit_for_bit():
    pixels, truth, small = small_and_soft(300, 340)
    result = composed(picture(pixels), small, Finish()).pixels
    plain = composed(picture(pixels), small, PLAIN).pixels
    assert np.abs(result[..., 3] / 255 - truth).mean() < 0.3 * np.abs(plain[..., 3] / 255 - truth).mean()
    opaque = result[..., 3] == 255
    assert np.array_equal(result[..., :3][opaque], pixels[opaque])
    assert not result[result[..., 3] == 0].any()


def test_on_white_clean_edges_leave_no_rim_of_the_green_behind():
    pixels, truth, _ = small_and_soft(300, 340)
    alpha = np.rint(truth * 255).astype(np.uint8)
    right = truth[..., None] * CRIMSON + (1 - truth[..., None]) * 255
    rim = (alpha > 0) & (alpha < 255)
    off = {
        edges: np.abs(composed(picture(pixels), alpha, Finish("jpeg", edges=edges)).pixels.astype(float) - right)[
            rim
        ].mean()
        for edges in ("clean", "keep")
    }
    assert off["clean"] < 0.5 * off["keep"]


def test_a_mask_alone_is_refined_too():
    pixels, _, small = small_and_soft(300, 340)
    cutout = composed(picture(pixels), small, Finish()).pixels
    assert np.array_equal(composed(picture(pixels), small, Finish(mask_only=True)).pixels, cutout[..., 3])


def test_a_networks_alpha_is_refined_however_large_and_a_providers_of_the_photos_size_is_its_own():
    truth = disc(600, 640)
    source, soft = picture(photo(truth)), as_the_network_sees_it(truth, size=(640, 600), blur=3)
    theirs, ours = (
        cut_out(source, Matte(soft, engine=engine), Finish(mask_only=True)).mask for engine in (None, "onnxruntime CPU")
    )
    assert np.array_equal(theirs, soft)
    assert np.abs(ours / 255 - truth).mean() < 0.6 * np.abs(soft / 255 - truth).mean()


def test_the_sources_own_transparency_multiplies_the_refined_alpha():
    pixels, _, small = small_and_soft(300, 340)
    own = np.full((300, 340), 128, np.uint8)
    whole = composed(picture(pixels), small, Finish()).pixels
    half = composed(picture(pixels, alpha=own), small, Finish()).pixels
    assert np.abs(half[..., 3].astype(int) - whole[..., 3] * (128 / 255)).max() <= 0.5
    shown = half[..., 3] > 0
    assert np.array_equal(half[..., :3][shown], whole[..., :3][shown])


@pytest.mark.parametrize("channels", [1, 3])
def test_sixteen_bits_stay_what_they_are_wherever_anything_shows(channels):
    pixels, alpha = deep_noise(40, 256, channels), ramp(40, 256)
    result = composed(picture(pixels), alpha, PLAIN).pixels
    assert result.dtype == np.uint16
    shown = alpha > 0
    assert np.array_equal(result[..., :-1].reshape(pixels.shape)[shown], pixels[shown])
    assert not result[~shown].any()
    assert np.array_equal(result[..., -1], alpha * np.uint16(257))


def test_alphas_of_different_depth_multiply_to_the_nearest_step_of_sixteen_bits():
    own = deep_noise(40, 256, 1)
    result = composed(picture(deep_noise(40, 256), alpha=own), ramp(40, 256), PLAIN).pixels[..., 3]
    exact = ramp(40, 256).astype(object) * 257 * own.astype(object)
    assert np.array_equal(result, (2 * exact + 65535) // (2 * 65535))


@pytest.mark.parametrize("kind", ["png", "tiff"])
def test_a_background_is_mixed_in_sixteen_bits_by_the_formula(kind):
    pixels, alpha = deep_noise(40, 256), ramp(40, 256)
    result = composed(picture(pixels), alpha, Finish(kind, background=(1, 128, 254), **OWN)).pixels
    weight = alpha[..., None].astype(object) * 257
    exact = pixels.astype(object) * weight + np.array([257, 128 * 257, 254 * 257], object) * (65535 - weight)
    assert result.dtype == np.uint16
    assert np.array_equal(result, (2 * exact + 65535) // (2 * 65535))


@pytest.mark.parametrize("finish", [Finish("webp"), Finish("jpeg"), Finish(mask_only=True)])
def test_where_the_format_holds_eight_bits_sixteen_are_scaled_and_that_is_said(finish):
    pixels = np.array([[[0, 65535, 40000], [128, 129, 300]]], np.uint16)
    result = composed(picture(pixels), mask([[255, 255]]), finish)
    assert result.pixels.dtype == np.uint8
    if finish.mask_only:
        assert (result.pixels.tolist(), result.notes) == ([[255, 255]], ())
    else:
        assert result.pixels[..., :3].tolist() == [[[0, 255, 156], [0, 1, 1]]]
        assert result.notes == (f"16 bits a channel reduced to 8, which is what {finish.format} holds",)


def deep_noise(height, width, channels=3):
    return noise(height, width, 2 * channels).view(np.uint16).reshape((height, width, channels)[: 2 + (channels > 1)])
