"""Files within limits of bytes: by their quality where the format has one, then by fewer pixels."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from math import inf

from batch_removebg.imaging.arrays import Picture
from batch_removebg.imaging.encode import encode
from batch_removebg.imaging.format import QUALITY, Encoding

from .options import TRIES, Finish
from .resample import resampled

_AIM = 0.97  # of the side that the bytes ask for: they shrink a little slower than the area


def weighed(picture: Picture, finish: Finish) -> tuple[Picture, bytes]:
    """The picture, perhaps with fewer pixels, and its file, which keeps to the limits of bytes or comes nearest.

    The notes say what was changed for that, and which limit isn't kept. Raises ItemError as `encode`.
    """
    encoding, most, least = finish.encoding, finish.bytes_most or inf, finish.bytes_least or 0
    file = cache(lambda quality: encode(picture, replace(encoding, quality=quality)))
    quality = _quality(lambda quality: len(file(quality)), finish) if encoding.lossy else finish.quality
    made, data, (height, width) = picture, file(quality), picture.pixels.shape[:2]
    longest, least_side = max(width, height), finish.side_least
    if len(data) > most and longest > least_side:
        wanted, tries, over = replace(encoding, quality=quality), TRIES - file.cache_info().misses, (longest, len(data))
        made, data = _reduced(picture, least_side, wanted)
        # Bytes grow with the area, above those of the smallest; a little slower, so that each try aims lower.
        for nth in range(1, tries if len(data) <= most else 0):
            share = max(0.0, most * _AIM**nth - len(data)) / (over[1] - len(data))
            side = int((least_side**2 + share * (over[0] ** 2 - least_side**2)) ** 0.5)
            larger = _reduced(picture, side, wanted)
            if len(larger[1]) <= most:
                made, data = larger
                break
            over = side, len(larger[1])
    height, width = made.pixels.shape[:2]
    notes, flags = [], picture.flags
    if quality != finish.quality:
        notes.append(f"quality {quality} instead of {finish.quality}, for the limits of bytes")
    if made is not picture:
        notes.append(f"reduced to {width}×{height} pixels, for the limits of bytes")
    if not least <= len(data) <= most:
        which, limit = ("more", most) if len(data) > most else ("less", least)
        notes.append(f"the file has {len(data):,} bytes, {which} than {limit:,}: no nearer one was found")
        flags = (*flags, "bytes")
    return replace(made, notes=(*made.notes, *notes), flags=flags), data


def _reduced(picture: Picture, side: int, encoding: Encoding) -> tuple[Picture, bytes]:
    """The picture with that longer side, and its file."""
    height, width = picture.pixels.shape[:2]
    broad, tall = (max(1, round(length * side / max(width, height))) for length in (width, height))
    pixels, alpha = resampled(picture.pixels, picture.alpha, broad, tall)
    made = replace(picture, pixels=pixels, alpha=alpha)
    return made, encode(made, encoding)


def _quality(size: Callable[[int], int], finish: Finish) -> int:
    """The quality nearest to the one wanted whose file, of `size` bytes, keeps to the limits, or comes nearest."""
    wanted, most, least = finish.quality, finish.bytes_most or inf, finish.bytes_least or 0
    floor = min(wanted, finish.quality_least)
    if size(wanted) < least:
        higher = range(wanted, QUALITY.stop)
        found = min(bisect_left(higher, True, key=lambda quality: size(quality) >= least), len(higher) - 1)
        return higher[found if size(higher[found]) <= most else found - 1]
    if size(wanted) <= most or size(floor) > most:
        return wanted if size(wanted) <= most else floor
    lower = range(wanted, floor - 1, -1)
    return lower[bisect_left(lower, True, key=lambda quality: size(quality) <= most)]
