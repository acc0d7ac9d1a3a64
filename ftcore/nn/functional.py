"""Pure tensor functions of the network.

Axes: B batch, C channels, F features, T frames, H heads, D features per head, N tokens.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

DENSE = 128
"""Features up to which interpolating by a product of matrices is the faster way."""


def squared_relu(x: Tensor) -> Tensor:
    """`relu(x)^2` (So et al. 2021, Primer)."""
    y = torch.relu(x)
    return y * y  # a product, unlike a power, stays in the blocked layout of a runtime's convolutions


def table_dtype(x: Tensor) -> torch.dtype:
    """Precision of positional tables for `x`: float64 for float64 input, else float32."""
    return torch.float64 if x.dtype == torch.float64 else torch.float32


def rotation(x: Tensor, theta: float = 10000.0) -> tuple[Tensor, Tensor]:
    """Cosines and sines [N, D/2, 1] of the angles by which `rotate` turns tokens x [..., N, D], in x's dtype."""
    dtype, size = table_dtype(x), x.shape[-1]
    freqs = theta ** (-torch.arange(0, size, 2, device=x.device, dtype=dtype) / size)
    angle = torch.arange(x.shape[-2], device=x.device, dtype=dtype)[:, None, None] * freqs[:, None]
    return angle.cos().to(x.dtype), angle.sin().to(x.dtype)


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary position embedding (Su et al. 2021) over interleaved pairs of D: x [..., N, D], same shape."""
    even, odd = x.unflatten(-1, (-1, 2)).chunk(2, dim=-1)  # [..., N, D/2, 1] each
    return torch.cat((even * cos - odd * sin, odd * cos + even * sin), dim=-1).flatten(-2)


def sinusoids(features: int, x: Tensor) -> Tensor:
    """Sinusoidal table [1, 1, T, features] for the frames of x [B, C, T, F], in x's dtype.

    Feature f holds `sin(t * 10000^(-f/features))` where f is even, the cosine of its even partner where odd.
    """
    dtype = table_dtype(x)
    even = torch.arange(0, features, 2, device=x.device, dtype=dtype)
    frames = torch.arange(x.shape[2], device=x.device, dtype=dtype)
    angle = frames[:, None] * torch.pow(10000.0, -even / features)  # [T, features/2]
    table = torch.stack((angle.sin(), angle.cos()), dim=-1).flatten(-2)[:, :features]
    return table[None, None].to(x.dtype)


def attend(q: Tensor, k: Tensor, v: Tensor, scale: float, prev_scores: Tensor | None) -> tuple[Tensor, Tensor]:
    """Rotary attention with residual scores (He et al. 2020, RealFormer).

    q, k, v: [..., H, N, D], D even, or 1 (then nothing is rotated); prev_scores: [..., H, N, N] or None.
    Returns (y [..., H, N, D], scores [..., H, N, N] before the softmax, `prev_scores` included).
    """
    q, k = rotated(q, k)
    scores = scored(q, k, scale, prev_scores)
    return scores.softmax(dim=-1) @ v, scores


def attend_in_parts(q: Tensor, k: Tensor, v: Tensor, scale: float, prev_scores: Tensor | None, parts: int) -> Tensor:
    """The y of `attend`, for one of so many equal parts of the queries at a time: N x N scores are never there."""
    q, k = rotated(q, k)
    queries = q.unflatten(-2, (parts, -1)).unbind(-3)
    before = [None] * parts if prev_scores is None else prev_scores.unflatten(-2, (parts, -1)).unbind(-3)
    return torch.cat(
        [scored(part, k, scale, prev).softmax(dim=-1) @ v for part, prev in zip(queries, before, strict=True)], dim=-2
    )


def rotated(q: Tensor, k: Tensor) -> tuple[Tensor, Tensor]:
    """Queries and keys [..., N, D] that know their positions; D = 1 cannot."""
    if q.shape[-1] == 1:
        return q, k
    table = rotation(q)
    return rotate(q, *table), rotate(k, *table)


def scored(q: Tensor, k: Tensor, scale: float, prev_scores: Tensor | None) -> Tensor:
    """Scores [..., Nq, N] of queries [..., Nq, D] and keys [..., N, D], added to those of before."""
    scores = (q * scale) @ k.transpose(-1, -2)
    return scores if prev_scores is None else scores + prev_scores


def linear_per_channel(x: Tensor, weight: Tensor) -> Tensor:
    """One linear map over the features of each channel: x [B, C, T, Fin], weight [C, Fout, Fin] -> [B, C, T, Fout]."""
    if len(weight) == 1:  # a plain product, whose constant side a runtime lays out in advance
        return nn.functional.linear(x, weight[0])
    return x @ weight.transpose(-1, -2)


def stretch(x: Tensor, features: int) -> Tensor:
    """x [B, C, T, F] with so many features, by linear interpolation; the outermost stay where they are.

    Of few features it is computed as a product of matrices, in a fraction of the time that a runtime's resizing takes.
    """

    def resized(x: Tensor) -> Tensor:
        return nn.functional.interpolate(x, (x.shape[2], features), mode="bilinear", align_corners=True)

    if features > DENSE:
        return resized(x)
    return x @ resized(torch.eye(x.shape[3], device=x.device, dtype=x.dtype)[None, None])[0, 0]


def complex_product(a: Tensor, b: Tensor) -> Tensor:
    """Product of complex spectrograms stored as [B, 2C, F, T]: C real parts, then C imaginary parts."""
    (ar, ai), (br, bi) = a.chunk(2, dim=1), b.chunk(2, dim=1)
    return torch.cat((ar * br - ai * bi, ar * bi + ai * br), dim=1)


def compress(x: Tensor, exponent: float, is_complex: bool) -> Tensor:
    """Raise the magnitudes of a spectrogram to a power and keep the phases (Ephrat et al. 2018).

    x: [B, C, F, T], C magnitudes, or C/2 real and C/2 imaginary parts. Returns the same shape.
    """
    return amplify(x, compressing(squared_magnitudes(x, is_complex), exponent))


def compressing(power: Tensor, exponent: float) -> Tensor:
    """The factor by which `compress` changes what has these squared magnitudes."""
    power = power + 1e-6
    exponent = (exponent - 1.0) / 2.0
    # that of the usual compression by roots, which are many times as fast as any power
    return power.sqrt().rsqrt() if exponent == -0.25 else power**exponent


def squared_magnitudes(x: Tensor, is_complex: bool) -> Tensor:
    """[B, C, F, T] as `compress` takes it -> [B, C or C/2, F, T]."""
    if not is_complex:
        return x.square()
    real, imaginary = x.chunk(2, dim=1)
    return real.square() + imaginary.square()


def amplify(x: Tensor, factor: Tensor) -> Tensor:
    """x [B, C, F, T] with its magnitudes, shaped as `squared_magnitudes` gives them, times so much."""
    return torch.cat([part * factor for part in x.split(factor.shape[1], dim=1)], dim=1)


def window_rms(x: Tensor, squares: Tensor | None = None) -> Tensor:
    """Root mean square of each window: [B, C, F, T] -> [B, 1, 1, 1], at least 1e-4 (silence stays silent).

    Frames that are zero throughout do not count, so padding a window leaves its level as it is. `squares` are the
    `squared_magnitudes`, where they are at hand.
    """
    power = (x.square() if squares is None else squares).sum(dim=(1, 2))  # [B, T]
    frames = (power > 0).sum(dim=1).clamp_min(1)
    mean = power.sum(dim=1) / (frames * x.shape[1] * x.shape[2])
    return mean.sqrt().clamp_min(1e-4)[:, None, None, None]
