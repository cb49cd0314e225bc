"""How a finished picture is made: plain values, free of image libraries."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from batch_removebg.imaging.format import EXTENSIONS, Colour, Encoding

if TYPE_CHECKING:
    from batch_removebg.matting.quality import Quality

_LATER: dict[str, Any] = {
    "metadata": "strip",
    "clean_below": 10,
    "geometry": None,
    "bytes_least": None,
    "bytes_most": None,
    "side_least": 1,
    "preset": "",
}
"""Fields added after the first ledgers: at these values they stay out of the digest, and old digests still match."""
_QUALITY = 90
_SHOPS = ("jpeg", "webp")  # formats for shops and browsers, many of which take every picture for sRGB

Edges = Literal["clean", "keep"]  # colours at soft edges: without background spill, or the photo's own
Colours = Literal["auto", "srgb", "keep"]  # `auto`: sRGB for `_SHOPS`, else the photo's own profile
Refine = Literal["auto", "none"]  # small alphas: `auto` fits them to the photo's edges, `none` only enlarges them


@dataclass(frozen=True, slots=True)
class Geometry:
    """Where the subject lies on the canvas."""

    trim: bool = True
    canvas: tuple[int, int] | None = None  # width and height, in pixels
    aspect: tuple[float, float] | None = None  # width to height
    fill: float | None = None  # longest side of the subject's box ÷ the canvas's side along it
    align: str = "centre"
    enlarge: bool = False


@dataclass(frozen=True, slots=True)
class Finish:
    """How a finished picture is written; `Settings` checks the values."""

    format: str = "png"  # one of `EXTENSIONS`
    mask_only: bool = False  # write the alpha itself, as a grey picture
    background: Colour | None = None  # behind the cutout; None: transparent (JPEG, which can't be: white)
    quality: int = _QUALITY  # 1–100, for lossy files: JPEG, AVIF and WebP
    lossless: bool = False  # write WebP without loss
    colours: str = "auto"  # one of `Colours`
    metadata: str = "strip"  # `strip`: only profile and resolution stay; `keep`: EXIF and XMP too, without location
    effort: int = 2  # 0–9: how hard to try for a smaller file of the same pixels
    edges: str = "clean"  # one of `Edges`
    refine: str = "auto"  # one of `Refine`
    clean_below: int = 10  # level of 255 under which alpha away from the subject is dust
    geometry: Geometry | None = None
    bytes_least: int | None = None
    bytes_most: int | None = None
    side_least: int = 1  # pixels of the longer side, below which the picture isn't made smaller
    preset: str = ""  # that it comes from
    preset_file: str = ""  # that the preset comes from, where it is one of the user's own

    def look(self, *, passed: bool = False) -> dict[str, Any]:
        """The fields that decide how the picture looks, for a recipe's digest; `passed`: one passed on as it came."""
        left_out = {"effort", "colours", "lossless", "preset_file"}
        left_out |= {"edges", "refine", "clean_below"} if passed else set()
        fields = {name: value for name, value in asdict(self).items() if name not in left_out}
        fields = {name: value for name, value in fields.items() if name not in _LATER or value != _LATER[name]}
        # What was asked for is told as it always was. What became the default later is another picture, made from the
        # kept alpha; one that was passed on has none, and isn't bought again for that.
        now = not (passed or self.mask_only)
        webp, clear = self.format == "webp", self.background is None
        more = {
            "lossy": webp and not self.lossless and (self.quality != _QUALITY or (now and clear)),
            "lossless": webp and self.lossless and now and not clear,
            "srgb": self.colours == "srgb",
            "shops": self.colours == "auto" and self.srgb and now,
        }
        return fields | {name: True for name, told in more.items() if told}

    @property
    def cut(self) -> tuple[object, ...]:
        """What decides about colours and mask: of finishes that have it in common these are made once."""
        return self.mask_only, self.encoding.deep, self.srgb, self.edges, self.refine, self.clean_below

    @property
    def srgb(self) -> bool:
        """Whether colours are converted to sRGB; else they stay in the source's own profile."""
        return self.colours == "srgb" or (self.colours == "auto" and self.format in _SHOPS)

    @property
    def extension(self) -> str:
        """How the file's name ends, without the dot."""
        return EXTENSIONS[self.format]

    @property
    def loses_nothing(self) -> bool:
        """Whether the file is as good as the cutout it is made from."""
        return self.format == "png" and not (self.mask_only or self.srgb) and self.backdrop is None

    @property
    def encoding(self) -> Encoding:
        """How its file is written."""
        return Encoding(self.format, self.quality, self.mask_only or self.lossless, self.effort)

    @property
    def backdrop(self) -> Colour | None:
        """The colour the cutout is composed on; None where it stays transparent."""
        return (255, 255, 255) if self.background is None and self.format == "jpeg" else self.background


@dataclass(frozen=True, slots=True)
class Finished:
    """A finished file."""

    data: bytes
    width: int
    height: int
    notes: tuple[str, ...] = ()
    quality: Quality | None = None  # of the alpha as it was bought; None where it wasn't judged
    engine: str | None = None  # what the network that made the alpha ran on, where that is known
    flags: tuple[str, ...] = ()  # what is worth a look in the picture itself, with its preset before a colon
    checks: Mapping[str, str] = field(default_factory=dict)  # what became of each rule of the preset
