from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest

from batch_removebg.matting import quality as judging
from batch_removebg.matting.quality import FLAGS, Quality, flags
from batch_removebg.model import Matte

SOUND = Quality(coverage=0.3, peak=0.99, undecided=0.02, components=1, touches=())


def frame(*boxes: tuple[int, int, int, int], level: int = 255, size: int = 100) -> npt.NDArray[np.uint8]:
    alpha = np.zeros((size, size), np.uint8)
    for top, bottom, left, right in boxes:
        alpha[top:bottom, left:right] = level
    return alpha


def measure(alpha: npt.NDArray[np.uint8], peak: float | None = None) -> Quality:
    return judging.measure(Matte(alpha, peak))


def test_a_sound_cutout_has_no_flag() -> None:
    quality = measure(frame((20, 80, 30, 70)), peak=0.98)
    assert quality == Quality(coverage=0.24, peak=0.98, undecided=0.0, components=1, touches=())
    assert flags(quality) == ()


@pytest.mark.parametrize(("level", "share"), [(25, 0.0), (26, 1.0), (229, 1.0), (230, 0.0)])
def test_undecided_is_what_lies_between_a_tenth_and_nine_tenths(level: int, share: float) -> None:
    assert measure(np.full((40, 40), level, np.uint8)).undecided == share


@pytest.mark.parametrize("peak", [None, 0.99])
def test_an_alpha_with_nothing_in_it_is_empty(peak: float | None) -> None:
    assert flags(measure(frame(), peak)) == ("empty",)


def test_a_ghost_that_was_stretched_is_empty_by_its_peak() -> None:
    assert flags(measure(frame((10, 90, 0, 99)), peak=0.02)) == ("empty",)


def test_an_alpha_that_covers_all_is_full() -> None:
    assert flags(measure(frame((0, 100, 0, 100)), peak=0.99))[0] == "full"


def test_an_alpha_that_has_not_made_up_its_mind_is_faint() -> None:
    assert flags(measure(frame((20, 80, 20, 80), level=128), peak=0.9)) == ("suspect", "faint")
    assert flags(replace(SOUND, peak=0.3)) == ("faint",)


def test_hair_and_soft_edges_are_not_faint() -> None:
    alpha = frame((30, 70, 30, 70))
    alpha[30:70, 28:30] = alpha[30:70, 70:72] = 128
    assert flags(measure(alpha, peak=0.97)) == ()


def test_many_parts_are_fragmented_and_specks_are_no_parts() -> None:
    parts = [(10 * n, 10 * n + 5, 30, 40) for n in range(1, 9)]
    quality = measure(frame(*parts), peak=0.9)
    assert quality.components == 8
    assert flags(quality) == ("fragmented",)
    assert measure(frame(*[(10 * n, 10 * n + 1, 30, 31) for n in range(1, 9)], size=200)).components == 0


def test_parts_that_meet_at_a_corner_are_one() -> None:
    assert measure(frame((10, 50, 10, 50), (50, 90, 50, 90))).components == 1


def test_touching_a_side_other_than_the_bottom_is_cut_off() -> None:
    assert measure(frame((0, 50, 30, 60))).touches == ("top",)
    assert measure(frame((50, 100, 30, 100))).touches == ("right", "bottom")
    assert flags(measure(frame((50, 100, 30, 60)))) == ()
    assert flags(measure(frame((0, 50, 30, 60)))) == ("cut-off",)


def test_two_hundredths_of_a_side_are_no_contact() -> None:
    assert measure(frame((0, 50, 30, 32))).touches == ()
    assert measure(frame((0, 50, 30, 33))).touches == ("top",)


@pytest.mark.parametrize("size", [1, 2, 300, 1500])
def test_the_quality_of_an_alpha_of_any_size_is_told(size: int) -> None:
    quality = measure(np.full((size, size), 255, np.uint8))
    assert (quality.coverage, quality.components, quality.touches) == (1, 1, ("top", "right", "bottom", "left"))


def test_without_a_peak_none_is_made_up() -> None:
    assert measure(frame((20, 80, 20, 80))).peak is None


def test_a_wide_part_that_is_undecided_is_suspect_and_told_where() -> None:
    alpha = frame((20, 80, 20, 80))
    alpha[20:30, 40:60] = 128
    quality = measure(alpha, peak=0.98)
    assert quality.unsure == pytest.approx(10 * 20 / 60**2, abs=0.002)
    assert quality.suspect == ((0.4, 0.2, 0.2, 0.1),)
    assert flags(quality) == ("suspect",)


def test_a_small_piece_that_lies_apart_is_suspect_and_a_large_one_is_not() -> None:
    quality = measure(frame((20, 80, 20, 80), (30, 35, 90, 95)), peak=0.98)
    assert (quality.loose, quality.suspect) == (pytest.approx(25 / 3625, abs=1e-4), ((0.9, 0.3, 0.05, 0.05),))
    assert flags(quality) == ("suspect",)
    pair = measure(frame((20, 80, 10, 40), (20, 80, 60, 90)), peak=0.98)
    assert (pair.loose, flags(pair)) == (0.0, ())


@pytest.mark.parametrize(
    ("doubt", "end", "told"), [(0.05, 50, ()), (0.051, 50, ("suspect",)), (0.05, 70, ("suspect",))]
)
def test_where_several_looks_were_taken_their_disagreement_counts_or_a_large_undecided_part(
    doubt: float, end: int, told: tuple[str, ...]
) -> None:
    alpha = frame((20, 80, 20, 80))
    alpha[20:24, 40:end] = 128
    quality = judging.measure(Matte(alpha, 0.98, doubt=doubt, suspect=((0.1, 0.2, 0.3, 0.4),)))
    assert (quality.doubt, quality.suspect, flags(quality)) == (doubt, ((0.1, 0.2, 0.3, 0.4),), told)


def test_three_places_are_told_at_most() -> None:
    pieces = [(10 * n, 10 * n + 4, 5, 9) for n in range(1, 9)]
    assert len(measure(frame((10, 90, 20, 90), *pieces)).suspect) == 3


def test_flags_are_told_in_their_order() -> None:
    bad = Quality(coverage=0.99, peak=0.4, undecided=0.6, components=9, touches=("top", "left"), unsure=0.5)
    assert flags(bad) == FLAGS[1:]
