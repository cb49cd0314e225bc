"""The pictures: which there are, and how each is made, the same for the same seed.

A picture is composed in the encoded values of sRGB, as image editors do and as cutouts are shown: C = αF + (1−α)B, then
grain, then JPEG. α (16 bits) and F (8 bits) are rounded first, so that they are the truth of exactly what was composed.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType

import numpy as np
import PIL
from numpy.typing import NDArray
from PIL import Image

from tests.bench.matting import cutouts, glass, products, strands
from tests.bench.matting.backdrops import BACKDROPS, shadowed
from tests.bench.matting.drawing import Canvas

SEED = 20_26
"""Of the pictures that the results are of, and that the refinement was tuned on; another draws what it has not seen."""
KINDS = ("hard", "hair", "translucent", "cutout")

DRAWN: Mapping[str, tuple[str, Callable[[Canvas], None]]] = MappingProxyType(
    {
        **{
            f.__name__: ("hard", f) for f in (products.bottle, products.box, products.mug, products.shoe, products.ball)
        },
        **{
            f.__name__: ("hard", f)
            for f in (products.ring, products.bag, products.plant, products.chair, products.headphones)
        },
        **{
            f.__name__: ("hair", f)
            for f in (strands.plush, strands.portrait, strands.feather, strands.brush, strands.grass)
        },
        **{
            f.__name__: ("translucent", f)
            for f in (glass.wineglass, glass.tumbler, glass.veil, glass.sunglasses, glass.flacon)
        },
        "astronaut": ("cutout", partial(cutouts.draw, cutouts.ASTRONAUT)),
        "cup": ("cutout", partial(cutouts.draw, cutouts.CUP)),
        "rocket": ("cutout", partial(cutouts.draw, cutouts.ROCKET)),
        "photographer": ("cutout", partial(cutouts.draw, cutouts.PHOTOGRAPHER)),
        "cat": ("cutout", partial(cutouts.draw, cutouts.CAT)),
    }
)
AT_THE_BOTTOM = {"astronaut", "photographer", "portrait", "veil"}
"""What goes on below the picture."""
AT_THE_TOP = {"cat"}
FOOT = {"shoe": 0.57, "mug": 0.84, "cup": 0.9, "box": 0.88, "ball": 0.9, "sunglasses": 0.34, "headphones": 0.84}
"""Where what stands throws its shadow, units below its middle."""
FLYING = {"feather", "brush", "rocket", "cat"}
"""What has no foot to throw a shadow."""
ALIKE = {("photographer", "dark"), ("photographer", "walnut"), ("photographer", "night"), ("rocket", "night")}
"""Subjects that nobody would take before such a backdrop: they can't be told from it."""
SHAPES = {1: ((1024, 1024), (1200, 834), (834, 1200)), 4: ((2000, 2000), (2448, 1632), (1632, 2448))}
SHAPES[12] = ((4000, 3000), (3000, 4000), (3464, 3464))
"""Widths and heights by size in megapixels."""
BLUR = {1: 0.55, 4: 0.75, 12: 1.0}
"""Of the lens, pixels: a small picture is a reduced one, and sharper."""


@dataclass(frozen=True, slots=True)
class Scene:
    """What is to be drawn, before what, and with what camera."""

    index: int
    subject: str
    backdrop: str
    megapixels: int
    width: int
    height: int
    noise: float
    """Deviation of the grain, levels of 255."""
    quality: int
    subsampling: str
    seed: int = SEED

    @property
    def kind(self) -> str:
        return DRAWN[self.subject][0]

    @property
    def name(self) -> str:
        drawn = "" if self.seed == SEED else f"{self.seed}-"
        backdrop = self.backdrop.replace(" ", "_")
        return f"{drawn}{self.index:02d}-{self.kind}-{self.subject}-{backdrop}-{self.megapixels}Mpx"


def catalogue(seed: int = SEED) -> list[Scene]:
    """All pictures: 40 of 1 Mpx, 16 of 4 Mpx, 8 of 12 Mpx, each kind alike often."""
    rng = np.random.default_rng(seed)
    subjects = {kind: [name for name, (of, _) in DRAWN.items() if of == kind] for kind in KINDS}
    decks: dict[str, list[str]] = {kind: [] for kind in KINDS}
    backdrops: list[str] = []
    scenes = []
    for megapixels, rounds in ((1, 10), (4, 4), (12, 2)):
        for number in range(rounds):
            for kind in KINDS:
                if not decks[kind]:
                    decks[kind] = list(rng.permutation(subjects[kind]))
                if not backdrops:
                    backdrops = list(rng.permutation(list(BACKDROPS)))
                subject, backdrop = decks[kind].pop(), backdrops.pop()
                if (subject, backdrop) in ALIKE:
                    backdrop = "cream"
                width, height = SHAPES[megapixels][int(rng.integers(3))] if number else SHAPES[megapixels][0]
                scenes.append(
                    Scene(
                        index=len(scenes),
                        subject=str(subject),
                        backdrop=str(backdrop),
                        megapixels=megapixels,
                        width=width,
                        height=height,
                        noise=round(float(rng.uniform(2, 4)), 2),
                        quality=int(rng.integers(88, 96)),
                        subsampling=("4:2:0", "4:4:4")[int(rng.integers(2))],
                        seed=seed,
                    )
                )
    return scenes


def quick(seed: int = SEED) -> list[Scene]:
    """One small picture of each kind."""
    return catalogue(seed)[: len(KINDS)]


def draw(scene: Scene) -> tuple[NDArray[np.uint8], NDArray[np.uint16], NDArray[np.uint8]]:
    """The picture before JPEG (H×W×3, uint8), alpha (H×W, uint16, 65535 is opaque), foreground (H×W×3, uint8)."""
    rng = np.random.default_rng((scene.seed, scene.index))
    size = min(scene.width, scene.height)
    scale = size * float(rng.uniform(0.36, 0.44))
    x, y = scene.width * float(rng.uniform(0.44, 0.56)), scene.height * float(rng.uniform(0.48, 0.52))
    x = min(max(x, 1.08 * scale), scene.width - 1.08 * scale)
    if scene.subject in AT_THE_BOTTOM:
        y = scene.height - scale * 0.98
    elif scene.subject in AT_THE_TOP:
        y = scale * 0.98
    canvas = Canvas(scene.width, scene.height, x, y, scale, rng)
    DRAWN[scene.subject][1](canvas)
    alpha, colour = canvas.finish(BLUR[scene.megapixels])
    picture = BACKDROPS[scene.backdrop](canvas)
    if scene.subject not in FLYING | AT_THE_BOTTOM:
        picture = shadowed(picture, canvas, FOOT.get(scene.subject, 0.96), 0.62, 0.75)
    cover = (alpha.astype(np.float32) / np.float32(65535))[..., None]
    picture = np.clip(picture, 0, 255)
    picture += (colour - picture) * cover
    picture += np.float32(scene.noise) * rng.standard_normal(picture.shape, np.float32)
    return np.round(np.clip(picture, 0, 255)).astype(np.uint8), alpha, colour


def render(scene: Scene, folder: Path) -> Path:
    """Write `photos/NAME.jpg`, `truth/NAME.alpha.npy` and `truth/NAME.colour.npy`, where they are not there yet."""
    photo = folder / "photos" / f"{scene.name}.jpg"
    if photo.exists():
        return photo
    picture, alpha, colour = draw(scene)
    for path in (photo, folder / "truth" / "x"):
        path.parent.mkdir(parents=True, exist_ok=True)
    np.save(folder / "truth" / f"{scene.name}.alpha.npy", alpha)
    np.save(folder / "truth" / f"{scene.name}.colour.npy", colour)
    # Last, under a name of its own first: a photograph stands for all three.
    part = photo.with_suffix(".part")
    Image.fromarray(picture).save(part, "JPEG", quality=scene.quality, subsampling=scene.subsampling)
    part.replace(photo)
    return photo


def render_all(scenes: Sequence[Scene], folder: Path, workers: int = 2) -> list[Path]:
    """All of them, the largest first, in processes; what other versions of this code made there is removed."""
    stamp, made_by = folder / ".made-by", fingerprint()
    if stamp.exists() and stamp.read_text() != made_by:
        for name in ("photos", "truth", "cutouts"):
            shutil.rmtree(folder / name, ignore_errors=True)
    elif not stamp.exists() and (folder / "photos").exists():
        raise FileExistsError(f"{folder / 'photos'} is not of this benchmark's making; name another folder")
    folder.mkdir(parents=True, exist_ok=True)
    stamp.write_text(made_by)
    largest = sorted(scenes, key=lambda scene: -scene.megapixels)
    with ProcessPoolExecutor(workers) as pool:
        list(pool.map(partial(render, folder=folder), largest))
    return [folder / "photos" / f"{scene.name}.jpg" for scene in scenes]


def fingerprint() -> str:
    """Of the code that draws, and of the libraries that it draws with."""
    digest = hashlib.sha256(f"{np.__version__} {PIL.__version__}".encode())
    for name in ("drawing", "outlines", "shades", "backdrops", "products", "strands", "glass", "cutouts", "scenes"):
        digest.update((Path(__file__).parent / f"{name}.py").read_bytes())
    return digest.hexdigest()
