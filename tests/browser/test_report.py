"""The report opens from the disk, without a server, and shows what the page shows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser import shelf
from tests.browser.conftest import Context, Review, opened
from tests.browser.desk import CELL, cell, loupe

pytestmark = pytest.mark.browser
LOOKS = """cells => [...document.querySelectorAll(cells)].map((cell) =>
    [cell.title, cell.getAttribute("aria-label"), cell.dataset.status, cell.dataset.verdict])"""


@pytest.mark.parametrize("to", [(), ("--to", "kept.html")])
def test_a_report_from_the_disk_shows_what_the_page_shows_and_changes_nothing(
    contexts: Context, review: Review, out: Path, to: tuple[str, ...]
) -> None:
    live = opened(contexts().new_page(), review(out))
    cell(live, "mug").click()
    live.keyboard.press("x")
    expect(cell(live, "mug")).to_have_attribute("data-verdict", "rejected")
    before = looks(live)
    said = shelf.command("report", out, *to, folder=out.parent)
    page = contexts(offline=True).new_page()
    path = next(out.parent / line for line in said.splitlines() if line.endswith(".html"))
    page.goto(path.as_uri())
    expect(cell(page, "mug").locator("img")).to_have_js_property("complete", True)
    assert cell(page, "mug").locator("img").evaluate("image => image.naturalWidth") > 0
    assert looks(page) == before
    expect(page.locator("[data-action=accept]:visible")).to_have_count(0)
    page.locator("[data-filter=flag][value=suspect]").check()
    expect(page.locator(CELL)).to_have_count(1)
    expect(loupe(page, "specks")).to_contain_text("specks.jpg")
    expect(page.locator("img[src='x'], script:not([src])")).to_have_count(0)


def looks(page: Page) -> Any:
    return page.evaluate(LOOKS, CELL)
