"""ONNX: one file that describes itself, for onnxruntime on CPU or CUDA."""

from __future__ import annotations

import contextlib
import copy
import io
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import torch
from torch import Tensor, nn

from exporters import Parity, Precision
from exporters.rewriting import prepare, simplify, widen_convolutions
from ftcore.atomic import replacing
from ftcore.checkpoint import Checkpoint
from ftcore.errors import FtError
from ftcore.nn.spectral import SpectralNetwork
from ftcore.runtime import KEY, ModelInfo, OnnxModel

SHAPES = ((1, 0.5), (2, 0.1), (3, 0.25))
"""Parity is checked on these (batch, frames as a share of the model's window): torch convolves slowly in float64."""

MIN_SNR_DB = 40.0
"""What fp16 must reach against float64."""

ROUNDING_SNR_DB = 100.0
"""Good enough for fp32, however exact torch may be."""

Array = npt.NDArray[np.floating]


class OnnxExporter:
    """Exports `SpectralNetwork.estimate`: spectrogram in, instrumental (or mask) out, float32 at both ends."""

    suffix = ".onnx"

    def export(self, checkpoint: Checkpoint, path: Path, *, precision: Precision) -> list[Parity]:
        """See `exporters.Exporter`."""
        info = ModelInfo(
            network=checkpoint.network.config,
            signal=checkpoint.signal,
            precision=precision,
            provenance=checkpoint.provenance,
        )
        window = info.signal.crop + 2 * info.signal.pad
        model = to_onnx(checkpoint.network, precision)
        if precision == "fp32":  # a CPU would write casts into others, which it has no operators for
            model = prepare(model)
        clean(model)
        onnx.helper.set_model_props(model, {KEY: info.to_json()})
        with replacing(path) as part:
            onnx.save_model(model, part)
            del model  # as large as the file
            runner = OnnxModel(part, "cpu")
            report = [
                compare(checkpoint.network, runner, batch, max(int(share * window), 1)) for batch, share in SHAPES
            ]
            check(report, precision)
        return report


class Estimate(nn.Module):
    """The exported function of a network."""

    def __init__(self, network: SpectralNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, F, T] -> [B, C, F, T], see `SpectralNetwork.estimate`."""
        return self.network.estimate(x)


def to_onnx(network: SpectralNetwork, precision: Precision) -> onnx.ModelProto:
    """The graph with dynamic batch and frames. Raises FtError if an axis came out fixed."""
    network = network.eval()
    if precision == "fp16":
        network = copy.deepcopy(network).half()
    config = network.config
    frames = 2 ** (config.embedding_scales + 2)  # where an axis of the example is 1, it would be frozen
    example = torch.zeros(2, config.spectral_channels, config.features, frames)
    axes = {0: torch.export.Dim("batch"), 3: torch.export.Dim("frames")}
    with quiet():
        program = torch.onnx.export(
            Estimate(network),
            (example,),
            dynamo=True,
            dynamic_shapes={"x": axes},
            input_names=["spectrogram"],
            output_names=["estimate"],
            external_data=False,
            verbose=False,
            optimize=False,  # `simplify` does what is needed in a tenth of the time
        )
        assert program is not None
        simplify(program.model)
        widen_convolutions(program.model)
    model = program.model_proto
    for value in (*model.graph.input, *model.graph.output):
        dims = value.type.tensor_type.shape.dim
        if dims[0].HasField("dim_value") or dims[3].HasField("dim_value"):
            raise FtError(f"export failed: the batch or frame axis of {value.name} came out fixed")
    return model


def clean(model: onnx.ModelProto) -> None:
    """Remove what names the machine that exported: source paths and stack traces."""
    for holder in (model, model.graph, *model.graph.node, *model.graph.value_info, *model.functions):
        del holder.metadata_props[:]
        holder.doc_string = ""
    for function in model.functions:
        for node in function.node:
            del node.metadata_props[:]
            node.doc_string = ""
    for tensor in (*model.graph.initializer, *model.graph.input, *model.graph.output):
        del tensor.metadata_props[:]
        tensor.doc_string = ""


def compare(network: SpectralNetwork, runner: OnnxModel, batch: int, frames: int) -> Parity:
    """Run both on seeded noise with the spectral slope of music."""
    config = network.config
    slope = 1.0 / (1.0 + np.arange(config.features, dtype=np.float32) / 8.0)
    shape = (batch, config.spectral_channels, config.features, frames)
    x = np.random.default_rng(0).standard_normal(shape, np.float32) * slope[:, None]
    if not config.is_complex:
        x = np.abs(x)
    y, rounded = runner.run(x), _run(network, x)
    exact = _run(network.double(), x.astype(np.float64))
    network.float()  # gives back the very same weights
    return Parity(
        batch=batch,
        frames=frames,
        error=float(np.abs(y - exact).max() / np.abs(exact).max()),
        snr_db=_snr_db(exact, y),
        original_snr_db=_snr_db(exact, rounded),
    )


def check(report: list[Parity], precision: Precision) -> None:
    """Raise FtError unless the export is as exact as its precision allows.

    In fp32 its error may have twice the amplitude of the original's own rounding (or be at -100 dB): deep
    networks amplify rounding, so a fixed bound would refuse good files or pass bad ones.
    """
    for row in report:
        least = MIN_SNR_DB if precision == "fp16" else min(row.original_snr_db - 6.0, ROUNDING_SNR_DB)
        if not row.snr_db >= least:
            raise FtError(f"the exported network is not the same as the original ({row})")


def _snr_db(exact: Array, y: Array) -> float:
    return float(10 * np.log10(np.square(exact).sum() / max(np.square(y - exact).sum(), 1e-30)))


@torch.no_grad()
def _run(network: SpectralNetwork, x: Array) -> Array:
    y: Array = network.eval().estimate(torch.from_numpy(x)).numpy()
    return y


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """torch's exporter reports its stages on several channels; only its errors matter here."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)


exporter = OnnxExporter()
