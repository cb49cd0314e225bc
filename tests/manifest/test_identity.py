"""A row is an item: what it is called stays its own whatever it shows."""

from __future__ import annotations

from pathlib import Path
from typing import Any, BinaryIO

import pytest

from batch_removebg.manifest.columns import as_item
from batch_removebg.manifest.identity import Identity
from batch_removebg.manifest.reader import Reading, read_rows
from batch_removebg.model import Item, UrlRow
from tests.support.items import buffered

U = "https://shop.example/"


def url(**told: Any) -> Item:
    return Item(f"{U}a.jpg", f"{U}a.jpg", "c.csv:2", **told)


@pytest.mark.parametrize(
    ("item", "template", "found"),
    [
        (url(), "{id}", f"{U}a.jpg"),
        (url(output="red/a.png", meta={"sku": "S"}), "{sku}", "red/a.png"),
        (url(meta={"sku": "S"}), "{id}", f"{U}a.jpg"),
        (url(meta={"sku": "S"}), "cut/{sku}-{id}", "cut/S-a"),
        (url(meta={"sku": "S"}), "{parent}/{stem}", f"{U}a.jpg"),
        (url(meta={"sku": ""}), "{sku}", f"{U}a.jpg"),
        (Item("7", f"{U}a.jpg", "c.csv:2", output="x", own_id=True), "{id}", "7"),
        (Item("7", f"{U}a.jpg", "c.csv:2", own_id=True, suffix="-2"), "{id}", "7-2"),
        (url(output="x", suffix="-2"), "{id}", "x-2"),
        (url(suffix="-2"), "{id}", f"{U}a.jpg"),
    ],
)
def test_an_id_is_the_best_name_that_the_row_has(item: Item, template: str, found: str) -> None:
    made = Identity(template).of(item)
    assert made.id == found
    assert (made.id == item.id) or item.id in made.was
    assert made.suffix == (item.suffix if made.id != item.id else "")


def test_a_signature_is_asked_with_and_written_nowhere() -> None:
    asked = f"{U}a.jpg?v=1&X-Amz-Signature=feed"
    secret = "t.jpg?X-Amz-Signature=feed"
    meta = {"thumb": f"{U}{secret}", "n": 1, "alt": f"//me:pass@h.example/{secret}", "all": [{"src": f"{U}{secret}"}]}
    shown = {"thumb": f"{U}t.jpg", "n": 1, "alt": "//h.example/t.jpg", "all": [{"src": f"{U}t.jpg"}]}
    row = UrlRow("7", asked, meta, "c.csv", 2)
    [plain] = Identity().of_all([row])
    [item] = Identity().of_all([Item(asked, asked, "l.txt:1", meta=meta)])
    for made in (as_item(plain), as_item(item)):
        assert (made.source, made.url) == (f"{U}a.jpg?v=1", asked)
        assert made.meta == shown
    assert as_item(item).id == f"{U}a.jpg?v=1"
    other = Identity(ignored=frozenset({"v"})).of(Item(asked, asked, "", meta={"other": f"{U}o.jpg?v=1"}))
    assert (other.source, other.meta) == (f"{U}a.jpg", {"other": f"{U}o.jpg"})


def read(*inputs: str, root: str | None = None, stdin: BinaryIO | None = None) -> list[tuple[str, str | None]]:
    return [(item.id, item.name) for item in map(as_item, read_rows(inputs, Reading(root=root), stdin))]


@pytest.fixture(autouse=True)
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("p/x.jpg", "p/s/y.jpg", "q/x.jpg"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_bytes(b"")


def test_absolute_paths_of_a_list_are_relative_to_the_folder_that_they_have_in_common(tmp_path: Path) -> None:
    listed = "".join(f"{tmp_path}/{name}\n" for name in ("p/x.jpg", "p/s/y.jpg"))
    expected = [("x.jpg", None), ("s/y.jpg", None)]
    assert read("-", stdin=buffered(listed.encode())) == expected
    Path("list.txt").write_text(listed)
    assert read("list.txt") == expected
    assert read("list.txt", root=str(tmp_path)) == [("p/x.jpg", None), ("p/s/y.jpg", None)]
    assert read("p", root=".") == [("p/s/y.jpg", None), ("p/x.jpg", None)]
    assert read("p/x.jpg", "q/x.jpg") == [("p/x.jpg", "p/x.jpg"), ("q/x.jpg", "q/x.jpg")]


def test_a_folder_knows_what_its_pictures_were_called_beside_others_and_alone() -> None:
    beside = {item.id: item.was for item in map(as_item, read_rows(["p", "q"], Reading()))}
    assert beside == {"p/s/y.jpg": ("s/y.jpg",), "p/x.jpg": ("x.jpg",), "q/x.jpg": ("x.jpg",)}
    assert [item.was for item in map(as_item, read_rows(["p"], Reading()))] == [("p/s/y.jpg",), ("p/x.jpg",)]
