"""A server's limit is found out at the price of a few rejections, kept to, and found out again when it changes."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batch_removebg.providers.adaptive_rate import Pacer, RateLimit, StatedLimit, Ticket
from tests.support.server_model import Bucket, Liar, Network, Seen, Server, Unlimited, Windows, simulate

SEEDS = range(1, 4)
HOUR = 3600.0


def grants(limit: RateLimit, *, until: float, start: float = 0.0) -> list[float]:
    """When calls go, if somebody always wants one and all are let through at once."""
    now, taken = start, []
    while now < until:
        if (wait := limit.wait(now)) == 0.0:
            taken.append(now)
            limit.accepted(limit.sent(now), now)
        now += wait
    return taken


# A limit that the user told


def test_a_rate_is_kept_from_the_first_call_on_with_half_a_percent_to_spare() -> None:
    assert grants(RateLimit(0.1), until=60.0) == pytest.approx([0.0, 10.05, 20.1, 30.15, 40.2, 50.25])


def test_rest_does_not_add_up() -> None:
    limit = RateLimit(1.0)
    assert len(grants(limit, until=0.5)) == 1
    assert grants(limit, start=1000.0, until=1002.5) == pytest.approx([1000.0, 1001.005, 1002.01])


@pytest.mark.parametrize("rate", [6.0, 60.0, 600.0])
@pytest.mark.parametrize("punishes", [False, True])
@pytest.mark.parametrize("burst", [1, 10])
def test_a_limit_that_is_told_is_never_met(rate: float, burst: int, punishes: bool) -> None:
    server = Bucket(rate / 60, burst, punishes)
    steady = Network(jitter=0.0) if burst == 1 else Network()
    seen = simulate(server, RateLimit(rate / 60), until=600.0, network=steady)
    assert seen.rejected == []
    assert len(seen.accepted) >= 0.99 * rate * 10


def test_a_server_may_allow_less_than_was_stated() -> None:
    seen = simulate(Bucket(1.0, 1), RateLimit(10.0), until=HOUR)
    assert len(seen.accepted) > 0.85 * HOUR
    assert len(seen.rejected) < 0.02 * HOUR


# At the limit of the account, which nobody has told


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("punishes", [False, True])
@pytest.mark.parametrize(
    ("network", "slower"), [(Network(), 1.02), (Network(0.02, 0.01), 1.03)], ids=["loopback", "near"]
)
def test_600_a_minute_is_found_out_at_one_percent_rejected(
    seed: int, punishes: bool, network: Network, slower: float
) -> None:
    seen = simulate(Bucket(10.0, 10, punishes), RateLimit(), jobs=600, seed=seed, network=network)
    assert seen.accepted[-1] <= slower * (600 - 10) / 10
    assert len(seen.rejected) <= 6


@pytest.mark.parametrize("seed", SEEDS)
def test_far_from_the_server_the_same_takes_a_little_more(seed: int) -> None:
    seen = simulate(Bucket(10.0, 10, punishes=True), RateLimit(), jobs=6000, seed=seed, network=Network(0.15, 0.02))
    assert seen.accepted[-1] <= 1.03 * (6000 - 10) / 10
    assert len(seen.rejected) <= 60


# Little credit


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("punishes", [False, True])
@pytest.mark.parametrize(("rate", "window"), [(0.1, 60.0), (1.0, 6.0)])
def test_low_credit_costs_one_rejection_a_window_and_lifts_by_itself(
    seed: int, punishes: bool, rate: float, window: float
) -> None:
    low = 10 * window
    server = Bucket(rate, 1, punishes, tells=True, changes=[(low, 10.0, 10.0)])
    seen = simulate(server, RateLimit(), until=30 * window, seed=seed)
    assert seen.most_rejected(window, after=seen.rejected[0], until=low) <= 1
    assert sum(t < low for t in seen.accepted) >= 0.9 * (1 + low * rate)
    late = [t for t in seen.accepted if t > 20 * window]
    assert len(late) >= 0.9 * 10.0 * (10 * window)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("rate", [0.1, 1.0])
def test_a_low_limit_that_is_not_spelled_out_is_measured(seed: int, rate: float) -> None:
    span = 60 / rate
    seen = simulate(Bucket(rate, 1), RateLimit(), until=span, seed=seed)
    assert len(seen.accepted) >= 0.9 * span * rate
    assert seen.most_rejected(6 / rate, after=seen.rejected[0]) <= 1


@pytest.mark.parametrize("seed", SEEDS)
def test_one_that_counts_rejections_and_spells_nothing_out_is_kept_to_in_the_end(seed: int) -> None:
    seen = simulate(Bucket(1.0, 1, punishes=True), RateLimit(), until=HOUR, seed=seed)
    assert len(seen.accepted) >= 0.85 * HOUR
    assert len(seen.rejected) <= 0.02 * HOUR


# Limits that change, and other ways to keep them


@pytest.mark.parametrize("seed", SEEDS)
def test_a_limit_that_lifts_is_found_out_by_probes_that_grow_rarer(seed: int) -> None:
    server = Bucket(1.0, 10, changes=[(300.0, 10.0, 10.0)])
    seen = simulate(server, RateLimit(), until=HOUR, seed=seed)
    late = [t for t in seen.accepted if t > 1200.0]
    assert len(late) >= 0.95 * 10.0 * 2400.0
    assert len(seen.rejected) <= 0.01 * len(seen.accepted)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_limit_that_drops_is_followed(seed: int) -> None:
    server = Bucket(10.0, 10, punishes=True, changes=[(60.0, 0.5, 1.0)])
    seen = simulate(server, RateLimit(), until=HOUR, seed=seed)
    late = [t for t in seen.accepted if t > 300.0]
    assert len(late) >= 0.8 * 0.5 * (HOUR - 300)
    assert sum(t > 300.0 for t in seen.rejected) <= 0.05 * len(late)


@pytest.mark.parametrize("calls", [6, 60, 600])
def test_windows_by_the_clock_are_used_up_all_the_same(calls: int) -> None:
    seen = simulate(Windows(calls), RateLimit(), until=HOUR, cap=2 * calls)
    assert len(seen.accepted) >= 0.75 * calls * 60
    assert len(seen.rejected) <= 0.1 * len(seen.accepted)


def test_a_server_without_limits_is_not_slowed() -> None:
    instant = Network(0.002, 0.0001, run=0.001, cold=0.0, waits=False)
    seen = simulate(Unlimited(), RateLimit(), jobs=5000, network=instant)
    assert seen.rejected == []
    assert 5000 / seen.accepted[-1] > 3000


NONSENSE: list[tuple[str, Callable[[], float | None]]] = [
    ("0", lambda: 0.0),
    ("below 0", lambda: -5.0),
    ("a year", lambda: 3e7),
    ("nothing", lambda: None),
    ("no number", lambda: math.nan),
    ("infinity", lambda: math.inf),
]


@pytest.mark.parametrize("says", [says for _, says in NONSENSE], ids=[name for name, _ in NONSENSE])
def test_a_server_that_talks_nonsense_is_neither_hammered_nor_left_for_ever(says: Callable[[], float | None]) -> None:
    seen = simulate(Liar(says), RateLimit(), until=HOUR)
    assert len(seen.accepted) >= 25
    assert len(seen.rejected) <= 150


def test_one_that_never_lets_anything_through_is_asked_ever_more_rarely() -> None:
    seen = simulate(Liar(lambda: 0.0, every=math.inf), RateLimit(), until=HOUR)
    assert len(seen.accepted) == 1
    assert len([t for t in seen.rejected if t > 600.0]) <= HOUR / 30


# What it takes in


def test_of_those_sent_together_only_the_first_rejection_teaches() -> None:
    limit = RateLimit(window=4)
    tickets = [limit.sent(0.0) for _ in range(4)]
    limit.rejected(tickets[1], 0.1, 10.0)
    rate = limit.rate
    limit.rejected(tickets[2], 0.1, 30.0)
    assert limit.rate == rate
    assert limit.wait(0.1) == pytest.approx(30.0)


def test_a_shorter_wait_does_not_end_a_longer_one() -> None:
    limit = RateLimit()
    limit.rejected(limit.sent(100.0), 100.0, 60.0)
    limit.rejected(Ticket(9, 101.0), 101.0, 1.0)
    assert limit.wait(101.0) >= 59.0


@pytest.mark.parametrize(
    ("asked", "pause"),
    [(None, 5.0), (0.0, 0.1), (-3.0, 0.1), (7.0, 7.0), (120.0, 120.0), (1e9, 120.0), (math.inf, 120.0)],
)
def test_an_absurd_wait_is_brought_to_reason(asked: float | None, pause: float) -> None:
    limit = RateLimit(window=2)
    first = limit.sent(100.0)
    limit.accepted(first, 100.0)
    limit.rejected(limit.sent(100.0), 100.0, asked)
    assert limit.wait(100.0) == pytest.approx(pause)


def test_a_limit_that_is_spelled_out_is_kept_to_at_once() -> None:
    limit = RateLimit()
    limit.accepted(limit.sent(0.0), 0.0)
    limit.rejected(limit.sent(0.0), 0.0, 10.0, stated=StatedLimit(0.1, 1))
    assert limit.rate == 0.1
    assert grants(limit, until=35.0) == pytest.approx([10.0, 20.065, 30.13])


def test_a_server_that_announces_its_end_need_not_reject() -> None:
    limit = RateLimit(window=8)
    tickets = [limit.sent(0.01 * nth) for nth in range(6)]
    for ticket in tickets:
        limit.accepted(ticket, 0.1)
    limit.exhausted(tickets[-1], 0.1, 1.0)
    assert limit.wait(0.1) == pytest.approx(1.0)
    assert limit.rate == pytest.approx(5 / 1.05)
    limit.exhausted(limit.sent(1.1), 1.1, 60.0)
    assert limit.wait(1.1) < 1.0


@pytest.mark.parametrize("reset", [0.0, -1.0, 1.8e9, math.nan, math.inf])
def test_an_announcement_that_makes_no_sense_is_nothing(reset: float) -> None:
    limit = RateLimit()
    ticket = limit.sent(0.0)
    limit.accepted(ticket, 0.0)
    limit.exhausted(ticket, 0.0, reset)
    assert (limit.rate, limit.wait(0.0)) == (None, 0.0)


def test_where_a_call_may_come_early_the_time_lost_is_made_up_for() -> None:
    pacer = Pacer(10.0, lag=1.0)
    pacer.sent(0.0)
    pacer.sent(0.5)
    assert pacer.wait(0.5) == pytest.approx(0.1005 / 1.5)


def test_a_wait_for_an_answer_ends_with_any() -> None:
    limit = RateLimit()
    ticket = limit.sent(0.0)
    assert limit.wait(0.0) == pytest.approx(0.5)
    assert limit.crowded
    limit.accepted(ticket, 0.01)
    assert limit.wait(0.01) == 0.0


def test_an_answer_that_does_not_come_counts_as_let_through_after_a_moment() -> None:
    limit = RateLimit()
    limit.sent(0.0)
    assert limit.wait(0.5) == 0.0


MOVES = st.lists(
    st.tuples(
        st.sampled_from(["send", "accepted", "rejected", "ended"]),
        st.floats(0, 50),
        st.none() | st.floats(allow_nan=True, allow_infinity=True),
        st.none() | st.builds(StatedLimit, st.floats(1e-9, 1e9), st.floats(1, 1e6)),
    ),
    max_size=80,
)


@settings(max_examples=150, deadline=None)
@given(moves=MOVES, rate=st.none() | st.floats(0.01, 20), start=st.sampled_from([0.0, 1e3, 1.8e9]))
def test_no_sequence_exceeds_a_rate_that_was_told_or_waits_for_ever(
    moves: list[tuple[str, float, float | None, StatedLimit | None]], rate: float | None, start: float
) -> None:
    limit, now = RateLimit(rate), start
    open_, sent = [], []
    for move, passed, asked, stated in moves:
        now += passed
        if move == "send":
            wait = limit.wait(now)
            assert 0.0 <= wait <= 1000.0
            now += wait
            for _ in range(8):
                if not (wait := limit.wait(now)):
                    break
                now += wait + 1e-6
            assert limit.wait(now) == 0.0
            open_.append(limit.sent(now))
            sent.append(now)
        elif open_:
            ticket = open_.pop(0)
            if move == "accepted":
                limit.accepted(ticket, now)
            elif move == "ended":
                limit.ended(ticket)
            else:
                limit.rejected(ticket, now, asked, stated=stated)
                assert limit.rate is not None
                assert 1 / 300 <= limit.rate < math.inf
    if rate is not None:
        for first, moment in enumerate(sent):
            assert sum(1 for later in sent[first:] if later <= moment + 30.0) <= 2 + 30.0 * rate


def test_the_model_of_a_bucket_keeps_its_own_limit() -> None:
    seen: Seen = simulate(Bucket(10.0, 10), RateLimit(window=1000.0), until=60.0, cap=1000)
    server: Server = Bucket(10.0, 10)
    assert [server.take(0.0) for _ in range(11)] == [None] * 10 + [(1, None)]
    assert len(seen.accepted) <= 10 + 600
