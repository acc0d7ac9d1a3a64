"""The two attentions: over frames within each channel, and over all positions of the latent level.

Axes: B batch, C channels, T frames, F features, H heads, D features per head, N tokens.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from torch import Tensor, nn

from ftcore.nn.functional import attend, attend_in_parts
from ftcore.nn.layers import Conv, MultichannelLinear


def mixed_projection(channels: int, features: int) -> nn.Module:
    """A linear map per channel, then a convolution over all channels and 3 frames."""
    return nn.Sequential(
        MultichannelLinear(channels, channels, features, features),
        Conv(channels, channels, (1, 3), padding=(0, 1)),
    )


class MultichannelMultiheadAttention(nn.Module):
    """Frames attend to frames, in every channel on its own; features are split into heads.

    `projection` makes the map of queries, keys and values for (channels, features).
    """

    def __init__(
        self,
        channels: int,
        heads: int,
        features: int,
        projection: Callable[[int, int], nn.Module] = mixed_projection,
    ) -> None:
        super().__init__()
        self.heads = heads
        self.scale = 1.0 / math.sqrt(features)
        self.q_proj, self.k_proj, self.v_proj = (projection(channels, features) for _ in range(3))
        self.o_proj = MultichannelLinear(channels, channels, features, features)

    def forward(
        self, x: Tensor, memory: Tensor | None = None, prev_scores: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """x, memory: [B, C, T, F]; prev_scores: [B, C, H, T, T]. Returns (y like x, scores like prev_scores)."""
        source = x if memory is None else memory
        q, k, v = (
            projection(z).unflatten(3, (self.heads, -1)).transpose(2, 3)
            for projection, z in ((self.q_proj, x), (self.k_proj, source), (self.v_proj, source))
        )  # [B, C, H, T, D]
        y, scores = attend(q, k, v, self.scale, prev_scores)
        return self.o_proj(y.transpose(2, 3).flatten(3)), scores


class ConvolutionalMultiheadAttention(nn.Module):
    """Every position (f, t) attends to every other, channels being the embedding; token index f*T + t.

    The `last` one hands no scores on, and so never has more of them in memory than those of one feature's tokens.
    """

    def __init__(self, channels: int, heads: int, kernel_size: int = 1, *, last: bool = False) -> None:
        super().__init__()
        self.heads = heads
        self.last = last
        self.scale = 1.0 / math.sqrt(channels)

        def projection() -> nn.Conv2d:
            return nn.Conv2d(channels, channels, kernel_size, padding=kernel_size // 2)

        self.q_proj, self.k_proj, self.v_proj, self.o_proj = (projection() for _ in range(4))

    def forward(self, x: Tensor, prev_scores: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """x [B, C, F, T]; prev_scores [B, H, F*T, F*T]. Returns (y like x, scores like prev_scores, or None)."""
        q, k, v = (
            projection(x).flatten(2).unflatten(1, (self.heads, -1)).transpose(2, 3)
            for projection in (self.q_proj, self.k_proj, self.v_proj)
        )  # [B, H, N, D]
        scores: Tensor | None = None
        if self.last:
            y = attend_in_parts(q, k, v, self.scale, prev_scores, parts=x.shape[2])
        else:
            y, scores = attend(q, k, v, self.scale, prev_scores)
        return self.o_proj(y.transpose(2, 3).flatten(1, 2).unflatten(2, x.shape[2:])), scores
