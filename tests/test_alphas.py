"""What was bought is kept, found again, and given up where it is damaged."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from batch_removebg import files
from batch_removebg.alphas import Alphas
from batch_removebg.errors import DiskError
from batch_removebg.pixels.alpha import Told
from tests.pictures import noise

PRINT = "ab" * 16
ALPHA = noise(7, 5, 1)


@pytest.fixture
def alphas(tmp_path: Path) -> Alphas:
    (tmp_path / "alpha").mkdir()
    return Alphas(tmp_path / "alpha")


def kept(tmp_path: Path) -> Path:
    return tmp_path / "alpha" / "ab" / f"{PRINT}.png"


def test_an_alpha_comes_back_bit_for_bit(alphas: Alphas, tmp_path: Path) -> None:
    assert not alphas.has(PRINT)
    assert alphas.load(PRINT) is None
    alphas.keep(PRINT, ALPHA)
    assert alphas.has(PRINT)
    assert kept(tmp_path).is_file()
    found = alphas.load(PRINT)
    assert found is not None
    assert found.shape == (7, 5)
    assert found.dtype == np.uint8
    assert (found == ALPHA).all()
    assert not alphas.has("cd" * 16)


def test_keeping_again_replaces(alphas: Alphas, tmp_path: Path) -> None:
    alphas.keep(PRINT, ALPHA)
    alphas.keep(PRINT, 255 - ALPHA)
    found = alphas.load(PRINT)
    assert found is not None
    assert (found == 255 - ALPHA).all()
    assert list(kept(tmp_path).parent.iterdir()) == [kept(tmp_path)]


def test_a_damaged_alpha_is_as_good_as_none(alphas: Alphas, tmp_path: Path) -> None:
    alphas.keep(PRINT, ALPHA)
    whole = kept(tmp_path).read_bytes()
    for damaged in (b"", whole[:-20], whole[:40] + bytes([whole[40] ^ 1]) + whole[41:], b"no picture"):
        kept(tmp_path).write_bytes(damaged)
        assert alphas.load(PRINT) is None
    kept(tmp_path).unlink()
    kept(tmp_path).mkdir()
    assert not alphas.has(PRINT)
    assert alphas.load(PRINT) is None


def test_its_name_and_its_folders_are_durable_before_keep_returns(
    alphas: Alphas, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[Path] = []
    monkeypatch.setattr(files, "fsync_dir", synced.append)
    alphas.keep(PRINT, ALPHA)
    assert synced == [tmp_path / "alpha", tmp_path / "alpha" / "ab"]


@pytest.mark.parametrize("where", ["alpha", "alpha/ab"])
def test_a_folder_that_cannot_be_made_is_a_disk_error(alphas: Alphas, tmp_path: Path, where: str) -> None:
    path = tmp_path / where
    if path.is_dir():
        path.rmdir()
    path.write_bytes(b"a file is in the way")
    with pytest.raises(DiskError, match="a file"):
        alphas.keep(PRINT, ALPHA)


def test_a_full_disk_is_a_disk_error_and_leaves_nothing(
    alphas: Alphas, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(fd: int) -> None:
        raise OSError(28, os.strerror(28))

    kept(tmp_path).parent.mkdir(parents=True)
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DiskError, match="the disk is full"):
        alphas.keep(PRINT, ALPHA)
    assert list(kept(tmp_path).parent.iterdir()) == []


@pytest.mark.parametrize("peak", [0.0, 0.25, 1.0])
def test_a_kept_alpha_still_knows_the_networks_confidence(alphas: Alphas, peak: float) -> None:
    alphas.keep(PRINT, ALPHA, Told(peak, "openvino CPU bf16"))
    assert alphas.told(PRINT) == Told(peak, "openvino CPU bf16")


def test_where_no_confidence_is_known_none_is_told(alphas: Alphas, tmp_path: Path) -> None:
    assert alphas.told(PRINT) == Told()
    alphas.keep(PRINT, ALPHA)
    assert alphas.told(PRINT) == Told()
    kept(tmp_path).write_bytes(b"damaged")
    assert alphas.told(PRINT) == Told()
