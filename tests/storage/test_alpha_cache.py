"""What was bought is kept, found again, and given up where it is damaged."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from batch_removebg.errors import DiskError
from batch_removebg.storage import atomic
from batch_removebg.storage.alpha_cache import AlphaCache

PRINT = "ab" * 16
ALPHA = bytes(range(256))


@pytest.fixture
def alphas(tmp_path: Path) -> AlphaCache:
    (tmp_path / "alpha").mkdir()
    return AlphaCache(tmp_path / "alpha")


def kept(tmp_path: Path) -> Path:
    return tmp_path / "alpha" / "ab" / f"{PRINT}.png"


def test_what_is_kept_comes_back_bit_for_bit(alphas: AlphaCache, tmp_path: Path) -> None:
    assert not alphas.has(PRINT)
    assert alphas.load(PRINT) is None
    alphas.keep(PRINT, ALPHA)
    assert alphas.has(PRINT)
    assert kept(tmp_path).is_file()
    assert alphas.load(PRINT) == ALPHA
    assert not alphas.has("cd" * 16)


def test_keeping_again_replaces(alphas: AlphaCache, tmp_path: Path) -> None:
    alphas.keep(PRINT, ALPHA)
    alphas.keep(PRINT, ALPHA[::-1])
    assert alphas.load(PRINT) == ALPHA[::-1]
    assert list(kept(tmp_path).parent.iterdir()) == [kept(tmp_path)]


def test_what_can_not_be_read_is_as_good_as_none(alphas: AlphaCache, tmp_path: Path) -> None:
    kept(tmp_path).mkdir(parents=True)
    assert not alphas.has(PRINT)
    assert alphas.load(PRINT) is None


def test_its_name_and_its_folders_are_durable_before_keep_returns(
    alphas: AlphaCache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[Path] = []
    monkeypatch.setattr(atomic, "fsync_dir", synced.append)
    alphas.keep(PRINT, ALPHA)
    assert synced == [tmp_path / "alpha", tmp_path / "alpha" / "ab"]


@pytest.mark.parametrize("where", ["alpha", "alpha/ab"])
def test_a_folder_that_cannot_be_made_is_a_disk_error(alphas: AlphaCache, tmp_path: Path, where: str) -> None:
    path = tmp_path / where
    if path.is_dir():
        path.rmdir()
    path.write_bytes(b"a file is in the way")
    with pytest.raises(DiskError, match="a file"):
        alphas.keep(PRINT, ALPHA)


def test_a_full_disk_is_a_disk_error_and_leaves_nothing(
    alphas: AlphaCache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(fd: int) -> None:
        raise OSError(28, os.strerror(28))

    kept(tmp_path).parent.mkdir(parents=True)
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DiskError, match="the disk is full"):
        alphas.keep(PRINT, ALPHA)
    assert list(kept(tmp_path).parent.iterdir()) == []
