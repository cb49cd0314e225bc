"""How a finished picture is made: plain values, free of image libraries."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

from batch_removebg.imaging.format import EXTENSIONS, Colour, Encoding

if TYPE_CHECKING:
    from batch_removebg.matting.quality import Quality

_LATER = {"lossy": False, "srgb": False, "metadata": "strip"}
"""Fields added after the first ledgers: at these values they stay out of the digest, and old digests still match."""

Edges = Literal["clean", "keep"]  # colours at soft edges: without background spill, or the photo's own
Refine = Literal["auto", "none"]  # small alphas: `auto` fits them to the photo's edges, `none` only enlarges them


@dataclass(frozen=True, slots=True)
class Finish:
    """How a finished picture is written; `Settings` checks the values."""

    format: str = "png"  # one of `EXTENSIONS`
    mask_only: bool = False  # write the alpha itself, as a grey picture
    background: Colour | None = None  # behind the cutout; None: transparent (JPEG, which can't be: white)
    quality: int = 90  # 1–100, for lossy files: JPEG, AVIF, and WebP on a background
    lossy: bool = False  # write WebP with loss even where it is transparent
    srgb: bool = False  # convert colours to sRGB; else they stay in the source's own profile
    metadata: str = "strip"  # `strip`: only profile and resolution stay; `keep`: EXIF and XMP too, without location
    effort: int = 2  # 0–9: how hard to try for a smaller file of the same pixels
    edges: str = "clean"  # one of `Edges`
    refine: str = "auto"  # one of `Refine`

    def look(self, *, passed: bool = False) -> dict[str, Any]:
        """The fields that decide how the picture looks, for a recipe's digest; `passed`: one passed on as it came."""
        left_out = {"effort", "edges", "refine"} if passed else {"effort"}
        fields = {name: value for name, value in asdict(self).items() if name not in left_out}
        return {name: value for name, value in fields.items() if name not in _LATER or value != _LATER[name]}

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
        lossless = self.mask_only or (self.backdrop is None and not self.lossy)
        return Encoding(self.format, self.quality, lossless, self.effort)

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
