"""The transformer blocks: Evolved Transformer encoder and decoder (So et al. 2019) for spectrogram
frames, with Primer's squared ReLU and RealFormer's residual scores, and the latent block.

Axes: B batch, C channels, M attention maps, T frames, F features, H heads.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d

from ftcore.nn.attention import ConvolutionalMultiheadAttention, MultichannelMultiheadAttention
from ftcore.nn.functional import squared_relu
from ftcore.nn.layers import ChannelNorm, Conv, FrameConv, MultichannelLayerNorm, MultichannelLinear


class Encoded(NamedTuple):
    """What an encoder block makes of its input."""

    h: Tensor
    """The attention maps, [B, M, T, F]: the memory of the decoder of the same level."""
    scores: Tensor
    """Running attention scores, [B, M, H, T, T]."""


class Decoded(NamedTuple):
    """What a decoder block makes of its input."""

    h: Tensor
    """The attention maps, [B, M, T, F]."""
    self_scores: Tensor
    """Running scores of the self attention, [B, M, H, T, T]."""
    cross_scores: Tensor
    """Running scores of the attention to the encoder, [B, M, H, T, T]."""


class FrameTransformerEncoder(nn.Module):
    """Transformer encoder on M maps that are drawn from all channels."""

    def __init__(
        self, channels: int, maps: int, features: int, expansion: int, heads: int, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.embed = embed(channels, maps)
        self.norm1, self.norm2, self.norm3, self.norm4, self.norm5 = norms(5, maps, features)
        self.glu = nn.Sequential(MultichannelLinear(maps, maps, features, 2 * features), nn.GLU(dim=3))
        self.conv1a = MultichannelLinear(maps, maps, features, features)
        self.conv1b = FrameConv(maps, features, 3, groups=maps)
        self.conv2 = FrameConv(maps, features, 9, groups=maps)
        self.attn = MultichannelMultiheadAttention(maps, heads, features)
        self.conv3 = MultichannelLinear(maps, maps, features, expansion)
        self.conv4 = MultichannelLinear(maps, maps, expansion, features)
        self.drop = nn.Dropout(dropout)

    def forward(self, x: Tensor, prev_scores: Tensor | None = None) -> Encoded:
        """x [B, C, T, F], prev_scores [B, M, H, T, T] of the level before, if it has the same M and H."""
        h = self.embed(x)
        h = h + self.drop(self.glu(self.norm1(h)))
        z = self.norm2(h)
        h = h + self.drop(squared_relu(self.conv1a(z))) + self.drop(squared_relu(self.conv1b(z)))
        h = h + self.drop(self.conv2(self.norm3(h)))
        z, scores = self.attn(self.norm4(h), prev_scores=prev_scores)
        h = h + self.drop(z)
        h = h + self.drop(self.conv4(squared_relu(self.conv3(self.norm5(h)))))
        return Encoded(h, scores)


class ScoreGate(nn.Module):
    """Mixes two score volumes, weighing each position by 3-D convolutions over (H, T, T).

    Computed as 2-D convolutions over (T, T), for which runtimes are made: the heads are channels, and the
    weights are zero but for neighbouring heads.
    """

    def __init__(self, maps: int) -> None:
        super().__init__()
        self.mix = nn.Conv3d(2 * maps, maps, 3, padding=1)
        self.weigh = nn.Conv3d(maps, 1, 3, padding=1)

    def forward(self, scores: Tensor, skip_scores: Tensor) -> Tensor:
        """Both [B, M, H, T, T]; returns the same shape."""
        heads, maps = scores.shape[2], scores.shape[1]
        mix, bias = banded(self.mix, heads)
        z = conv2d(scores.flatten(1, 2), mix[:, : maps * heads], bias, padding=1)
        z = z + conv2d(skip_scores.flatten(1, 2), mix[:, maps * heads :], padding=1)
        gate = conv2d(squared_relu(z), *banded(self.weigh, heads), padding=1).sigmoid()
        mixed: Tensor = skip_scores + gate.unflatten(1, (-1, heads)) * (scores - skip_scores)
        return mixed


def banded(conv: nn.Conv3d, heads: int) -> tuple[Tensor, Tensor]:
    """Weight [Cout*H, Cin*H, 3, 3] and bias [Cout*H] of the 2-D convolution over heads as channels that equals
    a 3-D one with a kernel of 3 and a padding of 1.
    """
    near = torch.eye(heads + 2, device=conv.weight.device, dtype=conv.weight.dtype)
    bands = torch.stack([near[1:-1, d : d + heads] for d in (2, 1, 0)])  # [3, H, H]: one at (h, h + d - 1)
    weight = torch.einsum("oidxy,dhg->ohigxy", conv.weight, bands)
    assert conv.bias is not None
    return weight.flatten(2, 3).flatten(0, 1), conv.bias.repeat_interleave(heads)


class FrameTransformerDecoder(nn.Module):
    """Transformer decoder on M maps, attending to itself and to the encoder's maps of its level."""

    def __init__(
        self,
        channels: int,
        maps: int,
        features: int,
        expansion: int,
        heads: int,
        *,
        has_prev: bool,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.gate1 = ScoreGate(maps) if has_prev else None
        self.gate2 = ScoreGate(maps)
        self.embed = embed(channels, maps)
        self.norm1, self.norm2, self.norm3, self.norm4, self.norm5, self.norm6 = norms(6, maps, features)
        self.attn1a, self.attn1b, self.attn2, self.attn3 = (
            MultichannelMultiheadAttention(maps, heads, features) for _ in range(4)
        )
        self.conv1a = FrameConv(maps, features, 11, groups=maps)
        self.conv1b = FrameConv(maps, features, 7, groups=maps)
        self.conv2 = FrameConv(maps, features, 7, groups=maps)
        self.conv3 = MultichannelLinear(maps, maps, features, expansion)
        self.conv4 = MultichannelLinear(maps, maps, expansion, features)
        self.drop = nn.Dropout(dropout)

    def forward(
        self,
        x: Tensor,
        skip: Tensor,
        skip_scores: Tensor,
        self_scores: Tensor | None = None,
        cross_scores: Tensor | None = None,
    ) -> Decoded:
        """x [B, C, T, F], skip [B, M, T, F], all scores [B, M, H, T, T].

        `self_scores` and `cross_scores` come from the decoder before; the first decoder has none.
        """
        h = self.embed(x)
        z = self.norm1(h)
        za, self_scores = self.attn1a(z, prev_scores=self_scores)
        if self.gate1 is None or cross_scores is None:
            cross_scores = skip_scores
        else:
            cross_scores = self.gate1(cross_scores, skip_scores)
        zb, cross_scores = self.attn1b(z, memory=skip, prev_scores=cross_scores)
        h = h + self.drop(za) + self.drop(zb)
        z = self.norm2(h)
        h = h + self.drop(self.conv2(self.norm3(squared_relu(self.conv1a(z)) + self.conv1b(z))))
        z, self_scores = self.attn2(self.norm4(h), prev_scores=self_scores)
        h = h + self.drop(z)
        cross_scores = self.gate2(cross_scores, skip_scores)
        z, cross_scores = self.attn3(self.norm5(h), memory=skip, prev_scores=cross_scores)
        h = h + self.drop(z)
        h = h + self.drop(self.conv4(squared_relu(self.conv3(self.norm6(h)))))
        return Decoded(h, self_scores, cross_scores)


class ConvolutionalTransformerEncoder(nn.Module):
    """The latent block: Evolved Transformer encoder whose embedding is the channels, on [B, C, F, T]: its level has
    few features and convolutions throughout, which want the longer axis last.

    `restart=True` keeps the original's quirk: the residual after the attention starts again from the
    block's input, so that the parts before it act through the attention alone. The `last` block gives no scores.
    """

    def __init__(
        self,
        channels: int,
        expansion: int,
        heads: int,
        *,
        kernel_size: int = 1,
        restart: bool = False,
        last: bool = False,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.restart = restart
        self.norm1, self.norm2, self.norm3, self.norm4, self.norm5 = (ChannelNorm(channels) for _ in range(5))
        self.glu = nn.Sequential(nn.Conv2d(channels, 2 * channels, 1), nn.GLU(dim=1))
        self.conv1a = nn.Conv2d(channels, channels, 1)
        self.conv1b = separable(channels, 3)
        self.conv2 = separable(channels, 9)
        self.attn = ConvolutionalMultiheadAttention(channels, heads, kernel_size, last=last)
        self.conv3 = nn.Conv2d(channels, expansion * channels, 3, padding=1)
        self.conv4 = nn.Conv2d(expansion * channels, channels, 3, padding=1)
        self.drop = nn.Dropout2d(dropout)

    def forward(self, x: Tensor, prev_scores: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """x [B, C, F, T], prev_scores [B, H, F*T, F*T]. Returns (y like x, scores like prev_scores, or None)."""
        h = x + self.drop(self.glu(self.norm1(x)))
        z = self.norm2(h)
        h = h + self.drop(squared_relu(self.conv1a(z)) + squared_relu(self.conv1b(z)))
        h = h + self.drop(self.conv2(self.norm3(h)))
        z, scores = self.attn(self.norm4(h), prev_scores)
        h = (x if self.restart else h) + self.drop(z)
        h = h + self.drop(self.conv4(squared_relu(self.conv3(self.norm5(h)))))
        return h, scores


def embed(channels: int, maps: int) -> nn.Module:
    """Draws the attention maps from all channels: [B, C, T, F] -> [B, M, T, F]."""
    return Conv(channels, maps, 1) if channels != maps else nn.Identity()


def norms(count: int, maps: int, features: int) -> list[MultichannelLayerNorm]:
    """`count` norms of one size."""
    return [MultichannelLayerNorm(maps, features) for _ in range(count)]


def separable(channels: int, kernel_size: int) -> nn.Sequential:
    """A depth-wise k x k convolution, then a point-wise one."""
    return nn.Sequential(
        nn.Conv2d(channels, channels, kernel_size, padding=kernel_size // 2, groups=channels),
        nn.Conv2d(channels, channels, 1),
    )
