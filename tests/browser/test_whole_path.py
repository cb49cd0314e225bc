"""From a run over photos to what is handed on: decided, made anew, touched up."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from tests.browser import shelf
from tests.browser.conftest import Review, opened
from tests.browser.desk import act, active, cell, loupe, on_disk, shown, until, walk, walk_in

pytestmark = pytest.mark.browser
RIGHT = (240, 130)  # in the right of the two ovals of "pair"


def test_by_mouse(page: Page, review: Review, made_shelf: Path, out: Path) -> None:
    opened(page, review(out))
    cell(page, "mug").click()
    act(page, "accept")
    shown(page, "mug", "accepted")
    cell(page, "specks").click()
    act(page, "reject")
    cell(page, "cut").click()
    act(page, "redo")
    page.locator("[data-dialog=redo] select[name=class]").select_option("best")
    page.locator("[data-dialog=redo] [data-ok]").click()
    shown(page, "cut", "redo")
    loupe(page, "pair")
    act(page, "edit")
    act(page, "drop")
    page.mouse.click(*on_screen(page, RIGHT))
    act(page, "save")
    until(page, lambda: alone(out))
    expect(page.locator("[data-brush]")).to_be_hidden()
    page.keyboard.press("Escape")
    expect(page.locator("[data-loupe]")).to_be_hidden()
    act(page, "accept")
    shown(page, "pair", "accepted")
    finish(page, out, made_shelf)


def test_by_keys_alone(page: Page, review: Review, made_shelf: Path, out: Path) -> None:
    opened(page, review(out))
    walk_in(page)
    walk(page, "mug")
    page.keyboard.press(" ")
    shown(page, "mug", "accepted")
    walk(page, "specks")
    page.keyboard.press("x")
    walk(page, "cut")
    page.keyboard.press("r")
    expect(page.locator("[data-dialog=redo] select[name=class]")).to_be_focused()
    page.keyboard.type("best")
    page.keyboard.press("Enter")
    shown(page, "cut", "redo")
    walk(page, "pair")
    page.keyboard.press("Enter")
    page.keyboard.press("e")
    page.locator("[data-brush]").wait_for()
    for _ in range(5):
        page.keyboard.press("Shift+ArrowRight")
    page.keyboard.press("d")
    page.keyboard.press("Enter")
    until(page, lambda: alone(out))
    expect(page.locator("[data-brush]")).to_be_hidden()
    page.keyboard.press("Escape")
    expect(page.locator("[data-loupe]")).to_be_hidden()
    assert active(page, "data-cell") is not None
    page.keyboard.press("p")
    shown(page, "pair", "accepted")
    finish(page, out, made_shelf)


def finish(page: Page, out: Path, shop: Path) -> None:
    """What was decided is handed on and made anew, and the page tells of it."""
    assert on_disk(out) == {"mug": "accepted", "specks": "rejected", "cut": "redo", "pair": "accepted"}
    shelf.command("export", out, "--decision", "accepted", "--to", "picked", folder=out.parent)
    picked = {path.name: path.read_bytes() for path in (out.parent / "picked").iterdir()}
    assert picked == {name: (out / name).read_bytes() for name in ("mug.png", "pair.png")}
    before = {name: (out / name).read_bytes() for name in ("specks.png", "cut.png")}
    shelf.command("run", shop / "shop" / "shelf.csv", "--out", out, "--redo", "rejected", folder=out.parent, code=3)
    assert {name for name, data in before.items() if (out / name).read_bytes() != data} == set(before)
    shown(page, "specks", "undecided")
    shown(page, "cut", "undecided")
    shown(page, "pair", "accepted")
    assert alone(out)


def alone(out: Path) -> bool:
    """Whether the left one of the two ovals is left alone in the picture of "pair"."""
    picture = Image.open(out / "pair.png").convert("RGBA")
    return [picture.getpixel(place)[3] for place in ((90, 130), RIGHT)] == [255, 0]


def on_screen(page: Page, place: tuple[int, int]) -> tuple[float, float]:
    """Where a pixel of the photo of 320 × 240 lies in the window."""
    box = page.locator("[data-brush] canvas, canvas[data-brush]").first.bounding_box()
    assert box is not None
    scale = min(box["width"] / 320, box["height"] / 240)
    left, top = box["x"] + (box["width"] - 320 * scale) / 2, box["y"] + (box["height"] - 240 * scale) / 2
    return left + place[0] * scale, top + place[1] * scale
