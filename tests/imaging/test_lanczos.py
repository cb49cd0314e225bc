import numpy as np
import pytest
from PIL import Image

from batch_removebg.imaging.lanczos import lanczos
from tests.support.pictures import noise


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


@pytest.mark.parametrize("seed", range(40))
def test_any_picture_comes_out_in_the_size_and_looks_of_pillows(seed):
    rng = np.random.default_rng(seed)
    width, height = (int(side) for side in rng.integers(8, 1500, 2))
    size = int(rng.integers(8, width + 1)), int(rng.integers(8, height + 1))
    image = Image.fromarray(noise(4, 5, seed=seed)).resize((width, height), Image.Resampling.BICUBIC)
    small = lanczos(np.asarray(image), size)
    expected = np.asarray(image.resize(size, Image.Resampling.LANCZOS)).astype(int)
    assert small.shape == expected.shape
    assert np.abs(small - expected).mean() <= 1
