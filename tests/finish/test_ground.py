import hashlib
import pickle

import numpy as np
import pytest
from PIL import Image

from batch_removebg.errors import SettingsError, Verdict
from batch_removebg.finish import ground as module
from batch_removebg.finish.cut import Cut
from batch_removebg.finish.finish import compose
from batch_removebg.finish.ground import backdrop_file
from batch_removebg.finish.kinds import parse_shadow
from batch_removebg.finish.options import Finish
from batch_removebg.imaging.arrays import Picture
from batch_removebg.imaging.colour import srgb_profile
from batch_removebg.imaging.format import Limits
from batch_removebg.run.settings import Settings
from tests.support.pictures import cmyk_profile, encoded, exif, noise, ramp, swapped_profile

RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)


@pytest.fixture(autouse=True)
def _nothing_kept():
    module._decoded.cache_clear()


def stripes(*colours, width=30, height=40):
    """Upright stripes of one width, as an array."""
    return np.repeat(np.array([colours], np.uint8), width, axis=1).repeat(height, axis=0)


def laid(tmp_path, data, mask=None, size=(40, 90), whole=False, **how):
    """A grey subject of a size (height, width) on a background file of these bytes."""
    path = tmp_path / "ground"
    path.write_bytes(data)
    dtype = how.pop("dtype", np.uint8)
    picture = Picture(np.full((*size, 3), np.iinfo(dtype).max // 2, dtype), icc=how.pop("icc", None))
    mask = np.zeros(size, dtype) if mask is None else mask
    file = backdrop_file(path, Limits(), whole=whole)
    return compose(Cut(picture, mask), Finish(background=file, **how))


def test_a_background_picture_of_the_photos_size_is_behind_the_subject_by_the_formula(tmp_path):
    behind, mask = noise(40, 90), ramp(40, 90)
    made = laid(tmp_path, encoded(behind), mask).pixels
    weight = mask[..., None].astype(int)
    assert np.array_equal(made, np.floor((127 * weight + behind.astype(int) * (255 - weight)) / 255 + 0.5))


@pytest.mark.parametrize(
    ("size", "fill", "fit"),
    [
        ((40, 90), {45: GREEN, 2: RED, 87: BLUE}, {45: GREEN, 2: RED, 87: BLUE}),
        ((80, 60), {30: GREEN, 2: GREEN, 57: GREEN}, {30: GREEN, 5: RED, 54: BLUE}),  # cut off; with white above
        ((40, 180), {90: GREEN, 10: RED, 170: BLUE}, {90: GREEN, 2: (255,) * 3, 60: RED, 120: BLUE}),
        ((20, 45), {22: GREEN, 2: RED, 42: BLUE}, {22: GREEN, 2: RED, 42: BLUE}),
    ],
)
def test_a_background_fills_the_picture_or_is_seen_whole_on_white_and_centred(tmp_path, size, fill, fit):
    data = encoded(stripes(RED, GREEN, BLUE))
    for whole, wanted in ((False, fill), (True, fit)):
        made = laid(tmp_path, data, size=size, whole=whole).pixels
        assert made.shape[:2] == size
        assert {at: tuple(made[size[0] // 2, at].tolist()) for at in wanted} == wanted
    assert size != (80, 60) or made[2, 30].tolist() == [255, 255, 255]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_background_is_upright(tmp_path, orientation):
    stored = {6: 1, 8: -1}.get(orientation)  # quarter turns that undo what the tag asks for
    if stored is None:
        size = (40, 30) if orientation > 4 else (30, 40)
        assert laid(tmp_path, encoded(noise(30, 40), exif=exif(orientation)), size=size).pixels.shape[:2] == size
        return
    data = encoded(np.rot90(stripes(RED, GREEN, BLUE), stored), exif=exif(orientation))
    made = laid(tmp_path, data).pixels
    assert [tuple(made[20, at].tolist()) for at in (10, 45, 80)] == [RED, GREEN, BLUE]


def test_a_backgrounds_colours_are_converted_into_the_pictures_own_space(tmp_path):
    swapped = encoded(stripes(RED, GREEN), icc_profile=swapped_profile())  # red and green change places
    made = laid(tmp_path, swapped, size=(40, 60), icc=srgb_profile(), format="webp")
    assert (made.pixels[20, [5, 55]].tolist(), made.icc) == ([list(GREEN), list(RED)], srgb_profile())
    made = laid(tmp_path, encoded(stripes(RED, GREEN)), size=(40, 60), icc=swapped_profile(), colours="keep")
    assert (made.pixels[20, [5, 55]].tolist(), made.icc) == ([list(GREEN), list(RED)], swapped_profile())
    cmyk = encoded(Image.new("CMYK", (60, 40), (255, 0, 0, 0)), "TIFF", icc_profile=cmyk_profile())
    assert abs(laid(tmp_path, cmyk).pixels[20, 20].astype(int) - [0, 255, 0]).max() <= 1


def test_a_background_with_alpha_lies_on_white_and_of_an_animated_one_the_first_frame_is_taken_and_said(
    tmp_path,
):
    clear = np.dstack([stripes(RED, GREEN), np.full((40, 60), 128, np.uint8)])
    assert laid(tmp_path, encoded(clear), size=(40, 60)).pixels[20, 5].tolist() == [255, 127, 127]
    frames = [Image.new("RGB", (60, 40), colour) for colour in (RED, GREEN, BLUE)]
    made = laid(tmp_path, encoded(frames[0], "GIF", save_all=True, append_images=frames[1:]), size=(40, 60))
    assert (made.pixels[20, 5].tolist(), made.notes) == (
        list(RED),
        ("background: animated, first of 3 frames taken",),
    )


def test_sixteen_bits_and_grey_on_a_background_picture(tmp_path):
    behind = noise(40, 90)
    deep = laid(tmp_path, encoded(behind), dtype=np.uint16)
    assert np.array_equal(deep.pixels, behind * np.uint16(257))
    grey = Cut(Picture(np.full((40, 90), 9, np.uint8)), ramp(40, 90))
    made = compose(grey, Finish(background=backdrop_file(tmp_path / "ground", Limits())))
    assert (made.pixels[0, 0].tolist(), made.pixels.shape) == (behind[0, 0].tolist(), (40, 90, 3))


def test_a_shadow_darkens_the_background_picture_under_it(tmp_path):
    mask = np.zeros((200, 200), np.uint8)
    mask[50:120, 80:120] = 255
    data = encoded(np.full((200, 200, 3), 200, np.uint8))
    made = laid(tmp_path, data, mask, (200, 200), shadow=parse_shadow("float")).pixels
    assert (made[60, 100, 0], made[180, 20, 0], made[126, 100, 0] < 180) == (127, 200, True)


def test_a_background_is_decoded_once_for_pictures_of_a_size(tmp_path, monkeypatch):
    calls = []
    monkeypatch.setattr(module, "reduced", lambda *args: calls.append(1) or (noise(40, 90), ()))
    for _ in range(3):
        laid(tmp_path, encoded(noise(4, 9)))
    assert len(calls) == 1
    monkeypatch.setattr(module, "_KEPT", 100)
    module._decoded.cache_clear()
    for _ in range(2):
        laid(tmp_path, encoded(noise(4, 9)))
    assert len(calls) == 3


def test_a_background_that_changes_during_the_run_stops_it(tmp_path):
    path = tmp_path / "ground.png"
    path.write_bytes(encoded(noise(4, 9)))
    finish = pickle.loads(pickle.dumps(Finish(background=backdrop_file(path, Limits()))))  # as it goes to a worker
    cut = Cut(Picture(noise(4, 9)), ramp(4, 9))
    path.write_bytes(encoded(noise(4, 9, seed=2)))
    with pytest.raises(SettingsError, match=r"ground.png has changed since the run began: start it again") as error:
        compose(cut, finish)
    assert error.value.verdict is Verdict.ABORT
    path.unlink()
    with pytest.raises(SettingsError, match=r"ground.png can't be read any more: No such file"):
        compose(cut, finish)


def test_another_content_makes_pictures_anew_and_another_path_does_not(tmp_path):
    looks = []
    for name, seed, whole in (("a", 1, False), ("b", 1, False), ("a", 2, False), ("a", 1, True)):
        (tmp_path / name).write_bytes(encoded(noise(4, 9, seed=seed)))
        looks.append(Finish(background=backdrop_file(tmp_path / name, Limits(), whole=whole)).look())
    assert looks[0] == looks[1]
    assert (looks[0] != looks[2], looks[0] != looks[3]) == (True, True)
    assert looks[2]["background"]["sha256"] == hashlib.sha256(encoded(noise(4, 9, seed=2))).hexdigest()
    assert "shadow" not in Finish().look()
    assert Finish(shadow=parse_shadow("drop")).look() != Finish(shadow=parse_shadow("drop,opacity=0.9")).look()


def test_settings_take_a_colour_or_a_file_and_refuse_what_is_neither_missing_huge_or_no_picture(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "wall.png").write_bytes(encoded(noise(40, 90)))
    (tmp_path / "notes.txt").write_text("white")

    def finish(**given):
        return Settings(out=tmp_path / "out", **given).finish()

    assert finish(background="white").background == (255, 255, 255)
    found = finish(background="wall.png", background_fit="fit", shadow="cast,azimuth=90")
    assert (found.background.path, found.background.whole) == (str(tmp_path / "wall.png"), True)
    assert found.shadow == parse_shadow("cast,azimuth=90")
    for given, message in (
        ({"background": "."}, r"--background: \. is a folder: name a picture in it"),
        ({"background": "wal.png"}, r"--background: 'wal.png' is not a colour: .*; and no picture is at that path"),
        ({"background": "notes.txt"}, r"--background: notes.txt is not a picture \(it starts with b'white'\)"),
        ({"background": "wall.png", "max_pixels": 3000}, r"--background: wall.png has 40×90|90×40 pixels .*max-pixels"),
        ({"shadow": "dorp"}, r"--shadow: 'dorp' is no shadow, did you mean drop\?"),
    ):
        with pytest.raises(SettingsError, match=message):
            finish(**given)
