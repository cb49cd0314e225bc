"""Passing troubles are tried again as long as the policy says, and what may cost money twice is not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch_removebg.clock import Clock
from batch_removebg.errors import (
    BatchError,
    ConnectionFailed,
    CreateLost,
    InputRejected,
    KeyRejected,
    PredictionLost,
    RateLimited,
    RetryError,
    ServerError,
    Stopping,
)
from batch_removebg.model import CreateRequest
from batch_removebg.providers.retry import Retrying, RetryPolicy
from batch_removebg.stop import Gate
from tests.support.doubles import FakeClock, ScriptedProvider, pausing

pytestmark = pytest.mark.anyio

REQUEST = CreateRequest(item="a", image="https://x/a.jpg", output="a.png")
POLICY = RetryPolicy()


# The policy


@pytest.mark.parametrize(
    ("tries", "chance", "seconds"),
    [(1, 0.0, 0.25), (1, 0.5, 0.375), (2, 0.0, 0.5), (2, 0.5, 0.75), (3, 0.0, 1.0), (5, 0.0, 4.0), (6, 0.5, None)],
)
def test_the_back_off_doubles_and_half_of_it_is_chance(tries: int, chance: float, seconds: float | None) -> None:
    assert POLICY.delay(tries, ServerError("busy"), chance) == seconds


def test_the_back_off_does_not_grow_beyond_its_longest() -> None:
    patient = RetryPolicy(attempts=100, longest=30.0)
    assert patient.delay(7, ServerError("busy"), 0.5) == 0.75 * 30.0
    assert patient.delay(99, ServerError("busy"), 0.5) == 0.75 * 30.0


def test_rate_limits_have_a_budget_of_their_own() -> None:
    assert POLICY.delay(6, ConnectionFailed("no"), 0.0) is None
    assert POLICY.delay(6, RateLimited("slow down"), 0.0) == 8.0
    assert POLICY.delay(59, RateLimited("slow down"), 0.0) == 15.0
    assert POLICY.delay(60, RateLimited("slow down"), 0.0) is None


@pytest.mark.parametrize(
    ("asked", "chance", "seconds"),
    [
        (7.0, 0.0, 7.0),
        (7.0, 0.5, 7.25),  # half of the first back-off of half a second
        (120.0, 0.0, 120.0),
        (121.0, 0.0, 120.0),
        (1e9, 0.0, 120.0),
        (0.0, 0.0, 0.25),  # the same as nothing asked
        (None, 0.0, 0.25),
    ],
)
def test_the_server_is_obeyed_up_to_our_patience(asked: float | None, chance: float, seconds: float) -> None:
    assert POLICY.delay(1, RateLimited("slow down", retry_after=asked), chance) == seconds
    assert POLICY.delay(1, ServerError("busy", retry_after=asked), chance) == seconds


@given(
    tries=st.integers(1, 10**6),
    chance=st.floats(0, 1, exclude_max=True),
    asked=st.none() | st.floats(0, allow_nan=False),
    kind=st.sampled_from([RateLimited, ServerError, ConnectionFailed]),
)
def test_a_wait_is_never_negative_and_never_for_ever(
    tries: int, chance: float, asked: float | None, kind: type[RetryError]
) -> None:
    wait = POLICY.delay(tries, kind("no", retry_after=asked), chance)
    assert wait is None or 0 < wait <= 121.0
    assert wait is None or asked is None or wait >= min(asked, 120.0)


# The wrapper


class Failing(ScriptedProvider):
    """Every call fails as often as it is told to, before it succeeds."""

    def __init__(self, *errors: BatchError) -> None:
        super().__init__(creates=errors)
        self._errors = list(errors)

    def _fail(self) -> None:
        if self._errors:
            raise self._errors.pop(0)

    async def get(self, prediction_id: str) -> Any:
        self.calls.append("get")
        self._fail()

    async def cancel(self, prediction_id: str) -> None:
        self.calls.append("cancel")
        self._fail()

    async def list(self, **kwargs: Any) -> Any:
        self.calls.append(f"list {kwargs}")
        self._fail()

    async def upload(self, data: bytes, **kwargs: Any) -> Any:
        self.calls.append(f"upload {data!r} {kwargs}")
        self._fail()

    async def fetch(self, url: str) -> Any:
        self.calls.append(f"fetch {url}")
        self._fail()


def retrying(inner: ScriptedProvider, time: FakeClock, *, gate: Gate | None = None) -> Retrying:
    gate = gate or Gate(time.clock)
    return Retrying(inner, POLICY, clock=time.clock, pause=pausing(time.sleep, gate.sleep), waiting=lambda text: None)


async def test_a_create_is_sent_again_as_long_as_it_was_refused_for_certain() -> None:
    time = FakeClock()
    inner = ScriptedProvider(
        creates=[ServerError("busy"), RateLimited("slow", retry_after=7.0), ConnectionFailed("no")]
    )
    made = await retrying(inner, time).create(REQUEST)
    assert made.id == "p1"
    assert time.slept == [0.375, 7.5, 1.5]
    assert inner.bill == 1


async def test_what_remains_after_all_tries_is_the_last_error() -> None:
    time, errors = FakeClock(), [ServerError(f"busy {number}") for number in range(6)]
    inner = ScriptedProvider(creates=errors)
    with pytest.raises(ServerError, match="busy 5"):
        await retrying(inner, time).create(REQUEST)
    assert (len(inner.requests), len(time.slept)) == (6, 5)


async def test_a_lost_create_is_not_sent_again() -> None:
    time, lost = FakeClock(), CreateLost("the answer never came")
    inner = ScriptedProvider(creates=[lost])
    with pytest.raises(CreateLost) as caught:
        await retrying(inner, time).create(REQUEST)
    assert caught.value is lost
    assert (len(inner.requests), time.slept) == (1, [])


@pytest.mark.parametrize("error", [KeyRejected("no"), InputRejected("no"), PredictionLost("no"), Stopping("no")])
async def test_what_another_try_would_not_mend_is_not_tried_again(error: BatchError) -> None:
    for call in CALLS.values():
        inner = Failing(error)
        with pytest.raises(type(error)) as caught:
            await call(retrying(inner, FakeClock()))
        assert caught.value is error
        assert len(inner.calls) == 1


CALLS: dict[str, Callable[[Retrying], Any]] = {
    "create": lambda provider: provider.create(REQUEST),
    "get": lambda provider: provider.get("p1"),
    "cancel": lambda provider: provider.cancel("p1"),
    "list": lambda provider: provider.list(cursor="c"),
    "upload": lambda provider: provider.upload(b"x", filename="x.jpg", content_type="image/jpeg"),
    "fetch": lambda provider: provider.fetch("https://x/a.png"),
}


@pytest.mark.parametrize("call", CALLS)
async def test_every_call_is_tried_again_with_the_same_arguments(call: str) -> None:
    time, inner = FakeClock(), Failing(ServerError("busy"), ConnectionFailed("no"))
    await CALLS[call](retrying(inner, time))
    assert len(inner.calls) == 3
    assert len(set(inner.calls)) == 1
    assert time.slept == [0.375, 0.75]


async def test_people_are_told_why_a_wait_begins() -> None:
    said: list[str] = []
    time, inner = FakeClock(), Failing(RateLimited("the server answers 429", retry_after=7.0))
    provider = Retrying(inner, POLICY, clock=time.clock, pause=pausing(time.sleep), waiting=said.append)
    await provider.get("p1")
    assert said == ["the server answers 429; trying again in 7.2 s"]


@pytest.mark.parametrize("call", ["create", "upload"])
async def test_a_wait_before_a_purchase_ends_when_the_run_stops(call: str) -> None:
    time, inner = FakeClock(), Failing(ServerError("busy"))
    gate = Gate(time.clock)
    gate.close(KeyRejected("no"))
    with pytest.raises(Stopping):
        await CALLS[call](retrying(inner, time, gate=gate))
    assert len(inner.calls) == 1


@pytest.mark.parametrize("call", ["get", "cancel", "list", "fetch"])
async def test_a_wait_for_what_is_paid_goes_on_when_the_run_stops(call: str) -> None:
    time, inner = FakeClock(), Failing(ServerError("busy"))
    gate = Gate(time.clock)
    gate.close(KeyRejected("no"))
    await CALLS[call](retrying(inner, time, gate=gate))
    assert len(inner.calls) == 2


async def test_chance_comes_from_the_clock() -> None:
    time = FakeClock()
    lucky = Clock(time.clock.monotonic, time.clock.wall, time.sleep, lambda: 0.0)
    provider = Retrying(Failing(ServerError("busy")), POLICY, clock=lucky, pause=pausing(time.sleep), waiting=print)
    await provider.get("p1")
    assert time.slept == [0.25]


def test_a_wrapper_shows_what_it_wraps() -> None:
    inner = ScriptedProvider()
    outer = retrying(inner, FakeClock())
    assert (outer.name, outer.version, outer.capabilities, outer.proxy) == (
        inner.name, inner.version, inner.capabilities, inner.proxy
    )  # fmt: skip
