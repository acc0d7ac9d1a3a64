"""How far an estimate is from its target (torch)."""

from __future__ import annotations

from torch import Tensor

from ftcore.config import SignalConfig
from ftcore.nn import spectral
from ftcore.nn.functional import compress
from ftcore.training.config import LossConfig


def distance(estimate: Tensor, target: Tensor, mixture: Tensor, weights: LossConfig, signal: SignalConfig) -> Tensor:
    """Weighted sum of the terms; all complex spectrograms [B, 2C, F, T], estimate and target of the instrumental."""
    error = estimate - target
    loss = error.new_zeros(())
    if weights.l1:
        loss = loss + weights.l1 * error.abs().mean()
    if weights.wave_l1:
        gain = (signal.n_fft * 3 / 8) ** 0.5  # a Hann window's power: bins of RMS 1 make waves of RMS 1
        wave = spectral.wave(error, signal, (error.shape[-1] - 1) * signal.hop) * gain
        loss = loss + weights.wave_l1 * wave.abs().mean()
    if weights.rmse:
        loss = loss + weights.rmse * _rmse(error)
    if weights.compressed:
        vocals, true = compress(mixture - estimate, 0.5, True), compress(mixture - target, 0.5, True)
        loss = loss + weights.compressed * _rmse(vocals - true)
    return loss


def _rmse(error: Tensor) -> Tensor:
    """Root mean square of complex errors [B, 2C, F, T] per item, mean over items."""
    power = 2.0 * error.square().mean(dim=(1, 2, 3))
    mean: Tensor = (power + 1e-6).sqrt().mean()
    return mean
