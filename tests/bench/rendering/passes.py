"""The two renders of a scene: everything, and the subject alone before nothing."""

from __future__ import annotations

from pathlib import Path

import bpy
import numpy as np
from numpy.typing import NDArray

from tests.bench.rendering.catalogue import Picture
from tests.bench.rendering.stage import AROUND, things

Linear = NDArray[np.float32]


def settings(seed: int, threads: int = 2) -> None:
    """Cycles on the processor; caustics and long paths are left out."""
    render, cycles = bpy.context.scene.render, bpy.context.scene.cycles
    render.engine, render.threads_mode, render.threads = "CYCLES", "FIXED", threads
    render.resolution_percentage = 100
    render.image_settings.file_format, render.image_settings.color_mode = "OPEN_EXR", "RGBA"
    render.image_settings.color_depth = "32"
    cycles.device, cycles.seed = "CPU", seed
    cycles.max_bounces, cycles.diffuse_bounces, cycles.glossy_bounces = 9, 2, 3
    cycles.transmission_bounces, cycles.transparent_max_bounces = 8, 16
    cycles.caustics_reflective = cycles.caustics_refractive = False
    cycles.sample_clamp_indirect, cycles.use_auto_tile = 5.0, False
    cycles.denoiser, cycles.use_denoising = "OPENIMAGEDENOISE", True
    cycles.denoising_quality = "BALANCED"


def everything(picture: Picture, folder: Path) -> Linear:
    """The photograph in linear light, H×W×3, its noise taken out."""
    scene = bpy.context.scene
    scene.render.film_transparent = False
    cycles = scene.cycles
    cycles.samples, cycles.use_adaptive_sampling = picture.samples, True
    cycles.adaptive_threshold, cycles.adaptive_min_samples = 0.04, 12
    return _traced(folder / "everything.exr")[..., :3]


def subject(picture: Picture, folder: Path) -> Linear:
    """The subject in the same light, H×W×4, colours multiplied with alpha; what lies about it is cut out of the film.

    Things around are holdouts: they light, mirror in and hide the subject as before, but leave no trace of their own. Alpha
    is counted by the same rays that see the subject, and no noise is taken out of it.
    """
    scene = bpy.context.scene
    scene.render.film_transparent = True
    cycles = scene.cycles
    cycles.film_transparent_glass, cycles.film_transparent_roughness = picture.see_through, 0.2
    cycles.use_adaptive_sampling = False
    cycles.samples = int(picture.samples * (3 if picture.see_through else 1.2))
    for thing in things(AROUND):
        thing.is_holdout = True
    return _traced(folder / "subject.exr")


def plate(picture: Picture, folder: Path) -> Linear:
    """The background without the subject's own light on the film, but with its shadow: H×W×3."""
    scene = bpy.context.scene
    scene.render.film_transparent = False
    scene.cycles.samples = picture.samples
    for thing in things(AROUND):
        thing.is_holdout = False
    for thing in things("subject"):
        thing.visible_camera = False
    return _traced(folder / "plate.exr")[..., :3]


def _traced(path: Path) -> Linear:
    scene = bpy.context.scene
    scene.render.filepath = str(path)
    bpy.ops.render.render(write_still=True)
    image = bpy.data.images.load(str(path))
    width, height = image.size
    values = np.empty(width * height * 4, np.float32)
    image.pixels.foreach_get(values)
    bpy.data.images.remove(image)
    path.unlink()
    return np.flipud(values.reshape(height, width, 4)).copy()
