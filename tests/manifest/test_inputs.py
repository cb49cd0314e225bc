"""What an INPUT may be: folders, links, pictures, globs and URLs."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from batch_removebg.errors import ManifestError
from batch_removebg.manifest.folder import Folders
from batch_removebg.manifest.reader import Reading, read_rows
from batch_removebg.model import Item
from tests.support.items import read
from tests.support.listings import here, ids, make, rows, warned

__all__ = ["here"]


# Folders


def test_a_folder_gives_its_pictures_in_the_order_of_their_posix_paths() -> None:
    make("photos/b.JPG", "photos/a/z.png", "photos/a.webp", "photos/a b/x.tif", "photos/a/b/c.heic", "photos/ä.jp2")
    make("photos/notes.txt", "photos/list.csv", "photos/.hidden.jpg", "photos/.git/a.jpg", "photos/jpg")
    expected = ["a b/x.tif", "a.webp", "a/b/c.heic", "a/z.png", "b.JPG", "ä.jp2"]
    assert ids("photos") == expected == sorted(expected)
    first = next(read(["photos"], out=None))
    assert first == Item("a b/x.tif", "photos/a b/x.tif", "photos", path=Path("photos/a b/x.tif"))


def test_out_is_left_out_even_if_it_is_created_while_the_folder_is_read() -> None:
    make("photos/a.jpg", "photos/c/a.jpg", "photos/cut/outer.jpg")
    assert ids("photos", out=Path("photos/cut")) == ["a.jpg", "c/a.jpg"]
    items = read(["photos"], out=Path("photos/c/out"))
    assert next(items).id == "a.jpg"
    make("photos/c/out/a.png")
    assert [item.id for item in items] == ["c/a.jpg", "cut/outer.jpg"]


def test_out_as_input_and_out_around_the_input() -> None:
    make("photos/a.jpg")
    with pytest.raises(ManifestError, match="is the output folder itself; choose another --out"):
        ids("photos", out=Path("../" + Path.cwd().name + "/photos"))
    assert ids("photos", out=Path()) == ["a.jpg"]


def test_two_inputs_with_a_folder_keep_their_pictures_apart() -> None:
    make("a/shoe.jpg", "b/shoe.jpg", "c.jpg")
    assert ids("a", "b/", "c.jpg") == ["a/shoe.jpg", "b/shoe.jpg", "c.jpg"]
    assert ids("a/", ".") == ["a/shoe.jpg", f"{Path.cwd().name}/b/shoe.jpg", f"{Path.cwd().name}/c.jpg"]


def test_folders_of_one_name_are_told_apart_by_the_folder_that_they_have_in_common() -> None:
    make("x/photos/shoe.jpg", "y/photos/shoe.jpg", "z/shoe.jpg")
    assert ids("x/photos", "y/photos", "z") == ["x/photos/shoe.jpg", "y/photos/shoe.jpg", "z/shoe.jpg"]
    make("y/a/b/photos/hat.jpg")
    assert ids("x/photos", "y/a/b/photos") == ["x/photos/shoe.jpg", "y/a/b/photos/hat.jpg"]


def test_an_unreadable_subfolder_is_one_failed_item(monkeypatch: pytest.MonkeyPatch) -> None:
    make("photos/a.jpg", "photos/locked/b.jpg", "photos/z.jpg")
    scan = os.scandir

    def refusing(path: Path) -> object:
        if Path(path).name == "locked":
            raise PermissionError(13, "Permission denied")
        return scan(path)

    monkeypatch.setattr(os, "scandir", refusing)
    items = list(read(["photos"], out=None))
    assert [item.id for item in items] == ["a.jpg", "locked/", "z.jpg"]
    assert items[1].path is None
    assert items[1].source == "photos/locked"
    assert items[1].problem is not None
    assert items[1].problem.startswith("The folder can't be read: Permission denied.")
    Path("photos").rename("locked")
    with pytest.raises(ManifestError, match="locked can't be read: Permission denied"):
        ids("locked")


def test_links_are_taken_only_to_files_inside_the_folder() -> None:
    make("photos/a.jpg", "photos/raw/b.bin", "outside/c.jpg", "photos/notes.txt")
    links = {
        "photos/inside.jpg": "raw/b.bin",
        "photos/outside.jpg": "../outside/c.jpg",
        "photos/nowhere.jpg": "gone.jpg",
        "photos/nowhere.txt": "gone.txt",
        "photos/circle.jpg": "circle.jpg",
        "photos/folder": "../outside",
        "photos/round": ".",
        "photos/text.txt": "notes.txt",
    }
    for link, target in links.items():
        Path(link).symlink_to(target)
    assert ids("photos") == ["a.jpg", "inside.jpg"]


def test_a_link_as_input_is_followed_and_its_target_is_the_same_folder() -> None:
    make("photos/a.jpg")
    Path("link").symlink_to("photos")
    assert ids("link") == ["a.jpg"]
    found, warnings = warned("photos", "link")
    assert found == ["photos/a.jpg"]
    assert warnings == ["link: link/a.jpg was named before (photos); it is done once."]


def test_pipes_and_devices_never_hang_a_run() -> None:
    make("photos/a.jpg")
    os.mkfifo("photos/pipe.jpg")
    Path("photos/link.jpg").symlink_to("pipe.jpg")
    folders = Folders()
    assert [row.id for row in read_rows(["photos"], Reading(folders=folders))] == ["a.jpg"]
    assert folders.left_out["pipe(s) or device(s)"][0] == 2
    with pytest.raises(ManifestError, match="is a pipe or a device"):
        ids("photos/pipe.jpg")


def test_a_tree_deeper_than_the_stack_is_walked() -> None:
    deep, top = Path(*["d"] * 1100), Path.cwd()
    for _ in deep.parts:
        Path("d").mkdir()
        os.chdir("d")
    make("a.jpg")
    os.chdir(top)
    try:
        assert ids(".") == [f"{deep.as_posix()}/a.jpg"]
    finally:  # rmtree may not get down there
        (deep / "a.jpg").unlink()
        for folder in (deep, *deep.parents[:-1]):
            folder.rmdir()


@pytest.mark.parametrize("name", ["a b", "line\nbreak", "鞋", "👟", "-", "#1", "%20", "{x}", "[1]", "s3:x", "a*b"])
def test_any_file_name_is_taken_as_it_is(name: str) -> None:
    make(f"photos/{name}.jpg", f"{name}.jpg")
    assert ids("photos") == [f"{name}.jpg"]
    assert ids(f"{name}.jpg") == [f"{name}.jpg"]


def test_a_file_name_that_is_no_utf8_gets_an_id_that_can_be_written() -> None:
    name = os.fsdecode(b"caf\xe9.jpg")
    make(f"photos/{name}")
    [item] = read(["photos"], out=None)
    assert item.id == r"caf\xe9.jpg"
    assert item.source == r"photos/caf\xe9.jpg"
    assert item.path is not None
    assert item.path.read_bytes() == b""
    [item] = read([f"photos/{name}"], out=None)
    assert item.id == r"photos/caf\xe9.jpg"


# Images, globs, URLs


def test_an_image_input_is_taken_whatever_its_extension() -> None:
    make("a.jpg", "photos/b.raw")
    assert list(read(["photos/b.raw"], out=None)) == [
        Item("photos/b.raw", "photos/b.raw", "command line", path=Path("photos/b.raw"), name="b.raw")
    ]
    assert ids("a.jpg", "photos/b.raw") == ["a.jpg", "photos/b.raw"]


def test_a_glob_is_expanded_as_a_shell_would() -> None:
    make("p/b.jpg", "p/a.jpg", "p/.c.jpg", "p/sub/d.jpg", "p/out/a.png", "q/d.jpg")
    assert ids("p/*.jpg") == ["p/a.jpg", "p/b.jpg"]
    assert ids("[pq]/?.jpg") == ["p/a.jpg", "p/b.jpg", "q/d.jpg"]
    assert ids("p/*", out=Path("p/out")) == ["p/a.jpg", "p/b.jpg", "sub/d.jpg"]
    assert ids(f"{Path.cwd()}/q/*") == [f"{Path.cwd()}/q/d.jpg"]
    assert next(read(["q/*"], out=None)).origin == "q/*"


def test_two_stars_stand_for_any_number_of_folders() -> None:
    make("p/a.jpg", "p/sub/deep/b.jpg", "p/sub/c.png", "p/sub/.d.jpg", "p/out/e.jpg", "p/notes.txt")
    Path("p/round").symlink_to(".")
    out = Path("p/out")
    assert ids("p/**/*.jpg", out=out) == ["p/a.jpg", "p/sub/deep/b.jpg"]
    assert ids("p/**", out=out) == ["p/a.jpg", "p/sub/c.png", "p/sub/deep/b.jpg"]
    assert ids("**/sub/*", out=out) == ["p/sub/c.png"]
    assert ids("*/**/deep/**/?.jpg", out=out) == ["p/sub/deep/b.jpg"]
    assert ids(f"{Path.cwd()}/p/**/b*", out=out) == [f"{Path.cwd()}/p/sub/deep/b.jpg"]


@pytest.mark.parametrize("pattern", ["*.jpg", "photos/**/*.png", "gone/**", "[", "a.jpg/**"])
def test_a_glob_without_a_match_is_an_error(pattern: str) -> None:
    make("photos/a.jpg", "photos/b")
    with pytest.raises(ManifestError):
        ids("photos/a.jpg", pattern)


def test_what_a_glob_meets_by_chance_is_left_out_with_a_warning() -> None:
    make("p/a.jpg")
    Path("p/nowhere.jpg").symlink_to("gone")
    os.mkfifo("p/pipe.jpg")
    found, warnings = warned("p/*")
    assert found == ["p/a.jpg"]
    assert warnings == ["p/nowhere.jpg can't be read: No such file or directory; left out."]


def test_a_name_that_exists_is_no_glob() -> None:
    make("shoe[1].jpg", "shoe1.jpg")
    assert ids("shoe[1].jpg") == ["shoe[1].jpg"]
    Path("shoe[1].jpg").unlink()
    assert ids("shoe[1].jpg") == ["shoe1.jpg"]


@pytest.mark.parametrize("name", ["gone.jpg", "gone.csv", "gone/a.jpg", "a.jpg/b.jpg", "", "x" * 300, "a\0b"])
def test_an_input_that_is_not_there_stops_the_run_before_its_first_item(name: str) -> None:
    make("a.jpg")
    Path("link.jpg").symlink_to("gone.jpg")
    for bad in (name, "link.jpg"):
        with pytest.raises(ManifestError):
            next(read(["a.jpg", bad], out=None))


def test_urls_are_items_of_their_own() -> None:
    url = "HTTPS://cdn.example/a%20b.jpg?w=1"
    assert list(read([url], out=None)) == [Item(url, url, "command line")]
    assert rows("a.txt", f" {url}\t\n")[0].id == url


@pytest.mark.parametrize(
    ("value", "remedy"),
    [
        ("ftp://host/a.jpg", "download the picture first"),
        ("abfs://container/a.jpg", "az://container/key"),
        ("s3:///a.jpg", "names no bucket"),
        ("s3://bucket/a//b.jpg", "is no key"),
        ("http:/host/a.jpg", "http://host/path"),
        ("https://", "no valid host"),
        ("http://[::1/a.jpg", "no valid host"),
        ("http://host:99999/a.jpg", "no valid host or port"),
    ],
)
def test_an_address_that_can_not_be_read_is_one_failed_item(value: str, remedy: str) -> None:
    for item in [*read([value], out=None), *rows("a.txt", value)]:
        assert item.id == item.source == value
        assert item.path is None
        assert item.problem is not None
        assert remedy in item.problem


def test_a_data_uri_is_refused_without_being_repeated() -> None:
    uri = "data:image/png;base64," + "A" * 5000
    [item], [row] = list(read([uri], out=None)), rows("a.txt", uri)
    assert (
        item.problem
        == row.problem
        == "data: is no scheme this program reads; save the picture to a file and name that."
    )
    assert item.id == row.id
    assert len(item.id) == len(item.source) < 80
