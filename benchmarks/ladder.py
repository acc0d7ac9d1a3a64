"""Short, fair comparisons of recipes for the bundled model: the same budget and seed, one change each.

    python -m benchmarks.ladder WORK --real PAIRS [--rows NAME ...] [--seconds 360] [--json FILE]

WORK is what `benchmarks/starter_data.py` wrote; PAIRS are real songs. Every row is trained in a process with one
thread for as many steps as fit into so many seconds of processor time, which a few steps tell beforehand; the learning
rate decays to zero within them. Its gain, vocals uSDR over the mixture's own, is
measured on the validation split, on pairs of sources that it was trained on (what it could learn at all), and on
the real songs. `docs/experiments.md` holds the table.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

import soxr
import torch

from ftcore.checkpoint import Checkpoint
from ftcore.config import overlay
from ftcore.data.library import Library
from ftcore.data.mixing import PartMix
from ftcore.data.prepare import prepare
from ftcore.evaluation import Pair, find_pairs, load_pair
from ftcore.training import validate
from ftcore.training.config import StageName, TrainConfig
from ftcore.training.fit import Data, fit
from ftcore.training.settings import resolve
from ftcore.training.state import RunState

FOLDERS = {
    "instrumental": ("train/instrumental", "train/bands", "synthetic/instrumental"),
    "vocal": ("train/vocal", "train/singers", "synthetic/vocal", "synthetic/backing"),
}
SPLITS = ("validation", "seen", "real")
WARMUP = 30
"""Steps of linear warm-up, in every row but the shortest."""


def network(bands: int, widths: list[int], maps: list[int], **others: Any) -> dict[str, Any]:
    """Settings of a network of another shape, with widths in multiples of 8."""
    levels = len(widths)
    shape = {"bands": bands, "channels": 8, "multipliers": [width // 8 for width in widths], "attention_maps": maps}
    heads = {"heads": [1] * (levels - 1) + [4], "decoder_dropout": [0.0] * (levels - 1)}
    return {"network": {**shape, **heads, **others}}


def items(frames: int, batch: int) -> dict[str, Any]:
    """Settings of steps of another shape."""
    return {"phases": [{"until": 4400, "frames": frames, "batch": batch}]}


Settings = dict[str, Any]
WHOLE = {"p_master": 0.0, "p_limit": 0.0, "p_codec": 0.0}
FEWER = {"p_formants": 0.0, "p_double": 0.0, "p_compress": 0.0, "p_drive": 0.0, "p_echo": 0.0}
ROWS: dict[str, Settings | list[tuple[StageName, float, Settings]]] = {
    "base": {},
    "base, seed 1": {"seed": 1},
    # representation
    "n_fft 2048, hop 1024": {"signal": {"n_fft": 2048, "hop": 1024}, "network": {"features": 1024}, **items(64, 8)},
    "hop 1024": {"signal": {"hop": 1024}, **items(64, 8)},
    "32 kHz": {"signal": {"sample_rate": 32000}},
    "mapping": {"network": {"output": "mapping"}},
    "mask and mapping": {"network": {"output": "mask_and_mapping"}},
    "magnitude mask": {"network": {"output": "magnitude_mask"}},
    "no compression": {"network": {"compression": 1.0}},
    # loss
    "L1": {"loss": {"l1": 1.0, "rmse": 0.0, "compressed": 0.0}},
    "L1 + wave L1": {"loss": {"l1": 1.0, "wave_l1": 1.0, "rmse": 0.0, "compressed": 0.0}},
    "RMSE": {"loss": {"compressed": 0.0}},
    # width and depth
    "half as wide": network(64, [24, 32, 48, 48], [4, 0, 4]),
    "wider": network(64, [64, 96, 128, 128], [4, 0, 4]),
    "32 bands, 3 levels": network(32, [64, 96, 96], [4, 4]),
    "128 bands, 5 levels": network(128, [32, 48, 64, 96, 96], [0, 4, 0, 4]),
    "no transformers": network(64, [48, 64, 96, 96], [0, 0, 0]),
    "one map each": network(64, [48, 64, 96, 96], [1, 0, 1]),
    "8 maps each": network(64, [48, 64, 96, 96], [8, 0, 8]),
    "maps on all levels": network(64, [48, 64, 96, 96], [4, 4, 4]),
    "three latent blocks": {"network": {"latent_layers": 3}},
    # schedule
    "learning rate 1e-3": {"learning_rate": 1e-3},
    "learning rate 4e-3": {"learning_rate": 4e-3},
    "batch 4": items(32, 4),
    "0.75 s items": items(16, 16),
    "3 s items": items(64, 4),
    "6 s items": items(128, 2),
    # regularisation
    "dropout 0.15": {"network": {"dropout": 0.15, "decoder_dropout": [0.15, 0.15, 0.15]}},
    # data
    "levels only": {"mix": {"instrumental": asdict(PartMix()), "vocal": asdict(PartMix()), **WHOLE}},
    "speed, equaliser, reverberation only": {"mix": {"instrumental": FEWER, "vocal": FEWER, **WHOLE}},
    "no synthetic singers": {"often": {"synthetic/vocal": 0}},
    "no backing vocals": {"often": {"synthetic/backing": 0}},
    "backing vocals thrice": {"often": {"synthetic/backing": 3}},
    "no synthetic bands": {"often": {"synthetic/instrumental": 0}},
    "nothing synthetic": {"often": {"synthetic/vocal": 0, "synthetic/backing": 0, "synthetic/instrumental": 0}},
    "singers not preferred": {"often": {"train/singers": 0}},
    "singers thrice": {"often": {"train/singers": 2}},
    "bands not preferred": {"often": {"train/bands": 0}},
    "bands thrice": {"often": {"train/bands": 2}},
    # stages
    "pretrained, 30 % of the time": [("pretrain", 0.3, {}), ("supervised", 0.7, {})],
    "FGAN, last 30 % of the time": [("supervised", 0.7, {}), ("fgan", 0.3, {})],
}
"""Settings over the preset `starter`; or stages in their order, each with its share of the time.

Training reads every folder of `FOLDERS` once, which makes singers and bands, also part of the whole, count twice;
`often` says how often else.
"""


def main() -> None:
    """Train and score rows, some at once, and print them as they end."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path)
    parser.add_argument("--real", type=Path, required=True, help="a folder of pairs")
    parser.add_argument("--rows", nargs="*", choices=list(ROWS), default=list(ROWS), metavar="NAME")
    parser.add_argument("--seconds", type=float, default=360.0, help="of processor time for a row")
    parser.add_argument("--at-once", type=int, default=2, help="rows, each on a core of its own")
    parser.add_argument("--one", action="store_true", help="train in this process, for the rows of a parent")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    if args.one:
        print(json.dumps(trained_and_scored(args.rows[0], args.work, args.real, args.seconds)))
        return
    for rate in sorted({config_of(name).signal.sample_rate for name in args.rows}):
        for kind in FOLDERS:
            library(args.work, kind, rate)
    report: dict[str, Any] = json.loads(args.json.read_text()) if args.json and args.json.exists() else {}

    def row(name: str) -> None:
        command = [sys.executable, "-m", "benchmarks.ladder", str(args.work), "--real", str(args.real), "--one"]
        told = subprocess.run(
            [*command, "--seconds", str(args.seconds), "--rows", name], stdout=subprocess.PIPE, check=True
        )
        report[name] = json.loads(told.stdout)
        print(name, report[name], flush=True)
        if args.json:
            args.json.write_text(json.dumps(report, indent=1) + "\n")

    with ThreadPoolExecutor(args.at_once) as pool:
        list(pool.map(row, args.rows))
    for name in [name for name in ROWS if name in report]:
        scores = report[name]
        steps, gains = (" + ".join(map(str, scores["steps"])), [f"{scores[split]:.2f}" for split in SPLITS])
        print(f"| {name} | {scores['million_parameters']:.2f} | {steps} | {' | '.join(gains)} |")


def stages_of(name: str) -> list[tuple[StageName, float, Settings]]:
    """A row's stages, each with its share of the time and its settings."""
    row = ROWS[name]
    return row if isinstance(row, list) else [("supervised", 1.0, row)]


def config_of(name: str, stage: int = -1, start: Checkpoint | None = None) -> TrainConfig:
    """The config of one of a row's stages."""
    kind, _, settings = stages_of(name)[stage]
    base = overlay(resolve(kind, "starter", start), {"precision": "bfloat16"})
    return overlay(base, {name: value for name, value in settings.items() if name != "often"})


def library(work: Path, kind: str, rate: int, often: dict[str, int] | None = None) -> Library:
    """The training library of a kind, decoded when it is first asked for."""
    tracks = []
    for folder in FOLDERS[kind]:
        part = prepare([work / folder], work / "cache" / f"{folder.replace('/', '-')}-{rate}", rate)
        tracks += part.tracks * (often or {}).get(folder, 1)
    return Library(tracks)


def trained_and_scored(name: str, work: Path, real: Path, seconds: float) -> dict[str, Any]:
    """Train one row on one thread, and score it."""
    torch.set_num_threads(1)
    state, start, steps = None, None, []
    for number, (stage, share, settings) in enumerate(stages_of(name)):
        config = config_of(name, number, start)
        rate = config.signal.sample_rate
        libraries = {kind: library(work, kind, rate, settings.get("often")) for kind in FOLDERS}
        data = Data(libraries={**libraries, "pretrain": libraries["instrumental"]}, workers=0)
        state = trained(config, data, seconds * share, start)
        steps.append(state.step)
        start = Checkpoint(network=state.average, signal=config.signal)
        if stage == "pretrain":
            state.average.reset_output()
    assert state is not None
    row = {"steps": steps, "million_parameters": sum(p.numel() for p in state.average.parameters()) / 1e6}
    for split, folder in zip(SPLITS, (work / "validation", work / "seen", real), strict=True):
        pairs = [at_rate(load_pair(track), rate) for track in find_pairs(folder)]
        row[split] = round(validate.score(state.average, pairs, config.signal)["vocals_usdr_gain"], 2)
    return row


def trained(config: TrainConfig, data: Data, seconds: float, start: Checkpoint | None) -> RunState:
    """A run of as many steps as the seconds of processor time allow."""
    weights = start.network if start else None
    ticks = [time.process_time()]
    fit(
        RunState.fresh(config, start=weights),
        data,
        report=lambda *_: ticks.append(time.process_time()),
        stop=lambda: len(ticks) == 8,
    )
    steps = round(seconds / median(b - a for a, b in pairwise(ticks[2:])))
    config = overlay(config.with_steps(steps), {"warmup": min(WARMUP, steps // 4)})
    return fit(RunState.fresh(config, start=weights), data)


def at_rate(pair: Pair, rate: int) -> Pair:
    """A pair as a network of another sample rate hears it."""
    if pair.rate == rate:
        return pair
    mixture, instrumental = (soxr.resample(wave.T, pair.rate, rate).T for wave in (pair.mixture, pair.instrumental))
    return Pair(name=pair.name, rate=rate, mixture=mixture, instrumental=instrumental)


if __name__ == "__main__":
    main()
