"""The simulated API of the benchmark speaks the contract, keeps its limits, and counts what it sees."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from PIL import Image

from batch_removebg.errors import PredictionFailed, PredictionInterrupted, RateLimited
from batch_removebg.model import CreateRequest, Status
from batch_removebg.providers import wire
from batch_removebg.providers.replicate import Endpoint, Replicate
from tests.bench.api import Api
from tests.bench.behaviour import Behaviour, Bucket, Limit, RunTimes, refusal
from tests.bench.material import cutout_of_bytes
from tests.bench.peers import bare, official
from tests.support.doubles import cutout

pytestmark = pytest.mark.anyio

Loop = Callable[[str, list[tuple[str, str]], Path], Awaitable[None]]

TWO_SECONDS = RunTimes(median=2.0, sigma=0.0)


@dataclass
class Hands:
    """A clock that is turned by hand."""

    time: float = 1_000_000.0

    def __call__(self) -> float:
        return self.time


@asynccontextmanager
async def running(hands: Hands | None = None, **behaviour: Any) -> AsyncIterator[tuple[Api, Replicate]]:
    """The API, and a provider connected to it."""
    api = Api(Behaviour(picture=300, **behaviour), now=hands or Hands())
    async with await api.listen(), aiohttp.ClientSession() as session:
        yield api, Replicate(session, Endpoint(base=f"{api.url}/v1"))


def request(image: str = "https://photos.example/1.jpg") -> CreateRequest:
    return CreateRequest(item="1", image=image, output="1.png", fingerprint="f", attempt=1)


async def test_a_prediction_ends_after_its_run_time_and_every_step_is_counted() -> None:
    hands = Hands()
    async with running(hands, run=TWO_SECONDS) as (api, provider):
        made = await provider.create(request())
        assert made.id == "p0"
        assert made.status is Status.PROCESSING
        hands.time += 1.9
        assert (await provider.get("p0")).status is Status.PROCESSING
        hands.time += 0.35
        ended = await provider.get("p0")
        assert (ended.status, ended.ran) == (Status.SUCCEEDED, 2.0)
        hands.time += 5
        await provider.get("p0")
        assert await provider.fetch(wire.result(ended)) == cutout_of_bytes(300)
        counts, [[created, ready, told, polls, fetched]] = api.facts.counts(), api.facts.series()["predictions"]
    assert (ready - created, polls, fetched - created) == (2.0, 3, 7.25)
    assert told - ready == pytest.approx(0.25)
    assert counts == {
        "accepted": 1,
        "rejected": 0,
        "distinct_inputs": 1,
        "failed": 0,
        "first_create": 1_000_000.0,
        "polls": 3,
        "throttled": 0,
        "lists": 0,
        "cancels": 0,
        "uploads": 0,
        "uploaded": 0,
        "uploaded_once": 0,
        "longest_side": 0,
        "overlapped": 0,
        "expired": 0,
        "downloads": 1,
        "waits": 0,
        "unknown": 0,
        "opened": 1,
        "most_open": 1,
    }


async def test_the_list_is_newest_first_in_pages_and_echoes_urls_alone() -> None:
    async with running() as (_, provider):
        for number in range(101):
            await provider.create(request(f"https://photos.example/{number}.jpg" if number else "data:image/png;,"))
        page = await provider.list()
        last = await provider.list(cursor=page.next)
    assert [page.predictions[0].image, len(page.predictions)] == ["https://photos.example/100.jpg", 100]
    assert [(p.id, p.image) for p in last.predictions] == [("p0", None)]
    assert last.next is None


async def test_a_canceled_prediction_stays_canceled() -> None:
    async with running(run=TWO_SECONDS) as (api, provider):
        await provider.create(request())
        await provider.cancel("p0")
        assert (await provider.get("p0")).status is Status.CANCELED
    assert api.facts.cancels == 1


async def test_creates_above_the_limit_are_refused_as_with_little_credit() -> None:
    hands = Hands()
    async with running(hands, creates=Limit(6, 1), low_credit=True) as (api, provider):
        await provider.create(request())
        hands.time += 3.5
        with pytest.raises(RateLimited, match=r"reduced to 6 requests per minute.*resets in ~7s") as caught:
            await provider.create(request())
        hands.time += 6.5
        await provider.create(request())
    assert caught.value.retry_after == 7
    assert api.facts.rejected == [1_000_003.5]
    assert len(api.facts.made) == 2


async def test_the_plain_refusal_says_when_in_a_header_and_polls_have_a_limit_of_their_own() -> None:
    async with running(creates=Limit(60, 1), others=Limit(60, 2)) as (api, provider):
        await provider.create(request())
        with pytest.raises(RateLimited) as caught:
            await provider.create(request())
        assert caught.value.retry_after == 1
        await provider.get("p0")
        await provider.get("p0")
        with pytest.raises(RateLimited):
            await provider.get("p0")
    assert (api.facts.throttled, len(api.facts.rejected)) == (1, 1)


async def test_the_limit_changes_at_its_time_after_the_first_create() -> None:
    hands = Hands()
    async with running(hands, creates=Limit(60, 1), changes=((10.0, Limit(600, 10)),)) as (api, provider):
        for moment in (0.0, 0.5, 10.0, 10.1):
            hands.time = 1_000_000.0 + moment
            try:
                await provider.create(request())
            except RateLimited:
                continue
    assert [round(made.created - 1_000_000, 6) for made in api.facts.made] == [0.0, 10.0, 10.1]


@pytest.mark.parametrize("honoured", [True, False])
async def test_prefer_wait_is_honoured_or_ignored(honoured: bool) -> None:
    api = Api(Behaviour(prefer_wait=honoured, run=RunTimes(median=0.01, sigma=0.0), picture=300))
    async with await api.listen(), aiohttp.ClientSession() as session:
        body = {"version": "v", "input": {"image": "https://photos.example/1.jpg"}}
        async with session.post(f"{api.url}/v1/predictions", json=body, headers={"Prefer": "wait"}) as answer:
            said, status = answer.headers.get("Preference-Applied"), (await answer.json())["status"]
    assert (said, status) == (("wait", "succeeded") if honoured else (None, "processing"))
    assert api.facts.waits == 1


async def test_an_uploaded_file_is_an_input_until_it_expires_and_gives_an_output_of_its_size() -> None:
    hands = Hands()
    data = cutout(33, 21)
    async with running(hands, file_seconds=60) as (api, provider):
        file = await provider.upload(data, filename="a.png", content_type="image/png")
        made = await provider.create(request(file.url))
        output = await provider.fetch(wire.result(made))
        hands.time += 60
        late = await provider.create(request(file.url))
    assert Image.open(io.BytesIO(output)).size == (33, 21)
    assert file.expires_at is not None
    assert file.expires_at.timestamp() == 1_000_060.0
    with pytest.raises(PredictionFailed, match="does not exist"):
        wire.result(late)
    counts = api.facts.counts()
    assert (counts["uploads"], counts["uploaded"], counts["longest_side"], counts["expired"]) == (1, len(data), 33, 1)


async def test_content_that_comes_up_again_is_counted_once_and_uploads_beside_a_prediction_are_told() -> None:
    hands = Hands()
    async with running(hands, run=TWO_SECONDS) as (api, provider):
        for data, seconds in ((cutout(33, 21), 0.0), (cutout(33, 21), 1.0), (cutout(21, 34), 2.5)):
            hands.time = 1_000_000.0 + seconds
            file = await provider.upload(data, filename="a.png", content_type="image/png")
            if seconds == 0:
                await provider.create(request(file.url))
    counts, once = api.facts.counts(), len(cutout(33, 21)) + len(cutout(21, 34))
    assert (counts["uploads"], counts["uploaded_once"], counts["longest_side"], counts["overlapped"]) == (
        3,
        once,
        34,
        1,
    )


async def test_an_interrupted_prediction_may_be_tried_again() -> None:
    async with running(interrupted=1.0) as (_, provider):
        with pytest.raises(PredictionInterrupted):
            wire.result(await provider.create(request()))


async def test_requests_in_pieces_and_in_chunks_are_read_whole_and_settings_come_in_as_json() -> None:
    api = Api()
    async with await api.listen():
        reader, writer = await asyncio.open_connection("127.0.0.1", int(api.url.rpartition(":")[2]))
        body = Behaviour(seed=7, creates=Limit(6, 1), changes=((1.5, Limit(60, 2)),)).as_json().encode()
        half = len(body) // 2
        writer.write(b"POST /_reset HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n" % half + body[:half])
        await writer.drain()
        writer.write(b"\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(body) - half, body[half:]))
        writer.write(b"GET /_facts?series HTTP/1.1\r\n\r\n")
        assert (await reader.readuntil(b"{}")).startswith(b"HTTP/1.1 200 OK\r\n")
        head = await reader.readuntil(b"\r\n\r\n")
        told = json.loads(await reader.readexactly(int(head.split(b"Content-Length: ")[1].split(b"\r\n")[0])))
        writer.close()
        await writer.wait_closed()
    assert api.behaviour == Behaviour(seed=7, creates=Limit(6, 1), changes=((1.5, Limit(60, 2)),))
    assert (told["accepted"], told["predictions"], told["opened"]) == (0, [], 0)


@pytest.mark.parametrize("loop", [official, bare])
async def test_the_loops_we_are_compared_with_write_every_picture(loop: Loop, tmp_path: Path) -> None:
    rows = [(f"{number}/x", f"https://photos.example/{number}.jpg") for number in range(70)]
    async with running() as (api, _):
        await loop(api.url, rows, tmp_path)
    assert {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.png")} == {
        f"{n}/x.png" for n in range(70)
    }
    assert {path.read_bytes() for path in tmp_path.rglob("*.png")} == {cutout_of_bytes(300)}
    assert (len(api.facts.made), api.facts.waits, api.facts.downloads, api.facts.unknown) == (70, 70, 70, 0)


def test_rejected_attempts_push_the_next_token_back_by_a_burst_at_most() -> None:
    bucket = Bucket(Limit(60, 1), rejected_count=True)
    assert bucket.take(100.0) == 0.0
    assert bucket.take(100.0) == 2.0
    assert bucket.take(100.0) == 2.0
    assert bucket.take(102.0) == 0.0


def test_a_bucket_fills_up_to_its_burst() -> None:
    bucket = Bucket(Limit(600, 10))
    assert [bucket.take(100.0) for _ in range(10)] == [0.0] * 10
    assert bucket.take(100.0) == pytest.approx(0.1)
    assert [bucket.take(500.0) for _ in range(11)][-2:] == [0.0, pytest.approx(0.1)]


def test_the_refusal_is_the_hosted_apis_word_for_word() -> None:
    body, headers = refusal(Limit(6, 1), 6.2, low_credit=True)
    assert headers == b""
    assert json.loads(body) == {
        "detail": "Request was throttled. Your rate limit for creating predictions is reduced to 6 requests per minute "
        "with a burst of 1 requests while you have less than $5.0 in credit. Your rate limit resets in ~7s.",
        "status": 429,
        "retry_after": 7,
    }
