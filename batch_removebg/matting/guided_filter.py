"""What colours say of a small alpha: linear models α = r·red + g·green + b·blue + c, one for each of its pixels.

1. Alpha is regressed on colour in a window around each pixel, and the models whose windows reach a pixel are averaged:
   the guided filter (He, Sun and Tang, TPAMI 2013), as its fast form does, on a grid of half the size.
2. Where colours scatter, such a model reaches neither 0 nor 1. It is stretched until the colours around that surely are
   background lie at 0, and those that surely are subject at 1.
3. What the models say is a better alpha than the one they were made from, and the next round begins with it; or rather
   with more of the same change, as over-relaxation does.
4. What they take for background has to hang together with what the alpha took for it: a white letter on a dark box
   before a white wall is no hole.

Where colours can't tell subject and background apart, a model says what the alpha was: somewhat crisper at an edge, and
as it was where there is none.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .box_filter import Floats, Windows, doubled, halved
from .regions import apart

RADIUS = 8
"""Of the windows, in pixels of the alpha, even: as far as an edge of U²-Net's masks is soft or off.

Wider, the mean error goes on falling, but what is as thin as a handle is lost (40 pictures whose alpha is known).
"""
ROUNDS = 3
FORWARD = np.float32(1.5)
"""Times the last round's change that the next begins beyond it: three rounds come as far as six without."""
NOISE = 1e-4
"""Variance of colours (of 0–1) below which they say nothing: a deviation of 2.5 levels."""
SURE = 0.175, 0.825
"""Alpha below and above which a pixel counts as background and as subject, …"""
CERTAIN = 0.025, 0.975
"""… and at which with all its weight."""
SCATTER = 1.35, 0.9
"""Deviations around their means that still are background, and subject: grain, texture."""
CRISPER, MODELS_CRISPER = 1.3, 1.2
"""Contrast around 0.5 that an alpha gains taken as it is, and told by a model: so that grain leaves no dust."""

# When a model is believed: not at all at the first of two numbers, wholly from the second on, and partly between.
EXPLAINED = 0.15, 0.4
"""Share of alpha's variance that the colours explain."""
APART = 0.1, 0.2
"""Difference between subject and background before it is stretched to 1, …"""
LEFT = 0.3, 0.6
"""… and the share of it that lies beyond their scatter."""
STEEP = 30.0, 14.0
"""Alpha per colour (of 0–1): where 9 levels are all the difference, grain is most of what is seen."""
ENDS = 0.05, 0.1
"""Share of a window of twice the size that surely was background, and subject, before the first round."""
REACH = 3
"""Pixels of the alpha that an edge may be away from where the alpha is undecided."""
HOLE = np.float32(0.8)
"""Alpha told by a model below which something of the background is seen."""
CLEAR = 5
"""Levels of 255 that an alpha may be off 0 or 255 and still stand for it."""


def models_of(colours: Floats, alpha: Floats) -> Floats:
    """The models of an alpha (h×w, 0–1): 4×h×w, the factors of red, green and blue (3×h×w, 0–1) and the constant."""
    plain = guess = _crisp(alpha)
    regression = _Regression(colours)
    models = regression.models(guess, plain)
    for _ in range(ROUNDS - 1):
        said = _said(models, colours)
        guess = _crisp((said + FORWARD * (said - guess)).clip(0, 1))
        models = regression.models(guess, plain)
    trust = _near(alpha) * _between(alpha)
    trust *= ~apart(_said(models, colours) < HOLE, alpha < np.float32(0.5))
    models *= trust
    models[3] += (1 - trust) * alpha
    return models


def _crisp(alpha: Floats) -> Floats:
    return np.asarray(((alpha - np.float32(0.5)) * np.float32(CRISPER) + np.float32(0.5)).clip(0, 1))


def _grade(value: Floats, span: tuple[float, float]) -> Floats:
    """0 at the first of two numbers, 1 at the second, linear between, and the same beyond."""
    none, all_of_it = span
    return np.asarray(((value - np.float32(none)) * np.float32(1 / (all_of_it - none))).clip(0, 1))


def _near(alpha: Floats) -> Floats:
    """1 where an undecided pixel is near, 0 where all are clear out to `REACH` pixels and one more: h×w."""
    undecided = (np.abs(alpha - np.float32(0.5)) < np.float32(0.5 - CLEAR / 255)).astype(np.float32)
    share = Windows(alpha.shape, REACH).means(undecided[None])[0]
    return _grade(share, (0, 1 / (2 * REACH + 1)))


def _between(alpha: Floats) -> Floats:
    """1 where both sure background and sure subject are in reach, 0 where one of them is not: h×w."""
    coarse = halved(np.stack([alpha < SURE[0], alpha > SURE[1]]).astype(np.float32))
    share = np.asarray(Windows(coarse.shape[1:], RADIUS).means(coarse).min(axis=0))
    return np.asarray(doubled(_grade(share, ENDS)[None], alpha.shape)[0])


def _said(models: Floats, colours: Floats) -> Floats:
    """What models (4×h×w) say of colours (3×h×w): h×w."""
    return np.asarray((models[:3] * colours).sum(axis=0) + models[3])


class _Regression:
    """Of alphas on the same colours (3×h×w); what depends on the colours alone is reckoned once.

    Windows are wide, so means over them are taken on a grid of half the size, but of products that were not.
    """

    def __init__(self, colours: Floats) -> None:
        self._colours, self._coarse = colours, halved(colours)
        self._mean = Windows(self._coarse.shape[1:], RADIUS // 2).means
        self._centre = self._mean(self._coarse)
        pairs = [(0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2)]
        products = self._mean(halved(np.stack([colours[i] * colours[j] for i, j in pairs])))
        for plane, (i, j) in zip(products, pairs, strict=True):
            plane -= self._centre[i] * self._centre[j]
            if i == j:
                plane += np.float32(NOISE)
        self._inverse = _inverse(products)

    def models(self, guess: Floats, plain: Floats) -> Floats:
        """The models that an alpha (h×w) gives, stretched; where they are not believed they say `plain`: 4×h×w."""
        planes = np.empty((5, *guess.shape), np.float32)
        planes[0] = guess
        np.multiply(guess, guess, out=planes[1])
        np.multiply(self._colours, guess, out=planes[2:])
        coarse = halved(planes)
        models, trust = self._fit(coarse)
        _stretch(models, _said(models, self._coarse), coarse[0], trust, self._mean)
        *_, trust = fine = doubled(np.concatenate([models, trust[None]]), guess.shape)
        fine[3] += (1 - trust) * plain
        return fine[:4]

    def _fit(self, alpha: Floats) -> tuple[Floats, Floats]:
        """The models, each the mean of those whose windows reach its pixel, and how much they explain.

        `alpha`: 5×h/2×w/2, with its square and its products with the colours.
        """
        level, squared, *crossed = self._mean(alpha)
        red, green, blue = (c - level * m for c, m in zip(crossed, self._centre, strict=True))
        rr, rg, rb, gg, gb, bb = self._inverse
        models = np.empty((6, *level.shape), np.float32)
        models[0] = rr * red + rg * green + rb * blue
        models[1] = rg * red + gg * green + gb * blue
        models[2] = rb * red + gb * green + bb * blue
        models[3] = level - (models[:3] * self._centre).sum(axis=0)
        models[4] = models[0] * red + models[1] * green + models[2] * blue
        models[5] = squared - level * level
        *_, explained, variance = models = self._mean(models)
        return models[:4], _grade(explained / (variance + np.float32(NOISE)), EXPLAINED)


def _inverse(symmetric: Floats) -> Floats:
    """Of symmetric 3×3 matrices, given and returned as their upper triangles: 6×h×w."""
    rr, rg, rb, gg, gb, bb = symmetric
    cofactors = np.stack(
        [
            gg * bb - gb * gb,
            rb * gb - rg * bb,
            rg * gb - rb * gg,
            rr * bb - rb * rb,
            rb * rg - rr * gb,
            rr * gg - rg * rg,
        ]
    )
    cofactors /= rr * cofactors[0] + rg * cofactors[1] + rb * cofactors[2]
    return cofactors


def _stretch(models: Floats, found: Floats, guess: Floats, trust: Floats, mean: Callable[[Floats], Floats]) -> None:
    """Make the models say 0 of sure background and 1 of sure subject, and weigh them by the trust in them; in place.

    `found` is what the models say as they are, `guess` the alpha that says who is sure. Trust goes where a model does
    not tell the two apart.
    """
    sure = [_grade(guess, (SURE[0], CERTAIN[0])), _grade(guess, (SURE[1], CERTAIN[1]))]
    weights = np.stack(sure) + np.float32(NOISE)
    moments = mean(np.concatenate([weights, weights * found, weights * (found * found)])).reshape(3, 2, *found.shape)
    centre = moments[1] / moments[0]
    scatter = np.sqrt((moments[2] / moments[0] - centre * centre).clip(0))
    zero, one = centre[0] + SCATTER[0] * scatter[0], centre[1] - SCATTER[1] * scatter[1]
    distance = centre[1] - centre[0]
    trust *= _grade(distance, APART)
    trust *= _grade((one - zero) / np.maximum(distance, np.float32(NOISE)), LEFT)
    models[3] -= (zero + one) / 2
    models *= np.float32(MODELS_CRISPER) / np.maximum(one - zero, np.float32(APART[1]))
    trust *= _grade(np.sqrt(np.square(models[:3]).sum(axis=0)), STEEP)
    models *= trust
    models[3] += trust / 2
