"""Whether alpha is exact: photograph = αF + (1−α)·(the place without the subject), where part-opaque, in linear light.

`python -m tests.bench.rendering.exact SEED INDEX…`, in a Python that has bpy; small pictures with many rays.
"""

from __future__ import annotations

import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np

from tests.bench.rendering import passes
from tests.bench.rendering.catalogue import Picture, catalogue
from tests.bench.rendering.make import build

SIDE, SAMPLES = 240, 96


def apart(picture: Picture) -> tuple[int, float, float, float, float]:
    """Part-opaque pixels; mean and mean absolute difference there, and both were α larger by 0.05."""
    scale = SIDE / max(picture.width, picture.height)
    small = replace(picture, width=round(picture.width * scale), height=round(picture.height * scale), samples=SAMPLES)
    build(small)
    with tempfile.TemporaryDirectory() as scratch:
        everything, place = (take(small, Path(scratch), denoised=False) for take in (passes.everything, passes.plate))
        alone = passes.subject(small, Path(scratch), denoised=False)
    colours, alpha = alone[..., :3], np.clip(alone[..., 3:], 0, 1)
    edge = ((alpha > 0.02) & (alpha < 0.98))[..., 0]
    gain = 0.8 / float(np.percentile(everything.mean(axis=2), 97))
    off = (everything - colours - (1 - alpha) * place)[edge] * gain
    own = colours[edge] / np.maximum(alpha[edge], 0.02)
    moved = off - 0.05 * (own - place[edge]) * gain
    return (
        int(edge.sum()),
        float(off.mean()),
        float(np.abs(off).mean()),
        float(moved.mean()),
        float(np.abs(moved).mean()),
    )


if __name__ == "__main__":
    seed, *numbers = map(int, sys.argv[1:])
    for number in numbers:
        one = catalogue(seed)[number]
        count, mean, size, *rest = apart(one)
        print(f"{one.name}: {count} pixels, off by {mean:+.4f} in the mean, {size:.4f} in size; {rest}", flush=True)
