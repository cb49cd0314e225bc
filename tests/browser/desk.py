"""What a reviewer does on the page, and what is then on disk."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from playwright.sync_api import Locator, Page, expect

from batch_removebg.storage.layout import DECISIONS

CELL = "[role=row]:not([hidden]) > [data-cell]:not([hidden])"
"""Cells that show something; others wait to be used again."""


def cell(page: Page, item: str) -> Locator:
    """The cell of an item."""
    return page.locator(CELL).and_(page.get_by_title(item, exact=True))


def shown(page: Page, item: str, verdict: str) -> None:
    """The item's cell says this verdict, soon."""
    expect(cell(page, item)).to_have_attribute("data-verdict", verdict)


def act(page: Page, action: str) -> None:
    """Press the button of an action: in the loupe where it is open, else the grid's."""
    page.locator(f"[data-action={action}]:visible").last.click()


def loupe(page: Page, item: str) -> Locator:
    """Open the loupe on an item by mouse, once its picture is there."""
    cell(page, item).dblclick()
    found = page.locator("[data-loupe]")
    expect(found).to_be_visible()
    return found


def on_disk(out: Path) -> dict[str, str]:
    """The last verdicts on record, by item, but for those that were taken back."""
    path = out / DECISIONS
    lines = map(json.loads, path.read_text(encoding="utf-8").splitlines() if path.exists() else ())
    last = {line["item"]: line["verdict"] for line in lines if line["event"] == "decided"}
    return {item: verdict for item, verdict in last.items() if verdict != "undecided"}


def walk(page: Page, item: str) -> None:
    """Go to an item by keys, from wherever the grid's focus is."""
    page.keyboard.press("Home")
    for at in range(50):
        expect(page.locator(f"[data-cell][data-at='{at}']")).to_be_focused()
        if active(page, "title") == item:
            return
        page.keyboard.press("ArrowRight")
    raise AssertionError(f"no key leads to {item}")


def walk_in(page: Page) -> None:
    """Give the grid the focus by keys."""
    for _ in range(60):
        page.keyboard.press("Tab")
        if active(page, "data-cell") is not None:
            return
    raise AssertionError("Tab doesn't lead to the grid")


def until(page: Page, true: Callable[[], bool]) -> None:
    """Wait until something outside of the page is so."""
    for _ in range(100):
        if true():
            return
        page.wait_for_timeout(100)
    raise AssertionError("it didn't come to be so")


def active(page: Page, attribute: str) -> Any:
    """An attribute of what has the focus."""
    return page.evaluate("name => document.activeElement?.getAttribute(name)", attribute)


def nodes(page: Page) -> int:
    """Elements and texts in the grid."""
    return int(page.evaluate("[...document.querySelector('[role=grid]').querySelectorAll('*')].length"))


def wide(page: Page) -> int:
    """Pixels by which the page, or something that may be scrolled in it, is wider than its place."""
    within = "...document.querySelectorAll('dialog[open], [data-loupe], [role=grid]')"
    over = f"[document.scrollingElement, {within}].map((each) => each.scrollWidth - each.clientWidth)"
    return int(page.evaluate(f"Math.max(...{over})"))
