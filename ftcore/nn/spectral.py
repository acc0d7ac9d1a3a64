"""From waves to what networks see, and from what they say to instrumentals (torch).

`ftcore.stft` and `ftcore.pipeline` are the twins without torch.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from ftcore.config import SignalConfig, SpectralConfig
from ftcore.nn.functional import complex_product, squared_magnitudes, window_rms


class SpectralNetwork(nn.Module):
    """A network from the spectrogram of a mixture to that of its instrumental, of whatever family."""

    config: SpectralConfig

    def estimate(self, x: Tensor, forward: Callable[[Tensor], Tensor] | None = None) -> Tensor:
        """The instrumental of x [B, C, F, T] on x's scale, same shape and dtype (whatever the weights').

        forward: what computes the raw output in place of this module, where it is wrapped (compiled,
        distributed). `mapping`: the spectrogram itself, 2*sigmoid(y) - 1; `complex_mask`: the complex product y*x;
        `mask_and_mapping`: the product of y's first half with x, plus its second half; `magnitude_mask`: the mask
        sigmoid(y), to be multiplied with the mixture's spectrogram.
        """
        y = (forward or self)(x).to(x.dtype)
        match self.config.output:
            case "mapping":
                y = 2.0 * y.sigmoid() - 1.0
                return y * window_rms(x) if self.config.normalisation == "window_rms" else y
            case "complex_mask":
                return complex_product(y, x)
            case "mask_and_mapping":
                mask, added = y.chunk(2, dim=1)
                scale = window_rms(x) if self.config.normalisation == "window_rms" else 1.0
                return complex_product(mask, x) + added * scale
            case "magnitude_mask":
                return y.sigmoid()


def spectrogram(wave: Tensor, signal: SignalConfig) -> Tensor:
    """[B, audio channels, samples] -> [B, 2 * audio channels, n_fft/2, T]: real parts, then imaginary parts.

    Periodic Hann, centred frames, reflected edges (silent ones where a wave is too short to be reflected);
    the Nyquist bin is dropped.
    """
    batch, audio_channels, samples = wave.shape
    window = torch.hann_window(signal.n_fft, device=wave.device, dtype=wave.dtype)
    mode = "reflect" if samples > signal.n_fft // 2 else "constant"
    z = torch.stft(
        wave.reshape(-1, samples), signal.n_fft, signal.hop, window=window, pad_mode=mode, return_complex=True
    )
    parts = torch.view_as_real(z[:, :-1]).unflatten(0, (batch, audio_channels)).movedim(-1, 1)
    x: Tensor = parts.flatten(1, 2)
    return x


def wave(x: Tensor, signal: SignalConfig, samples: int) -> Tensor:
    """The inverse: [B, 2 * audio channels, n_fft/2, T] -> [B, audio channels, samples], Nyquist bin zero."""
    real, imaginary = torch.nn.functional.pad(x, (0, 0, 0, 1)).chunk(2, dim=1)
    z = torch.complex(real.contiguous(), imaginary.contiguous())
    window = torch.hann_window(signal.n_fft, device=x.device, dtype=x.dtype)
    y: Tensor = torch.istft(z.flatten(0, 1), signal.n_fft, signal.hop, window=window, length=samples)
    waves: Tensor = y.unflatten(0, z.shape[:2])
    return waves


def heard(network_is_complex: bool, x: Tensor) -> Tensor:
    """A complex spectrogram [B, 2C, F, T] as the network takes it: magnitude models get [B, C, F, T]."""
    return x if network_is_complex else squared_magnitudes(x, is_complex=True).sqrt()


def instrumental(network: SpectralNetwork, x: Tensor, forward: Callable[[Tensor], Tensor] | None = None) -> Tensor:
    """The network's instrumental of a complex spectrogram [B, 2 * audio channels, F, T], same shape.

    Magnitude models give a mask, which keeps the mixture's phase. `forward`: see `SpectralNetwork.estimate`.
    """
    estimate = network.estimate(heard(network.config.is_complex, x), forward)
    return estimate if network.config.is_complex else torch.cat((estimate, estimate), dim=1) * x
