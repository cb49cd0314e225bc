"""The README's picture of the five shadows: `python -m tests.bench.shadows [PHOTO [PICTURE]]`."""

from __future__ import annotations

import sys

from PIL import Image, ImageChops, ImageDraw, ImageFont

from batch_removebg import remove
from batch_removebg.finish.kinds import SHADOWS
from tests.bench.report import ROOT

PHOTO, PICTURE = ROOT / "samples/photos/hand-wash.jpg", ROOT / "samples/shown/shadows.png"
SCALE = 0.3  # of the photo
SPACE, LABEL = 16, 26  # pixels


def panel(photo: str, kind: str) -> Image.Image:
    """The product on white with a shadow, cropped to what isn't white."""
    made = remove(photo, background="white", shadow=kind)
    made = made.resize((round(made.width * SCALE), round(made.height * SCALE)), Image.Resampling.LANCZOS)
    return made.crop(ImageChops.invert(made).point(lambda level: 255 * (level > 2)).getbbox())


def main(photo: str = str(PHOTO), picture: str = str(PICTURE)) -> None:
    panels = {kind: panel(photo, kind) for kind in SHADOWS}
    size = sum(one.width + SPACE for one in panels.values()), max(one.height for one in panels.values())
    sheet = Image.new("RGB", (size[0], size[1] + LABEL), "white")
    draw, at = ImageDraw.Draw(sheet), 0
    for kind, one in panels.items():
        sheet.paste(one, (at, 0))
        draw.text((at, sheet.height - LABEL / 2), kind, "#444", ImageFont.load_default(16), "lm")
        at += one.width + SPACE
    sheet.save(picture, optimize=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
