"""Small copies of pictures for the repository: `python -m tests.bench.rendering.keep FOLDER NAME…`."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tests.bench.rendering.develop import levels

SIDE, QUALITY = 512, 88
Floats = NDArray[np.float32]


def keep(folder: Path, name: str, out: Path) -> None:
    """Reduced in linear light, as a lens would; where there is nothing, the foreground shows the photograph."""
    photo, flat = (np.asarray(Image.open(folder / f"{name}.{end}").convert("RGB")) for end in ("jpg", "fg.png"))
    alpha = np.asarray(Image.open(folder / f"{name}.alpha.png")).astype(np.float32) / 65535
    scale = SIDE / max(alpha.shape)
    size = round(alpha.shape[1] * scale), round(alpha.shape[0] * scale)
    small = reduced(alpha[..., None], size)
    seen = reduced(linear(photo), size)
    own = reduced(linear(flat) * alpha[..., None], size) / np.maximum(small, 1e-4)
    out.mkdir(exist_ok=True)
    Image.fromarray(levels(encoded(seen))).save(out / f"{name}.jpg", quality=QUALITY)
    colours = levels(encoded(np.where(small > 0, own, seen)))
    Image.fromarray(colours).save(out / f"{name}.fg.jpg", quality=92, subsampling=0)
    Image.fromarray(levels(small[..., 0])).save(out / f"{name}.alpha.png", optimize=True)


def reduced(picture: Floats, size: tuple[int, int]) -> Floats:
    planes = [Image.fromarray(np.ascontiguousarray(picture[..., i])) for i in range(picture.shape[2])]
    return np.dstack([np.asarray(plane.resize(size, Image.Resampling.BOX)) for plane in planes])


def linear(picture: NDArray[np.uint8]) -> Floats:
    light = picture.astype(np.float32) / 255
    return np.where(light <= 0.04045, light / 12.92, ((light + 0.055) / 1.055) ** 2.4).astype(np.float32)


def encoded(light: Floats) -> Floats:
    light = np.clip(light, 0, 1)
    return np.where(light <= 0.0031308, 12.92 * light, 1.055 * np.maximum(light, 1e-9) ** (1 / 2.4) - 0.055)


if __name__ == "__main__":
    for each in sys.argv[2:]:
        keep(Path(sys.argv[1]), each, Path(__file__).parent / "kept")
