"""A server that is down is probed by one call at a time; the others wait and lose nothing."""

from __future__ import annotations

from collections.abc import Callable

import anyio
import anyio.lowlevel
import pytest

from batch_removebg.errors import (
    BudgetReached,
    ConnectionFailed,
    CreateLost,
    InputRejected,
    OutOfReach,
    ServerDown,
    ServerError,
)
from batch_removebg.model import CreateRequest, Prediction, PredictionPage, Status
from batch_removebg.providers.adaptive_rate import RateLimit
from batch_removebg.providers.circuit_breaker import Breaker, Breaking, Hosts, may_buy
from batch_removebg.providers.retry import Retrying, RetryPolicy
from batch_removebg.providers.throttle import Throttled
from tests.support.doubles import FakeClock, ScriptedProvider, pausing

pytestmark = pytest.mark.anyio
REQUEST = CreateRequest("a", "https://shop.example/a.jpg", "a.png")


def opened(*, at: float = 0.0, known: bool = True) -> Breaker:
    breaker = Breaker(known=known)
    for _ in range(breaker.threshold):
        breaker.failed(at)
    return breaker


def test_it_opens_after_failures_in_a_row_and_not_before() -> None:
    breaker = Breaker()
    for _ in range(4):
        breaker.failed(0.0)
    breaker.answered()
    for _ in range(4):
        breaker.failed(0.0)
    assert not breaker.open
    breaker.failed(0.0)
    assert breaker.open
    assert breaker.wait(0.5) == 1.5


def test_one_probe_goes_at_a_time_and_each_failed_one_doubles_the_pause_up_to_a_minute() -> None:
    breaker, now, pauses = opened(), 0.0, []
    for _ in range(7):
        pauses.append(breaker.wait(now))
        now += pauses[-1]
        assert breaker.wait(now) == 0  # the probe
        assert breaker.wait(now) > 0  # nobody else
        breaker.failed(now)
    assert pauses == [2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0]


def test_a_probe_that_is_answered_lets_everybody_go() -> None:
    breaker = opened()
    assert breaker.wait(2.0) == 0
    breaker.answered()
    assert [breaker.wait(2.0) for _ in range(3)] == [0, 0, 0]


def test_a_probe_that_never_went_out_leaves_its_place_to_another() -> None:
    breaker = opened()
    assert breaker.wait(2.0) == 0
    breaker.gave_up()
    assert breaker.wait(2.0) == 0


def test_late_failures_of_calls_under_way_do_not_lengthen_the_pause() -> None:
    breaker = opened()
    breaker.failed(1.0)
    assert breaker.wait(1.0) == 1.0


def test_after_half_an_hour_of_nothing_but_errors_the_run_is_given_up() -> None:
    breaker = opened()
    for moment in (600.0, 1200.0, 1799.0):
        breaker.failed(moment)
    with pytest.raises(ServerDown, match="30 minutes"):
        breaker.failed(1800.0)


def test_the_probe_that_gives_up_leaves_its_place_to_those_that_still_wait() -> None:
    breaker = opened()
    breaker.failed(600.0)
    breaker.failed(1200.0)
    assert breaker.wait(1800.0) == 0
    with pytest.raises(ServerDown):
        breaker.failed(1800.0)
    assert breaker.wait(1800.0) == 0  # so that each hears of it, and none waits for ever


def test_an_address_where_nothing_has_ever_answered_is_given_up_after_ten_minutes_and_the_flag_is_named() -> None:
    breaker = opened(known=False)
    breaker.failed(599.0)
    with pytest.raises(ServerDown, match="10 minutes; check --base-url, the network, and HTTPS_PROXY"):
        breaker.failed(600.0)


def test_a_short_patience_is_told_in_seconds() -> None:
    breaker = Breaker(stranger=5.0)
    breaker.failed(0.0)
    with pytest.raises(ServerDown, match="nothing but errors for 6 seconds; check --base-url"):
        breaker.failed(6.0)


def built(provider: ScriptedProvider, fake: FakeClock) -> Retrying:
    clock = fake.clock
    breaking = Breaking(provider, Breaker(known=True), clock=clock, pause=pausing(clock.sleep), waiting=lambda _: None)
    return Retrying(breaking, RetryPolicy(), clock=clock, pause=pausing(clock.sleep), waiting=lambda _: None)


async def test_an_outage_burns_no_items_attempts() -> None:
    """Twenty-six failures in a row, with six attempts an item: every item is bought in the end."""
    fake = FakeClock()
    provider = ScriptedProvider(creates=[ServerError("503")] * 18 + [ConnectionFailed("refused")] * 8)
    chain, made = built(provider, fake), []

    async def buy() -> None:
        made.append(await chain.create(REQUEST))

    with anyio.fail_after(20):
        async with anyio.create_task_group() as group:
            for _ in range(6):
                group.start_soon(buy)
    assert len(made) == provider.bill == 6
    assert len(provider.requests) == 32


async def test_answers_of_any_kind_keep_it_closed() -> None:
    refusals = [InputRejected("422"), ServerError("500")] * 5
    provider = ScriptedProvider(creates=refusals)
    breaking = Breaking(
        provider, breaker := Breaker(threshold=2), clock=FakeClock().clock, pause=pausing(_never), waiting=_hush
    )
    for expected in refusals:
        with pytest.raises(type(expected)):
            await breaking.create(REQUEST)
    assert not breaker.open


async def test_what_this_side_refuses_says_nothing_about_the_server() -> None:
    provider = ScriptedProvider(creates=[ServerError("500"), BudgetReached("spent"), ServerError("500")])
    breaking = Breaking(
        provider, breaker := Breaker(threshold=3), clock=FakeClock().clock, pause=pausing(_never), waiting=_hush
    )
    for _ in range(3):
        with pytest.raises((ServerError, BudgetReached)):
            await breaking.create(REQUEST)
    breaker.failed(0.0)
    assert breaker.open


async def test_a_lost_create_is_handed_on_to_be_looked_for_even_while_open() -> None:
    provider = ScriptedProvider(creates=[CreateLost("502")] * 3)
    fake = FakeClock()
    breaking = Breaking(
        provider, Breaker(threshold=2), clock=fake.clock, pause=pausing(fake.clock.sleep), waiting=_hush
    )
    for _ in range(3):
        with pytest.raises(CreateLost):
            await breaking.create(REQUEST)
    assert sum(fake.slept) == 2.0  # the third waited for its turn
    assert isinstance(await breaking.create(REQUEST), Prediction)


async def test_answered_polls_do_not_hide_that_creates_fail() -> None:
    provider = ScriptedProvider(creates=[ServerError("503")] * 2)
    provider.known["p9"] = Prediction("p9", Status.PROCESSING)
    breaking = Breaking(
        provider, breaker := Breaker(threshold=2), clock=(fake := FakeClock()).clock,
        pause=pausing(fake.clock.sleep), waiting=_hush,
    )  # fmt: skip
    with pytest.raises(ServerError):
        await breaking.create(REQUEST)
    await breaking.get("p9")
    await breaking.create(REQUEST)
    assert fake.slept == [2.0]
    assert provider.bill == 2
    assert not breaker.open


async def _never(seconds: float) -> None:
    raise AssertionError(f"waited {seconds} s")


def _hush(_: str) -> None:
    pass


# Outputs


class Outputs(ScriptedProvider):
    """Outputs answer with these errors, in turn and whatever is asked for; then all is well."""

    def __init__(self, *errors: Exception) -> None:
        super().__init__()
        self.errors = list(errors)

    async def fetch(self, url: str) -> bytes:
        self.calls.append(f"fetch {url}")
        if self.errors:
            raise self.errors.pop(0)
        return b"picture"


async def test_one_output_that_can_not_be_fetched_is_no_outage_of_its_host() -> None:
    provider, fake = Outputs(*[ServerError("503")] * 9), FakeClock()
    breaking = Breaking(provider, Breaker(), clock=fake.clock, pause=pausing(_never), waiting=_hush)
    for _ in range(9):
        with pytest.raises(ServerError):
            await breaking.fetch("https://out.example/a.png")
    await breaking.create(REQUEST)
    assert await breaking.fetch("https://out.example/a.png") == b"picture"


async def test_creates_wait_while_different_outputs_of_a_host_fail_and_others_are_not_held_up() -> None:
    provider, fake, said = Outputs(*[ServerError("503")] * 4), FakeClock(), list[str]()
    chain = breaking(provider, fake, said.append)
    for name in "ab":
        with pytest.raises(ServerError):
            await chain.fetch(f"https://out.example/{name}.png")
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(chain.fetch, "https://out.example/c.png")
        await anyio.lowlevel.checkpoint()
        created = fake.now
        await chain.create(REQUEST)
    assert fake.now - created >= 2.0 + 4.0  # until the host answered again: its first pause, and the longer second
    assert provider.calls[-1] == "create"
    assert said == [
        "503; out.example, where the outputs are, seems to be down: the run pauses, and tries again by itself"
    ]
    assert await chain.fetch("https://elsewhere.example/d.png") == b"picture"


class Spotty(ScriptedProvider):
    """Outputs named `bad` always answer 500; so does the list."""

    async def fetch(self, url: str) -> bytes:
        self.calls.append(url.rpartition("/")[2])
        if "bad" in url:
            raise ServerError("500")
        return b"picture"

    async def list(self, **given: object) -> PredictionPage:
        raise ServerError("500")


def breaking(provider: ScriptedProvider, fake: FakeClock, waiting: Callable[[str], None] = _hush) -> Breaking:
    clock, pause, hosts = fake.clock, pausing(fake.clock.sleep), Hosts()
    limits = RateLimit(window=99), RateLimit(window=99)
    may = lambda now, _: may_buy(hosts, now)  # noqa: E731
    throttled = Throttled(
        provider, *limits, clock, pause, waited=lambda _: None, answered=list, trouble=lambda _: None, may_buy=may
    )
    return Breaking(throttled, Breaker(known=True), clock=clock, pause=pause, waiting=waiting, hosts=hosts)


async def fetch(chain: Breaking, name: str, wait: float = 0.0) -> None:
    await chain.clock.sleep(wait)
    await chain.fetch(f"https://out.example/{name}")


async def test_an_output_that_comes_late_is_probed_before_those_that_have_failed_again_and_again() -> None:
    chain = breaking(provider := Spotty(), fake := FakeClock())
    started = fake.now
    async with anyio.create_task_group() as tasks:
        for nth in range(3):
            tasks.start_soon(_failing, chain, f"bad{nth}")
        tasks.start_soon(fetch, chain, "good", 40.0)
    assert fake.now - started < 900 + 100
    assert provider.calls.index("good") < 13
    await chain.create(REQUEST)


async def test_outputs_that_have_failed_before_open_nothing_once_others_have_come() -> None:
    chain = breaking(Spotty(), fake := FakeClock())
    for nth in range(12):
        await _failing(chain, f"bad{nth % 3}") if nth % 3 < 2 else await fetch(chain, "good")
    for nth in range(3):
        await _failing(chain, f"bad{nth}")
    assert fake.slept == [0.0] * 15
    await chain.create(REQUEST)


async def _failing(chain: Breaking, name: str) -> None:
    with pytest.raises((ServerError, OutOfReach)):
        await fetch(chain, name)


async def test_while_a_host_of_outputs_is_down_one_purchase_goes_ahead_after_five_minutes_and_every_ten() -> None:
    chain = breaking(Spotty(), fake := FakeClock())
    bought = list[float]()

    async def buy() -> None:
        await chain.create(REQUEST)
        bought.append(fake.now - started)

    async with anyio.create_task_group() as tasks:
        for nth in range(3):
            tasks.start_soon(_failing, chain, f"bad{nth}")
        await fake.clock.sleep(1.0)
        started = fake.now
        for _ in range(2):
            tasks.start_soon(buy)
    assert 299 <= bought[0] < 400
    assert 600 <= bought[1] - bought[0] < 700


async def test_an_output_is_held_for_a_quarter_of_an_hour_and_then_left_for_the_next_run() -> None:
    chain = breaking(Spotty(), fake := FakeClock())
    started = fake.now
    async with anyio.create_task_group() as tasks:
        for name in ("bad1", "bad2"):
            tasks.start_soon(_failing, chain, name)
        with pytest.raises(OutOfReach, match="500"):
            await fetch(chain, "bad3", 1.0)
    assert 900 <= fake.now - started < 1000


async def test_a_list_that_fails_holds_up_nothing_else_and_is_given_up_after_five_minutes() -> None:
    chain = breaking(provider := Spotty(), fake := FakeClock())
    provider.known["p9"] = Prediction("p9", Status.PROCESSING)
    started = fake.now
    for _ in range(4):
        with pytest.raises(ServerError):
            await chain.list()
    with pytest.raises(OutOfReach):
        await chain.list()
    assert 300 <= fake.now - started < 400
    waited = len(fake.slept)
    await chain.get("p9")
    await chain.create(REQUEST)
    assert len(fake.slept) == waited


def test_the_hours_of_a_suspend_are_no_outage() -> None:
    breaker = Breaker(known=True)
    breaker.failed(0.0)
    breaker.failed(10_000.0)
    breaker.failed(10_600.0)
    breaker.failed(11_100.0)
    with pytest.raises(ServerDown, match="30 minutes"):
        breaker.failed(11_140.0)
