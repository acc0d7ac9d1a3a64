"""Train the network of `ftcore/voice.py`, which says whether anyone sings and at which pitch.

    python -m benchmarks.voice_network items WORK ITEMS --seed 1 --items 600
    python -m benchmarks.voice_network train ITEMS ftcore/voice.npz --steps 3600 --seed 1

WORK is that of `benchmarks/starter_data.py`, whose libraries are prepared in WORK/cache (`docs/model.md`). An item is
10 s of a mixture that training would draw, of a single voice or of several, in most for some seconds of none, and what
the model that ships finds in it before it looks at the voice; then the same with more of the voice missed. It holds
what the network sees of this, how much of what was found is of the voice, and the pitch of the true voice by harmonic
sums (Hermes 1988, "Measurement of pitch by subharmonic summation"; what is halfway between harmonics counts against a
pitch). Runs with other seeds add to ITEMS, and may run at once.
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

from ftcore import looks, separator
from ftcore.atomic import replacing
from ftcore.data import effects
from ftcore.data.library import Library, Wave, open_library
from ftcore.data.mixing import MixConfig, draw_item
from ftcore.errors import FtError
from ftcore.harmonics import on_harmonics
from ftcore.postfilter import magnitude
from ftcore.stft import Complex, Real, stft
from ftcore.training.presets import preset
from ftcore.voice import (
    COMPRESSION,
    MULTIPLES,
    PITCHES,
    PLACES,
    Layer,
    heard,
    low_bins,
    probabilities,
    sung,
    views,
)
from ftcore.voice import Network as Layers

RATE, SECONDS = 44100, 10
MUSIC = ("train-instrumental", "train-bands", "synthetic-instrumental", "synthetic-metal")
VOICES = ("train-vocal", "train-singers", "train-singers", "synthetic-vocal")
SEVERAL = (*VOICES, "synthetic-backing")
"""Of caches: music, and voices that sing alone and that sing together."""
LEVELS = (-12.0, 2.0)
"""Of voices beside the music, in dB."""
P_PAUSE, PAUSE = 0.6, (2.5, 8.0)
"""How many items have a moment in which nobody sings, and how long that is, in seconds."""
MISSED, MISSED_BY = (-12.0, -2.0), 8.0
"""Level of what is left of a voice of which more is missed, and how much that varies with frequency, in dB."""
FADE = 0.05
"""Seconds in which a voice begins and ends there."""

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
"""Of the layers between the first and that which says pitches, over pitches and frames."""
TIME_CHANNELS, TIME_KERNEL = 32, 7
"""Of the layers before that which says whether anyone sings, over frames."""
APART = (1, 3, 4)
"""How many frames lie between those that these take, and one more."""
DROPOUT = 0.2
"""Of what these take."""
BATCH, FRAMES = 5, 128
EDGE = sum(TIME_KERNEL // 2 * apart for apart in APART)
"""Frames at either end of a crop in which too little is known to say whether anyone sings."""
LEARNING_RATE, WARMUP = 3e-3, 50
SILENCE = EDGE + sum(along // 2 for _, along in KERNELS)
"""Frames before and after an item, as many as the network takes."""
SHARP = 0.5
"""The standard deviation, in pitches, of what counts as the true pitch in training."""
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
    items.add_argument("--items", type=int, default=600)
    items.set_defaults(run=lambda args: draw(args.work, args.out, args.seed, args.items))
    training = commands.add_parser("train", parents=[seeded])
    training.add_argument("items", type=Path)
    training.add_argument("out", type=Path)
    training.add_argument("--steps", type=int, default=3600)
    training.set_defaults(run=lambda args: train(args.items, args.out, args.seed, args.steps))
    args = parser.parse_args()
    try:
        args.run(args)
    except FtError as error:
        raise SystemExit(str(error)) from None


class Item(NamedTuple):
    """What is known of so many frames."""

    seen: npt.NDArray[np.float16]
    """What the network sees [2, L, T]."""
    pitch: npt.NDArray[np.int64]
    """Of the true voice [T], as an index of `PITCHES`."""
    weight: Real
    """How much that counts [T]: more of a loud voice, none of a silent one, less where it is in doubt."""
    kept: Real
    """How much of what was found is of the voice [T], 0 to 1."""
    loud: Real
    """Power of what was found beside the mean of the mixture's [T]."""


def draw(work: Path, out: Path, seed: int, count: int) -> None:
    """Write so many items."""

    def library(names: tuple[str, ...]) -> Library:
        caches = [work / "cache" / f"{name}-{RATE}" for name in names]
        return Library([track for cache in caches for track in open_library(cache, RATE).tracks])

    music, one, several = library(MUSIC), library(VOICES), library(SEVERAL)
    model = separator.Separator("starter")
    out.mkdir(parents=True, exist_ok=True)
    for n in range(count):
        rng = np.random.default_rng((seed, n))
        single = n % 2 == 0
        item = draw_item(rng, music, one if single else several, mix(single), RATE, SECONDS * RATE)
        vocal = item.vocal * pause(rng) if rng.random() < P_PAUSE else item.vocal
        mixture = item.instrumental + vocal
        with mock.patch.object(separator, "by_voice", lambda separated, rate: separated):
            found = model.separate(mixture, RATE)["vocals"]
        index, weight = true_pitch(vocal)
        for name, wave in (("found", found), ("missed", missed(rng, found, vocal))):
            kept, loud = kept_of(mixture, wave, vocal)
            seen = seen_of(mixture, wave).astype(np.float16)
            with replacing(out / f"{seed}_{n:04d}_{name}.npz") as path, path.open("wb") as file:
                np.savez(file, seen=seen, pitch=index, weight=weight, kept=kept, loud=loud)


def mix(single: bool) -> MixConfig:
    """As training mixes, but with a voice and music in every item; with a single voice, or with several more often."""
    starter = preset("starter", "supervised").mix
    if single:
        voice = replace(starter.vocal, p_another=0.0, p_double=starter.vocal.p_double / 2)
    else:
        voice = replace(starter.vocal, p_another=0.5, p_double=0.5, p_wide=0.25, p_pan=0.1)
    return replace(starter, vocal=voice, level_db=LEVELS, p_no_vocal=0.0, p_no_instrumental=0.0)


def missed(rng: np.random.Generator, found: Wave, voice: Wave) -> Wave:
    """What would have been found of a voice that the model knows less: it was trained on these."""
    part = effects.equalise(rng, voice, MISSED_BY, RATE) * np.float32(effects.gain(rng.uniform(*MISSED)))
    return found - voice + part


def pause(rng: np.random.Generator) -> Real:
    """1 where somebody sings, else 0, of an item [samples]; it may have begun before or go on after that."""
    length = rng.uniform(*PAUSE)
    begin = rng.uniform(-length / 2, SECONDS - length / 2)
    time = np.arange(SECONDS * RATE) / RATE
    outside = np.maximum(begin - time, time - begin - length)
    return np.clip(outside / FADE, 0, 1).astype(np.float32)


def kept_of(mixture: Wave, vocals: Wave, voice: Wave) -> tuple[Real, Real]:
    """How much of what was found is of the voice, and how loud it is, in each frame."""
    whole, found, true = (frames_of(wave) for wave in (mixture, vocals, voice))
    power = np.square(magnitude(found)).sum(axis=0)
    common = (found.conj() * true).real.mean(axis=0).sum(axis=0)
    loud = power / (np.square(magnitude(whole)).sum(axis=0).mean() + looks.TINY)
    return np.clip(common / (power + looks.TINY), 0, 1).astype(np.float32), loud.astype(np.float32)


def seen_of(mixture: Wave, vocals: Wave) -> Real:
    """What the network sees of a mixture and of what was found in it."""
    frames = np.concatenate((frames_of(mixture), frames_of(vocals)))
    return np.concatenate([seen for _, seen in views([frames], bin_hz())], axis=-1)


def true_pitch(voice: Wave) -> tuple[npt.NDArray[np.int64], Real]:
    """Of a voice, in each frame, and how much that counts."""
    z = frames_of(voice)
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


def frames_of(wave: Wave) -> Complex:
    """Frames [C, F, T] up to where the voice's pitch is looked for."""
    n_fft = looks.window_of(RATE)
    return np.concatenate(list(stft([wave], n_fft, n_fft // 2)), axis=-1)[:, low_bins(bin_hz())]


def likely_by_sums(vocals: Complex, bin_hz: float) -> Real:
    """How likely each pitch is [P, T] in frames of a voice [C, F, T], by its harmonic sums.

    Beside how loud it is, in the mean of all bins, there and over all: who is silent has no pitch.
    """
    compressed = np.abs(vocals.mean(axis=0)) ** np.float32(COMPRESSION)
    here = compressed.mean(axis=0)
    sums = combs(len(compressed), bin_hz) @ (compressed / ((here + here.mean()) / 2 + looks.TINY))
    flat = np.full(len(PITCHES), 1 / len(PITCHES), np.float32)
    return probabilities(np.float32(SHARPNESS) * sums, sums[:, :0], flat)[0]


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
    """As that of `ftcore.voice`, with batch normalisation after all but the first and the last layers."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(2 * len(MULTIPLES), CHANNELS, 1)
        self.middle = nn.ModuleList(normalised(CHANNELS, CHANNELS, kernel) for kernel in KERNELS)
        self.pitch = nn.Conv2d(CHANNELS, 1, 1)
        self.time = nn.ModuleList(
            normalised(TIME_CHANNELS if n else 3 * CHANNELS, TIME_CHANNELS, (1, TIME_KERNEL), apart)
            for n, apart in enumerate(APART)
        )
        self.share = nn.Conv2d(TIME_CHANNELS, 1, 1)

    def forward(self, seen: Tensor) -> tuple[Tensor, Tensor]:
        """[items, 2, L, T] to [items, P, T] and [items, T]: a logarithm of odds."""
        x = torch.cat([seen[:, :, place : place + len(PITCHES)] for place in PLACES], dim=1)
        x = torch.relu(self.first(x.contiguous(memory_format=torch.channels_last)))
        for n, layer in enumerate(self.middle):
            y = torch.relu(layer(x))
            x = x + y if n else y
        strength = self.pitch(x)
        likely = strength.detach().float().softmax(2).to(x.dtype)
        x = torch.cat((x.mean(2), x.amax(2), (x * likely).sum(2)), dim=1)[:, :, None]
        for n, layer in enumerate(self.time):
            y = torch.relu(layer(nn.functional.dropout(x, DROPOUT, self.training)))
            x = x + y if n else y
        return strength[:, 0], self.share(x)[:, 0, 0]

    def layers(self) -> Layers:
        """With the normalisation made part of the weights."""
        self.eval()
        middle, time = ([fuse_conv_bn_eval(*layer) for layer in part] for part in (self.middle, self.time))  # type: ignore[misc]
        over_pitches, over_time = (
            [Layer(c.weight.detach().numpy(), c.bias.detach().numpy()[:, None, None], c.dilation[1]) for c in part]
            for part in ([self.first, *middle, self.pitch], [*time, self.share])
        )
        return Layers(over_pitches, over_time)


def normalised(before: int, after: int, kernel: tuple[int, int], apart: int = 1) -> nn.Sequential:
    """A convolution over so many pitches and frames, which are so far apart."""
    across, along = kernel
    padding = (across // 2, along // 2 * apart)
    convolution = nn.Conv2d(before, after, kernel, padding=padding, dilation=(1, apart))
    return nn.Sequential(convolution, nn.BatchNorm2d(after))


def train(folder: Path, out: Path, seed: int, steps: int) -> None:
    """Train on all draws but every 25th, and print what it is worth on those. Raises FtError."""
    files = sorted(folder.glob("*.npz"))
    if len(files) < 4:
        raise FtError(f"{folder}: fewer than two draws")
    held_out = set(sorted({draw_of(path) for path in files})[::25])
    items = [read(path) for path in files if draw_of(path) not in held_out]
    others = [read(path) for path in files if draw_of(path) in held_out]
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    network = Network()
    optimiser = torch.optim.AdamW(network.parameters(), LEARNING_RATE, weight_decay=1e-3)
    begun = time.monotonic()
    for step in range(steps):
        for group in optimiser.param_groups:
            group["lr"] = LEARNING_RATE * min(1.0, (step + 1) / WARMUP) * (1 - step / steps)
        seen, index, weight, kept, loud = batch(rng, items)
        with torch.autocast("cpu", torch.bfloat16):
            strength, share = network(seen)
        loss = mean(cross_entropy(strength.float(), index), weight)
        wrong = nn.functional.binary_cross_entropy_with_logits(share.float(), kept, reduction="none")
        loss += mean(wrong[:, EDGE:-EDGE], loud.clamp(max=4).sqrt()[:, EDGE:-EDGE])
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        if (step + 1) % 400 == 0 or step + 1 == steps:
            layers = network.layers()
            total = Figures(*np.sum([figures(layers, item) for item in others], axis=0))
            print(
                f"{step + 1} of {steps}: {time.monotonic() - begun:.0f} s, {loss.item():.2f}; "
                f"pitch {total.found / total.weight:.3f} found, music {total.taken / total.most:.3f} taken away",
                flush=True,
            )
            save(out, layers)
            network.train()


def draw_of(path: Path) -> str:
    """What files of one draw have in common."""
    return path.name.rpartition("_")[0]


def mean(values: Tensor, weights: Tensor) -> Tensor:
    """With weights, of which some are not 0."""
    return (values * weights).sum() / (weights.sum() + looks.TINY)


def read(path: Path) -> Item:
    """One that was written, with silence before and after it."""
    with np.load(path) as file:
        arrays = (file[name] for name in Item._fields)
        return Item(*(np.pad(array, (*[(0, 0)] * (array.ndim - 1), (SILENCE, SILENCE))) for array in arrays))


def batch(rng: np.random.Generator, items: list[Item]) -> Iterator[Tensor]:
    """Crops, as items are, each at another pitch and another level."""
    crops = []
    for _ in range(BATCH):
        item = items[rng.integers(len(items))]
        start = rng.integers(item.seen.shape[-1] - FRAMES + 1)
        crop = slice(start, start + FRAMES)
        shift = int(rng.integers(-SHIFTS, SHIFTS + 1))
        seen = np.roll(item.seen[..., crop].astype(np.float32), shift, axis=1) * np.float32(np.exp(rng.normal(0, 0.2)))
        moved = item.pitch[crop] + shift
        there = (moved >= 0) & (moved < len(PITCHES))
        weight = item.weight[crop] * there
        crops.append((seen, np.clip(moved, 0, len(PITCHES) - 1), weight, item.kept[crop], item.loud[crop]))
    return (torch.from_numpy(np.stack(parts)) for parts in zip(*crops, strict=True))


def cross_entropy(strength: Tensor, index: Tensor) -> Tensor:
    """With the true pitch and, less, with its neighbours: [items, T]."""
    away = torch.arange(len(PITCHES))[:, None] - index[:, None].float()
    target = torch.exp(-away.square() / (2 * SHARP**2))
    return -(target / target.sum(1, keepdim=True) * strength.log_softmax(1)).sum(1)


class Figures(NamedTuple):
    """What a network makes of an item: power but for `weight`."""

    found: float
    """Of the weight, where it finds the true pitch, by itself."""
    weight: float
    taken: float
    """By how much less music there is in what was found."""
    most: float
    """By how much less there would be at best."""


def figures(layers: Layers, item: Item) -> Figures:
    """In an item that has silence before and after it."""
    strength, summary = heard(layers.over_pitches, item.seen.astype(np.float32))
    share = sung(layers.over_time, summary)
    inner = slice(SILENCE, -SILENCE)
    near = np.abs(strength[:, EDGE:-EDGE].argmax(axis=0) - item.pitch[inner]) <= NEAR
    weight, kept, loud = item.weight[inner], item.kept[inner], item.loud[inner]
    most = loud * np.square(1 - kept)
    return Figures(*(float(x.sum()) for x in (near * weight, weight, most - loud * np.square(share - kept), most)))


def save(path: Path, layers: Layers) -> None:
    """Write weights and biases as `ftcore.voice.network` reads them, in 16 bits."""
    each = [*layers.over_pitches, *layers.over_time]
    arrays = [array.astype(np.float16) for layer in each for array in (layer.weight, layer.bias.ravel())]
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.savez(file, *arrays, apart=[layer.apart for layer in layers.over_time])


if __name__ == "__main__":
    main()
