"""Dust goes, and what belongs to the subject stays bit for bit."""

from __future__ import annotations

import numpy as np
import pytest

from batch_removebg.matting.dust import LEAST, TILES, cleaned
from batch_removebg.matting.matte import Alpha
from tests.support.pictures import noise

SIZES = [(400, 300), (1800, 2400)]


def subject(height: int, width: int) -> Alpha:
    """Opaque in the middle, with a hair of 12 to the left that thins out to 9 in its last pixels."""
    alpha = np.zeros((height, width), np.uint8)
    alpha[height // 3 : -height // 3, width // 3 : -width // 3] = 255
    alpha[height // 2, width // 8 : width // 3] = 12
    alpha[height // 2, width // 8 - LEAST : width // 8] = 9
    return alpha


@pytest.mark.parametrize("size", SIZES)
def test_faint_alpha_away_from_the_subject_is_cleared_and_its_hair_stays(
    size: tuple[int, int],
) -> None:
    alpha = subject(*size)
    dusty = alpha.copy()
    dusty[: size[0] // 8, -size[1] // 5 :] = 9
    dusty[-3:, :3] = 1
    assert np.array_equal(cleaned(dusty, 10), alpha)
    assert cleaned(alpha, 10) is alpha


@pytest.mark.parametrize("size", SIZES)
def test_a_haze_over_all_the_picture_fades_out_around_the_subject(size: tuple[int, int]) -> None:
    alpha = subject(*size)
    hazy = np.maximum(alpha, noise(*size, 1) % 9)
    result = cleaned(hazy, 10)
    tile = max(LEAST, -(-max(size) // TILES))
    assert (result <= hazy).all()
    assert np.array_equal(result[hazy >= 10], hazy[hazy >= 10])
    assert not result[: size[0] // 3 - 3 * tile, size[1] // 2].any()
    flat = cleaned(np.maximum(alpha, 9), 10)[: size[0] // 3, size[1] // 2].astype(int)
    assert (np.diff(flat) >= 0).all()  # no rings, and no edge that shows
    assert np.diff(flat).max() <= 2
    assert flat[-1] == 9


def test_what_is_not_fainter_than_the_level_stays() -> None:
    alpha = subject(400, 300)
    alpha[:50, -50:] = 10
    assert cleaned(alpha, 10) is alpha
    assert not cleaned(alpha, 11)[:40, -40:].any()
    assert cleaned(alpha, 0) is cleaned(alpha, 1) is alpha


@pytest.mark.parametrize("shape", [(1, 1), (1, 5000), (7, 9), (129, 1030)])
def test_alphas_of_any_shape_without_a_subject_are_emptied_and_not_changed_in_place(shape: tuple[int, int]) -> None:
    alpha = np.full(shape, 9, np.uint8)
    assert cleaned(alpha, 10).shape == shape
    assert not cleaned(alpha, 10).any()
    assert (alpha == 9).all()
