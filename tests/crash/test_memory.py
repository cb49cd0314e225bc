"""Answers that hold their pictures take no more memory than `--memory` allows, however many are in flight."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from pathlib import Path

import anyio.to_thread
import pytest
from aiohttp import web

from batch_removebg.storage.layout import STATE
from tests.support.fake_api import FakeApi
from tests.support.pictures import noise, write_png

pytestmark = [pytest.mark.anyio, pytest.mark.crash]
ITEMS, MEMORY, REST = 48, 64, 300  # MiB; the rest is README's


@pytest.mark.skipif(not hasattr(os, "wait4"), reason="the peak is what wait4 tells of a process")
async def test_pictures_inside_answers_wait_outside_of_memory(tmp_path: Path) -> None:
    picture = write_png(noise(1200, 1600, 4), effort=0)
    inline = base64.b64encode(picture)

    async def answer(request: web.Request) -> web.Response:
        found = {"id": request.match_info["path"].rpartition("/")[2], "status": "succeeded", "output": "data:@"}
        return web.Response(
            body=json.dumps(found).encode().replace(b"data:@", b"data:image/png;base64," + inline),
            content_type="application/json",
        )

    (tmp_path / "rows.csv").write_text("url\n" + "".join(f"https://shop.example/{n}.jpg\n" for n in range(ITEMS)))
    async with FakeApi(gateway=True) as api:
        api.respond("GET", "/predictions/*", answer)
        words = ["run", "rows.csv", "--out", "out", "--provider", "gateway", "--base-url", api.base, "--quiet"]
        sizes = ["--concurrency", str(ITEMS), "--memory", str(MEMORY)]
        process = subprocess.Popen(  # noqa: ASYNC220  # wait4 tells more than anyio's
            [sys.executable, "-m", "batch_removebg", *words, *sizes],
            cwd=tmp_path,
            env=os.environ | {"REPLICATE_API_TOKEN": "r8_test"},
            stdout=subprocess.DEVNULL,
        )
        _, status, used = await anyio.to_thread.run_sync(os.wait4, process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    assert len(api.bill) == ITEMS
    assert {file.read_bytes() == picture for file in (tmp_path / "out").glob("*.png")} == {True}
    assert list((tmp_path / "out" / STATE).glob(".*.tmp")) == []
    assert used.ru_maxrss < (MEMORY + REST) << 10
