"""Disks that fill up, go away or refuse: a clear end, nothing torn, and a resume that buys nothing anew."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import anyio
import numpy as np
import pytest
from PIL import Image

from tests.crash.bench import Crashes, FakeApi
from tests.support.doubles import encoded

pytestmark = [pytest.mark.anyio, pytest.mark.crash]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """A file system of its own, made with `mount`; calling it again changes its size."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = False

    def sized(size: str) -> Path:
        nonlocal mounted
        options = f"remount,size={size}" if mounted else f"size={size}"
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)], capture_output=True, check=False
        )
        if done.returncode != 0:
            pytest.skip("needs the right to mount a tmpfs (root)")
        mounted = True
        return place

    yield sized
    if mounted:
        subprocess.run(["umount", "-l", str(place)], check=True)


def noisy(folder: Path, items: int) -> None:
    """Photographs whose cutouts are of about 60 kB each."""
    folder.mkdir()
    for number in range(items):
        noise = np.random.default_rng(number).integers(0, 255, (120, 160, 3), dtype=np.uint8)
        (folder / f"{number}.png").write_bytes(encoded(Image.fromarray(noise), "PNG"))


async def test_a_full_disk_ends_the_run_and_after_room_is_made_it_goes_on(
    tmp_path: Path, small_disk: Callable[[str], Path]
) -> None:
    disk = small_disk("256k")
    noisy(tmp_path / "in", 8)
    async with FakeApi() as api:
        bench = Crashes(tmp_path, api, out=disk / "out")
        code, said = await bench.run(0)
        assert code == 4, said
        assert "full" in said
        assert "make room" in said
        bench.check_ledger()
        small_disk("16m")
        code, said = await bench.run(0)
        assert code == 0, said
        assert len(api.bill) == 8
        bench.check_ledger()
        assert [p for p in disk.rglob("*") if p.name.endswith(".tmp")] == []
        assert len(list((disk / "out").glob("*.png"))) == 8


@pytest.mark.skipif(os.name == "nt", reason="needs a system with file permissions")
async def test_an_out_that_may_not_be_written_is_refused_before_anything_is_bought(
    tmp_path: Path, small_disk: Callable[[str], Path]
) -> None:
    disk = small_disk("1m")
    noisy(tmp_path / "in", 1)
    await anyio.run_process(["mount", "-o", "remount,ro", str(disk)])
    async with FakeApi() as api:
        code, said = await Crashes(tmp_path, api, out=disk / "out").run(0)
        assert code == 4
        assert "read-only" in said
        assert api.bill == []


async def test_an_out_that_is_removed_during_the_run_ends_it(tmp_path: Path) -> None:
    noisy(tmp_path / "in", 6)
    async with FakeApi() as api:
        bench = Crashes(tmp_path, api)

        async def remove_and_answer(request: object) -> object:
            shutil.rmtree(bench.out, ignore_errors=True)
            return await api.normal(request)  # type: ignore[arg-type]

        api.respond("POST", "/predictions", remove_and_answer, times=1)  # type: ignore[arg-type]
        code, said = await bench.run(0)
        assert code == 4, said
        assert "gone" in said
        assert not list(bench.out.glob("*.png"))
