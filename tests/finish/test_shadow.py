import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from batch_removebg.errors import SettingsError
from batch_removebg.finish.cut import Cut
from batch_removebg.finish.facts import measure_file
from batch_removebg.finish.finish import compose
from batch_removebg.finish.geometry import placed
from batch_removebg.finish.kinds import SHADOWS, Shadow, parse_shadow
from batch_removebg.finish.options import Finish, Geometry
from batch_removebg.finish.shadow import shade
from batch_removebg.finish.weight import weighed
from batch_removebg.imaging.arrays import Picture
from batch_removebg.imaging.colour import srgb_profile
from batch_removebg.imaging.format import Limits

GOLDEN = Path(__file__).parent / "golden"
WHITE = (255, 255, 255)
EVERY = pytest.mark.parametrize("kind", SHADOWS)


def jug(side):
    """A jug with a handle on a white ground's worth of room: a cut of `side` pixels squared, drawn 4 times as large."""
    large = Image.new("L", (4 * side, 4 * side))
    draw, unit = ImageDraw.Draw(large), 4 * side / 100
    draw.rounded_rectangle([40 * unit, 20 * unit, 60 * unit, 80 * unit], 3 * unit, fill=255)
    draw.arc([50 * unit, 35 * unit, 72 * unit, 60 * unit], -100, 100, fill=255, width=round(3 * unit))
    mask = np.asarray(large.reduce(4))
    pixels = np.empty((side, side, 3), np.uint8)
    pixels[...] = 200, 90, 40
    pixels[: side // 2] = 40, 90, 200
    return Cut(Picture(pixels), mask)


def box(height=60, width=40, at=(20, 30), size=(100, 100), dtype=np.uint8):
    mask = np.zeros(size, dtype)
    mask[at[0] : at[0] + height, at[1] : at[1] + width] = np.iinfo(dtype).max
    return Cut(Picture(np.full((*size, 3), np.iinfo(dtype).max // 2, dtype)), mask)


def shadowed(cut, text, background=WHITE, **finish):
    return compose(cut, Finish(background=background, shadow=parse_shadow(text), **finish))


def layer(cut, text, **how):
    """The shadow's opacity over the whole grown canvas, with the grown mask."""
    grown, found = shade(cut, parse_shadow(text), **how)
    return found.mask / np.float32(np.iinfo(found.mask.dtype).max), grown


def centre(plane):
    return [
        float(np.average(np.arange(side), weights=plane.sum(axis=1 - axis))) for axis, side in enumerate(plane.shape)
    ]


@EVERY
def test_a_picture_of_3000_pixels_has_the_shadow_that_one_of_800_has(kind):
    small, large = (Image.fromarray(layer(jug(side), kind)[0] * 255) for side in (800, 3000))
    assert np.allclose(np.array(large.size) * 800 / 3000, small.size, atol=4)
    # From the corner that they have in common: nothing grows to the left or the top.
    common = [min(side * 3000 / 800, other) for side, other in zip(small.size, large.size, strict=True)]
    off = abs(np.asarray(small) - np.asarray(large.resize(small.size, Image.Resampling.BOX, box=(0, 0, *common))))
    assert off.mean() < 0.05
    assert np.quantile(off, 0.999) <= (6 if kind == "reflection" else 2)  # that has the subject's own edges


@EVERY
@pytest.mark.parametrize("background", [None, WHITE, (10, 120, 230)])
def test_the_subject_is_over_its_shadow_bit_for_bit(kind, background):
    cut = jug(200)
    before = cut.picture.pixels.copy(), cut.mask.copy()
    made = shadowed(cut, kind, background)
    grown, _ = shade(cut, parse_shadow(kind))
    opaque = grown.mask == 255
    assert np.array_equal(made.pixels[opaque], grown.picture.pixels[opaque])
    assert made.alpha is None or (made.alpha[opaque] == 255).all()
    assert np.array_equal(before[0], cut.picture.pixels)
    assert np.array_equal(before[1], cut.mask)


@EVERY
def test_a_transparent_picture_looks_on_white_like_one_that_was_made_on_white(kind):
    clear, white = shadowed(jug(200), kind, None), shadowed(jug(200), kind)
    alpha = clear.alpha[..., None] / 255
    assert abs(clear.pixels * alpha + 255 * (1 - alpha) - white.pixels).max() <= 2
    opacity, grown = layer(jug(200), kind)
    assert abs(clear.alpha - 255 * (1 - (1 - grown.mask / 255) * (1 - opacity))).max() <= 0.51


@pytest.mark.parametrize(("ground", "off"), [(255, 1), (128, 2), (40, 3)])
def test_half_a_shadow_leaves_half_of_the_light_exactly_so_on_white(ground, off):
    cut = box(90, 90, at=(300, 300), size=(700, 700))
    made = shadowed(cut, "drop,opacity=0.5,softness=0,length=1,azimuth=0", (ground,) * 3).pixels[435, 345, 0]
    light = ((ground / 255 + 0.055) / 1.055) ** 2.4 / 2
    assert made == pytest.approx(255 * (1.055 * light ** (1 / 2.4) - 0.055), abs=off)


@pytest.mark.parametrize(("azimuth", "down", "right"), [(0, 1, 0), (90, 0, -1), (180, -1, 0), (315, 0.707, 0.707)])
def test_a_drop_shadow_lies_off_away_from_the_light(azimuth, down, right):
    cut = box(200, 100, at=(150, 200), size=(500, 500))
    opacity, grown = layer(cut, f"drop,azimuth={azimuth},length=0.2,softness=0.01", fixed=True)
    moved = np.subtract(centre(opacity), centre(grown.mask))
    assert moved == pytest.approx([40 * down, 40 * right], abs=1)


def test_a_cast_shadow_lies_on_the_floor_away_from_the_light_and_is_longer_the_lower_that_is():
    cut = box(200, 60, at=(400, 800), size=(1200, 1660))
    foot, middle = 600, 829.5
    for azimuth in (0, 45, 135, 180, 215, 270):
        opacity, _ = layer(cut, f"cast,azimuth={azimuth}")
        down, right = np.subtract(centre(opacity * (opacity > 0.1)), (foot, middle))
        turned = math.radians(azimuth)
        assert np.sign(round(right, -1)) == -np.sign(round(math.sin(turned), 1)), azimuth
        assert abs(math.cos(turned)) < 0.1 or np.sign(down) == np.sign(math.cos(turned)), azimuth
    low, high = (centre(layer(cut, f"cast,azimuth=270,elevation={angle}")[0])[1] - middle for angle in (20, 60))
    assert low == pytest.approx(high * math.tan(math.radians(60)) / math.tan(math.radians(20)), rel=0.15)


def test_a_cast_shadow_is_softer_and_fainter_the_farther_off_it_is():
    cut = box(200, 60, at=(100, 100), size=(400, 600))
    opacity, _ = layer(cut, "cast,azimuth=270,elevation=45,falloff=0.8")
    strongest = [opacity[:, at].max() for at in (170, 240, 330)]
    assert strongest == sorted(strongest, reverse=True)
    assert strongest[2] < 0.6 * strongest[0]


def test_a_contact_shadow_is_darkest_where_the_subject_stands_and_soon_gone():
    opacity, _ = layer(jug(800), "contact")
    at = {above: opacity[639 + above, 400] for above in (0, 8, 24, 48, 96)}  # rows below the foot; 480 is the height
    assert at[0] > 0.25
    assert list(at.values()) == sorted(at.values(), reverse=True)
    assert (at[24] < at[0] / 2, at[96] < 0.01) == (True, True)
    assert opacity[:560].max() < 0.01  # nothing at the handle or the sides
    assert opacity.max(axis=1).argmax() == pytest.approx(639, abs=4)


def test_what_stands_farther_off_has_its_own_foot_and_what_hangs_over_has_none():
    near, far = box(200, 80, at=(100, 50), size=(400, 400)), box(100, 80, at=(60, 250), size=(400, 400))
    opacity, _ = layer(Cut(near.picture, near.mask | far.mask), "contact")
    assert (opacity[300, 90] > 0.3, opacity[160, 290] > 0.3, opacity[300, 290] < 0.05) == (True, True, True)
    held = box(20, 400, at=(100, 50), size=(400, 500))  # a board on the first one's head
    near = box(200, 80, at=(100, 50), size=(400, 500))
    opacity, _ = layer(Cut(near.picture, near.mask | held.mask), "contact")
    assert (opacity[300, 90] > 0.3, opacity[121:140, 220:440].max() < 0.02) == (True, True)


def test_what_rises_steeply_from_the_floor_is_the_subjects_side():
    drawn = Image.new("L", (300, 400))
    ImageDraw.Draw(drawn).polygon([(100, 50), (230, 50), (220, 240), (200, 300), (100, 300)], fill=255)  # 3 to 1
    opacity, _ = layer(Cut(Picture(np.zeros((400, 300, 3), np.uint8)), np.asarray(drawn)), "contact")
    assert (opacity[302, 150] > 0.3, opacity[260, 216] < 0.02) == (True, True)


def test_a_floating_subject_has_a_pool_of_shade_below_its_gap():
    opacity, _ = layer(box(200, 120, at=(50, 100), size=(320, 320)), "float,gap=0.15")
    assert centre(opacity) == pytest.approx([250 + 30, 159.5], abs=1)
    assert opacity[:255].max() < 0.02
    assert (opacity[279] > 0.05).sum() == pytest.approx(0.8 * 120, rel=0.3)


def test_a_reflection_is_the_subject_upside_down_and_fades():
    cut = box(200, 120, at=(50, 100), size=(400, 320))
    cut.picture.pixels[:] = np.arange(400, dtype=np.uint8)[:, None, None]
    _, found = shade(cut, parse_shadow("reflection,opacity=0.5,length=0.5"))
    rows = np.array([255, 280, 330])
    assert found.picture.pixels[rows, 160, 0] == pytest.approx(
        [244, 219, 169], abs=2
    )  # as far above the foot as these below
    assert found.mask[rows, 160] == pytest.approx([0.475 * 255, 0.35 * 255, 0.1 * 255], abs=2)
    assert found.mask[355:].sum() == 0


@pytest.mark.parametrize(("kind", "edges"), [("drop", 2), ("cast", 2), ("reflection", 1)])
def test_the_canvas_grows_for_a_shadow_and_one_that_is_fixed_cuts_it_off_and_both_are_said(kind, edges):
    cut = box(60, 40, at=(40, 60))  # in the lower right corner
    grown, found = shade(cut, parse_shadow(kind))
    assert grown.mask.shape != (100, 100)
    assert grown.picture.pixels.shape[:2] == grown.mask.shape
    note = f"100×100 pixels have grown to {grown.mask.shape[1]}×{grown.mask.shape[0]} for the shadow"
    assert grown.picture.notes == (note,)
    assert not grown.mask[:, 100:].any()
    outermost = found.mask[:, -1].max(), found.mask[-1].max()
    assert sum(0 < value < 128 for value in outermost) >= edges - 1  # no more room than it takes, and all of that
    same, clipped = shade(cut, parse_shadow(kind), fixed=True)
    assert (same.mask.shape, same.picture.notes) == ((100, 100), ("the shadow is cut off by the canvas",))
    assert clipped.mask.shape == (100, 100)


@EVERY
@pytest.mark.parametrize("side", [500, 2000])
def test_on_a_shops_canvas_every_shadow_ends_before_the_frame_and_leaves_that_white(kind, side):
    jugs = jug(800)
    how = Geometry(canvas=(side, side), fill=0.9, enlarge=True)
    cut = placed(jugs, how)
    wanted = Finish("jpeg", background=WHITE, shadow=parse_shadow(kind), geometry=how)
    made, data = weighed(compose(jugs, wanted), wanted)
    assert measure_file(data, Limits(), alpha=cut.mask).values["background"] == "white"
    plain = compose(jugs, Finish("jpeg", background=WHITE, geometry=how))
    assert (made.pixels != plain.pixels).any(), "there is a shadow"


@EVERY
def test_no_shadow_where_there_is_no_subject_and_none_in_a_mask(kind):
    empty = box(0, 0)
    assert shadowed(empty, kind).pixels.tolist() == compose(empty, Finish(background=WHITE)).pixels.tolist()
    faint = Cut(empty.picture, np.full((100, 100), 90, np.uint8))
    assert shade(faint, parse_shadow(kind)) == (faint, None)
    alone = shadowed(box(), kind, mask_only=True)
    assert np.array_equal(alone.pixels, box().mask)
    assert shade(box(), parse_shadow(f"{kind},opacity=0"))[1] is None


@EVERY
@pytest.mark.parametrize(
    ("height", "width", "at", "size"),
    [(1, 1, (5, 5), (11, 11)), (1, 1, (0, 0), (1, 1)), (100, 100, (0, 0), (100, 100)), (2, 3000, (3, 0), (9, 3000))],
)
def test_a_subject_of_any_shape_has_a_shadow_as_large_as_it(kind, height, width, at, size):
    made = shadowed(box(height, width, at, size), kind)
    assert made.pixels.shape[0] <= size[0] + 2 * height + 80
    assert made.pixels.shape[1] <= size[1] + 2 * height + 160


@EVERY
@pytest.mark.parametrize("background", [None, WHITE])
def test_sixteen_bits_and_grey_have_the_same_shadow(kind, background):
    plain = shadowed(box(), kind, background)
    deep = shadowed(box(dtype=np.uint16), kind, background)
    assert deep.pixels.dtype == np.uint16
    shown = np.ones(plain.pixels.shape[:2], bool) if plain.alpha is None else plain.alpha > 9
    assert abs(deep.pixels[shown] / 257 - plain.pixels[shown]).max() <= (2 if background else 14)
    assert plain.alpha is None or abs(deep.alpha / 257 - plain.alpha).max() <= 1
    grey = box()
    grey = shadowed(Cut(Picture(grey.picture.pixels[..., 0]), grey.mask), kind, background)
    assert np.array_equal(grey.pixels, plain.pixels[..., 0])


def test_a_grey_picture_with_a_coloured_shadow_becomes_rgb_with_a_profile():
    grey = Cut(Picture(np.full((100, 100), 90, np.uint8)), box().mask)
    made = shadowed(grey, "drop,colour=#f00,opacity=1,softness=0,length=0.3,azimuth=0", format="webp")
    assert (made.pixels.shape[2], made.icc) == (3, srgb_profile())
    assert made.pixels[92, 50].tolist() == [255, 0, 0]


@EVERY
def test_the_shadow_is_the_one_that_was_looked_at(kind):
    made = Image.fromarray(shadowed(jug(400), kind).pixels).resize((96, 96), Image.Resampling.BOX)
    with Image.open(GOLDEN / f"{kind}.png") as golden:
        off = abs(np.asarray(made).astype(int) - np.asarray(golden))
    assert (off.mean() < 0.5, off.max() <= 12) == (True, True)


def test_a_shadow_is_read_with_what_differs_from_its_defaults():
    assert parse_shadow("none") is None
    assert parse_shadow("Drop") == Shadow("drop", **SHADOWS["drop"])
    text = "cast, opacity=.25,azimuth=-30, colour=#102030"
    wanted = {**SHADOWS["cast"], "opacity": 0.25, "azimuth": -30, "colour": (16, 32, 48)}
    assert parse_shadow(text) == Shadow("cast", **wanted)
    assert SHADOWS["cast"]["azimuth"], SHADOWS["cast"]["elevation"] == (215, 45)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "'' is no shadow: give none, drop, contact, cast, float, reflection"),
        ("dorp", "'dorp' is no shadow, did you mean drop?: give none"),
        ("none,opacity=1", "none takes nothing: leave opacity=1 out, or name a kind: drop, contact, cast"),
        ("drop,opactiy=1", "'opactiy' is nothing that drop takes, did you mean opacity?: opacity, softness, length"),
        ("contact,azimuth=90", "'azimuth' is nothing that contact takes: opacity, softness, colour"),
        ("reflection,colour=red", "'colour' is nothing that reflection takes: opacity, length, gap"),
        ("drop,opacity=40", "opacity=40: give a number from 0 to 1"),
        ("drop,opacity", "opacity=: give a number from 0 to 1"),
        ("drop,opacity=nan", "opacity=nan: give a number from 0 to 1"),
        ("cast,elevation=0", "elevation=0: give a number from 20 to 90"),
        ("drop,colour=reddish", "'reddish' is not a colour"),
    ],
)
def test_what_is_no_shadow_is_refused_with_what_is_meant(text, message):
    with pytest.raises(SettingsError) as error:
        parse_shadow(text)
    assert str(error.value).startswith(message)
