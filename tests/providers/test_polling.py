"""The poll schedule learns how long a model takes: few polls, and the result soon in hand."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch_removebg.errors import PredictionStuck
from batch_removebg.providers.polling import RunTimes, Schedule

SEEDS = range(1, 6)


def drawn(seed: int, median: float, sigma: float, *, cold: float = 0.0) -> Iterator[float]:
    chance = random.Random(seed)
    while True:
        yield 20.0 if chance.random() < cold else median * math.exp(sigma * chance.gauss(0.0, 1.0))


def polled(schedule: Schedule, ran: float) -> tuple[int, float]:
    """Polls until the end is seen, and seconds from the end to then."""
    polls, at = 0, 0.0
    while at < ran or not polls:
        at += schedule.delay(at)
        polls += 1
    return polls, at - ran


def run(
    times: RunTimes, runs: Iterator[float], number: int, *, polls: float
) -> tuple[float, list[tuple[float, float]]]:
    """Mean polls, and (delay, run time) of each; each is learned from."""
    seen, total = [], 0
    for _ in range(number):
        ran = next(runs)
        count, late = polled(times.schedule(polls), ran)
        total += count
        seen.append((late, ran))
        times.add(ran)
    return total / number, seen


def soon(seen: list[tuple[float, float]]) -> float:
    return sum(late <= max(0.5, 0.1 * ran) for late, ran in seen) / len(seen)


@pytest.mark.parametrize("seed", SEEDS)
def test_three_polls_find_nearly_all_within_half_a_second(seed: int) -> None:
    times, runs = RunTimes(), drawn(seed, 2.0, 0.35, cold=0.01)
    run(times, runs, 120, polls=3.0)
    mean, seen = run(times, runs, 480, polls=3.0)
    assert mean <= 3.08
    assert soon(seen) >= 0.95


@pytest.mark.parametrize("seed", SEEDS)
def test_two_polls_find_the_middle_one_within_half_a_second(seed: int) -> None:
    times, runs = RunTimes(), drawn(seed, 2.0, 0.35, cold=0.01)
    run(times, runs, 120, polls=2.0)
    mean, seen = run(times, runs, 480, polls=2.0)
    assert mean <= 2.2
    assert sorted(seen)[240][0] <= 0.5


@pytest.mark.parametrize("median", [0.05, 0.5, 2.0, 8.0, 60.0])
def test_a_steady_model_is_asked_once(median: float) -> None:
    times = RunTimes()
    run(times, drawn(1, median, 0.0), 10, polls=3.0)
    mean, seen = run(times, drawn(1, median, 0.0), 50, polls=3.0)
    assert mean == 1.0
    assert soon(seen) == 1.0


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("then", [0.4, 10.0])
def test_another_pace_of_the_model_is_learned_anew(seed: int, then: float) -> None:
    times = RunTimes()
    run(times, drawn(seed, 2.0, 0.1), 200, polls=3.0)
    run(times, drawn(seed, then, 0.1), 200, polls=3.0)
    mean, seen = run(times, drawn(seed + 9, then, 0.1), 200, polls=3.0)
    assert mean <= 3.0
    assert soon(seen) >= 0.85


@pytest.mark.parametrize("seed", SEEDS)
def test_it_is_learned_from_looks_alone_where_the_server_does_not_say(seed: int) -> None:
    times, runs, total, late = RunTimes(), drawn(seed, 2.0, 0.2), 0, []
    for number in range(400):
        ran, at, before, count = next(runs), 0.0, 0.0, 0
        schedule = times.schedule(3.0)
        while at < ran:
            before = at
            at += schedule.delay(at)
            count += 1
        times.between(before, at)
        if number >= 100:
            total += count
            late.append(at - ran)
    assert total / 300 <= 4.0
    assert sorted(late)[150] <= 0.5


def test_while_nothing_is_known_polls_are_half_a_second_apart_and_rarer_with_time() -> None:
    schedule = RunTimes().schedule(3.0)
    assert [schedule.delay(at) for at in (0.0, 0.5, 2.0)] == [0.5, 0.5, 0.5]
    assert schedule.delay(20.0) == pytest.approx(20.0 * 0.3 / 3)
    assert schedule.delay(900.0) == 30.0


def test_quantiles_are_of_the_latest_and_need_a_few() -> None:
    times = RunTimes()
    for seconds in (1.0, 2.0, 3.0):
        times.add(seconds)
    assert times.quantile(0.5) is None
    times.add(4.0)
    assert times.quantile(0.5) == 3.0
    for _ in range(300):
        times.add(9.0)
    assert times.quantile(0.01) == 9.0


@given(
    runs=st.lists(st.floats(allow_nan=True, allow_infinity=True), max_size=30),
    elapsed=st.floats(0, 1e6),
    polls=st.floats(0.1, 5),
)
def test_no_run_times_make_it_poll_all_the_time_or_never(runs: list[float], elapsed: float, polls: float) -> None:
    times = RunTimes()
    for seconds in runs:
        times.add(seconds)
    schedule = times.schedule(polls)
    assert schedule.delay(elapsed) >= 0.05
    assert schedule.delay(elapsed) <= max(30.0, schedule.first - elapsed)


def known(seconds: float) -> RunTimes:
    times = RunTimes()
    for _ in range(200):
        times.add(seconds)
    return times


def test_of_a_slow_model_one_in_sixteen_is_looked_for_early() -> None:
    def delays(times: RunTimes) -> list[float]:
        with ExitStack() as under_way:
            watches = [under_way.enter_context(times.watch()) for _ in range(32)]
            return sorted(watch.delay(times.schedule(3), 0) for watch in watches)

    slow = delays(known(15))
    assert slow[:2] == [1.0, 1.0]
    assert slow[2] > 14
    assert len(set(delays(known(2)))) == 1


def test_a_few_cold_starts_teach_nothing_and_many_late_ones_that_the_model_is_slower() -> None:
    times = known(2)
    with ExitStack() as under_way:
        some = [under_way.enter_context(times.watch()) for _ in range(60)]
        for watch in some[:4]:
            watch.goes_on(8)
        assert (times.late, times.quantile(0.99)) == (4, 2)
        for watch in some:
            watch.goes_on(8)
        assert 5 <= times.late < 60  # learned before all of them were late
        assert times.quantile(0.97) == 12
    assert times.late == 0


def test_a_late_prediction_that_is_given_up_counts_no_more() -> None:
    times = known(2)

    def give_up() -> None:
        with times.watch() as watch:
            watch.goes_on(8)
            raise PredictionStuck("no end")

    with pytest.raises(PredictionStuck):
        give_up()
    assert times.late == 0
