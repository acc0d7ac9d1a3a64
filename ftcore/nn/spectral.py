"""STFT of waves as the network sees them (torch); `ftcore.stft` is its twin without torch."""

from __future__ import annotations

import torch
from torch import Tensor

from ftcore.config import SignalConfig
from ftcore.nn.network import Generator


def spectrogram(wave: Tensor, signal: SignalConfig) -> Tensor:
    """[B, audio channels, samples] -> [B, 2 * audio channels, n_fft/2, T]: real parts, imaginary parts.

    Periodic Hann, centred frames, reflected edges; the Nyquist bin is dropped.
    """
    batch, channels, samples = wave.shape
    window = torch.hann_window(signal.n_fft, device=wave.device, dtype=wave.dtype)
    z = torch.stft(
        wave.reshape(-1, samples), signal.n_fft, signal.hop, window=window, pad_mode="reflect", return_complex=True
    )[:, :-1].unflatten(0, (batch, channels))
    return torch.cat((z.real, z.imag), dim=1)


def wave(x: Tensor, signal: SignalConfig, samples: int) -> Tensor:
    """The inverse: [B, 2 * audio channels, n_fft/2, T] -> [B, audio channels, samples], Nyquist bin zero."""
    real, imaginary = torch.nn.functional.pad(x, (0, 0, 0, 1)).chunk(2, dim=1)
    z = torch.complex(real.contiguous(), imaginary.contiguous())
    window = torch.hann_window(signal.n_fft, device=x.device, dtype=x.dtype)
    y: Tensor = torch.istft(z.flatten(0, 1), signal.n_fft, signal.hop, window=window, length=samples)
    waves: Tensor = y.unflatten(0, z.shape[:2])
    return waves


def instrumental(network: Generator, x: Tensor) -> Tensor:
    """The network's instrumental of a complex spectrogram [B, 2 * audio channels, F, T], same shape.

    Magnitude models give a mask, which keeps the mixture's phase.
    """
    if network.config.is_complex:
        return network.estimate(x)
    real, imaginary = x.chunk(2, dim=1)
    mask = network.estimate((real.square() + imaginary.square()).sqrt())
    return torch.cat((mask * real, mask * imaginary), dim=1)
