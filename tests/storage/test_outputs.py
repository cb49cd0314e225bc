"""Pictures that come at the same time share a hop and a folder's fsync, and no other's fate."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import anyio
import pytest

from batch_removebg.errors import DiskError, SourceError
from batch_removebg.storage import atomic
from batch_removebg.storage.outputs import Folder

pytestmark = pytest.mark.anyio


async def test_a_picture_lies_under_its_name_with_its_digest_known(tmp_path: Path) -> None:
    digest = await Folder(tmp_path).put("sub/a.png", b"abc")
    assert digest == hashlib.sha256(b"abc").hexdigest()
    assert (tmp_path / "sub/a.png").read_bytes() == b"abc"


async def test_pictures_of_one_group_share_the_fsync_of_their_folder_and_no_fate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders: list[str] = []
    real = atomic.fsync_dir

    def noted(path: Path) -> None:
        folders.append(path.name)
        real(path)

    monkeypatch.setattr(atomic, "fsync_dir", noted)
    (tmp_path / "folder.png").mkdir()
    results = Folder(tmp_path)._write([("a.png", b"a"), ("folder.png", b"c"), ("../out.png", b"d"), ("e.png", b"e")])
    assert [type(one) for one in results] == [str, SourceError, SourceError, str]
    assert folders == [tmp_path.name]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png", "e.png", "folder.png"]


async def test_no_picture_counts_as_kept_whose_name_is_not_durable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(path: Path) -> None:
        raise DiskError(f"{path} can't be written")

    monkeypatch.setattr(atomic, "fsync_dir", failing)
    outputs, raised = Folder(tmp_path), list[str]()

    async def put(name: str) -> None:
        with pytest.raises(DiskError):
            await outputs.put(name, b"x")
        raised.append(name)

    async with anyio.create_task_group() as tasks:
        for name in ("a.png", "b.png"):
            tasks.start_soon(put, name)
    assert sorted(raised) == ["a.png", "b.png"]


async def test_bytes_and_names_are_durable_before_the_picture_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    fsync, replace = os.fsync, os.replace

    def synced(descriptor: int) -> None:
        calls.append("folder" if Path(f"/proc/self/fd/{descriptor}").readlink() == tmp_path else "bytes")
        fsync(descriptor)

    def renamed(source: object, target: object) -> None:
        calls.append("rename")
        replace(source, target)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "replace", renamed)
    await Folder(tmp_path).put("a.png", b"a")
    assert calls == ["bytes", "rename", "folder"]
