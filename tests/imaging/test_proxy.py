import numpy as np
import pytest
from PIL import Image, JpegImagePlugin

from batch_removebg.errors import SourceError
from batch_removebg.imaging import decode
from batch_removebg.imaging.decode import lanczos
from batch_removebg.imaging.decode import proxy as make_proxy
from batch_removebg.imaging.format import Limits
from batch_removebg.model import ProxySpec
from tests.support.pictures import cmyk_profile, encoded, exif, noise, opened, swapped_profile

BMP = ProxySpec(longest=100, encoding="bmp")


def proxy(data, spec=BMP):
    return make_proxy(data, spec, Limits())


def pixels(result):
    return np.asarray(opened(result.data))


@pytest.mark.parametrize(
    ("source", "longest", "expected"),
    [
        ((300, 200), 100, (100, 67)),
        ((200, 300), 100, (67, 100)),
        ((100, 50), 100, (100, 50)),
        ((40, 30), 100, (40, 30)),
        ((600, 1), 100, (100, 1)),
        ((1, 1), 100, (1, 1)),
    ],
)
def test_the_longest_side_is_bounded_and_nothing_is_enlarged(source, longest, expected):
    result = proxy(encoded(noise(source[1], source[0])), ProxySpec(longest=longest))
    assert (result.width, result.height) == expected
    assert opened(result.data).size == expected


@pytest.mark.parametrize("source", [(300, 200), (20, 30), (600, 1)])
def test_a_square_is_a_square_whatever_the_aspect(source):
    result = proxy(encoded(noise(source[1], source[0])), ProxySpec(square=32, encoding="bmp"))
    assert (result.width, result.height, opened(result.data).size) == (32, 32, (32, 32))


def test_a_jpeg_proxy_is_not_subsampled_and_of_the_asked_quality():
    result = proxy(encoded(noise(40, 60)), ProxySpec(quality=92))
    image = opened(result.data)
    assert (result.content_type, image.format, image.mode) == ("image/jpeg", "JPEG", "RGB")
    assert JpegImagePlugin.get_sampling(image) == 0
    assert image.quantization == opened(encoded(noise(8, 8), "JPEG", quality=92)).quantization


def test_a_bmp_proxy_within_the_size_is_the_pixels_themselves():
    source = noise(20, 30)
    result = proxy(encoded(source))
    assert (result.content_type, result.notes) == ("image/bmp", ())
    assert np.array_equal(pixels(result), source)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF"])
def test_the_proxy_is_upright_like_the_picture(kind):
    for orientation in range(1, 9):
        stored = np.zeros((80, 160, 3), np.uint8)
        stored[:40, :40] = 255
        data = encoded(stored, kind, exif=exif(orientation))
        whole = Image.fromarray(decode.read(data, Limits()).pixels)
        result = proxy(data, ProxySpec(longest=40, encoding="bmp"))
        assert (result.width, result.height) == ((20, 40) if orientation >= 5 else (40, 20)), orientation
        expected = np.asarray(whole.resize((result.width, result.height), Image.Resampling.LANCZOS))
        assert np.abs(pixels(result).astype(int) - expected).max() <= 12, orientation


def test_a_jpeg_is_decoded_no_larger_than_needed(monkeypatch):
    sizes = []

    def resized(pixels, size):
        sizes.append((pixels.width, pixels.height))
        return lanczos(pixels, size)

    monkeypatch.setattr("batch_removebg.imaging.decode.lanczos", resized)
    proxy(encoded(noise(400, 800), "JPEG"), ProxySpec(longest=100))
    assert sizes[0] == (200, 100)
    sizes.clear()
    proxy(encoded(noise(295, 590), "JPEG"), ProxySpec(longest=100))
    assert sizes[0] == (295, 148)  # a quarter would be less than one and a half times the target


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF"])
def test_proxies_of_several_sizes_are_those_of_each_size_and_what_they_share_is_decoded_once(monkeypatch, kind):
    data, several = encoded(noise(400, 800), kind), ProxySpec(square=40, encoding="bmp", more=(90, 300, 900))
    alone = [proxy(data, ProxySpec(square=side, encoding="bmp")) for side in (40, 90, 300, 900)]
    decoded, unpack = [], decode.unpack
    monkeypatch.setattr(decode, "unpack", lambda header, shrink: decoded.append(shrink) or unpack(header, shrink))
    made = proxy(data, several)
    assert decode.apart(made.data) == [each.data for each in alone]
    assert (made.width, decoded) == (40, [4, 2, 1] if kind == "JPEG" else [1])


def test_a_picture_alone_is_not_taken_apart():
    for data in (b"", b"BM", b"BM" + bytes(60), encoded(noise(3, 4)), proxy(encoded(noise(3, 4))).data):
        assert decode.apart(data) == [data]


def test_reduced_decoding_looks_like_lanczos_on_the_whole():
    smooth = Image.fromarray(noise(6, 8)).resize((640, 480), Image.Resampling.BICUBIC)
    data = encoded(smooth, "JPEG", quality=95)
    expected = Image.fromarray(decode.read(data, Limits()).pixels).resize((64, 48), Image.Resampling.LANCZOS)
    difference = pixels(proxy(data, ProxySpec(longest=64, encoding="bmp"))).astype(int) - np.asarray(expected)
    assert np.abs(difference).mean() < 1


def test_resizing_is_lanczos_on_the_source():
    source = noise(90, 120)
    expected = lanczos(source, (40, 30))
    assert np.array_equal(pixels(proxy(encoded(source), ProxySpec(longest=40, encoding="bmp"))), expected)


def test_colours_are_converted_to_srgb_and_the_profile_stays_at_home():
    result = proxy(encoded(Image.new("RGB", (4, 4), (255, 0, 0)), icc_profile=swapped_profile()))
    assert pixels(result)[0, 0].tolist() == [0, 255, 0]
    result = proxy(encoded(Image.new("CMYK", (4, 4), (255, 0, 0, 0)), "TIFF", icc_profile=cmyk_profile()))
    assert pixels(result)[0, 0].tolist() == [0, 255, 0]


def test_a_broken_profile_is_ignored_with_a_note():
    result = proxy(encoded(noise(4, 4), icc_profile=bytes(16) + b"RGB " + bytes(200)))
    assert np.array_equal(pixels(result), noise(4, 4))
    assert result.notes[0].startswith("colour profile ignored: it is broken")


def test_what_is_transparent_becomes_white():
    source = np.array([[[10, 20, 30, 255], [10, 20, 30, 0], [0, 0, 0, 51]]], np.uint8)
    assert pixels(proxy(encoded(source))).tolist() == [[[10, 20, 30], [255, 255, 255], [204, 204, 204]]]


def test_colour_hidden_under_transparency_does_not_bleed_when_resized():
    source = np.zeros((40, 40, 4), np.uint8)
    source[:, :20] = (255, 0, 0, 0)
    source[:, 20:] = (0, 0, 255, 255)
    small = pixels(proxy(encoded(source), ProxySpec(longest=10, encoding="bmp"))).astype(int)
    assert (small[..., 0] <= small[..., 1] + 1).all()  # between white and blue, red and green are alike


def test_grey_and_transparent_grey_go_up_as_rgb():
    grey = pixels(proxy(encoded(noise(5, 6, 1))))
    assert np.array_equal(grey, np.repeat(noise(5, 6, 1)[..., None], 3, axis=2))
    pair = Image.fromarray(np.array([[[7, 255], [7, 0]]], np.uint8))
    assert pixels(proxy(encoded(pair))).tolist() == [[[7, 7, 7], [255, 255, 255]]]


def test_no_metadata_goes_up():
    data = encoded(noise(8, 8), "JPEG", exif=exif(1), comment=b"a secret", icc_profile=swapped_profile())
    result = proxy(data, ProxySpec())
    assert opened(result.data).info == {}
    assert b"secret" not in result.data
    assert b"Camera" not in result.data


def test_notes_of_the_source_come_along():
    frames = [Image.new("RGB", (8, 6), colour) for colour in ("red", "blue")]
    result = proxy(encoded(frames[0], "GIF", save_all=True, append_images=frames[1:]))
    assert result.notes == ("animated, first of 2 frames taken",)


def test_a_source_that_is_cut_short_is_refused():
    with pytest.raises(SourceError, match="damaged or cut short"):
        proxy(encoded(noise(40, 40), "JPEG")[:-200])


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_every_kind_of_picture_is_what_pillow_makes_of_it_but_for_rounding(mode):
    bands = [Image.fromarray(noise(9, 12, 1, seed)).resize((190, 150), Image.Resampling.BICUBIC) for seed in range(4)]
    image = Image.merge(mode, bands[: len(Image.new(mode, (1, 1)).getbands())])
    small = lanczos(np.asarray(image), (80, 60))
    expected = np.asarray(image.resize((80, 60), Image.Resampling.LANCZOS)).astype(int)
    assert small.shape == expected.shape
    assert np.abs(small - expected).max() <= 2


def test_the_finest_grain_differs_from_pillows_by_what_rounded_places_of_the_taps_come_to():
    image = Image.fromarray(noise(150, 190))
    expected = np.asarray(image.resize((80, 60), Image.Resampling.LANCZOS)).astype(int)
    difference = np.abs(lanczos(np.asarray(image), (80, 60)) - expected)
    assert difference.max() <= 12
    assert difference.mean() < 2.5  # two pictures without relation differ by 40


@pytest.mark.parametrize(
    "source", [(320, 320), (321, 320), (333, 479), (500, 331), (641, 1003), (1001, 327), (5000, 321)]
)
def test_the_size_is_the_one_asked_for_whatever_the_ratio(source):
    assert lanczos(np.asarray(Image.new("RGB", source, (9, 99, 199))), (320, 320)).shape == (320, 320, 3)


@pytest.mark.parametrize("source", [(333, 479), (2400, 1601), (4000, 700)])
def test_a_plain_picture_stays_as_it_is_to_the_rim(source):
    small = lanczos(np.asarray(Image.new("RGB", source, (9, 99, 199))), (320, 320))
    assert np.array_equal(small, np.broadcast_to(np.array([9, 99, 199], np.uint8), small.shape))


def test_what_is_far_larger_goes_through_boxes_and_looks_like_lanczos_all_the_same():
    smooth = Image.fromarray(noise(6, 8)).resize((1600, 1200), Image.Resampling.BICUBIC)
    expected = np.asarray(smooth.resize((80, 60), Image.Resampling.LANCZOS)).astype(int)
    assert np.abs(lanczos(np.asarray(smooth), (80, 60)) - expected).max() <= 3


@pytest.mark.parametrize("size", [(30, 20), (60, 10), (20, 40)])
def test_what_is_as_large_or_is_enlarged_is_pillows(size):
    image = Image.fromarray(noise(20, 30))
    assert np.array_equal(lanczos(np.asarray(image), size), image.resize(size, Image.Resampling.LANCZOS))


def test_any_picture_comes_out_in_the_size_and_looks_of_pillows():
    for seed in range(40):
        rng = np.random.default_rng(seed)
        width, height = (int(side) for side in rng.integers(8, 1500, 2))
        size = int(rng.integers(8, width + 1)), int(rng.integers(8, height + 1))
        image = Image.fromarray(noise(4, 5, seed=seed)).resize((width, height), Image.Resampling.BICUBIC)
        small = lanczos(np.asarray(image), size)
        expected = np.asarray(image.resize(size, Image.Resampling.LANCZOS)).astype(int)
        assert small.shape == expected.shape, seed
        assert np.abs(small - expected).mean() <= 1, seed
