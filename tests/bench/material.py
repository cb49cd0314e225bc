"""What the cases are fed with: output pictures of a given size, photographs, manifests."""

from __future__ import annotations

import io
import random
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from PIL import Image

_HERE = Path(__file__).parent
_CAT = _HERE.parent.parent / "samples" / "photos" / "chelsea the cat.jpg"
PHOTOGRAPHS = {path.name: path for path in (*_HERE.glob("photographs/*.jpg"), _CAT)}
"""What scenes and large photographs are made from, by name."""


def cutout(width: int, height: int) -> bytes:
    """A cutout: an RGBA PNG, opaque in the middle."""
    picture = Image.new("RGBA", (width, height), (0, 0, 0, 0))
    picture.paste((200, 60, 20, 255), (width // 4, height // 4, max(1, width * 3 // 4), max(1, height * 3 // 4)))
    return _encoded(picture, "PNG")


def cutout_of_bytes(size: int) -> bytes:
    """An RGBA PNG of about so many bytes: noise, which does not compress; below 1000 bytes a small plain one."""
    if size < 1000:
        return cutout(16, 12)
    side = max(8, int((size / 3.02) ** 0.5))
    pixels = Image.frombytes("RGB", (side, side), random.Random(0).randbytes(3 * side * side)).convert("RGBA")
    pixels.putalpha(Image.linear_gradient("L").resize((side, side)))
    return _encoded(pixels, "PNG")


def photographs(folder: Path, number: int, longest: int = 4000, *, grain: float = 0.0) -> list[Path]:
    """JPEGs as large as a camera's, made from small photographs; no two are alike, and their sizes come round.

    `grain`: σ of a sensor's noise, of 255.
    """
    sources = [PHOTOGRAPHS[name] for name in sorted(PHOTOGRAPHS)]
    folder.mkdir(parents=True, exist_ok=True)
    made = []
    for index in range(number):
        with Image.open(sources[index % len(sources)]) as sample:
            scale = longest / max(sample.size)
            large = sample.convert("RGB").resize((round(sample.width * scale), round(sample.height * scale)))
        if grain:
            noise = np.random.default_rng(index).normal(0.0, grain, (large.height, large.width, 1))
            large = Image.fromarray((np.asarray(large) + noise).clip(0, 255).astype(np.uint8))
        large.putpixel((index, 0), (index % 256, 255, 0))
        large.crop((0, 0, large.width - 8 * (index % 24), large.height)).save(folder / f"{index}.jpg", quality=92)
        made.append(folder / f"{index}.jpg")
    return made


def size_of(data: bytes) -> tuple[int, int]:
    """Of a picture, in pixels."""
    with Image.open(io.BytesIO(data)) as picture:
        return picture.size


def item_id(number: int) -> str:
    """A thousand to a folder, so that the file system is not what is measured."""
    return f"{number // 1000:04d}/{number:07d}"


def image_url(number: int) -> str:
    """An input that is passed through; the simulated API never asks for it."""
    return f"https://photos.example/{item_id(number)}.jpg"


def url_manifest(path: Path, number: int) -> Path:
    """A CSV of so many URLs."""
    return manifest(path, ((item_id(index), image_url(index)) for index in range(number)))


def manifest(path: Path, rows: Iterable[tuple[str, str]]) -> Path:
    """A CSV of (id, image)."""
    with path.open("w", encoding="utf-8") as file:
        file.write("id,image\n")
        file.writelines(f"{name},{image}\n" for name, image in rows)
    return path


def _encoded(picture: Image.Image, form: str) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, form)
    return buffer.getvalue()
