"""Answers that hold their pictures take no more memory than `--memory` allows, however many are in flight."""

from __future__ import annotations

import base64
import json
import os
import sys
from pathlib import Path

import anyio
import pytest
from aiohttp import web

from batch_removebg.storage.layout import STATE
from tests.support.fake_api import FakeApi
from tests.support.pictures import noise, write_png

pytestmark = [pytest.mark.anyio, pytest.mark.crash]
ITEMS, MEMORY, REST = 48, 64, 240  # MiB; the rest is the program and its libraries, and what malloc can't give back
# A child begins with its parent's peak, so that this test's own would count: a small parent stands between.
PEAK = """\
import resource, subprocess, sys
print(subprocess.call(sys.argv[1:], stdout=subprocess.DEVNULL), resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="needs the peak of a process, in KiB as on Linux")
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
        told = await anyio.run_process(
            [sys.executable, "-c", PEAK, sys.executable, "-m", "batch_removebg", *words, *sizes],
            cwd=tmp_path,
            env=os.environ | {"REPLICATE_API_TOKEN": "r8_test"},
            stderr=None,
        )
    code, peak = map(int, told.stdout.split())
    assert code == 0
    assert len(api.bill) == ITEMS
    assert {file.read_bytes() == picture for file in (tmp_path / "out").glob("*.png")} == {True}
    assert list((tmp_path / "out" / STATE).glob(".*.tmp")) == []
    assert peak < (MEMORY + REST) << 10
