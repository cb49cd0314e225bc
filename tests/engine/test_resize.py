"""A network exported for one size takes another, and sees the same as before."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, load_from_string, numpy_helper, shape_inference

from batch_removebg.engine import resize
from tests.support.networks import network

SIDE = 64


def exported(side: int) -> bytes:
    """A small U in half precision, as exporters write it: it is enlarged to sizes that are numbers in the graph."""
    rng = np.random.default_rng(1)
    weights = {
        "down": rng.normal(0, 0.3, (4, 3, 3, 3)).astype(np.float16),
        "deeper": rng.normal(0, 0.3, (4, 4, 3, 3)).astype(np.float16),
        "mix": rng.normal(0, 0.5, (1, 4, 1, 1)).astype(np.float16),
        "first": np.array([0]),
        "second": np.array([2]),
    }

    def enlarged(name: str, to: int) -> list[object]:
        size = numpy_helper.from_array(np.array([to, to]))
        return [
            helper.make_node("Constant", [], [f"{name}.wanted"], value=size),
            helper.make_node("Shape", [name], [f"{name}.shape"]),
            helper.make_node("Slice", [f"{name}.shape", "first", "second"], [f"{name}.batch"]),
            helper.make_node("Concat", [f"{name}.batch", f"{name}.wanted"], [f"{name}.sizes"], axis=0),
            helper.make_node(
                "Resize", [name, "", "", f"{name}.sizes"], [f"{name}.large"], f"enlarge {name}", mode="linear"
            ),
        ]

    half = numpy_helper.from_array(np.array(0.5, np.float16))
    nodes = [
        helper.make_node("Cast", ["input"], ["in16"], to=TensorProto.FLOAT16),
        helper.make_node("Conv", ["in16", "down"], ["small"], strides=[2, 2], pads=[1, 1, 1, 1]),
        helper.make_node("Conv", ["small", "deeper"], ["tiny"], strides=[2, 2], pads=[1, 1, 1, 1]),
        *enlarged("tiny", side // 2),
        helper.make_node("Add", ["small", "tiny.large"], ["both"]),
        *enlarged("both", side),
        helper.make_node("Conv", ["both.large", "mix"], ["mixed"]),
        helper.make_node("Constant", [], ["half"], value=half),
        helper.make_node("Mul", ["mixed", "half"], ["logits"]),
        helper.make_node("Cast", ["logits"], ["logits32"], to=TensorProto.FLOAT),
        helper.make_node("Sigmoid", ["logits32"], ["map"]),
        helper.make_node("Cast", ["tiny"], ["side"], to=TensorProto.FLOAT),
    ]
    found = {"map": (1, 1, side, side), "side": (1, 4, side // 4, side // 4)}
    model = shape_inference.infer_shapes(load_from_string(network(nodes, (1, 3, side, side), found, **weights)))
    return bytes(model.SerializeToString())


def picture(side: int) -> NDArray[np.float32]:
    return np.random.default_rng(2).uniform(-2, 2, (1, 3, side, side)).astype(np.float32)


def session(data: bytes) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])


def run(data: bytes, given: NDArray[np.float32]) -> NDArray[np.float32]:
    found: NDArray[np.float32] = session(data).run(["map"], {"input": given})[0]
    return found


def seen(data: bytes, side: int) -> NDArray[np.float32]:
    return run(data, picture(side))


@pytest.mark.parametrize("side", [SIDE, SIDE // 2, SIDE * 2])
def test_it_gives_the_map_that_one_exported_for_that_size_gives(side: int) -> None:
    made = seen(resize.for_size(exported(SIDE), side), side)
    assert made.shape == (1, 1, side, side)
    assert np.ptp(made) > 0.5
    np.testing.assert_allclose(made, seen(exported(side), side), atol=1e-3)


def test_only_the_map_is_computed_and_in_float32() -> None:
    made = load_from_string(resize.for_size(exported(SIDE), SIDE))
    assert [output.name for output in made.graph.output] == ["map"]
    assert "side" not in {name for node in made.graph.node for name in node.output}
    assert TensorProto.FLOAT16 not in {each.data_type for each in made.graph.initializer}
    assert {node.op_type for node in made.graph.node}.isdisjoint({"Shape", "Slice", "Concat"})


@pytest.mark.parametrize("size", [SIDE, SIDE * 2])
def test_a_network_for_batches_sees_in_each_picture_what_it_sees_in_it_alone(size: int) -> None:
    alone = resize.for_size(exported(SIDE), size)
    three = np.concatenate([picture(size), 1 - picture(size), picture(size) / 2])
    together = run(resize.for_batches(alone), three)
    assert together.shape == (3, 1, size, size)
    for nth in range(3):
        np.testing.assert_array_equal(together[nth : nth + 1], run(alone, three[nth : nth + 1]))
