"""Several look at an OUT at once, and a run goes on meanwhile."""

from __future__ import annotations

import json
import subprocess
from itertools import islice
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser import shelf
from tests.browser.conftest import Context, Review, opened
from tests.browser.desk import CELL, act, cell, on_disk, shown
from tests.browser.serving import DEADLINE

pytestmark = pytest.mark.browser
SAVED = f"{CELL}[data-status=saved]"


def test_two_tabs_see_each_others_decisions(contexts: Context, review: Review, out: Path) -> None:
    server, context = review(out), contexts()
    one, other = opened(context.new_page(), server), context.new_page()
    other.goto(server.origin)
    cell(one, "mug").click()
    act(one, "accept")
    shown(other, "mug", "accepted")
    cell(other, "mug").click()
    act(other, "reject")
    shown(one, "mug", "rejected")
    assert on_disk(out) == {"mug": "rejected"}


def test_pictures_of_a_run_that_goes_on_appear_and_leave_decisions_as_they_are(
    page: Page, review: Review, tmp_path: Path
) -> None:
    catalogue = shelf.shelf(tmp_path / "shop")
    run = subprocess.Popen(
        [*shelf.DRAWN, "run", catalogue, "--out", tmp_path / "out", "--progress", "json"],
        env=shelf.environment(STEPS="1"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert run.stdin is not None
    assert run.stdout is not None
    try:
        run.stdin.write(b"\n" * 3)
        run.stdin.flush()
        saved = (None for line in run.stdout if json.loads(line)["event"] == "saved")
        list(islice(saved, 3))
        opened(page, review(tmp_path / "out"))
        expect(page.locator(SAVED)).to_have_count(3)
        page.locator(SAVED).first.click()
        first = page.locator(SAVED).first.get_attribute("title")
        assert first is not None
        act(page, "accept")
        shown(page, first, "accepted")
        run.stdin.close()
        run.stdout.read()
        assert run.wait(DEADLINE) == 3
        expect(page.locator(SAVED)).to_have_count(12)
        shown(page, first, "accepted")
        expect(cell(page, first)).to_have_attribute("data-focus", "")
        assert on_disk(tmp_path / "out") == {first: "accepted"}
    finally:
        run.kill()
        run.wait(DEADLINE)
        run.stdout.close()
