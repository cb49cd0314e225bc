"""What the network is given and what is made of its answer."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from batch_removebg.engine import network as engine
from batch_removebg.engine import weights
from batch_removebg.engine.devices import Choice, Installed
from batch_removebg.engine.runtimes import opening
from batch_removebg.errors import SettingsError, WeightsMissing
from batch_removebg.model import Matte
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


def test_of_several_looks_the_median_counts_at_the_size_of_the_largest() -> None:
    looks = [np.array(alpha, np.uint8) for alpha in ([[0, 255], [10, 200]], [[40, 0], [20, 100]], [[20, 90], [250, 0]])]
    found = engine.combined([Matte(alpha, peak) for alpha, peak in zip(looks, (0.3, 0.9, 0.5), strict=True)])
    assert found.alpha.tolist() == [[20, 90], [20, 100]]
    assert found.peak == 0.9
    flat = [Matte(np.full((size, size), level, np.uint8), 1.0) for size, level in ((2, 10), (4, 30), (8, 90))]
    assert engine.combined(flat).alpha.tolist() == [[30] * 8] * 8


def test_what_several_looks_disagree_about_is_told_with_their_median() -> None:
    left, right, whole = (np.zeros((320, 320), np.uint8) for _ in range(3))
    left[:, :80], right[:, 240:], whole[:, :] = 255, 255, 255
    found = engine.combined([Matte(left, 1.0), Matte(right, 1.0), Matte(whole, 1.0)])
    assert found.doubt == 0.75
    assert found.suspect == ((0.0, 0.0, 1.0, 1.0),)
    alone = engine.combined([Matte(left, 1.0)])
    assert (alone.doubt, alone.suspect) == (None, ())


def test_a_network_of_several_looks_shows_each_the_picture_at_its_own_size(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: dict[str, tuple[int, ...]] = {}

    class Runtime:
        used = Choice("cpu", "float32")

        def __init__(self, model: weights.Weights, *_: str) -> None:
            self.model = model

        def run(self, tensor: NDArray[np.float32]) -> NDArray[np.float32]:
            shown[self.model.name] = tensor.shape
            return np.full((1, 1, 8, 8), {"u2netp": 0.2, "isnet": 0.9, "isnet-1024": 0.6}[self.model.name], np.float32)

    monkeypatch.setattr(engine, "open_runtime", Runtime)
    matte = engine.opened(weights.MODELS["best"]).matte(np.full((30, 40, 3), 200, np.uint8))
    assert shown == {"u2netp": (1, 3, 320, 320), "isnet": (1, 3, 512, 512), "isnet-1024": (1, 3, 1024, 1024)}
    assert (set(matte.alpha.flat), matte.peak, matte.engine) == ({153}, pytest.approx(0.9), "onnxruntime CPU float32")


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


SMALLEST = "\n  or choose the smallest network: --class fast"


@pytest.mark.parametrize(
    ("name", "escalate", "here", "remedy"),
    [
        ("isnet", False, "", SMALLEST),
        ("u2netp", False, "", ""),
        ("u2netp", True, "u2netp", "\n  or leave out --escalate"),
        ("u2netp", True, "", ""),
        ("isnet", True, "isnet", "\n  or leave out --escalate"),
        ("isnet", True, "", f"{SMALLEST}, without --escalate"),
    ],
)
def test_where_weights_are_wanted_for_pictures_doing_without_them_is_a_remedy(
    monkeypatch: pytest.MonkeyPatch, name: str, escalate: bool, here: str, remedy: str
) -> None:
    def missing(model: weights.Weights, progress: object) -> None:
        raise WeightsMissing("the weights are nowhere")

    monkeypatch.setattr(opening, "require", lambda device, precision: None)
    monkeypatch.setattr(weights, "ensure", missing)
    monkeypatch.setattr(weights, "find", lambda model: model.file if model.name == here else None)
    model = weights.MODELS[name]
    with pytest.raises(WeightsMissing) as caught:
        engine.load(weights.escalating(model) if escalate else model)
    assert str(caught.value) == f"the weights are nowhere{remedy}"


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
