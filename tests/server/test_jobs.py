"""The prediction store: states, queue, expiry, list."""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest

from batch_removebg.errors import Busy, SourceError
from batch_removebg.finish.options import Finished
from batch_removebg.model import Status
from batch_removebg.server import blob_store
from batch_removebg.server import jobs as jobs_module
from batch_removebg.server.jobs import Job, Jobs, Source
from tests.support.local_doubles import BEGIN, Hands, Stalled, running

pytestmark = pytest.mark.anyio


@pytest.fixture
def hands() -> Hands:
    return Hands()


@pytest.fixture
def stalled() -> Iterator[Stalled]:
    yield (network := Stalled())
    network.released.set()


def unchanged(data: bytes) -> Finished:
    return Finished(data, 1, 1)


def source(data: bytes = b"cat") -> Source:
    async def bring() -> bytes:
        return data

    return bring


def create(jobs: Jobs, bring: Source | None = None, **more: Any) -> Job:
    job = Job(bring or source(), "owner/name", "v", {"image": "https://host/cat.jpg"}, "hello\n", **more)
    jobs.create(job)
    return job


async def ended(job: Job | None) -> Job:
    assert job is not None
    with anyio.fail_after(30):
        await job.done.wait()
    return job


async def test_a_job_runs_from_starting_to_succeeded_and_keeps_its_stamps(hands: Hands, tmp_path: Path) -> None:
    async def slow() -> bytes:
        hands.advance(2)
        return b"cat"

    def render(data: bytes) -> Finished:
        hands.now += 3
        return Finished(data.upper(), 1, 1, ("reduced to 8 bits",))

    async with running(render, tmp_path, hands) as jobs:
        job = create(jobs, slow)
        assert (job.status, job.number, job.created, job.started) == (Status.STARTING, 1, BEGIN, None)
        done = await ended(job)
        assert done.output is not None
        assert (done.status, done.started, done.completed) == (Status.SUCCEEDED, BEGIN, BEGIN + 5)
        assert (done.error, done.logs, done.removed) == (None, "hello\nreduced to 8 bits\n", False)
        blob = jobs.outputs.get(done.output)
        assert blob is not None
        assert blob.path.read_bytes() == b"CAT"


async def test_ids_are_26_letters_and_digits_and_differ(hands: Hands, tmp_path: Path) -> None:
    async with running(unchanged, tmp_path, hands) as jobs:
        ids = {create(jobs).id for _ in range(50)}
    assert len(ids) == 50
    assert all(re.fullmatch(r"[0-9a-f]{26}", name) for name in ids)


async def test_a_source_that_cannot_be_brought_fails_its_job_with_its_own_words(hands: Hands, tmp_path: Path) -> None:
    async def lost() -> bytes:
        raise SourceError("https://host/cat.jpg answers 403")

    async with running(unchanged, tmp_path, hands) as jobs:
        done = await ended(create(jobs, lost))
        assert (done.status, done.error) == (Status.FAILED, "https://host/cat.jpg answers 403")
        assert done.output is None


async def test_an_unforeseen_error_costs_its_own_job_only(
    hands: Hands, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def render(data: bytes) -> Finished:
        if data == b"hostile":
            raise ValueError("what is this")
        return unchanged(data)

    with caplog.at_level(logging.ERROR):
        async with running(render, tmp_path, hands) as jobs:
            first, second = create(jobs, source(b"hostile")), create(jobs)
            failed, done = await ended(first), await ended(second)
    assert (failed.status, failed.error) == (Status.FAILED, "ValueError: what is this")
    assert done.status is Status.SUCCEEDED
    assert [record.message for record in caplog.records] == [f"prediction {first.id} failed"]


async def test_workers_render_at_a_time_and_no_more(hands: Hands, tmp_path: Path) -> None:
    pair, lock = threading.Barrier(2, timeout=30), threading.Lock()
    now, most = 0, 0

    def render(data: bytes) -> Finished:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        pair.wait()
        with lock:
            now -= 1
        pair.wait()
        return unchanged(data)

    async with running(render, tmp_path, hands, workers=2) as jobs:
        queued = [create(jobs) for _ in range(6)]
        ends = [await ended(job) for job in queued]
    assert [job.status for job in ends] == [Status.SUCCEEDED] * 6
    assert most == 2


async def test_a_full_queue_is_busy_until_a_job_leaves_it(hands: Hands, tmp_path: Path, stalled: Stalled) -> None:
    async with running(stalled, tmp_path, hands, room=2) as jobs:
        create(jobs)
        second = create(jobs)
        with pytest.raises(Busy) as caught:
            create(jobs)
        assert caught.value.retry_after == 5.0
        assert jobs.count == 2
        jobs.cancel(second.id)
        assert create(jobs).status is Status.STARTING


async def test_a_job_canceled_in_the_queue_is_never_rendered(hands: Hands, tmp_path: Path, stalled: Stalled) -> None:
    async with running(stalled, tmp_path, hands) as jobs:
        first, second = create(jobs), create(jobs)
        canceled = jobs.cancel(second.id)
        assert canceled is not None
        assert (canceled.status, canceled.started, canceled.completed) == (Status.CANCELED, None, BEGIN)
        stalled.released.set()
        done = await ended(first)
        assert done.status is Status.SUCCEEDED
        third = await ended(create(jobs))  # has passed the second in the queue
        assert third.status is Status.SUCCEEDED
        assert canceled.status is Status.CANCELED
        assert stalled.calls == 2


async def test_a_job_canceled_while_it_runs_ends_at_once_and_its_result_is_thrown_away(
    hands: Hands, tmp_path: Path, stalled: Stalled
) -> None:
    async with running(stalled, tmp_path, hands) as jobs:
        job = create(jobs)
        while stalled.calls == 0:
            await anyio.wait_all_tasks_blocked()
        canceled = jobs.cancel(job.id)
        assert canceled is not None
        assert canceled.status is Status.CANCELED
        assert (await ended(job), canceled.completed) == (canceled, BEGIN)
        hands.now += 1
        stalled.released.set()
        after = await ended(create(jobs))
        assert after.status is Status.SUCCEEDED
        assert (canceled.status, canceled.completed, canceled.output) == (Status.CANCELED, BEGIN, None)
        assert [path.name for path in (tmp_path / "outputs").iterdir()] == [after.output]


async def test_a_job_canceled_while_its_source_is_brought_stops_bringing_it(hands: Hands, tmp_path: Path) -> None:
    stopped = anyio.Event()

    async def endless() -> bytes:
        try:
            await anyio.sleep_forever()
            return b""
        finally:
            stopped.set()

    async with running(unchanged, tmp_path, hands) as jobs:
        job = create(jobs, endless)
        await anyio.wait_all_tasks_blocked()
        jobs.cancel(job.id)
        with anyio.fail_after(10):
            await stopped.wait()


async def test_an_input_of_one_job_goes_however_the_job_ends(hands: Hands, tmp_path: Path, stalled: Stalled) -> None:
    async with running(stalled, tmp_path, hands, room=2) as jobs:
        for _ in range(2):
            blob = await jobs.inputs.put(b"cat")
            create(jobs, once=blob.id)
        blob = await jobs.inputs.put(b"cat")
        with pytest.raises(Busy):
            create(jobs, once=blob.id)
        assert len(list((tmp_path / "inputs").iterdir())) == 2
        for job in jobs.page().jobs:
            jobs.cancel(job.id)
        assert list((tmp_path / "inputs").iterdir()) == []
        stalled.released.set()


async def test_of_too_many_jobs_the_oldest_that_have_ended_are_forgotten_before_their_hour(
    hands: Hands, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs_module, "_HISTORY", 2)
    async with running(unchanged, tmp_path, hands) as jobs:
        ids = [create(jobs).id for _ in range(5)]
        await ended(jobs.get(ids[-1]))
        jobs.sweep()
        assert [job.id for job in jobs.page().jobs] == ids[:0:-1]
        assert len(list((tmp_path / "outputs").iterdir())) == 4


async def test_canceling_what_has_ended_or_never_was_changes_nothing(hands: Hands, tmp_path: Path) -> None:
    async with running(unchanged, tmp_path, hands) as jobs:
        done = await ended(create(jobs))
        hands.now += 1
        assert jobs.cancel(done.id) is done
        assert (done.status, done.completed) == (Status.SUCCEEDED, BEGIN)
        assert jobs.cancel("nobody") is None
        assert jobs.get("nobody") is None


async def test_cancel_after_stops_a_job_at_its_moment_and_not_before(
    hands: Hands, tmp_path: Path, stalled: Stalled
) -> None:
    async with running(stalled, tmp_path, hands) as jobs:
        job = create(jobs, cancel_after=30)
        hands.now += 29.9
        jobs.sweep()
        assert not _status(jobs, job).terminal
        hands.now += 0.1
        jobs.sweep()
        assert _status(jobs, job) is Status.CANCELED


async def test_after_an_hour_input_logs_and_output_are_gone(hands: Hands, tmp_path: Path) -> None:
    async with running(unchanged, tmp_path, hands) as jobs:
        done = await ended(create(jobs))
        hands.now += 3599.9
        jobs.sweep()
        assert jobs.get(done.id) is done
        assert (done.removed, done.logs, done.output is None) == (False, "hello\n", False)
        hands.now += 0.1
        jobs.sweep()
        wiped = jobs.get(done.id)
        assert wiped is not None
        assert (wiped.status, wiped.removed) == (Status.SUCCEEDED, True)
        assert (wiped.input, wiped.output, wiped.logs) == ({}, None, "")
        assert list((tmp_path / "outputs").iterdir()) == []


async def test_after_an_hour_the_input_of_a_failed_job_is_gone_too(hands: Hands, tmp_path: Path) -> None:
    async def lost() -> bytes:
        raise SourceError("gone")

    async with running(unchanged, tmp_path, hands) as jobs:
        done = await ended(create(jobs, lost))
        hands.now += 3600
        jobs.sweep()
        wiped = jobs.get(done.id)
        assert wiped is not None
        assert (wiped.status, wiped.removed, wiped.input, wiped.error) == (Status.FAILED, True, {}, "gone")


async def test_an_output_that_was_crowded_out_is_reported_as_removed(
    hands: Hands, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blob_store, "ROOM", 5)
    async with running(unchanged, tmp_path, hands) as jobs:
        await ended(create(jobs))
        await ended(create(jobs))
        jobs.sweep()
        assert [job.removed for job in jobs.page().jobs] == [False, True]
        assert jobs.page().jobs[1].output is None


async def test_the_sweep_comes_round_by_itself(hands: Hands, tmp_path: Path) -> None:
    async with running(unchanged, tmp_path, hands) as jobs:
        done = await ended(create(jobs))
        await anyio.wait_all_tasks_blocked()
        hands.advance(3600)
        await anyio.wait_all_tasks_blocked()
        wiped = jobs.get(done.id)
        assert wiped is not None
        assert wiped.removed


async def test_the_oldest_wiped_jobs_are_forgotten_in_the_end(
    hands: Hands, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs_module, "_HISTORY", 2)
    async with running(unchanged, tmp_path, hands) as jobs:
        ids = [create(jobs).id for _ in range(3)]
        await ended(jobs.get(ids[-1]))
        jobs.sweep()
        assert len(jobs.page().jobs) == 3
        hands.now += 3600
        jobs.sweep()
        assert [job.id for job in jobs.page().jobs] == [ids[2], ids[1]]


async def test_leaving_the_store_cancels_what_has_not_ended(hands: Hands, tmp_path: Path, stalled: Stalled) -> None:
    async with running(stalled, tmp_path, hands) as jobs:
        running_job, queued = create(jobs), create(jobs)
        while stalled.calls == 0:
            await anyio.wait_all_tasks_blocked()
    assert [_status(jobs, job) for job in (running_job, queued)] == [Status.CANCELED] * 2


@pytest.fixture
async def many(hands: Hands, tmp_path: Path, stalled: Stalled) -> AsyncIterator[Jobs]:
    """250 jobs, one a second."""
    async with running(stalled, tmp_path, hands, room=250) as jobs:
        for _ in range(250):
            create(jobs)
            hands.now += 1
        yield jobs


async def test_pages_lead_through_all_jobs_newest_first_and_back(many: Jobs) -> None:
    first = many.page()
    assert [job.number for job in first.jobs] == list(range(250, 150, -1))
    assert (first.newer, first.older) == (None, "o151")
    second = many.page(first.older)
    assert [job.number for job in second.jobs] == list(range(150, 50, -1))
    third = many.page(second.older)
    assert [job.number for job in third.jobs] == list(range(50, 0, -1))
    assert third.older is None
    assert third.newer is not None
    assert many.page(third.newer) == second
    assert second.newer is not None
    assert many.page(second.newer) == first


async def test_a_page_after_the_last_is_empty(many: Jobs) -> None:
    assert many.page("o1").jobs == ()
    assert many.page("n250").jobs == ()


async def test_bounds_take_in_their_beginning_and_leave_out_their_end(many: Jobs) -> None:
    page = many.page(after=BEGIN + 10, before=BEGIN + 13)
    assert [job.number for job in page.jobs] == [13, 12, 11]
    assert (page.newer, page.older) == (None, None)


def _status(jobs: Jobs, job: Job) -> Status:
    found = jobs.get(job.id)
    assert found is not None
    return found.status
