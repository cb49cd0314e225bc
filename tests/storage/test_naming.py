from __future__ import annotations

import hashlib
import itertools
import re
import unicodedata
from pathlib import PurePosixPath

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batch_removebg.errors import SettingsError, SourceError
from batch_removebg.hashing import hash64, hash64_all
from batch_removebg.model import Item
from batch_removebg.storage import naming
from batch_removebg.storage.naming import check_template, render, safe_name, without_suffix
from tests.support.oracle import namer


def item(item_id: str, *, output: str | None = None, **meta: object) -> Item:
    return Item(item_id, item_id, "test", output=output, meta=meta)


def hashed(name: str, item_id: str) -> str:
    return f"{name}-{hashlib.sha256(item_id.encode()).hexdigest()[:8]}"


def caseless(name: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", name).casefold())


HOSTILE = st.lists(
    st.one_of(
        st.sampled_from(
            ["..", ".", "/", "\\", "C:", "CON", "nul.txt", "com1", ".batch-removebg", "LEDGER.jsonl", "results.json"]
        ),
        st.sampled_from(
            [" ", ". ", "\0", "\n", "\u00e9", "e\u0301", "ﬁ", "鞋", "👟", "x" * 300, "鞋" * 90, "\ud83d", ".png"]
        ),
        st.text(st.characters(), max_size=5),
    ),
    max_size=12,
).map("".join)


@settings(max_examples=200, deadline=None)
@given(HOSTILE)
def test_any_text_gives_a_name_that_stays_inside_out(text: str) -> None:
    name = safe_name(text)
    path = PurePosixPath(name)
    assert not path.is_absolute()
    assert str(path) == name
    assert len(name.encode()) <= 1000
    assert caseless(path.parts[0]) not in {".batch-removebg", "ledger.jsonl", "results.json"}
    for part in path.parts:
        assert part not in {"", ".", ".."}
        assert len(part.encode()) <= 200
        assert not set(part) & set('<>:"|?*\\')
        assert not any(unicodedata.category(character) in {"Cc", "Cs"} for character in part)
        assert not part.endswith((".", " "))
        assert part.split(".")[0].rstrip().upper() not in {"CON", "PRN", "AUX", "NUL", "COM1", "LPT9"}
    assert safe_name(name) == name


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("sub/shoe", "sub/shoe"),
        ("../../etc/passwd", "etc/passwd"),
        ("/etc/passwd", "etc/passwd"),
        (r"..\sub\shoe", "sub/shoe"),
        ("C:/shoes/1", "C_/shoes/1"),
        ("a//b/./c", "a/b/c"),
        ("", "_"),
        ("..", "_"),
        ("...", "_"),
        ("shoe. . ", "shoe"),
        ("con", "_con"),
        ("sub/Aux.jpg", "sub/_Aux.jpg"),
        ("LPT1 .x", "_LPT1 .x"),
        ("console", "console"),
        ("com10", "com10"),
        ('a<b>c:d"e|f?g*h', "a_b_c_d_e_f_g_h"),
        ("line\nbreak\0", "line_break_"),
        ("a\ud83db", "a_b"),
        (".batch-removebg/alpha", "_.batch-removebg/alpha"),
        (".Batch-RemoveBG", "_.Batch-RemoveBG"),
        ("sub/.batch-removebg", "sub/.batch-removebg"),
        ("Ledger.jsonl", "_Ledger.jsonl"),
        ("results.json", "_results.json"),
        (".hidden", ".hidden"),
        ("鞋/👟", "鞋/👟"),
    ],
)
def test_what_a_file_system_refuses_is_replaced(text: str, name: str) -> None:
    assert safe_name(text) == name


def test_a_long_component_is_cut_at_a_character_and_told_apart_by_its_hash() -> None:
    text = "x" + "鞋" * 100
    digest = hashlib.sha256(text.encode()).hexdigest()[:8]
    assert safe_name(text) == f"x{'鞋' * 63}-{digest}"
    assert safe_name("a" * 200) == "a" * 200
    assert len(safe_name("a" * 201)) == 200
    assert safe_name("a" * 300 + "1") != safe_name("a" * 300 + "2")


def test_a_long_path_keeps_its_ends() -> None:
    text = "/".join(["folder" * 10] * 40 + ["shoe"])
    name = safe_name(text)
    assert 900 < len(name) <= 1000
    assert name.startswith("folderfolder")
    assert name.split("/")[-2:] == [hashlib.sha256(text.encode()).hexdigest()[:16], "shoe"]


@pytest.mark.parametrize(
    ("path", "stem"),
    [
        ("sub/shoe.jpg", "sub/shoe"),
        ("shoe.JPEG", "shoe"),
        ("SKU-1.2", "SKU-1.2"),
        ("shoe.psd", "shoe"),
        ("shoe.NEF", "shoe"),
        ("shoe.svg", "shoe.svg"),
        ("shoe.jpg.png", "shoe.jpg"),
        (".jpg", ".jpg"),
        ("sub/.png", "sub/.png"),
        ("a.png/shoe", "a.png/shoe"),
    ],
)
def test_only_the_extension_of_a_picture_is_dropped(path: str, stem: str) -> None:
    assert without_suffix(path) == stem


@pytest.mark.parametrize(
    ("template", "item_id", "name"),
    [
        ("{id}", "sub/shoe.jpg", "sub/shoe"),
        ("{name}", "sub/shoe.jpg", "shoe.jpg"),
        ("{parent}/cut-{stem}", "sub/shoe.jpg", "sub/cut-shoe"),
        ("{parent}/{stem}", "shoe.jpg", "shoe"),
        ("{sku}/{stem}{{}}", "shoe.jpg", "A7/shoe{}"),
        ("{size}-{stem}", "shoe.jpg", "42-shoe"),
        ("{none}{stem}", "shoe.jpg", "shoe"),
        ("{up}/{stem}", "shoe.jpg", "shoe"),
        ("{id}", "https://cdn.example/a/b/red%20shoe.jpg?w=2#x", "red shoe"),
        ("{parent}/{stem}", "https://cdn.example/a/b/shoe.jpg", "a/b/shoe"),
        ("{id}", "https://store.example/o/images%2Fshoe.jpg?alt=media", "shoe"),
        ("{id}", "https://cdn.example/a/b/", "b"),
        ("{id}", "https://cdn.example/?id=7", "cdn.example"),
        ("{id}", "s3://shop/a/b%20c#1.jpg", "b%20c#1"),
        ("{parent}/{name}", "gs://shop/a?b/c.jpg?v=2", "a_b/c.jpg_v=2"),
        ("{id}", "http://[broken", "[broken"),
        ("{id}", r"sub\shoe.jpg", "sub/shoe"),
    ],
)
def test_a_template_is_filled_from_the_id_and_the_columns(template: str, item_id: str, name: str) -> None:
    assert render(template, item(item_id, sku="A7", size=42, none=None, up="../..")) == name


def test_an_unknown_field_lists_those_that_exist() -> None:
    with pytest.raises(SettingsError, match=r"\{colour\}, which is unknown; there are: \{id\}, .*\{sku\}, \{stem\}"):
        render("{colour}", item("shoe.jpg", sku="A7"))
    check_template("{sku}")


@pytest.mark.parametrize(
    "template",
    ["", " ", "{", "}", "{id", "{}", "{id!r}", "{id:>9}", "{0.x}", "../{id}", "a/../{id}", "/{id}", r"C:\{id}"],
)
def test_a_malformed_template_is_a_settings_error(template: str) -> None:
    with pytest.raises(SettingsError):  # noqa: PT012  # an unnamed field is found by the first item only
        check_template(template)
        render(template, item("shoe.jpg"))


def test_the_tree_is_kept() -> None:
    assert namer("png").claim(item("sub/shoe.jpg")) == "sub/shoe.png"
    assert namer(".WEBP").claim(item("sub/shoe.jpg")) == "sub/shoe.webp"


@pytest.mark.parametrize(
    ("first", "second"),
    [("a.jpg", "a.png"), ("Shoe.jpg", "shoe.jpg"), ("caf\u00e9.jpg", "cafe\u0301.jpg"), ("./b.jpg", "b.jpg")],
)
def test_items_that_would_meet_get_names_of_their_own(first: str, second: str) -> None:
    claims = namer("png")
    plain = claims.claim(item(first))
    other = claims.claim(item(second))
    assert other == f"{hashed(without_suffix(second), second)}.png"
    assert caseless(plain) != caseless(other)
    assert (claims.claim(item(first)), claims.claim(item(second))) == (plain, other)


def test_a_file_never_takes_the_place_of_a_folder() -> None:
    outer, inner = item("a.png.jpg"), item("a.png/b.jpg")
    claims = namer("png")
    assert claims.claim(outer) == "a.png.png"
    claims = namer("png", "{name}")
    file, below = item("x/a"), item("x/y/b", output="a.png/b.png")
    assert claims.claim(file) == "a.png"
    name = claims.claim(below)
    assert name == f"a.png_b-{hashlib.sha256(below.id.encode()).hexdigest()[:32]}.png"
    claims = namer("png", "{name}")
    assert claims.claim(below) == "a.png/b.png"
    assert claims.claim(file) == f"{hashed('a', 'x/a')}.png"
    assert claims.claim(inner) == "b.jpg.png"


def test_a_resume_repeats_the_names_whatever_the_order() -> None:
    items = [item("a.jpg"), item("a.png"), item("A.webp")]
    first = namer("png")
    naming = {each.id: first.claim(each) for each in items}
    for order in itertools.permutations(items):
        again = namer("png", known=naming.items())
        assert {each.id: again.claim(each, exists=lambda _: True) for each in order} == naming


def test_a_known_name_is_left_where_the_item_is_called_otherwise_now() -> None:
    claims = namer("png", "new/{stem}", known=[("a.jpg", "a.png"), ("b.jpg", "new/c.png")])
    assert claims.claim(item("a.jpg")) == "new/a.png"
    assert claims.claim(item("c.jpg")) == f"{hashed('new/c', 'c.jpg')}.png"


def test_a_foreign_file_is_never_overwritten() -> None:
    shoe = item("shoe.jpg")
    foreign = {"shoe.png"}
    assert namer("png").claim(shoe, exists=foreign.__contains__) == f"{hashed('shoe', 'shoe.jpg')}.png"
    foreign.add(f"{hashed('shoe', 'shoe.jpg')}.png")
    with pytest.raises(SourceError, match="already lies in OUT"):
        namer("png").claim(shoe, exists=foreign.__contains__)


@pytest.mark.parametrize(
    ("output", "name"),
    [("red.tiff", "red.png"), ("sub/red.v2", "sub/red.v2.png"), ("CON.jpg", "_CON.png"), ("./red", "red.png")],
)
def test_the_output_column_names_the_stem(output: str, name: str) -> None:
    assert namer("png", "{stem}").claim(item("shoe.jpg", output=output)) == name


def test_equal_outputs_get_names_of_their_own() -> None:
    claims = namer("png")
    assert claims.claim(item("1", output="red.jpg")) == "red.png"
    assert claims.claim(item("2", output="Red.png")) == f"{hashed('Red', '2')}.png"


def test_ids_that_share_their_eight_digits_still_get_names_of_their_own() -> None:
    # Two ids whose SHA-256 begins with the same eight digits, found by search.
    first, second = "id-10014", "id-22672"
    assert hashed("x", first) == hashed("x", second)
    claims = namer("png", "{parent}/x")
    naming = [claims.claim(item(each)) for each in ("plain", first, second)]
    assert len(set(naming)) == 3


@settings(max_examples=80, deadline=None)
@given(st.lists(HOSTILE, unique=True, max_size=20), st.sampled_from(["{id}", "{stem}", "same", "{parent}/{name}"]))
def test_no_two_items_ever_share_a_name_or_a_folder(ids: list[str], template: str) -> None:
    claims = namer("png", template)
    naming = [caseless(claims.claim(item(each))) for each in ids]
    assert len(set(naming)) == len(naming)
    folders = {str(parent) for name in naming for parent in PurePosixPath(name).parents}
    assert not folders & set(naming)


# What makes names cheap changes nothing

PARTS = [
    "con",
    "NUL ",
    "com1",
    "lpt9x",
    "prn.txt",
    "a",
    "B-2_",
    "x.y",
    "x.png",
    "ledger.jsonl",
    "Results.json",
    "..",
    ".",
]
PARTS += ["", " ", "é", "\\", ":", "\n", ".batch-removebg", "x" * 150, "y" * 151, "z" * 201]


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from(PARTS), max_size=8).map("/".join) | HOSTILE)
def test_a_name_told_at_one_glance_is_the_one_a_close_look_gives(text: str) -> None:
    def found() -> tuple[str, str]:
        return safe_name(text), namer("png").plain(item(text))

    at_one_glance = found()
    with pytest.MonkeyPatch.context() as patch:
        never = re.compile(r"(?!)")
        patch.setattr(naming, "_PLAIN", never)
        patch.setattr(naming, "_WORDS", never)
        assert at_one_glance == found()


@pytest.mark.parametrize("text", ["0012/0012345", "shop/shoe-2", "a", "a/b/c/d/e/f"])
def test_an_ordinary_id_is_told_at_one_glance(text: str) -> None:
    assert naming._WORDS.fullmatch(text)
    assert naming._PLAIN.fullmatch(f"{text}.x")


@given(st.lists(st.text(), max_size=5))
def test_hashes_made_together_are_those_made_one_by_one(texts: list[str]) -> None:
    together = hash64_all([text.encode("utf-8", "surrogatepass") for text in texts])
    assert together == [hash64(text) for text in texts]
