"""In flight is what keeps the limit busy, found out from a server that may have slots, troubles and slow models."""

from __future__ import annotations

import heapq
import math
import random
from dataclasses import dataclass, field
from itertools import count

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch_removebg.clock import Clock
from batch_removebg.pipeline import concurrency
from batch_removebg.pipeline.concurrency import CAP, START, Concurrency


@dataclass
class Slots:
    """A server that works on so many jobs at a time, and queues the others."""

    slots: float = math.inf
    run: float = 2.0
    sigma: float = 0.2
    rate: float | None = None
    """Creates a second that are let through, known to the client from the start."""
    down: tuple[float, float] = (math.inf, math.inf)
    """From when to when every job ends at once in trouble."""


@dataclass
class Seen:
    widths: list[tuple[float, int]] = field(default_factory=list)
    done: list[float] = field(default_factory=list)

    def width(self, after: float, until: float = math.inf) -> float:
        inside = [width for at, width in self.widths if after <= at < until]
        return sum(inside) / len(inside)

    def speed(self, after: float, until: float) -> float:
        return sum(after <= at < until for at in self.done) / (until - after)


def simulate(server: Slots, width: Concurrency, *, until: float, seed: int = 1) -> Seen:
    """Items without end, by virtual time; the width is looked at four times a second."""
    chance, seen, order = random.Random(seed), Seen(), count()
    events: list[tuple[float, int, str, int]] = [(0.0, next(order), "steer", 0)]
    free, next_create, held, target = [0.0] * int(min(server.slots, 10_000)), 0.0, 0, 0

    def fill(now: float) -> None:
        nonlocal held, next_create
        while held < target:
            held += 1
            number = width.began(now)
            create = now
            if server.rate:
                create = next_create = max(now, next_create + 1 / server.rate)
            heapq.heappush(events, (create, next(order), "create", number))
            width.waited(create - now)

    while events and events[0][0] < until:
        now, _, what, number = heapq.heappop(events)
        if what == "steer":
            target = width.target(now, server.rate)
            seen.widths.append((now, target))
            heapq.heappush(events, (now + 0.25, next(order), "steer", 0))
        elif what == "create":
            if server.down[0] <= now < server.down[1]:
                width.trouble(now)
                heapq.heappush(events, (now + 0.5, next(order), "end", number))
                continue
            width.answered()
            begin = max(now, heapq.heappop(free))
            end = begin + server.run * math.exp(server.sigma * chance.gauss(0, 1))
            heapq.heappush(free, end)
            heapq.heappush(events, (end, next(order), "done", number))
        else:
            held -= 1
            width.ended(number, now)
            if what == "done":
                seen.done.append(now)
        fill(now)
    return seen


@pytest.mark.parametrize("seed", range(1, 4))
@pytest.mark.parametrize("run", [0.5, 2.0, 8.0, 20.0])
def test_a_known_limit_is_kept_busy_with_little_more_than_littles_law_wants(run: float, seed: int) -> None:
    seen = simulate(Slots(run=run, rate=10.0), Concurrency(), until=60 + 10 * run, seed=seed)
    law = 10.0 * run * math.exp(0.02)
    assert seen.speed(2 * run, 60 + 10 * run) >= 0.97 * 10.0
    assert law <= seen.width(5 * run + 10) <= max(START, 1.2 * law + 4 * math.sqrt(law) + 8)


def test_a_limit_beyond_the_cap_is_not_chased() -> None:
    seen = simulate(Slots(run=60.0, rate=10.0), Concurrency(), until=400.0)
    assert max(width for _, width in seen.widths) == CAP


def test_a_low_limit_keeps_few_in_flight() -> None:
    seen = simulate(Slots(run=2.0, rate=0.5), Concurrency(), until=600.0)
    assert seen.speed(60.0, 600.0) >= 0.97 * 0.5
    assert seen.width(300.0) <= 10


@pytest.mark.parametrize("run", [0.5, 4.0, 20.0])
def test_without_limits_it_grows_to_the_cap(run: float) -> None:
    seen = simulate(Slots(run=run), Concurrency(), until=8 * run)
    assert seen.widths[-1][1] == CAP


@pytest.mark.parametrize("seed", range(1, 4))
@pytest.mark.parametrize("slots", [4, 16, 64])
def test_a_server_with_slots_gets_what_keeps_them_busy_and_no_long_queue(slots: int, seed: int) -> None:
    seen = simulate(Slots(slots=slots, run=2.0), Concurrency(), until=300.0, seed=seed)
    assert seen.speed(30.0, 300.0) >= 0.95 * slots / (2.0 * math.exp(0.02))
    assert seen.width(100.0) <= max(1.25 * START, 3 * slots)


def test_trouble_shrinks_it_once_for_all_that_fail_together_and_it_grows_back() -> None:
    seen = simulate(Slots(run=2.0, down=(30.0, 60.0)), Concurrency(), until=120.0)
    assert seen.width(28.0, 30.0) == CAP
    assert 1 <= seen.width(58.0, 60.0) <= 0.25 * CAP
    assert seen.width(31.0, 33.0) >= 0.6 * CAP
    assert seen.widths[-1][1] >= START


def test_trouble_shrinks_it_for_a_while_also_where_the_limit_is_known() -> None:
    width = Concurrency()
    assert width.target(100.0, 100.0) == START
    for _ in range(6):
        width.trouble(100.0)
    assert [width.target(now, 100.0) for now in (104.9, 105.0)] == [int(0.7 * START), START]


@pytest.mark.parametrize("rate", [None, 10.0])
def test_items_for_which_nothing_is_bought_change_nothing(rate: float | None) -> None:
    plain, mixed = Concurrency(), Concurrency()
    for nth in range(200):
        for width in (plain, mixed):
            width.ended(width.began(nth), nth + 4.0)
        for _ in range(9):
            mixed.ended(mixed.began(nth), nth + 0.01, bought=False)
    assert (mixed.mean, mixed.target(300.0, rate)) == (plain.mean, plain.target(300.0, rate))


def test_a_number_that_was_given_stays() -> None:
    width = Concurrency(fixed=7)
    width.trouble(0.0)
    assert (width.cap, width.target(1.0, None), width.target(1.0, 100.0)) == (7, 7, 7)


@given(
    moves=st.lists(st.tuples(st.sampled_from(["began", "ended", "trouble", "waited"]), st.floats(0, 1e4)), max_size=60),
    cap=st.integers(1, 300),
    rate=st.none() | st.floats(1e-6, 1e6),
)
def test_no_sequence_makes_it_less_than_one_or_more_than_the_cap(
    moves: list[tuple[str, float]], cap: int, rate: float | None
) -> None:
    width, now, open_ = Concurrency(cap=cap), 0.0, [99]
    for move, passed in moves:
        now += passed
        if move == "began":
            open_.append(width.began(now))
        elif move == "ended" and open_:
            width.ended(open_.pop(), now)
        elif move == "trouble":
            width.trouble(now)
        else:
            width.waited(passed)
        assert 1 <= width.target(now, rate) <= cap


@pytest.mark.anyio
async def test_no_more_are_in_flight_than_workers_have_use_for() -> None:
    use: list[float] = [6]
    clock = Clock(monotonic=lambda: 0.0, sleep=lambda seconds: anyio.lowlevel.checkpoint())
    slots = concurrency.Slots(Concurrency(fixed=256), lambda: None, clock, lambda: use[0])
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(slots.adapt, 0.25)
        for wanted in (6, 14, 256):
            use[0] = wanted if wanted < 256 else math.inf
            for _ in range(3):
                await anyio.lowlevel.checkpoint()
            assert slots._limiter.total_tokens == wanted
        tasks.cancel_scope.cancel()
