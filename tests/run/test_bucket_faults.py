"""Whatever befalls storage in a run: nothing is saved that isn't there, and nothing is bought twice."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from functools import partialmethod
from pathlib import Path

import anyio
import pytest
from obstore.store import ObjectStore

from batch_removebg import run_batch
from batch_removebg.run import place
from batch_removebg.storage import bucket, lease, segments
from batch_removebg.storage.objects import Store
from tests.support.doubles import ScriptedProvider, photo
from tests.support.s3 import S3, Fault, How, Object, bad_digest, expired, gone, lost, race, s3, slow, slow_down, torn
from tests.support.shop import API, Said, provider, said, shop

__all__ = ["provider", "s3", "said", "shop"]
RUN = ["run", "in", *API, "--out", "s3://shop/cutouts", "--state", "state", "--grace", "1"]
FAULTS = [slow_down, lost, race, bad_digest, gone, expired, slow(0.3)]
NAMES = ["503 SlowDown", "answer lost", "409 race", "wrong checksum", "nobody there", "ExpiredToken", "slow answer"]


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segments, "APART", 0.0)
    monkeypatch.setattr(place, "_COPIED", 0.2)
    monkeypatch.setattr(bucket, "_LONGEST", 0.1)
    monkeypatch.setattr(bucket, "_FIRST", 0.05)


def sound(s3: S3, state: Path) -> int:
    """How many are saved, each of which is there, whole."""
    lines = [json.loads(line) for line in (state / "ledger.jsonl").read_bytes().splitlines()]
    saved = {line["output"]: line["sha256"] for line in lines if line["event"] == "saved"}
    there = {name: hashlib.sha256(s3.objects[f"cutouts/{name}"].data).hexdigest() for name in saved}
    assert there == saved
    return len(saved)


@pytest.mark.parametrize("key", ["*.png", "*.jsonl", "*lease.json", "*results.json"])
@pytest.mark.parametrize("how", FAULTS, ids=NAMES)
def test_what_befalls_puts_costs_time_alone(
    shop: Path, said: Said, provider: ScriptedProvider, s3: S3, how: How, key: str
) -> None:
    s3.faults.append(Fault("PUT", key, how, times=2))
    code, _, told = said(*RUN)
    assert s3.failed > 0
    if (shop / "state/ledger.jsonl").exists():
        sound(s3, shop / "state")
    if code:
        assert "Traceback" not in told
        s3.faults.clear()
        code, _, told = said(*RUN)
    assert (code, sound(s3, shop / "state"), provider.bill) == (0, 3, 3), told


@pytest.mark.parametrize("how", [slow_down, torn, gone, slow(0.3)], ids=["503", "torn answer", "gone", "slow answer"])
def test_what_befalls_answers_to_a_run_elsewhere_leaves_no_half_ledger(
    shop: Path, said: Said, provider: ScriptedProvider, s3: S3, how: How
) -> None:
    assert said(*RUN)[0] == 0
    whole = (shop / "state/ledger.jsonl").read_bytes()
    shutil.rmtree(shop / "state")
    s3.faults += [Fault("GET", "*", how, times=3), Fault("HEAD", "*.jsonl", how)]
    code, _, told = said(*RUN)
    if code:
        assert not (shop / "state/ledger.jsonl").exists()
        code, _, told = said(*RUN)
    assert (code, provider.bill) == (0, 3), told
    assert (shop / "state/ledger.jsonl").read_bytes().startswith(whole)


@pytest.mark.parametrize(("how", "why"), [(gone, "no answer"), (expired, "keys are missing")], ids=["gone", "expired"])
def test_a_listing_that_cannot_be_had_ends_the_run_before_anything_is_bought(
    shop: Path, said: Said, provider: ScriptedProvider, s3: S3, how: How, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Store, "__init__", partialmethod(_hasty, Store.__init__))
    s3.faults.append(Fault("GET", "?list=cutouts/", how, times=99))
    code, _, told = said(*RUN)
    assert (code, provider.bill, why in told, "Traceback" in told) == (4, 0, True, False), told


def _hasty(self: Store, first: Callable[..., None], url: str, store: ObjectStore, *_: ObjectStore) -> None:
    first(self, url, store)  # listings, too


def test_keys_that_expire_in_a_run_end_it_with_what_to_do_and_nothing_is_lost(
    shop: Path, said: Said, provider: ScriptedProvider, s3: S3
) -> None:
    s3.faults.append(Fault("PUT", "*.png", expired, times=99))
    code, _, told = said(*RUN)
    assert (code, "keys are missing, wrong or expired; set AWS_ACCESS_KEY_ID" in told) == (4, True), told
    assert sound(s3, shop / "state") == 0
    s3.faults.clear()
    assert (said(*RUN)[0], sound(s3, shop / "state"), provider.bill) == (0, 3, 3)


def test_while_storage_is_away_nothing_is_bought_and_afterwards_the_run_goes_on(
    shop: Path, said: Said, provider: ScriptedProvider, s3: S3
) -> None:
    away, sent, bought_away = Fault("*", "*", gone, times=40), provider.create, list[bool]()

    async def create(request: object) -> object:
        bought_away.append(away in s3.faults and away.times > 0)
        if len(bought_away) == 1:
            s3.faults.append(away)  # from the first purchase on
        return await sent(request)  # type: ignore[arg-type]

    provider.create = create  # type: ignore[method-assign,assignment]
    code, _, told = said(*RUN, "--concurrency", "1")
    assert s3.failed == 40
    assert (code, sound(s3, shop / "state"), provider.bill, any(bought_away)) == (0, 3, 3, False), told


def test_a_driver_that_cannot_renew_ends_in_time_and_the_next_one_takes_up_what_it_bought(
    shop: Path, said: Said, provider: ScriptedProvider, s3: S3, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "SECONDS", 3.0)
    sent = provider.create

    async def create(request: object) -> object:
        s3.faults += [Fault("*", "*", gone, times=9999)]
        return await sent(request)  # type: ignore[arg-type]

    provider.create = create  # type: ignore[method-assign,assignment]
    code, _, told = said(*RUN, "--concurrency", "1")
    assert (code, provider.bill) == (4, 1), told
    assert "the lease can't be renewed" in told
    assert sound(s3, shop / "state") == 0
    s3.faults.clear()
    provider.create = sent  # type: ignore[method-assign]
    assert (said(*RUN)[0], sound(s3, shop / "state"), provider.bill) == (0, 3, 3)


def test_while_pictures_cannot_be_put_a_bounded_number_waits_in_memory(
    shop: Path, said: Said, provider: ScriptedProvider, s3: S3
) -> None:
    for number in range(60):
        (shop / f"in/{number}.jpg").write_bytes(photo(20, 20, colour=(number, 2 * number, 0)))
    s3.faults.append(Fault("PUT", "*.png", gone, times=300))
    code, _, told = said(*RUN)
    assert (code, s3.failed, provider.bill) == (0, 300, 63), told
    assert sound(s3, shop / "state") == 63
    puts = [key for method, key in s3.seen if method == "PUT" and key.endswith(".png")]
    assert len(set(puts[:300])) <= 32


@pytest.mark.anyio
async def test_a_run_that_is_cancelled_leaves_the_ledger_and_the_lease_to_the_next_one(shop: Path, s3: S3) -> None:
    class Slow(ScriptedProvider):
        async def fetch(self, url: str) -> bytes:
            scope.cancel()
            await anyio.sleep_forever()
            raise AssertionError

    with anyio.CancelScope() as scope:
        await run_batch("in", out="s3://shop/cutouts", state="state", provider=Slow())
    assert scope.cancelled_caught
    ledger = b"".join(s3.objects[key].data for key in s3.keys(".jsonl"))
    assert ledger == (shop / "state/ledger.jsonl").read_bytes()
    assert b'"submitted"' in ledger
    assert json.loads(s3.objects["cutouts/.batch-removebg/lease.json"].data)["free"] is True


def test_keys_that_cannot_be_read_fail_as_one_item_and_the_others_are_done(
    shop: Path, said: Said, provider: ScriptedProvider, s3: S3
) -> None:
    def run() -> tuple[dict[str, str], str]:
        code, _, told = said("run", "s3://shop/2026", *API, "--fetch-sources", "--out", "out")
        assert code == 3, told
        items = json.loads((shop / "out/results.json").read_text())["items"]
        return {item["id"]: item["status"] for item in items}, told

    for number, key in enumerate(("a.jpg", "s//b.jpg", "s//c.jpg", "s/d.jpg", "t/e.jpg")):
        s3.objects[f"2026/{key}"] = Object(photo(colour=(number, 0, 0)), '"1"', {})
    ended, told = run()
    assert ended == {"a.jpg": "saved", "s/d.jpg": "saved", "t/e.jpg": "saved", "s//": "failed"}
    assert "Keys with an empty part, `.` or `..` can't be read" in told
    del s3.objects["2026/s/d.jpg"]  # perhaps it is among those that can't be read now
    assert (run()[0], provider.bill) == (ended, 3)
