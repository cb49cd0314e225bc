"""What the network is given and what is made of its answer."""

from __future__ import annotations

import io
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from batch_removebg.engine import network as engine
from batch_removebg.engine import weights
from batch_removebg.engine.devices import Choice, Installed
from batch_removebg.engine.runtimes import opening
from batch_removebg.errors import SettingsError, WeightsMissing
from batch_removebg.finish.finish import finish
from batch_removebg.finish.options import Finish, Refine
from batch_removebg.imaging.decode import proxy
from batch_removebg.imaging.format import Limits
from batch_removebg.matting.matte import pixels_of
from batch_removebg.matting.quality import measure
from batch_removebg.model import Matte
from batch_removebg.pipeline.cache_key import Recipe
from tests.support.doubles import encoded
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

        def __init__(self, model: weights.Weights, *_: str, **__: bool) -> None:
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


class Seeing:
    """A runtime that sees red things, as finely as its network's size allows."""

    used = "a double"

    def __init__(self, model: weights.Weights) -> None:
        self.side = model.size

    def run(self, tensor: NDArray[np.float32]) -> NDArray[np.float32]:
        red = tensor[0, 0] - tensor[0, 1]
        return ((red - red.min()) / max(float(np.ptp(red)), 1e-6))[None, None]


def looked(picture: NDArray[np.uint8], *, zoom: bool, refine: Refine = "none") -> tuple[NDArray[np.uint8], Matte]:
    """The alpha of a cutout, and the matte that it was made with."""
    model = msgspec.structs.replace(MODEL, zoom=zoom)
    network = (engine.Zooming if zoom else engine.Network)(model, lambda part: engine._Look(Seeing(part), part))  # type: ignore[arg-type]
    data = encoded(Image.fromarray(picture), "PNG")
    matte = engine.matte(network, proxy(data, model.shown, Limits()).data)
    [made] = finish(data, matte, [Finish(format="png", refine=refine, clean_below=0)], Limits())
    return np.array(Image.open(io.BytesIO(made.data)))[..., 3], matte


def small_subject() -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """A photo of 2000×1500 pixels whose subject, a comb, takes 8 % of its width; and where that is."""
    picture, subject = np.full((1500, 2000, 3), (90, 90, 80), np.uint8), np.zeros((1500, 2000), bool)
    subject[700:760, 1200:1360] = subject[760:820, 1200:1360] = True
    subject[760:820, 1210:1350:20] = subject[760:820, 1211:1350:20] = False
    picture[subject] = (220, 90, 80)
    return picture, subject


def test_a_closer_look_at_a_small_subject_comes_nearer_to_the_truth() -> None:
    picture, subject = small_subject()
    errors = [float(np.abs(looked(picture, zoom=zoom)[0].astype(int) - 255 * subject).mean()) for zoom in (False, True)]
    assert errors[1] < errors[0] / 3


def test_the_matte_of_a_part_lies_where_it_was_looked_at_and_all_around_is_clear() -> None:
    picture, subject = small_subject()
    alpha, matte = looked(picture, zoom=True)
    assert matte.part is not None
    assert alpha[subject].mean() > 200
    rows, columns = pixels_of(matte.part, 1500, 2000)
    assert (rows.start < 700, rows.stop > 820, columns.start < 1200, columns.stop > 1360) == (True,) * 4
    assert (columns.stop - columns.start) < 260
    assert alpha[rows, columns].sum() == alpha.sum()


def test_the_quality_of_a_part_is_told_of_the_whole_picture() -> None:
    picture, subject = small_subject()
    found = [measure(looked(picture, zoom=zoom)[1]) for zoom in (False, True)]
    assert found[1].coverage == pytest.approx(subject.mean(), rel=0.1)
    assert found[1].touches == found[0].touches == ()


def test_a_subject_that_takes_most_of_the_picture_is_looked_at_once() -> None:
    picture = np.full((300, 400, 3), (90, 90, 80), np.uint8)
    picture[20:280, 20:380] = (220, 90, 80)
    assert [looked(picture, zoom=True)[1].part, engine.around(np.zeros((8, 8), np.uint8))] == [None, None]


def test_a_zooming_network_has_other_fingerprints_and_all_others_have_theirs_of_old() -> None:
    assert "zoom" not in Recipe("local", "v", {}, MODEL.proxy, Finish(), False)._bought[3]
    zooming = msgspec.structs.replace(MODEL, zoom=True)
    made = {Recipe("local", "v", {}, model.proxy, Finish(), False).fingerprint("0") for model in (MODEL, zooming)}
    assert len(made) == 2


STACK = """
import ctypes
from batch_removebg.engine import network, weights
libc, before, after = ctypes.CDLL(None), ctypes.create_string_buffer(24), ctypes.create_string_buffer(24)
libc.sigaltstack(None, before)
held = network.load(weights.known("u2netp"))
libc.sigaltstack(None, after)
print(before.raw == after.raw)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="asks glibc for the stack of signals")
def test_loading_a_network_leaves_the_stack_of_signals_as_it_was() -> None:
    # OpenVINO's plugin sets one and frees it: a signal on that would be a segmentation fault.
    found = subprocess.run([sys.executable, "-c", STACK], capture_output=True, text=True, check=True)
    assert found.stdout == "True\n"
