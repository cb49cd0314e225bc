"""`Prefer: wait` is asked for where it serves, and given up where it doesn't or does harm."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from aiohttp import web

from batch_removebg.errors import BatchError, CreateLost
from batch_removebg.model import Capabilities, CreateRequest, Prediction, Status
from batch_removebg.providers.polling import RunTimes
from batch_removebg.providers.prefer_wait import PreferWait
from tests.support.doubles import ScriptedProvider
from tests.support.fake_api import FakeApi, connected

pytestmark = pytest.mark.anyio

REQUEST = CreateRequest(item="a", image="https://x/a.jpg", output="a.png")
WAITS = Capabilities(files=True, list=True, cancel=True, wait=True)
EARLY = Prediction("p", Status.STARTING, held=0.01)
IN_TIME = Prediction("p", Status.SUCCEEDED, output="https://out/p.png", held=2.0)
TOO_LATE = Prediction("p", Status.PROCESSING, held=5.0)
SAID_SO = replace(EARLY, wait_honoured=True)


async def waits(*answers: Prediction | BatchError, plain: int = 0, usual: float | None = None) -> list[int | None]:
    """What creates with such answers, and one more, ask for."""
    times = RunTimes()
    for _ in range(4 if usual is not None else 0):
        times.add(usual or 0.0)
    inner = ScriptedProvider(creates=answers, capabilities=WAITS)
    provider = PreferWait(inner, times, plain)
    for _ in range(len(answers) + 1):
        with suppress(CreateLost):
            await provider.create(REQUEST)
    return [request.wait for request in inner.requests]


async def test_the_first_few_creates_are_plain_and_tell_how_quick_the_server_is() -> None:
    assert await waits(*[IN_TIME] * 5, plain=4) == [None, None, None, None, 5, 5]


@pytest.mark.parametrize(
    ("usual", "seconds"), [(None, 5), (0.0, 1), (0.2, 1), (2.0, 3), (3.1, 5), (6.0, 9), (60.0, 10)]
)
async def test_it_waits_for_what_is_usual_and_half_as_much_and_ten_seconds_at_most(
    usual: float | None, seconds: int
) -> None:
    assert await waits(usual=usual) == [seconds]


@pytest.mark.parametrize("answer", [IN_TIME, TOO_LATE, SAID_SO])
async def test_it_is_used_as_long_as_the_server_shows_that_it_honours_it(answer: Prediction) -> None:
    assert await waits(EARLY, EARLY, answer, EARLY, EARLY, answer) == [5] * 7


async def test_it_is_given_up_after_a_few_early_answers_without_a_result() -> None:
    assert await waits(EARLY, EARLY, EARLY) == [5, 5, 5, None]


async def test_it_is_given_up_where_long_requests_get_lost() -> None:
    lost = CreateLost("cut")
    assert await waits(lost, IN_TIME, lost, lost) == [5, 5, 5, 5, None]


@pytest.mark.parametrize(
    ("capabilities", "image", "seconds"),
    [
        (WAITS, "https://x/a.jpg", 3),
        (WAITS, "data:image/jpeg;base64,AAAA", None),
        (replace(WAITS, wait=False), "https://x/a.jpg", None),
        (replace(WAITS, list=False), "https://x/a.jpg", None),
    ],
)
async def test_it_is_asked_only_where_a_lost_create_can_be_found(
    capabilities: Capabilities, image: str, seconds: int | None
) -> None:
    times = RunTimes()
    for _ in range(4):
        times.add(2.0)
    inner = ScriptedProvider(capabilities=capabilities)
    await PreferWait(inner, times, plain=0).create(replace(REQUEST, image=image))
    assert inner.requests[0].wait == seconds


@pytest.mark.parametrize("applied", [True, False])
async def test_the_wish_travels_as_a_header_and_what_becomes_of_it_is_seen(applied: bool) -> None:
    async with FakeApi(polls=0) as api, connected(api) as provider:

        async def answer(request: web.Request) -> web.StreamResponse:
            made: Any = await api.normal(request)
            if applied:
                made.headers["Preference-Applied"] = "wait"
            return made  # type: ignore[no-any-return]

        api.respond("POST", "/predictions", answer)
        made = await provider.create(replace(REQUEST, wait=7))
        plain = await provider.create(REQUEST)
    assert [seen.headers.get("Prefer") for seen in api.requests] == ["wait=7", None]
    assert made.wait_honoured is applied
    assert made.held > 0
    assert plain.status is Status.SUCCEEDED
