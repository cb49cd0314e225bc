"""TIFF files from arrays of 8 or 16 bits, which Pillow can write for 8 only.

Baseline TIFF 6.0 with Deflate (Adobe's technical note of 2002) and horizontal differencing (section 14).
"""

from __future__ import annotations

import io

import numpy as np
import numpy.typing as npt
from PIL import Image, TiffImagePlugin, TiffTags

from .deflate import compressor

_STRIP = 1 << 19
"""Bytes of samples in a strip."""
_EXIF = 34665
_UNDEFINED, _BYTE, _LONG = TiffTags.UNDEFINED, TiffTags.BYTE, TiffTags.LONG


def write(
    pixels: npt.NDArray[np.uint8 | np.uint16],
    *,
    effort: int,
    icc: bytes | None = None,
    dpi: tuple[float, float] | None = None,
    exif: Image.Exif | None = None,
    xmp: bytes | None = None,
) -> bytes:
    """A TIFF file of `pixels`: H×W grey, or H×W×C with C = 2 (grey, alpha), 3 or 4; uint8 or uint16, straight alpha.

    `effort`: 0–9. `dpi`: dots per inch, across and down. Tags of `exif` become tags of the picture.
    """
    samples = pixels[..., None] if pixels.ndim == 2 else pixels
    height, width, count = samples.shape
    rows = max(1, _STRIP // (width * count * samples.itemsize))
    strips = [_strip(samples[at : at + rows], effort) for at in range(0, height, rows)]
    sizes = [len(strip) for strip in strips]

    tags = TiffImagePlugin.ImageFileDirectory_v2(b"II*\0\x08\0\0\0")
    if exif is not None:
        for tag, value in exif.items():
            tags[tag] = value
        if inner := exif.get_ifd(_EXIF):
            tags[_EXIF] = dict(inner)
            tags.tagtype[_EXIF] = _LONG
    tags[TiffImagePlugin.IMAGEWIDTH] = width
    tags[TiffImagePlugin.IMAGELENGTH] = height
    tags[TiffImagePlugin.BITSPERSAMPLE] = (8 * samples.itemsize,) * count
    tags[TiffImagePlugin.COMPRESSION] = 8
    tags[TiffImagePlugin.PHOTOMETRIC_INTERPRETATION] = 2 if count > 2 else 1
    tags[TiffImagePlugin.SAMPLESPERPIXEL] = count
    tags[TiffImagePlugin.ROWSPERSTRIP] = rows
    tags[TiffImagePlugin.PLANAR_CONFIGURATION] = 1
    tags[TiffImagePlugin.PREDICTOR] = 2
    if count in (2, 4):
        tags[TiffImagePlugin.EXTRASAMPLES] = 2
    if dpi is not None:
        tags[TiffImagePlugin.X_RESOLUTION], tags[TiffImagePlugin.Y_RESOLUTION] = dpi
        tags[TiffImagePlugin.RESOLUTION_UNIT] = 2
    for tag, kind, body in ((TiffImagePlugin.ICCPROFILE, _UNDEFINED, icc), (TiffImagePlugin.XMP, _BYTE, xmp)):
        if body is not None:
            tags[tag] = body
            tags.tagtype[tag] = kind
    for tag, values in (
        # Counted from the end of the directory: `save` adds where that is.
        (TiffImagePlugin.STRIPOFFSETS, [sum(sizes[:at]) for at in range(len(sizes))]),
        (TiffImagePlugin.STRIPBYTECOUNTS, sizes),
    ):
        tags[tag] = tuple(values)
        tags.tagtype[tag] = _LONG
    file = io.BytesIO()
    tags.save(file)
    return b"".join([file.getvalue(), *strips])


def _strip(samples: npt.NDArray[np.uint8 | np.uint16], effort: int) -> bytes:
    differences = samples.astype(samples.dtype.newbyteorder("<"))
    differences[:, 1:] -= samples[:, :-1]
    packer = compressor(effort)
    return packer.compress(differences.data) + packer.flush()
