"""Sources in buckets: read by us, whatever the API could fetch; with the manners of hosts, and asked for changes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from batch_removebg.clock import Clock
from batch_removebg.errors import KeyRejected, RateLimited, RetryError, SettingsError, SourceError
from batch_removebg.hashing import sha256_hex
from batch_removebg.imaging.format import Limits
from batch_removebg.ledger.state import ItemState
from batch_removebg.model import Item
from batch_removebg.net.fetch import FetchPolicy, Validators
from batch_removebg.pipeline.hosts import NotNow
from batch_removebg.pipeline.sources import Sources
from batch_removebg.pipeline.work import Prepared, Todo
from batch_removebg.resources import Cpu
from batch_removebg.run import assemble, dry_run
from batch_removebg.run.settings import Settings
from batch_removebg.workers.here import Here
from batch_removebg.workers.reading import Reader
from tests.support.bench import Bench, bench
from tests.support.buckets import Buckets
from tests.support.doubles import photo

__all__ = ["bench"]
pytestmark = pytest.mark.anyio
A, B = "s3://shop/in/a.jpg", "s3://other/b.jpg"


@pytest.fixture
def buckets(monkeypatch: pytest.MonkeyPatch) -> Buckets:
    made = Buckets(monkeypatch)
    made.put(A, photo(40, 30, (1, 2, 3)))
    made.put(B, photo(40, 30, (3, 2, 1)))
    return made


@pytest.fixture
def sources(buckets: Buckets) -> Sources:
    async def sleep(seconds: float) -> None: ...

    return Sources(
        Here(Cpu(), Reader(lambda: pytest.fail("asked for a session"), FetchPolicy(size=1 << 20)), Limits()),
        retry_delay=lambda tries, error: 1.0,
        sleep=sleep,
        clock=Clock(monotonic=lambda: 0.0),
        say=lambda said: None,
    )


def item(url: str) -> Item:
    return Item(url, url, "list.csv:2")


class Refusing:
    """A store that refuses everything so."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    async def get(self, key: str, limit: int) -> Any:
        raise self.error


async def test_what_the_api_cannot_fetch_is_uploaded_although_urls_are_passed_on(
    bench: Bench, buckets: Buckets, tmp_path: Path
) -> None:
    manifest = tmp_path / "shop.csv"
    manifest.write_text(f"id,image\nA,{A}\nU,https://shop.example/u.jpg\n")
    summary = await bench.run(str(manifest))
    assert (summary.saved, bench.saved()) == (2, ["A.png", "U.png"])
    asked = {request.item: request.image.partition("example/")[0] for request in bench.provider.requests}
    assert asked == {"A": "https://files.", "U": "https://shop."}
    [saved] = [line for line in bench.ledger() if line["event"] == "saved" and line["item"] == "A"]
    assert (saved["source"], saved["source_sha256"]) == (A, sha256_hex(photo(40, 30, (1, 2, 3))))


async def test_a_manifest_in_a_bucket_names_pictures_beside_it(bench: Bench, buckets: Buckets) -> None:
    buckets.put("s3://shop/lists/shop.csv", f"id,image\nA,../in/a.jpg\nB,{B}\nC,/in/a.jpg\nD,x//y.jpg\n".encode())
    summary = await bench.run("s3://shop/lists/shop.csv")
    assert (summary.saved, summary.failed, bench.saved()) == (3, 1, ["A.png", "B.png", "C.png"])


async def test_a_dry_run_lists_and_promises_nothing_of_contents(tmp_path: Path, buckets: Buckets) -> None:
    manifest = tmp_path / "shop.csv"
    manifest.write_text(f"id,image\nA,{A}\nC,{A}\n")
    given = Settings(out=tmp_path / "out", provider="gateway", base_url="http://127.0.0.1:9/v1")
    counts = dry_run.preview(["s3://shop/in", str(manifest)], given, lambda event: None)
    assert counts == {"total": 3, "bought": 3}


async def test_a_prefix_is_a_folder_and_what_has_changed_is_done_anew_by_its_etag(
    bench: Bench, buckets: Buckets, monkeypatch: pytest.MonkeyPatch
) -> None:
    buckets.put("s3://shop/in/s/b.jpg", photo(40, 30, (7, 7, 7)))
    assert (await bench.run("s3://shop/in")).saved == 2
    assert bench.saved() == ["a.png", "s/b.png"]
    buckets.put(A, photo(40, 30, (9, 9, 9)))
    assert (await bench.run("s3://shop/in")).skipped == 2  # at once: a resume costs nothing
    monkeypatch.setattr(assemble, "_FRESH", -1.0)
    assert (await bench.run("s3://shop/in")).skipped == 1
    assert bench.provider.bill == 3


async def test_an_object_is_read_again_only_if_its_etag_has_changed(sources: Sources, buckets: Buckets) -> None:
    first = await sources.read(item(A))
    assert not first.unchanged
    again = await sources.read(item(A), first.validators)
    assert (again.unchanged, again.body, again.validators) == (True, b"", first.validators)
    buckets.put(A, b"another")
    other = await sources.read(item(A), first.validators)
    assert (other.unchanged, other.body) == (False, b"another")
    assert await sources.read(item(A), Validators(modified="yesterday")) == other


async def test_an_object_that_changes_while_it_is_done_fails_its_row(sources: Sources, buckets: Buckets) -> None:
    data = (await sources.read(item(A))).body
    prepared = Prepared(Todo(item(A), "A.png", ItemState()), "fingerprint", sha256_hex(data), 0.0)
    assert await sources.again(prepared) == data
    buckets.put(A, b"another")
    with pytest.raises(SourceError, match="changed while it was being done"):
        await sources.again(prepared)


async def test_a_bucket_that_asks_to_slow_down_is_left_alone_and_the_others_are_not(
    sources: Sources, buckets: Buckets
) -> None:
    buckets["s3://shop"] = Refusing(RateLimited("s3://shop/in/a.jpg (503 SlowDown)"))
    for _ in range(2):  # the second isn't even asked for
        with pytest.raises(NotNow):
            await sources.read(item(A))
        buckets["s3://shop"].error = AssertionError("asked")
    assert (await sources.read(item(B))).body == photo(40, 30, (3, 2, 1))


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("s3://shop/gone.jpg", "does not exist: s3://shop/gone.jpg"),
        ("s3://shop/a/../b.jpg", "is no key"),
    ],
)
async def test_what_one_row_names_in_vain_fails_that_row(sources: Sources, url: str, said: str) -> None:
    with pytest.raises(SourceError, match=said):
        await sources.read(item(url))


async def test_no_permission_fails_the_row_and_says_so(sources: Sources, buckets: Buckets) -> None:
    buckets["s3://shop"] = Refusing(SettingsError("s3://shop/in/a.jpg (403 AccessDenied): have it allowed"))
    with pytest.raises(SourceError, match="403 AccessDenied"):
        await sources.read(item(A))


async def test_expired_keys_end_the_run_and_leave_its_rows_pending(
    bench: Bench, buckets: Buckets, tmp_path: Path
) -> None:
    manifest = tmp_path / "shop.csv"
    manifest.write_text(f"id,image\nB,{B}\nA,{A}\n")
    buckets["s3://shop"] = Refusing(KeyRejected("its keys are missing, wrong or expired"))
    summary = await bench.run(str(manifest))
    assert (summary.exit_code, summary.failed, str(summary.stopped)) == (4, 0, "its keys are missing, wrong or expired")
    assert {each["id"]: each["status"] for each in bench.results()["items"]}["A"] == "pending"


async def test_without_the_extra_a_row_ends_the_run_and_says_how_to_install_it(
    bench: Bench, buckets: Buckets, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = tmp_path / "shop.csv"
    manifest.write_text(f"id,image\nA,{A}\n")

    def opened(url: str) -> Any:
        raise SettingsError("s3://shop needs an extra")

    monkeypatch.setattr("batch_removebg.workers.reading.opened", opened)
    summary = await bench.run(str(manifest))
    assert (summary.exit_code, summary.failed, str(summary.stopped)) == (2, 0, "s3://shop needs an extra")


async def test_passing_trouble_ends_as_that_of_hosts_does(sources: Sources, buckets: Buckets) -> None:
    buckets["s3://shop"] = Refusing(RetryError("no answer"))
    sources.retry_delay = lambda tries, error: None
    with pytest.raises(RetryError, match="no answer"):
        await sources.read(item(A))
