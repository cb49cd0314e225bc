"""When a run loads its network: beside the first reads, and only where there may be something to predict."""

from __future__ import annotations

from pathlib import Path

import anyio
import pytest

from batch_removebg import run_batch, run_batch_sync
from batch_removebg.engine import process
from batch_removebg.engine.network import Network
from batch_removebg.engine.runtimes import opening
from batch_removebg.errors import SettingsError
from batch_removebg.pipeline import pipeline
from batch_removebg.pipeline.context import Context
from batch_removebg.pipeline.work import Prepared, Todo
from tests.support.doubles import photo
from tests.support.local_doubles import Here, LeftHalf

loads: list[Network] = []


@pytest.fixture(autouse=True)
def _stub_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def load() -> Network:
        loads.append(LeftHalf())
        return loads[-1]

    loads.clear()
    monkeypatch.setattr(opening, "ensure_weights", lambda model, **asked: None)
    monkeypatch.setattr(process, "NetworkProcess", lambda _, *__: Here(load))


@pytest.mark.anyio
async def test_the_network_is_loaded_while_the_first_sources_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded, prepare = anyio.Event(), pipeline.prepare

    def load() -> Network:
        loaded.set()
        return LeftHalf()

    async def once_it_is_loaded(context: Context, todo: Todo) -> Prepared:
        await loaded.wait()
        return await prepare(context, todo)

    monkeypatch.setattr(process, "NetworkProcess", lambda _, *__: Here(load))
    monkeypatch.setattr(pipeline, "prepare", once_it_is_loaded)
    (tmp_path / "a.jpg").write_bytes(photo())
    with anyio.fail_after(60):
        summary = await run_batch(tmp_path / "a.jpg", out=tmp_path / "out")
    assert summary.saved == 1


def test_no_network_is_loaded_where_all_is_done_or_all_masks_are_kept(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(photo())
    assert run_batch_sync(tmp_path / "a.jpg", out=tmp_path / "out").predictions == 1
    loads.clear()
    assert run_batch_sync(tmp_path / "a.jpg", out=tmp_path / "out").skipped == 1
    assert run_batch_sync(tmp_path / "a.jpg", out=tmp_path / "out", format="webp").reused == 1
    assert loads == []


def test_a_network_that_can_not_be_loaded_stops_the_run_and_is_told_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails() -> Network:
        raise SettingsError("the weights are not here")

    monkeypatch.setattr(process, "NetworkProcess", lambda _, *__: Here(fails))
    (tmp_path / "a.jpg").write_bytes(photo())
    summary = run_batch_sync(tmp_path / "a.jpg", out=tmp_path / "out")
    assert (summary.pending, str(summary.stopped)) == (1, "the weights are not here")
