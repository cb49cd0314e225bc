"""What Linux tells of files: that they are closed or moved in, and by their paths."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

import anyio
import pytest

from batch_removebg.run import hints

pytestmark = pytest.mark.anyio


class Teller:
    """What Linux tells of places."""

    def __init__(self, *places: Path, out: Path = Path("out")) -> None:
        self._hints = hints.inotify(pytest.importorskip("asyncinotify"))
        self._places, self._out, self._came = places, out, anyio.Event()
        self.told = list[str | None]()

    def __call__(self, path: str | None) -> None:
        self.told.append(path)
        self._came.set()
        self._came = anyio.Event()

    async def during(self, hand: Callable[[], Awaitable[object]]) -> None:
        stop = anyio.Event()
        with anyio.fail_after(20):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._hints, self._places, self._out, self, stop)
                await self.until(lambda: bool(self.told))
                self.told.clear()
                await hand()
                stop.set()

    async def until(self, done: Callable[[], bool]) -> None:
        while not done():
            await self._came.wait()


async def test_files_are_told_once_they_are_closed_or_moved_in_also_in_new_folders_but_not_in_out(
    tmp_path: Path,
) -> None:
    photos, aside = tmp_path / "photos", tmp_path / "aside"
    for folder in (photos / "out", aside / "deep"):
        folder.mkdir(parents=True)
    (photos / "circle").symlink_to(photos)
    teller = Teller(photos, out=photos / "out")

    async def hand() -> None:
        with (photos / "a.jpg").open("wb") as file:
            file.write(b"1")
            file.flush()
            await teller.until(lambda: teller.told == [None])  # it is there, and no more is known
        await teller.until(lambda: teller.told[1:] == [str(photos / "a.jpg")])
        (photos / "out" / "b.jpg").write_bytes(b"1")
        aside.rename(photos / "sub")
        await teller.until(lambda: len(teller.told) == 3)
        (photos / "sub" / "deep" / "c.jpg").write_bytes(b"1")
        await teller.until(lambda: str(photos / "sub" / "deep" / "c.jpg") in teller.told)
        (photos / "sub" / "deep" / "c.jpg").rename(photos / "d.jpg")
        await teller.until(lambda: str(photos / "d.jpg") in teller.told)

    await teller.during(hand)
    assert not any(path and "/out/" in path for path in teller.told)


async def test_of_a_manifest_itself_alone_it_is_told_that_it_grows(tmp_path: Path) -> None:
    manifest = tmp_path / "shop.csv"
    manifest.write_text("image\n")
    teller = Teller(manifest)

    async def hand() -> None:
        (tmp_path / "other.csv").write_text("image\n")
        with manifest.open("a") as file:
            file.write("a.jpg\n")
            file.flush()
            await teller.until(lambda: bool(teller.told))
            assert teller.told == [None]
        await teller.until(lambda: teller.told[1:] == [str(manifest)])

    await teller.during(hand)


async def test_a_picture_beside_a_manifest_in_a_folder_that_is_watched_is_told(tmp_path: Path) -> None:
    (manifest := tmp_path / "sub" / "shop.csv").parent.mkdir()
    manifest.write_text("image\n")
    teller, picture = Teller(tmp_path, manifest), tmp_path / "sub" / "a.jpg"

    async def hand() -> None:
        picture.write_bytes(b"1")
        await teller.until(lambda: str(picture) in teller.told)

    await teller.during(hand)
