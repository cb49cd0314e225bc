"""Days of `watch`, by a quick clock: each picture is saved once, none is bought twice, and memory stays flat."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.crash.week import Week

pytestmark = [pytest.mark.anyio, pytest.mark.crash]


@pytest.mark.timeout(240)
async def test_in_days_of_watch_with_an_outage_and_lost_events_each_picture_is_saved_and_bought_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("asyncinotify")
    monkeypatch.setenv("REPLICATE_API_TOKEN", "r8_none")
    week = Week(tmp_path, days=2, burst=4)
    await week.run()
    week.check_memory()
