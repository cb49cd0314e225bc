"""Nights over a changing catalogue: nothing is bought in vain, each file has its row's name, each state is true."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.crash.month import Month
from tests.support.long_report import LONG, note

pytestmark = [pytest.mark.anyio, pytest.mark.crash]


@pytest.mark.timeout(3600 if LONG else 240)
@pytest.mark.parametrize("fetches", [True, False], ids=["downloaded", "passed on"])
async def test_in_a_month_of_nights_each_picture_is_bought_once_and_lies_under_its_rows_name(
    tmp_path: Path, fetches: bool
) -> None:
    month = Month(tmp_path, fetches, *((2000, 30) if LONG else (40, 6)))
    await month.run()
    counts = month.counts
    note(
        "month",
        "downloaded" if fetches else "passed on",
        commands=month.nights,
        items=counts["needed"],
        bill=counts["bought"],
        double=max(0, counts["bought"] - counts["needed"]),
        mixed=counts["wrong names"],
        broken=counts["wrong states"] + counts["wrong URLs"],
    )
    assert (counts["wrong names"], counts["wrong states"], counts["wrong URLs"]) == (0, 0, 0)
    assert counts["bought"] == counts["needed"]
