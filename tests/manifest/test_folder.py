"""What of a folder is taken, what is left out, and how that is said."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from PIL import Image

from batch_removebg.errors import ManifestError
from batch_removebg.imaging.format import STARTS
from batch_removebg.manifest.columns import as_item
from batch_removebg.manifest.folder import Folders, left_out_text
from batch_removebg.manifest.reader import Reading, check, read_rows
from batch_removebg.storage.naming import PICTURE_SUFFIXES, RAW_SUFFIXES, Claims
from tests.support.items import read


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test has a current folder of its own, and no reader of raw files."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("batch_removebg.manifest.folder.TAKEN", PICTURE_SUFFIXES)


def make(*names: str) -> None:
    for name in names:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_bytes(b"")


def taken(*inputs: str, **chosen: object) -> tuple[list[str], dict[str, int]]:
    """Ids of what is taken, and the numbers of what is left out."""
    folders = Folders(**chosen)  # type: ignore[arg-type]
    found = [row.id for row in read_rows(inputs, Reading(folders=folders))]
    return found, {what: count for what, (count, _) in folders.left_out.items()}


def test_every_ending_of_a_readable_format_is_a_pictures() -> None:
    Image.init()
    readable = {ending for ending, name in Image.EXTENSION.items() if name in STARTS}
    assert readable | {".mpo", ".heic", ".heif", ".hif", ".pjpeg"} <= PICTURE_SUFFIXES
    assert not {ending for ending, name in Image.EXTENSION.items() if name not in {*STARTS, "DIB", "MPO"}} & (
        PICTURE_SUFFIXES - {".heic", ".heif", ".hif"}
    )
    make("p/b.HIF", "p/c.psd", "p/d.Jpx", "p/e.pnm")
    assert taken("p") == (["b.HIF", "c.psd", "d.Jpx", "e.pnm"], {})


def test_raw_files_are_taken_where_they_can_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("batch_removebg.manifest.folder.TAKEN", PICTURE_SUFFIXES | RAW_SUFFIXES)
    make("p/a.CR3", "p/b.dng", "p/c.raw")
    assert taken("p") == (["a.CR3", "b.dng"], {".raw": 1})


def test_other_files_are_counted_by_ending_but_for_hidden_ones_and_those_of_systems() -> None:
    make("p/a.jpg", "p/b.CR2", "p/s/c.cr2", "p/d.dng", "p/e.svg", "p/f.txt", "p/README", "p/g.jpg~", "p/.h.cr2")
    make("p/Thumbs.db", "p/desktop.ini", "p/s/.git/i.txt")
    folders = Folders()
    assert [row.id for row in read_rows(["p"], Reading(folders=folders))] == ["a.jpg"]
    assert left_out_text(folders.left_out) == (
        "left out: 2 .cr2, 1 .dng (camera raw files: install the extra `raw`, or develop them to TIFF or JPEG), "
        "1 .svg (not readable here: export them as PNG or TIFF first), "
        f"2 other file(s) such as {folders.left_out['other file(s)'][1]}, 1 .txt"
    )
    assert left_out_text({}) == ""


@pytest.mark.parametrize(
    "name",
    [
        *("@eaDir", "#recycle", "@Recycle", "$RECYCLE.BIN", "RECYCLER", "Trash-1000", "__MACOSX", "#snapshot"),
        *("~snapshot", "lost+found", "files_trashbin", ".Trash-1000", ".@__thumb", ".snapshot", ".zfs"),
    ],
)
def test_bins_thumbnails_and_snapshots_are_read_only_as_inputs(name: str) -> None:
    make("p/a.jpg", f"p/{name}/b.jpg", f"p/s/{name}/c.jpg", f"p/s/{name}/d.cr2", "p/recycle/e.jpg", "p/snapshots/f.jpg")
    said = {} if name.startswith(".") else {name: 2}
    assert taken("p") == (["a.jpg", "recycle/e.jpg", "snapshots/f.jpg"], said)
    assert taken(f"p/{name}") == (["b.jpg"], {})
    assert f"{name}/b.jpg" not in taken("p/*")[0]
    assert taken(f"*/{name}")[0] == ["b.jpg"]


def test_a_folder_with_a_ledger_is_read_only_as_an_input() -> None:
    make("p/a.jpg", "p/old/ledger.jsonl", "p/old/.batch-removebg/index.sqlite", "p/old/a.png", "p/new/ledger.jsonl")
    assert taken("p") == (["a.jpg"], {"folder(s) with a ledger": 1, ".jsonl": 1})
    assert taken("p/old")[0] == ["a.png"]


@pytest.mark.parametrize(
    ("chosen", "found"),
    [
        ({"exclude": ("*.gif",)}, ["a.jpg", "s/b.jpg", "s/t/c.jpg", "t/e.jpg"]),
        ({"exclude": ("t",)}, ["a.jpg", "d.gif", "s/b.jpg"]),
        ({"exclude": ("./t/",)}, ["a.jpg", "d.gif", "s/b.jpg", "s/t/c.jpg"]),
        ({"exclude": ("s/**",)}, ["a.jpg", "d.gif", "t/e.jpg"]),
        ({"exclude": ("A.jpg", "S")}, ["d.gif", "t/e.jpg"]),
        ({"include": ("*.gif", "s/*.jpg")}, ["d.gif", "s/b.jpg"]),
        ({"include": ("t",)}, ["s/t/c.jpg", "t/e.jpg"]),
        ({"include": ("**/t/*",), "exclude": ("s/t",)}, ["t/e.jpg"]),
    ],
)
def test_include_and_exclude_take_globs_relative_to_the_input(chosen: dict[str, object], found: list[str]) -> None:
    make("p/a.jpg", "p/s/b.jpg", "p/s/t/c.jpg", "p/d.gif", "p/t/e.jpg")
    assert taken("p", **chosen) == (found, {})
    assert taken("p/**", **chosen) == ([f"p/{name}" for name in found], {})


def test_include_and_exclude_match_in_any_case() -> None:
    make("p/IMG_1.JPG", "p/S/b.gif", "p/S/c.Jpg")
    assert taken("p", include=("*.jpg",), exclude=("img_*",)) == (["S/c.Jpg"], {})


def test_what_is_excluded_or_not_included_is_not_counted() -> None:
    make("p/a.jpg", "p/b.cr2", "p/c.dng", "p/#recycle/d.jpg")
    assert taken("p", exclude=("*.cr2", "#recycle")) == (["a.jpg"], {".dng": 1})
    assert taken("p/**/*.jpg") == (["p/a.jpg"], {"#recycle": 1})
    with pytest.raises(ManifestError, match="matches no picture"):
        check(["p/**/*.jpg"], Reading(folders=Folders(exclude=("a.*",))))


def link(target: str, name: str) -> None:
    Path(name).parent.mkdir(parents=True, exist_ok=True)
    Path(name).symlink_to(target)


def test_links_out_of_a_folder_are_followed_where_wanted_and_what_is_read_anyway_is_read_once() -> None:
    make("pool/a.jpg", "pool/sub/b.jpg", "p/c.jpg", "p/z/d.jpg", "p/.hidden/e.jpg", "q/f.txt")
    link("../pool/a.jpg", "p/a.jpg")
    link("../pool", "p/pool")
    link("z", "p/inner")
    link(".hidden", "p/shown")
    link("../q/f.txt", "p/f.txt")
    link("gone.jpg", "p/g.jpg")
    nowhere = {"link(s) that lead nowhere": 1, ".txt": 1}
    assert taken("p") == (["c.jpg", "z/d.jpg"], {"link(s) out of the folder": 1, "link(s) to folders": 3, **nowhere})
    found = ["a.jpg", "c.jpg", "pool/a.jpg", "pool/sub/b.jpg", "shown/e.jpg", "z/d.jpg"]
    assert taken("p", follow_links=True) == (found, nowhere)


def test_followed_links_in_circles_end() -> None:
    make("p/a.jpg", "pool/b.jpg", "pool/sub/c.jpg")
    for target, name in (
        (".", "p/self"),
        ("..", "p/up"),
        ("../pool", "p/x"),
        ("../p", "pool/back"),
        ("..", "pool/sub/up"),
    ):
        link(target, name)
    assert taken("p", follow_links=True)[0] == ["a.jpg", "up/pool/b.jpg", "up/pool/sub/c.jpg"]


def test_a_folder_of_links_is_told_how_to_have_them_followed() -> None:
    make("pool/a.jpg")
    link("../pool/a.jpg", "p/a.jpg")
    with pytest.raises(ManifestError) as caught:
        check(["p"], Reading())
    assert str(caught.value) == (
        "There is nothing to do: no picture was found (p); "
        "left out: 1 link(s) out of the folder such as p/a.jpg (--follow-links takes them)."
    )


@pytest.mark.parametrize(
    ("data", "name"),
    [(b"Gr\xf6\xdfe 40.jpg", "Gr_f6_dfe 40.png"), (b"s\xe4/\xff.jpg", "s_e4/_ff.png"), ("ä.jpg".encode(), "ä.png")],
)
def test_a_name_that_is_not_utf8_stays_one_name(data: bytes, name: str) -> None:
    file = Path(os.fsdecode(b"p/" + data))
    file.parent.mkdir(parents=True)
    file.write_bytes(b"")
    claims = Claims("png", owners=_Owners())
    for given in ("p", "p/**"):
        [item] = read([given], out=None)
        assert item.path == file
        assert claims.plain(item).removeprefix("p/") == name
    [item] = read([str(file)], out=None)
    assert claims.plain(item) == name.rpartition("/")[2]


def test_names_that_look_alike_once_escaped_stay_apart() -> None:
    for data in (b"p/\xf6.jpg", b"p/_f6.jpg", b"p/\xf6.png"):
        Path(os.fsdecode(data)).parent.mkdir(exist_ok=True)
        Path(os.fsdecode(data)).write_bytes(b"")
    claims = Claims("png", owners=_Owners())
    names = {claims.claim(as_item(row)) for row in read_rows(["p"], Reading())}
    assert len(names) == 3
    assert "_f6.png" in names


class _Owners(dict[int, int]):
    """Names as they are given in one run."""

    def owner(self, h: int) -> int | None:
        return self.get(h)

    def given(self, h: int) -> bool:
        return h in self

    def has_folder(self, h: int) -> bool:
        return False

    def take(self, h: int, owner: int, folders: object) -> None:
        self[h] = owner


@pytest.mark.parametrize("root", ["p", ".", "./p/", "p/**/*.jpg"])
def test_what_is_to_come_first_does_and_the_rest_stays_in_order(root: str) -> None:
    make("p/a.jpg", "p/b/c.jpg", "p/d/e.jpg", "p/d/f.jpg", "p/d/g.jpg", "p/z.jpg")
    found, _ = taken(root, first=frozenset({"p/d/f.jpg", "p/d/", "p/z.jpg", "p/"}))
    order = [name.removeprefix("p/") for name in found]
    assert order == ["d/f.jpg", "d/e.jpg", "d/g.jpg", "z.jpg", "a.jpg", "b/c.jpg"]
