"""The rendered pictures' scores: the same as the drawn ones', and two that tell which way an alpha errs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, field, fields
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tests.bench.matting.metrics import Score, Truth, score
from tests.bench.matting.scoring import cutout

BAD = 0.9
"""A picture whose IoU is less is bad."""


@dataclass(frozen=True, slots=True)
class Mark(Score):
    """What `Score` says, and the alpha's bias and overlap."""

    bias: float
    """Mean of our alpha less the truth within 5 px of its edges: below 0, cutouts are too small."""
    iou: float
    """What both take for the subject (alpha ≥ 0.5) over what either does."""


METRICS = tuple(f.name for f in fields(Mark))


@dataclass
class Marks:
    """Of one run over the pictures of some seeds."""

    kinds: Mapping[str, str]
    """By picture."""
    seeds: Mapping[str, int]
    scores: Mapping[str, Mapping[str, Mark]]
    """By picture and method."""
    machine: Mapping[str, Any] = field(default_factory=dict)
    rembg: str = ""

    @property
    def methods(self) -> list[str]:
        return list(dict.fromkeys(method for found in self.scores.values() for method in found))

    def pictures(self, *methods: str) -> list[str]:
        """Those that all these methods have made."""
        return [name for name, found in self.scores.items() if all(method in found for method in methods)]

    def values(self, method: str, metric: str, names: Sequence[str]) -> NDArray[np.float64]:
        return np.array([getattr(self.scores[name][method], metric) for name in names], np.float64)

    def write(self, path: Path) -> None:
        """A picture's numbers on one line."""
        rows = {
            name: {method: [float(f"{getattr(mark, key):.5g}") for key in METRICS] for method, mark in found.items()}
            for name, found in self.scores.items()
        }
        head = {"machine": self.machine, "rembg": self.rembg, "kinds": self.kinds, "seeds": self.seeds}
        lines = ",\n".join(f"  {json.dumps(name)}: {json.dumps(row)}" for name, row in rows.items())
        told = json.dumps({**head, "metrics": METRICS}, ensure_ascii=False)[:-1]
        path.write_text(f'{told},\n "scores": {{\n{lines}\n}}}}\n', encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> Marks:
        """Raises ValueError where the file holds other metrics than these."""
        given = json.loads(path.read_text(encoding="utf-8"))
        if tuple(given["metrics"]) != METRICS:
            raise ValueError(f"the file holds {given['metrics']}, not {METRICS}: run the benchmark again")
        scores = {name: {m: Mark(*v) for m, v in found.items()} for name, found in given["scores"].items()}
        return cls(given["kinds"], given["seeds"], scores, given["machine"], given["rembg"])


def truth(folder: Path, name: str) -> Truth:
    """Of a rendered picture: NAME.jpg, and beside it NAME.alpha.png (of 16 or 8 bits) and NAME.fg.png or .fg.jpg."""
    with Image.open(folder / f"{name}.alpha.png") as opened:
        alpha = np.asarray(opened)
    if alpha.dtype == np.uint8:
        alpha = alpha.astype(np.uint16) * 257
    flat = next(folder.glob(f"{name}.fg.*"))
    return Truth(alpha.astype(np.uint16), _colours(flat), _colours(folder / f"{name}.jpg"))


def _colours(path: Path) -> NDArray[np.uint8]:
    with Image.open(path) as opened:
        return np.asarray(opened.convert("RGB"))


def mark(known: Truth, result: NDArray[np.uint8]) -> Mark:
    """Of a result, H×W×4; raises ValueError where it has another size."""
    found = score(known, result)
    apart = result[..., 3].astype(np.float32) / np.float32(255) - known.alpha
    ours, theirs = result[..., 3] >= 128, known.alpha16 >= 32768
    either = int((ours | theirs).sum())
    overlap = int((ours & theirs).sum()) / either if either else 1.0
    return Mark(**asdict(found), bias=float(apart[known.band].mean(dtype=np.float64)), iou=overlap)


def mark_picture(name: str, folder: Path, results: Mapping[str, Path]) -> dict[str, Mark]:
    known = truth(folder, name)
    paths = {method: place / f"{name}.png" for method, place in results.items()}
    return {method: mark(known, cutout(path)) for method, path in paths.items() if path.exists()}


def mark_all(
    names: Sequence[str], folder: Path, results: Mapping[str, Path], workers: int = 2
) -> dict[str, dict[str, Mark]]:
    """By picture and method; `results` are folders of NAME.png by method."""
    with ProcessPoolExecutor(workers) as pool:
        found = pool.map(partial(mark_picture, folder=folder, results=results), names)
        return dict(zip(names, found, strict=True))
