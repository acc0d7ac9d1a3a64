"""How far `ft` is from what the arithmetic allows, and what grows with what.

    python -m benchmarks.performance [PART ...] [--work DIR] [--json FILE]

The floor of a network is its FLOPs (of every frame once, multiply and add counted as two) over the rate at which
this machine multiplies two matrices of 2048 x 2048 in float32, measured before and after each timing in the library
that is fastest at it. The full-size network has random weights, which cost what trained ones do. `ft` is timed as a
whole process, from its start to its end. Parts: `separate eager accuracy context start growth training memory`.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch
from torch.utils.flop_counter import FlopCounterMode

import exporters.onnx
from benchmarks.measure import matrix_rates, measured, median_seconds, process, write_song
from benchmarks.training_memory import peak_gb
from ftcore import Separator, checkpoint
from ftcore.checkpoint import Checkpoint
from ftcore.config import NetworkConfig, SignalConfig
from ftcore.nn.network import Generator, set_checkpointing
from ftcore.nn.spectral import spectrogram
from ftcore.nn.transformer import ScoreGate
from ftcore.runtime import OnnxModel

SONG = Path(__file__).parents[1] / "examples" / "lets_go_fishin_excerpt.ogg"
SECONDS = 60.0
SIGNAL = SignalConfig()
"""Of the full-size network: what a new model gets by default."""
ORIGINAL = {"crop": 1024, "pad": 512}
"""The original's windows: every frame is computed twice."""
ALLOCATOR = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": "100000000000"}
"""glibc keeps freed memory, which torch eager asks for again and again."""


@dataclasses.dataclass
class Bench:
    """Where the benchmark works, and the full-size network that it works on."""

    work: Path

    @property
    def checkpoint(self) -> Path:
        """The full-size network, made at first use."""
        path = self.work / "full.safetensors"
        if not path.exists():
            torch.manual_seed(0)
            checkpoint.save(path, Checkpoint(network=Generator(NetworkConfig()), signal=SIGNAL))
        return path

    @property
    def model(self) -> Path:
        """The same, exported."""
        path = self.work / "full.onnx"
        if not path.exists():
            for row in exporters.onnx.exporter.export(checkpoint.load(self.checkpoint), path, precision="fp32"):
                print(row, flush=True)
        return path

    def song(self, seconds: float) -> Path:
        """The sample song, repeated or cut to a length."""
        path = self.work / f"song_{seconds:g}.wav"
        return path if path.exists() else write_song(SONG, path, seconds)

    def separate(self, seconds: float, model: str, *options: str) -> dict[str, float]:
        """`ft separate` as a whole process."""
        with tempfile.TemporaryDirectory(dir=self.work) as out:
            return measured("separate", str(self.song(seconds)), "-m", model, "-o", out, "-q", *options)


def flops(network: Generator, frames: int) -> float:
    """Of one window of `frames` frames, as the network is defined.

    Gates are 3-D convolutions by definition, computed as 2-D ones with zeros among the weights, which do not count.
    """
    meta = Generator(network.config).to("meta").eval()
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        meta(torch.zeros(1, network.config.spectral_channels, network.config.features, frames, device="meta"))
    total = float(counter.get_total_flops())
    counts = counter.get_flop_counts()
    for name, module in meta.named_modules():
        if isinstance(module, ScoreGate):
            maps = module.mix.out_channels
            total -= sum(counts[f"Generator.{name}"].values())
            total += 2 * 27 * maps * (2 * maps + 1) * network.config.heads[0] * frames**2
    return total


def floor_seconds(network: Generator, window: int, frames: int, rates: dict[str, float]) -> float:
    """Of `frames` frames in windows of `window`, each computed once."""
    return flops(network, window) / window * frames / (max(rates.values()) * 1e9)


def paired(work: Callable[[], dict[str, float]], runs: int = 3) -> Iterator[tuple[dict[str, float], dict[str, float]]]:
    """(what was measured, matrix rates around it) of each run."""
    before = matrix_rates()
    for _ in range(runs):
        row = work()
        after = matrix_rates()
        yield row, {name: round((before[name] + after[name]) / 2, 1) for name in before}
        before = after


def separate(bench: Bench) -> dict[str, Any]:
    """The full-size network end to end, over its floor."""
    network = checkpoint.load(bench.checkpoint).network
    assert isinstance(network, Generator)
    frames = 1 + int(SECONDS * SIGNAL.sample_rate) // SIGNAL.hop
    window = SIGNAL.crop + 2 * SIGNAL.pad
    rows: list[dict[str, Any]] = []
    for row, rates in paired(lambda: bench.separate(SECONDS, str(bench.model))):
        floor = floor_seconds(network, window, frames, rates)
        over = {name: round(row["seconds"] / floor * rate / max(rates.values()), 2) for name, rate in rates.items()}
        rows.append({**row, "matrix_rates": rates, "floor": round(floor, 2), "over_floor_at_rate_of": over})
        print(rows[-1], flush=True)
    return {
        "window": window,
        "gflop_per_frame": {str(t): round(flops(network, t) / t / 1e9, 4) for t in (window, 256, 512, 2048)},
        "runs": rows,
        "over_floor": statistics.median(max(row["over_floor_at_rate_of"].values()) for row in rows),
        "windows of 104 + 2 * 4": bench.separate(SECONDS, str(bench.model), "--crop", "104", "--pad", "4"),
        "start": bench.separate(1.0, str(bench.model)),
        "four minutes": bench.separate(240.0, str(bench.model)),
    }


def eager(bench: Bench) -> dict[str, Any]:
    """The original's way on the same song and weights: torch eager, 1024 frames with 512 of context on both sides."""
    crop, pad = ORIGINAL.values()
    command = [
        sys.executable,
        "-m",
        "benchmarks.eager",
        str(bench.checkpoint),
        str(bench.song(SECONDS)),
        str(crop),
        str(pad),
    ]
    ours = bench.separate(SECONDS, str(bench.model))
    plain, helped = process(command), process(command, **ALLOCATOR)
    again = bench.separate(SECONDS, str(bench.model))
    mean = (ours["seconds"] + again["seconds"]) / 2
    return {
        "ft": [ours, again],
        "eager": plain,
        "eager, allocator settings": helped,
        "times_faster": round(plain["seconds"] / mean, 1),
        "times_faster_than_allocator_settings": round(helped["seconds"] / mean, 1),
    }


@torch.no_grad()
def accuracy(bench: Bench) -> dict[str, float]:
    """Distance from a float64 run, on a window of the song: exported, and torch in float32."""
    loaded = checkpoint.load(bench.checkpoint)
    network = loaded.network.eval()
    audio, _ = soundfile.read(SONG, dtype="float32", always_2d=True)
    window = SIGNAL.crop + 2 * SIGNAL.pad
    x = spectrogram(torch.from_numpy(audio.T.copy())[None], SIGNAL)[..., 200 : 200 + window]
    x = x / x.abs().max()
    exported = OnnxModel(bench.model, "cpu").run(x.numpy())
    rounded = network.estimate(x).numpy()
    exact = network.double().estimate(x.double()).numpy()
    theirs, ours = (float(np.sqrt(np.mean(np.square(y - exact)))) for y in (rounded, exported))
    return {"torch_float32_rms": theirs, "exported_rms": ours, "exported_over_torch": round(ours / theirs, 2)}


def context(bench: Bench) -> dict[str, float]:
    """What smaller windows change in the bundled model's vocals: SNR in dB against long windows."""
    audio, rate = soundfile.read(SONG, dtype="float32", always_2d=True)
    model = Separator("starter").models[0]

    def vocals(crop: int, pad: int) -> Any:
        return Separator(model, crop=crop, pad=pad, tta=False).separate(audio.T, rate)["vocals"]

    long = vocals(1024, 512)
    rows = {}
    for crop, pad in ((1024, 64), (512, 64), (256, 64), (256, 16), (248, 4), (128, 64), (128, 16), (104, 4), (104, 0)):
        rows[f"{crop}+2*{pad}"] = round(
            10 * float(np.log10(np.sum(long**2) / np.sum((long - vocals(crop, pad)) ** 2))), 1
        )
    return rows


def start(bench: Bench) -> dict[str, Any]:
    """What a cold start of the bundled model costs beyond its inference, and its memory against length."""
    audio, rate = soundfile.read(bench.song(10.0), dtype="float32", always_2d=True)
    separator = Separator("starter")
    inference = median_seconds(lambda: separator.separate(audio.T, rate), 5)
    cold = [bench.separate(10.0, "starter") for _ in range(5)]
    seconds = statistics.median(row["seconds"] for row in cold)
    return {
        "ft --help": round(median_seconds(help_page, 15), 3),
        "cold, 10 s": seconds,
        "inference, 10 s": round(inference, 2),
        "cold over inference": round(seconds - inference, 2),
        "lengths": {f"{minutes:g} min": bench.separate(60 * minutes, "starter") for minutes in (1, 2, 4, 10, 60)},
    }


def help_page() -> None:
    """`ft --help`, its output dropped."""
    subprocess.run([sys.executable, "-m", "ftcli", "--help"], check=True, capture_output=True)


def growth(bench: Bench) -> dict[str, Any]:
    """The full-size network: milliseconds per frame by window and batch; the whole command by cores."""
    model = OnnxModel(bench.model, "cpu")
    rng = np.random.default_rng(0)

    def per_frame(frames: int, batch: int = 1, workers: int = model.workers) -> float:
        x = 0.1 * rng.standard_normal((batch, 4, 1024, frames), np.float32)
        with ThreadPoolExecutor(workers) as pool:
            seconds = median_seconds(lambda: list(pool.map(model.run, [x] * workers)), 3)
        return round(1e3 * seconds / (workers * batch * frames), 2)

    cores = sorted(os.sched_getaffinity(0))
    command = [
        sys.executable,
        "-m",
        "ftcli",
        "separate",
        str(bench.song(SECONDS)),
        "-m",
        str(bench.model),
        "-q",
        "--overwrite",
    ]
    return {
        "ms per frame by window": {t: per_frame(t) for t in (32, 64, 112, 128, 256, 512, 1024, 2048)},
        "ms per frame by batch, 112 frames": {b: per_frame(112, b) for b in (1, 2, 4)},
        "ms per frame by windows at once, 112 frames": {w: per_frame(112, 1, w) for w in (1, 2, 3, 4)},
        "seconds by cores": {
            n: process(
                ["/usr/bin/taskset", "-c", ",".join(map(str, cores[:n])), *command, "-o", str(bench.work / "out")]
            )
            for n in range(1, len(cores) + 1)
        },
    }


def training(bench: Bench) -> dict[str, Any]:
    """A step (forward, backward, AdamW) over its floor of three forward passes."""
    rows = {}
    for name, config, frames, batch in (
        ("full size", NetworkConfig(), 256, 1),
        ("starter", Separator("starter").models[0].info.network, 32, 8),
    ):
        assert isinstance(config, NetworkConfig)
        for checkpointing in (False, True):
            rows[f"{name}, {batch} x {frames} frames{', checkpointing' * checkpointing}"] = training_step(
                config, frames, batch, checkpointing
            )
    return rows


def training_step(config: NetworkConfig, frames: int, batch: int, checkpointing: bool) -> dict[str, Any]:
    """Seconds of a step, and over its floor at the fastest matrix rate and at torch's own."""
    torch.manual_seed(0)
    network = Generator(config).train()
    set_checkpointing(network, checkpointing)
    optimizer = torch.optim.AdamW(network.parameters())
    x = 0.1 * torch.randn(batch, config.spectral_channels, config.features, frames)

    def step() -> None:
        optimizer.zero_grad()
        (network.estimate(x) - x).abs().mean().backward()
        optimizer.step()

    before = matrix_rates()
    seconds = median_seconds(step, 3)
    after = matrix_rates()
    rates = {name: (before[name] + after[name]) / 2 for name in before}
    work = 3 * batch * flops(network, frames) / 1e9
    return {
        "seconds": round(seconds, 2),
        "over_floor": round(seconds * max(rates.values()) / work, 2),
        "over_floor_at_torch_rate": round(seconds * rates["torch"] / work, 2),
        "matrix_rates": rates,
    }


def memory(bench: Bench) -> dict[str, float]:
    """Peak of a training step of the full-size network in GB, by calculation: 8 items of 512 frames."""
    return {
        f"{'bfloat16' if half else 'float32'}{', checkpointing' * checkpointing}": peak_gb(
            NetworkConfig(), 8, 512, half=half, checkpointing=checkpointing
        )
        for half in (False, True)
        for checkpointing in (False, True)
    }


PARTS: dict[str, Callable[[Bench], Any]] = {
    part.__name__: part for part in (separate, eager, accuracy, context, start, growth, training, memory)
}


def main() -> None:
    """Run the parts that were asked for and print what was measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; all where none is named")
    parser.add_argument("--work", type=Path, help="keep the exported network here, for the next run")
    parser.add_argument("--json", type=Path, help="also write the figures here, those of other parts kept")
    args = parser.parse_args()
    if unknown := sorted(set(args.parts) - set(PARTS)):
        parser.error(f"no part {', '.join(unknown)}; known: {', '.join(PARTS)}")
    report = json.loads(args.json.read_text()) if args.json and args.json.exists() else {}
    report["cores"] = os.cpu_count()
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(args.work or Path(folder))
        bench.work.mkdir(parents=True, exist_ok=True)
        for name in args.parts or PARTS:
            begun = time.monotonic()
            report[name] = PARTS[name](bench)
            print(f"{name} ({time.monotonic() - begun:.0f} s):", json.dumps(report[name], indent=2), flush=True)
            if args.json:
                args.json.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
