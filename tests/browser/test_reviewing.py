"""What a reviewer relies on while going through pictures fast."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import NO_ANSWER, Complaints, Context, Review, opened
from tests.browser.desk import act, cell, loupe, on_disk, shown, until

pytestmark = pytest.mark.browser
PICTURES_SEEN = "n => performance.getEntriesByName('loupe:shown').length >= n"
TOPS = "buttons => buttons.map(button => button.getBoundingClientRect().top)"


def first(page: Page) -> str:
    return page.locator("[data-at='0']").get_attribute("title") or ""


def look(page: Page) -> Locator:
    """Open the loupe on the first item, and wait until its picture is seen."""
    found = loupe(page, first(page))
    page.wait_for_function(PICTURES_SEEN, arg=1)
    return found


def test_a_key_that_is_held_decides_once_and_what_is_not_on_the_screen_is_not_decided_on(desk: Page, out: Path) -> None:
    one, other = first(desk), desk.locator("[data-at='1']").get_attribute("title")
    n = desk.locator("[data-at='1']").get_attribute("data-n")
    desk.route(f"**/picture/{n}/**", lambda _: None)  # it waits until nobody holds it up
    seen = look(desk)
    desk.keyboard.down(" ")
    expect(seen).to_contain_text("2 of 13")
    desk.keyboard.down(" ")
    desk.keyboard.up(" ")
    expect(seen.locator("[data-said]")).to_contain_text("accepted")
    for key in (" ", "x", "r"):
        desk.keyboard.press(key)
        expect(seen.locator("[data-said]")).to_contain_text("isn't on the screen")
    assert on_disk(out) == {one: "accepted"}
    desk.unroute(f"**/picture/{n}/**")
    desk.wait_for_function(PICTURES_SEEN, arg=2)
    desk.keyboard.press("x")
    expect(seen).to_contain_text("3 of 13")
    until(desk, lambda: on_disk(out) == {one: "accepted", other: "rejected"})


def test_after_a_redo_the_loupe_goes_on_and_the_dialog_says_what_it_does_and_takes_a_class_or_a_model(
    desk: Page, out: Path
) -> None:
    seen, item = look(desk), first(desk)
    desk.keyboard.press("r")
    form = desk.locator("[data-dialog=redo]")
    by_class, model = form.locator("[name=class]"), form.locator("[name=model]")
    expect(by_class.locator("option:checked")).to_have_text("the next better one")
    form.locator("[name=zoom]").check()
    expect(by_class.locator("option:checked")).to_have_text("as before")
    model.select_option(index=1)
    expect(by_class).to_be_disabled()
    model.select_option("")
    by_class.select_option("best")
    expect(model).to_be_disabled()
    form.locator("[data-ok]").click()
    expect(seen).to_contain_text("2 of 13")
    until(desk, lambda: on_disk(out) == {item: "redo"})


def test_a_decision_that_waits_is_kept_where_the_next_servers_address_is_opened_in_its_tab(
    page: Page, review: Review, out: Path, complaints: Complaints
) -> None:
    complaints.forgiven = f"{NO_ANSWER}|a dialog"
    page.on("dialog", lambda dialog: dialog.accept())  # "leave this page?"
    server = review(out)
    opened(page, server)
    server.kill()
    cell(page, "mug").click()
    act(page, "accept")
    expect(page.locator("[data-unsaved]")).to_contain_text("1")
    expect(page.locator("[data-alarm]")).to_contain_text("in this tab or another one")
    opened(page, review(out, "--port", server.port))
    shown(page, "mug", "accepted")
    expect(page.locator("[data-unsaved]")).to_be_hidden()
    assert on_disk(out) == {"mug": "accepted"}


def test_a_decision_from_before_a_reload_is_not_taken_for_one_about_another_picture(
    desk: Page, out: Path, complaints: Complaints
) -> None:
    kept = [{"items": [1], "verdict": "accepted", "more": {}, "sha256": "0" * 64}]
    desk.evaluate("kept => sessionStorage.setItem('batch-removebg.unsaved.out', kept)", json.dumps(kept))
    desk.reload()
    expect(desk.locator("[data-live]")).to_contain_text("another picture")
    expect(desk.locator("[data-unsaved]")).to_be_hidden()
    assert on_disk(out) == {}


def test_what_is_left_is_counted_after_all_were_decided_on_and_not_said_once_it_is_untrue(
    contexts: Context, review: Review, out: Path
) -> None:
    context, server = contexts(), review(out)
    page = opened(context.new_page(), server)
    act(page, "everything")
    act(page, "accept")
    expect(page.locator("[data-live]")).to_have_text("13 accepted, 0 of 13 left")
    other = context.new_page()
    other.goto(server.origin)
    cell(other, "mug").click()
    act(other, "undecide")
    shown(page, "mug", "undecided")
    expect(page.locator("[data-live]")).to_have_text("")


def test_z_leads_to_the_pictures_own_size_and_back_also_where_it_is_a_small_one(desk: Page) -> None:
    percent = look(desk).locator("[data-action=zoom]")
    for shown_as in ("200%", "100%", "200%"):
        expect(percent).to_have_text(shown_as)
        desk.keyboard.press("z")


@pytest.mark.parametrize("key", ["Enter", "ArrowDown"])
def test_a_key_leads_from_the_search_to_the_first_that_was_found(desk: Page, key: str) -> None:
    desk.locator("[data-at='5']").click()
    desk.keyboard.press("/")
    desk.keyboard.type("specks")
    desk.keyboard.press(key)
    expect(cell(desk, "specks")).to_be_focused()


@pytest.mark.parametrize("width", [1280, 400])
def test_the_picture_stays_where_it_is_whichever_way_it_is_shown(desk: Page, width: int) -> None:
    assert len(set(desk.locator("[data-bar] button").evaluate_all(TOPS))) == 1
    desk.set_viewport_size({"width": width, "height": 800})
    stage, places = look(desk).locator("[data-stage]"), []
    for view in ("alpha", "difference", "delivered", "compare", "cutout"):
        act(desk, view)
        expect(desk.locator(f"[data-view={view}]")).to_be_visible()
        places.append(stage.bounding_box())
    assert [place for place in places if place != places[0]] == []


def test_the_loupe_says_that_a_picture_is_gone(desk: Page, out: Path) -> None:
    (out / "mug.png").unlink()
    desk.reload()
    expect(loupe(desk, "mug").locator("[data-lost]")).to_contain_text("is missing")
    desk.keyboard.press("Escape")
    expect(loupe(desk, "specks").locator("[data-lost]")).to_be_hidden()


def test_the_keys_are_told_once(desk: Page) -> None:
    cell(desk, "mug").click()
    desk.keyboard.press("?")
    pictures_and_page = (
        desk.locator("[data-dialog=help] section")
        .filter(has_text="Select")
        .or_(desk.locator("[data-dialog=help] section").filter(has_text="Everywhere"))
    )
    expect(pictures_and_page.get_by_text("Ctrl Z", exact=True)).to_have_count(1)
