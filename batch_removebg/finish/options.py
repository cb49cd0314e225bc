"""How a finished picture is made: plain values, free of image libraries."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from batch_removebg.errors import ItemError, SettingsError
from batch_removebg.imaging.format import EXTENSIONS, Colour, Encoding, Limits
from batch_removebg.storage.spool import Held

from .kinds import Shadow
from .measures import NO_MARGIN, Margin, Size

if TYPE_CHECKING:
    from batch_removebg.matting.quality import Quality

_QUALITY = 90
_ANY = 1 << 20  # pixels of a side that isn't known yet
TRIES = 8  # encodings of one picture at most, to come within limits of bytes
_SHOPS = ("jpeg", "webp")  # formats for shops and browsers, many of which take every picture for sRGB

Edges = Literal["clean", "keep"]  # colours at soft edges: without background spill, or the photo's own
Colours = Literal["auto", "srgb", "keep"]  # `auto`: sRGB for `_SHOPS`, else the photo's own profile
Refine = Literal["auto", "none"]  # small alphas: `auto` fits them to the photo's edges, `none` only enlarges them
Align = Literal["centre", "bottom", "centroid"]
Equal = Literal["scale", "area"]  # what subjects of a group have in common: pixels for one of the photo, or their area


@dataclass(frozen=True, slots=True)
class Geometry:
    """Where the subject lies in the finished picture; raises SettingsError for what contradicts itself."""

    trim: bool = False  # whether the subject's box is what is laid out, and not the whole photo; all below imply it
    trim_level: int = 10  # of 255, 0–255: what is fainter doesn't count for the box
    specks: float = 0.001  # pieces smaller than this share of the subject's area are cleared
    margin: Margin = NO_MARGIN  # around the subject at least
    canvas: Size | None = None  # of the output; None: as the subject, its margins and `fill` need it
    aspect: tuple[float, float] | None = None  # of a canvas without a size: its smaller side is enlarged for it
    fill: float | None = None  # the subject's box ÷ the canvas, along the side that it takes most of; 0–1
    align: str = "centre"  # one of `Align`: `bottom` is one base line for all, `centroid` the mean of the alpha
    enlarge: bool = False  # the subject may become larger than it is in the photo
    canvas_least: int | None = None  # longer side down to which a canvas shrinks that the source is too small for
    scale: float | None = None  # pixels of the output for one of the photo, at most, that a group has in common
    unenlarged: float = 1.0  # the largest factor without `enlarge`: less where a group has equal areas

    def __post_init__(self) -> None:
        given = (self.canvas, self.aspect, self.fill, self.scale, self.margin != NO_MARGIN, self.align != "centre")
        object.__setattr__(self, "trim", self.trim or any(given))
        if self.canvas and self.aspect:
            raise SettingsError("--canvas and --aspect: give one of them; a canvas has its aspect")
        top, right, bottom, left = self.margin
        for side, (one, other) in zip(self.canvas or (_ANY, _ANY), ((left, right), (top, bottom)), strict=True):
            if one.of(side) + other.of(side) > side - 1:
                whole = "--canvas {}x{}".format(*self.canvas) if self.canvas else "the picture"
                raise SettingsError(f"--margin leaves nothing of {whole}: give smaller margins")


_LATER: dict[str, Any] = {"metadata": "strip", "clean_below": 10, "preset": "", "shadow": None, "geometry": Geometry()}
_LATER |= {"bytes_most": None, "bytes_least": None, "quality_least": 60, "side_least": 1}
"""Fields added after the first ledgers: at these values they stay out of the digest, and old digests still match."""


@dataclass(frozen=True, slots=True)
class BackdropFile:
    """A picture behind the cutout."""

    path: str  # absolute
    sha256: str  # of its bytes: with others in the file, pictures are made anew
    whole: bool = False  # all of it is seen, on white; else it fills the canvas


@dataclass(frozen=True, slots=True)
class Finish:
    """How a finished picture is written; `Settings` checks the values."""

    format: str = "png"  # one of `EXTENSIONS`
    mask_only: bool = False  # write the alpha itself, as a grey picture
    background: Colour | BackdropFile | None = None  # None: transparent (JPEG: white)
    quality: int = _QUALITY  # 1–100, for lossy files: JPEG, AVIF and WebP
    lossless: bool = False  # write WebP without loss
    colours: str = "auto"  # one of `Colours`
    metadata: str = "strip"  # `strip`: only profile and resolution stay; `keep`: EXIF and XMP too, without location
    effort: int = 2  # 0–9: how hard to try for a smaller file of the same pixels
    edges: str = "clean"  # one of `Edges`
    refine: str = "auto"  # one of `Refine`
    clean_below: int = 10  # level of 255 under which alpha away from the subject is dust
    preset: str = ""  # that it comes from
    preset_file: str = ""  # that the preset comes from, where it is one of the user's own
    output: str = ""  # the file's name, which the preset's rules may be about
    geometry: Geometry = Geometry()
    bytes_most: int | None = None  # of the file: quality is lowered for it, and then the picture's size
    bytes_least: int | None = None  # of the file: quality is raised for it
    quality_least: int = 60  # below which quality isn't lowered
    side_least: int = 1  # pixels of the longer side, below which the picture isn't made smaller
    shadow: Shadow | None = None  # under the subject

    def __post_init__(self) -> None:
        if self.bytes_least and self.bytes_most and self.bytes_least > self.bytes_most:
            raise SettingsError("bytes_least is above bytes_most: no file keeps to both")

    def look(self, *, passed: bool = False) -> dict[str, Any]:
        """The fields that decide how the picture looks, for a recipe's digest; `passed`: one passed on as it came."""
        left_out = {"effort", "colours", "lossless", "preset_file", "output"}
        left_out |= {"edges", "refine", "clean_below"} if passed else set()
        told = ((name, value) for name, value in asdict(self).items() if name not in left_out)
        fields = {name: value for name, value in told if (name, getattr(self, name)) not in _LATER.items()}
        if isinstance(self.background, BackdropFile):
            fields["background"] = {"sha256": self.background.sha256, "whole": self.background.whole}
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
        return fields | {name: True for name, so in more.items() if so}

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

    def require_room(self, size: Size, limits: Limits) -> None:
        """Raise ItemError for a picture of a width and height that its format can't hold, or that `limits` exclude."""
        self.encoding.require_room(*size)
        pixels, most = size[0] * size[1], limits.max_pixels
        if pixels > most:
            have = f"would have {size[0]}×{size[1]} pixels ({pixels / 1e6:.0f} million)"
            raise ItemError(f"{have}, more than the limit of {most / 1e6:.0f} million (--max-pixels)")

    @property
    def laid_out(self) -> bool:
        """Whether the picture is another than the photo's frame."""
        return self.geometry.trim or self.shadow is not None

    @property
    def as_cut(self) -> bool:
        """Whether a provider's cutout, which is a PNG, is the picture itself."""
        changed = self.mask_only, self.background, self.laid_out, self.bytes_most, self.preset
        return self.format == "png" and not any(changed)

    @property
    def encoding(self) -> Encoding:
        """How its file is written."""
        return Encoding(self.format, self.quality, self.mask_only or self.lossless, self.effort)

    @property
    def encodings(self) -> int:
        """How often it is encoded at most."""
        return TRIES if self.bytes_most or self.bytes_least else 1

    @property
    def coloured(self) -> bool:
        """Whether a grey picture becomes RGB for what is behind the subject."""
        colours = self.background, self.shadow and self.shadow.colour
        return any(isinstance(one, BackdropFile) or len(set(one)) > 1 for one in colours if one)

    @property
    def backdrop(self) -> Colour | BackdropFile | None:
        """What the cutout is composed on; None where it stays transparent."""
        return (255, 255, 255) if self.background is None and self.format == "jpeg" else self.background


@dataclass(frozen=True, slots=True)
class Finished:
    """A finished file."""

    data: Held
    width: int
    height: int
    notes: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()  # faults of the finished picture, for a person to look at, its preset before a colon
    quality: Quality | None = None  # of the alpha as it was bought; None where it wasn't judged
    engine: str | None = None  # what the network that made the alpha ran on, where that is known
    checks: Mapping[str, str] = field(default_factory=dict)  # what became of each rule of the preset
    factor: float = 0.0  # the largest for the subject that its canvas has room for; 0 where it isn't laid out
    area: int = 0  # the subject's, in pixels of the photo
