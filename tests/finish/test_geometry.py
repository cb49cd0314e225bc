"""A cut laid out on its canvas: pixels."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batch_removebg.errors import ItemError
from batch_removebg.finish import finish as module
from batch_removebg.finish import geometry
from batch_removebg.finish.cut import Cut
from batch_removebg.finish.geometry import find, placed
from batch_removebg.finish.measures import parse_margin
from batch_removebg.finish.options import Finish, Geometry
from batch_removebg.imaging.arrays import Picture
from batch_removebg.imaging.format import Limits
from batch_removebg.model import Matte
from tests.support.pictures import encoded, noise, opened

LIMITS = Limits()
OWN = {"edges": "keep", "refine": "none", "clean_below": 0}
SHAPES = {"rgb": (3, np.uint8), "grey": (1, np.uint8), "rgb of 16 bits": (3, np.uint16)}


def cut(mask, kind="rgb"):
    channels, dtype = SHAPES[kind]
    pixels = noise(*mask.shape, channels).astype(dtype) * dtype(np.iinfo(dtype).max // 255)
    return Cut(Picture(pixels), mask.astype(dtype) * dtype(np.iinfo(dtype).max // 255))


def block(height=400, width=500, rows=(100, 300), columns=(150, 250), level=255):
    mask = np.zeros((height, width), np.uint8)
    mask[slice(*rows), slice(*columns)] = level
    return mask


def box(mask, level=10):
    rows, columns = (np.flatnonzero((mask >= level).any(axis=axis)) for axis in (1, 0))
    return columns[0], rows[0], columns[-1] + 1, rows[-1] + 1


@pytest.mark.parametrize("kind", SHAPES)
def test_at_the_photos_scale_pixels_are_moved_bit_for_bit(kind):
    source = cut(block(), kind)
    made = placed(source, Geometry(canvas=(300, 400), margin=parse_margin("10px"), align="bottom"))
    assert made.mask.shape == made.picture.pixels.shape[:2] == (400, 300)
    assert box(made.mask) == (100, 190, 200, 390)
    assert np.array_equal(made.picture.pixels[190:390, 100:200], source.picture.pixels[100:300, 150:250])
    assert (made.picture.pixels.dtype, made.mask.dtype) == (source.picture.pixels.dtype, source.mask.dtype)


@pytest.mark.parametrize("kind", SHAPES)
def test_at_another_scale_the_box_is_where_it_was_planned_and_colours_keep_their_edge(kind):
    source = cut(block(), kind)
    source.picture.pixels[:] = 0
    source.picture.pixels[100:300, 150:250] = np.iinfo(source.mask.dtype).max // 2
    made = placed(source, Geometry(canvas=(120, 120), fill=0.85))
    assert box(made.mask) == (35, 9, 86, 111)
    shown = made.mask > 0
    assert np.abs(made.picture.pixels[shown].astype(int) - np.iinfo(source.mask.dtype).max // 2).max() <= 1


def test_a_soft_edge_keeps_its_colour_and_its_amount_of_light():
    yy, xx = np.mgrid[:400, :500]
    soft = np.rint(np.clip(130 - np.hypot(yy - 200, xx - 250) / 1, 0, 30) / 30 * 255).astype(np.uint8)
    source = cut(soft)
    source.picture.pixels[:] = np.where((soft > 0)[..., None], (200, 100, 50), (0, 255, 0))
    made = placed(source, Geometry(canvas=(200, 200)))
    factor = 200 / (box(soft)[2] - box(soft)[0])
    assert made.mask.sum() == pytest.approx(soft.sum() * factor**2, rel=0.01)
    off = np.abs(made.picture.pixels.astype(int) - (200, 100, 50)) * (made.mask[..., None] / 255)
    assert off.max() <= 2  # of 255, as it shows


def test_specks_and_what_is_faint_do_not_count_for_the_box_and_specks_are_cleared():
    mask = block()
    mask[5:9, 5:9] = 255  # 16 of 20,000 pixels
    mask[300:310, 240:250] = 9
    assert box(placed(cut(mask), Geometry(trim=True)).mask) == (0, 0, 100, 200)
    found, clean = find(mask, Geometry(trim=True))
    assert found.box == (150, 100, 250, 300)
    assert (clean[:20, :20].max(), clean[305, 245]) == (0, 9)
    assert find(mask, Geometry(trim=True, specks=0.0005))[0].box == (5, 5, 250, 300)
    assert find(mask, Geometry(trim=True, specks=0))[0].box == (5, 5, 250, 300)
    assert find(mask, Geometry(trim=True, trim_level=0))[0].box == (150, 100, 250, 310)


def test_pieces_near_each_other_are_one_subject_and_the_largest_piece_is_never_a_speck():
    mask = block(rows=(100, 102), columns=(150, 152))
    assert find(mask, Geometry(trim=True, specks=0.5))[0].box == (150, 100, 152, 102)
    line = np.zeros((2000, 2000), np.uint8)
    line[np.arange(1500), np.arange(1500)] = 255
    line[1500:1900, 1500:1900] = 255
    assert find(line, Geometry(trim=True))[0].box == (0, 0, 1900, 1900)


def test_what_is_faint_around_the_box_comes_with_it_as_far_as_there_is_room():
    mask = block()
    mask[90:310, 140:260] = np.maximum(mask[90:310, 140:260], 5)
    made = placed(cut(mask), Geometry(margin=parse_margin("4px")))
    assert made.mask.shape == (208, 108)
    assert made.mask.min() == 5
    assert box(made.mask) == (4, 4, 104, 204)
    small = placed(cut(mask), Geometry(canvas=(60, 120), fill=0.8)).mask
    assert (small[9, 30], small[60, 4], small[3, 30]) == (5, 0, 0)


def test_sides_that_the_photo_cuts_off_are_found_on_the_mask():
    assert find(block(rows=(0, 400)), Geometry(trim=True))[0].touches == ("top", "bottom")
    assert find(block(rows=(0, 300), columns=(0, 9)), Geometry(trim=True))[0].touches == ("left",)
    assert find(block(rows=(0, 300), columns=(0, 500), level=120), Geometry(trim=True))[0].touches == ()


def test_the_centroid_is_the_mean_of_the_alpha():
    mask = block(rows=(100, 200), columns=(100, 200))
    mask[100:200, 200:300] = 85
    assert find(mask, Geometry(align="centroid"))[0].centroid == pytest.approx((175, 150))


@pytest.mark.parametrize("level", [0, 9])
def test_an_empty_alpha_gives_an_empty_canvas_that_is_flagged(level):
    made = placed(cut(np.full((40, 50), level, np.uint8)), Geometry(canvas=(300, 200), enlarge=True))
    assert (made.mask.shape, made.mask.max(), made.picture.flags) == ((200, 300), 0, ("empty",))


def test_a_canvas_that_is_too_large_is_refused_before_it_is_made_by_what_the_subject_takes(monkeypatch):
    source, finish = encoded(noise(400, 500)), Finish("jpeg", geometry=Geometry(fill=0.25), **OWN)
    [made] = module.finish(source, Matte(block(rows=(100, 140), columns=(150, 190))), [finish], Limits(200_000))
    assert (made.width, made.height) == (160, 160)
    monkeypatch.setattr(geometry, "pasted", None)
    with pytest.raises(ItemError, match=r"^would have 400×800 pixels \(0 million\), more than the limit"):
        module.finish(source, Matte(block()), [finish], Limits(200_000))


def test_the_cut_stays_as_it_is():
    source = cut(block(level=100))
    source.mask[3:5, 3:5] = 200
    before = source.mask.copy(), source.picture.pixels.copy()
    placed(source, Geometry(canvas=(70, 70), fill=0.9))
    assert np.array_equal(source.mask, before[0])
    assert np.array_equal(source.picture.pixels, before[1])


def test_a_subject_is_looked_for_once_for_all_finishes(monkeypatch):
    looked = []
    monkeypatch.setattr(geometry, "find", lambda *given: looked.append(given) or find(*given))
    finishes = [Finish("jpeg", geometry=Geometry(canvas=(side, side)), **OWN) for side in (60, 70)]
    made = module.finish(encoded(noise(400, 500)), Matte(block()), [*finishes, Finish("jpeg", **OWN)], LIMITS)
    assert ([one.width for one in made], len(looked)) == ([60, 70, 500], 1)


@settings(max_examples=40, deadline=None)
@given(
    st.integers(1, 300), st.integers(1, 300), st.tuples(st.integers(8, 400), st.integers(8, 400)), st.floats(0.2, 1),
    st.sampled_from(["centre", "bottom", "centroid"]), st.booleans(),
)  # fmt: skip
def test_a_drawn_subject_has_its_fill_to_a_pixel_and_nothing_of_it_is_cut_off(
    height, width, canvas, fill, align, enlarge
):
    mask = np.zeros((320, 340), np.uint8)
    mask[10 : 10 + height, 20 : 20 + width] = 255
    made = placed(cut(mask), Geometry(canvas=canvas, fill=fill, align=align, enlarge=enlarge))
    assert made.mask.shape == canvas[::-1]
    left, top, right, bottom = box(made.mask, 128)
    factor = min(fill * canvas[0] / width, fill * canvas[1] / height)
    factor = factor if enlarge else min(1, factor)
    assert abs(right - left - max(1, width * factor)) <= 1
    assert abs(bottom - top - max(1, height * factor)) <= 1


@pytest.mark.parametrize(
    "wanted",
    [
        Finish(),
        Finish("jpeg"),
        Finish("webp"),
        Finish("avif"),
        Finish("tiff", background=(9, 9, 9)),
        Finish(mask_only=True),
    ],
    ids=lambda wanted: f"{wanted.format}{wanted.mask_only}",
)
@pytest.mark.parametrize("source", ["rgb", "grey", "own alpha", "16 bits"])
def test_every_kind_of_picture_is_laid_out(wanted, source):
    pixels = noise(400, 500, {"grey": 1, "own alpha": 4}.get(source, 3))
    if source == "own alpha":
        pixels[..., 3] = block(rows=(50, 300), columns=(150, 400))
    data = encoded(pixels) if source != "16 bits" else deep(pixels)
    finish = replace(wanted, geometry=Geometry(canvas=(120, 100), fill=0.8), **OWN)
    matte = Matte(block(rows=(100, 300), columns=(100, 300)))
    [made] = module.finish(data, matte, [finish], LIMITS)
    image = opened(made.data)
    assert image.size == (made.width, made.height) == (120, 100)
    shown = np.asarray(image.convert("RGBA"))
    mask = shown[..., 0] if wanted.mask_only else shown[..., 3]
    if wanted.backdrop is None or wanted.mask_only:
        broad = 60 if source == "own alpha" else 80
        assert box(mask, 128) == ((120 - broad) // 2, 10, (120 + broad) // 2, 90)
    else:
        assert np.abs(shown[2:8, :, :3].astype(int) - wanted.backdrop).max() <= 1


def deep(pixels):
    from tests.support.pictures import write_png

    return write_png(pixels.astype(np.uint16) * np.uint16(257), 1)


@pytest.mark.parametrize("shape", [(1, 1), (2, 2), (1, 900), (900, 1), (900, 3)])
def test_in_pictures_of_a_few_pixels_specks_go_and_the_subject_stays(shape):
    mask = np.full(shape, 255, np.uint8)
    mask[2:-1, :], mask[:, 2:-1] = 0, 0
    mask[: -(-shape[0] // 2), : -(-shape[1] // 2)] = 255
    subject, kept = find(mask, Geometry(trim=True, specks=0.4))
    assert subject is not None
    assert subject.box[:2] == (0, 0)
    assert kept[0, 0] == 255
    assert kept[-1, -1] == (0 if max(shape) > 2 else 255)
