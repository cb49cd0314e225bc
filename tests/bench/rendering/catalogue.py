"""Which pictures there are: kinds of products, and a seed, become scenes; nothing here needs Blender."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from random import Random
from types import MappingProxyType
from typing import Any

SEED = 1
PRODUCTS: Mapping[str, Sequence[str]] = MappingProxyType(
    {
        "bottles": ("bottles.pump", "bottles.jar", "bottles.flask", "bottles.wine", "bottles.spray"),
        "glass": ("glassware.goblet", "glassware.tumbler", "glassware.flacon", "glassware.water", "glassware.vase"),
        "jewellery": (
            "jewellery.ring",
            "jewellery.necklace",
            "jewellery.earrings",
            "jewellery.watch",
            "jewellery.bangles",
        ),
        "frames": ("frames.spectacles", "frames.picture", "frames.wheel", "frames.basket", "frames.rack"),
        "fur": ("fur.plush", "fur.brush", "fur.pompom", "fur.slipper", "fur.chick"),
        "fabric": ("fabric.towel", "fabric.cap", "fabric.lace", "fabric.cushion", "fabric.tote"),
        "furniture": ("furniture.chair", "furniture.lamp", "furniture.table", "furniture.stool", "furniture.shelf"),
        "plants": ("plants.leafy", "plants.cactus", "plants.palm", "plants.tulips", "plants.fern"),
        "packaging": ("packaging.carton", "packaging.pouch", "packaging.blister", "packaging.tin", "packaging.tube"),
        "sets": ("sets.tableware", "sets.cosmetics", "sets.pencils", "sets.blocks", "sets.fruit"),
        "white_on_white": (
            "gear.mug",
            "gear.speaker",
            "gear.charger",
            "packaging.carton",
            "gear.bowl",
            "gear.headphones",
        ),
        "black_on_black": (
            "gear.speaker",
            "gear.headphones",
            "bottles.flask",
            "gear.camera",
            "gear.mug",
            "gear.charger",
        ),
    }
)
KINDS = tuple(PRODUCTS)
SEE_THROUGH = {"glassware.goblet", "glassware.tumbler", "glassware.flacon", "glassware.water", "glassware.vase"}
SEE_THROUGH |= {"frames.spectacles", "packaging.blister"}
"""Products with see-through parts: the light that comes through these counts as background."""
STRANDS = {"fur.plush", "fur.brush", "fur.pompom", "fur.slipper", "fur.chick"}
LYING = {
    "jewellery.necklace",
    "fabric.lace",
    "frames.spectacles",
    "sets.pencils",
    "jewellery.bangles",
    "jewellery.earrings",
}
LYING |= {"jewellery.watch", "fur.slipper"}
"""What lies flat is seen from well above."""
LARGE = {"furniture", "plants"}
"""Kinds that stand on a floor more often than on a table."""
PLACES = ("sweep", "sweep", "planks", "marble", "concrete", "linen", "room", "tiles", "coloured", "two_tone")
FLOORS = ("sweep", "room", "room", "planks", "coloured", "concrete")
LIGHTS = ("studio", "studio", "window", "overhead", "daylight", "lamp")
SHAPES = ((800, 800), (960, 800), (800, 960), (1060, 800), (800, 1060), (800, 800))
ROUNDS = 5
"""Pictures of each kind for one seed."""
QUICK = 4


@dataclass(frozen=True, slots=True)
class Picture:
    """What one photograph shows, and how it is taken."""

    seed: int
    index: int
    kind: str
    product: str
    place: str
    light: str
    width: int
    height: int
    azimuth: float
    """Degrees from the front."""
    elevation: float
    lens: float
    """Focal length on a film 36 mm wide."""
    depth: float
    """Of the blur: the aperture's diameter as a share of the distance to the subject; 0 is all sharp."""
    fill: float
    """The share of the frame that the subject takes along its longer direction."""
    grain: float
    """Deviation, levels of 255, where it is darkest."""
    quality: int
    subsampling: str
    samples: int = 6

    @property
    def name(self) -> str:
        return f"r{self.seed}-{self.index:02d}-{self.kind}-{self.product.partition('.')[2]}-1Mpx"

    @property
    def see_through(self) -> bool:
        return self.product in SEE_THROUGH

    @property
    def strands(self) -> bool:
        return self.product in STRANDS

    def as_json(self) -> dict[str, Any]:
        return {"name": self.name, **asdict(self), "see_through": self.see_through}


def catalogue(seed: int = SEED) -> list[Picture]:
    """Every kind in turn, each of its products before one comes again."""
    dice = Random(f"pictures {seed}")
    decks = {kind: dice.sample(products, len(products)) for kind, products in PRODUCTS.items()}
    return [
        picture(seed, turn * len(KINDS) + i, kind, decks[kind][turn])
        for turn in range(ROUNDS)
        for i, kind in enumerate(KINDS)
    ]


def quick(seed: int = SEED) -> list[Picture]:
    """A few small ones, noisier."""
    few = catalogue(seed)[:QUICK]
    keep = {"width", "height", "samples"}
    small = []
    for one in few:
        values = {k: v for k, v in asdict(one).items() if k not in keep}
        small.append(Picture(**values, width=one.width * 2 // 5, height=one.height * 2 // 5, samples=4))
    return small


def picture(seed: int, index: int, kind: str, product: str) -> Picture:
    """The same for the same four, whatever else is in the catalogue."""
    dice = Random(f"picture {seed} {index} {kind} {product}")
    width, height = dice.choice(SHAPES)
    place = dice.choice(FLOORS if kind in LARGE else PLACES)
    if kind in ("white_on_white", "black_on_black"):
        place = "sweep"
    lying = product in LYING
    return Picture(
        seed=seed,
        index=index,
        kind=kind,
        product=product,
        place=place,
        light=dice.choice(LIGHTS),
        width=width,
        height=height,
        azimuth=round(dice.uniform(-38, 38), 1),
        elevation=round(dice.uniform(34, 62) if lying else dice.uniform(6, 30), 1),
        lens=round(dice.uniform(45, 95), 1),
        depth=round(dice.choice((0, 0, 0.008, 0.015, 0.025)), 4),
        fill=round(dice.uniform(0.7, 0.9), 3),
        grain=round(dice.uniform(0.5, 2.6), 2),
        quality=dice.choice((80, 86, 90, 92, 95)),
        subsampling=dice.choice(("4:2:0", "4:2:0", "4:4:4")),
    )
