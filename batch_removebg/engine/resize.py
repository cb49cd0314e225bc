"""An ONNX network that was exported for one size of pictures, made to take another."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from batch_removebg.errors import SettingsError

from .devices import MISSING_EXTRA

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto


def for_size(data: bytes, size: int) -> bytes:
    """The network in float32 for pictures 1×3×size×size, with its first output alone; raises SettingsError.

    Enlargements to fixed sizes inside it become enlargements by factors, so `size` must be a multiple of its strides.
    """
    try:
        import onnx
    except ImportError as error:
        raise SettingsError(MISSING_EXTRA) from error
    model = onnx.load_from_string(data)
    _to_float32(model)
    by_factors(model)
    _trim(model.graph)
    for value in (*model.graph.input, *model.graph.output):
        for side in value.type.tensor_type.shape.dim[2:]:
            side.dim_value = size
    made: bytes = model.SerializeToString()
    return made


def for_batches(data: bytes) -> bytes:
    """The network for any number of pictures at a time, N×…; one that isn't made for that fails when it gets two."""
    import onnx

    model = onnx.load_from_string(data)
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = "N"
    del model.graph.value_info[:]
    made: bytes = model.SerializeToString()
    return made


def _to_float32(model: ModelProto) -> None:
    """Store all numbers of half the precision as float32: casts to them stay, and do nothing."""
    from onnx import TensorProto, numpy_helper

    graph = model.graph
    tensors = [*graph.initializer, *(each.t for node in graph.node for each in node.attribute if each.HasField("t"))]
    for tensor in tensors:
        if tensor.data_type == TensorProto.FLOAT16:
            tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype("float32"), tensor.name))
    for node in graph.node:
        for attribute in node.attribute:
            if node.op_type == "Cast" and attribute.name == "to" and attribute.i == TensorProto.FLOAT16:
                attribute.i = TensorProto.FLOAT


def by_factors(model: ModelProto) -> None:
    """Let each Resize enlarge by the factors that follow from the size which the network was exported for."""
    import numpy as np
    from onnx import numpy_helper

    graph = model.graph
    made_by = {name: node for node in graph.node for name in node.output}
    values: list[Any] = [*graph.value_info, *graph.input]
    sides = {value.name: [side.dim_value for side in value.type.tensor_type.shape.dim[2:]] for value in values}
    for node in graph.node:
        if node.op_type == "Resize" and len(node.input) == 4:  # the fourth: batch and channels, then the size wanted
            wanted = numpy_helper.to_array(made_by[made_by[node.input[3]].input[-1]].attribute[0].t)
            factors = np.array([1.0, 1.0, *(wanted / sides[node.input[0]])], np.float32)
            graph.initializer.append(numpy_helper.from_array(factors, f"{node.name}/factors"))
            node.input[2:] = [f"{node.name}/factors"]


def _trim(graph: GraphProto) -> None:
    """Leave only what the first output is made of, in an order in which it can be computed."""
    made_by = {name: node for node in graph.node for name in node.output}
    wanted, kept = [graph.output[0].name], []
    seen: set[str] = set()
    while wanted:
        name = wanted[-1]
        node = made_by.get(name)
        missing = [each for each in node.input if each in made_by and each not in seen] if node else []
        if missing:
            wanted += missing
            continue
        wanted.pop()
        if node is not None and name not in seen:
            kept.append(node)
            seen.update(node.output)
    used = {name for node in kept for name in node.input}
    initializers = [each for each in graph.initializer if each.name in used]
    nodes = [type(node).FromString(node.SerializeToString()) for node in kept]
    del graph.output[1:], graph.node[:], graph.value_info[:]
    graph.node.extend(nodes)
    del graph.initializer[:]
    graph.initializer.extend(initializers)
