"""The two networks before the AsymUNetMCT whose checkpoints were published: V1 and V2b.

Both are a U-Net of conventional pre-norm transformers, with one on the input itself. V1 attends on a single
map and has neither embedding nor residual scores; V2b has both, several maps, and convolutions where V1 has
linear maps (and, on its deepest levels, the other way round).

Axes: B batch, C channels, M attention maps, T frames, F features, H heads.

        x -- transformer 0 -- level 1 ------------------- decoder 1 -- out
                                  `-- level 2 -- ... --------'
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ftcore.config import EarlyConfig
from ftcore.nn.attention import MultichannelMultiheadAttention
from ftcore.nn.functional import squared_relu
from ftcore.nn.layers import (
    Conv,
    ConvolutionalEmbedding,
    FrameDecoder,
    FrameEncoder,
    MultichannelLayerNorm,
    MultichannelLinear,
    ResBlock,
    SharedLayerNorm,
)
from ftcore.nn.spectral import SpectralNetwork
from ftcore.nn.transformer import Encoded


class Parts(NamedTuple):
    """What V1 and V2b build their transformers from."""

    norm: Callable[[int, int], nn.Module]
    """(channels, features) -> norm over the features."""
    projection: Callable[[int, int], nn.Module]
    """(maps, features) -> map of queries, keys and values."""
    feed_forward: Callable[[int, int, int], tuple[nn.Module, nn.Module]]
    """(maps, features, expansion) -> the maps before and after the activation."""
    cross_norm: bool
    """Whether the attention to the encoder has a norm of its own; the original's V1 uses the self
    attention's there by mistake, and leaves a third norm in its checkpoint unused."""
    residual_scores: bool
    """Whether attention scores are handed from level to level."""


def linear(maps: int, in_features: int, out_features: int | None = None) -> MultichannelLinear:
    """One linear map over the features per attention map."""
    return MultichannelLinear(maps, maps, in_features, out_features or in_features)


def local_projection(maps: int, features: int) -> nn.Module:
    """A 9 x 9 convolution within each map, then a linear map over its features."""
    return nn.Sequential(
        Conv(maps, maps, 9, padding=4, groups=maps, bias=False),
        linear(maps, features),
    )


def linear_feed_forward(maps: int, features: int, expansion: int) -> tuple[nn.Module, nn.Module]:
    """Over the features of each frame."""
    hidden = expansion * features
    return linear(maps, features, hidden), linear(maps, hidden, features)


def convolutional_feed_forward(maps: int, features: int, expansion: int) -> tuple[nn.Module, nn.Module]:
    """Over all maps and their neighbourhoods."""
    hidden = expansion * maps
    return Conv(maps, hidden, 3, padding=1), Conv(hidden, maps, 3, padding=1)


PARTS = {
    "v1": Parts(SharedLayerNorm, linear, linear_feed_forward, cross_norm=False, residual_scores=False),
    "v2b": Parts(
        MultichannelLayerNorm, local_projection, convolutional_feed_forward, cross_norm=True, residual_scores=True
    ),
}


class TransformerEncoder(nn.Module):
    """Pre-norm transformer encoder (Vaswani et al. 2017) on M maps that are drawn from all channels."""

    def __init__(self, channels: int, maps: int, features: int, expansion: int, heads: int, parts: Parts) -> None:
        super().__init__()
        self.embed = Conv(channels, maps, 1)
        self.norm1, self.norm2 = (parts.norm(maps, features) for _ in range(2))
        self.attn = MultichannelMultiheadAttention(maps, heads, features, parts.projection)
        self.conv1, self.conv2 = parts.feed_forward(maps, features, expansion)

    def forward(self, x: Tensor, prev_scores: Tensor | None = None) -> Encoded:
        """x [B, C, T, F], prev_scores [B, M, H, T, T] of the level before."""
        h = self.embed(x)
        z, scores = self.attn(self.norm1(h), prev_scores=prev_scores)
        h = h + z
        h = h + self.conv2(squared_relu(self.conv1(self.norm2(h))))
        return Encoded(h, scores)


class TransformerDecoder(nn.Module):
    """The same, also attending to the encoder's maps of its level."""

    def __init__(self, channels: int, maps: int, features: int, expansion: int, heads: int, parts: Parts) -> None:
        super().__init__()
        self.embed = Conv(channels, maps, 1)
        self.norm1 = parts.norm(maps, features)
        self.norm2 = parts.norm(maps, features) if parts.cross_norm else None
        self.norm3 = parts.norm(maps, features)
        self.attn1, self.attn2 = (
            MultichannelMultiheadAttention(maps, heads, features, parts.projection) for _ in range(2)
        )
        self.conv1, self.conv2 = parts.feed_forward(maps, features, expansion)

    def forward(
        self, x: Tensor, skip: Tensor, prev_scores: Tensor | None = None, skip_scores: Tensor | None = None
    ) -> Encoded:
        """x [B, C, T, F], skip [B, M, T, F] of the encoder, all scores [B, M, H, T, T].

        `prev_scores` come from the self attention of the level before, `skip_scores` from the encoder's.
        """
        h = self.embed(x)
        z, scores = self.attn1(self.norm1(h), prev_scores=prev_scores)
        h = h + z
        cross_norm = self.norm1 if self.norm2 is None else self.norm2
        h = h + self.attn2(cross_norm(h), memory=skip, prev_scores=skip_scores)[0]
        h = h + self.conv2(squared_relu(self.conv1(self.norm3(h))))
        return Encoded(h, scores)


class Level(NamedTuple):
    """What a level hands on."""

    x: Tensor
    """[B, C, T, F]."""
    h: Tensor
    """Attention maps [B, M, T, F]."""
    scores: Tensor
    """Attention scores [B, M, H, T, T]."""


class EncoderLevel(nn.Module):
    """Level 1, 2, ...: half the features (level 1 keeps them), then a transformer."""

    def __init__(self, config: EarlyConfig, level: int, in_channels: int) -> None:
        super().__init__()
        channels = config.channels * config.multipliers[level - 1]
        features = config.level_features(level - 1)
        block = residual_block(config, level)
        self.frame = FrameEncoder(in_channels, channels, features, downsample=level > 1, block=block)
        self.transformer = transformer(TransformerEncoder, config, level, channels)

    def forward(self, below: Level, prev_scores: Tensor | None) -> Level:
        """From the level before, of the same or twice the features."""
        x = self.frame(below.x, below.h)
        return Level(x, *self.transformer(x, prev_scores))


class DecoderLevel(nn.Module):
    """Twice the features, joined with the encoder's, then a transformer."""

    def __init__(self, config: EarlyConfig, level: int, in_channels: int) -> None:
        super().__init__()
        channels = config.channels * config.multipliers[level - 1]
        block = residual_block(config, level)
        self.frame = FrameDecoder(in_channels, channels, config.level_features(level), block=block)
        self.transformer = transformer(TransformerDecoder, config, level, channels)

    def forward(self, below: Level, memory: Level, prev_scores: Tensor | None, skip_scores: Tensor | None) -> Level:
        """From the level below, of half the features, and the encoder's level."""
        x = self.frame((below.x, below.h), (memory.x, memory.h))
        return Level(x, *self.transformer(x, memory.h, prev_scores, skip_scores))


class EarlyNetwork(SpectralNetwork):
    """V1 or V2b: from the spectrogram of a mixture to the mask of its instrumental."""

    config: EarlyConfig

    def __init__(self, config: EarlyConfig) -> None:
        super().__init__()
        self.config = config
        self.residual_scores = PARTS[config.kind].residual_scores
        channels = config.spectral_channels
        self.embedding = (
            ConvolutionalEmbedding(channels, config.features, config.embedding_scales)
            if config.embedding_scales
            else None
        )
        entering = channels + (self.embedding is not None)
        self.entry = transformer(TransformerEncoder, config, 0, entering)
        levels = range(1, config.levels)
        widths = [entering + config.attention_maps[0]]
        widths += [config.channels * config.multipliers[i - 1] + config.attention_maps[i] for i in levels]
        self.encoder = nn.ModuleList(EncoderLevel(config, i, widths[i - 1]) for i in levels)
        self.decoder = nn.ModuleList(  # the deepest level first
            DecoderLevel(config, i, widths[i + 1] + widths[i]) for i in reversed(levels[:-1])
        )
        self.out = MultichannelLinear(widths[1], channels, 1, 1, positionwise=False, depthwise=True)

    def forward(self, x: Tensor) -> Tensor:
        """Raw output, before any activation: [B, C, F, T] -> [B, C, F, T].

        x is already divided by the song's largest magnitude.
        """
        x = x.to(self.out.weight_dw.dtype).transpose(2, 3)  # type: ignore[union-attr]
        if self.embedding is not None:
            x = torch.cat((x, self.embedding(x)), dim=1)
        current = Level(x, *self.entry(x))
        memories = []
        for level in self.encoder:
            current = level(current, self._handed_on(current.scores))
            memories.append(current)
        for level, memory in zip(self.decoder, reversed(memories[:-1]), strict=True):
            current = level(current, memory, self._handed_on(current.scores), self._handed_on(memory.scores))
        y: Tensor = self.out(torch.cat((current.x, current.h), dim=1))
        return y.transpose(2, 3)

    def _handed_on(self, scores: Tensor) -> Tensor | None:
        return scores if self.residual_scores else None


def residual_block(config: EarlyConfig, level: int) -> Callable[..., ResBlock]:
    """What makes the residual blocks of a level."""
    return partial(ResBlock, norm=PARTS[config.kind].norm, dense=level >= config.levels - config.dense_levels)


def transformer(make: Callable[..., nn.Module], config: EarlyConfig, level: int, channels: int) -> nn.Module:
    """The encoder or decoder transformer of a level, on `channels` channels."""
    return make(
        channels,
        config.attention_maps[level],
        config.level_features(level),
        config.expansion,
        config.heads,
        PARTS[config.kind],
    )
