"""A small alpha fitted to its photo at full size, the photo itself saying where the edges are.

On the alpha's own grid, local linear models say how alpha follows colour: α = a·I + b in a window around each pixel
(the guided filter: He, Sun and Tang, TPAMI 2013; its coefficients carried over to the full size: He and Sun,
arXiv:1505.00996). Such a model reaches neither 0 nor 1 where colours scatter, so each is stretched until the colours
that surely are background lie at 0 and those that surely are subject at 1. Two more rounds start from what the one
before found. Where no model tells the two apart, the alpha stays what it was, somewhat crisper.

The models are then spread over the photo's pixels, in tiles, and only where the alpha is neither 0 nor 1 all around.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt
from PIL import Image

from .alpha import Alpha
from .windows import Floats, Windows, doubled, halved

Guide = npt.NDArray[np.uint8] | npt.NDArray[np.uint16]

RADIUS = 6
"""Of the windows, in pixels of the alpha, even: as far as an edge of U²-Net's masks is soft or off."""
ROUNDS = 4
LEFT = 0.3, 0.6
"""Share of that difference which scatter leaves, from which on, and at which fully, a model is believed."""
ENDS = 0.02
"""Share of a window that must be sure background, and sure subject, for there to be an edge at all."""
CRISPER_STILL = 1.2
"""The same for what a model says, so that grain leaves no dust."""
STEEP = 14.0, 30.0
"""Alpha per colour (of 0–1) up to which a model is believed, and from which on it shows the grain alone: 9 levels."""
REACH = 3
"""Pixels of the alpha that an edge may be away from where the alpha is undecided."""
NOISE = 1e-4
"""Variance of colours (of 0–1) below which they say nothing: a deviation of 2.5 levels."""
CRISPER = 1.5
"""Contrast that an alpha has gained around 0.5 where it is taken as it is."""
SURE = 0.175, 0.825
"""Alpha below and above which a pixel counts as background and as subject, with all its weight at 0.025 and 0.975."""
SCATTER = 1.5, 1.0
"""Deviations that count as background's 0 (grain, texture), and as subject's 1."""
APART = 0.2
"""Least difference between the two under a model, of the 1 that it should be, for it to be believed."""
EXPLAINED = 0.15, 0.4
"""Share of alpha's variance that the colours explain, from which on, and at which fully, a model is believed."""
LARGER = 1.5
"""How many times the size of its alpha a photo has to be: an alpha as large as its photo has seen the edges itself."""
SMALL, LARGE = 1 << 17, 1 << 20
"""Pixels of an alpha that is refined whatever its photo's size, since it is a network's own grid, and of none."""
TILE = 16
"""Side of what is worked on at once, pixels of the alpha."""
CLEAR = 5
"""Levels of 255 that an alpha may be off 0 or 255 and still stand for it."""


def refine(guide: Guide, alpha: Alpha) -> Alpha:
    """The alpha (h×w, 0–255) at the size of its photo (H×W×3 RGB or H×W grey, 8 or 16 bits), its edges the photo's.

    H×W, uint8. Soft edges and what is translucent stay so. An alpha that is nearly as large as its photo (`LARGER`,
    unless it is `SMALL`), or `LARGE`, is resized and no more.
    """
    height, width = guide.shape[:2]
    rows, columns = alpha.shape
    scale = min(height / rows, width / columns)
    if scale < (LARGER if rows * columns > SMALL else 1) or rows * columns > LARGE:
        return resized(alpha, height, width)
    active = _active(alpha)
    spread = _Spread(guide, alpha)
    top, bottom, left, right = _box_around(active, rows, columns)
    if top < bottom:
        window = np.s_[top:bottom, left:right]
        small = _reduced(guide, rows, columns)[:, top:bottom, left:right]
        spread.models[:, top:bottom, left:right] = _models(small, alpha[window].astype(np.float32) / 255)
    for row, column in zip(*np.nonzero(active), strict=True):
        spread.tile(int(row), int(column))
    return spread.result


def resized(alpha: Alpha, height: int, width: int) -> Alpha:
    """The alpha at another size (H×W), by Lanczos; itself where it has that size."""
    if alpha.shape == (height, width):
        return alpha
    return np.asarray(Image.fromarray(alpha).resize((width, height), Image.Resampling.LANCZOS))


def _active(alpha: Alpha) -> npt.NDArray[np.bool_]:
    """Which tiles are to be worked on: all but those that are clear, and whose surroundings are alike."""
    low, high = _pooled(alpha, np.minimum, 255), _pooled(alpha, np.maximum, 0)
    return np.asarray(~((high <= CLEAR) | (low >= 255 - CLEAR)))


def _pooled(alpha: Alpha, pick: np.ufunc, neutral: int) -> Alpha:
    """The least or greatest alpha of each tile and `RADIUS` pixels around it."""
    rows, columns = (-(-side // TILE) for side in alpha.shape)
    padded = np.full((rows * TILE + 2 * RADIUS, columns * TILE + 2 * RADIUS), neutral, np.uint8)
    padded[RADIUS : RADIUS + alpha.shape[0], RADIUS : RADIUS + alpha.shape[1]] = alpha
    reach = TILE + 2 * RADIUS
    along = np.stack([pick.reduce(padded[:, at * TILE : at * TILE + reach], axis=1) for at in range(columns)], 1)
    return np.stack([pick.reduce(along[at * TILE : at * TILE + reach], axis=0) for at in range(rows)])


def _box_around(active: npt.NDArray[np.bool_], rows: int, columns: int) -> tuple[int, int, int, int]:
    """Top, bottom, left, right of what the models need: the active tiles and two windows around them."""
    if not active.any():
        return 0, 0, 0, 0
    down, across = np.flatnonzero(active.any(axis=1)), np.flatnonzero(active.any(axis=0))
    margin = 2 * RADIUS
    return (
        max(0, int(down[0]) * TILE - margin),
        min(rows, (int(down[-1]) + 1) * TILE + margin),
        max(0, int(across[0]) * TILE - margin),
        min(columns, (int(across[-1]) + 1) * TILE + margin),
    )


def _reduced(guide: Guide, rows: int, columns: int) -> Floats:
    """The photo on the alpha's grid: 3×rows×columns, 0–1."""
    eight = guide if guide.dtype == np.uint8 else (guide >> 8).astype(np.uint8)
    image = Image.fromarray(eight).resize((columns, rows), Image.Resampling.BOX, reducing_gap=1.0)
    small = np.asarray(image, np.float32) / 255
    planes = small.transpose(2, 0, 1) if small.ndim == 3 else np.broadcast_to(small, (3, *small.shape))
    return np.ascontiguousarray(planes)


def _models(colours: Floats, alpha: Floats) -> Floats:
    """The linear models: 4×h×w, the factors of red, green, blue (0–1) and the constant, for an alpha of 0–1."""
    plain = guess = _crisp(alpha)
    regression = _Regression(colours)
    models = regression.models(guess, plain)
    for _ in range(ROUNDS - 1):
        guess = _crisp(_said(models, colours).clip(0, 1))
        models = regression.models(guess, plain)
    near = _near(alpha) * _between(alpha)
    models *= near
    models[3] += (1 - near) * plain
    return models


def _near(alpha: Floats) -> Floats:
    """1 where an undecided pixel is near, 0 where all are clear out to `REACH` pixels and one more: h×w."""
    undecided = (np.abs(alpha - np.float32(0.5)) < np.float32(0.5 - CLEAR / 255)).astype(np.float32)
    return np.asarray((Windows(*alpha.shape, REACH).means(undecided[None])[0] * (2 * REACH + 1)).clip(0, 1))


def _between(alpha: Floats) -> Floats:
    """1 where both sure background and sure subject are in reach, 0 where one of them is not: h×w."""
    coarse = halved(np.stack([alpha < SURE[0], alpha > SURE[1]]).astype(np.float32))
    share = Windows(*coarse.shape[1:], RADIUS).means(coarse).min(axis=0)
    return doubled((share / np.float32(ENDS) - 1).clip(0, 1)[None], *alpha.shape)[0]


def _crisp(alpha: Floats) -> Floats:
    return np.clip((alpha - np.float32(0.5)) * np.float32(CRISPER) + np.float32(0.5), 0, 1)


def _said(models: Floats, colours: Floats) -> Floats:
    """What models (4×h×w) say of colours (3×h×w): h×w."""
    return np.asarray((models[:3] * colours).sum(axis=0) + models[3])


class _Regression:
    """Alpha on colour in the window around each pixel; what depends on the colours alone is reckoned once.

    Windows are wide, so means over them are taken on a grid of half the size, of products that were not.
    """

    def __init__(self, colours: Floats) -> None:
        self._colours, self._coarse = colours, halved(colours)
        self._mean = Windows(*self._coarse.shape[1:], RADIUS // 2).means
        self._centre = self._mean(self._coarse)
        pairs = [(0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2)]
        products = self._mean(halved(np.stack([colours[i] * colours[j] for i, j in pairs])))
        for plane, (i, j) in zip(products, pairs, strict=True):
            plane -= self._centre[i] * self._centre[j]
            if i == j:
                plane += np.float32(NOISE)
        self._inverse = _inverse(products)

    def models(self, guess: Floats, plain: Floats) -> Floats:
        """The models that an alpha (h×w) gives, so that they say 0 of sure background and 1 of sure subject: 4×h×w.

        Where colours don't tell these apart, they say `plain` (h×w).
        """
        coarse = halved(np.concatenate([[guess, guess * guess], self._colours * guess]))
        models, trust = self._fit(coarse)
        _stretch(models, _said(models, self._coarse), coarse[0], trust, self._mean)
        *_, trust = fine = doubled(np.concatenate([models, trust[None]]), *guess.shape)
        fine[3] += (1 - trust) * plain
        return fine[:4]

    def _fit(self, alpha: Floats) -> tuple[Floats, Floats]:
        """The models, each the mean of those whose windows reach its pixel, and how much they are to be believed.

        5×h/2×w/2: alpha, its square, and its products with the colours.
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
        share = explained / (variance + np.float32(NOISE))
        return models[:4], ((share - EXPLAINED[0]) / np.float32(EXPLAINED[1] - EXPLAINED[0])).clip(0, 1)


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
    low, high = SURE
    behind = ((low - guess) / np.float32(low - 0.025)).clip(0, 1) + np.float32(NOISE)
    before = ((guess - high) / np.float32(0.975 - high)).clip(0, 1) + np.float32(NOISE)
    weights = np.stack([behind, before])
    moments = mean(np.concatenate([weights, weights * found, weights * (found * found)])).reshape(3, 2, *found.shape)
    centre = moments[1] / moments[0]
    scatter = np.sqrt((moments[2] / moments[0] - centre * centre).clip(0))
    apart = centre[1] - centre[0]
    trust *= (apart / np.float32(APART / 2) - 1).clip(0, 1)
    zero, one = centre[0] + SCATTER[0] * scatter[0], centre[1] - SCATTER[1] * scatter[1]
    clear = (one - zero) / np.maximum(apart, np.float32(NOISE))
    trust *= ((clear - LEFT[0]) / np.float32(LEFT[1] - LEFT[0])).clip(0, 1)
    models[3] -= (zero + one) / 2
    models *= np.float32(CRISPER_STILL) / np.maximum(one - zero, np.float32(APART))
    steep = np.sqrt(np.square(models[:3]).sum(axis=0))
    trust *= ((STEEP[1] - steep) / np.float32(STEEP[1] - STEEP[0])).clip(0, 1)
    models *= trust
    models[3] += trust / 2


class _Spread:
    """Models on the alpha's grid laid over the photo, tile by tile."""

    def __init__(self, guide: Guide, alpha: Alpha) -> None:
        self._guide = guide
        self.models = np.zeros((4, *alpha.shape), np.float32)
        self._down = _Axis(guide.shape[0], alpha.shape[0])
        self._across = _Axis(guide.shape[1], alpha.shape[1])
        sure = np.where(alpha[::TILE, ::TILE] < 128, 0, 255).astype(np.uint8)
        lines = np.repeat(sure, self._across.lengths, axis=1)
        self.result: Alpha = np.repeat(lines, self._down.lengths, axis=0)
        self._full = np.float32(255 if guide.dtype == np.uint8 else 65535)

    def tile(self, row: int, column: int) -> None:
        """Reckon the tile's pixels."""
        (down, rows, to_rows), (across, columns, to_columns) = self._down[row], self._across[column]
        models = to_rows @ self.models[:, rows, columns] @ to_columns.T
        guide = self._guide[down, across]
        models[:3] *= np.float32(255) / self._full
        models[3] *= 255
        total = models[3]
        for channel in range(3):
            models[channel] *= guide[..., channel] if guide.ndim == 3 else guide
            total += models[channel]
        total += np.float32(0.5)
        np.copyto(self.result[down, across], total.clip(0, 255, out=total), casting="unsafe")


class _Axis:
    """One direction of the spread: which pixels each tile has, and how they lie between those of the alpha."""

    def __init__(self, full: int, small: int) -> None:
        tiles = -(-small // TILE)
        # A pixel belongs to the tile that its centre lies in.
        bounds = np.ceil(np.minimum(np.arange(tiles + 1) * TILE, small) * (full / small) - 0.5).astype(int)
        self.lengths = np.diff(bounds)
        self._parts = list(self._tiles(bounds, full, small))

    def __getitem__(self, tile: int) -> tuple[slice, slice, Floats]:
        """The tile's pixels at full size, those of the alpha around it, and the first's weights of the second."""
        return self._parts[tile]

    @staticmethod
    def _tiles(bounds: npt.NDArray[np.int_], full: int, small: int) -> Iterator[tuple[slice, slice, Floats]]:
        for begin, end in zip(bounds[:-1], bounds[1:], strict=True):
            at = ((np.arange(begin, end) + 0.5) * (small / full) - 0.5).clip(0, small - 1)
            before = np.minimum(at.astype(int), max(small - 2, 0))
            first, last = int(before.min(initial=small)), int(before.max(initial=0)) + 2
            first = min(first, last - 1)
            weights = np.zeros((end - begin, last - first), np.float32)
            line = np.arange(end - begin)
            weights[line, before - first] = 1 - (at - before)
            weights[line, before - first + 1] = at - before
            yield slice(int(begin), int(end)), slice(first, min(last, small)), weights[:, : min(last, small) - first]
