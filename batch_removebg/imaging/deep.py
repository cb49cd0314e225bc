"""Pictures of 16 bits a channel: as they are stored, and scaled down to 8 where a format holds no more.

Pillow holds 16 bits for grey alone; colour is read by libvips.
"""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFile, TiffImagePlugin

from batch_removebg.errors import SourceError

from .probe import tiff_values, unknown_pixels
from .vips import vips

Deep = npt.NDArray[np.uint16]
Samples = npt.NDArray[np.uint8 | np.uint16]

_COLOURS = ("LA", "La", "RGB", "RGBA", "RGBa")
"""Pillow's names for what libvips reads; and grey in a plane of its own."""
_BITS = TiffImagePlugin.BITSPERSAMPLE
_PLANES = 2
"""TIFF's PlanarConfiguration of channels one after the other (TIFF 6.0, section 8)."""
_STRIP = 1 << 18
"""Samples that are worked on at once."""

# Pillow knows grey with alpha of 8 bits only, and grey whose white is 0 of the lower byte first only. With this it can
# tell the size and the tags; it never decodes them.
for _order in (b"II", b"MM"):
    for _extra in (1, 2):
        TiffImagePlugin.OPEN_INFO.setdefault((_order, 1, (1,), 1, (16, 16), (_extra,)), ("LA", "LA;16B"))
TiffImagePlugin.OPEN_INFO.setdefault((b"MM", 0, (1,), 1, (16,), ()), ("I;16B", "I;16B"))


def load(image: ImageFile.ImageFile, data: bytes) -> tuple[Deep, Deep | None] | None:
    """(H×W or H×W×3, own alpha H×W or None), uint16, straight, of an opened picture of 16 bits and its bytes.

    None where Pillow's 8 bits have to do: CMYK, CIELAB, what is neither PNG nor TIFF. As stored: not turned, but for
    what Pillow turns as it reads it. Raises SourceError if it is damaged or cut short, or beyond both libraries, and
    what Pillow raises for that.
    """
    if _beyond_both(image):
        raise SourceError(unknown_pixels("TIFF"))
    if _is_grey(image) and not _in_raw_planes(image):
        return _grey(image)
    if image.format not in ("PNG", "TIFF") or not (_is_grey(image) or image.mode in _COLOURS):
        return None
    if image.mode.startswith("RGB") and TiffImagePlugin.TILEOFFSETS in getattr(image, "tag_v2", {}):
        _refuse_damaged_tiles(data)
    values = _by_vips(image.format, data)
    if values.dtype != np.uint16 or values.shape[2] > 4:
        if _in_raw_planes(image):
            raise SourceError(unknown_pixels("TIFF"))
        return None
    channels = values.shape[2]
    pixels = values[..., 0] if channels < 3 else values[..., :3]
    if channels in (1, 3):
        return pixels, None
    alpha = values[..., -1]
    if 0 in tiff_values(image, TiffImagePlugin.EXTRASAMPLES, 1):  # unspecified data, as a fourth beside RGB may be
        return pixels, None
    return pixels, alpha  # libvips has made premultiplied colours straight


def to_8_bits(values: Samples) -> npt.NDArray[np.uint8]:
    """v·255 / 65535 rounded; what has 8 bits already comes back as it is."""
    if values.dtype == np.uint8:
        return values.view(np.uint8)
    narrow = np.empty(values.shape, np.uint8)
    rows = max(1, _STRIP // max(1, values[0].size))
    for at in range(0, len(values), rows):
        # 65535 / 255 = 257; in 32 bits, since 65535 + 128 has more than 16.
        narrow[at : at + rows] = (values[at : at + rows].astype(np.uint32) + 128) // 257
    return narrow


class ProfileError(Exception):
    """A profile that libvips can't use."""


def to_srgb(pixels: Samples, icc: bytes) -> Deep:
    """H×W×3 in sRGB of H×W grey or H×W×3 RGB by its profile, in 16 bits; raises ProfileError if it is broken.

    Relative colorimetric with black point compensation.
    """
    height, width = pixels.shape[:2]
    grey = pixels.ndim == 2
    try:
        image = vips().Image.new_from_memory(
            np.ascontiguousarray(pixels).data, width, height, 1 if grey else 3, "ushort"
        )
        image = image.copy(interpretation="grey16" if grey else "rgb16")
        image.set_type(vips().GValue.blob_type, "icc-profile-data", icc)
        converted: Deep = image.icc_transform(
            "srgb", embedded=True, intent="relative", black_point_compensation=True, depth=16
        ).numpy()
    except vips().Error as error:
        raise ProfileError(" ".join(str(error).split())) from error
    return converted


def _is_grey(image: ImageFile.ImageFile) -> bool:
    return image.mode == "I" or image.mode.startswith("I;16")


def _in_planes(image: ImageFile.ImageFile) -> bool:
    return tiff_values(image, TiffImagePlugin.PLANAR_CONFIGURATION, 1) == (_PLANES,)


def _in_raw_planes(image: ImageFile.ImageFile) -> bool:
    """Whether channels lie one after the other, uncompressed: Pillow takes their bytes for pixels of 8 bits."""
    return _in_planes(image) and not getattr(image, "use_load_libtiff", False)


def _beyond_both(image: ImageFile.ImageFile) -> bool:
    """Whether neither library reads it right: Pillow no raw planes, and libvips none of grey with something else."""
    grey = _is_grey(image)
    if _in_planes(image) and (grey or image.mode in ("LA", "La")):
        several = max(tiff_values(image, TiffImagePlugin.SAMPLESPERPIXEL, 1)) > 1
        whole = set(tiff_values(image, _BITS, 1)) == {16}
        return several or (_in_raw_planes(image) and grey and not whole)
    return _in_raw_planes(image) and image.mode not in _COLOURS


def _refuse_damaged_tiles(data: bytes) -> None:
    """Raise what Pillow raises for tiles that are damaged or missing, which libvips leaves black without a word."""
    TiffImagePlugin.TiffImageFile(io.BytesIO(data)).load()


def _grey(image: ImageFile.ImageFile) -> tuple[Deep, Deep | None] | None:
    key = image.info.get("transparency")
    image.load()
    stored = whole_numbers(image)
    # Some plugins deliver 16-bit grey in 32 bits; only what does not fit is taken for all of them.
    if image.mode == "I" and stored.max() > 0xFFFF:
        return None
    values = stored.clip(min=0).astype(np.uint16)
    if tiff_values(image, TiffImagePlugin.PHOTOMETRIC_INTERPRETATION, 1) == (0,):
        values = np.uint16(0xFFFF) - values  # white is zero, which Pillow minds in 8 bits only
    bits = max(tiff_values(image, _BITS, 16))
    if bits < 16:  # 12, which Pillow leaves in the lower ones
        most = (1 << bits) - 1
        values = ((values.astype(np.uint32) * 0xFFFF + most // 2) // most).astype(np.uint16)
    alpha = np.where(values == key, 0, 0xFFFF).astype(np.uint16) if isinstance(key, int) else None
    return values, alpha


def whole_numbers(image: Image.Image) -> npt.NDArray[Any]:
    """The values of a loaded picture in grey, H×W; uint32 where a TIFF has them, which Pillow takes for signed."""
    values: npt.NDArray[Any] = np.asarray(image)
    formats, bits = (set(tiff_values(image, tag, 1)) for tag in (TiffImagePlugin.SAMPLEFORMAT, _BITS))
    return values.view(np.uint32) if (formats, bits) == ({1}, {32}) else values


def _by_vips(kind: str, data: bytes) -> npt.NDArray[Any]:
    load = vips().Image.pngload_buffer if kind == "PNG" else vips().Image.tiffload_buffer
    try:
        values: npt.NDArray[Any] = load(data, access="sequential", fail_on="error").numpy()
    except vips().Error as error:
        raise SourceError(f"is damaged or cut short: {' '.join(str(error).split())}") from error
    return values[..., None] if values.ndim == 2 else values
