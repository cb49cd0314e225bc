"""Creates keep to the account's limit, told or found out, and go in the order they came."""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count, pairwise

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batch_removebg.errors import BudgetReached, RateLimited, ServerError, Stopping
from batch_removebg.model import CreateRequest
from batch_removebg.provider.gate import Gate
from batch_removebg.provider.ratelimit import Throttled, TokenBucket
from tests.doubles import FakeClock, ScriptedProvider

HOUR = 3600.0


def grants(bucket: TokenBucket, *, until: float, start: float = 0.0) -> list[float]:
    """When creates go, if somebody always wants one and all are accepted."""
    now, taken = start, []
    while now < until:
        wait = bucket.take(now)
        if wait == 0.0:
            taken.append(now)
            bucket.accepted()
        now += wait
    return taken


# The bucket


def test_without_a_limit_nothing_waits() -> None:
    bucket = TokenBucket()
    assert [bucket.take(5.0) for _ in range(1000)] == [0.0] * 1000


def test_a_rate_is_kept_from_the_first_create_on() -> None:
    assert grants(TokenBucket(per_second=0.1), until=60.0) == pytest.approx([0.0, 10.0, 20.0, 30.0, 40.0, 50.0])


def test_a_burst_is_for_after_a_rest_only() -> None:
    bucket = TokenBucket(per_second=1.0, burst=3.0)
    assert grants(bucket, start=100.0, until=103.5) == pytest.approx([100.0, 100.0, 100.0, 101.0, 102.0, 103.0])
    assert grants(bucket, start=200.0, until=201.5) == pytest.approx([200.0, 200.0, 200.0, 201.0])


def test_rest_does_not_add_up_without_a_burst() -> None:
    bucket = TokenBucket(per_second=1.0)
    assert bucket.take(0.0) == 0.0
    assert bucket.take(1000.0) == 0.0
    assert bucket.take(1000.0) == pytest.approx(1.0)


def test_a_refused_token_is_not_taken() -> None:
    bucket = TokenBucket(per_second=1.0)
    bucket.take(0.0)
    assert [bucket.take(0.25) for _ in range(5)] == pytest.approx([0.75] * 5)
    assert bucket.take(1.0) == 0.0


def test_a_rejection_pauses_for_as_long_as_the_server_says() -> None:
    bucket = TokenBucket()
    bucket.rejected(100.0, 7.0)
    assert bucket.take(100.0) == pytest.approx(7.0)
    assert bucket.take(106.9) == pytest.approx(0.1)
    assert bucket.take(107.0) == 0.0


@pytest.mark.parametrize(
    ("asked", "pause"),
    [(None, 5.0), (0.0, 0.1), (-3.0, 0.1), (120.0, 120.0), (1e9, 120.0), (math.inf, 120.0), (math.nan, 0.1)],
)
def test_an_absurd_wait_is_brought_to_reason(asked: float | None, pause: float) -> None:
    bucket = TokenBucket()
    bucket.rejected(100.0, asked)
    assert bucket.take(100.0) == pytest.approx(pause)


def test_a_shorter_wait_does_not_end_a_longer_one() -> None:
    bucket = TokenBucket()
    bucket.rejected(100.0, 60.0)
    bucket.rejected(101.0, 1.0)
    assert bucket.take(101.0) == pytest.approx(59.0)


def test_after_a_rejection_creates_are_spaced_and_each_success_narrows_the_spacing() -> None:
    bucket = TokenBucket()
    bucket.rejected(0.0, 10.0)
    gaps = [later - earlier for earlier, later in pairwise(grants(bucket, until=200.0))]
    assert gaps[0] == pytest.approx(9.8)
    assert all(later < earlier for earlier, later in pairwise(gaps))


def test_without_further_rejections_the_spacing_is_gone_in_the_end() -> None:
    bucket = TokenBucket()
    bucket.rejected(0.0, 1.0)
    for _ in range(200):
        bucket.accepted()
    assert bucket.take(1.0) == 0.0
    assert [bucket.take(1.0) for _ in range(100)] == [0.0] * 100


def test_a_rejection_in_spite_of_the_spacing_widens_it_once_however_many_were_rejected_together() -> None:
    bucket = TokenBucket()
    for _ in range(32):
        bucket.rejected(0.0, 5.0)
    assert bucket.take(5.0) == 0.0
    assert bucket.take(5.0) == pytest.approx(5.0)
    for moment in (5.5, 5.6, 5.7):
        bucket.rejected(moment, 1.0)
    assert bucket.take(10.0) == pytest.approx(1.0)
    assert bucket.take(11.0) == 0.0
    assert bucket.take(11.0) == pytest.approx(6.0)


MOVES = st.lists(
    st.tuples(
        st.sampled_from(["take", "rejected", "accepted"]),
        st.floats(0, 50),
        st.none() | st.floats(allow_nan=True, allow_infinity=True),
    ),
    max_size=60,
)


@settings(max_examples=150, deadline=None)
@given(
    moves=MOVES,
    rate=st.none() | st.floats(0.01, 20),
    burst=st.integers(1, 5),
    start=st.sampled_from([0.0, 1e3, 1.8e9]),
)
def test_no_sequence_makes_the_bucket_exceed_its_rate_or_forget_a_pause(
    moves: list[tuple[str, float, float | None]], rate: float | None, burst: int, start: float
) -> None:
    bucket, now, paused_until = TokenBucket(per_second=rate, burst=burst), start, start
    taken: list[float] = []
    for move, passed, asked in moves:
        now += passed
        if move == "rejected":
            bucket.rejected(now, asked)
            pause = 5.0 if asked is None else asked if 0.1 <= asked <= 120 else 120.0 if asked > 120 else 0.1
            paused_until = max(paused_until, now + pause)
        elif move == "accepted":
            bucket.accepted()
        else:
            wait = bucket.take(now)
            assert 0.0 <= wait <= max(120.0, 1 / (rate or 1.0)) + 1e-5
            if wait == 0.0:
                assert now >= paused_until - 1e-5
                taken.append(now)
            else:
                assert bucket.take(now + wait + 1e-5) == 0.0
                now += wait + 1e-5
                taken.append(now)
    if rate is not None:
        for first, moment in enumerate(taken):
            assert sum(1 for later in taken[first:] if later <= moment + 30.0) <= burst + 30.0 * rate + 1


# An hour with a server that is strict


@dataclass
class Strict:
    """Admits one create per `interval` seconds, and none in advance."""

    interval: float = 10.0
    punishes: bool = False
    """A rejected attempt counts too: whoever asks too early waits the whole interval again."""
    says: Callable[[float], float | None] = math.ceil
    """What it makes of the seconds left, for Retry-After."""
    free_at: float = 0.0
    accepted: list[float] = field(default_factory=list)
    rejected: list[float] = field(default_factory=list)

    def create(self, now: float) -> float | None:
        """None where it is accepted, else raises the wait it asks for."""
        if now < self.free_at - 1e-3:
            if self.punishes:
                self.free_at = now + self.interval
            self.rejected.append(now)
            raise RateLimited("slow down", retry_after=self.says(self.free_at - now))
        self.free_at = now + self.interval
        self.accepted.append(now)
        return None


def hour(server: Strict, bucket: TokenBucket, *, workers: int = 32, latency: float = 0.3) -> None:
    """That many workers, each wanting one create after the other, by a clock that jumps from event to event."""
    order = count()
    events: list[tuple[float, int, str]] = [(0.0, next(order), "want") for _ in range(workers)]
    while events and events[0][0] < HOUR:
        now, _, event = heapq.heappop(events)
        if event == "want":
            wait = bucket.take(now)
            heapq.heappush(events, (now + (wait or latency), next(order), "want" if wait else "arrive"))
            continue
        try:
            server.create(now)
        except RateLimited as error:
            bucket.rejected(now, error.retry_after)
            heapq.heappush(events, (now + (error.retry_after or 5.0) + 0.25, next(order), "want"))
        else:
            bucket.accepted()
            heapq.heappush(events, (now, next(order), "want"))


SERVERS = {
    "6/min, burst 1": {},
    "says it rounded down": {"says": math.floor},
    "says nothing": {"says": lambda left: None},
    "always says 7": {"says": lambda left: 7.0},
    "rejected attempts count": {"punishes": True},
    "rejected attempts count, says 7": {"punishes": True, "says": lambda left: 7.0},
    "60/min, burst 1": {"interval": 1.0},
}


@pytest.mark.parametrize("kind", SERVERS.values(), ids=SERVERS.keys())
def test_a_limit_is_found_out_at_one_rejection_for_every_six_creates(kind: dict[str, object]) -> None:
    server = Strict(**kind)  # type: ignore[arg-type]  # the table is of keyword arguments
    hour(server, TokenBucket())
    # All that went out before the first rejection came back are rejected with it. `settled`: the limit is found.
    together = sum(1 for moment in server.rejected if moment < 1.0)
    settled = 120.0
    later = [moment for moment in server.rejected if moment > settled]
    assert together <= 31
    window = 6 * server.interval
    for moment in later:
        assert sum(1 for other in later if moment <= other < moment + window) <= 1
    # The price of finding out is a fifth of the throughput at most.
    assert len([m for m in server.accepted if m > settled]) > 0.8 * (HOUR - settled) / server.interval


@pytest.mark.parametrize("rate", [6.0, 60.0, 600.0])
@pytest.mark.parametrize("punishes", [False, True])
def test_a_limit_that_is_told_is_never_met(rate: float, punishes: bool) -> None:
    server = Strict(interval=60 / rate, punishes=punishes)
    hour(server, TokenBucket(per_second=rate / 60), workers=8)
    assert server.rejected == []
    assert len(server.accepted) == pytest.approx(rate * 60, abs=2)


# The wrapper

REQUEST = CreateRequest(item="a", image="https://x/a.jpg", output="a.png")


def throttled(
    inner: ScriptedProvider, time: FakeClock, *, rate: float | None = None, gate: Gate | None = None
) -> Throttled:
    sleep = (gate or Gate(time.clock)).sleep
    return Throttled(inner, TokenBucket(per_second=rate), monotonic=time.clock.monotonic, sleep=sleep)


@pytest.mark.anyio
async def test_creates_go_at_the_rate_and_in_the_order_they_came() -> None:
    time, inner, began = FakeClock(), ScriptedProvider(), []
    provider = throttled(inner, time, rate=0.5)

    async def buy(number: int) -> None:
        await provider.create(CreateRequest(item=str(number), image="x", output="x"))
        began.append(time.now - 1.8e9)

    async with anyio.create_task_group() as tasks:
        for number in range(5):
            tasks.start_soon(buy, number)
    assert [request.item for request in inner.requests] == ["0", "1", "2", "3", "4"]
    assert began == pytest.approx([0.0, 2.0, 4.0, 6.0, 8.0])


@pytest.mark.anyio
async def test_a_rejection_reaches_the_caller_and_holds_everybody_back() -> None:
    time, inner = FakeClock(), ScriptedProvider(creates=[RateLimited("slow", retry_after=7.0)])
    provider = throttled(inner, time)
    with pytest.raises(RateLimited):
        await provider.create(REQUEST)
    await provider.create(REQUEST)
    assert sum(time.slept) == pytest.approx(7.0)


@pytest.mark.anyio
async def test_a_rejection_that_comes_during_a_wait_prolongs_it() -> None:
    time, inner = FakeClock(), ScriptedProvider()
    bucket = TokenBucket()
    naps: list[float] = []

    async def nap(seconds: float) -> None:
        naps.append(seconds)
        time.now += seconds
        if len(naps) == 1:
            bucket.rejected(time.now, 20.0)  # another create's

    bucket.rejected(time.now, 5.0)
    await Throttled(inner, bucket, monotonic=time.clock.monotonic, sleep=nap).create(REQUEST)
    assert naps == pytest.approx([5.0, 20.0])


@pytest.mark.anyio
async def test_other_troubles_do_not_slow_anything_down() -> None:
    time, inner = FakeClock(), ScriptedProvider(creates=[ServerError("busy", retry_after=60.0)])
    provider = throttled(inner, time)
    with pytest.raises(ServerError):
        await provider.create(REQUEST)
    await provider.create(REQUEST)
    assert time.slept == []


@pytest.mark.anyio
async def test_a_closing_gate_ends_all_waits_and_nothing_more_is_created() -> None:
    time, inner, stopped = FakeClock(), ScriptedProvider(), 0
    gate = Gate(time.clock)
    provider = throttled(inner, time, rate=0.001, gate=gate)
    await provider.create(REQUEST)

    async def buy() -> None:
        nonlocal stopped
        try:
            await provider.create(REQUEST)
        except Stopping:
            stopped += 1

    gate.close(BudgetReached("spent"))
    async with anyio.create_task_group() as tasks:
        for _ in range(4):
            tasks.start_soon(buy)
    assert (stopped, inner.bill) == (4, 1)
