"""The time that a run has: when it ends by the clocks, and when it stops buying so that all comes home by then."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import anyio
import pytest

from batch_removebg.clock import Clock
from batch_removebg.errors import SettingsError
from batch_removebg.events import Kind
from batch_removebg.model import CreateRequest, Prediction, Status
from batch_removebg.providers.polling import RunTimes
from batch_removebg.run import batch
from batch_removebg.run.settings import Settings
from batch_removebg.run.summary import Summary
from batch_removebg.run.window import check, deadline, fixed, last_purchase, seconds, usual, window
from tests.support.bench import Bench, bench
from tests.support.doubles import FakeClock, ScriptedProvider

__all__ = ["bench"]

BERLIN = ZoneInfo("Europe/Berlin")
# On 28 March 2027 clocks there show 03:00 after 01:59; on 31 October 2027 they show 02:00 to 02:59 twice.
NIGHTS = [
    ("2027-01-15T22:00+01:00", "06:00", "2027-01-16T06:00+01:00"),
    ("2027-01-15T05:59:59+01:00", "06:00", "2027-01-15T06:00+01:00"),
    ("2027-01-15T06:00+01:00", "06:00", "2027-01-16T06:00+01:00"),
    ("2027-01-15T06:00:30+01:00", "06:00", "2027-01-16T06:00+01:00"),
    ("2027-01-15T23:59:30+01:00", "00:00:15", "2027-01-16T00:00:15+01:00"),
    ("2027-03-27T22:00+01:00", "06:00", "2027-03-28T06:00+02:00"),
    ("2027-03-27T22:00+01:00", "02:30", "2027-03-28T03:00+02:00"),
    ("2027-03-28T03:00+02:00", "02:30", "2027-03-29T02:30+02:00"),
    ("2027-10-30T22:00+02:00", "06:00", "2027-10-31T06:00+01:00"),
    ("2027-10-30T22:00+02:00", "02:30", "2027-10-31T02:30+02:00"),
    ("2027-10-31T02:45+02:00", "02:30", "2027-10-31T02:30+01:00"),
    ("2027-10-31T02:45+01:00", "02:30", "2027-11-01T02:30+01:00"),
    ("2027-01-15T22:00+01:00", "2027-01-15T21:00+00:00", "2027-01-15T22:00+01:00"),
    ("2027-01-15T22:00+01:00", "2027-01-18T06:00", "2027-01-18T06:00+01:00"),
]


def at(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


@pytest.mark.parametrize(("now", "until", "end"), NIGHTS)
def test_a_run_ends_when_the_clock_shows_it_next_also_in_nights_when_clocks_change(
    now: str, until: str, end: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert deadline(at(now), until, BERLIN) == at(end)
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    try:
        assert deadline(at(now), until) == at(end)
        assert deadline(at(now) + 99, fixed(until, at(now))) == at(end)
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.parametrize(
    "bad", ["", "6", "6:00", "24:00", "06:60", "06:00Europe/Berlin", "06:00+01:00", "0600", "T", "2027-02-30T06:00"]
)
def test_what_is_no_time_of_the_clock_is_refused_with_an_example(bad: str) -> None:
    with pytest.raises(SettingsError, match=re.escape(f"--until: {bad}: give a time of the clock here, such as 06:00")):
        Settings(out=Path("out"), until=bad)


@pytest.mark.parametrize(
    ("until", "end"),
    [("2027-01-15T06:00", "2027-01-15 06:00+01:00"), ("2027-01-15T05:00+00:00", "2027-01-15 06:00+01:00")],
)
def test_a_date_and_time_that_is_past_is_refused_and_a_time_of_the_clock_never_is(
    until: str, end: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    try:
        for ahead in ("06:00", "06:01", "2027-01-15T06:01"):
            check(ahead, at("2027-01-15T06:00+01:00"))
        with pytest.raises(SettingsError) as refused:
            check(until, at("2027-01-15T06:30+01:00"))
    finally:
        monkeypatch.undo()
        time.tzset()
    why = f"{end} is past, since it is 2027-01-15 06:30+01:00; give a time that is to come"
    assert str(refused.value) == f"--until {until}: {why}"


@pytest.mark.parametrize(
    ("text", "took"), [("4h", 14400), ("90m", 5400), ("3600", 3600), ("45s", 45), ("1h30m", 5400), ("2d", 172800)]
)
def test_a_time_is_given_in_hours_minutes_or_seconds(text: str, took: int) -> None:
    assert seconds(text) == took


@pytest.mark.parametrize("bad", ["", "0", "0h", "h", "-1", "1.5h", "4 h", "30m1h", "4x", "٤h", "1" * 10])
@pytest.mark.parametrize("name", ["max_runtime", "every"])
def test_what_is_no_time_is_refused_with_examples(name: str, bad: str) -> None:
    with pytest.raises(
        SettingsError, match=f"--{name.replace('_', '-')}: .*give a time such as 4h, 90m, 1h30m or 3600"
    ):
        Settings(out=Path("out"), **{name: bad})


@pytest.mark.parametrize(
    ("now", "until", "most", "told"),
    [
        ("2027-01-15T02:48+01:00", "06:00", None, "until 06:00, in 3 h 12 min"),
        ("2027-03-27T23:00+01:00", "06:00", None, "until 06:00, in 6 h 0 min; clocks change before that"),
        ("2027-03-27T23:00+01:00", "02:30", None, "until 03:00, in 3 h 0 min; clocks change before that"),
        ("2027-10-30T23:00+02:00", "06:00", None, "until 06:00, in 8 h 0 min; clocks change before that"),
        ("2027-01-15T05:59+01:00", "06:00", "4h", "until 06:00, in 60 s"),
        ("2027-01-15T02:48+01:00", "06:00", "90m", "until 04:18, in 1 h 30 min"),
        ("2027-01-15T02:48+01:00", None, "45m", "until 03:33, in 45 min"),
    ],
)
def test_a_run_says_until_when_it_has_time(now: str, until: str | None, most: str | None, told: str) -> None:
    clock = FakeClock(at(now)).clock
    found = window(until, most, clock, BERLIN)
    assert found is not None
    assert found.told(clock, BERLIN) == told


def test_a_run_without_either_has_any_time() -> None:
    assert window(None, None, Clock()) is None


def test_the_clock_on_the_wall_may_jump_and_a_run_by_its_length_does_not_follow() -> None:
    moved, jumped = 0.0, 0.0
    start = at("2027-01-15T02:00+01:00")
    clock = Clock(monotonic=lambda: moved, wall=lambda: start + moved + jumped)
    until, most = window("06:00", None, clock, BERLIN), window(None, "4h", clock, BERLIN)
    assert until is not None
    assert most is not None
    hours = 3600.0
    moved = 1 * hours
    assert (until.left(), most.left()) == ((3 * hours, "--until 06:00"), (3 * hours, "--max-runtime 4h"))
    jumped = 2 * hours  # forward, or a suspended machine wakes
    assert (until.left()[0], most.left()[0]) == (1 * hours, 3 * hours)
    jumped = 4 * hours
    assert (until.left()[0], most.left()[0]) == (-1 * hours, 3 * hours)
    jumped = -0.5 * hours
    assert (until.left()[0], most.left()[0]) == (3.5 * hours, 3 * hours)
    jumped = -9 * hours  # an hour more than it was at first, at most
    assert (until.left()[0], most.left()[0]) == (4 * hours, 3 * hours)


def test_buying_ends_before_the_deadline_by_what_nearly_all_items_took_and_a_margin() -> None:
    flights = RunTimes()
    assert last_purchase(1000.0, usual(flights), unknown=30.0) == 970.0
    for took in [10.0] * 18 + [20.0] * 2:
        flights.add(took)
    assert last_purchase(1000.0, usual(flights), unknown=30.0) == 1000.0 - 1.5 * 20.0 - 5.0


class Slow(ScriptedProvider):
    """Predictions take their time."""

    def __init__(self, time: FakeClock, took: Callable[[int], float]) -> None:
        super().__init__()
        self.time, self.took = time, took
        self.made: list[float] = []  # when each was created
        self.ends: dict[str | None, float] = {}

    def succeed(self, request: CreateRequest) -> Prediction:
        made = replace(super().succeed(request), status=Status.PROCESSING, output=None, held=0.01)
        self.ends[made.id] = self.time.now + self.took(len(self.made))
        self.made.append(self.time.now)
        return made

    async def get(self, prediction_id: str) -> Prediction:
        known = await super().get(prediction_id)
        if self.time.now < self.ends.get(prediction_id, 0.0):
            return known
        return replace(known, status=Status.SUCCEEDED, output=f"https://out.example/{prediction_id}.png")


ITEMS, START = 60, at("2027-01-15T08:00+00:00")


async def night(
    bench: Bench, tmp_path: Path, took: float, *, items: int = ITEMS, **settings: Any
) -> tuple[Summary, Slow, FakeClock]:
    """A run over a catalogue of URLs that begins at 08:00 UTC, with predictions that take so many seconds."""
    path = tmp_path / "shop.csv"
    path.write_text("\n".join(["id,image", *(f"{n:02},https://shop.example/{n}.jpg" for n in range(items))]))
    time = FakeClock(START)
    before, bench.provider = bench.provider, Slow(time, lambda number: took + number % 3)
    for kept in ("_ids", "known", "outputs"):
        setattr(bench.provider, kept, getattr(before, kept))
    given = {"provider": "replicate", "base_url": "http://127.0.0.1:9/v1", "concurrency": 4, **settings}
    with anyio.fail_after(50):
        summary = await batch.run(
            [str(path)], Settings(out=bench.out, **given), listener=bench.events.append, clock=time.clock
        )
    return summary, bench.provider, time


@pytest.mark.anyio
@pytest.mark.parametrize("given", [{"until": "2027-01-15T08:05+00:00"}, {"max_runtime": "5m"}])
async def test_nothing_is_in_flight_when_the_time_is_over_and_no_purchase_is_lost(
    bench: Bench, tmp_path: Path, given: dict[str, str]
) -> None:
    summary, provider, time = await night(bench, tmp_path, 20.0, **given)
    assert (summary.exit_code, summary.state) == (5, "stopped")
    bought = len(provider.made)
    assert (summary.saved, summary.pending) == (bought, ITEMS - bought)
    assert 8 <= bought < ITEMS
    assert max(provider.made) <= START + 300 - 22
    assert time.now <= START + 300
    assert not [line for line in bench.ledger() if line["event"] == "submitted" and line["t"] > "2027-01-15T08:04:38"]
    run = bench.results()["run"]
    assert (run["state"], run["exit_code"]) == ("stopped", 5)
    assert re.fullmatch(
        r"--(until ..:..|max-runtime 5m): what begins now would not be done by then \(.. s are set aside\)",
        run["reason"],
    )
    rest, provider, _ = await night(bench, tmp_path, 1.0)
    assert (rest.exit_code, rest.saved, len(provider.made)) == (0, ITEMS, ITEMS - bought)


@pytest.mark.anyio
async def test_what_does_not_come_home_in_time_stays_on_record_and_is_not_bought_again(
    bench: Bench, tmp_path: Path
) -> None:
    summary, provider, time = await night(bench, tmp_path, 5000.0, max_runtime="2m")
    assert (summary.exit_code, summary.saved, len(provider.made)) == (5, 0, 4)
    assert time.now - START == pytest.approx(120, abs=1)
    assert Counter(line["event"] for line in bench.ledger())["submitted"] == 4
    rest, provider, _ = await night(bench, tmp_path, 1.0)
    assert (rest.exit_code, rest.saved, len(provider.made)) == (0, ITEMS, ITEMS - 4)


@pytest.mark.anyio
async def test_a_run_that_has_too_little_time_buys_nothing_and_says_so(bench: Bench, tmp_path: Path) -> None:
    summary, provider, _ = await night(bench, tmp_path, 1.0, max_runtime="20s")
    assert (summary.exit_code, summary.pending, provider.made) == (5, ITEMS, [])
    assert str(summary.stopped) == "--max-runtime 20s: what begins now would not be done by then (30 s are set aside)"
    assert bench.events[1].text.endswith(", in 20 s")


@pytest.mark.anyio
async def test_what_earlier_runs_with_the_same_model_took_is_set_aside_before_anything_is_known(
    bench: Bench, tmp_path: Path
) -> None:
    await night(bench, tmp_path, 1.0, limit=10)
    [flight] = [line["flight"] for line in bench.ledger() if line["event"] == "run_finished"]
    assert 3 <= flight < 6
    await night(bench, tmp_path, 1.0, limit=1)  # too few to know, which changes nothing
    summary, provider, _ = await night(bench, tmp_path, 1.0, max_runtime="20s")
    assert f"({1.5 * flight + 5:.0f} s are set aside)" in str(summary.stopped)
    assert len(provider.made) == summary.predictions > 0


@pytest.mark.anyio
async def test_a_minute_is_enough_to_buy_something(bench: Bench, tmp_path: Path) -> None:
    summary, provider, _ = await night(bench, tmp_path, 1.0, until="2027-01-15T08:01+00:00", concurrency=1)
    assert summary.exit_code == 5
    assert 4 <= summary.saved == len(provider.made) < ITEMS


@pytest.mark.anyio
async def test_a_run_that_has_done_all_in_time_ends_as_ever(bench: Bench, tmp_path: Path) -> None:
    summary, _, _ = await night(bench, tmp_path, 1.0, max_runtime="1h")
    assert (summary.exit_code, summary.state) == (0, "finished")


@pytest.mark.anyio
async def test_a_run_whose_last_items_come_home_after_its_last_purchase_ends_as_ever(
    bench: Bench, tmp_path: Path
) -> None:
    summary, _, time = await night(bench, tmp_path, 60.0, items=3, max_runtime="80s", grace=1.0)
    assert START + 60 <= time.now < START + 80
    assert (summary.exit_code, summary.state, summary.saved) == (0, "finished", 3)
    assert any(event.kind is Kind.STOPPING for event in bench.events)
    assert bench.results()["run"]["reason"] is None


@pytest.mark.anyio
@pytest.mark.parametrize("jump", [3600.0, 0.0])
async def test_a_clock_that_jumps_forward_ends_the_run_at_once(bench: Bench, tmp_path: Path, jump: float) -> None:
    path = tmp_path / "shop.csv"
    path.write_text("\n".join(["id,image", *(f"{n:02},https://shop.example/{n}.jpg" for n in range(ITEMS))]))
    time = FakeClock(START)
    bench.provider = provider = Slow(time, lambda number: 20.0)
    clock = replace(time.clock, wall=lambda: time.now + (jump if time.now > START + 60 else 0))
    given: dict[str, Any] = {"provider": "replicate", "base_url": "http://127.0.0.1:9/v1", "concurrency": 1}
    settings = Settings(out=bench.out, until="2027-01-15T09:00+00:00", limit=10, **given)
    with anyio.fail_after(50):
        summary = await batch.run([str(path)], settings, clock=clock)
    assert summary.exit_code == (5 if jump else 3)
    assert (time.now <= START + 66, len(provider.made) <= 4) == (bool(jump), bool(jump))
