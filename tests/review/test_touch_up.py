"""Strokes and blobs change exactly the pixels that they say, and no others."""

from __future__ import annotations

import io
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from batch_removebg.errors import OutputBroken, SettingsError
from batch_removebg.finish.finish import finish
from batch_removebg.finish.options import Finish
from batch_removebg.imaging.format import Limits
from batch_removebg.matting.matte import Alpha, decode_matte
from batch_removebg.model import Matte
from batch_removebg.review.touch_up import (
    Blob,
    Operation,
    Stroke,
    alpha_at_full_size,
    applied,
    operations_of,
    own_alpha,
    touched_up,
)
from tests.support.doubles import cutout, encoded, photo

EMPTY, FULL = np.zeros((9, 9), np.uint8), np.full((9, 9), 255, np.uint8)
MIDDLE = (4.5, 4.5)


def stroke(*points: tuple[float, float], keep: bool = True, size: float = 5, hardness: float = 1) -> Stroke:
    return Stroke(keep=keep, size=size, hardness=hardness, points=points or (MIDDLE,))


def after(alpha: Alpha, *operations: Operation) -> list[list[int]]:
    found: list[list[int]] = applied(alpha, operations).tolist()
    return found


def test_a_hard_dot_is_a_disc_with_a_rim_of_one_pixel() -> None:
    dot = np.array(after(EMPTY, stroke()))
    assert dot[2:7, 2:7].tolist() == [
        [44, 195, 255, 195, 44],
        [195, 255, 255, 255, 195],
        [255, 255, 255, 255, 255],
        [195, 255, 255, 255, 195],
        [44, 195, 255, 195, 44],
    ]
    assert dot.sum() == dot[2:7, 2:7].sum()


def test_a_soft_dot_falls_off_as_a_cosine_from_its_centre_to_its_rim() -> None:
    row = after(EMPTY, stroke(size=8, hardness=0))[4]
    assert row == [0, *(round(127.5 * (1 + math.cos(math.pi * d / 4))) for d in (3, 2, 1, 0, 1, 2, 3)), 0]


def test_half_hardness_leaves_the_inner_half_whole() -> None:
    assert after(EMPTY, stroke(size=8, hardness=0.5))[4] == [0, 128, 255, 255, 255, 255, 255, 128, 0]


def test_a_line_is_as_wide_as_its_disc_and_crossing_itself_does_not_build_up() -> None:
    line = stroke((1.5, 4.5), (7.5, 4.5), size=3)
    rows = after(EMPTY, line)
    assert rows[3:6] == [[149, *[255] * 7, 149], [255] * 9, [149, *[255] * 7, 149]]
    soft = stroke((1.5, 4.5), (7.5, 4.5), size=6, hardness=0)
    back = stroke((1.5, 4.5), (7.5, 4.5), (1.5, 4.5), (4.5, 4.5), size=6, hardness=0)
    assert after(EMPTY, soft) == after(EMPTY, back)


def test_erasing_is_keeping_upside_down_and_the_later_stroke_wins() -> None:
    keep, erase = stroke(hardness=0), stroke(hardness=0, keep=False)
    assert after(FULL, erase) == (255 - np.array(after(EMPTY, keep))).tolist()
    whole, gone = stroke(size=40), stroke(size=40, keep=False)
    assert (after(EMPTY, whole, gone), after(EMPTY, gone, whole)) == (EMPTY.tolist(), FULL.tolist())


def test_a_stroke_only_raises_what_it_keeps_and_only_lowers_what_it_erases() -> None:
    some = np.full((9, 9), 200, np.uint8)
    assert np.array(after(some, stroke(hardness=0))).min() == 200
    assert np.array(after(some, stroke(hardness=0, keep=False))).max() == 200


def test_strokes_leave_the_picture_and_come_back() -> None:
    assert after(EMPTY, stroke((-50, -50), (-20, 60))) == EMPTY.tolist()
    corner = np.array(after(EMPTY, stroke((0, 0), size=4)))
    assert (corner[:2, :2].tolist(), corner.sum()) == ([[255, 234], [234, 97]], 255 + 234 + 234 + 97)


@given(
    st.lists(st.tuples(st.floats(-30, 330), st.floats(-30, 230)), min_size=1, max_size=8),
    st.floats(1, 180),
    st.floats(0, 1),
)
def test_tiles_give_what_every_pixel_by_itself_would(
    points: list[tuple[float, float]], size: float, hardness: float
) -> None:
    rows, columns = np.mgrid[:200, :300] + 0.5
    nearest = np.full((200, 300), np.inf)
    for (ax, ay), (bx, by) in zip(points, points[1:] or points, strict=False):
        long = (bx - ax) ** 2 + (by - ay) ** 2
        part = (((columns - ax) * (bx - ax) + (rows - ay) * (by - ay)) / long).clip(0, 1) if long else 0
        nearest = np.minimum(nearest, np.hypot(columns - ax - part * (bx - ax), rows - ay - part * (by - ay)))
    soft = size / 2 * (1 - hardness)
    coverage = (size / 2 + 0.5 - nearest).clip(0, 1)
    if soft >= 1:
        coverage = (1 + np.cos(np.pi * ((nearest - size / 2 + soft) / soft).clip(0, 1))) / 2
    made = applied(np.zeros((200, 300), np.uint8), [stroke(*points, size=size, hardness=hardness)])
    assert np.abs(made - (coverage * 255)).max() <= 0.51


def two() -> Alpha:
    """Two blobs whose soft edges meet in column 5, and dust that belongs to none."""
    alpha = np.zeros((5, 14), np.uint8)
    alpha[1:4, 1:11] = 60
    alpha[2, 2:4], alpha[2, 7:10] = 255, 200
    alpha[0, 13] = 9
    return alpha


def test_a_dropped_blob_goes_with_its_soft_edge_and_leaves_the_others() -> None:
    rows = after(two(), Blob(only=False, at=(2.2, 2.9)))
    assert rows[2] == [0, 0, 0, 0, 0, 0, 60, 200, 200, 200, 60, 0, 0, 0]
    assert (rows[1][:7], rows[0][13]) == ([0, 0, 0, 0, 0, 0, 60], 9)


def test_of_the_only_blob_its_soft_edge_stays_and_nothing_else() -> None:
    rows = after(two(), Blob(only=True, at=(8, 2)))
    assert rows[2] == [0, 0, 0, 0, 0, 60, 60, 200, 200, 200, 60, 0, 0, 0]
    assert (rows[1], rows[0]) == ([0, 0, 0, 0, 0, 60, 60, 60, 60, 60, 60, 0, 0, 0], [0] * 14)
    assert after(np.roll(two(), 0), Blob(only=True, at=(8, 2)), Blob(only=False, at=(8, 2))) == [[0] * 14] * 5


@pytest.mark.parametrize("at", [(5, 2), (-1, 0), (14, 0), (0, 5)])
def test_where_there_is_no_blob_nothing_is_guessed(at: tuple[int, int]) -> None:
    with pytest.raises(SettingsError, match="nothing of the subject"):
        applied(two(), [Blob(only=True, at=at)])


def test_what_a_browser_sends_is_read_and_nothing_else_is() -> None:
    line = {"kind": "stroke", "keep": True, "size": 5, "hardness": 1, "points": [[4.5, 4.5]]}
    blob = {"kind": "blob", "only": False, "at": [2, 1]}
    assert operations_of([line, blob]) == (stroke(), Blob(only=False, at=(2, 1)))
    assert operations_of([]) == ()
    bad: list[object] = [None, "x", [{}], [line | {"size": 0}], [line | {"size": 2001}], [line | {"hardness": 2}]]
    bad += [[line | {"points": []}], [line | {"points": [[1]]}], [line | {"points": [[1e9, 0]]}], [line | {"more": 1}]]
    for given_ in (*bad, [blob] * 501, [line | {"points": [[0, 0]] * 5001}] * 2, [blob | {"at": [None, 1]}]):
        with pytest.raises(SettingsError, match=r"makes no sense|at most, then go on"):
            operations_of(given_)


def test_the_alpha_at_full_size_is_the_one_that_pictures_have() -> None:
    data = photo(64, 48)
    small = np.tile(np.linspace(0, 255, 16, dtype=np.uint8), (12, 1))
    for engine in (None, "a double"):
        whole = alpha_at_full_size(data, Matte(small, engine=engine), Limits())
        [made] = finish(data, Matte(small, engine=engine), [Finish(clean_below=0)], Limits())
        with Image.open(io.BytesIO(made.data)) as picture:
            assert np.array_equal(np.asarray(picture.getchannel("A")), whole.alpha)
    same = np.full((48, 64), 7, np.uint8)
    assert np.array_equal(alpha_at_full_size(data, Matte(same), Limits()).alpha, same)


def test_a_turned_photo_has_its_alpha_upright() -> None:
    image, exif = Image.new("RGB", (30, 20), (9, 9, 9)), Image.Exif()
    exif[0x0112] = 6
    file = io.BytesIO()
    image.save(file, "JPEG", exif=exif)
    whole = alpha_at_full_size(file.getvalue(), Matte(np.full((3, 2), 255, np.uint8)), Limits())
    assert whole.alpha.shape == (30, 20)


def test_an_edit_goes_on_from_the_one_before_or_from_the_cutouts_own_alpha() -> None:
    def alpha(kept: bytes | None, data: bytes, *operations: Operation) -> bytes:
        return touched_up(kept, data, None, Limits(), "auto", operations)

    first = alpha(None, cutout(9, 9, 50), stroke(size=1))
    assert decode_matte(first).alpha[4].tolist() == [50, 50, 50, 50, 255, 50, 50, 50, 50]
    second = alpha(first, b"", stroke((0.5, 4.5), size=1))
    assert decode_matte(second).alpha[4].tolist() == [255, 50, 50, 50, 255, 50, 50, 50, 50]
    with pytest.raises(OutputBroken):
        own_alpha(encoded(Image.new("RGB", (3, 3)), "PNG"), Limits())
