"""One Chromium for all tests, a context of its own for each, and review servers in processes of their own."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.browser import shelf

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page

INSTALL = "apt-get install -y --no-install-recommends chromium fonts-dejavu-core"
MISSING = f"no Chromium on this machine; on Debian: {INSTALL}; elsewhere name one in CHROMIUM"
REQUIRED = "BATCH_REMOVEBG_BROWSER"
"""Set where a missing browser is an error, as in CI."""
ELSEWHERE = "elsewhere.example"
"""A name of a stranger's that leads to this machine, as a rebinding page would have it."""
DEADLINE = 30  # seconds for a command to say or do what it must


def pytest_ignore_collect(config: pytest.Config) -> bool | None:
    """Whoever leaves these tests out needn't have Playwright."""
    return True if "not browser" in config.option.markexpr else None


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    from playwright.sync_api import sync_playwright

    path = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
    if path is None:
        (pytest.fail if REQUIRED in os.environ else pytest.skip)(MISSING)
    arguments = ["--no-sandbox", "--disable-dev-shm-usage", f"--host-resolver-rules=MAP {ELSEWHERE} 127.0.0.1"]
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=path, args=arguments)
        yield started
        started.close()


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
        return [text for text in self.found if not re.search(self.forgiven, text)]


NO_ANSWER = r"Failed to load resource|net::ERR_"
"""What Chromium says of a request that failed."""


@pytest.fixture
def complaints() -> Complaints:
    return Complaints()


Context = Callable[..., "BrowserContext"]


@pytest.fixture
def contexts(browser: Browser, complaints: Complaints) -> Iterator[Context]:
    """Make contexts, by the options of Playwright's; at the end none of their pages may have complained."""
    made: list[BrowserContext] = []

    def context(**options: Any) -> BrowserContext:
        fixed = {"viewport": {"width": 1280, "height": 800}, "locale": "en-GB", "reduced_motion": "reduce"}
        made.append(browser.new_context(**fixed | options))
        made[-1].set_default_timeout(10_000)
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


@dataclass
class Server:
    """A review server of an OUT, and its one-time address."""

    out: Path
    process: subprocess.Popen[str]
    url: str

    @property
    def origin(self) -> str:
        return self.url.partition("/?")[0]

    @property
    def port(self) -> str:
        return self.origin.rpartition(":")[2]

    @property
    def log(self) -> Path:
        """The decisions on disk."""
        return self.out / "decisions.jsonl"

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(DEADLINE)


Review = Callable[..., Server]


@pytest.fixture
def review() -> Iterator[Review]:
    """Start review servers by the real command; they end with the test."""
    started: list[subprocess.Popen[str]] = []

    def start(out: Path, *words: str) -> Server:
        words = (*words, "--no-browser") if "--port" in words else (*words, "--port", "0", "--no-browser")
        process = subprocess.Popen(
            [sys.executable, "-m", "batch_removebg", "review", str(out), *words],
            env=shelf.environment(),
            stdout=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        assert process.stdout is not None
        said = process.stdout.readline()
        found = re.search(r"http://\S+", said)
        assert found, f"no address: {said}"
        return Server(out, process, found[0])

    yield start
    for process in started:
        process.kill()
        process.wait(DEADLINE)
        assert process.stdout is not None
        process.stdout.close()


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
    """A page at the server's address, with its first pictures."""
    page.goto(server.url)
    page.locator("[data-cell]").first.wait_for()
    return page
