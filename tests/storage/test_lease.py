"""One holder at a time, by durations of each one's own clock; and whoever can't renew knows before the others may."""

from __future__ import annotations

import anyio
import pytest
from msgspec import json
from msgspec.structs import replace

from batch_removebg.errors import LockedError, SettingsError, StorageDown
from batch_removebg.storage.lease import Held, Lease, decide
from tests.support.doubles import FakeClock
from tests.support.stores import AnswersLost, InMemory, Unconditional

pytestmark = pytest.mark.anyio
KEY = "cutouts/lease.json"
ANN = Held("ann", "process 7 on host-a", seconds=60, free=False)
BOB = Held("bob", "process 8 on host-b", seconds=60, free=False)


def lease(store: InMemory, me: Held = ANN, clock: FakeClock | None = None) -> Lease:
    return Lease(store, KEY, me, (clock or FakeClock()).clock)


def silent(text: str) -> None:
    pass


@pytest.mark.parametrize(
    ("theirs", "seen", "now", "step"),
    [
        (ANN, None, 0, "wait"),
        (ANN, ("1", 0), 59.9, "wait"),
        (ANN, ("1", 0), 60, "take"),
        (ANN, ("0", 0), 60, "held"),
        (replace(ANN, free=True), None, 0, "take"),
        (BOB, None, 0, "take"),
    ],
    ids=["first look", "may be renewed yet", "never renewed", "renewed", "left", "ours before"],
)
def test_what_a_look_at_a_lease_says(theirs: Held, seen: tuple[str, float] | None, now: float, step: str) -> None:
    assert decide(theirs, "1", "bob", seen, now) == step


async def test_of_two_drivers_one_has_it_and_the_other_is_told_who() -> None:
    store, clock = InMemory(), FakeClock()
    ann, bob, told = lease(store, ANN, clock), lease(store, BOB, clock), list[str]()
    await ann.take(silent)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(ann.keep)
        with pytest.raises(LockedError, match="process 7 on host-a"):
            await bob.take(told.append)
        tasks.cancel_scope.cancel()
    assert (ann.me.epoch, ann.left() > 0, len(told)) == (1, True, 1)


async def test_who_stopped_renewing_is_followed_after_a_whole_lease_time_and_knew_before() -> None:
    store, clock = InMemory(), FakeClock()
    ann, bob = lease(store, ANN, clock), lease(store, BOB, clock)
    await ann.take(silent)
    clock.now += 30  # by which its clock is older than what a taker sees
    begun = clock.now
    await bob.take(silent)
    assert (clock.now - begun, bob.me.epoch) == (60, 2)
    assert ann.left() < 0
    with pytest.raises(StorageDown):
        ann.check()
    with pytest.raises(LockedError, match="process 8 on host-b"):
        await ann.keep()


async def test_one_that_was_left_is_taken_at_once_and_its_epoch_grows() -> None:
    store, clock = InMemory(), FakeClock()
    for epoch, me in enumerate((ANN, BOB, ANN), 1):
        one = lease(store, me, clock)
        await one.take(silent)
        assert one.me.epoch == epoch
        await one.give_up()
    assert clock.slept == []


async def test_two_takers_at_the_same_moment_are_told_apart() -> None:
    store, clock, ended = InMemory(), FakeClock(), list[object]()

    async def taken(one: Lease) -> None:
        try:
            await one.take(silent)
            ended.append(one)
            await one.keep()
        except LockedError as error:
            ended.append(error)

    async with anyio.create_task_group() as tasks:
        for me in (ANN, BOB):
            tasks.start_soon(taken, lease(store, me, clock))
        while len(ended) < 2:
            await clock.sleep(1)
        tasks.cancel_scope.cancel()
    assert [type(one) for one in ended] == [Lease, LockedError]


@pytest.mark.parametrize("times", [1, 2])
async def test_a_renewal_whose_answer_was_lost_is_no_loss_of_the_lease(times: int) -> None:
    store, clock = AnswersLost(), FakeClock()
    ann = lease(store, ANN, clock)
    await ann.take(silent)
    store.times = times
    with anyio.move_on_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ann.keep)
            await clock.sleep(25)
            tasks.cancel_scope.cancel()
    assert store.times == 0
    assert ann.left() >= 60 - 5
    data, _ = await store.get(KEY, 999)
    assert json.decode(data, type=Held) == ann.me  # what a taker reckons from is what the holder does


async def test_a_minute_without_storage_is_outlasted_and_longer_ends_buying_in_time() -> None:
    store, clock = InMemory(), FakeClock()
    ann = lease(store, replace(ANN, seconds=240), clock)
    await ann.take(silent)

    async def away() -> None:
        await clock.sleep(79)
        store.away = True
        await clock.sleep(60)
        store.away = False
        await clock.sleep(100)
        assert ann.left() > 80
        store.away = True

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(away)
        with pytest.raises(StorageDown):
            await ann.keep()
        assert ann.left() > 70


async def test_a_store_that_ignores_conditions_is_found_out_before_anything_else() -> None:
    store = Unconditional()
    with pytest.raises(SettingsError, match="conditional puts"):
        await lease(store).take(silent)
    assert list(store.listed("cutouts/")) == []
