"""What the review page takes, as a table: `python -m tests.browser.measure FOLDER [N…]`, on a quiet machine.

FOLDER keeps the OUTs of N items (1,000 and 100,000) that starts are measured with, from one call to the next.
"""

from __future__ import annotations

import gzip
import statistics
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anyio
from playwright.sync_api import Browser, Page

import batch_removebg.review
from batch_removebg.ledger.journal import Ledger
from batch_removebg.storage.layout import INDEX, LEDGER
from tests.browser import shelf
from tests.browser.desk import nodes
from tests.browser.serving import Server, browsing

PAGE = Path(batch_removebg.review.__file__).with_name("page")
WINDOW = {"width": 1440, "height": 900}
TURNS, SCROLL_S, VIEWS = 50, 10, 200
SCROLL = """seconds => new Promise((done) => {
    const grid = document.querySelector("[role=grid]"), gaps = [];
    const begun = performance.now();
    let last = begun, most = 0;
    requestAnimationFrame(function frame(now) {
        gaps.push(now - last);
        last = now;
        grid.scrollTop += 24;
        most = Math.max(most, grid.querySelectorAll("*").length);
        if (now - begun < seconds * 1000) requestAnimationFrame(frame);
        else done([gaps.length, gaps.filter((gap) => gap > 25).length, most]);
    });
})"""
SHOWN = """async () => {
    const last = (name) => performance.getEntriesByName(name).at(-1)?.startTime ?? 0;
    while (last("loupe:shown") <= last("loupe:key")) await new Promise(requestAnimationFrame);
    return last("loupe:shown") - last("loupe:key");
}"""


def row(name: str, value: str) -> None:
    print(f"{name:<62} {value}", flush=True)


@contextmanager
def served(out: Path) -> Iterator[Server]:
    server = Server.start(out)
    try:
        yield server
    finally:
        server.kill()


@contextmanager
def seen(browser: Browser, out: Path) -> Iterator[Page]:
    """The page of an OUT."""
    with served(out) as server:
        page = browser.new_page(viewport=WINDOW)
        page.goto(server.url)
        page.locator("[data-cell][data-status]").first.wait_for()
        yield page
        page.close()


def of_size(out: Path, n: int) -> Path:
    """An OUT of `n` items with its index, as a run leaves it."""
    if not out.exists():
        shelf.many(out, n)
    anyio.run(_index, out)
    return out


async def _index(out: Path) -> None:
    async with Ledger(out / LEDGER, index=out / INDEX):
        """It is built as the ledger is opened, and written as it is closed."""


def start(browser: Browser, out: Path) -> tuple[float, float]:
    """Seconds from the command to its address, and to the first cells in the browser."""
    begun = time.monotonic()
    with served(out) as server:
        printed = time.monotonic() - begun
        page = browser.new_page(viewport=WINDOW)
        page.goto(server.url)
        page.locator("[data-cell][data-status]").first.wait_for()
        shown = time.monotonic() - begun
        page.close()
        return printed, shown


def turn_pages(page: Page) -> list[float]:
    """Milliseconds from a key to the next picture in the loupe, whose pictures have had half a second to come."""
    page.locator("[data-cell]").first.dblclick()
    page.locator("[data-loupe]").wait_for()
    taken = []
    for _ in range(TURNS):
        page.wait_for_timeout(500)
        page.keyboard.press("]")
        taken.append(float(page.evaluate(SHOWN)))
    page.keyboard.press("Escape")
    return taken


def memory(page: Page) -> tuple[float, int]:
    """Megabytes of the page's heap after a collection, and nodes that live."""
    session = page.context.new_cdp_session(page)
    session.send("HeapProfiler.collectGarbage")
    session.send("Performance.enable")
    found: dict[str, Any] = {each["name"]: each["value"] for each in session.send("Performance.getMetrics")["metrics"]}
    session.detach()
    return found["JSHeapUsedSize"] / 1e6, int(found["Nodes"])


def change_views(page: Page) -> None:
    box = page.locator("[data-filter=flag][value=suspect]")
    for number in range(VIEWS):
        on = number % 2 == 0
        box.set_checked(on)
        page.locator("[data-banner]").wait_for(state="visible" if on else "hidden")
        page.locator("[role=grid]:not([aria-busy])").wait_for()


def bytes_of_the_page() -> None:
    files = [path.read_bytes() for path in sorted(PAGE.rglob("*.*"))]
    together, apart = len(gzip.compress(b"".join(files), 9)), sum(len(gzip.compress(each, 9)) for each in files)
    size = sum(map(len, files))
    row(f"{len(files)} files of the page: bytes · gzipped", f"{size:,} · {together:,} together, {apart:,} apart")


def main(folder: Path, sizes: list[int]) -> None:
    """Print the table."""
    bytes_of_the_page()
    outs = {n: of_size(folder / f"out{n}", n) for n in (20_000, *sizes)}
    with browsing() as browser:
        for n in sizes:
            starts = [start(browser, outs[n]) for _ in range(3)]
            printed, shown = (statistics.median(each) for each in zip(*starts, strict=True))
            row(f"{n:,} items: to the address · to the first cells", f"{printed:.2f} s · {shown:.2f} s")
        with seen(browser, outs[20_000]) as page:
            at_length(page)


def at_length(page: Page) -> None:
    """Scroll, turn pages and change views."""
    frames, dropped, most = page.evaluate(SCROLL, SCROLL_S)
    row(f"{SCROLL_S} s of scrolling 20,000: frames · over 25 ms · nodes", f"{frames} · {dropped} · {most}")
    taken = turn_pages(page)
    p95 = statistics.quantiles(taken, n=20)[-1]
    row(f"next picture in the loupe, {TURNS} times: median · p95", f"{statistics.median(taken):.0f} ms · {p95:.0f} ms")
    before = memory(page)
    change_views(page)
    after = memory(page)
    row(f"heap · nodes before {VIEWS} changes of the view", f"{before[0]:.1f} MB · {before[1]}")
    row("heap · nodes after them", f"{after[0]:.1f} MB · {after[1]}; {nodes(page)} in the grid")


if __name__ == "__main__":
    main(Path(sys.argv[1]), [int(word) for word in sys.argv[2:]] or [1_000, 100_000])
