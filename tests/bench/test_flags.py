"""What counts as a bad cutout, and as found."""

from __future__ import annotations

import numpy as np
import pytest

from tests.bench.flags import Judged, counts, error


def test_a_missing_part_is_an_error_and_a_band_along_an_edge_is_none() -> None:
    true = np.zeros((100, 100), bool)
    true[20:80, 20:80] = True
    bitten, thin = true.copy(), true.copy()
    bitten[20:30, 20:30] = thin[20:80, 20:24] = False
    assert error(bitten, true) == (pytest.approx(3500 / 3600), pytest.approx(100 / 3600))
    assert error(thin, true) == (pytest.approx(3360 / 3600), 0.0)


@pytest.mark.parametrize(("overlap", "largest", "bad"), [(0.9, 0.01, False), (0.899, 0.0, True), (1.0, 0.011, True)])
def test_a_cutout_is_bad_by_its_overlap_or_by_one_connected_error(overlap: float, largest: float, bad: bool) -> None:
    assert Judged(overlap, largest, ()).bad is bad


def test_what_is_bad_and_flagged_is_counted_beside_all_flagged_and_all_bad() -> None:
    found = [Judged(0.5, 0, ("suspect",)), Judged(0.5, 0, ()), Judged(1, 0, ("suspect", "faint")), Judged(1, 0, ())]
    assert counts(found, "suspect") == (1, 2, 2)
    assert counts(found, "faint") == (0, 1, 2)
    assert counts(found, None) == (1, 2, 2)
