"""`--dry-run`: every item under one heading, nothing written, nothing bought."""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from batch_removebg.errors import ManifestError
from batch_removebg.events import Event, ignore
from batch_removebg.run import assemble
from batch_removebg.run.dry_run import preview
from batch_removebg.run.settings import Settings
from batch_removebg.storage.alpha_cache import AlphaCache
from batch_removebg.storage.atomic import signature
from tests.support.doubles import photo
from tests.support.oracle import line
from tests.support.pictures import ramp


class Shop:
    """A folder of photos and an OUT that earlier runs have worked on."""

    def __init__(self, root: Path) -> None:
        self.photos, self.out = root / "photos", root / "out"
        self.photos.mkdir()
        self.out.mkdir()

    def settings(self, **changes: Any) -> Settings:
        return Settings(out=self.out, **changes)

    def add(self, name: str) -> Path:
        path = self.photos / name
        path.write_bytes(photo(colour=(len(name), 7, sum(name.encode()) * 37 % 256)))
        return path

    def entry(self, event: str, name: str, settings: Settings, **fields: Any) -> None:
        path, recipe = self.photos / name, assemble.recipe_of(settings)
        known = {
            "item": name,
            "source": str(path),
            "recipe": recipe.tried if event == "failed" else recipe.digest,
            "signature": signature(path),
            "source_sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
            **fields,
        }
        with (self.out / "ledger.jsonl").open("ab") as ledger:
            ledger.write(line(event, **known))

    def saved(self, name: str, settings: Settings) -> None:
        output = f"{Path(name).stem}.png"
        (self.out / output).write_bytes(b"cutout")
        self.entry("saved", name, settings, output=output, bytes=6)

    def fingerprint(self, name: str, settings: Settings) -> str:
        sha256 = hashlib.sha256((self.photos / name).read_bytes()).hexdigest()
        return assemble.recipe_of(settings).fingerprint(sha256)

    def preview(self, settings: Settings, *inputs: str) -> Counter[str]:
        before = tree(self.out)
        found = preview(inputs or [str(self.photos)], settings, ignore)
        assert tree(self.out) == before
        return found


def tree(root: Path) -> dict[str, tuple[int, int]]:
    return {str(path): (path.stat().st_size, path.stat().st_mtime_ns) for path in root.rglob("*")}


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path)


def kept(shop: Shop) -> AlphaCache:
    folder = shop.out / ".batch-removebg" / "alpha"
    folder.mkdir(parents=True, exist_ok=True)
    return AlphaCache(folder)


def test_a_first_run_would_buy_everything(shop: Shop) -> None:
    shop.add("a.jpg")
    shop.add("b.jpg")
    shop.out.rmdir()
    assert preview([str(shop.photos)], shop.settings(), ignore) == Counter(total=2, bought=2)
    assert not shop.out.exists()


def test_every_item_is_under_one_heading(shop: Shop) -> None:
    settings = shop.settings(provider="replicate")
    for name in ("done.jpg", "touched.jpg", "left.jpg", "kept.jpg", "flying.jpg", "changed.jpg", "new.jpg"):
        shop.add(name)
    shop.saved("done.jpg", settings)
    shop.saved("touched.jpg", settings)
    os.utime(shop.photos / "touched.jpg", ns=(0, 1))
    shop.saved("changed.jpg", settings)
    (shop.photos / "changed.jpg").write_bytes(photo(50, 50))
    shop.entry("failed", "left.jpg", settings)
    kept(shop).keep(shop.fingerprint("kept.jpg", settings), ramp(3, 4))
    flying = {"output": "flying.png", "key": "k", "fingerprint": shop.fingerprint("flying.jpg", settings)}
    shop.entry("submitting", "flying.jpg", settings, **flying)
    shop.entry("submitted", "flying.jpg", settings, prediction_id="p1")
    expected = Counter(total=7, done=2, left=1, kept=1, taken_up=1, bought=2)
    assert shop.preview(settings) == expected


def test_what_cannot_be_read_would_fail(shop: Shop) -> None:
    shop.add("good.jpg")
    os.mkfifo(shop.photos / "pipe.jpg")
    manifest = shop.photos / "list.txt"
    manifest.write_text("good.jpg\npipe.jpg\ngone.jpg\nftp://shop.example/a.jpg\nhttps://shop.example/boot.jpg\n")
    assert shop.preview(shop.settings(), str(manifest)) == Counter(total=5, bad=3, bought=2)


def test_retry_failed_takes_the_failed_ones_up(shop: Shop) -> None:
    shop.add("a.jpg")
    shop.entry("failed", "a.jpg", shop.settings())
    assert shop.preview(shop.settings()) == Counter(total=1, left=1)
    assert shop.preview(shop.settings(retry_failed=True)) == Counter(total=1, bought=1)


def test_another_format_costs_nothing_where_alphas_are_kept(shop: Shop) -> None:
    shop.add("a.jpg")
    shop.saved("a.jpg", shop.settings())
    assert shop.preview(shop.settings(format="webp")) == Counter(total=1, bought=1)
    kept(shop).keep(shop.fingerprint("a.jpg", shop.settings()), ramp(3, 4))
    assert shop.preview(shop.settings(format="webp")) == Counter(total=1, kept=1)


def test_a_prediction_in_flight_for_other_content_is_not_taken_up(shop: Shop) -> None:
    settings = shop.settings(provider="gateway", base_url="https://gateway.example/v1")
    shop.add("a.jpg")
    shop.entry("submitting", "a.jpg", settings, output="a.png", key="k", fingerprint="of something else")
    shop.entry("submitted", "a.jpg", settings, prediction_id="p1")
    assert shop.preview(settings) == Counter(total=1, bought=1)


def test_a_create_without_an_answer_may_have_to_be_bought_again(shop: Shop) -> None:
    settings = shop.settings(provider="replicate")
    shop.add("a.jpg")
    shop.entry(
        "submitting", "a.jpg", settings, output="a.png", key="k", fingerprint=shop.fingerprint("a.jpg", settings)
    )
    assert shop.preview(settings) == Counter(total=1, bought=1)


def test_a_url_in_flight_is_taken_up_where_it_was_passed_on(shop: Shop) -> None:
    url = "https://shop.example/boot.jpg"
    settings = shop.settings(provider="replicate")
    submitting = {"item": url, "output": "boot.png", "fingerprint": assemble.recipe_of(settings).fingerprint(url)}
    with (shop.out / "ledger.jsonl").open("wb") as ledger:
        ledger.write(line("submitting", **submitting, key=url))
        ledger.write(line("submitted", item=url, prediction_id="p1"))
    assert shop.preview(settings, url) == Counter(total=1, taken_up=1)


def test_a_limit_ends_the_count_where_it_would_end_the_run(shop: Shop) -> None:
    settings = shop.settings(limit=2)
    for name in ("a.jpg", "b.jpg", "c.jpg", "d.jpg"):
        shop.add(name)
    shop.saved("a.jpg", settings)
    assert shop.preview(settings) == Counter(total=3, done=1, bought=2)
    os.utime(shop.photos / "a.jpg", ns=(0, 1))  # a worker has to look at it
    assert shop.preview(settings) == Counter(total=2, done=1, bought=1)


def test_no_more_is_bought_than_the_run_may_buy(shop: Shop) -> None:
    for name in ("a.jpg", "b.jpg", "c.jpg"):
        shop.add(name)
    assert shop.preview(shop.settings(max_predictions=2)) == Counter(total=3, bought=2, beyond=1)
    assert shop.preview(shop.settings(max_predictions=0)) == Counter(total=3, bought=0, beyond=3)


def test_the_manifests_own_errors_are_raised(shop: Shop) -> None:
    with pytest.raises(ManifestError):
        preview([str(shop.photos / "gone.csv")], shop.settings(), ignore)


def test_warnings_reach_the_listener(shop: Shop) -> None:
    shop.add("a.jpg")
    manifest = shop.photos.parent / "list.jsonl"
    manifest.write_text(json.dumps({"image": "photos/a.jpg"}) + "\n" + json.dumps({"image": "photos/a.jpg"}) + "\n")
    heard: list[Event] = []
    assert preview([str(manifest)], shop.settings(), heard.append)["total"] == 1
    assert [event.kind.value for event in heard] == ["note", "warning"]


def test_copies_are_counted_once(shop: Shop) -> None:
    shop.add("a.jpg")
    for name in ("b.jpg", "c.jpg"):
        (shop.photos / name).write_bytes((shop.photos / "a.jpg").read_bytes())
    assert shop.preview(shop.settings()) == Counter(total=3, bought=1, copies=2)
    manifest = shop.photos / "list.csv"
    manifest.write_text("image,id\nhttps://shop.example/a.jpg,1\nhttps://shop.example/a.jpg,2\n")
    remote = shop.settings(provider="gateway", base_url="http://127.0.0.1:9/v1")
    assert shop.preview(remote, str(manifest)) == Counter(total=2, bought=1, copies=1)
