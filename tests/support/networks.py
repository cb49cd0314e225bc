"""Tiny ONNX networks, made on the spot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike
from onnx import NodeProto, TensorProto, helper, numpy_helper

Shape = Sequence[int | str]  # a side with a name is free


def network(nodes: Sequence[NodeProto], given: Shape, found: Mapping[str, Shape], **constants: ArrayLike) -> bytes:
    """One that takes `input` and gives the outputs `found`, of these shapes and in float32."""
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, given)],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in found.items()],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    return bytes(model.SerializeToString())
