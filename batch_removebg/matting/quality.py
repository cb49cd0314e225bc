"""How far a cutout can be trusted, judged from the alpha that was bought.

Of 12 photographs and 64 composed ones u2netp's peaks are 0.97 and more, and at most a third of a mask is undecided.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image

from batch_removebg.model import Box, Matte

from .doubt import loose, undecided
from .matte import MOST_BOXES, framed
from .regions import areas

FLAGS = EMPTY, FULL, SUSPECT, FAINT, FRAGMENTED, CUT_OFF = "empty", "full", "suspect", "faint", "fragmented", "cut-off"
"""Faults that a cutout may have, and that a person should check."""
LONGEST = 512  # longest side in pixels at which an alpha is examined; a larger one is reduced
UNDECIDED = 26, 229  # first and last undecided level of 255: from 0.1 to 0.9
SPECK = 1e-3  # share of the frame below which a component isn't counted
CONTACT = 0.02  # share of a side of the frame above which the subject touches it
LEAST, MOST = 1e-3, 0.98  # coverage below which a cutout is empty, and above which it is full
UNSEEN, UNSURE = 0.2, 0.9  # the network's peak below which it saw no object, and below which a cutout is faint
HESITANT = 0.4  # undecided share of all that is subject or undecided, above which a cutout is faint
DOUBT = 0.05  # disagreement of the looks that agree most, above which a cutout is suspect
UNSURE_PART, LOOSE = 0.002, 0.004  # shares of the subject above which an undecided part, and loose ones, are suspect
UNSURE_LOOKS = 0.015  # the former of the median of several looks, which is undecided where they differ
FRAGMENTS = 6  # components from which on the cutout is more likely clutter than a subject


@dataclass(frozen=True, slots=True)
class Quality:
    """Measurements of an alpha."""

    coverage: float  # mean alpha, 0–1
    peak: float | None  # the network's own maximum before its map was stretched, 0–1; None where unknown
    undecided: float  # share of the frame whose alpha lies between 0.1 and 0.9
    components: int  # connected areas of more than half an alpha, of 0.1 % of the frame at least
    touches: tuple[str, ...]  # of top, right, bottom, left: where the subject takes more than 2 % of the side
    doubt: float | None = None  # how far the looks that agree most still disagree, 0–1; None where there was one look
    unsure: float = 0.0  # the largest part that is neither subject nor background, as a share of the subject
    loose: float = 0.0  # small pieces that lie apart, as a share of the subject
    suspect: tuple[Box, ...] = ()  # where looks disagree or are unsure, and loose pieces; 3 at most


def measure(matte: Matte) -> Quality:
    """The quality of an alpha as it was bought."""
    alpha, peak = framed(matte).alpha, matte.peak
    factor = -(-max(alpha.shape) // LONGEST)
    small = alpha if factor == 1 else np.asarray(Image.fromarray(alpha).reduce(factor))
    solid = small >= 128
    unsure, pieces = undecided([alpha]), loose(alpha)
    boxes = (matte.suspect or tuple(box for _, box in unsure)) + tuple(box for _, box in pieces)
    sides = {"top": solid[0], "right": solid[:, -1], "bottom": solid[-1], "left": solid[:, 0]}
    return Quality(
        coverage=round(float(alpha.mean(dtype=np.float64)) / 255, 4),
        peak=None if peak is None else round(peak, 4),
        undecided=round(float(((small >= UNDECIDED[0]) & (small <= UNDECIDED[1])).mean()), 4),
        components=int((areas(solid) >= max(1.0, SPECK * solid.size)).sum()),
        touches=tuple(side for side, line in sides.items() if line.mean() > CONTACT),
        doubt=matte.doubt,
        unsure=round(max((share for share, _ in unsure), default=0.0), 4),
        loose=round(sum((share for share, _ in pieces), 0.0), 4),
        suspect=boxes[:MOST_BOXES],
    )


def flags(quality: Quality) -> tuple[str, ...]:
    """The faults found, of `FLAGS` and in their order; an empty cutout has no other."""
    peak = 1.0 if quality.peak is None else quality.peak
    if quality.coverage < LEAST or peak < UNSEEN:
        return (EMPTY,)
    decided = max(0.0, quality.coverage - quality.undecided / 2)
    unsure = UNSURE_PART if quality.doubt is None else UNSURE_LOOKS
    found = {
        FULL: quality.coverage > MOST,
        SUSPECT: quality.unsure > unsure or (quality.doubt or 0.0) > DOUBT or quality.loose > LOOSE,
        FAINT: peak < UNSURE or quality.undecided > HESITANT * (quality.undecided + decided),
        FRAGMENTED: quality.components >= FRAGMENTS,
        CUT_OFF: bool(set(quality.touches) - {"bottom"}),
    }
    return tuple(flag for flag in found if found[flag])
