"""The page is for everyone: keyboard, screen reader, light and dark, a small window, English and Chinese."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from tests.browser.conftest import Context, Review, opened
from tests.browser.desk import CELL, act, cell, loupe, on_disk, walk_in, wide

pytestmark = pytest.mark.browser


def serious(page: Page) -> list[str]:
    """What axe finds that keeps people out: the rule, and where."""
    found: list[dict[str, Any]] = Axe().run(page, options={"resultTypes": ["violations"]}).response["violations"]
    return [
        f"{each['id']} ({each['impact']}): {node['target']} {node.get('failureSummary', '')}"
        for each in found
        if each["impact"] in ("serious", "critical")
        for node in each["nodes"][:3]
    ]


def states(page: Page) -> Any:
    """Bring the page into one state after the other; each is given its name."""
    cell(page, "mug").click()
    act(page, "accept")
    page.locator("[data-filter=status][value=saved]").check()
    yield "the grid, filtered"
    for action, name in (("redo", "redo"), ("note", "note")):
        act(page, action)
        yield f"the dialog {name}"
        page.keyboard.press("Escape")
    cell(page, "mug").click()
    page.keyboard.press("?")
    expect(page.locator("[data-dialog=help]")).to_be_visible()
    yield "the keys"
    page.keyboard.press("Escape")
    loupe(page, "specks")
    page.keyboard.press("i")
    yield "the loupe"
    page.keyboard.press("c")
    yield "before and after"
    page.keyboard.press("e")
    expect(page.locator("[data-brush]")).to_be_visible()
    yield "the brush"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(contexts: Context, review: Review, out: Path, scheme: str) -> None:
    page = opened(contexts(color_scheme=scheme).new_page(), review(out))
    assert {name: found for name in states(page) if (found := serious(page))} == {}


@pytest.mark.parametrize("width", [360, 3840])
def test_nothing_is_wider_than_the_window(contexts: Context, review: Review, out: Path, width: int) -> None:
    page = opened(contexts(viewport={"width": width, "height": 640}).new_page(), review(out))
    assert wide(page) == 0
    loupe(page, "mug")
    assert wide(page) == 0
    page.keyboard.press("i")
    assert wide(page) == 0
    page.keyboard.press("e")
    assert wide(page) == 0


def test_single_letters_act_only_where_pictures_have_the_focus(desk: Page, out: Path) -> None:
    desk.locator("[data-filter=q]").focus()
    desk.keyboard.type("x")
    desk.locator("[data-action=accept]").focus()
    desk.keyboard.press("x")
    assert on_disk(out) == {}
    desk.locator("[data-filter=q]").fill("")
    expect(desk.locator(CELL)).to_have_count(13)
    expect(desk.locator("[role=grid][aria-busy]")).to_have_count(0)
    walk_in(desk)
    desk.keyboard.press("x")
    expect(desk.locator("[data-verdict=rejected]")).to_have_count(1)


def test_what_was_done_is_said_to_screen_readers(desk: Page) -> None:
    cell(desk, "mug").click()
    desk.keyboard.press("x")
    live = desk.locator("[data-live]")
    expect(live).to_contain_text("ejected")
    expect(live).to_have_role("status")
    name = cell(desk, "specks").get_attribute("aria-label")
    assert name is not None
    assert all(part in name.lower() for part in ("specks.jpg", "saved", "suspect", "undecided"))


def test_the_page_speaks_chinese_to_who_does(contexts: Context, review: Review, out: Path) -> None:
    page = opened(contexts(locale="zh-CN").new_page(), review(out))
    expect(page.locator("html")).to_have_attribute("lang", re.compile("^zh"))
    english = page.evaluate("document.body.innerText.match(/undecided|accept|reject/gi)")
    assert english is None
