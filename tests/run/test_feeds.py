"""Manifests at URLs: downloaded once, read as often as needed."""

from __future__ import annotations

import gzip
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from batch_removebg.clock import Clock
from batch_removebg.errors import ManifestError
from batch_removebg.manifest.reader import check
from batch_removebg.run.feeds import downloaded
from batch_removebg.run.settings import Settings
from tests.support.buckets import Buckets
from tests.support.items import read

pytestmark = pytest.mark.anyio
FEED = "sku,image\nA,img/a.jpg\nB,/b.jpg\nC,//cdn.shop/c.jpg\nD,C:\\d.jpg\nE,file:///etc/e.jpg\n"


@pytest.fixture
async def shop() -> AsyncIterator[tuple[str, list[str]]]:
    """The address of a shop's folder, and what was asked for."""
    asked: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        asked.append(request.path_qs)
        if "gone" in request.path:
            raise web.HTTPNotFound
        body = FEED.encode()
        return web.Response(body=gzip.compress(body) if request.path.endswith(".gz") else body)

    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    async with TestServer(app) as server:
        yield str(server.make_url("/shop")), asked


@pytest.mark.parametrize("name", ["feed.csv?token=secret", "feed.CSV.gz?token=secret"])
async def test_a_feed_is_downloaded_once_and_its_pictures_are_relative_to_its_url(
    shop: tuple[str, list[str]], tmp_path: Path, name: str
) -> None:
    base, asked = shop
    settings = Settings(out=tmp_path, allow_private=True)
    async with downloaded([f"{base}/{name}"], settings, Clock()) as inputs:
        assert check(inputs, settings.reading()) == 5
        items = list(read(inputs, out=tmp_path))
    origin = base.removesuffix("/shop")
    assert [(item.id, item.source) for item in items if item.problem is None] == [
        ("A", f"{base}/img/a.jpg"),
        ("B", f"{origin}/b.jpg"),
        ("C", "https://cdn.shop/c.jpg"),
    ]
    assert [item.id for item in items if item.problem is not None] == ["D", "E"]
    assert items[0].origin == f"{base}/{name.partition('?')[0]}:2"
    assert asked == [f"/shop/{name}"]


async def test_a_feed_that_can_not_be_had_stops_the_run_and_shows_no_token(
    shop: tuple[str, list[str]], tmp_path: Path
) -> None:
    base, _ = shop
    for settings in (Settings(out=tmp_path, allow_private=True), Settings(out=tmp_path)):
        with pytest.raises(ManifestError, match="manifest can't be downloaded") as caught:
            async with downloaded([f"{base}/gone.csv?token=secret"], settings, Clock()):
                pass
        assert "secret" not in str(caught.value)


async def test_other_inputs_are_left_as_they_are(tmp_path: Path) -> None:
    inputs = ["https://cdn.example/a.jpg", "a.csv", "https://cdn.example/csv"]
    async with downloaded(inputs, Settings(out=tmp_path), Clock()) as found:
        assert found == inputs


async def test_a_feed_in_a_bucket_is_read_by_the_ending_of_its_key(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    Buckets(monkeypatch).put("s3://shop/l/a#1?.csv", b"id,image\nA,a.jpg\n")
    settings = Settings(out=tmp_path)
    async with downloaded(["s3://shop/l/a#1?.csv"], settings, Clock()) as inputs:
        assert [item.source for item in read(inputs, out=tmp_path)] == ["s3://shop/l/a.jpg"]
