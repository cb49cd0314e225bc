"""Where looks at a picture are undecided, or disagree: parts of the subject may be missing there, or too much left."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageFilter

from batch_removebg.model import Box

from .matte import Alpha
from .regions import regions

SIZE = 320  # pixels squared at which looks are compared
BAND = 7  # pixels of these: what is narrower is an edge, or hair
DECIDED = 0.2  # mean alpha up to which, and from 1 less this on, the looks say the same
LEAST = 0.01  # share of the subject below which a region isn't told
SHOWN = 3  # regions that are told at most


def doubt(looks: Sequence[Alpha]) -> tuple[float, tuple[Box, ...]]:
    """The largest connected region where the mean of looks is undecided, as a share of the subject, and boxes.

    Each look is H×W, of any size; the share is 1 at most.
    """
    small = [Image.fromarray(look).resize((SIZE, SIZE), Image.Resampling.BOX) for look in looks]
    mean = np.mean([np.asarray(look, np.float32) for look in small], axis=0) / 255
    unsure = Image.fromarray((abs(mean - 0.5) < 0.5 - DECIDED).astype(np.uint8))
    wide = unsure.filter(ImageFilter.MinFilter(BAND)).filter(ImageFilter.MaxFilter(BAND))
    sizes, boxes = regions(np.asarray(wide) > 0)
    shares = np.minimum(1.0, sizes / max(1, int((mean >= 0.5).sum())))
    largest = [at for at in np.argsort(-shares, kind="stable")[:SHOWN] if shares[at] >= LEAST]
    told = tuple(_box(*(boxes[at] / SIZE).tolist()) for at in largest)
    return round(float(shares.max(initial=0.0)), 4), told


def _box(left: float, top: float, right: float, bottom: float) -> Box:
    return round(left, 3), round(top, 3), round(right - left, 3), round(bottom - top, 3)
