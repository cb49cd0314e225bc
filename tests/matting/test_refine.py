from __future__ import annotations

import tracemalloc
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image, ImageFilter

from batch_removebg.matting import guided_filter
from batch_removebg.matting import refine as refining
from batch_removebg.matting.refine import reduced, refine, resized

RED, GREEN = (200, 60, 50), (60, 140, 80)


def disc(height: int, width: int, x: float = 0.5, y: float = 0.5, radius: float = 0.3) -> npt.NDArray[np.float32]:
    """A disc of alpha 1, its edge two pixels wide."""
    down, across = np.mgrid[0:height, 0:width]
    away = np.hypot(down + 0.5 - y * height, across + 0.5 - x * width) - radius * min(height, width)
    return np.clip(0.5 - away / 2, 0, 1).astype(np.float32)


def photo(
    alpha: npt.NDArray[np.float32], front: npt.ArrayLike = RED, back: npt.ArrayLike = GREEN, grain: float = 3
) -> npt.NDArray[np.uint8]:
    clean = alpha[..., None] * np.asarray(front, np.float32) + (1 - alpha[..., None]) * np.asarray(back, np.float32)
    noisy = clean + grain * np.random.default_rng(5).standard_normal(clean.shape)
    return np.rint(noisy.clip(0, 255)).astype(np.uint8)


def as_the_network_sees_it(
    alpha: npt.NDArray[np.float32], size: tuple[int, int] = (64, 64), blur: float = 1.2, off: int = 0
) -> npt.NDArray[np.uint8]:
    """Small, soft, and `off` by so many of its pixels."""
    small = Image.fromarray(np.rint(alpha * 255).astype(np.uint8)).resize(size, Image.Resampling.BOX)
    return np.roll(np.asarray(small.filter(ImageFilter.GaussianBlur(blur))), off, axis=1)


def apart(one: npt.NDArray[np.uint8], alpha: npt.NDArray[np.float32]) -> float:
    return float(np.abs(one / 255 - alpha).mean())


@pytest.mark.parametrize("off", [0, 1])
def test_an_edge_that_is_soft_and_off_goes_where_the_photo_has_it(off: int) -> None:
    truth = disc(420, 500)
    small = as_the_network_sees_it(truth, off=off)
    assert apart(refine(photo(truth), small), truth) < 0.2 * apart(resized(small, 420, 500), truth)


@pytest.mark.parametrize(("light", "dark"), [(230, 40), (200, 110), (180, 90)])
@pytest.mark.parametrize("glossy", [False, True])
def test_an_edge_is_moved_neither_out_nor_in(light: int, dark: int, glossy: bool) -> None:
    truth = disc(480, 480)
    small = as_the_network_sees_it(truth, size=(160, 160))
    edge = np.abs(np.hypot(*(np.mgrid[0:480, 0:480] + 0.5 - 240)) - 144) < 6
    for front, back in ((light, dark), (dark, light)):
        colours = photo(truth, (front,) * 3, (back,) * 3)
        if glossy:  # reflections up to the edge, in colours between the subject's and the background's
            stripes = np.arange(480) % 96 < 24
            colours[:, stripes] = photo(truth, (round(0.4 * front + 0.6 * back),) * 3, (back,) * 3)[:, stripes]
        assert abs(float((refine(colours, small) / 255 - truth)[edge].mean())) < 0.01, (front, back)


@pytest.mark.parametrize(
    ("front", "back", "dark", "reach"), [(90, 150, 0.8, 8), (90, 150, 0.6, 12), (60, 110, 0.8, 12)]
)
def test_a_shadow_as_dark_as_the_subject_that_casts_it_is_not_taken_for_it(
    front: int, back: int, dark: float, reach: int
) -> None:
    truth = disc(480, 480)
    small = as_the_network_sees_it(truth, size=(160, 160))
    down, across = np.mgrid[0:480, 0:480] + 0.5 - 240
    away = np.hypot(down, across) - 144
    ground = back * (1 - dark * np.exp(-away.clip(0) / reach) * (down > 0))
    shaded = photo(truth, (front,) * 3, np.repeat(ground[..., None], 3, axis=2))
    edge = (np.abs(away) < 6) & (down > 60)
    plain = apart(resized(small, 480, 480)[edge], truth[edge])
    assert apart(refine(shaded, small)[edge], truth[edge]) < 0.7 * plain


def test_in_grey_and_in_16_bits_edges_are_found_too() -> None:
    truth = disc(400, 400)
    small = as_the_network_sees_it(truth)
    plain = apart(resized(small, 400, 400), truth)
    colours = photo(truth)
    deep = refine(colours.astype(np.uint16) * 257, small)
    assert np.abs(deep.astype(int) - refine(colours, small)).max() <= 1
    assert apart(refine(np.ascontiguousarray(colours[..., 0]), small), truth) < 0.2 * plain
    assert apart(refine(colours[..., 0].astype(np.uint16) * 257, small), truth) < 0.2 * plain


def test_where_colours_say_nothing_the_alpha_stays_what_it_was() -> None:
    truth = disc(400, 400)
    small = as_the_network_sees_it(truth)
    found = refine(np.full((400, 400, 3), 127, np.uint8), small)
    assert apart(found, truth) <= apart(resized(small, 400, 400), truth)
    assert np.abs(found / 255 - resized(small, 400, 400) / 255).max() < 0.2


def test_a_marking_of_the_backgrounds_colour_is_no_hole_and_a_gap_to_the_background_is_one() -> None:
    truth = disc(640, 640)  # 192 pixels around the middle; a pixel of the alpha is 10
    white = (240, 240, 240)
    marked = photo(truth, front=(40, 40, 44), back=white)
    marked[300:324, 162:186] = white  # 34 pixels from the edge
    marked[300:304, 440:520] = white  # a slit that is open to the right
    found = refine(marked, as_the_network_sees_it(truth))
    assert found[302:322, 164:184].min() > 245
    assert found[301:303, 500:510].max() < 60


def test_what_is_translucent_is_not_made_black_or_white() -> None:
    truth = disc(400, 400) * np.float32(0.5)
    found = refine(photo(truth), as_the_network_sees_it(truth))
    assert 90 < float(found[180:220, 180:220].mean()) < 165
    assert found[:20].max() == 0


def test_far_from_the_edge_subject_is_opaque_and_background_gone() -> None:
    truth = disc(600, 600)
    small = as_the_network_sees_it(truth, size=(200, 200))
    small[small < 3], small[small > 252] = 2, 253  # dust
    found = refine(photo(truth, grain=9), small)
    assert (found[250:350, 250:350] == 255).all()
    assert (found[:60] == 0).all()


def test_a_haze_that_no_one_sees_is_gone_beside_an_edge_too() -> None:
    small = as_the_network_sees_it(disc(400, 400)).clip(3, 252)
    found = refine(np.full((400, 400, 3), 127, np.uint8), small)
    plain = resized(small, 400, 400)
    assert (found[plain == 3] == 0).all()
    assert (found[plain == 252] == 255).all()
    assert np.abs(found[plain == 128].astype(int) - 128).max() <= 3


@pytest.mark.parametrize("level", [0, 255])
def test_an_alpha_without_an_edge_stays_plain(level: int) -> None:
    found = refine(photo(disc(200, 150)), np.full((32, 32), level, np.uint8))
    assert found.shape == (200, 150)
    assert (found == level).all()


@pytest.mark.parametrize(
    ("height", "width", "size"),
    [(97, 203, (32, 32)), (203, 97, (17, 41)), (50, 50, (1, 1)), (64, 3, (1, 33)), (301, 299, (16, 200))],
)
def test_the_result_has_the_photos_size_whatever_the_alphas(height: int, width: int, size: tuple[int, int]) -> None:
    truth = disc(height, width)
    found = refine(photo(truth), as_the_network_sees_it(truth, size=size))
    assert (found.shape, found.dtype) == ((height, width), np.uint8)


def test_an_alpha_that_has_seen_the_edges_itself_is_resized_alone() -> None:
    truth = disc(600, 640)
    for size in [(640, 600), (600, 560), (960, 800)]:
        alpha = as_the_network_sees_it(truth, size=size)
        assert (refine(photo(truth), alpha) == resized(alpha, 600, 640)).all()


@pytest.mark.parametrize(
    ("size", "to"), [((1024, 1024), (512, 512)), ((2048, 512), (1024, 256)), ((512, 512), (512, 512))]
)
def test_a_networks_large_alpha_is_reduced_to_what_is_refined(size: tuple[int, int], to: tuple[int, int]) -> None:
    alpha = np.full(size[::-1], 77, np.uint8)
    assert reduced(alpha).shape == to[::-1]
    assert (reduced(alpha) == 77).all()


def test_a_small_alpha_is_refined_in_a_small_photo_too() -> None:
    truth = disc(100, 120)
    alpha = as_the_network_sees_it(truth, size=(100, 90))
    assert apart(refine(photo(truth), alpha), truth) < 0.5 * apart(resized(alpha, 100, 120), truth)


def test_threads_get_what_one_alone_gets_and_nothing_given_is_written_to() -> None:
    truth = disc(300, 300)
    colours, small = photo(truth), as_the_network_sees_it(truth)
    colours.setflags(write=False)
    small.setflags(write=False)
    alone = refine(colours, small)
    with ThreadPoolExecutor(4) as pool:
        assert all((found == alone).all() for found in pool.map(lambda _: refine(colours, small), range(8)))


def test_memory_does_not_grow_with_the_photo_but_for_the_result() -> None:
    truth = disc(1500, 1600)
    colours, small = photo(truth), as_the_network_sees_it(truth, size=(100, 100))
    tracemalloc.start()
    try:
        refine(colours, small)
        assert tracemalloc.get_traced_memory()[1] < 6 * truth.size
    finally:
        tracemalloc.stop()


def test_tiles_that_are_passed_by_would_have_come_out_the_same_but_for_what_no_one_sees(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # A soft edge at the very end of a tile, and the photo's own two pixels farther, in the next.
    small = np.zeros((160, 160), np.uint8)
    small[:, 78:80] = 85, 170
    small[:, 80:] = 255
    truth = np.zeros((640, 640), np.float32)
    truth[:, 4 * 82 :] = 1
    some = refine(photo(truth), small)
    assert not refining._active(small).all()
    monkeypatch.setattr(refining, "_active", lambda alpha: np.ones([-(-side // 16) for side in alpha.shape], bool))
    assert np.abs(some.astype(int) - refine(photo(truth), small)).max() <= guided_filter.CLEAR
