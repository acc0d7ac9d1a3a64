"""ONNX: one file that describes itself, for onnxruntime on CPU or CUDA."""

from __future__ import annotations

import contextlib
import copy
import io
import logging
import math
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import torch
from torch import Tensor, nn

from exporters import MusicSnr, Parity, Precision
from exporters.rewriting import prepare, quantize, simplify, widen_convolutions
from ftcore import audio
from ftcore.atomic import replacing
from ftcore.checkpoint import Checkpoint
from ftcore.errors import FtError
from ftcore.nn.spectral import SpectralNetwork
from ftcore.runtime import KEY, Model, ModelInfo, OnnxModel
from ftcore.separator import Separator
from ftcore.torch_runtime import TorchModel

SHAPES = ((1, 0.5), (2, 0.1), (3, 0.25))
"""Parity is checked on these (batch, frames as a share of the model's window): torch convolves slowly in float64."""

MUSIC = Path(__file__).with_name("music.ogg")
"""A passage with a singer and a pause of hers, 8 s: precisions below fp32 are judged by it."""

MIN_SNR_DB = 40.0
"""What they must reach there against the original, in either stem."""

ROUNDING_SNR_DB = 100.0
"""Good enough for fp32, however exact torch may be."""

Array = npt.NDArray[np.floating]


class OnnxExporter:
    """Exports `SpectralNetwork.estimate`: spectrogram in, instrumental (or mask) out, float32 at both ends."""

    suffix = ".onnx"

    def export(self, checkpoint: Checkpoint, path: Path, *, precision: Precision) -> Sequence[Parity | MusicSnr]:
        """See `exporters.Exporter`."""
        info = ModelInfo(
            network=checkpoint.network.config,
            signal=checkpoint.signal,
            precision=precision,
            provenance=checkpoint.provenance,
        )
        window = info.signal.crop + 2 * info.signal.pad
        model = to_onnx(checkpoint.network, precision)
        if precision != "fp16":  # a CPU would write casts into it, which it has no operators for
            model = prepare(model)
        if precision == "int8":
            with quiet():
                model = quantize(model)
        clean(model)
        onnx.helper.set_model_props(model, {KEY: info.to_json()})
        with replacing(path) as part:
            onnx.save_model(model, part)
            del model  # as large as the file
            runner = OnnxModel(part, "cpu")
            music = [] if precision == "fp32" else [compare_on_music(TorchModel(checkpoint), runner)]
            report = [
                compare(checkpoint.network, runner, batch, max(int(share * window), 1)) for batch, share in SHAPES
            ]
            if precision == "fp32":
                check(report)
        return [*report, *music]


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
    with quiet(), torch.inference_mode():  # a tenth faster, to the same graph
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


def check(report: list[Parity]) -> None:
    """Raise FtError unless an export in fp32 is as exact as that allows.

    Its error may have twice the amplitude of the original's own rounding (or be at -100 dB): deep
    networks amplify rounding, so a fixed bound would refuse good files or pass bad ones.
    """
    for row in report:
        if not row.snr_db >= min(row.original_snr_db - 6.0, ROUNDING_SNR_DB):
            raise FtError(f"the exported network is not the same as the original ({row})")


def compare_on_music(original: Model, exported: Model) -> MusicSnr:
    """Separate the excerpt with both, in the same windows. Raises FtError where a stem differs by too much."""
    info, song = audio.read(MUSIC)
    precision = exported.info.precision
    expected = Separator(original).separate(song, info.rate)
    try:
        found = Separator(exported).separate(song, info.rate)
    except FtError as error:  # what overflows is no number
        raise FtError(f"{precision} is not enough for this network: {error}") from None
    row = MusicSnr(
        vocals_db=_snr_db(expected["vocals"], found["vocals"]),
        instrumental_db=_snr_db(expected["instrumental"], found["instrumental"]),
    )
    if not (row.vocals_db >= MIN_SNR_DB and row.instrumental_db >= MIN_SNR_DB):
        raise FtError(f"{precision} is not enough for this network: {row}, and {MIN_SNR_DB:.0f} dB are required")
    return row


def _snr_db(exact: Array, y: Array) -> float:
    noise = float(np.square(y - exact).sum())
    if noise == 0.0:  # be it between silences
        return math.inf
    return 10 * math.log10(max(float(np.square(exact).sum()), 1e-30) / noise)


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
