"""Pictures after accidents, of every format: a picture or a SourceError, soon, and never another exception."""

from __future__ import annotations

import math
import random
import time

import numpy as np
import pytest
from PIL import Image

from batch_removebg.errors import SourceError
from batch_removebg.imaging.decode import proxy, read
from batch_removebg.imaging.format import Limits
from batch_removebg.imaging.probe import measure, probe
from batch_removebg.model import ProxySpec
from tests.fuzz.mutate import PATIENCE, bytes_of, fuzz
from tests.support.pictures import cmyk_profile, deep_tiff, encoded, exif, noise, png, swapped_profile

pytestmark = [
    pytest.mark.crash,
    pytest.mark.timeout(PATIENCE),
    pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning"),  # of GIF's own
    pytest.mark.filterwarnings("ignore::UserWarning:PIL"),  # of its own about damaged tags
    pytest.mark.filterwarnings("ignore:invalid value encountered in cast"),
]

LIMITS = Limits(max_pixels=1_000_000)
SOON = 5.0
"""Seconds; the slowest of 100,000 took 0.3 on one core of a busy machine."""
SMOOTH = Image.fromarray(noise(4, 5)).resize((40, 33), Image.Resampling.BICUBIC)
CLEAR = Image.fromarray(noise(33, 40, 4))
FRAMES = [Image.fromarray(noise(20, 24, seed=seed)) for seed in range(3)]
TOLD = {"exif": exif(6), "icc_profile": swapped_profile()}
SEEDS = {
    "JPEG": [
        encoded(SMOOTH, "JPEG", dpi=(300, 200), xmp=b"<x:xmpmeta xmlns:x='adobe:ns:meta/'/>", **TOLD),
        encoded(SMOOTH, "JPEG", progressive=True),
        encoded(SMOOTH.convert("CMYK"), "JPEG", icc_profile=cmyk_profile()),
    ],
    "PNG": [
        encoded(CLEAR, dpi=(300, 200), **TOLD),
        encoded(SMOOTH.quantize(9), transparency=2),
        png(7, 5, 16, 2, (b"\0" + bytes(42)) * 5),
        encoded(FRAMES[0].copy(), save_all=True, append_images=FRAMES[1:]),
    ],
    "WEBP": [
        encoded(CLEAR, "WEBP", lossless=True, **TOLD),
        encoded(SMOOTH, "WEBP"),
        encoded(FRAMES[0].copy(), "WEBP", save_all=True, append_images=FRAMES[1:]),
    ],
    "TIFF": [
        encoded(CLEAR, "TIFF", dpi=(300, 200), **TOLD),
        encoded(SMOOTH.convert("1"), "TIFF", compression="group4"),
        encoded(SMOOTH, "TIFF", compression="jpeg"),
        encoded(Image.fromarray(np.ones((9, 8), np.float32)), "TIFF"),
        *(deep_tiff(noise(33, 40, 8).view(np.uint16), kind) for kind in ("", "compression=lzw,tile=true", "bigtiff")),
    ],
    "GIF": [encoded(CLEAR, "GIF"), encoded(FRAMES[0].copy(), "GIF", save_all=True, append_images=FRAMES[1:])],
    "AVIF": [encoded(CLEAR, "AVIF", **TOLD)],
    "BMP": [encoded(SMOOTH, "BMP"), encoded(SMOOTH.quantize(9), "BMP")],
    "JPEG2000": [encoded(CLEAR, "JPEG2000")],
    "PPM": [encoded(SMOOTH, "PPM"), b"P3 # a\n2 1\n1023\n1 2 3 4 5 6\n"],
}
TOKENS = [b"\0", b"\xff" * 4, b"\x7f\xff\xff\xff", b"\0\0\0\1", b"\1\0\0\0", b"\xff\xd9", b"\xff\xda", b"IEND", b"IDAT"]
TOKENS += [b"\0\0", b"II*\0", b"\x2c\0\0\0\0", b"VP8L", b"ANMF", b"mdat", b"\x80\0\0\0", b"acTL", b"Exif\0\0MM\0*"]


def holds(data: bytes) -> None:
    began = time.monotonic()
    try:
        seen = probe(data, LIMITS)
        picture = read(data, LIMITS, metadata=True)
        assert picture.pixels.shape[:2] == seen.upright[::-1]
        assert picture.pixels.dtype in (np.uint8, np.uint16)
        assert picture.pixels.ndim == 2 or picture.pixels.shape[2] == 3
        assert picture.alpha is None or picture.alpha.shape == picture.pixels.shape[:2]
        small = proxy(data, ProxySpec(longest=16), LIMITS)
        assert max(small.width, small.height) == min(16, max(seen.upright))
    except SourceError:
        pass
    assert time.monotonic() - began < SOON


@pytest.mark.parametrize("kind", SEEDS)
def test_pictures_after_accidents_are_read_or_refused(kind: str) -> None:
    for seed in SEEDS[kind]:
        holds(seed)
        assert probe(seed, LIMITS).format == kind

    def cases(rng: random.Random) -> bytes:
        return bytes_of(rng, SEEDS[kind], TOKENS)

    fuzz(f"pictures {kind}", len(kind), cases, holds, short=400, share=0.004)


HEADERS = [seed for seeds in SEEDS.values() for seed in seeds]
HEAD = 600
"""Bytes in which all that a header says lies, but for a TIFF's tags at the end."""


def headers(rng: random.Random) -> bytes:
    whole = rng.choice(HEADERS)
    return bytes_of(rng, [whole[:HEAD]], TOKENS) + whole[HEAD:]


def header_holds(data: bytes) -> None:
    began = time.monotonic()
    try:
        seen = probe(data, LIMITS)
        assert min(seen.upright) > 0
        assert math.prod(seen.upright) <= LIMITS.max_pixels
        assert measure(data, LIMITS).cost > 0
    except SourceError as error:
        str(error).encode()
    assert time.monotonic() - began < SOON


def test_headers_after_accidents_are_read_or_refused() -> None:
    fuzz("headers of pictures", 15, headers, header_holds, short=2000, share=0.07)
