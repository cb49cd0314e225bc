"""One picture, in a process of its own that has Blender: `python -m tests.bench.rendering.make SEED INDEX FOLDER`."""

from __future__ import annotations

import argparse
import importlib
import tempfile
from dataclasses import replace
from pathlib import Path
from random import Random

import numpy as np
from PIL import Image

from tests.bench.rendering import catalogue, passes, stage
from tests.bench.rendering.catalogue import Picture
from tests.bench.rendering.develop import developed
from tests.bench.rendering.look import Look


def build(picture: Picture) -> None:
    """The scene as it is photographed."""
    dice = Random(f"scene {picture.name}")
    stage.empty()
    look = Look.of(dice, picture.kind)
    family, _, name = picture.product.partition(".")
    with stage.filling(stage.SUBJECT):
        getattr(importlib.import_module(f"tests.bench.rendering.products.{family}"), name)(dice, look)
    stage.set_down()
    with stage.filling(stage.AROUND):
        stage.place(picture.place, dice, look, picture.kind)
        stage.light(picture.light, dice)
    stage.camera(picture, dice)
    passes.settings(dice.getrandbits(30))


def make(picture: Picture, folder: Path) -> None:
    """Write NAME.fg.png, NAME.alpha.png and, last, NAME.jpg."""
    build(picture)
    with tempfile.TemporaryDirectory() as scratch:
        everything = passes.everything(picture, Path(scratch))
        alone = passes.subject(picture, Path(scratch))
    photo, alpha, colours = developed(everything, alone, picture)
    folder.mkdir(parents=True, exist_ok=True)
    Image.fromarray(colours).save(folder / f"{picture.name}.fg.png")
    Image.fromarray(alpha.astype(np.uint16)).save(folder / f"{picture.name}.alpha.png")
    part = folder / f"{picture.name}.part"
    Image.fromarray(photo).save(part, "JPEG", quality=picture.quality, subsampling=picture.subsampling)
    part.replace(folder / f"{picture.name}.jpg")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("seed", type=int)
    parser.add_argument("index", type=int)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--side", type=int, help="the longer side, for a look at it")
    parser.add_argument("--samples", type=int)
    given = parser.parse_args()
    picture = (catalogue.quick if given.quick else catalogue.catalogue)(given.seed)[given.index]
    if given.side:
        scale = given.side / max(picture.width, picture.height)
        picture = replace(picture, width=round(picture.width * scale), height=round(picture.height * scale))
    if given.samples:
        picture = replace(picture, samples=given.samples)
    make(picture, given.folder)


if __name__ == "__main__":
    main()
