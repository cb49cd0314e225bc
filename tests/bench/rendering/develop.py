"""From linear light to a photograph, its alpha and its foreground."""

from __future__ import annotations

from random import Random

import numpy as np
from numpy.typing import NDArray

from tests.bench.rendering.catalogue import Picture

Floats = NDArray[np.float32]
BRIGHT = {"white_on_white": 0.95, "black_on_black": 0.15, "sweep": 0.92}
"""How bright the brightest parts become, in linear light, by kind or place; otherwise 0.78."""
SHOULDER = 0.75


def box(plane: Floats, radius: int) -> Floats:
    """Means over squares of 2·radius + 1, borders continued; H×W or H×W×C."""
    around = [(radius + 1, radius), (radius + 1, radius), *[(0, 0)] * (plane.ndim - 2)]
    sums = np.pad(plane.astype(np.float64), around, mode="edge").cumsum(0).cumsum(1)
    side = 2 * radius + 1
    return ((sums[side:, side:] - sums[:-side, side:] - sums[side:, :-side] + sums[:-side, :-side]) / side**2).astype(
        np.float32
    )


def encoded(light: Floats) -> Floats:
    """Linear light as sRGB 0…1, highlights rolled off."""
    light = np.maximum(light, 0)
    over = (light - SHOULDER) / (1 - SHOULDER)
    light = np.where(over > 0, SHOULDER + (1 - SHOULDER) * (1 - np.exp(-np.maximum(over, 0))), light)
    return np.where(light <= 0.0031308, 12.92 * light, 1.055 * np.maximum(light, 1e-9) ** (1 / 2.4) - 0.055).astype(
        np.float32
    )


def exposure(everything: Floats, picture: Picture) -> Floats:
    """Factors of red, green and blue."""
    dice = Random(f"exposure {picture.name}")
    bright = box(everything @ np.array((0.21, 0.72, 0.07), np.float32), 4)
    gain = (
        BRIGHT.get(picture.kind, BRIGHT.get(picture.place, 0.78))
        * dice.uniform(0.88, 1.08)
        / float(np.percentile(bright, 96))
    )
    warm = dice.uniform(-0.05, 0.06)
    return np.array((gain * (1 + warm), gain, gain * (1 - warm)), np.float32)


def alpha_of(subject: Floats, picture: Picture) -> Floats:
    """0…1. Of glass, what noise remains is smoothed inside; what shines needs its own brightness as opacity."""
    alpha = np.clip(subject[..., 3], 0, 1)
    if picture.see_through:
        part = (alpha > 0.004) & (alpha < 0.996)
        calm = edge_keeping(alpha, 2, 0.004)
        inside = box((alpha > 0.004).astype(np.float32), 2) > 0.999
        alpha = np.where(part & inside, calm, alpha)
        alpha = np.maximum(alpha, np.clip(subject[..., :3].max(axis=2), 0, 1))
    return np.where(alpha > 0.997, 1, np.where(alpha < 0.003, 0, alpha)).astype(np.float32)


def edge_keeping(plane: Floats, radius: int, noise: float) -> Floats:
    """A guided filter of a plane by itself: flat parts are smoothed, steps far above the noise (a variance) stay."""
    mean = box(plane, radius)
    spread = np.maximum(box(plane * plane, radius) - mean * mean, 0)
    share = spread / (spread + noise)
    return box(share, radius) * plane + box(mean * (1 - share), radius)


def foreground(everything: Floats, subject: Floats, alpha: Floats) -> Floats:
    """The subject's own colours in linear light: the photograph's where it is opaque."""
    own = subject[..., :3]
    near = box(own, 1) / np.maximum(box(alpha, 1), 1e-4)[..., None]
    far = box(own, 5) / np.maximum(box(alpha, 5), 1e-4)[..., None]
    exact = own / np.maximum(alpha, 1e-4)[..., None]
    found = np.where((alpha > 0.3)[..., None], exact, np.where((box(alpha, 1) > 0.1)[..., None], near, far))
    return np.where((alpha >= 1)[..., None], everything, np.clip(found, 0, 4)).astype(np.float32)


def developed(
    everything: Floats, subject: Floats, picture: Picture
) -> tuple[NDArray[np.uint8], NDArray[np.uint16], NDArray[np.uint8]]:
    """Photograph, alpha (65535 is opaque) and foreground."""
    gain = exposure(everything, picture)
    alpha = alpha_of(np.dstack([subject[..., :3] * gain, subject[..., 3]]), picture)
    colours = encoded(foreground(everything, subject, alpha) * gain)
    photo = encoded(everything * gain)
    grains = np.random.default_rng(Random(f"grain {picture.name}").getrandbits(64))
    strength = picture.grain / 255 * (0.4 + 0.6 * np.sqrt(np.clip(1 - photo.mean(axis=2, keepdims=True), 0, 1)))
    shared, single = grains.standard_normal((*alpha.shape, 1)), grains.standard_normal(photo.shape)
    photo = photo + strength * (0.8 * shared + 0.6 * single)
    flat = np.where((alpha > 0)[..., None], levels(colours), 0).astype(np.uint8)
    return levels(photo), np.rint(alpha * 65535).astype(np.uint16), flat


def levels(picture: NDArray[np.floating]) -> NDArray[np.uint8]:
    return np.rint(np.clip(picture, 0, 1) * 255).astype(np.uint8)
