"""The transformer blocks: Evolved Transformer encoder and decoder (So et al. 2019) for spectrogram
frames, with Primer's squared ReLU and RealFormer's residual scores, and the latent block.

Axes: B batch, C channels, M attention maps, F features, T frames, H heads.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from ftcore.nn.attention import ConvolutionalMultiheadAttention, MultichannelMultiheadAttention
from ftcore.nn.functional import squared_relu
from ftcore.nn.layers import ChannelNorm, FrameConv, MultichannelLayerNorm, MultichannelLinear


class Encoded(NamedTuple):
    """What an encoder block hands on."""

    x: Tensor
    """The input with the attention maps appended, [B, C+M, F, T]."""
    h: Tensor
    """The attention maps, [B, M, F, T]: the memory of the decoder of the same level."""
    scores: Tensor
    """Running attention scores, [B, M, H, T, T]."""


class Decoded(NamedTuple):
    """What a decoder block hands on."""

    x: Tensor
    """The input with the attention maps appended, [B, C+M, F, T]."""
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
        self.glu = nn.Sequential(MultichannelLinear(maps, maps, features, 2 * features), nn.GLU(dim=2))
        self.conv1a = MultichannelLinear(maps, maps, features, features)
        self.conv1b = FrameConv(maps, features, 3, groups=maps)
        self.conv2 = FrameConv(maps, features, 9, groups=maps)
        self.attn = MultichannelMultiheadAttention(maps, heads, features)
        self.conv3 = MultichannelLinear(maps, maps, features, expansion)
        self.conv4 = MultichannelLinear(maps, maps, expansion, features)
        self.drop = nn.Dropout(dropout)

    def forward(self, x: Tensor, prev_scores: Tensor | None = None) -> Encoded:
        """x [B, C, F, T], prev_scores [B, M, H, T, T] of the level before, if it has the same M and H."""
        h = self.embed(x)
        h = h + self.drop(self.glu(self.norm1(h)))
        z = self.norm2(h)
        h = h + self.drop(squared_relu(self.conv1a(z))) + self.drop(squared_relu(self.conv1b(z)))
        h = h + self.drop(self.conv2(self.norm3(h)))
        z, scores = self.attn(self.norm4(h), prev_scores=prev_scores)
        h = h + self.drop(z)
        h = h + self.drop(self.conv4(squared_relu(self.conv3(self.norm5(h)))))
        return Encoded(torch.cat((x, h), dim=1), h, scores)


class ScoreGate(nn.Module):
    """Mixes two score volumes, weighing each position by 3-D convolutions over (H, T, T)."""

    def __init__(self, maps: int) -> None:
        super().__init__()
        self.mix = nn.Conv3d(2 * maps, maps, 3, padding=1)
        self.weigh = nn.Conv3d(maps, 1, 3, padding=1)

    def forward(self, scores: Tensor, skip_scores: Tensor) -> Tensor:
        """Both [B, M, H, T, T]; returns the same shape."""
        gate = self.weigh(squared_relu(self.mix(torch.cat((scores, skip_scores), dim=1)))).sigmoid()
        mixed: Tensor = gate * scores + (1.0 - gate) * skip_scores
        return mixed


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
        """x [B, C, F, T], skip [B, M, F, T], all scores [B, M, H, T, T].

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
        return Decoded(torch.cat((x, h), dim=1), self_scores, cross_scores)


class ConvolutionalTransformerEncoder(nn.Module):
    """The latent block: Evolved Transformer encoder whose embedding is the channels.

    `restart=True` keeps the original's quirk: the residual after the attention starts again from the
    block's input, so that the parts before it act through the attention alone.
    """

    def __init__(
        self,
        channels: int,
        expansion: int,
        heads: int,
        *,
        kernel_size: int = 1,
        restart: bool = False,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.restart = restart
        self.norm1, self.norm2, self.norm3, self.norm4, self.norm5 = (ChannelNorm(channels) for _ in range(5))
        self.glu = nn.Sequential(nn.Conv2d(channels, 2 * channels, 1), nn.GLU(dim=1))
        self.conv1a = nn.Conv2d(channels, channels, 1)
        self.conv1b = separable(channels, 3)
        self.conv2 = separable(channels, 9)
        self.attn = ConvolutionalMultiheadAttention(channels, heads, kernel_size)
        self.conv3 = nn.Conv2d(channels, expansion * channels, 3, padding=1)
        self.conv4 = nn.Conv2d(expansion * channels, channels, 3, padding=1)
        self.drop = nn.Dropout2d(dropout)

    def forward(self, x: Tensor, prev_scores: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """x [B, C, F, T], prev_scores [B, H, F*T, F*T]. Returns (y like x, scores like prev_scores)."""
        h = x + self.drop(self.glu(self.norm1(x)))
        z = self.norm2(h)
        h = h + self.drop(squared_relu(self.conv1a(z)) + squared_relu(self.conv1b(z)))
        h = h + self.drop(self.conv2(self.norm3(h)))
        z, scores = self.attn(self.norm4(h), prev_scores)
        h = (x if self.restart else h) + self.drop(z)
        h = h + self.drop(self.conv4(squared_relu(self.conv3(self.norm5(h)))))
        return h, scores


def embed(channels: int, maps: int) -> nn.Module:
    """Draws the attention maps from all channels: [B, C, F, T] -> [B, M, F, T]."""
    return nn.Conv2d(channels, maps, 1) if channels != maps else nn.Identity()


def norms(count: int, maps: int, features: int) -> list[MultichannelLayerNorm]:
    """`count` norms of one size."""
    return [MultichannelLayerNorm(maps, features) for _ in range(count)]


def separable(channels: int, kernel_size: int) -> nn.Sequential:
    """A depth-wise k x k convolution, then a point-wise one."""
    return nn.Sequential(
        nn.Conv2d(channels, channels, kernel_size, padding=kernel_size // 2, groups=channels),
        nn.Conv2d(channels, channels, 1),
    )
