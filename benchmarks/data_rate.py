"""Seconds of augmented mixture per second and core, and the share of a training step that waits for them.

    python benchmarks/data_rate.py MUSIC VOICES [--json FILE]

MUSIC and VOICES are prepared libraries (`ft data prepare`). One thread draws
crops, transforms, augments, mixes and marks presence with the original's settings (VoxAug, crop 256, batch 8),
as training does between two steps. The original's NumPy pipeline gave 43 seconds per second and core at crop
256 on a like machine. The share is that of a real run of the bundled model's preset.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import torch

from ftcore.data.library import Library, open_library
from ftcore.nn import spectral
from ftcore.nn.network import Discriminator
from ftcore.training.config import TrainConfig
from ftcore.training.fit import Data, Progress, fit
from ftcore.training.items import Draws, to_batch
from ftcore.training.presets import preset
from ftcore.training.state import RunState

ORIGINAL = 43.0
"""Seconds of mixture per second and core of the original's pipeline."""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("instrumental", type=Path)
    parser.add_argument("vocal", type=Path)
    parser.add_argument("--batches", type=int, default=40)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    libraries = {kind: open_library(getattr(args, kind), 44100) for kind in ("instrumental", "vocal")}
    report = {
        "original's settings, one thread": rate(preset("original", "supervised"), libraries, args.batches),
        "starter's settings, one thread": rate(preset("starter", "supervised"), libraries, args.batches),
        "steps of starter that wait": waiting(libraries),
    }
    print(json.dumps(report, indent=2))
    if args.json:
        args.json.write_text(json.dumps(report, indent=2) + "\n")


def rate(config: TrainConfig, libraries: dict[str, Library], batches: int) -> dict[str, float]:
    """Seconds of mixture per second, whole and in its two parts; the floor is the transforms alone."""
    torch.set_num_threads(1)
    frames, batch, cpu = config.phase_at(1).frames, 8, torch.device("cpu")
    draws = Draws(instrumental=libraries["instrumental"], vocal=libraries["vocal"], config=config, mix=config.mix)
    bands = Discriminator.bands_of(config.network)
    spent = {"draw": 0.0, "device": 0.0, "transforms": 0.0}
    for number in range(-2, batches):  # two to warm up
        start = time.monotonic()
        drawn = [draws.draw(max(number, 0) * batch + item, frames) for item in range(batch)]
        middle = time.monotonic()
        to_batch(drawn, config.signal, config.voxaug, config.scale, bands, cpu)
        end = time.monotonic()
        waves = torch.stack([d.instrumental for d in drawn])
        for _ in range(2):
            spectral.spectrogram(waves, config.signal)
        if number >= 0:
            spent["draw"] += middle - start
            spent["device"] += end - middle
            spent["transforms"] += time.monotonic() - end
    audio = batches * batch * frames * config.signal.hop / config.signal.sample_rate
    whole = audio / (spent["draw"] + spent["device"])
    return {
        "seconds_per_second": round(whole, 1),
        "over_the_original": round(whole / ORIGINAL, 2),
        "drawing_crops": round(audio / spent["draw"], 1),
        "on_the_device": round(audio / spent["device"], 1),
        "two_transforms_alone": round(audio / spent["transforms"], 1),
    }


def waiting(libraries: dict[str, Library], steps: int = 20) -> dict[str, Any]:
    """Share of the time of a run that goes by without items, with one worker."""
    torch.set_num_threads(2)
    seen: list[Progress] = []
    config = preset("starter", "supervised").with_steps(steps)
    fit(RunState.fresh(config), Data(libraries=libraries), report=lambda state, progress, last: seen.append(progress))
    whole = seen[-1].seconds - seen[4].seconds
    return {"steps": steps - 5, "share": round(sum(p.waited for p in seen[5:]) / whole, 4)}


if __name__ == "__main__":
    main()
