"""Names from a manifest, and pages of others, get no hold of the page."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser import shelf
from tests.browser.conftest import Complaints, Context, Review, opened
from tests.browser.desk import cell, loupe, on_disk
from tests.browser.serving import ELSEWHERE

pytestmark = pytest.mark.browser
GOT_IN = "img[src='x'], img[onerror], script:not([src])"


def visible(name: str) -> str:
    """A name as the page writes it, with signs for what can't be seen."""
    return re.sub("[\x00-\x1f\u202a-\u202e\u2066-\u2069]", "\ufffd", name)


def test_names_are_text_whatever_they_hold(desk: Page) -> None:
    for item in map(visible, shelf.HOSTILE):
        expect(cell(desk, item)).to_contain_text(item.rpartition("/")[2] + ".jpg")
        expect(loupe(desk, item)).to_contain_text(item)
        desk.keyboard.press("i")
        expect(desk.locator("[data-info]")).to_contain_text(f"{shelf.ATTACK} ")
        desk.keyboard.press("i")
        desk.keyboard.press("Escape")
    expect(desk.locator(GOT_IN)).to_have_count(0)


def test_a_name_that_leads_here_but_is_not_ours_is_refused(
    contexts: Context, review: Review, out: Path, complaints: Complaints
) -> None:
    complaints.forgiven = "403|Cross-Origin-Opener-Policy"
    server = review(out)
    elsewhere = server.url.replace("127.0.0.1", ELSEWHERE).replace("localhost", ELSEWHERE)
    answer = contexts().new_page().goto(elsewhere)
    assert answer is not None
    assert answer.status == 403
    opened(contexts().new_page(), server)  # and has not used up the address


def test_the_address_lets_one_browser_in_once(
    contexts: Context, review: Review, out: Path, complaints: Complaints
) -> None:
    complaints.forgiven = "401|403"
    server = review(out)
    opened(contexts().new_page(), server)
    answer = contexts().new_page().goto(server.url)
    assert answer is not None
    assert answer.status in (401, 403)


ASK = """async ([origin, path]) => {
    const post = (body, type) => fetch(origin + "/api/decisions", {
        method: "POST", mode: "no-cors", credentials: "include", body, headers: {"Content-Type": type}});
    const body = JSON.stringify({items: [1], verdict: "rejected"});
    const ended = await Promise.allSettled([post(body, "text/plain"), fetch(origin + path, {credentials: "include"})]);
    const image = Object.assign(new Image(), {src: origin + path});
    const seen = await new Promise((done) => { image.onload = () => done(true); image.onerror = () => done(false); });
    return [ended[1].status, seen];
}"""


def test_a_strangers_page_in_the_same_browser_decides_nothing_and_sees_nothing(
    page: Page, review: Review, out: Path, complaints: Complaints
) -> None:
    server = review(out)
    opened(page, server)
    picture = page.locator("[data-cell] img[src]").first.get_attribute("src")
    complaints.forgiven = "CORS|Failed to load resource|NotSameOrigin"
    stranger = page.context.new_page()
    stranger.route("http://127.0.0.1:9/", lambda route: route.fulfill(body="<p>hello", content_type="text/html"))
    stranger.goto("http://127.0.0.1:9/")
    assert stranger.evaluate(ASK, [server.origin, picture]) == ["rejected", False]
    assert on_disk(out) == {}
