"""One Chromium for all tests, a context of its own for each, and review servers that end with them."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.browser import shelf
from tests.browser.serving import MISSING, Server, browsing, chromium

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page

PATIENCE_MS = 15_000  # the page looks for changes every 2 s, and more rarely once it has failed
REQUIRED = "BATCH_REMOVEBG_BROWSER"
"""Set where a missing browser is an error, as in CI."""
Context = Callable[..., "BrowserContext"]
Review = Callable[..., Server]


def pytest_ignore_collect(config: pytest.Config) -> bool | None:
    """Whoever leaves these tests out needn't have Playwright."""
    return None if re.search(r"(?<!not )\bbrowser\b", config.option.markexpr) else True


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    if chromium() is None:
        (pytest.fail if REQUIRED in os.environ else pytest.skip)(MISSING)
    from playwright.sync_api import expect

    expect.set_options(timeout=PATIENCE_MS)
    with browsing() as started:
        yield started


NO_ANSWER = r"Failed to load resource|net::ERR_"
"""What Chromium says of a request that failed."""
NO_PICTURE = r"status of 4(04|22) .*/(thumb|picture)/"
"""What it says where a picture can't be had, as of a damaged source."""


@dataclass
class Complaints:
    """What a browser's console has said is wrong; a test that provokes something forgives it."""

    found: list[str] = field(default_factory=list)
    forgiven: str = r"(?!)"

    def hear(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.found.append(f"{message.text} ({message.location.get('url')})")

    @property
    def left(self) -> list[str]:
        return [text for text in self.found if not re.search(f"{NO_PICTURE}|{self.forgiven}", text)]


@pytest.fixture
def complaints() -> Complaints:
    return Complaints()


@pytest.fixture
def contexts(browser: Browser, review: Review, complaints: Complaints) -> Iterator[Context]:
    """Make contexts, by Playwright's options; they end before servers do, and no page of theirs may have complained."""
    made: list[BrowserContext] = []

    def context(**options: Any) -> BrowserContext:
        fixed = {"viewport": {"width": 1280, "height": 800}, "locale": "en-GB", "reduced_motion": "reduce"}
        made.append(browser.new_context(**fixed | options))
        made[-1].set_default_timeout(PATIENCE_MS)
        made[-1].on("console", complaints.hear)
        made[-1].on("weberror", lambda error: complaints.found.append(str(error.error)))
        made[-1].on("dialog", lambda dialog: complaints.found.append(f"a dialog: {dialog.message}"))
        return made[-1]

    yield context
    for each in made:
        each.close()
    assert complaints.left == []


@pytest.fixture
def page(contexts: Context) -> Page:
    """A page in a context of its own."""
    return contexts().new_page()


@pytest.fixture
def review() -> Iterator[Review]:
    """Start review servers by the real command; they end with the test."""
    started: list[Server] = []

    def start(out: Path, *words: str) -> Server:
        started.append(Server.start(out, *words))
        return started[-1]

    yield start
    for server in started:
        server.kill()


@pytest.fixture(scope="session")
def made_shelf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `shop/shelf.csv` and `out`, as a run has left it."""
    folder = tmp_path_factory.mktemp("shelf")
    shelf.command("run", shelf.shelf(folder / "shop"), "--out", "out", folder=folder, code=3)
    return folder


@pytest.fixture
def out(made_shelf: Path, tmp_path: Path) -> Path:
    """A copy of the OUT of the shelf."""
    return shutil.copytree(made_shelf / "out", tmp_path / "out")


@pytest.fixture
def desk(page: Page, review: Review, out: Path) -> Page:
    """The page of the shelf, with its grid."""
    return opened(page, review(out))


def opened(page: Page, server: Server) -> Page:
    """The page at the server's address, with its first pictures."""
    page.goto(server.url)
    page.locator("[data-cell][data-status]").first.wait_for()
    return page
