"""Colour profiles: into sRGB, and a colour out of sRGB into a picture's own profile."""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import cache, lru_cache
from typing import Any

import numpy as np
from PIL import Image, ImageCms

from .arrays import Samples, strips
from .format import Colour
from .shaper import shaper, to_srgb
from .vips import as_array, as_image, vips

_BROKEN = (ImageCms.PyCMSError, OSError, ValueError, TypeError)


@cache
def srgb_profile() -> bytes:
    """An ICC profile of sRGB, always the same bytes."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    # Bytes 24–35 are the time of making (ICC.1:2022, 7.2.8): with it, no file would come out the same twice.
    year_2000 = b"\x07\xd0\x00\x01\x00\x01" + bytes(6)
    return profile[:24] + year_2000 + profile[36:]


def mode_of(pixels: Samples) -> str:
    """Pillow's name for the colours of an array: L for H×W, RGB for H×W×3, CMYK for H×W×4."""
    return "L" if pixels.ndim == 2 else {3: "RGB", 4: "CMYK"}[pixels.shape[2]]


def fit_profile(mode: str, icc: bytes | None) -> tuple[bytes | None, bool, tuple[str, ...]]:
    """A picture's profile if it describes pixels of its mode; whether they have to become RGB for it; notes."""
    described = mode if icc is None else _profile_mode(icc)
    if mode == described or (mode, described) == ("L", "RGB"):  # the latter is frequent, and forbidden in PNG
        return icc, mode != described, ()
    return None, False, (f"colour profile ignored: it is not one for {mode} pixels",)


def convert(pixels: Samples, icc: bytes | None) -> tuple[Samples, bytes | None, tuple[str, ...]]:
    """Pixels in sRGB (H×W×3, as deep) of grey (H×W), RGB, or CMYK (H×W×4, 8 bits) by a profile that fits them; notes.

    The second value is sRGB's profile; None where no profile could be used and the colours are taken as they are.
    """
    notes: tuple[str, ...] = ()
    if icc is not None:
        try:
            return _by_profile(pixels, icc), srgb_profile(), ()
        except _BROKEN as error:
            notes = (f"colour profile ignored: it is broken ({error})",)
    if mode_of(pixels) == "CMYK":
        notes += ("CMYK without a usable profile: colours are approximate",)
        return _by_strips(pixels, lambda strip: strip.convert("RGB")), None, notes
    return np.repeat(pixels[..., None], 3, axis=2) if pixels.ndim == 2 else pixels, None, notes


def lab_to_srgb(image: Image.Image) -> Image.Image:
    """RGB of a picture in mode LAB, which needs no profile to say what it means."""
    return _transform(ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB"), "LAB", "RGB").apply(image)


def _by_profile(pixels: Samples, icc: bytes) -> Samples:
    # Made for 16 bits too: libvips takes colours for sRGB's without a word where it can't read their profile.
    transform = _to_srgb(icc, mode_of(pixels))
    if pixels.dtype == np.uint8:
        return _by_strips(pixels, transform.apply)
    source, target = shaper(icc), shaper(srgb_profile())
    if source is not None and target is not None and target.matrix is not None:
        return to_srgb(pixels.astype(np.uint16, copy=False), source, target.matrix)
    # By tables, which in 16 bits libvips alone does.
    image = as_image(pixels).copy(interpretation="grey16" if pixels.ndim == 2 else "rgb16")
    image.set_type(vips().GValue.blob_type, "icc-profile-data", icc)
    how = {"embedded": True, "intent": "relative", "black_point_compensation": True, "depth": 16}
    try:
        return as_array(image.icc_transform("srgb", **how))
    except vips().Error as error:
        raise ValueError(" ".join(str(error).split())) from error


def _by_strips(pixels: Samples, change: Callable[[Image.Image], Image.Image]) -> Samples:
    height, width = pixels.shape[:2]
    mode = mode_of(pixels)
    result = np.empty((height, width, 3), np.uint8)
    for rows in strips(result[..., 0]):
        strip = np.ascontiguousarray(pixels[rows])
        result[rows] = np.asarray(change(Image.frombuffer(mode, (width, len(strip)), strip)))
    return result


@lru_cache(maxsize=64)
def means_srgb(icc: bytes) -> bool:
    """Whether an RGB profile's colours are sRGB's within one step of 256, as those of most cameras are."""
    if icc == srgb_profile():
        return True
    if _profile_mode(icc) != "RGB":
        return False
    axis = np.linspace(0, 255, 18).astype(np.uint8)
    grid = np.stack(np.meshgrid(axis, axis, axis), axis=-1).reshape(18, 324, 3)
    try:
        seen = _by_profile(grid, icc)
    except _BROKEN:
        return False
    return bool(np.abs(seen.astype(np.int16) - grid).max() <= 1)


@lru_cache(maxsize=64)
def flaw(icc: bytes) -> str | None:
    """What is wrong with a profile, where it can't be read or leads nowhere."""
    try:
        _to_srgb(icc, _profile_mode(icc) or "RGB")
    except _BROKEN as error:
        return str(error)
    return None


def from_srgb(colour: Colour, icc: bytes | None, mode: str) -> Colour:
    """An sRGB colour in mode RGB, or L (all three are the grey), of a picture's own profile, if that leads there."""
    dot = in_profile(np.array([[colour]], np.uint8), icc, mode)
    red, green, blue = dot[0, 0].tolist()
    return red, green, blue


def in_profile(pixels: Samples, icc: bytes | None, mode: str = "RGB") -> Samples:
    """Pixels in sRGB (H×W×3, 8 bits) in a profile for mode RGB, or L (all three are the grey), if that leads there."""
    if icc is None or icc == srgb_profile():
        return pixels
    try:
        transform = _transform(ImageCms.createProfile("sRGB"), io.BytesIO(icc), "RGB", mode)
        return _by_strips(pixels, lambda strip: transform.apply(strip).convert("RGB"))
    except _BROKEN:
        return pixels


def _profile_mode(icc: bytes) -> str | None:
    """The mode of the pixels a profile describes (colour space, ICC.1:2022, 7.2.6)."""
    return {b"RGB ": "RGB", b"GRAY": "L", b"CMYK": "CMYK"}.get(icc[16:20])


def _to_srgb(icc: bytes, mode: str) -> ImageCms.ImageCmsTransform:
    return _transform(io.BytesIO(icc), ImageCms.createProfile("sRGB"), mode, "RGB")


def _transform(source: Any, target: Any, mode: str, to_mode: str) -> ImageCms.ImageCmsTransform:
    # Profiles and transforms are made anew each time: their handles are not safe to share between threads.
    intent, flags = ImageCms.Intent.RELATIVE_COLORIMETRIC, ImageCms.Flags.BLACKPOINTCOMPENSATION
    return ImageCms.buildTransform(source, target, mode, to_mode, intent, flags)
