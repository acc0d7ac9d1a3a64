"""The published checkpoints through the whole public path: file, import, ONNX, `ft separate` without torch.

    python -m benchmarks.snapshots [--full gan-v1 v1 v2b] [--json FILE]

The published files are on a host that asks for a browser, so the weights are computed: first those of the
recorded networks (their outputs, and the stems that the original's own pipeline made, are in
`tests/data/reference`), then for `--full` of the published sizes, to measure time and memory. Each command
runs in a process of its own, whose peak memory the operating system reports.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import soundfile
import torch

from benchmarks.measure import measured
from ftcore import Separator
from ftcore.runtime import ModelInfo, OnnxModel
from ftcore.separator import STEMS
from snapshots import load_network
from snapshots.published import PUBLISHED
from tests.vectors import REFERENCE, filled_input, filled_state, full_size_state, relative_error

RECORDED = {"v1": 1e-4, "v2b": 5e-3, "generator_magnitude": 5e-3}
"""Tolerance in float32 of each recorded network, relative to its largest output."""


def main() -> None:
    """Run both and print what was measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--full", nargs="*", choices=list(PUBLISHED), default=[])
    parser.add_argument("--recorded", nargs="*", choices=list(RECORDED), default=list(RECORDED))
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    report: dict[str, Any] = {"cores": os.cpu_count(), "recorded": {}, "full size": {}}
    for name in args.recorded:
        with tempfile.TemporaryDirectory() as folder:
            report["recorded"][name] = recorded(name, Path(folder))
        print(name, report["recorded"][name], flush=True)
    for name in args.full:
        with tempfile.TemporaryDirectory() as folder:
            report["full size"][name] = full_size(name, Path(folder))
        print(name, report["full size"][name], flush=True)
    if args.json:
        args.json.write_text(json.dumps(report, indent=2) + "\n")


def recorded(name: str, folder: Path) -> dict[str, Any]:
    """Import a recorded network, then compare its ONNX file with the recorded output, and stems with torch's."""
    file = folder / f"{name}.pth"
    torch.save({"generator": {f"module.{k}": torch.from_numpy(v) for k, v in filled_state(name).items()}}, file)
    ft(folder, "snapshots", "import", str(file), "--name", name)
    model = folder / "cache" / "models" / name / "model.onnx"
    with np.load(REFERENCE / f"{name}.npz") as arrays:
        error = relative_error(raw_output(model, filled_input(name).astype(np.float32)), arrays["out.y"])
    row: dict[str, Any] = {"output against the recording": error, "tolerance": RECORDED[name]}
    with np.load(REFERENCE / "separation_magnitude.npz") as arrays:
        wave, stems = arrays["in.wave"], {"instrumental": arrays["out.instrumental"], "vocals": arrays["out.vocals"]}
    soundfile.write(folder / "song.wav", wave.T, 44100, subtype="FLOAT")
    window = ("--crop", "64", "--pad", "32")
    ft(folder, "separate", str(folder / "song.wav"), "-m", name, "-o", str(folder), *window)
    made = {stem: soundfile.read(folder / f"song_{stem}.wav", dtype="float32")[0].T for stem in STEMS}
    exact = Float64Model(file, OnnxModel(model).info)
    expected = Separator(exact, crop=64, pad=32).separate(wave, 44100)
    row["stems against torch in float64"] = max(float(np.abs(made[s] - expected[s]).max()) for s in STEMS)
    if name == "generator_magnitude":
        row["stems against the recording"] = max(
            float(np.abs(made[s][:, : stems[s].shape[1]] - stems[s][:, : made[s].shape[1]]).max()) for s in STEMS
        )
        row["tolerance of stems"] = 1e-3
    return row


def raw_output(path: Path, x: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """What an exported mask network computes before the sigmoid that ends it."""
    model = onnx.load(path)
    (last,) = (node for node in model.graph.node if model.graph.output[0].name in node.output)
    assert last.op_type == "Sigmoid"
    model.graph.output[0].name = last.input[0]
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    y: np.ndarray[Any, Any] = session.run(None, {model.graph.input[0].name: x})[0]
    return y


class Float64Model:
    """The network of an original file as a separation model, in double precision."""

    provider = "torch"
    workers = 1

    def __init__(self, path: Path, info: ModelInfo) -> None:
        self.network = load_network(path).double()
        self.info = info

    def run(self, x: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """[B, C, F, T] -> the same shape."""
        with torch.no_grad():
            y: np.ndarray[Any, Any] = self.network.estimate(torch.from_numpy(x).double()).float().numpy()
        return y


def full_size(name: str, folder: Path) -> dict[str, Any]:
    """Import a state dict of the published size and separate 10 seconds; seconds and peak memory of both."""
    file = folder / f"{name}.pth"
    torch.save({key: torch.from_numpy(value) for key, value in full_size_state(name).items()}, file)
    rng = np.random.default_rng(0)
    soundfile.write(folder / "song.wav", 0.1 * rng.standard_normal((441000, 2)), 44100, subtype="PCM_16")
    imported = ft(folder, "snapshots", "import", str(file))
    file.unlink()
    separated = ft(folder, "separate", str(folder / "song.wav"), "-m", name, "-o", str(folder))
    made = soundfile.info(folder / "song_vocals.wav")
    assert made.frames == 441000
    model = folder / "cache" / "models" / name / "model.onnx"
    return {"model_mb": round(model.stat().st_size / 1e6, 1), "import": imported, "separate 10 s": separated}


def ft(folder: Path, *arguments: str) -> dict[str, float]:
    """Run the real command with its cache in `folder`; wall seconds and peak memory."""
    return measured(*arguments, FT_CACHE_DIR=str(folder / "cache"))


if __name__ == "__main__":
    main()
