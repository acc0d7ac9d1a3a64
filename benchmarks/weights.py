"""The weights of an exported model as a checkpoint, to train on from it.

    python -m benchmarks.weights MODEL.onnx OUT.safetensors

An export renames, turns and cuts weights. A second export, of the same network with nothing but different whole
numbers as weights, shows where each went; so MODEL has to be in fp32 and exported by the same versions of ft and
torch. Weights that do nothing (a gate's kernel beyond its only head) are in no file, and become 0.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import numpy_helper

from exporters.onnx import check, compare, to_onnx
from exporters.rewriting import prepare
from ftcore import checkpoint
from ftcore.checkpoint import Checkpoint
from ftcore.config import EarlyConfig, NetworkConfig
from ftcore.errors import FtError
from ftcore.nn.families import build
from ftcore.runtime import OnnxModel


def main() -> None:
    """Write the checkpoint, and say how far it is from the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("out", type=Path)
    args = parser.parse_args()
    try:
        convert(args.model, args.out)
    except FtError as error:
        raise SystemExit(str(error)) from None


def convert(model: Path, out: Path) -> None:
    """Write the checkpoint. Raises FtError."""
    runner = OnnxModel(model, "cpu")
    info = runner.info
    assert isinstance(info.network, NetworkConfig | EarlyConfig)
    network = build(info.network).eval()
    state = list(network.state_dict().values())
    ends = np.cumsum([len(tensor.flatten()) for tensor in state])
    if ends[-1] >= 1 << 24:
        raise FtError(f"{ends[-1]} weights: float32 has too few whole numbers")
    for tensor, end in zip(state, ends, strict=True):
        tensor.copy_(torch.arange(end - tensor.numel() + 1.0, end + 1.0).view_as(tensor))
    numbers, weights = initializers(prepare(to_onnx(network, "fp32"))), initializers(onnx.load(model))
    if list(numbers) != list(weights):
        raise FtError(f"{model}: not in fp32, or exported by another version of ft or torch")
    found = np.zeros(ends[-1] + 1, np.float32)
    for name, number in numbers.items():
        if not np.allclose(number, weights[name]):  # else it is a constant of the graph, which processors round apart
            found[number.astype(int)] = weights[name]
    for tensor, end in zip(state, ends, strict=True):
        tensor.copy_(torch.from_numpy(found[end - tensor.numel() + 1 : end + 1]).view_as(tensor))
    report = [compare(network, runner, 1, 50)]
    print(*report, sep="\n")
    check(report)
    checkpoint.save(out, Checkpoint(network=network, signal=info.signal, provenance=info.provenance))


def initializers(model: onnx.ModelProto) -> dict[str, np.ndarray[tuple[int], np.dtype[np.float32]]]:
    """The numbers in float32 of a graph by name, flat."""
    floats = [tensor for tensor in model.graph.initializer if tensor.data_type == onnx.TensorProto.FLOAT]
    return {tensor.name: numpy_helper.to_array(tensor).ravel() for tensor in floats}


if __name__ == "__main__":
    main()
