"""`python -m tests.bench.flags --pictures DIR…`: which bad cutouts are flagged, and how many of those flagged are bad.

A DIR holds NAME.jpg and NAME.alpha.png (rendered pictures), or what `tests.bench.truth --render --keep DIR` makes.
Bad is a cutout that overlaps the truth by less than 0.9 (IoU), or with one connected error above 1 % of the subject.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from batch_removebg.engine import weights
from batch_removebg.engine.network import combined, opened
from batch_removebg.finish.cut import cut
from batch_removebg.finish.options import Finish
from batch_removebg.imaging.arrays import to_8_bits
from batch_removebg.imaging.decode import proxy, read
from batch_removebg.imaging.format import Limits
from batch_removebg.matting.quality import FLAGS, flags, measure
from batch_removebg.matting.regions import areas
from batch_removebg.model import Matte

LEAST_OVERLAP, LARGEST_ERROR = 0.9, 0.01
EDGE = 5  # pixels: an error that is nowhere so wide lies along an edge, and isn't a missing part
GLASS = ("-glass-", "-translucent-")
"""In the names of see-through subjects, which are told apart."""


@dataclass(frozen=True, slots=True)
class Picture:
    name: str
    photo: Path
    truth: Path

    @property
    def glass(self) -> bool:
        return any(word in self.name for word in GLASS)

    def solid(self) -> NDArray[np.bool_]:
        """The true subject."""
        if self.truth.suffix == ".npy":
            alpha = np.load(self.truth)
        else:
            with Image.open(self.truth) as opened_alpha:
                alpha = np.asarray(opened_alpha)
        return np.asarray(alpha >= (128 if alpha.dtype == np.uint8 else 32768))


@dataclass(frozen=True, slots=True)
class Judged:
    """One cutout: its error, and its flags."""

    overlap: float
    largest: float  # connected error, as a share of the subject
    flags: tuple[str, ...]

    @property
    def bad(self) -> bool:
        return self.overlap < LEAST_OVERLAP or self.largest > LARGEST_ERROR


def pictures(folder: Path) -> Iterator[Picture]:
    """Those of a folder, by name."""
    drawn = (folder / "photos").is_dir()
    for photo in sorted((folder / "photos" if drawn else folder).glob("*.jpg")):
        truth = folder / "truth" / f"{photo.stem}.alpha.npy" if drawn else photo.with_suffix(".alpha.png")
        yield Picture(photo.stem, photo, truth)


def error(found: NDArray[np.bool_], true: NDArray[np.bool_]) -> tuple[float, float]:
    """The overlap of two subjects (IoU), and the largest connected difference as a share of the true one."""
    apart = Image.fromarray((found ^ true).astype(np.uint8))
    wide = np.asarray(apart.filter(ImageFilter.MinFilter(EDGE)).filter(ImageFilter.MaxFilter(EDGE))) > 0
    overlap = float((found & true).sum() / max(1, (found | true).sum()))
    return overlap, float(areas(wide).max(initial=0) / max(1, true.sum()))


class Looks:
    """What single networks see, kept in a folder: a network looks once at a picture."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._networks = folder, dict[str, object]()
        folder.mkdir(parents=True, exist_ok=True)

    def of(self, picture: Picture, model: weights.Weights) -> Matte:
        """The matte by one network."""
        kept = self._folder / f"{picture.name}.{model.name}.npz"
        if not kept.exists():
            network = self._networks.setdefault(model.name, opened(model))
            pixels = read(proxy(picture.photo.read_bytes(), model.proxy, Limits()).data, Limits()).pixels
            seen = network.matte(to_8_bits(pixels))  # type: ignore[attr-defined]
            np.savez(kept, alpha=seen.alpha, peak=seen.peak)
        with np.load(kept) as stored:
            return Matte(stored["alpha"], float(stored["peak"]))


def judged(picture: Picture, looks: Looks, name: str) -> Judged:
    """The cutout of a picture by a network, as a run makes and flags it."""
    model = weights.known(name)
    matte = combined([looks.of(picture, part) for part in model.parts])
    made = cut(read(picture.photo.read_bytes(), Limits()), matte.alpha, Finish("png"))
    return Judged(*error(to_8_bits(made.mask) >= 128, picture.solid()), flags(measure(matte)))


def counts(found: Iterable[Judged], flag: str | None) -> tuple[int, int, int]:
    """Bad and flagged, flagged in all, bad in all; without a `flag` any one counts."""
    told = [(each.bad, bool(each.flags) if flag is None else flag in each.flags) for each in found]
    return sum(bad and seen for bad, seen in told), sum(seen for _, seen in told), sum(bad for bad, _ in told)


def table(found: Sequence[Judged]) -> Iterator[str]:
    """Recall and precision of each flag, and of any."""
    for flag in (*FLAGS, None):
        both, flagged, bad = counts(found, flag)
        if flagged or flag is None:
            recall, precision = both / bad if bad else 1.0, both / flagged if flagged else 1.0
            shares = f"recall {both}/{bad} = {recall:4.0%}  precision {both}/{flagged} = {precision:4.0%}"
            yield f"  {flag or 'any flag':10}  {shares}"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.flags", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--pictures", type=Path, nargs="+", required=True, metavar="DIR")
    parser.add_argument("--looks", type=Path, required=True, metavar="DIR", help="where what the networks see is kept")
    parser.add_argument("--part", choices=("all", "even", "odd"), default="all", help="of the pictures, as counted")
    parser.add_argument("--first", type=int, default=0, metavar="N", help="leave out the first N of each folder")
    parser.add_argument("--write", type=Path, metavar="FILE", help="each cutout's error and flags, as JSON")
    given = parser.parse_args()
    step = {
        "all": slice(given.first, None),
        "even": slice(given.first, None, 2),
        "odd": slice(given.first + 1, None, 2),
    }
    everything: dict[str, Mapping[str, object]] = {}
    for folder in given.pictures:
        chosen, looks = list(pictures(folder))[step[given.part]], Looks(given.looks / folder.name)
        for class_, name in weights.CLASSES.items():
            found = {picture: judged(picture, looks, name) for picture in chosen}
            everything |= {f"{picture.name} {class_}": asdict(each) for picture, each in found.items()}
            for glass in (False, True):
                listed = [each for picture, each in found.items() if picture.glass == glass]
                print(f"{folder.name}, {class_}, {'glass' if glass else 'without glass'}: {len(listed)} pictures")
                print("\n".join(table(listed)), flush=True)
    if given.write:
        given.write.write_text(json.dumps(everything, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
