"""What looks at a picture disagree about."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from batch_removebg.matting.doubt import disagreement, loose, undecided
from batch_removebg.matting.regions import regions


def square(top: int, bottom: int, left: int, right: int, size: int = 320, level: int = 255) -> npt.NDArray[np.uint8]:
    alpha = np.zeros((size, size), np.uint8)
    alpha[top:bottom, left:right] = level
    return alpha


SUBJECT = square(100, 200, 100, 200)


def test_one_look_that_stands_alone_raises_no_doubt() -> None:
    assert disagreement([SUBJECT, SUBJECT, square(0, 320, 0, 320)]) == 0.0


def test_where_no_two_looks_agree_the_doubt_is_that_of_the_two_that_agree_most() -> None:
    assert disagreement([SUBJECT, square(100, 200, 100, 150), square(100, 120, 100, 200)]) == pytest.approx(0.5)


def test_looks_of_all_sizes_are_compared() -> None:
    assert disagreement([SUBJECT, square(320, 640, 320, 640, size=1024)]) == 0.0


def test_looks_that_see_nothing_do_not_agree_on_a_subject() -> None:
    assert disagreement([square(0, 0, 0, 0), square(0, 0, 0, 0)]) == 1.0


def test_what_one_of_three_looks_leaves_out_is_undecided() -> None:
    [(share, box)] = undecided([SUBJECT, SUBJECT, square(100, 200, 100, 160)])
    assert (share, box) == (pytest.approx(0.4), (0.5, 0.312, 0.125, 0.312))


def test_a_soft_edge_is_not_undecided_and_a_soft_part_is() -> None:
    soft = SUBJECT.copy()
    soft[100:200, 200:206] = 128
    assert undecided([soft]) == ()
    soft[100:200, 200:207] = 128
    assert [box for _, box in undecided([soft])] == [(0.625, 0.312, 0.022, 0.312)]


def test_pieces_are_loose_up_to_a_twentieth_of_the_subject() -> None:
    two = SUBJECT | square(10, 30, 10, 30)
    assert loose(two) == ((pytest.approx(400 / 10400), (0.031, 0.031, 0.062, 0.062)),)
    assert loose(SUBJECT | square(10, 40, 10, 40)) == ()


def test_an_empty_alpha_has_no_regions() -> None:
    sizes, boxes = regions(np.zeros((4, 5), bool))
    assert (sizes.shape, boxes.shape) == ((0,), (0, 4))


def test_each_region_has_its_box() -> None:
    mask = np.array([[1, 0, 0, 1], [0, 1, 0, 1], [0, 0, 0, 0], [1, 1, 0, 0]], bool)
    sizes, boxes = regions(mask)
    found = {tuple(box): size for size, box in zip(sizes.tolist(), boxes.tolist(), strict=True)}
    assert found == {(0, 0, 2, 2): 2, (3, 0, 4, 2): 2, (0, 3, 2, 4): 2}
