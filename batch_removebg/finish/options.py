"""What may come in and how the finished picture shall look: plain values, free of image libraries."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from batch_removebg.errors import SettingsError
from batch_removebg.imaging.format import EXTENSIONS, METADATA, Colour, Encoding

if TYPE_CHECKING:
    from batch_removebg.matting.quality import Quality


_LATER = {"lossy": False, "srgb": False, "metadata": "strip"}
"""Fields that are younger than ledgers: they count for what they are where they are not these, and not at all else."""


EDGES = ("clean", "keep")
"""Colours at soft edges: without what shines through of the background, or the photo's own."""
REFINE = ("auto", "none")
"""Small alphas: fitted to the photo's own edges, or enlarged alone."""


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
    """One of `EDGES`."""
    refine: str = "auto"
    """One of `REFINE`."""

    WHITE: ClassVar[Colour] = (255, 255, 255)

    def __post_init__(self) -> None:
        if self.format not in EXTENSIONS:
            raise SettingsError(f"unknown format {self.format!r}: choose one of {', '.join(EXTENSIONS)}")
        if not 1 <= self.quality <= 100:
            raise SettingsError(f"quality {self.quality} is out of range: give 1 to 100")
        if self.metadata not in METADATA:
            raise SettingsError(f"metadata {self.metadata!r}: choose one of {', '.join(METADATA)}")
        if not 0 <= self.effort <= 9:
            raise SettingsError(f"effort {self.effort} is out of range: give 0 to 9")
        for name, value, choices in (("edges", self.edges, EDGES), ("refine", self.refine, REFINE)):
            if value not in choices:
                raise SettingsError(f"{name} {value!r}: choose {' or '.join(choices)}")

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
