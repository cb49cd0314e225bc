"""Source bytes from the disk and from the web, under the cap, with passing trouble retried."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import aiohttp
import pytest

from batch_removebg.clock import Clock
from batch_removebg.errors import (
    BatchError,
    Forbidden,
    PredictionLost,
    RateLimited,
    RetryError,
    ServerError,
    SourceError,
    Stopping,
)
from batch_removebg.imaging.format import Limits
from batch_removebg.model import Item
from batch_removebg.net import fetch
from batch_removebg.pipeline.sources import Sources
from batch_removebg.resources import Cpu
from batch_removebg.storage.spool import Held
from batch_removebg.workers.here import Here
from batch_removebg.workers.reading import Reader

pytestmark = pytest.mark.anyio

URL = "https://shop.example/shoe.jpg"
SESSION = cast("aiohttp.ClientSession", object())
INPUT_POLICY = fetch.FetchPolicy(size=1 << 20)


def workers(session: Callable[[], Any]) -> Here:
    return Here(Cpu(), Reader(session, INPUT_POLICY), Limits())


class Bench:
    """Sources over a web that answers as told, and a note of every wait."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *answers: bytes | BatchError, tries: int = 3) -> None:
        self.answers = deque(answers)
        self.waits: list[float] = []
        self.asked: list[tuple[int, float | None]] = []
        self._tries = tries
        self.now = 0.0
        self.told: list[str] = []
        self.sources = Sources(
            workers(lambda: SESSION),
            retry_delay=self.delay,
            sleep=self.sleep,
            clock=Clock(monotonic=lambda: self.now),
            say=self.told.append,
        )
        monkeypatch.setattr(fetch, "get", self.get)

    async def get(
        self, session: Any, url: str, *, fetching: fetch.FetchPolicy, headers: Any, known: fetch.Validators
    ) -> fetch.Fetched:
        assert (session, url, fetching, headers) == (SESSION, URL, INPUT_POLICY, ())
        answer = self.answers.popleft()
        if isinstance(answer, BatchError):
            raise answer
        return fetch.Fetched(answer)

    def delay(self, tries: int, error: RetryError) -> float | None:
        self.asked.append((tries, error.retry_after))
        return error.retry_after or float(tries) if tries < self._tries else None

    async def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.now += seconds

    async def read(self) -> Held:
        return await self.sources.patiently(Item(URL, URL, "list.txt:3"))


@pytest.fixture
def of_files(monkeypatch: pytest.MonkeyPatch) -> Sources:
    return Bench(monkeypatch).sources


def item(path: Path) -> Item:
    return Item("shoe", "in/shoe.jpg", "list.csv:2", path=path)


async def test_a_file_is_read_whole_and_anew_each_time(of_files: Sources, tmp_path: Path) -> None:
    path = tmp_path / "shoe.jpg"
    path.write_bytes(b"\x00pixels\n\r\xff")
    assert (await of_files.read(item(path))).body == b"\x00pixels\n\r\xff"
    path.write_bytes(b"")
    assert (await of_files.read(item(path))).body == b""


async def test_a_file_of_exactly_the_cap_is_read_and_one_byte_more_is_refused(
    of_files: Sources, tmp_path: Path
) -> None:
    path = tmp_path / "shoe.jpg"
    path.write_bytes(bytes(INPUT_POLICY.size))
    assert len((await of_files.read(item(path))).body) == INPUT_POLICY.size
    path.write_bytes(bytes(INPUT_POLICY.size + 1))
    with pytest.raises(SourceError, match=r"^is larger than 1 MiB; raise --max-size$"):
        await of_files.read(item(path))


async def test_a_file_that_is_not_there_is_named_with_the_row_that_names_it(of_files: Sources, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"^does not exist: in/shoe\.jpg \(from list\.csv:2\)$"):
        await of_files.read(item(tmp_path / "gone.jpg"))


@pytest.mark.parametrize(("name", "reason"), [(".", "Is a directory"), ("x\0.jpg", "embedded null byte")])
async def test_what_cannot_be_read_says_why(of_files: Sources, tmp_path: Path, name: str, reason: str) -> None:
    with pytest.raises(SourceError, match=f"^can't be read: {reason}$"):
        await of_files.read(item(tmp_path / name))


async def test_no_session_is_asked_for_where_there_are_only_files(tmp_path: Path) -> None:
    (tmp_path / "shoe.jpg").write_bytes(b"pixels")

    async def sleep(seconds: float) -> None: ...

    sources = Sources(
        workers(lambda: pytest.fail("asked for a session")),
        retry_delay=lambda tries, error: None,
        sleep=sleep,
        clock=Clock(),
        say=lambda said: None,
    )
    assert (await sources.read(item(tmp_path / "shoe.jpg"))).body == b"pixels"


async def test_a_url_is_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(monkeypatch, b"pixels")
    assert await bench.read() == b"pixels"
    assert bench.waits == []


async def test_passing_trouble_of_a_url_is_tried_again_as_the_policy_says(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(monkeypatch, ServerError("503"), RateLimited("429", retry_after=7.0), b"pixels")
    assert await bench.read() == b"pixels"
    assert bench.asked == [(1, None), (2, 7.0)]
    assert bench.waits == [1.0, 7.0]


async def test_the_last_trouble_is_raised_once_the_policy_has_had_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(monkeypatch, ServerError("one"), ServerError("two"), ServerError("three"))
    with pytest.raises(ServerError, match="three"):
        await bench.read()
    assert bench.waits == [1.0, 2.0]


async def test_a_url_that_is_not_there_fails_the_item_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(monkeypatch, PredictionLost(f"{URL} is not there (404)"))
    with pytest.raises(SourceError, match="is not there"):
        await bench.read()
    assert (bench.asked, bench.waits) == ([], [])


async def test_a_refusal_is_final(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(monkeypatch, SourceError("answers 403"))
    with pytest.raises(SourceError, match="answers 403"):
        await bench.read()
    assert bench.asked == []


async def test_a_run_that_stops_ends_the_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    async def stopping(seconds: float) -> None:
        raise Stopping("the run is stopping")

    bench = Bench(monkeypatch, ServerError("503"))
    bench.sources.sleep = stopping
    with pytest.raises(Stopping):
        await bench.read()


def test_what_is_worked_on_is_kept_as_far_as_there_is_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("batch_removebg.pipeline.sources._ROOM", 10)
    sources = Bench(monkeypatch).sources
    sources.hold("a", b"123456")
    sources.hold("a", b"123456")  # the same again takes no more room
    sources.hold("b", b"1234")
    sources.hold("c", b"1")
    assert [sources._kept.get(key) for key in "abc"] == [b"123456", b"1234", None]
    sources.let_go("a")
    sources.let_go("a")
    sources.hold("c", b"123456")
    assert [sources._kept.get(key) for key in "abc"] == [None, b"1234", b"123456"]


@pytest.mark.parametrize(
    ("url", "asked"),
    [
        ("http://drive.google.com/file/d/1aB/view", "https://drive.google.com/uc?export=download&id=1aB"),
        ("http://we.tl/t-x", None),
        ("http://shop.example/a.jpg", None),
    ],
)
async def test_of_a_share_link_the_file_is_tried_and_else_it_is_named(
    monkeypatch: pytest.MonkeyPatch, url: str, asked: str | None
) -> None:
    seen: list[str] = []

    async def get(session: Any, url: str, **_: Any) -> fetch.Fetched:
        seen.append(url)
        return fetch.Fetched(b"picture" if "download" in url else b"<html>")

    bench = Bench(monkeypatch)
    monkeypatch.setattr(fetch, "get", get)
    reading = bench.sources.read(Item("a", "signed", "list.txt:3", url=url))
    if "we.tl" in url:
        with pytest.raises(SourceError, match="is a share link of WeTransfer, and leads to a page: let anyone"):
            await reading
    else:
        assert (await reading).body == (b"picture" if asked else b"<html>")
    assert seen == [url, *filter(None, [asked])]


async def test_a_forbidden_url_names_the_flag_for_headers(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(monkeypatch, Forbidden("answers 403"))
    with pytest.raises(SourceError, match="answers 403; where it wants a Referer or a key, give it by --header"):
        await bench.read()
