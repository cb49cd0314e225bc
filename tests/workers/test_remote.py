"""Runs whose workers are elsewhere: the same pictures, and none of them passes through the run."""

from __future__ import annotations

import json
import socket
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from batch_removebg import SettingsError, run_batch
from batch_removebg.engine import network, process, weights
from batch_removebg.engine.runtimes import opening
from batch_removebg.errors import KeyRejected, RateLimited
from batch_removebg.run.summary import Summary
from batch_removebg.storage import bucket
from batch_removebg.workers import remote
from tests.support.actors import ThreadPool
from tests.support.buckets import Buckets
from tests.support.doubles import encoded, photo
from tests.support.fake_api import FakeApi
from tests.support.local_doubles import Here, LeftHalf
from tests.support.s3 import S3, Fault, expired, s3, slow_down

__all__ = ["s3"]
pytestmark = pytest.mark.anyio
STATE = Path(".batch-removebg")


@pytest.fixture
def pool(monkeypatch: pytest.MonkeyPatch) -> ThreadPool:
    made = ThreadPool()
    monkeypatch.setattr(remote, "RayPool", made)
    monkeypatch.setattr(opening, "ensure_weights", lambda model, **asked: None)
    monkeypatch.setattr(weights, "ensure", lambda model, **asked: None)
    monkeypatch.setattr(weights, "notice", lambda *_: "")
    monkeypatch.setattr(weights, "find", lambda model: model.path)
    monkeypatch.setattr(network, "opened", lambda *_, **__: LeftHalf())
    monkeypatch.setattr(process, "_loaded", [])
    monkeypatch.setattr(process, "NetworkProcess", lambda load, cpu, *_: Here(LeftHalf))
    return made


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(3):
        noise = np.random.default_rng(number).integers(0, 255, (90 + number, 120, 3), dtype=np.uint8)
        (folder / f"{number}.png").write_bytes(encoded(Image.fromarray(noise), "PNG"))
    (folder / "twin.png").write_bytes((folder / "1.png").read_bytes())
    return folder


def told(out: Path) -> dict[str, Any]:
    """What results.json says of each item, but for how long it took."""
    items = json.loads((out / "results.json").read_text())["items"]
    return {item["id"]: {**item, "seconds": 0, "prediction_id": "", "reused": None, "attempts": 0} for item in items}


def network_of_actors() -> LeftHalf:
    [loaded] = process._loaded
    assert isinstance(loaded, LeftHalf)
    return loaded


def networked() -> int:
    """Pictures that it has seen; each call here is done twice."""
    return len(network_of_actors().seen) // 2


@pytest.mark.parametrize("given", [{"preset": ("ebay",)}, {"hold_flagged": True}])
async def test_pictures_and_what_is_told_of_them_are_those_of_a_run_here(
    pool: ThreadPool, photos: Path, tmp_path: Path, given: Any
) -> None:
    here = await run_batch(photos, out=tmp_path / "here", **given)
    away = await run_batch(photos, out=tmp_path / "away", **given, workers="ray")
    assert (away.saved, away.predictions, away.reused) == (here.saved, here.predictions, here.reused) == (4, 3, 1)
    assert told(tmp_path / "away") == told(tmp_path / "here")
    assert networked() == 3
    assert not (tmp_path / "away" / STATE / "spool").exists()
    assert list((tmp_path / "away").rglob("*.tmp")) == []


async def test_paths_are_told_as_they_were_typed(
    pool: ThreadPool, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (photos / "torn.png").write_bytes(b"no picture")
    Path("list.txt").write_text("photos/0.png\nphotos/gone.png\nphotos/torn.png\n")
    here = await run_batch("list.txt", out="here")
    away = await run_batch("list.txt", out="away", workers="ray")
    assert (here.out, away.out) == (Path("here"), Path("away"))
    assert told(tmp_path / "away") == told(tmp_path / "here")
    assert str(tmp_path) not in (tmp_path / "away/ledger.jsonl").read_text()


async def test_a_picture_takes_two_calls_and_its_twin_is_read_again_and_its_alpha_looked_for(
    pool: ThreadPool, photos: Path, tmp_path: Path
) -> None:
    await run_batch(photos, out=tmp_path / "out", workers="ray")
    assert Counter(pool.called) == {"ready": 1, "used": 1, "look": 4 + 1, "made": 4, "there": 1}


async def test_kept_alphas_serve_where_they_are_sound_and_are_made_again_elsewhere(
    pool: ThreadPool, photos: Path, tmp_path: Path
) -> None:
    await run_batch(photos, out=tmp_path / "out", workers="ray")
    first, *_ = sorted((tmp_path / "out" / STATE / "alpha").rglob("*.png"))
    first.write_bytes(first.read_bytes()[:-20])
    network_of_actors().seen.clear()
    again = await run_batch(photos, out=tmp_path / "out", workers="ray", format="webp")
    assert (again.saved, again.failed) == (4, 0)
    assert networked() == 1


async def test_a_source_that_changes_meanwhile_fails_alone(pool: ThreadPool, photos: Path, tmp_path: Path) -> None:
    def retouch(name: str) -> None:
        if name == "made":
            (photos / "0.png").write_bytes((photos / "2.png").read_bytes())

    pool.before = retouch
    summary = await run_batch(photos / "0.png", out=tmp_path / "out", workers="ray")
    assert (summary.saved, summary.failed) == (0, 1)
    [item] = told(tmp_path / "out").values()
    assert item["error"] == {"kind": "source", "message": "changed while it was being done; run again to do it anew"}


@pytest.mark.parametrize("gateway", [False, True])
async def test_outputs_of_an_api_are_fetched_and_finished_elsewhere(
    pool: ThreadPool, photos: Path, tmp_path: Path, gateway: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KEY", "k3y")

    async def run(out: str, **given: Any) -> Summary:
        api = {"provider": "gateway" if gateway else "replicate", "base_url": bought.base, "token_env": "KEY"}
        return await run_batch(photos, out=tmp_path / out, fetch_sources=True, **api, **given)

    async with FakeApi(gateway=gateway, key="k3y") as bought:
        here, away = await run("here"), await run("away", workers="ray")
    assert (away.saved, away.predictions) == (here.saved, here.predictions) == (4, 3)
    assert told(tmp_path / "away") == told(tmp_path / "here")
    assert (pool.called.count("output"), pool.called.count("kept"), pool.called.count("shown")) == (3, 3, 3)
    assert list((tmp_path / "away").rglob("*.tmp")) == []


async def test_pictures_of_the_web_wait_in_out_and_are_fetched_once(
    pool: ThreadPool, photos: Path, tmp_path: Path
) -> None:
    async with FakeApi() as web:
        (tmp_path / "list.txt").write_text(f"{web.other}/out/a.png\n{web.other}/out/b.png\n")
        summary = await run_batch(tmp_path / "list.txt", out=tmp_path / "out", workers="ray", allow_private=True)
        asked = len(web.foreign)
    assert (summary.saved, summary.predictions, summary.reused) == (2, 1, 1)
    assert asked == 2 * 3  # twice each, since every call here is done twice; and the twin is read again
    assert not (tmp_path / "out" / STATE / "spool").exists()


async def test_a_node_that_does_not_reach_out_is_named_with_the_remedy(
    pool: ThreadPool, photos: Path, tmp_path: Path
) -> None:
    def elsewhere(name: str) -> None:
        (tmp_path / "out" / STATE / "spool" / "probe").write_text("of another folder")

    pool.before = elsewhere
    with pytest.raises(SettingsError, match="isn't there, or can't be written: out must lie where all nodes reach"):
        await run_batch(photos, out=tmp_path / "out", workers="ray")


async def test_a_node_without_the_weights_is_told_how_to_get_them(
    pool: ThreadPool, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(weights, "find", lambda model: None)
    remedy = r"^the weights of u2netp aren't there, or are damaged: run `batch-removebg models pull u2netp` there$"
    with pytest.raises(SettingsError, match=remedy):
        await run_batch(photos, out=tmp_path / "out", workers="ray", model="u2netp")


async def test_a_node_that_does_not_reach_the_sources_ends_the_run_and_fails_no_item(
    pool: ThreadPool, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def hidden(name: str) -> None:
        if name == "look":
            raise remote.Hidden("does not exist: 0.png (from photos)")

    pool.before = hidden
    summary = await run_batch(photos, out=tmp_path / "out", workers="ray")
    assert (summary.exit_code, summary.failed, summary.pending) == (2, 0, 4)
    assert "can be read here, but not on a node: sources must lie where all nodes reach them" in str(summary.stopped)
    (tmp_path / "list.txt").write_text("gone.png\n")
    gone = await run_batch(tmp_path / "list.txt", out=tmp_path / "gone", workers="ray")
    assert (gone.exit_code, gone.failed) == (3, 1)


async def test_what_a_host_asks_for_reaches_the_run(pool: ThreadPool) -> None:
    def busy(name: str) -> None:
        raise RateLimited("slow down", retry_after=7.0, limit=(2.0, 5.0))

    pool.before = busy
    with pytest.raises(RateLimited, match="slow down") as raised:
        await pool.isolated(0.0, abs, 1)
    assert (raised.value.retry_after, raised.value.limit) == (7.0, (2.0, 5.0))


@pytest.mark.parametrize(
    ("given", "remedy"),
    [
        ({"workers": "rey"}, "give here, ray"),
        ({"workers": "ray://head"}, "give here, ray"),
        ({"workers": "127.0.0.1:1"}, r"^workers 127\.0\.0\.1:1: nothing answers there"),
        ({"workers": "ray", "provider": "gateway", "base_url": "https://x.example/v1"}, "needs fetch_sources"),
    ],
)
async def test_what_cannot_work_is_refused(
    pool: ThreadPool, photos: Path, tmp_path: Path, given: Any, remedy: str
) -> None:
    with pytest.raises(SettingsError, match=remedy):
        await run_batch(photos, out=tmp_path / "out", **given)


async def test_what_answers_and_is_no_ray_is_refused_before_ray_asks_it(photos: Path, tmp_path: Path) -> None:
    def refuses(server: socket.socket) -> None:
        asked, _ = server.accept()
        asked.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        asked.close()

    with socket.create_server(("127.0.0.1", 0)) as server, ThreadPoolExecutor(1) as pool:
        pool.submit(refuses, server)
        where = f"127.0.0.1:{server.getsockname()[1]}"
        with pytest.raises(SettingsError, match=f"^workers {where}: what answers there isn't Ray"):
            await run_batch(photos, out=tmp_path / "out", workers=where)


async def test_objects_are_read_elsewhere_too(
    pool: ThreadPool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    buckets = Buckets(monkeypatch)
    buckets.put("s3://shop/a.jpg", photo())
    (tmp_path / "list.txt").write_text("s3://shop/a.jpg\n")
    summary = await run_batch(tmp_path / "list.txt", out=tmp_path / "out", workers="ray")
    assert (summary.saved, summary.failed) == (1, 0)


async def test_a_node_whose_keys_do_not_open_the_bucket_is_refused_before_it_works(
    pool: ThreadPool, photos: Path, tmp_path: Path, s3: S3, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def run() -> Summary:
        return await run_batch(photos, out="s3://shop/cutouts", state=tmp_path / "state", workers="ray")

    s3.faults.append(Fault("HEAD", "*/lease.json", expired, times=9))
    where = "^on a node of the cluster, whose own environment counts: s3://shop/cutouts/.*: its keys are missing"
    with pytest.raises(KeyRejected, match=where):
        await run()
    assert s3.keys(".png") == []
    monkeypatch.setattr(bucket, "_FIRST", 0.01)
    s3.faults[:] = [Fault("HEAD", "*/lease.json", slow_down, times=7)]  # which passes
    assert ((await run()).saved, len(s3.keys(".png")), s3.faults[0].times) == (4, 4, 0)
