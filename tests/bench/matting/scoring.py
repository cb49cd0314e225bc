"""Folders of results, scored against the truth beside the photographs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tests.bench.matting.metrics import Score, Truth, score


def truth(folder: Path, name: str) -> Truth:
    """Of the picture of that name in a folder that `scenes.render_all` has filled."""
    alpha, colour = (np.load(folder / "truth" / f"{name}.{what}.npy") for what in ("alpha", "colour"))
    with Image.open(folder / "photos" / f"{name}.jpg") as photo:
        return Truth(alpha, colour, np.asarray(photo.convert("RGB")))


def cutout(path: Path) -> NDArray[np.uint8]:
    """A result as it lies there: H×W×4, uint8."""
    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGBA"))


def score_picture(name: str, folder: Path, results: Mapping[str, Path]) -> dict[str, Score]:
    """What each method's NAME.png comes to, by method; those that have made none are left out."""
    known = truth(folder, name)
    found = {}
    for method, place in results.items():
        path = place / f"{name}.png"
        if path.exists():
            found[method] = score(known, cutout(path))
    return found


def score_all(
    names: Sequence[str], folder: Path, results: Mapping[str, Path], workers: int = 2
) -> dict[str, dict[str, Score]]:
    """Scores by picture and method; `results` are folders by method. In processes, the largest pictures first."""
    largest = sorted(names, key=lambda name: -(folder / "truth" / f"{name}.alpha.npy").stat().st_size)
    with ProcessPoolExecutor(workers) as pool:
        found = dict(
            zip(largest, pool.map(partial(score_picture, folder=folder, results=results), largest), strict=True)
        )
    return {name: found[name] for name in names}
