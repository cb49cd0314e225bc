"""What is below a prefix in a bucket is read like a folder, page by page."""

from __future__ import annotations

import weakref
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from batch_removebg.errors import ConnectionFailed, ManifestError, SettingsError, SourceError
from batch_removebg.manifest.columns import as_item, value_item
from batch_removebg.manifest.folder import Folders
from batch_removebg.manifest.inputs import is_feed
from batch_removebg.manifest.reader import Reading, read_rows
from batch_removebg.storage.objects import Stored
from tests.support.buckets import Buckets
from tests.support.items import read
from tests.support.listings import make, rows

NAMES = (
    *("a.jpg", "B.PNG", "s/ü b%20?.jpg", "s/t/c.webp", "s/.d.jpg", ".e/f.jpg", "s/@eaDir/g.jpg", "h.txt", "README"),
    *("Thumbs.db", "i.svg", "old/.batch-removebg/lease", "old/ledger.jsonl", "old/j.png", "old/s/k.png", "older/l.jpg"),
    *("old/-.png", "old/ m/n.png", "older/-/l.jpg"),  # which come before what tells that a folder is an OUT
)


@pytest.fixture
def buckets(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Buckets:
    monkeypatch.chdir(tmp_path)
    return Buckets(monkeypatch)


def listed(*inputs: str, **chosen: Any) -> tuple[list[str], dict[str, int]]:
    """Ids of what is taken, and the numbers of what is left out."""
    folders = Folders(**chosen)
    found = [row.id for row in read_rows(inputs, Reading(folders=folders))]
    return found, {what: count for what, (count, _) in folders.left_out.items()}


@pytest.mark.parametrize(
    "chosen", [{}, {"include": ("*.jpg",)}, {"exclude": ("s",)}, {"include": ("s/t", "a.*"), "exclude": ("*.webp",)}]
)
def test_of_keys_those_are_taken_that_would_be_as_files_of_a_folder(
    buckets: Buckets, chosen: dict[str, tuple[str, ...]]
) -> None:
    make(*(f"in/{name}" for name in NAMES))
    for name in NAMES:
        buckets.put(f"s3://shop/in/{name}", b"x")
    (of_keys, left), (of_files, _) = listed("s3://shop/in/", **chosen), listed("in", **chosen)
    assert sorted(of_keys) == sorted(of_files)
    if not chosen:
        assert left == {"@eaDir": 1, ".txt": 1, ".svg": 1, "other file(s)": 1, "picture(s) of other runs": 4}


def test_items_are_called_by_their_key_below_the_prefix_and_read_from_there(buckets: Buckets) -> None:
    for key in ("in/s/a.jpg", "in.jpg", "inner/a.jpg", "in/marker"):
        buckets.put(f"gs://shop/{key}", b"x" if "." in key else b"")
    [item] = read(["gs://shop/in"], out=None)
    assert (item.id, item.source, item.path, item.origin) == ("s/a.jpg", "gs://shop/in/s/a.jpg", None, "gs://shop/in")
    both = read(["gs://shop/in", "gs://shop/inner", "gs://shop/in.jpg"], out=None)
    assert [item.id for item in both] == ["in/s/a.jpg", "inner/a.jpg", "gs://shop/in.jpg"]
    assert len(list(read(["gs://shop"], out=None))) == 3


def test_keys_that_cannot_be_read_are_an_item_that_fails_unless_they_are_left_out(buckets: Buckets) -> None:
    class Odd(Long):
        def listed(self, prefix: str) -> Iterator[Sequence[Stored]]:
            yield [Stored(f"in/{key}", 0, None) for key in ("a.jpg", "b/../", "c//")] if prefix == "in" else []

    buckets["s3://shop"] = Odd(1)
    for chosen, ids in (
        ({}, ["a.jpg", "b/../", "c//"]),
        ({"include": ("*.jpg",)}, ["a.jpg", "b/../", "c//"]),
        ({"exclude": ("c",)}, ["a.jpg", "b/../"]),
    ):
        items = [*map(as_item, read_rows(["s3://shop/in"], Reading(folders=Folders(**chosen))))]
        assert [item.id for item in items] == ids
        assert [item.source for item in items] == [f"s3://shop/in/{each}" for each in ids]
        assert [str(item.problem)[:24] for item in items] == ["None", *["Keys with an empty part,"] * (len(ids) - 1)]


class _Page(list[Stored]):
    """One that can be watched."""


class Long:
    """A bucket of many pages, and a note of those that were asked for, and of those that are still held."""

    def __init__(self, pages: int) -> None:
        self.pages, self.asked, self.held = pages, 0, weakref.WeakSet[Any]()

    def listed(self, prefix: str) -> Iterator[Sequence[Stored]]:
        for nth in range(self.pages):
            self.asked += 1
            page = _Page(Stored(f"{prefix}/{nth:03}/{n:04}.jpg", 1, None) for n in range(1000))
            held = weakref.ref(page)
            yield page
            del page
            if nth:
                assert held() is None


def test_a_listing_is_read_as_far_as_its_items_are_and_no_page_is_kept(buckets: Buckets) -> None:
    buckets["s3://shop"] = long = Long(20)
    items = read_rows(["s3://shop/in"], Reading())
    for _ in range(1500):
        next(items)
    assert long.asked == 2
    assert 1500 + sum(1 for _ in items) == 20_000
    assert long.asked == 20


@pytest.mark.parametrize("trouble", [ConnectionFailed("s3://shop/in (no answer)"), SourceError("holds a key")])
def test_a_listing_that_breaks_off_is_said_after_what_it_gave(buckets: Buckets, trouble: Exception) -> None:
    class Broken(Long):
        def listed(self, prefix: str) -> Iterator[Sequence[Stored]]:
            yield from super().listed(prefix)
            raise trouble

    buckets["s3://shop"] = Broken(1)
    items = read_rows(["s3://shop/in"], Reading())
    assert sum(1 for _, _ in zip(range(1000), items, strict=False)) == 1000
    with pytest.raises(ManifestError, match=rf"^s3://shop/in can't be listed: {str(trouble)[:10]}"):
        next(items)


def test_a_bucket_that_is_not_there_and_a_prefix_with_nothing_below_are_refused(buckets: Buckets) -> None:
    with pytest.raises(SettingsError, match="there is no bucket s3://nowhere"):
        next(read_rows(["s3://nowhere/in"], Reading()))
    buckets.put("s3://shop/in/notes.txt", b"x")
    with pytest.raises(ManifestError, match=r"no picture was found \(s3://shop/in\); left out: 1 \.txt"):
        next(read_rows(["s3://shop/in"], Reading()))


@pytest.mark.parametrize(
    ("path", "url"),
    [("a.jpg", "s3://b/l/a.jpg"), ("../a?b.jpg", "s3://b/a?b.jpg"), ("/a", "s3://b/a"), ("../../../a", "s3://b/a")],
)
def test_a_path_in_a_list_is_relative_to_the_lists_key(path: str, url: str) -> None:
    assert value_item(path, "list.csv:2", "s3://b/l/list.csv").source == url


def test_cells_name_objects_as_they_name_urls() -> None:
    one, two, three = rows("shop.csv", 'id,image\nA,"s3://b/a,1.jpg, s3://b/c d.jpg"\nB,gs://b/s/e%20.jpg\n')
    assert [one.source, two.source, three.source] == ["s3://b/a,1.jpg", "s3://b/c d.jpg", "gs://b/s/e%20.jpg"]
    assert [one.id, two.id, three.id] == ["A-1", "A-2", "B"]
    assert {item.path for item in (one, two, three)} == {None}


def test_keys_that_differ_only_in_what_would_sign_a_url_are_two_pictures(buckets: Buckets) -> None:
    urls = [f"s3://b/a.jpg?sig={nth}&se=2026-01-02T00:00:00Z" for nth in (1, 2)]
    assert [(item.id, item.source) for item in rows("l.txt", "\n".join(urls))] == [(url, url) for url in urls]


@pytest.mark.parametrize(
    ("url", "feed"),
    [
        *((url, True) for url in ("s3://b/a#1?.csv", "gs://b/a#.csv.gz", "https://b/a.csv?v=1")),
        *((url, False) for url in ("s3://b/a.csv?v=1", "s3://b.csv")),
    ],
)
def test_a_list_in_a_bucket_is_known_by_the_ending_of_its_whole_key(url: str, feed: bool) -> None:
    assert is_feed(url) is feed


@pytest.mark.parametrize(("given", "out"), [("s3://shop/in", "S3://shop/in"), ("s3://shop//in/", "s3://shop/in")])
def test_out_as_a_prefix_that_is_read_is_refused(buckets: Buckets, given: str, out: str) -> None:
    buckets.put("s3://shop/in/a.jpg", b"x")
    with pytest.raises(ManifestError, match="is the output folder itself; choose another --out"):
        listed(given, bucket=out)


@pytest.mark.parametrize(
    ("given", "out", "ids"),
    [
        ("s3://shop/in", "s3://shop/in/cut", ["a.jpg", "cutter/a.jpg"]),
        ("s3://shop", "s3://shop/in/cut", ["in/a.jpg", "in/cutter/a.jpg"]),
        ("s3://shop/in/cut/s", "s3://shop/in/cut", ["b.jpg"]),
        ("s3://shop/in/cutter", "s3://shop", ["a.jpg"]),
        ("s3://shop/in/cut", "gs://shop/in/cut", ["!.jpg", "s/b.jpg"]),
    ],
)
def test_of_an_out_below_a_prefix_no_key_is_a_photo(buckets: Buckets, given: str, out: str, ids: list[str]) -> None:
    for name in ("a.jpg", "cut/!.jpg", "cut/s/b.jpg", "cutter/a.jpg"):
        buckets.put(f"s3://shop/in/{name}", b"x")
    assert listed(given, bucket=out) == (ids, {})
