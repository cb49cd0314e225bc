"""What hangs together is found as a flood pixel by pixel finds it, over gaps as well."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch_removebg.matting.regions import GAP, Mask, apart, areas, span


def flooded(mask: Mask, start: Mask) -> Mask:
    """Pixel by pixel, from where both are set; a step leads over `GAP` pixels at most."""
    held = mask & start
    edge = [(int(y), int(x)) for y, x in np.argwhere(held)]
    reach = range(-GAP - 1, GAP + 2)
    while edge:
        y, x = edge.pop()
        for near in [(y + down, x + across) for down in reach for across in reach]:
            if min(near) >= 0 and near[0] < mask.shape[0] and near[1] < mask.shape[1] and mask[near] and not held[near]:
                held[near] = True
                edge.append(near)
    return held


def around(mask: Mask) -> Mask:
    wide = np.pad(mask, 1)
    rows, columns = mask.shape
    return np.any([wide[y : y + rows, x : x + columns] for y in range(3) for x in range(3)], axis=0)


@given(st.integers(1, 30), st.integers(1, 30), st.integers(0, 2**32 - 1), st.floats(0.05, 0.5))
def test_what_is_apart_is_what_a_flood_does_not_reach(rows: int, columns: int, seed: int, share: float) -> None:
    rng = np.random.default_rng(seed)
    mask, start = rng.random((rows, columns)) < share, rng.random((rows, columns)) < 0.05
    held = flooded(mask, start)
    assert np.array_equal(apart(mask, start), around(mask & ~held) & ~held)


@pytest.mark.parametrize(("gap", "reached"), [(GAP, True), (GAP + 1, False)])
def test_a_gap_is_crossed_up_to_its_width_and_never_round_a_corner_of_the_picture(gap: int, reached: bool) -> None:
    mask, start = np.zeros((9, 12), bool), np.zeros((9, 12), bool)
    mask[4, 5], mask[4, 6 + gap] = True, True
    start[4, 5] = True
    assert apart(mask, start)[4, 6 + gap] != reached
    mask[:], start[:] = False, False
    mask[3, 11], mask[4, 0] = True, True  # the end of a row and the beginning of the next
    start[3, 11] = True
    assert apart(mask, start)[4, 0]


def test_nothing_to_start_from_leaves_all_apart_and_an_empty_mask_nothing() -> None:
    assert apart(np.ones((5, 7), bool), np.zeros((5, 7), bool)).all()
    assert not apart(np.zeros((5, 7), bool), np.ones((5, 7), bool)).any()


def flood_sizes(mask: Mask) -> list[int]:
    """Sizes by flood fill, pixel by pixel."""
    left = {(int(y), int(x)) for y, x in zip(*np.nonzero(mask), strict=True)}
    sizes = []
    while left:
        edge, size = [left.pop()], 0
        while edge:
            y, x = edge.pop()
            size += 1
            for near in [(y + down, x + across) for down in (-1, 0, 1) for across in (-1, 0, 1)]:
                if near in left:
                    left.remove(near)
                    edge.append(near)
        sizes.append(size)
    return sorted(sizes)


@given(st.integers(1, 12), st.integers(1, 12), st.integers(0, 2**32 - 1), st.floats(0.1, 0.9))
def test_areas_are_those_of_a_flood_over_sides_and_corners(rows: int, columns: int, seed: int, share: float) -> None:
    mask = np.random.default_rng(seed).random((rows, columns)) < share
    assert sorted(areas(mask).tolist()) == flood_sizes(mask)


@pytest.mark.parametrize(("margin", "part"), [(0, slice(3, 6)), (2, slice(1, 8)), (99, slice(0, 9))])
def test_the_span_is_around_what_is_set_and_ends_at_the_border(margin: int, part: slice) -> None:
    line = np.zeros(9, bool)
    line[[3, 5]] = True
    assert span(line, margin) == part
