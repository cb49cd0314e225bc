from __future__ import annotations

import numpy as np
import pytest

from batch_removebg.matting.box_filter import means


@pytest.mark.parametrize(("rows", "columns", "radius"), [(1, 1, 1), (7, 4, 1), (9, 30, 5), (3, 2, 12), (40, 33, 12)])
def test_means_are_those_of_the_window_cut_at_the_border(rows: int, columns: int, radius: int) -> None:
    planes = np.random.default_rng(1).random((2, rows, columns), np.float32)
    found = means(planes, radius)
    for row in range(rows):
        for column in range(columns):
            window = planes[:, max(0, row - radius) : row + radius + 1, max(0, column - radius) : column + radius + 1]
            assert found[:, row, column] == pytest.approx(window.mean(axis=(1, 2)), abs=1e-5)
