"""What may come in and how the finished picture shall look: plain values, free of image libraries."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, get_args

from batch_removebg.errors import SettingsError
from batch_removebg.imaging.format import EFFORT, EXTENSIONS, METADATA, QUALITY, Colour, Encoding

if TYPE_CHECKING:
    from batch_removebg.matting.quality import Quality


_LATER = {"lossy": False, "srgb": False, "metadata": "strip"}
"""Fields that are younger than ledgers: they count for what they are where they are not these, and not at all else."""


Edges = Literal["clean", "keep"]
"""Colours at soft edges: `clean` removes background spill, `keep` leaves the photo's own."""
Refine = Literal["auto", "none"]
"""Small alphas: `auto` fits them to the photo's edges, `none` only enlarges them."""

_CHOICES = {"format": EXTENSIONS, "metadata": METADATA, "edges": get_args(Edges), "refine": get_args(Refine)}
_RANGES = {"quality": QUALITY, "effort": EFFORT}


@dataclass(frozen=True, slots=True)
class Finish:
    """How a finished picture is written."""

    format: str = "png"
    """One of `EXTENSIONS`."""
    mask_only: bool = False
    """Write the alpha itself, as a grey picture."""
    background: Colour | None = None
    """What to lay the cutout on; None leaves it transparent (JPEG, which can't be: white)."""
    quality: int = 90
    """1–100, for what is written with loss: JPEG, AVIF, and WebP on a background."""
    lossy: bool = False
    """WebP with loss, where it is transparent too."""
    srgb: bool = False
    """Convert colours to sRGB; else they stay in the source's own profile."""
    metadata: str = "strip"
    """`strip`: profile and resolution alone stay; `keep`: EXIF and XMP as well, without the place."""
    effort: int = 2
    """0–9: how long to try for a smaller file of the same picture."""
    edges: str = "clean"
    """One of `Edges`."""
    refine: str = "auto"
    """One of `Refine`."""

    WHITE: ClassVar[Colour] = (255, 255, 255)

    def __post_init__(self) -> None:
        for name, choices in _CHOICES.items():
            if getattr(self, name) not in choices:
                raise SettingsError(f"{name} {getattr(self, name)!r}: choose one of {', '.join(choices)}")
        for name, allowed in _RANGES.items():
            if getattr(self, name) not in allowed:
                raise SettingsError(f"{name} {getattr(self, name)}: give {allowed[0]} to {allowed[-1]}")

    def look(self, *, passed: bool = False) -> dict[str, Any]:
        """What decides how the picture looks, for a recipe's digest.

        With another effort nothing is made anew, nor after an upgrade that has added fields. `passed`: of a provider's
        cutout that is the picture itself, whose edges are the provider's own.
        """
        left_out = {"effort", "edges", "refine"} if passed else {"effort"}
        fields = {name: value for name, value in asdict(self).items() if name not in left_out}
        return {name: value for name, value in fields.items() if name not in _LATER or value != _LATER[name]}

    @property
    def extension(self) -> str:
        """How the file's name ends, without the dot."""
        return EXTENSIONS[self.format]

    @property
    def encoding(self) -> Encoding:
        """How its file is written."""
        lossless = self.mask_only or (self.backdrop is None and not self.lossy)
        return Encoding(self.format, self.quality, lossless, self.effort)

    @property
    def backdrop(self) -> Colour | None:
        """The colour the cutout is laid on; None where it stays transparent."""
        if self.background is None and self.format == "jpeg":
            return self.WHITE
        return self.background


@dataclass(frozen=True, slots=True)
class Finished:
    """A finished file."""

    data: bytes
    width: int
    height: int
    notes: tuple[str, ...] = ()
    quality: Quality | None = None
    """Of the alpha as it was bought; None where it was not looked at."""
    engine: str | None = None
    """What the network ran on that saw the alpha, where that is told."""
