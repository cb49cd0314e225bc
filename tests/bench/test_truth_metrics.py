"""The truth benchmark's measures: nothing for the truth itself, the known number for a known fault."""

from __future__ import annotations

from collections import deque

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.bench.matting.metrics import NAMES, SIGMA, Truth, connectivity_error, gradient_error, score, steepness
from tests.bench.matting.regions import band, edges, largest, near


def truth_of(alpha: NDArray[np.uint8], colour: tuple[int, int, int] = (100, 100, 100)) -> Truth:
    """With an alpha in 255ths, one colour, and a photograph of the same colour."""
    plane = np.full((*alpha.shape, 3), colour, np.uint8)
    return Truth(alpha.astype(np.uint16) * 257, plane, plane)


def result(alpha: NDArray[np.uint8], colour: tuple[int, int, int] = (100, 100, 100)) -> NDArray[np.uint8]:
    return np.dstack([np.full((*alpha.shape, 3), colour, np.uint8), alpha])


def half(height: int = 40, width: int = 60) -> NDArray[np.uint8]:
    alpha = np.zeros((height, width), np.uint8)
    alpha[:, width // 2 :] = 255
    return alpha


def test_the_truth_itself_has_no_error_of_any_kind() -> None:
    alpha = np.random.default_rng(1).integers(0, 256, (37, 53)).astype(np.uint8)
    found = score(truth_of(alpha), result(alpha))
    assert {name: getattr(found, name) for name in NAMES} == pytest.approx(dict.fromkeys(NAMES, 0.0), abs=1e-5)


def test_mae_is_the_mean_and_sad_the_thousandth_of_the_sum() -> None:
    guess = half()
    guess[:10, :10] = 51  # 100 pixels that are 0.2 off
    found = score(truth_of(half()), result(guess))
    assert found.mae == pytest.approx(100 * 0.2 / 2400, rel=1e-5)
    assert found.sad == pytest.approx(0.02, rel=1e-5)


def test_the_band_is_what_lies_within_five_pixels_of_an_edge() -> None:
    alpha = half().astype(np.float32) / 255
    assert np.flatnonzero(edges(alpha).all(axis=0)).tolist() == [29, 30]
    assert np.flatnonzero(band(alpha).any(axis=0)).tolist() == list(range(24, 36))


def test_what_is_wrong_outside_the_band_is_no_band_error() -> None:
    guess = half()
    guess[:, :24] = 255
    assert score(truth_of(half()), result(guess)).band == 0
    guess = half()
    guess[:, 24:30] = 255  # half of the band
    assert score(truth_of(half()), result(guess)).band == pytest.approx(0.5)


def test_a_slow_ramp_is_no_edge_and_the_inside_of_glass_is_none() -> None:
    ramp = np.linspace(0, 1, 80, dtype=np.float32)[None, :].repeat(9, 0)
    assert not edges(ramp).any()
    assert edges(ramp * 2).all()  # over forty pixels it is one
    glass = np.zeros((40, 40), np.float32)
    glass[5:35, 5:35] = 0.4
    assert not edges(glass)[8:32, 8:32].any()


def test_near_is_a_disc_by_euclid() -> None:
    mask = np.random.default_rng(2).random((31, 23)) > 0.995
    mask[4, 20] = True
    rows, columns = np.indices(mask.shape)
    far = np.min([(rows - r) ** 2 + (columns - c) ** 2 for r, c in np.argwhere(mask)], axis=0)
    for radius in (1, 2, 5, 7):
        assert np.array_equal(near(mask, radius), far <= radius * radius)


def test_the_composite_error_is_that_on_black_and_on_white_averaged() -> None:
    nothing = np.zeros((10, 10), np.uint8)
    whole = nothing + 255
    # On black 100 is missing; on white there is 255 where 100 should be.
    assert score(truth_of(whole), result(nothing)).composite == pytest.approx((100 + 155) / 2)
    assert score(truth_of(whole), result(whole, (110, 100, 100))).composite == pytest.approx(10 / 3)


def test_colour_counts_only_where_it_is_seen() -> None:
    nothing = np.zeros((10, 10), np.uint8)
    assert score(truth_of(nothing), result(nothing, (7, 8, 9))).composite == 0
    dim = nothing + 51
    assert score(truth_of(dim), result(dim, (110, 110, 110))).composite == pytest.approx(10 * 0.2, rel=1e-5)


def test_grain_of_the_subject_is_a_composite_error_but_none_of_the_cut() -> None:
    whole = np.full((10, 10), 255, np.uint8)
    known = truth_of(whole)
    known.photo = known.photo + np.uint8(3)
    found = score(known, result(whole, (103, 103, 103)))
    assert found.composite == pytest.approx(3)
    assert found.cut == 0


def test_beyond_the_edges_is_the_composite_error_without_that_of_the_band() -> None:
    guess = half()
    guess[:, 24:30] = 255  # half of the band
    assert score(truth_of(half()), result(guess)).beyond == 0
    guess[:, :24] = 255
    found = score(truth_of(half()), result(guess))
    assert found.beyond == pytest.approx((100 + 155) / 2 * 24 / 60)
    assert found.composite == pytest.approx((100 + 155) / 2 * 30 / 60)


def test_a_result_of_another_size_is_refused() -> None:
    with pytest.raises(ValueError, match="the truth"):
        score(truth_of(half()), result(half(40, 58)))


def test_the_gradient_of_a_step_is_the_bell_that_was_derived() -> None:
    at = np.arange(-5, 6)
    bell = np.exp(-0.5 * (at / SIGMA) ** 2)
    fall = -at * bell
    bell, fall = bell / np.linalg.norm(bell), fall / np.linalg.norm(fall)
    step = (np.arange(60) >= 30).astype(float)
    expected = np.abs(np.convolve(step, fall, "same"))[10:50] * bell.sum()
    found = steepness(half().astype(np.float32) / 255)
    assert found[20, 10:50] == pytest.approx(expected, abs=1e-5)
    assert found[:, :20].max() == pytest.approx(0, abs=1e-6)


def test_the_gradient_error_is_the_sum_of_squares_in_thousands() -> None:
    alpha = half().astype(np.float32) / 255
    flat = np.zeros_like(alpha)
    expected = float((steepness(alpha).astype(float) ** 2).sum()) / 1000
    assert gradient_error(flat, steepness(alpha)) == pytest.approx(expected, rel=1e-5)
    assert gradient_error(flat + 0.7, steepness(flat)) == pytest.approx(0, abs=1e-6)


def test_an_island_counts_in_full_and_a_faint_one_not_at_all() -> None:
    truth = half().astype(np.float32) / 255
    island = truth.copy()
    island[10:15, 5:10] = 1.0
    assert connectivity_error(island, truth) == pytest.approx(0.025)
    faint = truth.copy()
    faint[10:15, 5:10] = 0.1
    assert connectivity_error(faint, truth) == 0


def test_a_hole_counts_as_much_as_the_pixel_lost() -> None:
    truth = half().astype(np.float32) / 255
    hole = truth.copy()
    hole[10:15, 40:45] = 0.0
    # In the truth the pixels are no longer joined to what both reach: 1 against 0.
    assert connectivity_error(hole, truth) == pytest.approx(0.025)
    assert connectivity_error(np.zeros_like(truth), np.zeros_like(truth)) == 0


def test_what_was_once_apart_stays_apart_when_the_rest_has_gone() -> None:
    truth = np.zeros((30, 40), np.float32)
    truth[:, :20] = 0.6
    truth[10:15, 30:35] = 0.9
    other = truth.copy()
    other[10:15, 30:35] = 1.0
    assert connectivity_error(other, truth) == pytest.approx(25 * 0.1 / 1000, rel=1e-4)


def test_the_largest_area_is_what_a_flood_fill_finds() -> None:
    rng = np.random.default_rng(3)
    for share in (0.3, 0.5, 0.6, 0.8):
        for _ in range(6):
            mask = rng.random((int(rng.integers(1, 30)), int(rng.integers(1, 30)))) < share
            assert np.array_equal(largest(mask), filled(mask)), mask
    assert not largest(np.zeros((4, 4), bool)).any()
    assert largest(np.ones((4, 4), bool)).all()


def test_areas_that_touch_by_a_corner_or_over_the_border_are_apart() -> None:
    corner = np.array([[1, 1, 0], [0, 0, 1]], bool)
    assert largest(corner).tolist() == [[True, True, False], [False, False, False]]
    border = np.array([[0, 0, 1], [1, 0, 0]], bool)
    assert largest(border).sum() == 1


def filled(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The largest area, pixel by pixel; of equal ones the first."""
    left = mask.copy()
    best = np.zeros_like(mask)
    for start in map(tuple, np.argwhere(mask)):
        if not left[start]:
            continue
        area = np.zeros_like(mask)
        queue = deque([start])
        left[start] = False
        while queue:
            row, column = queue.popleft()
            area[row, column] = True
            for r, c in ((row + 1, column), (row - 1, column), (row, column + 1), (row, column - 1)):
                if 0 <= r < mask.shape[0] and 0 <= c < mask.shape[1] and left[r, c]:
                    left[r, c] = False
                    queue.append((r, c))
        if area.sum() > best.sum():
            best = area
    return best
