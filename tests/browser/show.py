"""Make README's pictures of the page: `python -m tests.browser.show OUT`, over the cutouts of `samples/photos`."""

from __future__ import annotations

import io
import shutil
import sys
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page

from tests.browser.desk import CELL, act, cell, loupe, shown
from tests.browser.serving import Server, browsing
from tests.browser.shelf import ROOT

SHOWN = ROOT / "samples" / "shown"
WINDOW = {"width": 1280, "height": 920}


def keep(page: Page, name: str) -> None:
    """Save what is seen, in 256 colours."""
    image = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    image.quantize(256, kmeans=4, dither=Image.Dither.NONE).save(SHOWN / name, optimize=True)
    print(SHOWN / name, (SHOWN / name).stat().st_size)


def main(out: Path) -> None:
    """Decide on some, and look closer at another."""
    server = Server.start(out)
    try:
        with browsing() as browser:
            page = browser.new_page(viewport=WINDOW, locale="en-GB")
            page.goto(server.url)
            page.locator(CELL).first.wait_for()
            page.get_by_text("L", exact=True).click()
            for name in ("hand-wash.jpg", "tote-bag.jpg"):
                cell(page, name).click()
                act(page, "accept")
                shown(page, name, "accepted")
            cell(page, "chelsea the cat.jpg").click()
            page.wait_for_timeout(1500)
            keep(page, "review.png")
            loupe(page, "oats.jpg")
            page.keyboard.press("c")
            page.wait_for_timeout(1500)
            keep(page, "loupe.png")
    finally:
        server.kill()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        main(Path(shutil.copytree(sys.argv[1], Path(folder, "cutouts"))))
