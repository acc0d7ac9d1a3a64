"""What makes an exported graph small and fast, and leaves alone what it computes."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnx_ir as ir
import onnxruntime
from onnx_ir.passes import common
from onnxruntime.quantization import QuantType, quantize_dynamic
from onnxscript import optimizer

BLOCK = 16
"""Channels that onnxruntime's convolutions compute at once on a CPU: fewer cost as much as this many."""

ANY_SIZE = 1 << 40
"""No limit for what is computed at export, in bytes: weights are large, and each is read once anyway."""


def simplify(model: ir.Model) -> None:
    """Compute whatever the input has no part in, and what appears twice only once."""
    optimizer.fold_constants(model, onnx_shape_inference=False, input_size_limit=ANY_SIZE, output_size_limit=ANY_SIZE)
    common.RemoveUnusedNodesPass()(model)
    common.LiftConstantsToInitializersPass()(model)
    common.CommonSubexpressionEliminationPass()(model)
    common.RemoveUnusedNodesPass()(model)


def prepare(model: onnx.ModelProto) -> onnx.ModelProto:
    """Do once what onnxruntime would do at each start of the model: its rewritings within ONNX's own operators."""
    with tempfile.TemporaryDirectory() as folder:
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
        options.optimized_model_filepath = str(Path(folder) / "prepared.onnx")
        onnx.save_model(model, Path(folder) / "model.onnx")
        onnxruntime.InferenceSession(Path(folder) / "model.onnx", options, providers=["CPUExecutionProvider"])
        prepared = onnx.load_model(options.optimized_model_filepath)
    used = {node.domain for node in prepared.graph.node}
    for imported in [each for each in prepared.opset_import if each.domain not in used]:
        prepared.opset_import.remove(imported)
    return prepared


def quantize(model: onnx.ModelProto) -> onnx.ModelProto:
    """Let matrix products with constant weights on their right compute in 8 bits.

    Scales of the weights are found here, per column, which is more exact, where onnxruntime can run that: where all
    weights have two dimensions. Those of what they are multiplied with are found at each product.
    """
    dims = {tensor.name: len(tensor.dims) for tensor in model.graph.initializer}
    weights = [node.input[1] for node in model.graph.node if node.op_type == "MatMul" and node.input[1] in dims]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "quantized.onnx"
        quantize_dynamic(
            model,
            path,
            op_types_to_quantize=["MatMul"],
            per_channel=all(dims[name] == 2 for name in weights),
            reduce_range=True,  # two products of up to 255 * 64 fit the 16 bits in which x86 without VNNI adds them
            weight_type=QuantType.QInt8,
            extra_options={"MatMulConstBOnly": True},
        )
        return onnx.load_model(path)


def widen_convolutions(model: ir.Model) -> None:
    """Let convolutions with a single output channel compute BLOCK neighbours of their last axis as channels.

        y[f]        = sum_k w[k] x[f + k]
        z[j][g]     = sum_k v[j][k] x[BLOCK g + k],  v[j] = w moved by j,  so that  y[BLOCK g + j] = z[j][g]

    Those channels are computed anyway, and a stride of BLOCK makes the output as small as it was.
    """
    for node in [n for n in model.graph if n.op_type == "Conv" and _is_narrow(n)]:
        x, weight, *bias = node.inputs
        assert x is not None and x.shape is not None and weight is not None
        size = int(x.shape[3])  # type: ignore[arg-type]
        phases = min(BLOCK, size)
        tape = ir.tape.Tape()
        inputs = [x, tape.initializer(_tensor(f"{weight.name}.wide", _moved(_array(weight), phases)))]
        if bias and bias[0] is not None:
            inputs.append(tape.initializer(_tensor(f"{bias[0].name}.wide", np.repeat(_array(bias[0]), phases))))
        attributes = {name: attribute.value for name, attribute in node.attributes.items()}
        attributes |= {"kernel_shape": inputs[1].shape.numpy()[2:], "strides": (1, phases)}  # type: ignore[union-attr]
        z = tape.op("Conv", inputs, attributes)  # [B, phases, T, F / phases]
        z = tape.op("Transpose", [z], {"perm": (0, 2, 3, 1)})
        shape = tape.initializer(_tensor(f"{weight.name}.shape", np.array([0, 1, -1, size])))
        y = tape.op("Reshape", [z, shape])
        for value in tape.initializers:
            model.graph.register_initializer(value)
        ir.convenience.replace_nodes_and_values(model.graph, node, [node], tape.nodes, node.outputs, [y])
    common.RemoveUnusedNodesPass()(model)


def _is_narrow(node: ir.Node) -> bool:
    """Whether a convolution has one output channel, constant weights, no stride and a last axis of known length."""
    x, weight = node.inputs[:2]
    if x is None or x.shape is None or weight is None or weight.const_value is None or len(x.shape) != 4:
        return False
    size = x.shape[3]
    if not isinstance(size, int) or size % min(BLOCK, size) or weight.const_value.shape[0] != 1:
        return False
    return tuple(node.attributes["strides"].value) == (1, 1)


def _moved(weight: npt.NDArray[np.floating], phases: int) -> npt.NDArray[np.floating]:
    """[1, C, kt, kf] -> [phases, C, kt, kf + phases - 1]: the kernel at each of `phases` places."""
    wide = np.zeros((phases, *weight.shape[1:3], weight.shape[3] + phases - 1), weight.dtype)
    for place in range(phases):
        wide[place, :, :, place : place + weight.shape[3]] = weight[0]
    return wide


def _array(value: ir.Value) -> npt.NDArray[np.floating]:
    assert value.const_value is not None
    return value.const_value.numpy()


def _tensor(name: str, array: npt.NDArray[Any]) -> ir.Tensor[npt.NDArray[Any]]:
    return ir.Tensor(np.ascontiguousarray(array), name=name)
