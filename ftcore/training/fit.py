"""The training loop: batches in, a better generator out."""

from __future__ import annotations

import copy
import dataclasses
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from ftcore import checkpoint
from ftcore.config import NetworkConfig, SignalConfig
from ftcore.data.library import Library
from ftcore.data.mixing import MixConfig, draw_item
from ftcore.errors import FtError
from ftcore.evaluation import Pair
from ftcore.nn import spectral
from ftcore.nn.functional import compress
from ftcore.nn.network import Generator
from ftcore.training.validate import score

Precision = Literal["float32", "bfloat16"]


@dataclass(frozen=True, kw_only=True)
class LossConfig:
    """Weights of the supervised loss' terms; every spectrogram has the mixture at an RMS of 1.

    RMSE is per item, so its minimum is the highest SDR; L1 forgives large errors and prefers silence where
    it is unsure; the compressed term (Ephrat et al. 2018) listens to quiet bands as well as to loud ones.
    """

    l1: float = 0.0
    """L1 on the complex spectrogram."""
    wave_l1: float = 0.0
    """L1 on the wave."""
    rmse: float = 1.0
    """Root mean square error of the complex spectrogram."""
    compressed: float = 1.0
    """Root mean square error of the vocals' complex spectrogram, magnitudes to the power 0.5."""


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """One supervised run."""

    network: NetworkConfig
    signal: SignalConfig
    steps: int = 1100
    """Optimiser steps; the learning rate reaches zero at the last."""
    batch: int = 4
    """Items per step."""
    frames: int = 128
    """Frames per item."""
    learning_rate: float = 1e-3
    """Peak of AdamW's learning rate."""
    warmup: int = 50
    """Steps of linear warm-up before the linear decay."""
    betas: tuple[float, float] = (0.9, 0.99)
    """AdamW's moments."""
    weight_decay: float = 0.01
    """AdamW's decoupled weight decay."""
    clip: float = 1.0
    """Largest gradient norm."""
    ema: float = 0.998
    """Decay of the weight average that is validated and saved."""
    loss: LossConfig = LossConfig()
    """What is minimised."""
    precision: Precision = "float32"
    """Of the network's products and convolutions; weights, norms and losses stay in float32."""
    seed: int = 0
    """Seeds the initial weights and every item."""
    validate_every: int = 100
    """Steps between validations."""
    save_every: int = 50
    """Steps between saves of `last`."""

    def __post_init__(self) -> None:
        if self.precision not in get_args(Precision):
            raise FtError(f"precision is {' or '.join(get_args(Precision))}, not {self.precision!r}")
        if not 0 < self.warmup < self.steps:
            raise FtError(f"{self.steps} steps leave no room for a warm-up of {self.warmup}")


@dataclass(frozen=True, kw_only=True)
class Mixtures(Dataset[tuple[Tensor, Tensor]]):
    """Item i is the same for a seed in every process: (mixture, instrumental), each [2, samples]."""

    instrumental: Library
    vocal: Library
    mix: MixConfig
    seed: int
    count: int

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        item = draw_item(np.random.default_rng((self.seed, index)), self.instrumental, self.vocal, self.mix)
        return torch.from_numpy(item.mixture), torch.from_numpy(item.instrumental)


@dataclass
class Progress:
    """What a step reports."""

    step: int
    steps: int
    loss: float
    seconds: float
    scores: dict[str, float] = field(default_factory=dict)


def supervised_loss(network: Generator, mixture: Tensor, instrumental: Tensor, config: TrainConfig) -> Tensor:
    """Weighted sum of `config.loss`' terms between estimate and target.

    Both waves [B, 2, samples]; each item counts relative to its mixture's level.
    """
    weights, signal = config.loss, config.signal
    level = mixture.square().mean(dim=(1, 2), keepdim=True).sqrt().clamp_min(1e-4)
    scale = level * (signal.n_fft * 3 / 8) ** 0.5  # a Hann window's power: waves of RMS 1 get bins of RMS 1
    x, target = (spectral.spectrogram(wave / scale, signal) for wave in (mixture, instrumental))
    with torch.autocast(x.device.type, torch.bfloat16, enabled=config.precision == "bfloat16"):
        estimate = spectral.instrumental(network, x)
    error = estimate - target
    loss = x.new_zeros(())
    if weights.l1:
        loss = loss + weights.l1 * error.abs().mean()
    if weights.wave_l1:
        wave = spectral.wave(error, signal, mixture.shape[-1]) * (scale / level)
        loss = loss + weights.wave_l1 * wave.abs().mean()
    if weights.rmse:
        loss = loss + weights.rmse * _rmse(error)
    if weights.compressed:
        vocals, true = compress(x - estimate, 0.5, True), compress(x - target, 0.5, True)
        loss = loss + weights.compressed * _rmse(vocals - true)
    return loss


def _rmse(error: Tensor) -> Tensor:
    """Root mean square of complex errors [B, 2C, F, T] per item, mean over items."""
    power = 2.0 * error.square().mean(dim=(1, 2, 3))
    mean: Tensor = (power + 1e-6).sqrt().mean()
    return mean


def fit(
    config: TrainConfig,
    instrumental: Library,
    vocal: Library,
    validation: list[Pair],
    out: Path,
    *,
    workers: int = 1,
    provenance: dict[str, Any] | None = None,
    report: Callable[[Progress], None] = lambda progress: None,
) -> Generator:
    """Train from scratch; write `out/last.safetensors`, `out/best.safetensors`, `out/metrics.jsonl`.

    `best` is the weight average with the highest validation score. Raises FtError when the loss is
    no longer finite.
    """
    out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(config.seed)
    network = Generator(config.network).train()
    average = copy.deepcopy(network).eval()
    optimizer = torch.optim.AdamW(
        network.parameters(), config.learning_rate, config.betas, weight_decay=config.weight_decay
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda s: min((s + 1) / config.warmup, max(config.steps - s, 0) / (config.steps - config.warmup))
    )
    samples = (config.frames - 1) * config.signal.hop
    items = Mixtures(
        instrumental=instrumental,
        vocal=vocal,
        mix=MixConfig(samples=samples),
        seed=config.seed,
        count=config.steps * config.batch,
    )
    best, start = -float("inf"), time.monotonic()
    for step, (mixture, target) in enumerate(DataLoader(items, config.batch, num_workers=workers), 1):
        loss = supervised_loss(network, mixture, target, config)
        if not loss.isfinite():
            raise FtError(f"step {step}: the loss is {loss.item()}; the last good weights are in {out}")
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), config.clip)
        optimizer.step()
        optimizer.zero_grad()
        schedule.step()
        _average(average, network, min(config.ema, (1 + step) / (10 + step)))

        progress = Progress(step, config.steps, loss.item(), time.monotonic() - start)
        final = step == config.steps
        if validation and (step % config.validate_every == 0 or final):
            progress.scores = score(average, validation, config.signal)
        saved = checkpoint.Checkpoint(
            network=average,
            signal=config.signal,
            provenance={**(provenance or {}), "step": step, "validation": progress.scores},
        )
        if step % config.save_every == 0 or final:
            checkpoint.save(out / "last.safetensors", saved)
        if progress.scores and progress.scores["vocals_usdr_gain"] > best:
            best = progress.scores["vocals_usdr_gain"]
            checkpoint.save(out / "best.safetensors", saved)
        with (out / "metrics.jsonl").open("a") as file:
            file.write(json.dumps(dataclasses.asdict(progress)) + "\n")
        report(progress)
    return average


@torch.no_grad()
def _average(average: nn.Module, network: nn.Module, decay: float) -> None:
    for mean, value in zip(average.parameters(), network.parameters(), strict=True):
        mean.lerp_(value, 1.0 - decay)
