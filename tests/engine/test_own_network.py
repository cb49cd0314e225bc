"""A network of one's own: an ONNX file, and a TOML file beside it that says what it expects."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from onnx import helper

from batch_removebg.engine import network as engine
from batch_removebg.engine import weights
from batch_removebg.engine.devices import Device
from batch_removebg.errors import SettingsError
from tests.support.networks import Shape, network

PLAIN = "size = 32\nmean = [0, 0, 0]\ndeviation = [1, 1, 1]\n"
MEAN = helper.make_node("ReduceMean", ["input"], ["map"], axes=[1])
PICTURE: NDArray[np.uint8] = np.repeat(np.repeat(np.array([[[255], [51]]], np.uint8), 32, 0), 16, 1).repeat(3, 2)
LEFT = np.repeat(np.array([[255] * 16 + [0] * 16], np.uint8), 32, 0)
DEVICES: list[Device] = ["cpu", "openvino"]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file that gives the mean of the channels, told so."""
    return told(tmp_path, PLAIN)


def told(folder: Path, text: str | None, *nodes: object, given: Shape = (1, 3, 32, 32), **found: Shape) -> Path:
    """A file with these nodes, and what is said of it."""
    path = folder / "own.onnx"
    path.write_bytes(network(nodes or (MEAN,), given, found or {"map": (1, 1, 32, 32)}))
    if text is not None:
        path.with_suffix(".toml").write_text(text, encoding="utf-8")
    return path


def alpha(path: Path, device: Device = "cpu") -> NDArray[np.uint8]:
    return engine.load(weights.known(str(path)), device=device, precision="float32").matte(PICTURE).alpha


def refusal(path: Path, device: Device = "cpu") -> str:
    """What is said of a network that can't be used, in one line, when it is loaded."""
    with pytest.raises(SettingsError) as caught:
        engine.load(weights.known(str(path)), device=device)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_all_that_may_be_said_of_it_is_taken(tmp_path: Path) -> None:
    said = 'size = 48\nmean = [0.1, 0.2, 0.3]\ndeviation = [1, 2, 3]\nsigmoid = true\noutput = "map"\nlayout = "NHWC"\n'
    model = weights.known(str(told(tmp_path, said)))
    assert (model.name, model.path, model.size, model.sigmoid) == ("own", tmp_path / "own.onnx", 48, True)
    assert (model.mean, model.deviation) == ((0.1, 0.2, 0.3), (1.0, 2.0, 3.0))
    assert (model.output, model.layout) == ("map", "NHWC")


def test_of_one_that_nothing_is_said_of_what_u2net_expects_is_taken(tmp_path: Path) -> None:
    model, known = weights.known(str(told(tmp_path, None))), weights.MODELS["u2net"]
    for name in ("size", "mean", "deviation", "sigmoid", "output", "layout"):
        assert getattr(model, name) == getattr(known, name)


def test_nothing_is_downloaded_and_the_folder_stays_as_it_is(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "_download", lambda *_: pytest.fail("downloaded"))
    weights.ensure(weights.known(str(path)), progress=lambda done, total: None)
    assert sorted(each.name for each in path.parent.iterdir()) == ["own.onnx", "own.toml"]


def test_another_file_and_other_words_are_another_version(path: Path) -> None:
    versions = {weights.known(str(path)).version}
    path.with_suffix(".toml").write_text(PLAIN + "sigmoid = true\n")
    versions.add(weights.known(str(path)).version)
    path.write_bytes(path.read_bytes() + b"\n")
    versions.add(weights.known(str(path)).version)
    assert len(versions) == 3


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("sise = 32", "sise isn't known; what may be said is size, mean, deviation, sigmoid, output, layout"),
        ('sha256 = "0"', "sha256 isn't known"),
        ("size = 31", "Expected `int` >= 32 - at `$.size`"),
        ("size = 100000", "Expected `int` <= 4096 - at `$.size`"),
        ("deviation = [1, 0, 1]", "Expected `float` >= 1e-06 - at `$.deviation[1]`"),
        ("deviation = [1, 1, 1e7]", "Expected `float` <= 1000000.0 - at `$.deviation[2]`"),
        ("deviation = [nan, 1, 1]", "Expected `float` >= 1e-06 - at `$.deviation[0]`"),
        ("mean = [0, inf, 0]", "Expected `float` <= 1000000.0 - at `$.mean[1]`"),
        ("mean = [0, 0, nan]", "Expected `float` >= -1000000.0 - at `$.mean[2]`"),
        ("output = -1", "Expected `int` >= 0 - at `$.output`"),
        ("mean = [0.5]", "Expected `array` of length 3"),
        ('layout = "nhwc"', "layout 'nhwc' isn't known; what may be said is NCHW, NHWC"),
        ("size 32", "Expected '='"),
    ],
)
def test_what_is_said_wrong_is_answered_with_the_file_and_the_place(path: Path, text: str, said: str) -> None:
    path.with_suffix(".toml").write_text(text)
    with pytest.raises(SettingsError) as caught:
        weights.known(str(path))
    assert str(caught.value).startswith(f"{path.with_suffix('.toml')}: ")
    assert said in str(caught.value)


def test_a_file_that_is_not_there_or_none_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"^--model gone\.onnx: No such file or directory$"):
        weights.known("gone.onnx")
    (tmp_path / "folder.onnx").mkdir()
    with pytest.raises(SettingsError, match=r"^--model .*folder\.onnx: "):
        weights.known(str(tmp_path / "folder.onnx"))


@pytest.mark.parametrize("device", DEVICES)
def test_its_map_is_the_matte(path: Path, device: Device) -> None:
    np.testing.assert_array_equal(alpha(path, device), LEFT)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("shape", [(1, 32, 32, 1), (1, 32, 32)])
def test_it_may_have_the_channels_last(tmp_path: Path, device: Device, shape: Shape) -> None:
    mean = helper.make_node("ReduceMean", ["input"], ["map"], axes=[3], keepdims=len(shape) - 3)
    path = told(tmp_path, PLAIN + 'layout = "NHWC"', mean, given=(1, 32, 32, 3), map=shape)
    np.testing.assert_array_equal(alpha(path, device), LEFT)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("output", ['"map"', "1"])
def test_any_output_may_be_the_map(tmp_path: Path, device: Device, output: str) -> None:
    other = helper.make_node("Neg", ["input"], ["other"])
    path = told(tmp_path, f"{PLAIN}output = {output}", other, MEAN, other=(1, 3, 32, 32), map=(1, 1, 32, 32))
    np.testing.assert_array_equal(alpha(path, device), LEFT)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(("output", "said"), [('"mask"', "output mask isn't there"), ("2", "output 2 isn't there")])
def test_an_output_that_it_does_not_have_is_named_before_any_picture(
    tmp_path: Path, device: Device, output: str, said: str
) -> None:
    path = told(tmp_path, f"{PLAIN}output = {output}")
    assert refusal(path, device) == f"{tmp_path}/own.toml: {said}; {path} has map"


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(
    ("said", "asked"),
    [("size = 48", "1×3×48×48"), ('size = 32\nlayout = "NHWC"', "1×32×32×3"), (None, "1×3×320×320")],
    ids=["size", "layout", "nothing"],
)
def test_an_input_that_it_does_not_take_is_told_before_one_is_made(
    tmp_path: Path, device: Device, said: str | None, asked: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "prepare", lambda *_: pytest.fail("made an input"))
    found = refusal(told(tmp_path, said), device)
    what = f"{tmp_path}/own.toml: size or layout isn't what own.onnx has"
    assert found == f"{what}: it takes 1×3×32×32, not {asked}"


@pytest.mark.parametrize("device", DEVICES)
def test_one_that_takes_any_size_takes_the_one_that_is_said(tmp_path: Path, device: Device) -> None:
    path = told(tmp_path, PLAIN, given=("n", 3, "h", "w"), map=("n", 1, "h", "w"))
    np.testing.assert_array_equal(alpha(path, device), LEFT)


def test_logits_pass_a_sigmoid_however_large_they_are(tmp_path: Path) -> None:
    # A channel is 1.0 on the left and 0.2 on the right: 4e4 and -4e4, whose exponentials are beyond float32.
    mean = helper.make_node("ReduceMean", ["input"], ["mean"], axes=[1])
    nodes = [
        mean,
        helper.make_node("Sub", ["mean", "half"], ["low"]),
        helper.make_node("Div", ["low", "tiny"], ["map"]),
    ]
    path = tmp_path / "own.onnx"
    constants = {"half": np.float32(0.6), "tiny": np.float32(1e-5)}
    path.write_bytes(network(nodes, (1, 3, 32, 32), {"map": (1, 1, 32, 32)}, **constants))
    path.with_suffix(".toml").write_text(f"{PLAIN}sigmoid = true")
    loaded = engine.load(weights.known(str(path)), device="cpu")
    assert loaded.matte(PICTURE).peak == 1.0
    np.testing.assert_array_equal(loaded.matte(PICTURE).alpha, LEFT)


@pytest.mark.parametrize(
    ("node", "shape"),
    [
        (helper.make_node("Identity", ["input"], ["map"]), (1, 3, 32, 32)),
        (helper.make_node("ReduceMean", ["input"], ["map"], axes=[1, 2], keepdims=0), (1, 32)),
    ],
    ids=["three maps", "a row"],
)
@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
def test_what_is_no_map_is_told_with_its_shape_before_any_picture(
    tmp_path: Path, node: object, shape: Shape, layout: str
) -> None:
    given = (1, 3, 32, 32) if layout == "NCHW" else (1, 32, 32, 3)
    shape = (1, 32, 32, 3) if len(shape) == 4 and layout == "NHWC" else (1, 3) if layout == "NHWC" else shape
    path = told(tmp_path, f'{PLAIN}layout = "{layout}"', node, given=given, map=shape)
    assert refusal(path).endswith(f"own.onnx has: own gives {shape} instead of one square map")
