"""What the network is given and what is made of its answer."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

from batch_removebg.engine import network as engine
from batch_removebg.engine import weights
from batch_removebg.engine.devices import Installed
from batch_removebg.engine.runtimes import opening
from batch_removebg.errors import SettingsError
from tests.support.local_doubles import real_engine

MODEL = weights.MODELS["u2netp"]


def test_a_picture_is_divided_by_its_maximum_and_standardised_by_channel() -> None:
    rgb = np.zeros((320, 320, 3), np.uint8)
    rgb[0, 0] = (200, 100, 50)
    tensor = engine.prepare(rgb, MODEL)
    assert tensor.shape == (1, 3, 320, 320)
    assert tensor.dtype == np.float32
    np.testing.assert_allclose(
        tensor[0, :, 0, 0], [(1.0 - 0.485) / 0.229, (0.5 - 0.456) / 0.224, (0.25 - 0.406) / 0.225], rtol=1e-5
    )
    np.testing.assert_allclose(tensor[0, :, 1, 1], [-0.485 / 0.229, -0.456 / 0.224, -0.406 / 0.225], rtol=1e-5)


def test_a_black_picture_is_not_divided_by_zero() -> None:
    tensor = engine.prepare(np.zeros((320, 320, 3), np.uint8), MODEL)
    np.testing.assert_allclose(tensor[0, :, 5, 5], [-0.485 / 0.229, -0.456 / 0.224, -0.406 / 0.225], rtol=1e-5)


def test_a_picture_of_another_size_is_resized_by_lanczos() -> None:
    rgb = np.random.default_rng(1).integers(0, 256, (50, 80, 3), np.uint8)
    resized = np.asarray(Image.fromarray(rgb).resize((320, 320), Image.Resampling.LANCZOS))
    np.testing.assert_array_equal(engine.prepare(rgb, MODEL), engine.prepare(resized, MODEL))


def test_the_map_is_stretched_to_both_ends_and_keeps_its_peak() -> None:
    matte = engine.stretch(np.array([[0.25, 0.375], [0.5, 0.75]], np.float32))
    assert matte.alpha.tolist() == [[0, 64], [128, 255]]
    assert matte.alpha.dtype == np.uint8
    assert matte.peak == 0.75


@pytest.mark.parametrize(("found", "alpha"), [(0.0, 0), (1.0, 255), (0.5, 128), (1.5, 255), (-0.5, 0)])
def test_a_constant_map_is_taken_at_its_word(found: float, alpha: int) -> None:
    matte = engine.stretch(np.full((3, 3), found, np.float32))
    assert matte.alpha.tolist() == [[alpha] * 3] * 3
    assert matte.peak == found


@pytest.mark.parametrize("below", [[[0.0, 0.1], [0.0, 0.199]], [[-0.1, 0.1], [0.05, 0.0]], [[0.1, 0.1], [0.1, 0.1]]])
def test_a_map_without_an_object_gives_an_empty_mask(below: list[list[float]]) -> None:
    matte = engine.stretch(np.array(below, np.float32))
    assert matte.alpha.tolist() == [[0, 0], [0, 0]]
    assert matte.peak == pytest.approx(max(map(max, below)))


def test_a_map_at_the_threshold_counts_as_an_object() -> None:
    assert engine.stretch(np.array([[0.0, engine.EMPTY_BELOW + 1e-6]], np.float32)).alpha.tolist() == [[0, 255]]


def test_a_missing_extra_is_named_before_anything_is_downloaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    monkeypatch.setitem(sys.modules, "openvino", None)
    monkeypatch.setattr(weights, "ensure", lambda model, progress: pytest.fail("downloaded weights that can't be run"))
    with pytest.raises(SettingsError, match=r"pip install '\.\[local\]'"):
        engine.load(MODEL)


def test_a_device_that_is_absent_is_named_before_anything_is_downloaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "look", lambda device: Installed(providers=("CPUExecutionProvider",)))
    monkeypatch.setattr(weights, "ensure", lambda model, progress: pytest.fail("downloaded weights that can't be run"))
    with pytest.raises(SettingsError, match=r"^--device cuda isn't available here: .*pip install onnxruntime-gpu"):
        engine.load(MODEL, device="cuda")


@pytest.mark.parametrize("shade", [(255, 255, 255), (128, 128, 128), (30, 60, 200)])
def test_the_real_network_leaves_a_plain_picture_empty(shade: tuple[int, int, int]) -> None:
    matte = real_engine().matte(np.full((240, 320, 3), shade, np.uint8))
    assert matte.peak < engine.EMPTY_BELOW / 2
    assert matte.alpha.max() == 0


def test_the_real_network_finds_a_disc_on_a_plain_ground() -> None:
    rows, columns = np.mgrid[:240, :320]
    disc = (rows - 120) ** 2 + (columns - 160) ** 2 < 70**2
    rgb = np.where(disc[..., None], np.array([200, 40, 30], np.uint8), np.array([235, 235, 230], np.uint8))
    matte = real_engine().matte(rgb)
    alpha = np.asarray(Image.fromarray(matte.alpha).resize((320, 240), Image.Resampling.LANCZOS))
    assert matte.alpha.shape == (320, 320)
    assert 0.9 < matte.peak <= 1.0
    assert alpha[disc].mean() > 240
    assert alpha[~disc].mean() < 15


def test_the_real_network_gives_the_same_to_callers_in_several_threads() -> None:
    rgb = np.random.default_rng(2).integers(0, 256, (320, 320, 3), np.uint8)
    network = real_engine()
    alone = network.matte(rgb)
    with ThreadPoolExecutor(3) as pool:
        for matte in pool.map(network.matte, [rgb] * 3):
            np.testing.assert_array_equal(matte.alpha, alone.alpha)
