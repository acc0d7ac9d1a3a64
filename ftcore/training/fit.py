"""The training loop: batches in, a better generator out."""

from __future__ import annotations

import copy
import dataclasses
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from ftcore import checkpoint
from ftcore.config import NetworkConfig, SignalConfig
from ftcore.data.library import Library
from ftcore.data.mixing import MixConfig, draw_item
from ftcore.errors import FtError
from ftcore.nn import spectral
from ftcore.nn.network import Generator
from ftcore.training.validate import Pair, score


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
    wave_weight: float = 1.0
    """Weight of the L1 on the wave beside the L1 on the complex spectrogram."""
    seed: int = 0
    """Seeds the initial weights and every item."""
    validate_every: int = 100
    """Steps between validations."""
    save_every: int = 50
    """Steps between saves of `last`."""

    def __post_init__(self) -> None:
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
    """L1 between estimate and target, on the complex spectrogram and on the wave.

    Both waves [B, 2, samples]; each item counts relative to its mixture's level.
    """
    level = mixture.square().mean(dim=(1, 2), keepdim=True).sqrt().clamp_min(1e-4)
    mixture, instrumental = mixture / level, instrumental / level
    estimate = spectral.instrumental(network, spectral.spectrogram(mixture, config.signal))
    target = spectral.spectrogram(instrumental, config.signal)
    loss: Tensor = (estimate - target).abs().mean() / (config.signal.n_fft / 8) ** 0.5
    if config.wave_weight:
        error = spectral.wave(estimate - target, config.signal, mixture.shape[-1])
        loss = loss + config.wave_weight * error.abs().mean()
    return loss


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
