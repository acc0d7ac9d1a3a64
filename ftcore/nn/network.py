"""The assembly: AsymUNetMCT generator and FrameGAN discriminator, both from one config.

Axes: B batch, C channels, T frames, F features. Spectrograms enter and leave as [B, C, F, T]; inside, features
are last (but for the latent blocks).

        x -- encoder 1 ------------------------------------ decoder 1 -- out
                 `-- encoder 2 --------------- decoder 2 ------'
                         `-- ... latent ... -------'
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from ftcore.config import NetworkConfig
from ftcore.nn.bands import BandMerge, BandSplit
from ftcore.nn.functional import amplify, compressing, squared_magnitudes, table_dtype, window_rms
from ftcore.nn.layers import Conv, ConvolutionalEmbedding, FrameDecoder, FrameEncoder
from ftcore.nn.spectral import SpectralNetwork
from ftcore.nn.transformer import (
    ConvolutionalTransformerEncoder,
    FrameTransformerDecoder,
    FrameTransformerEncoder,
)


class Memory(NamedTuple):
    """What a level keeps for the decoder of the same level."""

    x: Tensor
    """[B, C, T, F]."""
    h: Tensor | None = None
    """Attention maps [B, M, T, F]; None without a transformer."""
    scores: Tensor | None = None
    """Attention scores [B, M, H, T, T]; None without a transformer."""

    @property
    def parts(self) -> tuple[Tensor, ...]:
        """What the level hands on, together C+M channels."""
        return (self.x,) if self.h is None else (self.x, self.h)


@dataclass
class RunningScores:
    """Attention scores on their way from level to level.

    Levels without a transformer let them pass; a level with other maps or heads starts anew.
    """

    values: tuple[Tensor | None, ...]

    def for_shape(self, maps: int, heads: int) -> tuple[Tensor | None, ...]:
        """The scores where their [B, maps, heads, T, T] fits, else None for each."""
        return tuple(s if s is not None and tuple(s.shape[1:3]) == (maps, heads) else None for s in self.values)


class Recomputing(nn.Module):
    """A module whose blocks can be computed once more for the backward pass, so that less waits for it in memory."""

    checkpointing = False
    """Of each block keep only what goes into it (activation checkpointing). Training's choice, and so none of the
    config's: it changes no result."""

    def run(self, block: Callable[..., Any], *inputs: Any) -> Any:
        """`block(*inputs)`."""
        return checkpoint(block, *inputs, use_reentrant=False) if self.checkpointing else block(*inputs)


class EncoderLevel(Recomputing):
    """FrameEncoder, then (where the config has attention maps) a transformer."""

    def __init__(self, config: NetworkConfig, level: int, in_channels: int) -> None:
        super().__init__()
        features, channels = config.level_features(level), config.level_channels(level)
        self.maps = config.attention_maps[level] if level < config.levels - 1 else 0
        self.heads = config.heads[level]
        self.frame = FrameEncoder(
            in_channels,
            channels,
            config.level_features(max(level - 1, 0)),
            downsample=level > 0,
            dropout=config.dropout,
        )
        self.transformer = (
            FrameTransformerEncoder(channels, self.maps, features, config.expansion, self.heads, config.dropout)
            if self.maps
            else None
        )

    def forward(self, parts: tuple[Tensor, ...], running: RunningScores) -> tuple[Memory, RunningScores]:
        """Parts [B, Ci, T, F or 2F], together Cin channels -> (memory of this level, scores for the next)."""
        x = self.run(self.frame, *parts)
        if self.transformer is None:
            return Memory(x), running
        (prev,) = running.for_shape(self.maps, self.heads)
        h, scores = self.run(self.transformer, x, prev)
        return Memory(x, h, scores), RunningScores((scores,))


class Encoder(Recomputing):
    """Embedding, encoder levels and latent blocks: the half that generator and discriminator share."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.config = config
        channels = config.level_channels(0) if config.bands else config.spectral_channels
        self.split = (
            BandSplit(config.spectral_channels, channels, config.features, config.bands) if config.bands else None
        )
        self.embedding = (
            ConvolutionalEmbedding(channels, config.level_features(0), config.embedding_scales)
            if config.embedding_scales
            else None
        )
        widths = [channels + (self.embedding is not None), *encoder_widths(config)]
        self.levels = nn.ModuleList(EncoderLevel(config, i, widths[i]) for i in range(config.levels))
        self.latent = nn.ModuleList(
            ConvolutionalTransformerEncoder(
                widths[-1],
                config.latent_expansion,
                config.heads[-1],
                kernel_size=config.latent_kernel,
                restart=config.latent_restart,
                last=layer == config.latent_layers,
                dropout=config.dropout,
            )
            for layer in range(1, config.latent_layers + 1)
        )

    def forward(self, x: Tensor) -> tuple[Tensor, list[Memory]]:
        """[B, C, F, T] -> (latent [B, C', T, F'], one memory per level but the last)."""
        x = self.prepare(x).to(next(self.parameters()).dtype)
        x = self.split(x) if self.split else x.transpose(2, 3)
        parts: tuple[Tensor, ...] = (x,) if self.embedding is None else (x, self.run(self.embedding, x))
        memories = []
        running = RunningScores((None,))
        for level in self.levels:
            memory, running = level(parts, running)
            memories.append(memory)
            parts = memory.parts
        x, scores = memories.pop().x.transpose(2, 3), None
        for block in self.latent:
            x, scores = self.run(block, x, scores)
        return x.transpose(2, 3), memories

    def prepare(self, x: Tensor) -> Tensor:
        """Normalise and compress a spectrogram [B, C, F, T] as the config says, in float32 or better."""
        x = x.to(table_dtype(x))
        normalised = self.config.normalisation == "window_rms"
        if self.config.compression == 1.0:
            return x / window_rms(x) if normalised else x
        squares = squared_magnitudes(x, self.config.is_complex)  # one look at all bins serves both
        scale = window_rms(x, squares) if normalised else x.new_ones(())
        return amplify(x, compressing(squares / scale.square(), self.config.compression) / scale)


class DecoderLevel(Recomputing):
    """FrameDecoder, then (where the encoder of this level has one) a transformer."""

    def __init__(self, config: NetworkConfig, level: int, in_channels: int, has_prev: bool) -> None:
        super().__init__()
        features, channels = config.level_features(level), config.level_channels(level)
        self.maps, self.heads = config.attention_maps[level], config.heads[level]
        self.frame = FrameDecoder(in_channels, channels, features, dropout=config.decoder_dropout[level])
        self.transformer = (
            FrameTransformerDecoder(
                channels,
                self.maps,
                features,
                config.expansion,
                self.heads,
                has_prev=has_prev,
                dropout=config.dropout,
            )
            if self.maps
            else None
        )

    def forward(
        self, below: tuple[Tensor, ...], memory: Memory, running: RunningScores
    ) -> tuple[tuple[Tensor, ...], RunningScores]:
        """Parts [B, Ci, T, F/2], together Cin channels -> (parts [B, C, T, F] and [B, M, T, F], scores to go up)."""
        x = self.run(self.frame, below, memory.parts)
        if self.transformer is None:
            return (x,), running
        scores = running.for_shape(self.maps, self.heads)
        decoded = self.run(self.transformer, x, memory.h, memory.scores, *scores)
        return (x, decoded.h), RunningScores((decoded.self_scores, decoded.cross_scores))


class Generator(SpectralNetwork):
    """AsymUNetMCT: from the spectrogram of a mixture to that of its instrumental."""

    config: NetworkConfig

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = Encoder(config)
        widths = encoder_widths(config)
        levels = []
        below, prev = widths[-1], None
        for level in reversed(range(config.levels - 1)):
            maps, heads = config.attention_maps[level], config.heads[level]
            levels.append(DecoderLevel(config, level, below + widths[level], has_prev=prev == (maps, heads)))
            below = widths[level]
            prev = (maps, heads) if maps else prev
        self.decoder = nn.ModuleList(levels)  # the deepest level first
        self.out = output_layer(config)

    def reset_output(self) -> None:
        """A fresh last layer, for a new reading of the output."""
        self.out = output_layer(self.config)

    def forward(self, x: Tensor) -> Tensor:
        """Raw output, before any activation: [B, C, F, T] -> [B, C, F, T], or twice the channels for two outputs.

        With `normalisation="song_peak"` x is already divided by the song's largest magnitude.
        """
        latent, memories = self.encoder(x)
        parts, running = (latent,), RunningScores((None, None))
        for level, memory in zip(self.decoder, reversed(memories), strict=True):
            parts, running = level(parts, memory, running)
        y: Tensor = self.out(*parts)
        return y if self.config.bands else y.transpose(2, 3)

    def reconstruct(self, x: Tensor, forward: Callable[[Tensor], Tensor] | None = None) -> Tensor:
        """Pretraining's reading of the output: the whole spectrogram of x [B, C, F, T], some frames of which
        are hidden. No mask can bring those back, so mask models answer with the spectrogram itself.
        """
        if self.config.output in ("mapping", "mask_and_mapping"):
            return self.estimate(x, forward)
        y = (forward or self)(x).to(x.dtype)
        y = y.sigmoid() if self.config.output == "magnitude_mask" else y
        return y * window_rms(x) if self.config.normalisation == "window_rms" else y


class Discriminator(nn.Module):
    """FrameGAN's critic: which frames, bands and audio channels did vocals contribute to?

    Encoder and latent blocks of a generator (copied with `from_generator`, never shared), then a head.
    """

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = Encoder(config)
        self.head = Conv(encoder_widths(config)[-1], config.audio_channels, 1)

    @staticmethod
    def bands_of(config: NetworkConfig) -> int:
        """Frequency bands that a critic of this config tells apart."""
        return config.level_features(config.levels - 1)

    @classmethod
    def from_generator(cls, generator: Generator) -> Discriminator:
        """A discriminator whose encoder starts from a copy of the generator's."""
        critic = cls(generator.config)
        critic.encoder.load_state_dict(generator.encoder.state_dict())
        return critic

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, F, T] -> logits [B, audio channels, F of the last level, T]; positive = vocals."""
        x, _ = self.encoder(x)
        y: Tensor = self.head(x).transpose(2, 3)
        return y


def output_layer(config: NetworkConfig) -> BandMerge | Conv:
    """From the first level's channels to the raw output.

    A complex mask starts as 1, and what is added to its product as 0: the mixture itself.
    """
    width = encoder_widths(config)[0]
    layer = (
        BandMerge(width, config.output_channels, config.features, config.bands)
        if config.bands
        else Conv(width, config.output_channels, 1)
    )
    if config.output in ("complex_mask", "mask_and_mapping"):
        for parameter in layer.parameters():
            nn.init.zeros_(parameter)
        assert layer.bias is not None
        nn.init.ones_(layer.bias.data[: config.audio_channels])
    return layer


def set_checkpointing(network: nn.Module, checkpointing: bool) -> None:
    """Whether the network computes its blocks once more for the backward pass: see `Recomputing`."""
    for module in network.modules():
        if isinstance(module, Recomputing):
            module.checkpointing = checkpointing


def encoder_widths(config: NetworkConfig) -> list[int]:
    """Channels that leave each encoder level, attention maps included."""
    return [config.level_channels(i) + m for i, m in enumerate((*config.attention_maps, 0))]
