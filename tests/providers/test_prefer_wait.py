"""`Prefer: wait` is asked for where it serves, and given up where it doesn't or does harm."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from aiohttp import web

from batch_removebg.errors import BatchError, CreateLost
from batch_removebg.model import Capabilities, CreateRequest, Prediction, Status
from batch_removebg.providers.polling import RunTimes
from batch_removebg.providers.prefer_wait import PreferWait, WaitPolicy
from tests.support.doubles import ScriptedProvider
from tests.support.fake_api import FakeApi, connected

REQUEST = CreateRequest(item="a", image="https://x/a.jpg", output="a.png")
WAITS = Capabilities(files=True, list=True, cancel=True, wait=True)
EARLY = Prediction("p", Status.STARTING, held=0.01)
IN_TIME = Prediction("p", Status.SUCCEEDED, output="https://out/p.png", held=2.0)
TOO_LATE = Prediction("p", Status.PROCESSING, held=5.0)
SAID_SO = replace(EARLY, wait_honoured=True)


def asked(policy: WaitPolicy, *answers: Prediction) -> bool:
    """Whether it still asks after such answers."""
    for answer in answers:
        policy.answered(5, answer)
    return policy.seconds(None) is not None


def test_the_first_few_creates_are_plain_and_tell_how_quick_the_server_is() -> None:
    policy = WaitPolicy()
    assert [policy.seconds(None) for _ in range(6)] == [None, None, None, None, 5, 5]


@pytest.mark.parametrize(
    ("usual", "seconds"), [(None, 5), (0.0, 1), (0.2, 1), (2.0, 3), (3.1, 5), (6.0, 9), (60.0, 10)]
)
def test_it_waits_for_what_is_usual_and_half_as_much_and_ten_seconds_at_most(usual: float | None, seconds: int) -> None:
    assert WaitPolicy(plain=0).seconds(usual) == seconds


@pytest.mark.parametrize("answer", [IN_TIME, TOO_LATE, SAID_SO])
def test_it_is_used_as_long_as_the_server_shows_that_it_honours_it(answer: Prediction) -> None:
    assert asked(WaitPolicy(plain=0), EARLY, EARLY, answer, EARLY, EARLY, answer)


def test_it_is_given_up_after_a_few_early_answers_without_a_result() -> None:
    policy = WaitPolicy(plain=0)
    assert asked(policy, EARLY, EARLY)
    assert not asked(policy, EARLY)


def test_it_is_given_up_where_long_requests_get_lost() -> None:
    policy = WaitPolicy(plain=0)
    policy.lost()
    policy.answered(5, IN_TIME)
    policy.lost()
    assert policy.seconds(None) == 5
    policy.lost()
    assert policy.seconds(None) is None


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("capabilities", "image", "waits"),
    [
        (WAITS, "https://x/a.jpg", 3),
        (WAITS, "data:image/jpeg;base64,AAAA", None),
        (replace(WAITS, wait=False), "https://x/a.jpg", None),
        (replace(WAITS, list=False), "https://x/a.jpg", None),
    ],
)
async def test_it_is_asked_only_where_a_lost_create_can_be_found(
    capabilities: Capabilities, image: str, waits: int | None
) -> None:
    times = RunTimes()
    for _ in range(4):
        times.add(2.0)
    inner = ScriptedProvider(capabilities=capabilities)
    await PreferWait(inner, WaitPolicy(plain=0), times).create(replace(REQUEST, image=image))
    assert inner.requests[0].wait == waits


@pytest.mark.anyio
async def test_lost_answers_are_counted_and_passed_on() -> None:
    inner = ScriptedProvider(creates=[CreateLost("cut"), CreateLost("cut")], capabilities=WAITS)
    policy = WaitPolicy(plain=0)
    provider = PreferWait(inner, policy, RunTimes())
    for _ in range(2):
        with pytest.raises(BatchError):
            await provider.create(REQUEST)
    assert policy.seconds(None) is None
    await provider.create(REQUEST)
    assert [request.wait for request in inner.requests] == [5, 5, None]


@pytest.mark.anyio
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
