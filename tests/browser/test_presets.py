"""Pictures for shops, and pictures that somebody has changed: the page tells which, and why."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser import shelf
from tests.browser.conftest import Review, opened
from tests.browser.desk import CELL, cell, loupe

pytestmark = pytest.mark.browser


def test_a_failed_check_can_be_filtered_by_and_its_fix_is_told(page: Page, review: Review, tmp_path: Path) -> None:
    (tmp_path / "shop.toml").write_text(shelf.PRESET)
    catalogue = shelf.shelf(tmp_path / "shop")
    shelf.command("run", catalogue, "--out", "out", "--preset", "shop.toml", folder=tmp_path, code=3)
    opened(page, review(tmp_path / "out"))
    page.locator("[data-filter=check][value='shop:longest']").check()
    expect(page.locator(CELL)).to_have_count(12)
    page.locator("[data-filter=flag][value='cut-off']").check()
    expect(page.locator(CELL)).to_have_count(1)
    expect(loupe(page, "cut").locator("[data-info]")).to_contain_text("longest")


def test_a_picture_that_is_gone_or_was_changed_is_told_and_not_shown_as_ours(desk: Page, out: Path) -> None:
    (out / "mug.png").unlink()
    (out / "pair.png").write_bytes((out / "specks.png").read_bytes())
    desk.reload()
    for item in ("mug", "pair"):
        expect(cell(desk, item)).to_have_attribute("aria-label", re.compile("missing|changed"))
    expect(cell(desk, "specks")).not_to_have_attribute("aria-label", re.compile("missing|changed"))
