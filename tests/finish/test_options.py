import json

import pytest

from batch_removebg.errors import SettingsError
from batch_removebg.finish.options import Finish, Geometry
from batch_removebg.imaging.format import parse_colour


@pytest.mark.parametrize(
    ("text", "colour"),
    [
        ("white", (255, 255, 255)),
        (" Black ", (0, 0, 0)),
        ("#1af", (17, 170, 255)),
        ("#102030", (16, 32, 48)),
        ("rgb(1, 2, 3)", (1, 2, 3)),
        ("1,2,3", (1, 2, 3)),
        ("1 2 3", (1, 2, 3)),
        ("(1, 2, 3)", (1, 2, 3)),
        ("hsl(120,100%,50%)", (0, 255, 0)),
    ],
)
def test_a_colour_is_read_in_every_accepted_spelling(text, colour):
    assert parse_colour(text) == colour


@pytest.mark.parametrize("text", ["", "whitish", "#12", "#12345678", "#1234", "rgb(300,0,0)", "1,2", "1,2,300"])
def test_what_is_not_an_opaque_colour_is_refused_with_the_accepted_spellings(text):
    with pytest.raises(SettingsError, match=r"is not a colour.*#rrggbb"):
        parse_colour(text)


@pytest.mark.parametrize(
    ("name", "ending"), [("png", "png"), ("webp", "webp"), ("jpeg", "jpg"), ("tiff", "tiff"), ("avif", "avif")]
)
def test_each_format_has_its_extension(name, ending):
    assert Finish(name).extension == ending


def test_only_jpeg_needs_a_backdrop_and_takes_white():
    assert [Finish(name).backdrop for name in ("png", "webp", "jpeg", "tiff")] == [None, None, (255, 255, 255), None]
    assert Finish("jpeg", background=(1, 2, 3)).backdrop == (1, 2, 3)


def test_what_came_after_the_first_ledgers_is_told_only_where_it_is_used():
    plain = Finish().look()
    assert not plain.keys() & {"geometry", "bytes_most", "bytes_least", "quality_least", "side_least"}
    looks = [plain, Finish(bytes_most=9).look(), *(Finish(geometry=Geometry(fill=fill)).look() for fill in (0.8, 0.9))]
    assert len({json.dumps(look, sort_keys=True) for look in looks}) == 4


def test_a_picture_that_was_laid_out_is_not_as_good_as_its_cutout():
    assert Finish().as_cut
    assert not Finish(geometry=Geometry(trim=True)).as_cut


def test_a_preset_is_told_by_its_name_wherever_its_file_lies() -> None:
    looks = [Finish(preset="mine", preset_file=file).look() for file in ("a/mine.toml", "b/mine.toml")]
    assert looks[0] == looks[1] == Finish().look() | {"preset": "mine"}
