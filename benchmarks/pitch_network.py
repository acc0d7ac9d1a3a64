"""Train the network of `ftcore/pitch.py`, which says what pitch a voice has.

    python -m benchmarks.pitch_network items WORK ITEMS --seed 1 --items 500
    python -m benchmarks.pitch_network train ITEMS ftcore/pitch.npz --steps 4000 --seed 1

WORK is that of `benchmarks/starter_data.py`, whose libraries are prepared in WORK/cache (`docs/model.md`). An item is
10 s of a mixture that training would draw, with a single voice, and what the model that ships finds in it before it
looks at the pitch; what the network sees of this, and the pitch of the true voice by harmonic sums (Hermes 1988,
"Measurement of pitch by subharmonic summation"; what is halfway between harmonics counts against a pitch). Runs with
other seeds add to ITEMS, and may run at once.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple
from unittest import mock

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from ftcore import looks, pitch, separator
from ftcore.atomic import replacing
from ftcore.data.library import Library, Wave, open_library
from ftcore.data.mixing import MixConfig, draw_item
from ftcore.harmonics import TOP, on_harmonics
from ftcore.pitch import PITCHES, Layer
from ftcore.postfilter import magnitude
from ftcore.stft import Complex, Real, stft
from ftcore.training.presets import preset

RATE, SECONDS = 44100, 10
MUSIC = ("train-instrumental", "train-bands", "synthetic-instrumental", "synthetic-metal")
VOICES = ("train-vocal", "train-singers", "train-singers", "synthetic-vocal")
LEVELS = (-12.0, 2.0)

SUMMED, HARMONICS = 5000.0, 20
"""Hz up to which harmonics of the true voice are summed, and how many at most."""
DECAY, BETWEEN = 0.8, 0.7
"""The weight of each harmonic beside the one before, and of what is halfway between them, which is taken away."""
SHARPNESS = 2.0
"""What a sum counts for as the logarithm of a likelihood."""
NEAR = 2
"""Pitches that are as good as the true one: 40 cents."""
SILENT = 0.01
"""Of a voice's mean power, below which it has no pitch."""

CHANNELS, KERNELS = 24, ((1, 1), (5, 3), (5, 5), (5, 7))
"""Of the layers between the first and the last, over pitches and frames."""
BATCH, FRAMES = 6, 96
LEARNING_RATE, WARMUP = 3e-3, 50
SHIFTS = 15
"""Pitches by which an item is moved at most."""


def main() -> None:
    """Draw items, or train on them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    seeded = argparse.ArgumentParser(add_help=False)
    seeded.add_argument("--seed", type=int, default=0)
    commands = parser.add_subparsers(required=True)
    items = commands.add_parser("items", parents=[seeded])
    items.add_argument("work", type=Path)
    items.add_argument("out", type=Path)
    items.add_argument("--items", type=int, default=500)
    items.set_defaults(run=lambda args: draw(args.work, args.out, args.seed, args.items))
    training = commands.add_parser("train", parents=[seeded])
    training.add_argument("items", type=Path)
    training.add_argument("out", type=Path)
    training.add_argument("--steps", type=int, default=4000)
    training.set_defaults(run=lambda args: train(args.items, args.out, args.seed, args.steps))
    args = parser.parse_args()
    args.run(args)


class Item(NamedTuple):
    """What is known of so many frames."""

    seen: npt.NDArray[np.float16]
    """What the network sees [2, L, T]."""
    pitch: npt.NDArray[np.int64]
    """Of the true voice [T], as an index of `PITCHES`."""
    weight: Real
    """How much that counts [T]: more of a loud voice, none of a silent one, less where it is in doubt."""


def draw(work: Path, out: Path, seed: int, count: int) -> None:
    """Write so many items."""

    def library(names: tuple[str, ...]) -> Library:
        caches = [work / "cache" / f"{name}-{RATE}" for name in names]
        return Library([track for cache in caches for track in open_library(cache, RATE).tracks])

    music, voices = library(MUSIC), library(VOICES)
    config = mix()
    model = separator.Separator("starter")
    out.mkdir(parents=True, exist_ok=True)
    for n in range(count):
        rng = np.random.default_rng((seed, n))
        item = draw_item(rng, music, voices, config, RATE, SECONDS * RATE)
        mixture = item.instrumental + item.vocal
        with mock.patch.object(separator, "by_harmonics", lambda separated, rate: separated):
            found = model.separate(mixture, RATE)["vocals"]
        index, weight = true_pitch(item.vocal)
        with replacing(out / f"{seed}_{n:04d}.npz") as path, path.open("wb") as file:
            np.savez(file, seen=seen_of(mixture, found).astype(np.float16), pitch=index, weight=weight)


def mix() -> MixConfig:
    """As training mixes, but with a single voice in every item."""
    starter = preset("starter", "supervised").mix
    voice = replace(starter.vocal, p_another=0.0, p_double=starter.vocal.p_double / 2)
    return replace(starter, vocal=voice, level_db=LEVELS, p_no_vocal=0.0, p_no_instrumental=0.0)


def seen_of(mixture: Wave, vocals: Wave) -> Real:
    """What the network sees of a mixture and of what was found in it."""
    frames = np.concatenate((low_bins(mixture), low_bins(vocals)))
    return np.concatenate([seen for _, seen in pitch.views([frames], bin_hz())], axis=-1)


def true_pitch(voice: Wave) -> tuple[npt.NDArray[np.int64], Real]:
    """Of a voice, in each frame, and how much that counts."""
    z = low_bins(voice)
    likely = likely_by_sums(z, bin_hz())
    index = likely.argmax(axis=0)
    near = np.abs(np.arange(len(PITCHES))[:, None] - index) <= NEAR
    sure = (likely * near).sum(axis=0)
    power = np.square(magnitude(z))
    explained = (on_harmonics(likely, len(power), bin_hz()) * power).sum(axis=0) / (power.sum(axis=0) + looks.TINY)
    loud = power.sum(axis=0) / (power.sum(axis=0).mean() + looks.TINY)
    return index, (np.sqrt(np.minimum(loud, 4)) * (loud > SILENT) * sure * explained).astype(np.float32)


def bin_hz() -> float:
    """How far bins are apart."""
    return RATE / looks.window_of(RATE)


def low_bins(wave: Wave) -> Complex:
    """Frames [C, F, T] up to where the voice's pitch is looked for."""
    n_fft = looks.window_of(RATE)
    return np.concatenate(list(stft([wave], n_fft, n_fft // 2)), axis=-1)[:, : round(TOP / bin_hz()) + 1]


def likely_by_sums(vocals: Complex, bin_hz: float) -> Real:
    """How likely each pitch is [P, T] in frames of a voice [C, F, T], by its harmonic sums.

    Beside how loud it is, in the mean of all bins, there and over all: who is silent has no pitch.
    """
    compressed = np.abs(vocals.mean(axis=0)) ** np.float32(pitch.COMPRESSION)
    here = compressed.mean(axis=0)
    sums = combs(len(compressed), bin_hz) @ (compressed / ((here + here.mean()) / 2 + looks.TINY))
    flat = np.full(len(PITCHES), 1 / len(PITCHES), np.float32)
    return pitch.probabilities(np.float32(SHARPNESS) * sums, sums[:, :0], flat)[0]


@lru_cache
def combs(bins: int, bin_hz: float) -> Real:
    """[P, F]: weights of the harmonics of each pitch, which add up to 1, and of what is halfway between them."""
    weights = np.zeros((len(PITCHES), bins), np.float32)
    highest = min(SUMMED, (bins - 2) * bin_hz)
    for row, hz in zip(weights, PITCHES, strict=True):
        orders = np.arange(1, np.clip(int(highest / hz), 1, HARMONICS) + 1)
        decay = DECAY**orders
        for offset, weight in ((0.0, 1.0), (0.5, -BETWEEN)):
            place = (orders - offset) * hz / bin_hz
            low = place.astype(int)
            np.add.at(row, low, weight * decay / decay.sum() * (1 - (place - low)))
            np.add.at(row, low + 1, weight * decay / decay.sum() * (place - low))
    return weights


class Network(nn.Module):
    """As `ftcore.pitch.heard`, with batch normalisation after all but the first and the last layer."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(2 * len(pitch.MULTIPLES), CHANNELS, 1)
        self.middle = nn.ModuleList(normalised(across, along) for across, along in KERNELS)
        self.last = nn.Conv2d(CHANNELS, 1, 1)

    def forward(self, seen: Tensor) -> Tensor:
        """[items, 2, L, T] to [items, P, T]."""
        x = torch.cat([seen[:, :, place : place + len(PITCHES)] for place in pitch.PLACES], dim=1)
        x = torch.relu(self.first(x.contiguous(memory_format=torch.channels_last)))
        for n, layer in enumerate(self.middle):
            y = torch.relu(layer(x))
            x = x + y if n else y
        strength: Tensor = self.last(x)[:, 0]
        return strength

    def layers(self) -> list[Layer]:
        """With the normalisation made part of the weights."""
        self.eval()
        middle = [fuse_conv_bn_eval(*layer) for layer in self.middle]  # type: ignore[misc]
        convolutions = [self.first, *middle, self.last]
        return [Layer(*(x.detach().numpy() for x in (c.weight, c.bias[:, None, None]))) for c in convolutions]


def normalised(across: int, along: int) -> nn.Sequential:
    """A convolution over so many pitches and frames."""
    convolution = nn.Conv2d(CHANNELS, CHANNELS, (across, along), padding=(across // 2, along // 2))
    return nn.Sequential(convolution, nn.BatchNorm2d(CHANNELS))


def train(folder: Path, out: Path, seed: int, steps: int) -> None:
    """Train on all items but every 25th, and print what it is worth on those."""
    files = sorted(folder.glob("*.npz"))
    items = [read(path) for n, path in enumerate(files) if n % 25]
    held_out = [read(path) for path in files[::25]]
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    network = Network()
    optimiser = torch.optim.AdamW(network.parameters(), LEARNING_RATE, weight_decay=1e-3)
    begun = time.monotonic()
    for step in range(steps):
        for group in optimiser.param_groups:
            group["lr"] = LEARNING_RATE * min(1.0, (step + 1) / WARMUP) * (1 - step / steps)
        seen, index, weight = batch(rng, items)
        with torch.autocast("cpu", torch.bfloat16):
            strength = network(seen)
        loss = (cross_entropy(strength.float(), index) * weight).sum() / weight.sum()
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        if (step + 1) % 400 == 0 or step + 1 == steps:
            layers = network.layers()
            found = np.mean([found_in(layers, item) for item in held_out])
            print(f"{step + 1} of {steps}: {time.monotonic() - begun:.0f} s, {loss.item():.2f}; {found:.3f} found")
            save(out, layers)
            network.train()


def read(path: Path) -> Item:
    """One that was written."""
    with np.load(path) as file:
        return Item(file["seen"], file["pitch"], file["weight"])


def batch(rng: np.random.Generator, items: list[Item]) -> Iterator[Tensor]:
    """What the network sees, pitches and weights of crops, each at another pitch and another level."""
    crops = []
    for _ in range(BATCH):
        item = items[rng.integers(len(items))]
        start = rng.integers(item.seen.shape[-1] - FRAMES + 1)
        crop = slice(start, start + FRAMES)
        shift = int(rng.integers(-SHIFTS, SHIFTS + 1))
        seen = np.roll(item.seen[..., crop].astype(np.float32), shift, axis=1) * np.float32(np.exp(rng.normal(0, 0.2)))
        moved = item.pitch[crop] + shift
        there = (moved >= 0) & (moved < len(PITCHES))
        crops.append((seen, np.clip(moved, 0, len(PITCHES) - 1), item.weight[crop] * there))
    return (torch.from_numpy(np.stack(parts)) for parts in zip(*crops, strict=True))


def cross_entropy(strength: Tensor, index: Tensor) -> Tensor:
    """With the true pitch and, less, with its neighbours: [items, T]."""
    away = torch.arange(len(PITCHES))[:, None] - index[:, None].float()
    target = torch.exp(-away.square() / 2)
    return -(target / target.sum(1, keepdim=True) * strength.log_softmax(1)).sum(1)


def found_in(layers: list[Layer], item: Item) -> float:
    """The share of the weight where the network, alone, finds the true pitch."""
    around = sum(layer.around for layer in layers)
    seen = np.pad(item.seen.astype(np.float32), ((0, 0), (0, 0), (around, around)))
    near = np.abs(pitch.heard(layers, seen).argmax(axis=0) - item.pitch) <= NEAR
    return float((near * item.weight).sum() / item.weight.sum())


def save(path: Path, layers: list[Layer]) -> None:
    """Write weights and biases as `ftcore.pitch.network` reads them, in 16 bits."""
    arrays = [array.astype(np.float16) for layer in layers for array in (layer.weight, layer.bias.ravel())]
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.savez(file, *arrays)


if __name__ == "__main__":
    main()
