"""Twenty thousand pictures, with as many nodes as a screen holds."""

from __future__ import annotations

import re
import shutil
from collections import Counter
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser import shelf
from tests.browser.conftest import Review, opened
from tests.browser.desk import CELL, act, active, nodes, on_disk

pytestmark = pytest.mark.browser
N, MOST_NODES = 20_000, 300
GRID = "[role=grid]"


@pytest.fixture(scope="session")
def made_many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return shelf.many(tmp_path_factory.mktemp("many") / "out", N)


@pytest.fixture
def many(page: Page, review: Review, made_many: Path, out_of_many: Path) -> Page:
    return opened(page, review(out_of_many))


@pytest.fixture
def out_of_many(made_many: Path, tmp_path: Path) -> Path:
    return shutil.copytree(made_many, tmp_path / "out")


def test_all_can_be_scrolled_to_and_a_screen_of_nodes_is_all_there_is(many: Page) -> None:
    for share in (0, 0.25, 0.5, 0.75, 1):
        many.locator(GRID).evaluate("(grid, share) => grid.scrollTo(0, share * grid.scrollHeight)", share)
        expect(many.locator(f"{CELL}:not([data-n])")).to_have_count(0)
        assert nodes(many) <= MOST_NODES
    last = many.locator(f"[data-n='{N}']")
    expect(last).to_be_in_viewport()
    expect(many.locator(f"[data-n='{N - 1}'] img")).to_have_js_property("complete", True)
    assert many.locator(f"[data-n='{N - 1}'] img").evaluate("image => image.naturalWidth") > 0


def test_the_keyboards_focus_survives_its_cells_being_used_again(many: Page) -> None:
    many.locator("[data-at='0']").click()
    many.locator(GRID).evaluate("grid => grid.scrollTo(0, grid.scrollHeight / 2)")
    expect(many.locator("[data-at='10000']")).to_have_count(1)
    assert active(many, "data-at") == "0"
    many.keyboard.press("End")
    expect(many.locator("[data-n='20000']")).to_be_focused()
    expect(many.locator("[data-n='20000']")).to_be_in_viewport()


def test_a_filter_is_loud_counted_kept_over_a_reload_and_taken_off_by_its_chip(many: Page) -> None:
    many.locator("[data-filter=status][value=failed]").check()
    expect(many.locator("[data-shown]")).to_have_text("Showing 400 of 20,000")
    expect(many.locator("[data-facet='status:failed']")).to_have_text("400")
    expect(many).to_have_url(re.compile("#status=failed"))
    many.reload()
    expect(many.locator("[data-shown]")).to_have_text("Showing 400 of 20,000")
    many.locator("[data-chip='status=failed'] button").click()
    expect(many.locator("[data-chip]:visible")).to_have_count(0)
    expect(many.locator("[data-at='3'][data-status=saved]")).to_be_visible()


def test_all_that_match_are_decided_at_once_and_taken_back_at_once(many: Page, out_of_many: Path) -> None:
    many.locator("[data-filter=flag][value=suspect]").check()
    act(many, "everything")
    act(many, "accept")
    expect(many.locator("[data-facet='decision:accepted']")).to_have_text("4,800")
    assert Counter(on_disk(out_of_many).values()) == {"accepted": 4800}
    act(many, "undo")
    expect(many.locator("[data-facet='decision:undecided']")).to_have_text("4,800")
    assert on_disk(out_of_many) == {}


def test_keys_lead_to_what_is_flagged_and_what_is_undecided(many: Page) -> None:
    many.locator("[data-at='0']").click()
    many.keyboard.press(".")
    expect(many.locator("[data-focus]")).to_have_attribute("data-at", "3")
    many.keyboard.press(".")
    expect(many.locator("[data-focus]")).to_have_attribute("data-at", "11")
    many.keyboard.press(",")
    expect(many.locator("[data-focus]")).to_have_attribute("data-at", "3")
    many.keyboard.press("x")
    expect(many.locator("[data-at='3']")).to_have_attribute("data-verdict", "rejected")
    many.keyboard.press("ArrowLeft")
    many.keyboard.press(";")
    expect(many.locator("[data-focus]")).to_have_attribute("data-at", "4")
