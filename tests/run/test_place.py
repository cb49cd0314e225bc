"""Results in a bucket: what lies where, what is refused, and what a run elsewhere goes on with."""

from __future__ import annotations

import hashlib
import json
import shutil
import threading
import time
from pathlib import Path

import msgspec
import pytest

from batch_removebg.run import place
from batch_removebg.storage import bucket, lease, segments
from tests.support.doubles import ScriptedProvider, photo
from tests.support.s3 import S3, Object, s3
from tests.support.shop import API, Said, provider, said, shop

__all__ = ["provider", "s3", "said", "shop"]
RUN = ["run", "in", *API, "--out", "s3://shop/cutouts", "--state"]
STATE = "cutouts/.batch-removebg/"


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segments, "APART", 0.0)
    monkeypatch.setattr(place, "_COPIED", 0.2)
    monkeypatch.setattr(bucket, "_FIRST", 0.05)


def kept(text: bytes, **about: str) -> Object:
    return Object(text, f'"{hashlib.md5(text).hexdigest()}"', about)


def ledger(s3: S3) -> bytes:
    return b"".join(s3.objects[key].data for key in s3.keys(".jsonl"))


def test_pictures_go_to_the_bucket_and_what_a_run_remembers_stays_here(
    shop: Path, said: Said, provider: ScriptedProvider, s3: S3
) -> None:
    code, _, told = said(*RUN, "state")
    assert code == 0, told
    assert s3.keys(".png") == ["cutouts/a.png", "cutouts/b.png", "cutouts/c.png"]
    results = json.loads((shop / "state/results.json").read_text())
    for item in results["items"]:
        there = s3.objects[f"cutouts/{item['output']}"]
        assert there.about["Content-Type"] == "image/png"
        assert there.about["x-amz-meta-sha256"] == item["sha256"] == hashlib.sha256(there.data).hexdigest()
        assert there.about["x-amz-meta-recipe"]
    for name in ("results.json", "results.csv"):
        assert s3.objects[STATE + name].data == (shop / "state" / name).read_bytes()
    assert ledger(s3) == (shop / "state/ledger.jsonl").read_bytes()
    assert not list((shop / "state").rglob("?.png"))
    assert "pictures  s3://shop/cutouts/\n" in told
    assert "SecretOfTheShop" not in told + ledger(s3).decode()


def test_what_is_missing_or_of_another_size_is_made_again_by_one_listing_and_without_a_purchase(
    shop: Path, said: Said, provider: ScriptedProvider, s3: S3
) -> None:
    said(*RUN, "state")
    del s3.objects["cutouts/a.png"]
    s3.objects["cutouts/b.png"].data = b"short"
    s3.page = 2
    s3.seen.clear()
    code, _, told = said(*RUN, "state")
    assert (code, provider.bill, s3.keys(".png")) == (0, 3, ["cutouts/a.png", "cutouts/b.png", "cutouts/c.png"]), told
    assert {len(s3.objects[key].data) > 50 for key in s3.keys(".png")} == {True}
    asked = [key for method, key in s3.seen if method == "HEAD" and key.endswith(".png")]
    assert asked == ["cutouts/b.png"]  # before it is written over: it is ours


def test_a_run_elsewhere_goes_on_with_the_ledger_and_buys_nothing_again(
    shop: Path, said: Said, provider: ScriptedProvider, s3: S3
) -> None:
    assert said(*RUN, "here", "--limit", "2")[0] == 3
    code, _, told = said(*RUN, "there")
    assert (code, provider.bill) == (0, 3), told
    assert "goes on with the ledger of s3://shop/cutouts" in told
    assert ledger(s3) == (shop / "there/ledger.jsonl").read_bytes()
    assert said(*RUN, "here")[0] == 0  # it lags behind, and is brought up
    assert (provider.bill, (shop / "here/ledger.jsonl").read_bytes()) == (3, ledger(s3))


def test_pictures_whose_lines_are_lost_keep_their_names_where_the_run_goes_on_elsewhere(
    shop: Path, said: Said, provider: ScriptedProvider, s3: S3
) -> None:
    said(*RUN, "here")
    # As where a machine is lost in the first seconds, with its ledger.
    s3.objects = {key: each for key, each in s3.objects.items() if not key.startswith(STATE)}
    code, _, told = said(*RUN, "there")
    assert (code, "another name" in told) == (0, False), told
    assert s3.keys(".png") == ["cutouts/a.png", "cutouts/b.png", "cutouts/c.png"]


def test_a_state_that_went_another_way_is_refused(shop: Path, said: Said, provider: ScriptedProvider, s3: S3) -> None:
    said(*RUN, "here", "--limit", "1")
    before = dict(s3.objects)
    said(*RUN, "here", "--limit", "1")  # as one that died before it could copy that
    s3.objects = before
    said(*RUN, "there")
    before = dict(s3.objects)
    code, _, told = said(*RUN, "here")
    assert (code, "Name an empty folder as --state" in told) == (4, True), told
    assert {key for key in s3.objects if s3.objects[key] is not before.get(key)} == {f"{STATE}lease.json"}
    assert said(*RUN, "there")[0] == 0  # at once: the lease was left


def test_somebody_elses_object_keeps_its_name(shop: Path, said: Said, provider: ScriptedProvider, s3: S3) -> None:
    s3.objects["cutouts/a.png"] = kept(b"of the shop")
    code, _, told = said(*RUN, "state")
    assert code == 0, told
    assert s3.objects["cutouts/a.png"].data == b"of the shop"
    assert len(s3.keys(".png")) == 4
    assert "a.png is taken" in (shop / "state/results.json").read_text()


def test_an_object_that_comes_in_between_is_not_overwritten(
    shop: Path, said: Said, provider: ScriptedProvider, s3: S3, monkeypatch: pytest.MonkeyPatch
) -> None:
    look = bucket.Bucket._listed

    def listed(self: bucket.Bucket) -> object:
        found = look(self)
        s3.objects["cutouts/b.png"] = kept(b"of the shop")
        return found

    monkeypatch.setattr(bucket.Bucket, "_listed", listed)
    code, _, told = said(*RUN, "state")
    assert (code, s3.objects["cutouts/b.png"].data) == (3, b"of the shop")
    assert "b.png already lies in OUT, but this program did not write it" in told


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["--out", "s3://shop/cutouts"], "needs --state DIR"),
        (["--out", "cutouts", "--state", "state"], "cutouts is a folder"),
        (["--out", "s3://shop/cutouts", "--state", "state", "--hold-flagged"], "--hold-flagged works on folders only"),
        (["--out", "s3://shop/cutouts", "--state", "state", "--prune"], "--prune works on folders only"),
        (["--out", "s3://shop/cutouts", "--state", "state", "--start-over"], "--start-over works on folders only"),
        (["--out", "s3://shop/cutouts", "--state", "state", "--dry-run"], "--dry-run looks at folders only"),
        (["--out", "s3://other/cutouts", "--state", "state"], "there is no bucket s3://other"),
        (["--out", "s3://shop//cutouts", "--state", "state"], "--out s3://shop//cutouts is no key: a part of it is"),
        (["--out", "s3://shop/a/../b/", "--state", "state"], "--out s3://shop/a/../b is no key: a part of it is"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_bought(
    shop: Path, said: Said, provider: ScriptedProvider, s3: S3, words: list[str], why: str
) -> None:
    code, _, told = said("run", "in", *API, *words)
    assert (code, provider.bill, s3.keys()) == (2, 0, [])
    assert why in told
    assert said(*RUN, "state")[0] == 0  # and binds nobody


@pytest.mark.parametrize("where", ["s3://shop//in/", "s3://shop/in//", "s3://shop//", "s3://shop/./in/"])
def test_a_folder_whose_name_is_no_key_is_refused_rather_than_another(
    shop: Path, said: Said, provider: ScriptedProvider, s3: S3, where: str
) -> None:
    s3.objects["in/a.png"] = kept(photo())
    code, _, told = said("run", where, *API, "--out", "out")
    assert (code, provider.bill) == (2, 0), told
    assert f"{where} is no key: a part of it is empty, `.` or `..`" in told


def test_a_state_of_shards_is_refused_before_the_lease_is_taken(
    shop: Path, said: Said, provider: ScriptedProvider, s3: S3
) -> None:
    said(*RUN, "state", "--shard", "1/2")
    before = s3.keys()
    code, _, told = said("run", "in", *API, "--out", "s3://shop/others", "--state", "state")
    assert (code, s3.keys()) == (2, before), told
    assert "holds 2 shards" in told


def test_a_folder_belongs_to_one_bucket_or_to_none(shop: Path, said: Said, provider: ScriptedProvider, s3: S3) -> None:
    said(*RUN, "state")
    said("run", "in", *API, "--out", "folder")
    for words, why in [
        (["run", "in", *API, "--out", "s3://shop/others", "--state", "state"], "belongs to s3://shop/cutouts"),
        (["run", "in", *API, "--out", "state"], "the pictures of state are at s3://shop/cutouts"),
        ([*RUN, "folder"], "name an empty folder"),
        *(
            (each, "are at s3://shop/cutouts")
            for each in (["review", "state"], ["report", "state"], ["repair", "state"])
        ),
        (["export", "state", "--decision", "accepted", "--to", "x"], "are at s3://shop/cutouts"),
    ]:
        code, _, told = said(*words)
        assert (code, why in told) == (2, True), told
    code, out, _ = said("status", "state", "--json")
    assert json.loads(out)["counts"]["saved"] == 3


def test_a_run_that_somebody_else_renews_the_lease_of_is_refused_and_named(
    shop: Path, said: Said, provider: ScriptedProvider, s3: S3
) -> None:
    done = threading.Event()

    def renew() -> None:
        while not done.wait(0.1):
            held = lease.Held("other", "process 8 on host-b", 4, 0.9, str(time.monotonic()), free=False)
            s3.objects[f"{STATE}lease.json"] = kept(msgspec.json.encode(held))

    thread = threading.Thread(target=renew)
    thread.start()
    time.sleep(0.2)
    code, _, told = said(*RUN, "state")
    done.set()
    thread.join()
    assert (code, provider.bill) == (11, 0)
    assert "lease.json: process 8 on host-b has it; wait for that" in told
    code, _, told = said(*RUN, "state")  # once it isn't renewed any more
    assert (code, provider.bill) == (0, 3), told
    assert {key.rpartition("/")[2][:8] for key in s3.keys(".jsonl")} == {"00000005"}


def test_a_store_without_conditional_puts_is_refused(
    shop: Path, said: Said, provider: ScriptedProvider, s3: S3
) -> None:
    s3.conditions = False
    code, _, told = said(*RUN, "state")
    assert (code, provider.bill, s3.keys()) == (2, 0, [])
    assert "no conditional puts" in told


def test_a_lost_state_costs_a_look_at_the_bucket_for_every_create(
    shop: Path, said: Said, provider: ScriptedProvider, s3: S3
) -> None:
    """Each create's line is in the bucket before it is sent."""
    sent = provider.create

    async def create(request: object) -> object:
        lines = [json.loads(line) for line in ledger(s3).splitlines()]
        assert request.item in [line.get("item") for line in lines if line["event"] == "submitting"]  # type: ignore[attr-defined]
        return await sent(request)  # type: ignore[arg-type]

    provider.create = create  # type: ignore[method-assign,assignment]
    code, _, told = said(*RUN, "state")
    assert (code, provider.bill) == (0, 3), told
    shutil.rmtree(shop / "state")
    assert (said(*RUN, "state")[0], provider.bill) == (0, 3)


def test_another_format_and_a_new_photo_are_put_beside_the_first(
    shop: Path, said: Said, provider: ScriptedProvider, s3: S3
) -> None:
    said(*RUN, "state")
    (shop / "in/d.jpg").write_bytes(photo(colour=(9, 9, 9)))
    assert said(*RUN, "state", "--format", "webp")[0] == 0
    assert (provider.bill, len(s3.keys(".webp")), len(s3.keys(".png"))) == (4, 4, 3)


def test_a_budget_buys_as_many_as_it_is_though_each_create_waits_for_the_bucket(
    shop: Path, said: Said, provider: ScriptedProvider, s3: S3, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(segments, "APART", 0.3)
    code, _, told = said(*RUN, "state", "--max-predictions", "2")
    assert (code, provider.bill) == (4, 2), told
    assert "2 saved, 0 failed" in told
    assert b'"rejected"' not in ledger(s3)


def test_shards_have_a_prefix_a_lease_and_a_ledger_each_and_are_merged_by_their_urls(
    shop: Path, said: Said, provider: ScriptedProvider, s3: S3
) -> None:
    for nth in (1, 2):
        code, _, told = said(*RUN, "state", "--shard", f"{nth}/2")
        assert code == 0, told
        assert "gone" not in told
    assert provider.bill == 3
    pictures = s3.keys(".png")
    assert {key.split("/")[1] for key in pictures} <= {"shard-001-of-002", "shard-002-of-002"}
    assert sum(key.endswith("lease.json") for key in s3.objects) == 2
    assert said("merge", "state", "--to", "all.json")[0] == 0
    items = json.loads((shop / "all.json").read_text())["items"]
    assert sorted(item["output"] for item in items) == [f"s3://shop/{key}" for key in sorted(pictures)]
    for given, what in (
        (["--shard", "1/3"], "is a shard of 3, and that --out has 2"),
        ([], "s3://shop/cutouts holds shards"),
    ):
        code, _, told = said(*RUN, f"other{len(given)}", *given)
        assert code == 2
        assert what in told


def test_what_was_made_without_shards_is_not_divided_later(
    shop: Path, said: Said, provider: ScriptedProvider, s3: S3
) -> None:
    assert said(*RUN, "state")[0] == 0
    code, _, told = said(*RUN, "other", "--shard", "1/2")
    assert (code, provider.bill) == (2, 3)
    assert "s3://shop/cutouts was made without --shard" in told
