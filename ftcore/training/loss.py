"""What supervised training minimises (torch)."""

from __future__ import annotations

import torch
from torch import Tensor

from ftcore.nn import spectral
from ftcore.nn.functional import compress
from ftcore.nn.network import Generator
from ftcore.training.config import TrainConfig


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
