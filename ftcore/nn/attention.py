"""The two attentions: over frames within each channel, and over all positions of the latent level.

Axes: B batch, C channels, F features, T frames, H heads.
"""

from __future__ import annotations

import math

from torch import Tensor, nn

from ftcore.nn.functional import attend
from ftcore.nn.layers import MultichannelLinear


class MultichannelMultiheadAttention(nn.Module):
    """Frames attend to frames, in every channel on its own; features are split into heads.

    Queries, keys and values pass a linear map per channel and a 1 x k convolution over all channels.
    """

    def __init__(self, channels: int, heads: int, features: int, kernel_size: int = 3) -> None:
        super().__init__()
        self.heads = heads
        self.scale = 1.0 / math.sqrt(features)

        def projection() -> nn.Sequential:
            return nn.Sequential(
                MultichannelLinear(channels, channels, features, features),
                nn.Conv2d(channels, channels, (1, kernel_size), padding=(0, kernel_size // 2)),
            )

        self.q_proj, self.k_proj, self.v_proj = projection(), projection(), projection()
        self.o_proj = MultichannelLinear(channels, channels, features, features)

    def forward(
        self, x: Tensor, memory: Tensor | None = None, prev_scores: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """x, memory: [B, C, F, T]; prev_scores: [B, C, H, T, T]. Returns (y like x, scores like prev_scores)."""
        source = x if memory is None else memory
        q, k, v = (
            projection(z).unflatten(2, (self.heads, -1))
            for projection, z in ((self.q_proj, x), (self.k_proj, source), (self.v_proj, source))
        )  # [B, C, H, F/H, T]
        y, scores = attend(q, k, v, self.scale, prev_scores)
        return self.o_proj(y.flatten(2, 3)), scores


class ConvolutionalMultiheadAttention(nn.Module):
    """Every position (f, t) attends to every other, channels being the embedding; token index f*T + t."""

    def __init__(self, channels: int, heads: int, kernel_size: int = 1) -> None:
        super().__init__()
        self.heads = heads
        self.scale = 1.0 / math.sqrt(channels)

        def projection() -> nn.Conv2d:
            return nn.Conv2d(channels, channels, kernel_size, padding=kernel_size // 2)

        self.q_proj, self.k_proj, self.v_proj, self.o_proj = (projection() for _ in range(4))

    def forward(self, x: Tensor, prev_scores: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """x [B, C, F, T]; prev_scores [B, H, F*T, F*T]. Returns (y like x, scores like prev_scores)."""
        q, k, v = (
            projection(x).flatten(2).unflatten(1, (self.heads, -1))
            for projection in (self.q_proj, self.k_proj, self.v_proj)
        )  # [B, H, C/H, F*T]
        y, scores = attend(q, k, v, self.scale, prev_scores)
        return self.o_proj(y.flatten(1, 2).unflatten(2, x.shape[2:])), scores
