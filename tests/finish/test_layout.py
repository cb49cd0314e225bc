"""Where a subject lies on its canvas, in numbers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch_removebg.errors import SettingsError
from batch_removebg.finish.layout import Subject, largest, layout
from batch_removebg.finish.measures import Length, parse_aspect, parse_canvas, parse_margin, parse_share
from batch_removebg.finish.options import Geometry

PHOTO = (1000, 800)


def subject(left, top, right, bottom, touches=(), centroid=None):
    return Subject((left, top, right, bottom), centroid or ((left + right) / 2, (top + bottom) / 2), touches)


TALL = subject(300, 100, 500, 700)  # 200 by 600


def laid(what, **wanted):
    found = layout(what, PHOTO, Geometry(**wanted))
    return found.canvas, found.at, found.size


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ({"trim": True}, ((200, 600), (0, 0), (200, 600))),
        ({"margin": parse_margin("10px 20")}, ((240, 620), (20, 10), (200, 600))),
        ({"margin": parse_margin("1 2 3 4")}, ((206, 604), (4, 1), (200, 600))),
        ({"margin": parse_margin("10%")}, ((250, 750), (25, 75), (200, 600))),
        ({"fill": 0.8}, ((250, 750), (25, 75), (200, 600))),
        ({"aspect": (1, 1)}, ((600, 600), (200, 0), (200, 600))),
        ({"aspect": (3, 4), "fill": 0.75}, ((600, 800), (200, 100), (200, 600))),
        ({"aspect": (4, 1)}, ((2400, 600), (1100, 0), (200, 600))),
        ({"canvas": (300, 300)}, ((300, 300), (100, 0), (100, 300))),
        ({"canvas": (300, 300), "margin": parse_margin("0 0 10% 0")}, ((300, 300), (105, 0), (90, 270))),
        ({"canvas": (400, 400), "fill": 0.75}, ((400, 400), (150, 50), (100, 300))),
        ({"canvas": (400, 400), "fill": 0.75, "align": "bottom"}, ((400, 400), (150, 50), (100, 300))),
        ({"canvas": (400, 400), "fill": 0.9, "margin": parse_margin("50px")}, ((400, 400), (150, 50), (100, 300))),
        ({"canvas": (800, 800)}, ((800, 800), (300, 100), (200, 600))),
        ({"canvas": (800, 800), "enlarge": True}, ((800, 800), (267, 0), (267, 800))),
        ({"canvas": (800, 800), "align": "bottom"}, ((800, 800), (300, 200), (200, 600))),
        ({"canvas": (800, 800), "scale": 0.5}, ((800, 800), (350, 250), (100, 300))),
        ({"canvas": (60, 60), "scale": 0.5}, ((60, 60), (20, 0), (20, 60))),
        ({"scale": 0.5}, ((100, 300), (0, 0), (100, 300))),
    ],
)
def test_canvas_and_box_are_what_was_asked_for(wanted, expected):
    assert laid(TALL, **wanted) == expected


def test_the_side_that_takes_most_of_its_canvas_has_the_fill():
    wide = subject(0, 0, 1000, 950)
    assert laid(wide, canvas=(800, 400), fill=0.5) == ((800, 400), (295, 100), (211, 200))


def test_subjects_of_any_height_stand_on_one_base_line():
    found = [
        layout(subject(0, 0, 500, high), PHOTO, Geometry(canvas=(333, 333), fill=0.7, align="bottom"))
        for high in range(20, 500, 7)
    ]
    assert {one.at[1] + one.size[1] for one in found} == {283}


def test_by_centroid_the_mean_of_the_alpha_is_in_the_middle_as_far_as_there_is_room():
    heavy = subject(100, 100, 300, 300, centroid=(250, 200))
    assert laid(heavy, canvas=(400, 400), align="centroid")[1] == (50, 100)
    assert laid(heavy, canvas=(220, 400), align="centroid")[1] == (0, 100)


@pytest.mark.parametrize(
    ("touches", "wanted", "at", "size"),
    [
        (("bottom",), {"margin": parse_margin("10%")}, (140, 40), (120, 360)),
        (("left",), {"fill": 0.5}, (0, 100), (67, 200)),
        (("right", "top"), {"fill": 0.5, "align": "bottom"}, (333, 0), (67, 200)),
        (("top", "bottom"), {"fill": 0.5}, (134, 0), (133, 400)),
        (("top", "right", "bottom", "left"), {"margin": parse_margin("20%")}, (0, 0), (133, 400)),
    ],
)  # fmt: skip
def test_a_side_that_the_photo_cuts_off_lies_at_the_canvas_edge_and_is_flagged(touches, wanted, at, size):
    found = layout(TALL._replace(touches=touches), PHOTO, Geometry(canvas=(400, 400), **wanted))
    assert (found.at, found.size, found.flags) == (at, size, ("cut-off",))
    assert ", ".join(touches) in found.notes[0]


@pytest.mark.parametrize(
    ("touches", "at", "said"),
    [
        (("left", "right"), (0, 100), "it lies at the left edge, not at the right, where the cut is seen"),
        (("top", "bottom"), (300, 0), "it lies at the top edge, not at the bottom, where the cut is seen"),
    ],
)
def test_a_subject_that_is_cut_off_on_opposite_sides_lies_at_the_first_and_the_other_is_named(touches, at, said):
    found = layout(TALL._replace(touches=touches), PHOTO, Geometry(canvas=(800, 800)))
    assert (found.at, found.flags[0]) == (at, "cut-off")
    assert found.notes[0] == f"the photo's frame cuts the subject off ({', '.join(touches)}): {said}"


def test_trimmed_alone_nothing_is_moved_away_from_a_cut_and_nothing_flagged():
    assert layout(TALL._replace(touches=("left",)), PHOTO, Geometry(trim=True)).flags == ()


def test_enlarging_is_refused_and_said_or_allowed_and_said():
    wanted = {"canvas": (2000, 2000), "fill": 0.85}
    refused, allowed = (layout(TALL, PHOTO, Geometry(**wanted, enlarge=enlarge)) for enlarge in (False, True))
    assert (refused.size, refused.flags) == ((200, 600), ("small",))
    assert refused.notes == ("source too small: fill 30% instead of 85%; --enlarge allows it",)
    assert (allowed.size, allowed.flags, allowed.notes) == ((567, 1700), (), ("enlarged 2.83 ×",))


@pytest.mark.parametrize(
    ("least", "canvas", "size", "flags"),
    [
        (500, (750, 750), (200, 600), ()),
        (1000, (1000, 1000), (200, 600), ("small",)),
        (2000, (2000, 2000), (200, 600), ("small",)),
    ],
)
def test_a_shops_canvas_shrinks_for_a_small_source_as_far_as_the_shop_allows(least, canvas, size, flags):
    found = layout(TALL, PHOTO, Geometry(canvas=(2000, 2000), fill=0.8, canvas_least=least))
    assert (found.canvas, found.size, found.flags, found.factor) == (canvas, size, flags, 1.0)
    said = f"source too small: made {canvas[0]}x{canvas[1]} instead of 2000x2000; --enlarge allows it"
    assert (said in found.notes) == (canvas != (2000, 2000))


def test_without_a_subject_there_is_the_canvas_alone():
    found = layout(None, PHOTO, Geometry(canvas=(300, 200), fill=0.8, enlarge=True))
    assert (found.canvas, found.size, found.flags) == ((300, 200), (0, 0), ("empty",))
    assert layout(None, PHOTO, Geometry(trim=True)).canvas == PHOTO


def test_a_subject_of_one_pixel_is_not_blown_up():
    assert laid(subject(7, 7, 8, 8), canvas=(1000, 1000), fill=0.85) == ((1000, 1000), (500, 500), (1, 1))


SIDES = st.integers(1, 6000)
SHARE = st.floats(0, 0.4)


@given(st.tuples(SIDES, SIDES), st.tuples(SIDES, SIDES), st.floats(0.05, 1), st.sampled_from(["centre", "bottom"]))
def test_a_subject_fills_its_canvas_to_a_pixel_whatever_their_sizes(size, canvas, fill, align):
    found = layout(subject(0, 0, *size), size, Geometry(canvas=canvas, fill=fill, align=align, enlarge=True))
    off = [fill * side - length for side, length in zip(canvas, found.size, strict=True)]
    assert -1 < min(off) <= 1
    assert all(at >= 0 and at + length <= side for at, length, side in zip(found.at, found.size, canvas, strict=True))


@given(st.tuples(SIDES, SIDES), st.tuples(SHARE, SHARE, SHARE, SHARE), st.sampled_from([None, (1, 1), (4, 3)]), SHARE)
def test_margins_are_free_to_a_pixel_on_a_canvas_that_grows_for_them(size, shares, aspect, empty):
    margin = tuple(Length(3, share) for share in shares)
    found = layout(subject(0, 0, *size), size, Geometry(margin=margin, aspect=aspect, fill=1 - empty))
    assert found.size == size
    (width, height), (left, top) = found.canvas, found.at
    free = top, width - left - size[0], height - top - size[1], left
    for one, length, side in zip(free, margin, (height, width, height, width), strict=True):
        assert one > length.of(side) - 1.5


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ({"canvas": (200, 200), "aspect": (1, 1)}, "--canvas and --aspect: give one"),
        ({"canvas": (200, 200), "margin": parse_margin("100px")}, "--margin leaves nothing of --canvas 200x200"),
        ({"canvas": (200, 30), "margin": parse_margin("0 0 31px 0")}, "--margin leaves nothing of --canvas 200x30"),
        ({"margin": parse_margin("0 50%")}, "--margin leaves nothing of the picture"),
    ],
)
def test_what_contradicts_itself_is_refused(wanted, message):
    with pytest.raises(SettingsError, match=message):
        Geometry(**wanted)


@pytest.mark.parametrize(
    "wanted", [{"canvas": (9, 9)}, {"fill": 0.5}, {"align": "bottom"}, {"margin": parse_margin("1")}]
)
def test_a_place_for_the_subject_means_that_it_is_trimmed(wanted):
    assert Geometry(**wanted).trim
    assert not Geometry(enlarge=True).trim


def test_the_largest_picture_that_may_come_is_known_before_the_subject_is():
    assert largest(PHOTO, Geometry()) == PHOTO
    assert largest(PHOTO, Geometry(canvas=(9, 9))) == (9, 9)
    assert largest(PHOTO, Geometry(fill=0.1)) == (10_000, 8_000)


def test_lengths_are_read_in_every_spelling():
    assert parse_margin("20px") == parse_margin("20") == (Length(20),) * 4
    assert parse_margin("5%, 10") == (Length(share=0.05), Length(10), Length(share=0.05), Length(10))
    assert parse_canvas("2000x1500") == parse_canvas("2000×1500px") == (2000, 1500)
    assert (parse_aspect("3:4"), parse_aspect("1/1.44")) == ((3, 4), (1, 1.44))
    assert parse_share("85%", 0.01, 1) == parse_share("0.85", 0.01, 1) == parse_share(".85", 0.01, 1) == 0.85


@pytest.mark.parametrize(
    ("read", "text"),
    [(parse_margin, bad) for bad in ("", "-1px", "1 2 3", "5 %", "100%", "1em", "1 2 3 4 5")]
    + [(parse_canvas, bad) for bad in ("2000", "0x5", "5x-5", "1.5x2", "2000 2000")]
    + [(parse_aspect, bad) for bad in ("1", "0:1", "1:0", "a:b", "100:1")]
    + [(lambda text: parse_share(text, 0.01, 1), bad) for bad in ("110%", "1.1", "0", "-5%", "%", "1e9", "nan")],
)
def test_what_is_no_length_is_refused_with_what_to_write(read, text):
    with pytest.raises(SettingsError, match=r"write|give 1% to 100%"):
        read(text)
