"""How colours explain a small alpha: linear models α = r·red + g·green + b·blue + c, one for each of its pixels.

1. Alpha is regressed on colour in a window around each pixel, and the models whose windows reach a pixel are averaged:
   the guided filter (He, Sun and Tang, TPAMI 2013), in its fast form on a grid of half the size.
2. Where colours scatter, such a model reaches neither 0 nor 1: it is stretched until sure background gives 0, and sure
   subject 1. Where colours can't tell the two apart, it gives what the alpha was, somewhat crisper at an edge.
3. In hair and fur the alpha that the models give, or rather more of the same change (over-relaxation), begins the next
   round. At a crisp edge it doesn't: from round to round, a highlight of the background's colour would become a hole.
4. What they take for background must be connected with what the alpha took for it: a white letter on a dark box in
   front of a white wall is no hole.
"""

from __future__ import annotations

import numpy as np

from .box_filter import Floats, doubled, halved, means
from .regions import apart

RADIUS = 12  # of the windows in pixels of the alpha, even: wider ones know the two sides better, and edges less well
ROUNDS = 3
FORWARD = np.float32(1.5)  # a round starts so many times the last change beyond its result; 3 equal 6 without that
NOISE = 1e-4  # variance of colours (0–1) below which they carry no information: a deviation of 2.5 levels
SOFT = 0.1, 0.3  # mean of 4α(1 − α) in a window up to which its edges are crisp, and from which on all is hair or fur
SURE = 0.175, 0.825  # alpha below and above which a pixel counts as background and as subject, …
CERTAIN = 0.025, 0.975  # … and at which it counts with full weight
SCATTER = 1.35  # deviations from their means within which colours still are background, or subject, …
HAIR_SCATTER = 0.75  # … and subject in hair, which networks take for more opaque than it is
CRISPER, HAIR_CRISPER = 1.6, 1.3  # contrast around 0.5 added to an alpha, …
MODELS_CRISPER = 1.2  # … and to one given by a model

# When a model is trusted: not at all at the first of two numbers, fully from the second on, and partly between.
EXPLAINED = 0.6, 0.9  # share of alpha's variance that the colours explain: little beside shadows like the subject, …
HAIR_EXPLAINED = np.float32(0.6)  # … and in hair, where models are nearer than networks all the same: so much is added
APART = 0.1, 0.2  # difference between subject and background before it is stretched to 1, …
LEFT = 0.3, 0.6  # … and the share of it that lies beyond their scatter
STEEP = 30.0, 14.0  # alpha per colour (0–1): where the whole difference is 9 levels, most of it is grain
ENDS = 0.02, 0.05  # share of a window of twice the size that was sure background, and sure subject, at first
REACH = 3  # pixels of the alpha that an edge may be away from where the alpha is undecided
HOLE = np.float32(0.8)  # alpha given by a model below which background shows
CLEAR = 5  # levels of 255 that an alpha may be off 0 or 255 and still stand for it


def models_of(colours: Floats, alpha: Floats) -> Floats:
    """The models of an alpha (h×w, 0–1): 4×h×w, the factors of red, green and blue (3×h×w, 0–1) and the constant."""
    coarse = _grade(means(halved((4 * alpha * (1 - alpha))[None]), RADIUS // 2), SOFT)
    soft = doubled(coarse, alpha.shape)[0]
    contrast = np.float32(CRISPER) - np.float32(CRISPER - HAIR_CRISPER) * soft
    plain = guess = _crisp(alpha, contrast)
    regression = _Regression(colours, coarse[0])
    models = regression.models(guess, plain)
    for _ in range(ROUNDS - 1 if soft.any() else 0):
        fitted = _evaluated(models, colours)
        guess = _crisp((fitted + FORWARD * (fitted - guess)).clip(0, 1), contrast)
        guess -= plain
        guess *= soft
        guess += plain
        models = regression.models(guess, plain)
    trust = _reach(alpha)
    trust *= ~apart(_evaluated(models, colours) < HOLE, alpha < np.float32(0.5))
    models *= trust
    models[3] += (1 - trust) * alpha
    return models


def _crisp(alpha: Floats, contrast: Floats) -> Floats:
    return np.asarray(((alpha - np.float32(0.5)) * contrast + np.float32(0.5)).clip(0, 1))


def _grade(value: Floats, span: tuple[float, float]) -> Floats:
    """0 at the first of two numbers, 1 at the second, linear between, and the same beyond."""
    none, all_of_it = span
    return np.asarray(((value - np.float32(none)) * np.float32(1 / (all_of_it - none))).clip(0, 1))


def _reach(alpha: Floats) -> Floats:
    """1 where an undecided pixel is near, and sure background and subject in reach; 0 where one of them isn't: h×w."""
    undecided = (np.abs(alpha - np.float32(0.5)) < np.float32(0.5 - CLEAR / 255)).astype(np.float32)
    near = _grade(means(undecided[None], REACH)[0], (0, 1 / (2 * REACH + 1)))
    coarse = halved(np.stack([alpha < SURE[0], alpha > SURE[1]]).astype(np.float32))
    share = np.asarray(means(coarse, RADIUS).min(axis=0))
    return np.asarray(near * doubled(_grade(share, ENDS)[None], alpha.shape)[0])


def _evaluated(models: Floats, colours: Floats) -> Floats:
    """The alpha that models (4×h×w) give for colours (3×h×w): h×w."""
    return np.asarray((models[:3] * colours).sum(axis=0) + models[3])


class _Regression:
    """Regression of alphas on the same colours (3×h×w): means on a grid of half the size, of products at full size."""

    def __init__(self, colours: Floats, soft: Floats) -> None:
        """`soft` is how soft the edges around are, 0 to 1 (see `SOFT`): h/2×w/2."""
        self._colours, self._coarse, self._soft = colours, halved(colours), soft
        self._centre = means(self._coarse, RADIUS // 2)
        pairs = [(0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2)]
        products = means(halved(np.stack([colours[i] * colours[j] for i, j in pairs])), RADIUS // 2)
        for plane, (i, j) in zip(products, pairs, strict=True):
            plane -= self._centre[i] * self._centre[j]
            if i == j:
                plane += np.float32(NOISE)
        self._inverse = _inverse(products)

    def models(self, guess: Floats, plain: Floats) -> Floats:
        """The stretched models of an alpha (h×w): 4×h×w; where they aren't trusted they give `plain`."""
        planes = np.empty((5, *guess.shape), np.float32)
        planes[0] = guess
        np.multiply(guess, guess, out=planes[1])
        np.multiply(self._colours, guess, out=planes[2:])
        coarse = halved(planes)
        models, trust = self._fit(coarse)
        _stretch(models, _evaluated(models, self._coarse), coarse[0], self._soft, trust)
        *_, trust = fine = doubled(np.concatenate([models, trust[None]]), guess.shape)
        fine[3] += (1 - trust) * plain
        return fine[:4]

    def _fit(self, alpha: Floats) -> tuple[Floats, Floats]:
        """The models of an alpha (5×h/2×w/2: itself, its square, its products with colours), and the trust in them."""
        level, squared, *crossed = means(alpha, RADIUS // 2)
        shared = np.stack(crossed) - level * self._centre
        models = np.empty((6, *level.shape), np.float32)
        np.einsum("ijhw,jhw->ihw", self._inverse, shared, out=models[:3])
        models[3] = level - (models[:3] * self._centre).sum(axis=0)
        models[4] = (models[:3] * shared).sum(axis=0)
        models[5] = squared - level * level
        *_, explained, variance = models = means(models, RADIUS // 2)
        share = explained / (variance + np.float32(NOISE)) + HAIR_EXPLAINED * self._soft
        return models[:4], _grade(share, EXPLAINED)


def _inverse(symmetric: Floats) -> Floats:
    """Of symmetric matrices, given as their upper triangles (6×h×w): 3×3×h×w."""
    rr, rg, rb, gg, gb, bb = symmetric
    first = gg * bb - gb * gb, rb * gb - rg * bb, rg * gb - rb * gg
    cofactors = np.stack([*first, rr * bb - rb * rb, rb * rg - rr * gb, rr * gg - rg * rg])
    cofactors /= rr * first[0] + rg * first[1] + rb * first[2]
    return np.asarray(cofactors[[[0, 1, 2], [1, 3, 4], [2, 4, 5]],])


def _stretch(models: Floats, fitted: Floats, guess: Floats, soft: Floats, trust: Floats) -> None:
    """Make models that give `fitted` give 0 where `guess` is sure of background, 1 where of subject; in place.

    Trust is lowered where a model doesn't tell the two apart, and the models are weighed by it.
    """
    sure = [_grade(guess, (SURE[0], CERTAIN[0])), _grade(guess, (SURE[1], CERTAIN[1]))]
    weights = np.stack(sure) + np.float32(NOISE)
    moments = means(np.concatenate([weights, weights * fitted, weights * (fitted * fitted)]), RADIUS // 2)
    moments = moments.reshape(3, 2, *fitted.shape)
    centre = moments[1] / moments[0]
    scatter = np.sqrt((moments[2] / moments[0] - centre * centre).clip(0))
    zero = centre[0] + np.float32(SCATTER) * scatter[0]
    one = centre[1] - (SCATTER + np.float32(HAIR_SCATTER - SCATTER) * soft) * scatter[1]
    distance = centre[1] - centre[0]
    trust *= _grade(distance, APART)
    trust *= _grade((one - zero) / np.maximum(distance, np.float32(NOISE)), LEFT)
    models[3] -= (zero + one) / 2
    models *= np.float32(MODELS_CRISPER) / np.maximum(one - zero, np.float32(APART[1]))
    trust *= _grade(np.sqrt(np.square(models[:3]).sum(axis=0)), STEEP)
    models *= trust
    models[3] += trust / 2
