"""The two renders of a scene: everything, and the subject alone before nothing."""

from __future__ import annotations

from pathlib import Path

import bpy
import numpy as np
from numpy.typing import NDArray

from tests.bench.rendering import stage
from tests.bench.rendering.catalogue import Picture
from tests.bench.rendering.stage import AROUND, SUBJECT, things

Linear = NDArray[np.float32]


def settings(seed: int, threads: int = 2) -> None:
    """Cycles on the processor; caustics and long paths are left out."""
    render, cycles = bpy.context.scene.render, bpy.context.scene.cycles
    render.engine, render.threads_mode, render.threads = "CYCLES", "FIXED", threads
    render.resolution_percentage = 100
    render.image_settings.file_format, render.image_settings.color_mode = "OPEN_EXR", "RGBA"
    render.image_settings.color_depth = "32"
    cycles.device, cycles.seed = "CPU", seed
    cycles.max_bounces, cycles.diffuse_bounces, cycles.glossy_bounces = 7, 1, 2
    cycles.use_light_tree = False
    cycles.transmission_bounces, cycles.transparent_max_bounces = 7, 12
    cycles.caustics_reflective = cycles.caustics_refractive = False
    cycles.sample_clamp_indirect, cycles.use_auto_tile = 5.0, False
    cycles.denoiser, cycles.denoising_quality, cycles.denoising_prefilter = "OPENIMAGEDENOISE", "BALANCED", "FAST"
    bpy.context.scene.cycles_curves.shape = "RIBBONS"


def everything(picture: Picture, folder: Path, denoised: bool = True) -> Linear:
    """The photograph in linear light, H×W×3, its noise taken out."""
    scene = bpy.context.scene
    scene.render.film_transparent = scene.render.use_border = False
    scene.render.use_persistent_data = True
    _samples(picture.samples, denoised)
    return _traced(folder / "everything.exr")[..., :3]


def subject(picture: Picture, folder: Path, denoised: bool = True) -> Linear:
    """The subject in the same light, H×W×4: its colours, multiplied with alpha, and alpha.

    Things around are holdouts: they light, mirror in and hide the subject as before, but leave no trace of their own on
    the film. Alpha is counted by rays of its own, many of them, in the dark, and no noise is taken out of it.
    """
    scene = bpy.context.scene
    scene.render.film_transparent = True
    render = scene.render
    render.use_border = True
    render.border_min_x, render.border_min_y, render.border_max_x, render.border_max_y = stage.bounds()
    scene.cycles.film_transparent_glass, scene.cycles.film_transparent_roughness = picture.see_through, 0.2
    for thing in things(AROUND):
        thing.is_holdout = True
    _samples(picture.samples if picture.see_through else picture.samples // 2, denoised)
    colours = _traced(folder / "colours.exr")
    _darken(flat=not picture.see_through)
    _samples(picture.samples * (8 if picture.see_through else 5), False)
    colours[..., 3] = _traced(folder / "alpha.exr")[..., 3]
    return colours


def plate(picture: Picture, folder: Path, denoised: bool = True) -> Linear:
    """The place with the subject's shadow on it, but without the subject, H×W×3; before `subject`, which darkens it."""
    for thing in things(SUBJECT):
        thing.visible_camera = False
    found = everything(picture, folder, denoised)
    for thing in things(SUBJECT):
        thing.visible_camera = True
    return found


def _samples(count: int, denoised: bool) -> None:
    cycles = bpy.context.scene.cycles
    cycles.samples, cycles.use_denoising, cycles.use_adaptive_sampling = count, denoised, denoised
    cycles.adaptive_threshold, cycles.adaptive_min_samples = 0.08, 6


def _darken(flat: bool) -> None:
    """No light, and where nothing is see-through one flat material: what is left is what covers the film."""
    scene = bpy.context.scene
    scene.world.node_tree.nodes.clear()
    for thing in things(AROUND):
        thing.hide_render = thing.type == "LIGHT"
    if flat:
        bpy.context.view_layer.material_override = bpy.data.materials.new("flat")
        scene.cycles.max_bounces = 0


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
