from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from batch_removebg.matting.foreground import foreground
from tests.matting.test_refine import GREEN, RED, disc, photo


def soft(height: int, width: int) -> npt.NDArray[np.float32]:
    """A disc whose edge is some 8 pixels wide."""
    small = disc(height // 4, width // 4)
    return np.kron(small, np.ones((4, 4), np.float32))


def eight(alpha: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    return np.rint(alpha * 255).astype(np.uint8)


def test_at_the_maximum_and_at_zero_pixels_stay_bit_for_bit() -> None:
    alpha = soft(240, 300)
    colours = photo(alpha, grain=20)
    found = foreground(colours.copy(), eight(alpha))
    settled = (eight(alpha) == 0) | (eight(alpha) == 255)
    assert (found[settled] == colours[settled]).all()
    assert (found[~settled] != colours[~settled]).any()


def test_before_a_green_wall_no_green_is_left_at_the_edge() -> None:
    alpha = soft(240, 300)
    found = foreground(photo(alpha, front=RED, back=(20, 230, 40), grain=2), eight(alpha))
    mixed = (eight(alpha) > 40) & (eight(alpha) < 255)
    assert np.abs(found[mixed] - np.float32(RED)).mean() < 6
    on_white = alpha[..., None] * found + (1 - alpha[..., None]) * np.float32(255)
    right = alpha[..., None] * np.float32(RED) + (1 - alpha[..., None]) * np.float32(255)
    assert np.abs(on_white - right)[mixed].mean() < 5


def test_in_16_bits_it_is_the_same_but_finer() -> None:
    alpha = soft(120, 120)
    colours = photo(alpha)
    deep = foreground(colours.astype(np.uint16) * 257, np.rint(alpha * 65535).astype(np.uint16))
    assert deep.dtype == np.uint16
    shallow = foreground(colours, eight(alpha))
    mixed = (eight(alpha) > 0) & (eight(alpha) < 255)
    assert np.abs(deep[mixed] / 257 - shallow[mixed]).max() < 4


def test_grey_stays_grey() -> None:
    alpha = soft(120, 160)
    grey = np.ascontiguousarray(photo(alpha)[..., 0])
    found = foreground(grey, eight(alpha))
    assert found.shape == grey.shape
    mixed = (eight(alpha) > 40) & (eight(alpha) < 255)
    assert np.abs(found[mixed] - np.float32(RED[0])).mean() < 8


def test_without_a_mixed_pixel_the_picture_itself_is_returned() -> None:
    colours = photo(disc(50, 60))
    assert foreground(colours, eight(disc(50, 60) > 0.5)) is colours


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (5, 3), (41, 2)])
@pytest.mark.parametrize("level", [1, 127, 254])
def test_of_a_picture_that_is_mixed_all_over_the_colours_are_its_own(shape: tuple[int, int], level: int) -> None:
    colours = np.full((*shape, 3), GREEN, np.uint8)
    found = foreground(colours, np.full(shape, level, np.uint8))
    assert np.abs(found - np.float32(GREEN)).max() <= 1


def test_pixels_are_changed_where_they_lie_unless_they_are_read_only() -> None:
    alpha = soft(60, 60)
    colours, mask = photo(alpha), eight(alpha)
    mask.setflags(write=False)
    kept = colours.copy()
    kept.setflags(write=False)
    copied = foreground(kept, mask)
    assert np.array_equal(kept, colours)
    assert foreground(colours, mask) is colours
    assert np.array_equal(colours, copied)
