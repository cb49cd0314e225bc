"""What may come in and how the finished picture shall look: plain values, free of image libraries."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from batch_removebg.errors import ItemError, SettingsError

if TYPE_CHECKING:
    from .quality import Quality

Colour = tuple[int, int, int]
"""sRGB, 0–255 a channel."""

EXTENSIONS = {"png": "png", "webp": "webp", "jpeg": "jpg", "tiff": "tiff", "avif": "avif"}
"""The formats a finished picture can have, and how its name ends."""

LONGEST = {"webp": 16383, "jpeg": 65500, "avif": 32768}
"""Longest side the format (WebP: 14 bits) or its library (libjpeg: JPEG_MAX_DIMENSION; libavif) can hold."""
METADATA = ("strip", "keep")
_LATER = {"lossy": False, "srgb": False, "metadata": "strip"}
"""Fields that are younger than ledgers: they count for what they are where they are not these, and not at all else."""


EDGES = ("clean", "keep")
"""Colours at soft edges: without what shines through of the background, or the photo's own."""
REFINE = ("auto", "none")
"""Small alphas: fitted to the photo's own edges, or enlarged alone."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What is refused from the header alone, before any pixel is decoded."""

    max_pixels: int = 120_000_000
    """Width times height; four times this many bytes is one decoded picture."""


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
    def deep(self) -> bool:
        """Whether the format can hold 16 bits a channel."""
        return self.format in ("png", "tiff")

    @property
    def extension(self) -> str:
        """How the file's name ends, without the dot."""
        return EXTENSIONS[self.format]

    def require_room(self, width: int, height: int) -> None:
        """Raise ItemError for a picture of more pixels a side than the format can hold."""
        longest = LONGEST.get(self.format, max(width, height))
        if max(width, height) > longest:
            raise ItemError(
                f"is {width}×{height} pixels, and {self.format} can't hold more than {longest} a side: "
                "choose --format png"
            )

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


def parse_colour(text: str) -> Colour:
    """The colour that a name (`white`), `#rgb`, `#rrggbb`, `rgb(r,g,b)` or `hsl(h,s%,l%)` stands for.

    Raises SettingsError for anything else, and for a colour with an alpha of its own.
    """
    from PIL import ImageColor  # settings are read for `--help` too, which need not wait for Pillow

    refused = SettingsError(f"{text!r} is not a colour: give a name such as white, or #rgb, #rrggbb, rgb(255,255,255)")
    try:
        channels = ImageColor.getrgb(text.strip())
    except ValueError as error:
        raise refused from error
    if len(channels) != 3 or not all(0 <= channel <= 255 for channel in channels):
        raise refused
    return channels[0], channels[1], channels[2]
