"""The server, the network or the folder goes away: the page says so, and shows as decided only what is on disk."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path

import pytest
from playwright.sync_api import Page, Route, expect

from tests.browser.conftest import NO_ANSWER, Complaints, Context, Review, opened
from tests.browser.desk import act, cell, on_disk, shown, until

pytestmark = pytest.mark.browser


def test_decisions_without_a_connection_are_counted_as_unsaved_and_saved_once_there_is_one(
    desk: Page, out: Path, complaints: Complaints
) -> None:
    complaints.forgiven = NO_ANSWER
    desk.context.set_offline(True)
    for item in ("mug", "pair"):
        cell(desk, item).click()
        act(desk, "accept")
        shown(desk, item, "saving")
    expect(desk.locator("[data-unsaved]")).to_contain_text("2")
    assert on_disk(out) == {}
    desk.context.set_offline(False)
    for item in ("mug", "pair"):
        shown(desk, item, "accepted")
    expect(desk.locator("[data-unsaved]")).to_be_hidden()
    assert on_disk(out) == {"mug": "accepted", "pair": "accepted"}


def test_a_decision_that_a_killed_server_never_took_is_not_shown(
    page: Page, contexts: Context, review: Review, out: Path, complaints: Complaints
) -> None:
    complaints.forgiven = NO_ANSWER
    server = review(out)
    opened(page, server)
    cell(page, "mug").click()
    os.kill(server.process.pid, signal.SIGSTOP)
    act(page, "accept")
    shown(page, "mug", "saving")
    server.kill()
    expect(page.locator("[data-unsaved]")).to_contain_text("1")
    shown(page, "mug", "saving")
    after = review(out, "--port", server.port)
    shown(opened(contexts().new_page(), after), "mug", "undecided")
    assert on_disk(out) == {}


def test_a_decision_whose_answer_was_lost_is_shown_once_the_next_server_tells_of_it(
    page: Page, review: Review, out: Path, complaints: Complaints
) -> None:
    complaints.forgiven = NO_ANSWER
    server = review(out)
    opened(page, server)

    answers: list[int] = []

    def lose(route: Route) -> None:
        answers.append(route.fetch().status)
        server.kill()
        route.abort()

    page.route("**/api/decisions", lose, times=1)
    cell(page, "mug").click()
    act(page, "accept")
    until(page, lambda: server.process.poll() is not None)
    expect(page.locator("[data-unsaved]")).to_contain_text("1")
    shown(page, "mug", "saving")
    assert (answers, on_disk(out)) == ([200], {"mug": "accepted"})
    after = review(out, "--port", server.port)
    page.context.new_page().goto(after.url)  # in the same browser: it is let in again, and so is the first page
    shown(page, "mug", "accepted")
    expect(page.locator("[data-unsaved]")).to_be_hidden()


def test_a_decision_that_the_server_refuses_is_put_back_and_said(desk: Page, complaints: Complaints) -> None:
    complaints.forgiven = NO_ANSWER
    refusal = '{"error": "the disk is full: free some space"}'
    desk.route("**/api/decisions", lambda route: route.fulfill(status=409, body=refusal), times=1)
    cell(desk, "mug").click()
    act(desk, "accept")
    expect(desk.locator("[data-live]")).to_contain_text("the disk is full: free some space")
    shown(desk, "mug", "undecided")


def test_an_out_that_is_deleted_while_the_page_is_open_is_said(desk: Page, out: Path, complaints: Complaints) -> None:
    complaints.forgiven = NO_ANSWER
    shutil.rmtree(out)
    cell(desk, "mug").click()
    act(desk, "accept")
    expect(desk.locator("[data-alarm]")).to_be_visible()
    expect(cell(desk, "mug")).not_to_have_attribute("data-verdict", "accepted")
    assert not out.exists()
