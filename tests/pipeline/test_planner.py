"""What is left to do for an item, seen from the ledger and from the disk."""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple, cast

import pytest

from batch_removebg.errors import SourceError
from batch_removebg.finish.options import Finish
from batch_removebg.ledger.index.run_items import RunItems
from batch_removebg.ledger.state import ItemState, Step, names_of
from batch_removebg.model import Item, ProxySpec
from batch_removebg.pipeline.cache_key import Recipe
from batch_removebg.pipeline.planner import Again, Planner
from batch_removebg.pipeline.work import Todo
from batch_removebg.storage.atomic import signature
from batch_removebg.storage.outputs import Folder
from tests.support.oracle import Oracle, entry, namer

SECOND = f"shoe-{hashlib.sha256(b'shoe.jpg').hexdigest()[:8]}.png"
RECIPE = Recipe("local", "u2netp@1", {}, ProxySpec(), Finish(), passes_urls=False)
NONE = cast("RunItems", None)  # what is planned is read elsewhere
URL = Item("https://shop.example/a/boot.jpg", "https://shop.example/a/boot.jpg", "list.txt:1")


class Planned(NamedTuple):
    step: Step
    todo: Todo


@dataclass
class Shop:
    """A folder with one photo, an OUT, and a ledger's fold."""

    root: Path
    fold: Oracle = field(default_factory=Oracle)

    def __post_init__(self) -> None:
        self.photo = self.root / "shoe.jpg"
        self.out = self.root / "out"
        self.out.mkdir()
        self.photo.write_bytes(b"pixels")
        self.item = Item("shoe.jpg", "in/shoe.jpg", "in", path=self.photo)

    def saved(self, **other: Any) -> None:
        """The ledger's line of a finished shoe, and its picture."""
        (self.out / "shoe.png").write_bytes(b"cutout")
        line = {
            "event": "saved",
            "item": self.item.id,
            "source": self.item.source,
            "output": "shoe.png",
            "bytes": len(b"cutout"),
            "recipe": RECIPE.digest,
            "signature": signature(self.photo),
        }
        self.fold.apply(entry(**(line | other)))

    def failed(self) -> None:
        self.fold.apply(entry("failed", item=self.item.id, recipe=RECIPE.tried, signature=signature(self.photo)))

    def touch(self) -> None:
        os.utime(self.photo, ns=(0, 1))

    def plan(self, item: Item | None = None, *, recipe: Recipe = RECIPE, retry_failed: bool = False) -> Planned:
        known = [(item, name) for item, state in self.fold.each() for name in names_of(state)]
        planner = Planner(
            self.fold,
            namer("png", known=known),
            outputs=Folder(self.out),
            recipe=recipe,
            again=Again(retry_failed),
            reading=NONE,
        )
        return Planned(*planner.plan(item or self.item))


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path)


def verdict(planned: Planned) -> tuple[Step, bool]:
    return planned.step, planned.todo.finished_if_same


def test_an_item_the_ledger_does_not_know_is_to_be_done_under_a_name_of_its_own(shop: Shop) -> None:
    planned = shop.plan()
    assert verdict(planned) == (Step.DO, False)
    assert planned.todo.item is shop.item
    assert (planned.todo.output, planned.todo.signature) == ("shoe.png", signature(shop.photo))
    assert planned.todo.state == ItemState()


def test_saved_and_unchanged_is_done(shop: Shop) -> None:
    shop.saved()
    assert verdict(shop.plan()) == (Step.DONE, False)


def test_times_that_changed_have_the_content_looked_at(shop: Shop) -> None:
    shop.saved()
    shop.touch()
    assert verdict(shop.plan()) == (Step.DO, True)


def test_an_output_that_is_gone_or_not_whole_is_made_again_without_a_look_at_the_source(shop: Shop) -> None:
    shop.saved()
    (shop.out / "shoe.png").write_bytes(b"cut")
    assert verdict(shop.plan()) == (Step.DO, False)
    (shop.out / "shoe.png").unlink()
    assert verdict(shop.plan()) == (Step.DO, False)
    shop.touch()
    assert verdict(shop.plan()) == (Step.DO, False)


def test_another_recipe_is_another_picture(shop: Shop) -> None:
    shop.saved()
    assert verdict(shop.plan(recipe=replace(RECIPE, finish=Finish(quality=80)))) == (Step.DO, False)


def test_a_name_the_manifest_now_asks_for_is_another_picture(shop: Shop) -> None:
    shop.saved()
    planned = shop.plan(replace(shop.item, output="boot"))
    assert (verdict(planned), planned.todo.output) == ((Step.DO, False), "boot.png")


def test_a_source_that_is_gone_is_to_be_done_so_that_it_fails(shop: Shop) -> None:
    shop.saved()
    shop.photo.unlink()
    planned = shop.plan()
    assert planned.step is Step.DO
    assert planned.todo.signature is None


def test_failed_is_left_alone_unless_the_run_or_the_source_says_otherwise(shop: Shop) -> None:
    shop.failed()
    assert verdict(shop.plan()) == (Step.LEAVE, False)
    assert verdict(shop.plan(retry_failed=True)) == (Step.DO, False)
    shop.touch()
    assert verdict(shop.plan()) == (Step.DO, False)


def test_a_source_that_was_missing_is_looked_for_in_every_run(shop: Shop) -> None:
    shop.photo.unlink()
    shop.fold.apply(entry("failed", item=shop.item.id, recipe=RECIPE.tried))
    assert verdict(shop.plan()) == (Step.DO, False)


def test_a_url_is_the_same_source_as_long_as_it_reads_the_same(shop: Shop) -> None:
    (shop.out / "boot.png").write_bytes(b"cutout")
    shop.saved(item=URL.id, source=URL.source, output="boot.png", signature=None)
    assert verdict(shop.plan(URL)) == (Step.DONE, False)
    moved = replace(URL, source="https://cdn.example/boot.jpg")
    assert verdict(shop.plan(moved)) == (Step.DO, True)


def test_a_crash_between_picture_and_line_leaves_the_item_its_own_name(shop: Shop) -> None:
    shop.fold.apply(entry("submitting", item="shoe.jpg", key="k", output="shoe.png"))
    (shop.out / "shoe.png").write_bytes(b"cutout")
    planned = shop.plan()
    assert (planned.step, planned.todo.output) == (Step.DO, "shoe.png")
    assert planned.todo.state.lost is not None


@pytest.mark.parametrize("kind", ["file", "symlink to nothing"])
def test_a_file_that_is_not_ours_keeps_its_name(shop: Shop, kind: str) -> None:
    theirs = shop.out / "shoe.png"
    theirs.write_bytes(b"theirs") if kind == "file" else theirs.symlink_to("nothing")
    assert shop.plan().todo.output == SECOND


def test_the_second_name_is_taken_too_and_says_so(shop: Shop) -> None:
    for name in ("shoe.png", SECOND):
        (shop.out / name).write_bytes(b"theirs")
    with pytest.raises(SourceError, match=rf"{re.escape(SECOND)} already lies in OUT"):
        shop.plan()


def test_two_items_that_would_meet_get_distinct_names_that_a_resume_repeats(shop: Shop) -> None:
    twin = replace(shop.item, id="shoe.png")
    planner = Planner(Oracle(), namer("png"), outputs=Folder(shop.out), recipe=RECIPE, again=Again(), reading=NONE)
    names = [planner.plan(item)[1].output for item in (shop.item, twin)]
    assert names[0] == "shoe.png"
    assert names[1] == "shoe-" + names[1][5:13] + ".png"
    for item, name in zip((shop.item, twin), names, strict=True):
        shop.fold.apply(entry("claimed", item=item.id, output=name))
    assert [shop.plan(item).todo.output for item in (twin, shop.item)] == names[::-1]


def test_what_a_worker_gets_does_not_change_with_the_ledger(shop: Shop) -> None:
    shop.failed()
    todo = shop.plan(retry_failed=True).todo
    shop.saved()
    assert todo.state.outcome == "failed"


def test_a_source_that_reading_might_never_end_on_is_refused(shop: Shop) -> None:
    shop.photo.unlink()
    os.mkfifo(shop.photo)
    with pytest.raises(SourceError, match="a pipe"):
        shop.plan()
